use rand_core::CryptoRng;

use super::{KeyId, SecretKey};
use crate::ckks::coins::{SecretCoins, public_seed};
use crate::ckks::rns::RnsPolynomial;
use crate::ckks::wire::{HEADER_BYTES, Kind, Reader, Writer, polynomial_bytes};
use crate::ckks::{CkksError, Context};

/// What anyone can encrypt with: `(-a s + e, a)`. Public.
///
/// Encryption needs it modulo the data primes only; it is kept modulo the special prime too, because files of SEAL
/// hold it so.
///
/// ```
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// let sent = PublicKey::generate(&secret, &mut rng).to_bytes();
/// assert_eq!(sent.len(), PublicKey::seeded_bytes(&context));
///
/// // Anyone encrypts, only the owner decrypts.
/// let public = PublicKey::from_bytes(&context, &sent)?;
/// let ciphertext = encrypt(&public, &context.encode(&[2.5])?, &mut rng)?;
/// let values = context.decode(&decrypt(&secret, &ciphertext)?)?;
/// assert!((values[0] - 2.5).abs() < 1e-7);
/// # Ok::<(), CkksError>(())
/// ```
pub struct PublicKey {
    pub(in crate::ckks) context: Context,
    pub(in crate::ckks) id: KeyId,
    /// What `uniform` was made of, if it was made of a seed of ours.
    pub(in crate::ckks) seed: Option<[u8; 32]>,
    pub(in crate::ckks) masked: RnsPolynomial,
    pub(in crate::ckks) uniform: RnsPolynomial,
}

impl PublicKey {
    /// Makes a public key of a secret key, with a fresh seed and a fresh error.
    pub fn generate(secret: &SecretKey, rng: &mut impl CryptoRng) -> Self {
        let plans = secret.context.key_plans();
        let seed = public_seed(rng);
        let uniform = RnsPolynomial::from_seed(&seed, plans);
        let masked = secret.mask(&uniform, plans, &mut SecretCoins::draw(rng));
        Self::from_parts(&secret.context, secret.id, Some(seed), masked, uniform)
    }

    /// Takes the evaluations of `-a s + e` and of `a` ([raw parts](crate::ckks#8-raw-parts)) modulo all data primes and the special
    /// prime.
    ///
    /// # Errors
    /// If there are more or fewer words than the parameters have, or one is not below its prime.
    pub fn from_evaluations(
        context: &Context,
        key: KeyId,
        [masked, uniform]: [Vec<u64>; 2],
    ) -> Result<Self, CkksError> {
        let plans = context.key_plans();
        let masked = RnsPolynomial::from_evaluations(PUBLIC_KEY, masked, plans)?;
        let uniform = RnsPolynomial::from_evaluations(PUBLIC_KEY, uniform, plans)?;
        Ok(Self::from_parts(context, key, None, masked, uniform))
    }

    /// The evaluations of `-a s + e` and of `a` ([raw parts](crate::ckks#8-raw-parts)).
    pub fn evaluations(&self) -> [&[u64]; 2] {
        [self.masked.evaluations(), self.uniform.evaluations()]
    }

    /// The context it is of.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The same key under another name, for keys that have no name where they come from.
    pub fn with_key_id(self, key: KeyId) -> Self {
        Self { id: key, ..self }
    }

    /// Takes evaluations modulo all data primes and the special prime.
    pub(in crate::ckks) fn from_parts(
        context: &Context,
        id: KeyId,
        seed: Option<[u8; 32]>,
        masked: RnsPolynomial,
        uniform: RnsPolynomial,
    ) -> Self {
        let rows = context.key_plans().len();
        assert_eq!([masked.len(), uniform.len()], [rows; 2], "a row a prime");
        Self {
            context: context.clone(),
            id,
            seed,
            masked,
            uniform,
        }
    }

    /// The name of the key it belongs to.
    pub fn key_id(&self) -> KeyId {
        self.id
    }

    /// The wire form: the key's id, then the seed of the uniform polynomial and the masked polynomial; or, if there is
    /// no seed, both polynomials.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plans = self.context.key_plans();
        let one = polynomial_bytes(plans);
        let writer = match &self.seed {
            Some(seed) => Writer::new(Kind::SeededPublicKey, self.id, seed.len() + one).bytes(seed),
            None => Writer::new(Kind::PublicKey, self.id, 2 * one).polynomial(&self.uniform, plans),
        };
        writer.polynomial(&self.masked, plans).finish()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If version, kind or length are not those of a public key of the parameters, or a word is not below its prime.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self, CkksError> {
        let kinds = [Kind::SeededPublicKey, Kind::PublicKey];
        let (mut reader, kind) = Reader::new(PUBLIC_KEY, &kinds, bytes)?;
        let id = reader.key_id()?;
        let plans = context.key_plans();
        let one = polynomial_bytes(plans);
        let (seed, uniform) = if kind == Kind::SeededPublicKey {
            let seed = reader.array()?;
            reader.expect_rest(one)?;
            (Some(seed), RnsPolynomial::from_seed(&seed, plans))
        } else {
            reader.expect_rest(2 * one)?;
            (None, reader.polynomial(plans)?)
        };
        let masked = reader.polynomial(plans)?;
        Ok(Self::from_parts(context, id, seed, masked, uniform))
    }

    /// The length of the wire form of a key that was made of a seed, in bytes.
    pub fn seeded_bytes(context: &Context) -> usize {
        HEADER_BYTES + 32 + polynomial_bytes(context.key_plans())
    }
}

const PUBLIC_KEY: &str = "public key";
