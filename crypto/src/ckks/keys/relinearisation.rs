use rand_core::CryptoRng;

use super::{KeyId, SecretKey};
use crate::ckks::coins::{SecretCoins, public_seed};
use crate::ckks::rns::RnsPolynomial;
use crate::ckks::wire::{HEADER_BYTES, Kind, Reader, Writer, polynomial_bytes};
use crate::ckks::{CkksError, Context};
use crate::ring::row;

/// What turns a product back into an ordinary ciphertext. Public.
///
/// One digit for each data prime d: `(-a_d s + e_d + P s^2 on prime d only, a_d)` modulo Q P (PROTOCOL 5.4).
///
/// ```
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// // Once for each key, to whoever is to multiply.
/// let sent = RelinearisationKey::generate(&secret, &mut rng).to_bytes();
/// assert_eq!(sent.len(), RelinearisationKey::seeded_bytes(&context));
/// let key = RelinearisationKey::from_bytes(&context, &sent)?;
/// assert_eq!(key.key_id(), secret.id());
/// # Ok::<(), CkksError>(())
/// ```
pub struct RelinearisationKey {
    pub(in crate::ckks) context: Context,
    pub(in crate::ckks) id: KeyId,
    pub(in crate::ckks) digits: Vec<Digit>,
}

/// The part of a key that belongs to one data prime: evaluations modulo all data primes and the special prime.
pub(in crate::ckks) struct Digit {
    /// What `uniform` was made of, if it was made of a seed of ours.
    pub(in crate::ckks) seed: Option<[u8; 32]>,
    pub(in crate::ckks) masked: RnsPolynomial,
    pub(in crate::ckks) uniform: RnsPolynomial,
}

impl RelinearisationKey {
    /// Makes a relinearisation key of a secret key, with a fresh seed and a fresh error in each digit.
    pub fn generate(secret: &SecretKey, rng: &mut impl CryptoRng) -> Self {
        let context = &secret.context;
        let plans = context.key_plans();
        let special_prime = context.parameters().special_prime();
        let square = RnsPolynomial::product(&secret.polynomial, &secret.polynomial, plans);
        let digit = |prime: usize| {
            let modulus = plans[prime].modulus();
            let seed = public_seed(rng);
            let uniform = RnsPolynomial::from_seed(&seed, plans);
            let mut masked = secret.mask(&uniform, plans, &mut SecretCoins::draw(rng));
            let factor = modulus.multiplier(special_prime);
            row::add_scaled(masked.row_mut(prime), square.row(prime), factor);
            Digit {
                seed: Some(seed),
                masked,
                uniform,
            }
        };
        let digits = (0..=context.top_level()).map(digit).collect();
        Self::from_parts(context, secret.id, digits)
    }

    /// Takes, for each data prime, the evaluations of its digit's masked and of its uniform polynomial
    /// ([raw parts](crate::ckks#8-raw-parts)) modulo all data primes and the special prime.
    ///
    /// # Errors
    /// If there are more or fewer digits, or words of one, than the parameters have, or a word is not below its prime.
    pub fn from_evaluations(
        context: &Context,
        key: KeyId,
        digits: Vec<[Vec<u64>; 2]>,
    ) -> Result<Self, CkksError> {
        let plans = context.key_plans();
        let expected = 2 * (context.top_level() + 1) * plans.len() * context.degree();
        let found = digits.iter().flatten().map(Vec::len).sum();
        if digits.len() != context.top_level() + 1 || found != expected {
            return Err(CkksError::Words {
                what: RELINEARISATION_KEY,
                expected,
                found,
            });
        }
        let digits = digits.into_iter().map(|[masked, uniform]| {
            Ok(Digit {
                seed: None,
                masked: RnsPolynomial::from_evaluations(RELINEARISATION_KEY, masked, plans)?,
                uniform: RnsPolynomial::from_evaluations(RELINEARISATION_KEY, uniform, plans)?,
            })
        });
        let digits = digits.collect::<Result<_, CkksError>>()?;
        Ok(Self::from_parts(context, key, digits))
    }

    /// For each data prime the evaluations of its digit's masked and of its uniform polynomial
    /// ([raw parts](crate::ckks#8-raw-parts)).
    pub fn evaluations(&self) -> impl ExactSizeIterator<Item = [&[u64]; 2]> {
        let digits = self.digits.iter();
        digits.map(|digit| [digit.masked.evaluations(), digit.uniform.evaluations()])
    }

    /// The context it is of.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Takes a digit for each data prime.
    pub(in crate::ckks) fn from_parts(context: &Context, id: KeyId, digits: Vec<Digit>) -> Self {
        let rows = context.key_plans().len();
        assert_eq!(
            digits.len(),
            context.top_level() + 1,
            "a digit for each data prime"
        );
        for digit in &digits {
            assert_eq!(
                [digit.masked.len(), digit.uniform.len()],
                [rows; 2],
                "a row a prime"
            );
        }
        Self {
            context: context.clone(),
            id,
            digits,
        }
    }

    /// The name of the key it belongs to.
    pub fn key_id(&self) -> KeyId {
        self.id
    }

    /// The wire form: the key's id, then for each digit the seed of its uniform polynomial and its masked polynomial; or,
    /// if a digit has no seed, for each both polynomials.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plans = self.context.key_plans();
        let (count, one) = (self.digits.len(), polynomial_bytes(plans));
        let seeds: Option<Vec<_>> = self.digits.iter().map(|digit| digit.seed).collect();
        let writer = match seeds {
            Some(seeds) => {
                let start =
                    Writer::new(Kind::SeededRelinearisationKey, self.id, count * (32 + one));
                let parts = seeds.iter().zip(&self.digits);
                parts.fold(start, |writer, (seed, digit)| {
                    writer.bytes(seed).polynomial(&digit.masked, plans)
                })
            }
            None => {
                let start = Writer::new(Kind::RelinearisationKey, self.id, 2 * count * one);
                self.digits.iter().fold(start, |writer, digit| {
                    let writer = writer.polynomial(&digit.uniform, plans);
                    writer.polynomial(&digit.masked, plans)
                })
            }
        };
        writer.finish()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If version, kind or length are not those of a relinearisation key of the parameters, or a word is not below its
    /// prime.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self, CkksError> {
        let kinds = [Kind::SeededRelinearisationKey, Kind::RelinearisationKey];
        let (mut reader, kind) = Reader::new(RELINEARISATION_KEY, &kinds, bytes)?;
        let id = reader.key_id()?;
        let plans = context.key_plans();
        let (count, one) = (context.top_level() + 1, polynomial_bytes(plans));
        let seeded = kind == Kind::SeededRelinearisationKey;
        reader.expect_rest(count * if seeded { 32 + one } else { 2 * one })?;
        let digits = (0..count).map(|_| {
            let (seed, uniform) = if seeded {
                let seed = reader.array()?;
                (Some(seed), RnsPolynomial::from_seed(&seed, plans))
            } else {
                (None, reader.polynomial(plans)?)
            };
            Ok(Digit {
                seed,
                uniform,
                masked: reader.polynomial(plans)?,
            })
        });
        let digits = digits.collect::<Result<_, CkksError>>()?;
        Ok(Self::from_parts(context, id, digits))
    }

    /// The length of the wire form of a key that was made of seeds, in bytes.
    pub fn seeded_bytes(context: &Context) -> usize {
        let digits = context.top_level() + 1;
        HEADER_BYTES + digits * (32 + polynomial_bytes(context.key_plans()))
    }
}

const RELINEARISATION_KEY: &str = "relinearisation key";
