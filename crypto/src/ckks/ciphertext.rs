use super::rns::RnsPolynomial;
use super::wire::{HEADER_BYTES, Kind, Reader, Writer, polynomial_bytes};
use super::{CkksError, Context, KeyId};

/// What two ciphertexts must have in common, or be told apart by.
#[derive(Clone)]
pub(super) struct Label {
    pub(super) context: Context,
    pub(super) key: KeyId,
    pub(super) level: usize,
    pub(super) scale: f64,
}

impl Label {
    fn new(context: &Context, key: KeyId, level: usize, scale: f64) -> Result<Self, CkksError> {
        let label = Self {
            context: context.clone(),
            key,
            level,
            scale,
        };
        label.check()?;
        Ok(label)
    }

    pub(super) fn check_key(&self, context: &Context, key: KeyId) -> Result<(), CkksError> {
        self.context.check_same(context)?;
        if self.key == key {
            Ok(())
        } else {
            Err(CkksError::Key {
                left: self.key,
                right: key,
            })
        }
    }

    /// Checks parameters, key and level.
    pub(super) fn check_operand(&self, other: &Self) -> Result<(), CkksError> {
        self.check_key(&other.context, other.key)?;
        if self.level == other.level {
            Ok(())
        } else {
            Err(CkksError::Level {
                left: self.level,
                right: other.level,
            })
        }
    }

    /// The part of the wire form that only ciphertexts have: the level as one byte and the bits of the scale.
    fn start(&self, kind: Kind, rest: usize) -> Writer {
        let level = u8::try_from(self.level).expect("parameters have few levels");
        Writer::new(kind, self.key, LEVEL_AND_SCALE_BYTES + rest)
            .bytes(&[level])
            .bytes(&self.scale.to_le_bytes())
    }

    fn read(context: &Context, reader: &mut Reader<'_>) -> Result<Self, CkksError> {
        let key = reader.key_id()?;
        let [level] = reader.array()?;
        let scale = f64::from_le_bytes(reader.array()?);
        Self::new(context, key, level.into(), scale)
    }

    /// Checks that there is such a level and that it can hold the scale.
    fn check(&self) -> Result<(), CkksError> {
        self.context.check_level(self.level)?;
        self.context.check_scale(self.scale, self.level)
    }
}

/// An encryption `(c0, c1)`: `c0 + c1 s` is the plaintext and a small error. Public.
///
/// ```
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// # let key = RelinearisationKey::generate(&secret, &mut rng);
/// # let fresh = encrypt_symmetric(&secret, &context.encode(&[1.5])?, &mut rng)?.expand();
/// # let product = Evaluator::new(&context).multiply_relinearise_rescale(&fresh, &fresh, &key)?;
/// let bytes = product.to_bytes();
/// assert_eq!(bytes.len(), Ciphertext::bytes(&context, 0));
///
/// // What comes back from an untrusted party says what it is: that is checked before it is decrypted.
/// let received = Ciphertext::from_bytes(&context, &bytes)?;
/// assert!(received.is_product_of_fresh(&context) && received.key_id() == secret.id());
/// let values = context.decode(&decrypt(&secret, &received)?)?;
/// assert!((values[0] - 2.25).abs() < 1e-9);
///
/// // And bytes that are no ciphertext are refused with the reason.
/// let refused = Ciphertext::from_bytes(&context, &bytes[..100]).err();
/// assert!(matches!(refused, Some(CkksError::Length { found: 100, .. })));
/// # Ok::<(), CkksError>(())
/// ```
pub struct Ciphertext {
    pub(super) label: Label,
    /// Modulo the primes of the level.
    pub(super) constant: RnsPolynomial,
    /// Modulo the primes of the level.
    pub(super) linear: RnsPolynomial,
}

impl Ciphertext {
    /// Takes the evaluations of `c0` and `c1` ([raw parts](crate::ckks#8-raw-parts)) modulo the primes of a level.
    ///
    /// # Errors
    /// If there is no such level, the level cannot hold the scale, there are more or fewer words than the level has, or one is not
    /// below its prime.
    pub fn from_evaluations(
        context: &Context,
        key: KeyId,
        level: usize,
        scale: f64,
        [constant, linear]: [Vec<u64>; 2],
    ) -> Result<Self, CkksError> {
        let label = Label::new(context, key, level, scale)?;
        let plans = context.plans(level);
        Ok(Self {
            constant: RnsPolynomial::from_evaluations(CIPHERTEXT, constant, plans)?,
            linear: RnsPolynomial::from_evaluations(CIPHERTEXT, linear, plans)?,
            label,
        })
    }

