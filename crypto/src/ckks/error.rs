use thiserror::Error;

use super::wire::VERSION;
use super::{KeyId, Parameters};

/// Why an operation of CKKS is refused.
///
/// ```
/// use crypto::ckks::{CkksError, Context, Profile};
///
/// let context = Context::new(Profile::Hardened);
/// let refused = context.encode(&[f64::NAN]).err();
/// assert_eq!(refused, Some(CkksError::NotFinite { index: 0 }));
/// let refused = context.encode(&[0.0; 5000]).map(drop).map_err(|error| error.to_string());
/// assert_eq!(refused, Err("5000 values for 4096 slots".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CkksError {
    /// A name that is no profile.
    #[error("unknown profile {name:?}: choose hardened or study")]
    UnknownProfile {
        /// The beginning of the name given.
        name: String,
    },
    /// Two operands have different parameters.
    #[error("{left} and {right} together")]
    Parameters {
        /// One operand's parameters.
        left: Box<Parameters>,
        /// The other's.
        right: Box<Parameters>,
    },
    /// Two operands belong to different keys.
    #[error("something under key {left} and something under key {right} together")]
    Key {
        /// One operand's key.
        left: KeyId,
        /// The other's.
        right: KeyId,
    },
    /// Two operands are at different levels.
    #[error("level {left} and level {right} together")]
    Level {
        /// One operand's level.
        left: usize,
        /// The other's.
        right: usize,
    },
    /// Two operands have different scales.
    #[error("scale {left:e} and scale {right:e} together")]
    Scale {
        /// One operand's scale.
        left: f64,
        /// The other's.
        right: f64,
    },
    /// A scale leaves no precision, or no room below the modulus.
    #[error("scale {scale:e} is not possible at level {level}")]
    ScaleRange {
        /// The scale.
        scale: f64,
        /// The level.
        level: usize,
    },
    /// There is no prime left to drop.
    #[error("nothing is left to rescale by at level 0")]
    LastPrime,
    /// More values than slots.
    #[error("{values} values for {slots} slots")]
    TooManyValues {
        /// The number given.
        values: usize,
        /// The number of slots.
        slots: usize,
    },
    /// A value is infinite or not a number.
    #[error("value {index} is not finite")]
    NotFinite {
        /// The position of the value.
        index: usize,
    },
    /// The scaled values do not fit a coefficient.
    #[error("the values are too large for the scale")]
    TooLarge,
    /// Bytes of a version that is not known.
    #[error("version {found} of a {what}, where {VERSION} is known")]
    Version {
        /// What the bytes stand for.
        what: &'static str,
        /// The version found.
        found: u8,
    },
    /// Bytes of something else.
    #[error("no {what}: its kind is {found}")]
    Kind {
        /// What the bytes were to stand for.
        what: &'static str,
        /// The number of the kind found.
        found: u8,
    },
    /// Bytes of the wrong length.
    #[error("{found} bytes of a {what}, where {expected} are needed")]
    Length {
        /// What the bytes stand for.
        what: &'static str,
        /// The right length.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Another number of words than the parameters ask for.
    #[error("{found} words of a {what}, where {expected} are needed")]
    Words {
        /// What the words stand for.
        what: &'static str,
        /// The right number.
        expected: usize,
        /// The number found.
        found: usize,
    },
    /// A secret key whose coefficients are not all -1, 0 or 1, the same under every prime.
    #[error("the secret key is not a ternary polynomial of these parameters")]
    NotTernary,
    /// A level that the parameters do not have.
    #[error("level {level}, where at most {top} is possible")]
    NoSuchLevel {
        /// The level named.
        level: usize,
        /// The highest level of the parameters.
        top: usize,
    },
    /// A word is not below its prime.
    #[error("word {index} of a {what} is not below its prime")]
    Word {
        /// What the word belongs to.
        what: &'static str,
        /// The position of the word.
        index: usize,
    },
}
