use thiserror::Error;

use super::{KeyId, Profile};

/// Why an operation of CKKS is refused.
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
    #[error("parameters of profile {left} and of profile {right} together")]
    Profile {
        /// One operand's profile.
        left: Profile,
        /// The other's.
        right: Profile,
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
    #[error("{values} values for 4096 slots")]
    TooManyValues {
        /// The number given.
        values: usize,
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
    /// A level that the profile does not have.
    #[error("level {level} of a ciphertext, where at most {top} is possible")]
    NoSuchLevel {
        /// The level found.
        level: u8,
        /// The highest level of the profile.
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
