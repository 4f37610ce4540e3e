use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::rns::RnsPolynomial;
use super::wire::{Reader, SEED_BYTES};
use super::{CkksError, Context, DEGREE};
use crate::hash::SecretKey32;
use crate::ring::{NttPlan, Prg, centred_binomial, ternary};

/// The public name of a secret key: 16 random bytes. All that belongs to the key carries it, so that what is under
/// two keys is refused instead of giving noise. It guards against mix-ups, not against forgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(pub(super) [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A ternary secret. Erased when dropped.
pub struct SecretKey {
    pub(super) context: Context,
    pub(super) id: KeyId,
    /// Modulo all data primes and the special prime.
    pub(super) polynomial: RnsPolynomial,
}

impl SecretKey {
    /// Draws a key.
    pub fn generate(context: &Context, rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let coefficients = ternary(&mut SecretCoins::draw(rng).0, DEGREE);
        Self {
            context: context.clone(),
            id: KeyId(id),
            polynomial: RnsPolynomial::from_small(&coefficients, context.key_plans()),
        }
    }

    /// The key's public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// `-a s + e` for the public polynomial of a seed, modulo the primes of `plans`.
    pub(super) fn mask(
        &self,
        seed: [u8; 32],
        plans: &[NttPlan],
        coins: &mut SecretCoins,
    ) -> RnsPolynomial {
        let mut masked = coins.error(plans);
        let uniform = RnsPolynomial::from_seed(seed, plans);
        masked.subtract_assign(
            &RnsPolynomial::product(&uniform, &self.polynomial, plans),
            plans,
        );
        masked
    }
}

/// What anyone can encrypt with: `(-a s + e, a)`.
pub struct PublicKey {
    pub(super) context: Context,
    pub(super) id: KeyId,
    pub(super) masked: RnsPolynomial,
    pub(super) uniform: RnsPolynomial,
}

impl PublicKey {
    /// Makes the public key of a secret key.
    pub fn generate(secret: &SecretKey, rng: &mut impl CryptoRng) -> Self {
        let plans = secret.context.plans(secret.context.top_level());
        let seed = public_seed(rng);
        Self {
            context: secret.context.clone(),
            id: secret.id,
            masked: secret.mask(seed, plans, &mut SecretCoins::draw(rng)),
            uniform: RnsPolynomial::from_seed(seed, plans),
        }
    }

    /// The name of the key it belongs to.
    pub fn key_id(&self) -> KeyId {
        self.id
    }
}

/// What turns a product back into an ordinary ciphertext. Public.
///
/// One digit for each data prime d: `(-a_d s + e_d + P s^2 on prime d only, a_d)` modulo Q P (PROTOCOL 5.4).
pub struct RelinearisationKey {
    pub(super) context: Context,
    pub(super) id: KeyId,
    pub(super) digits: Vec<Digit>,
}

pub(super) struct Digit {
    seed: [u8; 32],
    pub(super) masked: RnsPolynomial,
    pub(super) uniform: RnsPolynomial,
}

impl RelinearisationKey {
    /// Makes a relinearisation key of a secret key, with a fresh seed and fresh errors in each digit.
    pub fn generate(secret: &SecretKey, rng: &mut impl CryptoRng) -> Self {
        let context = &secret.context;
        let plans = context.key_plans();
        let special_prime = context.special_plan().modulus().value();
        let square = RnsPolynomial::product(&secret.polynomial, &secret.polynomial, plans);
        let digit = |(prime, mut square): (usize, crate::ring::Evaluations)| {
            let modulus = plans[prime].modulus();
            let seed = public_seed(rng);
            let mut masked = secret.mask(seed, plans, &mut SecretCoins::draw(rng));
            square.scale(special_prime, modulus);
            masked.0[prime].add_assign(&square, modulus);
            Digit::new(seed, masked, plans)
        };
        let mut squares = square.0;
        squares.pop().expect("a residue for the special prime");
        Self {
            context: context.clone(),
            id: secret.id,
            digits: squares.into_iter().enumerate().map(digit).collect(),
        }
    }

    /// The name of the key it belongs to.
    pub fn key_id(&self) -> KeyId {
        self.id
    }

    /// The wire form: the key's id, then for each digit its seed of 32 bytes and the words of its first polynomial, as
    /// coefficients, for each data prime and the special prime.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.context.relinearisation_key_bytes());
        bytes.extend_from_slice(&self.id.0);
        for digit in &self.digits {
            bytes.extend_from_slice(&digit.seed);
            digit.masked.write(self.context.key_plans(), &mut bytes);
        }
        bytes
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is not the profile's, or a word is not below its prime.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self, CkksError> {
        let expected = context.relinearisation_key_bytes();
        let mut reader = Reader::new("relinearisation key", expected, bytes)?;
        let id = reader.key_id();
        let plans = context.key_plans();
        let digits = (0..=context.top_level()).map(|_| {
            let seed = reader.array();
            Ok(Digit::new(seed, reader.polynomial(plans)?, plans))
        });
        Ok(Self {
            context: context.clone(),
            id,
            digits: digits.collect::<Result<_, CkksError>>()?,
        })
    }
}

impl Digit {
    fn new(seed: [u8; 32], masked: RnsPolynomial, plans: &[NttPlan]) -> Self {
        Self {
            seed,
            masked,
            uniform: RnsPolynomial::from_seed(seed, plans),
        }
    }
}

/// The stream that secrets and errors come from: its key is drawn for one use, never sent, and independent of every
/// public seed.
pub(super) struct SecretCoins(pub(super) Prg);

impl SecretCoins {
    pub(super) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; SEED_BYTES]);
        rng.fill_bytes(&mut *key);
        Self(Prg::new(&SecretKey32::from_bytes(*key), 0))
    }

    /// A fresh error polynomial.
    pub(super) fn error(&mut self, plans: &[NttPlan]) -> RnsPolynomial {
        let coefficients = centred_binomial(&mut self.0, ERROR_HALF_WIDTH, DEGREE);
        RnsPolynomial::from_small(&coefficients, plans)
    }

    /// A fresh ternary polynomial.
    pub(super) fn ternary(&mut self, plans: &[NttPlan]) -> RnsPolynomial {
        RnsPolynomial::from_small(&ternary(&mut self.0, DEGREE), plans)
    }
}

pub(super) fn public_seed(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut seed = [0; SEED_BYTES];
    rng.fill_bytes(&mut seed);
    seed
}

/// Errors are centred binomials of 42 coins: standard deviation 3.24.
const ERROR_HALF_WIDTH: u32 = 21;
