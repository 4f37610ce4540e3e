use rand_core::CryptoRng;

use super::ciphertext::Label;
use super::coins::{SecretCoins, public_seed};
use super::rns::RnsPolynomial;
use super::{Ciphertext, CkksError, KeyId, Plaintext, PublicKey, SecretKey, SeededCiphertext};

/// Encrypts with the secret key, at the plaintext's level and scale: `(-a s + e + m, a)`, a from a fresh public seed.
///
/// # Errors
/// If the parameters differ.
pub fn encrypt_symmetric(
    secret: &SecretKey,
    plaintext: &Plaintext,
    rng: &mut impl CryptoRng,
) -> Result<SeededCiphertext, CkksError> {
    secret.context.check_same(&plaintext.context)?;
    let plans = plaintext.context.plans(plaintext.level);
    let seed = public_seed(rng);
    let uniform = RnsPolynomial::from_seed(&seed, plans);
    let mut constant = SecretCoins::draw(rng).error(plans);
    constant.add_assign(&plaintext.polynomial, plans);
    let mut constant = constant.into_evaluations(plans);
    let product = RnsPolynomial::product(&uniform, &secret.polynomial, plans);
    constant.subtract_assign(&product, plans);
    Ok(SeededCiphertext {
        label: label_of(plaintext, secret.id),
        seed,
        constant,
    })
}

/// Encrypts with the public key, at the plaintext's level and scale: `(b v + e0 + m, a v + e1)`, v ternary.
///
/// # Errors
/// If the parameters differ.
pub fn encrypt(
    public: &PublicKey,
    plaintext: &Plaintext,
    rng: &mut impl CryptoRng,
) -> Result<Ciphertext, CkksError> {
    public.context.check_same(&plaintext.context)?;
    let plans = plaintext.context.plans(plaintext.level);
    let mut coins = SecretCoins::draw(rng);
    let blind = coins.ternary(plans).into_evaluations(plans);
    let mut constant = coins.error(plans);
    // One transform for the error and the message.
    constant.add_assign(&plaintext.polynomial, plans);
    let mut constant = constant.into_evaluations(plans);
    constant.add_product(&public.masked, &blind, plans);
    let mut linear = coins.error(plans).into_evaluations(plans);
    linear.add_product(&public.uniform, &blind, plans);
    Ok(Ciphertext {
        label: label_of(plaintext, public.id),
        constant,
        linear,
    })
}

/// Decrypts: `c0 + c1 s`.
///
/// # Errors
/// If the ciphertext has other parameters or is under another key.
///
/// # Security
/// The result still holds the error, which leaks the key to whoever gets enough of it (PROTOCOL 5.5).
pub fn decrypt(secret: &SecretKey, ciphertext: &Ciphertext) -> Result<Plaintext, CkksError> {
    let label = &ciphertext.label;
    label.check_key(&secret.context, secret.id)?;
    let plans = label.context.plans(label.level);
    let mut polynomial = RnsPolynomial::product(&ciphertext.linear, &secret.polynomial, plans);
    polynomial.add_assign(&ciphertext.constant, plans);
    Ok(Plaintext {
        context: label.context.clone(),
        level: label.level,
        scale: label.scale,
        polynomial: polynomial.into_coefficients(plans),
    })
}

fn label_of(plaintext: &Plaintext, key: KeyId) -> Label {
    Label {
        context: plaintext.context.clone(),
        key,
        level: plaintext.level,
        scale: plaintext.scale,
    }
}