    /// The evaluations of `c0` and `c1` ([raw parts](crate::ckks#8-raw-parts)).
    pub fn evaluations(&self) -> [&[u64]; 2] {
        [self.constant.evaluations(), self.linear.evaluations()]
    }

    /// The context it is of.
    pub fn context(&self) -> &Context {
        &self.label.context
    }

    /// The number of rescales that are left.
    pub fn level(&self) -> usize {
        self.label.level
    }

    /// The exact scale.
    pub fn scale(&self) -> f64 {
        self.label.scale
    }

    /// The name of the key it is under.
    pub fn key_id(&self) -> KeyId {
        self.label.key
    }

    /// Whether parameters, level and scale are those of a rescaled product of two fresh ciphertexts of `context`: what
    /// a vault asks of a ciphertext whose sender stated them.
    pub fn is_product_of_fresh(&self, context: &Context) -> bool {
        self.label.context.check_same(context).is_ok()
            && self.label.level + 1 == context.top_level()
            && self.label.scale == context.product_scale()
    }

    /// The wire form: the key's id, the level as one byte, the bits of the scale as an `f64`, both polynomials.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plans = self.label.context.plans(self.label.level);
        (self.label)
            .start(Kind::Ciphertext, 2 * polynomial_bytes(plans))
            .polynomial(&self.constant, plans)
            .polynomial(&self.linear, plans)
            .finish()
    }

    /// Reads the wire form. The level and the scale are those that the sender states: check them, for instance with
    /// [`is_product_of_fresh`](Self::is_product_of_fresh).
    ///
    /// # Errors
    /// If version, kind, level or length are not those of a ciphertext of the parameters, the scale is not one that the
    /// level can hold, or a word is not below its prime.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self, CkksError> {
        let (mut reader, _) = Reader::new(CIPHERTEXT, &[Kind::Ciphertext], bytes)?;
        let label = Label::read(context, &mut reader)?;
        let plans = context.plans(label.level);
        reader.expect_rest(2 * polynomial_bytes(plans))?;
        Ok(Self {
            label,
            constant: reader.polynomial(plans)?,
            linear: reader.polynomial(plans)?,
        })
    }

    /// The length of the wire form at a level, in bytes.
    ///
    /// # Panics
    /// If the parameters have no such level.
    pub fn bytes(context: &Context, level: usize) -> usize {
        HEADER_BYTES + LEVEL_AND_SCALE_BYTES + 2 * polynomial_bytes(context.plans(level))
    }
}

/// A fresh encryption whose second polynomial is still its seed: half the bytes. Public.
///
/// ```
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// let sent = encrypt_symmetric(&secret, &context.encode(&[1.5])?, &mut rng)?.to_bytes();
/// assert_eq!(sent.len(), SeededCiphertext::bytes(&context, 1));
/// let ciphertext = SeededCiphertext::from_bytes(&context, &sent)?.expand();
/// assert!(ciphertext.to_bytes().len() > 2 * sent.len() - 100);
/// # Ok::<(), CkksError>(())
/// ```
pub struct SeededCiphertext {
    pub(super) label: Label,
    pub(super) seed: [u8; 32],
    pub(super) constant: RnsPolynomial,
}

impl SeededCiphertext {
    /// The number of rescales that are left.
    pub fn level(&self) -> usize {
        self.label.level
    }

    /// The exact scale.
    pub fn scale(&self) -> f64 {
        self.label.scale
    }

    /// The name of the key it is under.
    pub fn key_id(&self) -> KeyId {
        self.label.key
    }

    /// The ordinary form.
    pub fn expand(&self) -> Ciphertext {
        let plans = self.label.context.plans(self.label.level);
        Ciphertext {
            label: self.label.clone(),
            constant: self.constant.duplicate(),
            linear: RnsPolynomial::from_seed(&self.seed, plans),
        }
    }

    /// The wire form: the key's id, the level as one byte, the bits of the scale as an `f64`, the seed of 32 bytes, the
    /// first polynomial.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plans = self.label.context.plans(self.label.level);
        (self.label)
            .start(Kind::SeededCiphertext, 32 + polynomial_bytes(plans))
            .bytes(&self.seed)
            .polynomial(&self.constant, plans)
            .finish()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// As [`Ciphertext::from_bytes`].
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self, CkksError> {
        let (mut reader, _) = Reader::new("seeded ciphertext", &[Kind::SeededCiphertext], bytes)?;
        let label = Label::read(context, &mut reader)?;
        let plans = context.plans(label.level);
        let seed = reader.array()?;
        reader.expect_rest(polynomial_bytes(plans))?;
        Ok(Self {
            label,
            seed,
            constant: reader.polynomial(plans)?,
        })
    }

