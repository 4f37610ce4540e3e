use super::rns::RnsPolynomial;
use super::wire::Reader;
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
    /// The label of what is freshly encrypted.
    pub(super) fn fresh(context: &Context, key: KeyId) -> Self {
        Self {
            context: context.clone(),
            key,
            level: context.top_level(),
            scale: context.fresh_scale(),
        }
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

    /// Checks profile, key and level.
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
}

/// An encryption `(c0, c1)`: `c0 + c1 s` is the plaintext and a small error. Public.
pub struct Ciphertext {
    pub(super) label: Label,
    pub(super) constant: RnsPolynomial,
    pub(super) linear: RnsPolynomial,
}

impl Ciphertext {
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

    /// Whether profile, level and scale are those of a rescaled product of two fresh ciphertexts of `context`: what
    /// a vault asks of a ciphertext whose sender stated them.
    pub fn is_product_of_fresh(&self, context: &Context) -> bool {
        self.label.context.profile() == context.profile()
            && self.label.level + 1 == context.top_level()
            && self.label.scale == context.product_scale()
    }

    /// The wire form: the key's id, the level as one byte, the scale as the bits of an `f64`, then the words of both
    /// polynomials, as coefficients, prime after prime.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Label {
            context,
            key,
            level,
            scale,
        } = &self.label;
        let mut bytes = Vec::with_capacity(context.ciphertext_bytes(*level));
        bytes.extend_from_slice(&key.0);
        bytes.push(u8::try_from(*level).expect("a profile has few levels"));
        bytes.extend_from_slice(&scale.to_le_bytes());
        self.constant.write(context.plans(*level), &mut bytes);
        self.linear.write(context.plans(*level), &mut bytes);
        bytes
    }

    /// Reads the wire form. The level and the scale are those that the sender states: check them, for instance with
    /// [`is_product_of_fresh`](Self::is_product_of_fresh).
    ///
    /// # Errors
    /// If the level is not one of the profile, the length not that of the level, the scale outside what the level
    /// can hold, or a word not below its prime.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self, CkksError> {
        // Too few bytes to hold a level are refused by their length.
        let stated = bytes.get(LEVEL_AT).copied().unwrap_or(0);
        let (level, top) = (usize::from(stated), context.top_level());
        if level > top {
            return Err(CkksError::NoSuchLevel { level: stated, top });
        }
        let mut reader = Reader::new("ciphertext", context.ciphertext_bytes(level), bytes)?;
        let key = reader.key_id();
        let [_level] = reader.array();
        let scale = f64::from_le_bytes(reader.array());
        context.check_scale(scale, level)?;
        Ok(Self {
            label: Label {
                context: context.clone(),
                key,
                level,
                scale,
            },
            constant: reader.polynomial(context.plans(level))?,
            linear: reader.polynomial(context.plans(level))?,
        })
    }
}

/// A fresh encryption whose second polynomial is still its seed: about half the bytes. Public.
pub struct SeededCiphertext {
    pub(super) context: Context,
    pub(super) key: KeyId,
    pub(super) seed: [u8; 32],
    pub(super) constant: RnsPolynomial,
}

impl SeededCiphertext {
    /// The name of the key it is under.
    pub fn key_id(&self) -> KeyId {
        self.key
    }

    /// The ordinary form, at the top level and the scale of the profile.
    pub fn expand(&self) -> Ciphertext {
        let plans = self.context.plans(self.context.top_level());
        Ciphertext {
            label: Label::fresh(&self.context, self.key),
            constant: self.constant.duplicate(),
            linear: RnsPolynomial::from_seed(self.seed, plans),
        }
    }

    /// The wire form: the key's id, the seed of 32 bytes, then the words of the first polynomial, as coefficients,
    /// prime after prime.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.context.seeded_ciphertext_bytes());
        bytes.extend_from_slice(&self.key.0);
        bytes.extend_from_slice(&self.seed);
        let plans = self.context.plans(self.context.top_level());
        self.constant.write(plans, &mut bytes);
        bytes
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is not the profile's, or a word is not below its prime.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self, CkksError> {
        let expected = context.seeded_ciphertext_bytes();
        let mut reader = Reader::new("seeded ciphertext", expected, bytes)?;
        Ok(Self {
            context: context.clone(),
            key: reader.key_id(),
            seed: reader.array(),
            constant: reader.polynomial(context.plans(context.top_level()))?,
        })
    }
}

/// A product that was not yet relinearised, `(d0, d1, d2)`: `d0 + d1 s + d2 s^2` is the plaintext and a small error.
pub struct QuadraticCiphertext {
    pub(super) label: Label,
    pub(super) constant: RnsPolynomial,
    pub(super) linear: RnsPolynomial,
    pub(super) quadratic: RnsPolynomial,
}

const LEVEL_AT: usize = 16;
