use rand_core::CryptoRng;

use super::ciphertext::Label;
use super::keys::{SecretCoins, public_seed};
use super::rns::RnsPolynomial;
use super::{Ciphertext, CkksError, Context, Plaintext, PublicKey, SecretKey, SeededCiphertext};

/// Encrypts with the secret key: `(-a s + e + m, a)`, a from a fresh public seed.
///
/// # Errors
/// If profiles differ, or the plaintext is not at the top level and the scale of the profile.
pub fn encrypt_symmetric(
    context: &Context,
    secret: &SecretKey,
    plaintext: &Plaintext,
    rng: &mut impl CryptoRng,
) -> Result<SeededCiphertext, CkksError> {
    context.check_same(&secret.context)?;
    check_fresh(context, plaintext)?;
    let plans = context.plans(context.top_level());
    let seed = public_seed(rng);
    let mut constant = secret.mask(seed, plans, &mut SecretCoins::draw(rng));
    constant.add_assign(&plaintext.polynomial, plans);
    Ok(SeededCiphertext {
        context: context.clone(),
        key: secret.id,
        seed,
        constant,
    })
}

/// Encrypts with the public key: `(b v + e0 + m, a v + e1)`, v ternary.
///
/// # Errors
/// If profiles differ, or the plaintext is not at the top level and the scale of the profile.
pub fn encrypt(
    public: &PublicKey,
    plaintext: &Plaintext,
    rng: &mut impl CryptoRng,
) -> Result<Ciphertext, CkksError> {
    let context = &public.context;
    check_fresh(context, plaintext)?;
    let plans = context.plans(context.top_level());
    let mut coins = SecretCoins::draw(rng);
    let blind = coins.ternary(plans);
    let mut constant = coins.error(plans);
    constant.add_product(&public.masked, &blind, plans);
    constant.add_assign(&plaintext.polynomial, plans);
    let mut linear = coins.error(plans);
    linear.add_product(&public.uniform, &blind, plans);
    Ok(Ciphertext {
        label: Label::fresh(context, public.id),
        constant,
        linear,
    })
}

/// Decrypts: `c0 + c1 s`.
///
/// # Errors
/// If the ciphertext is of another profile or under another key.
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
        polynomial,
    })
}

fn check_fresh(context: &Context, plaintext: &Plaintext) -> Result<(), CkksError> {
    context.check_same(&plaintext.context)?;
    if plaintext.level != context.top_level() {
        return Err(CkksError::Level {
            left: plaintext.level,
            right: context.top_level(),
        });
    }
    if plaintext.scale != context.fresh_scale() {
        return Err(CkksError::Scale {
            left: plaintext.scale,
            right: context.fresh_scale(),
        });
    }
    Ok(())
}