    /// The length of the wire form at a level, in bytes.
    ///
    /// # Panics
    /// If the parameters have no such level.
    pub fn bytes(context: &Context, level: usize) -> usize {
        HEADER_BYTES + LEVEL_AND_SCALE_BYTES + 32 + polynomial_bytes(context.plans(level))
    }
}

/// A product that was not yet relinearised, `(d0, d1, d2)`: `d0 + d1 s + d2 s^2` is the plaintext and a small error.
/// Public.
///
/// ```
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// # let key = RelinearisationKey::generate(&secret, &mut rng);
/// # let fresh = encrypt_symmetric(&secret, &context.encode(&[1.5])?, &mut rng)?.expand();
/// let mut evaluator = Evaluator::new(&context);
/// let product: QuadraticCiphertext = evaluator.multiply(&fresh, &fresh)?;
/// assert_eq!((product.level(), product.scale()), (1, 2_f64.powi(90)));
/// let ordinary: Ciphertext = evaluator.relinearise(&product, &key)?;
/// assert_eq!(ordinary.scale(), product.scale());
/// # Ok::<(), CkksError>(())
/// ```
///
/// To decrypt it, or to multiply it again, does not compile:
/// ```compile_fail
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// let fresh = encrypt_symmetric(&secret, &context.encode(&[1.5])?, &mut rng)?.expand();
/// let product = Evaluator::new(&context).multiply(&fresh, &fresh)?;
/// let values = decrypt(&secret, &product)?;
/// # Ok::<(), CkksError>(())
/// ```
pub struct QuadraticCiphertext {
    pub(super) label: Label,
    pub(super) constant: RnsPolynomial,
    pub(super) linear: RnsPolynomial,
    pub(super) quadratic: RnsPolynomial,
}

impl QuadraticCiphertext {
    /// Takes evaluations modulo the primes of a level.
    ///
    /// # Errors
    /// If there is no such level, or the level cannot hold the scale.
    pub(super) fn from_parts(
        label: Label,
        constant: RnsPolynomial,
        linear: RnsPolynomial,
        quadratic: RnsPolynomial,
    ) -> Result<Self, CkksError> {
        label.check()?;
        let rows = label.level + 1;
        let found = [constant.len(), linear.len(), quadratic.len()];
        assert_eq!(found, [rows; 3], "a row a prime");
        Ok(Self {
            label,
            constant,
            linear,
            quadratic,
        })
    }

    /// Takes the evaluations of `d0`, `d1` and `d2` ([raw parts](crate::ckks#8-raw-parts)) modulo the primes of a level.
    ///
    /// # Errors
    /// As [`Ciphertext::from_evaluations`].
    pub fn from_evaluations(
        context: &Context,
        key: KeyId,
        level: usize,
        scale: f64,
        [constant, linear, quadratic]: [Vec<u64>; 3],
    ) -> Result<Self, CkksError> {
        let label = Label::new(context, key, level, scale)?;
        let plans = context.plans(level);
        Ok(Self {
            constant: RnsPolynomial::from_evaluations(QUADRATIC, constant, plans)?,
            linear: RnsPolynomial::from_evaluations(QUADRATIC, linear, plans)?,
            quadratic: RnsPolynomial::from_evaluations(QUADRATIC, quadratic, plans)?,
            label,
        })
    }

    /// The evaluations of `d0`, `d1` and `d2` ([raw parts](crate::ckks#8-raw-parts)).
    pub fn evaluations(&self) -> [&[u64]; 3] {
        [&self.constant, &self.linear, &self.quadratic].map(RnsPolynomial::evaluations)
    }

    /// The context it is of.
    pub fn context(&self) -> &Context {
        &self.label.context
    }

    /// The number of rescales that are left.
    pub fn level(&self) -> usize {
        self.label.level
    }

    /// The exact scale.
    pub fn scale(&self) -> f64 {
        self.label.scale
    }

    /// The name of the key it is under.
    pub fn key_id(&self) -> KeyId {
        self.label.key
    }
}

const CIPHERTEXT: &str = "ciphertext";
const QUADRATIC: &str = "ciphertext of three polynomials";

const LEVEL_AND_SCALE_BYTES: usize = 1 + 8;
