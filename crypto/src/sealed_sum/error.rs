use std::fmt;

use thiserror::Error;

use super::HospitalId;

/// Why a contribution could not be made or accepted.
///
/// ```
/// use crypto::sealed_sum::{FieldFormat, RunningSum, SumError, SumShape};
///
/// let alone = SumShape::new(10, &[3], FieldFormat::TwoBy24, 1).err();
/// assert_eq!(alone, Some(SumError::Joined { joined: 1 }));
///
/// let refused = RunningSum::new(1).add_chunk(0, &[0; 7]).map_err(|error| error.to_string());
/// assert_eq!(refused, Err("7 bytes of chunk, where 32768 are needed".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SumError {
    /// The number of hospitals is outside 2 to 127.
    #[error("a sum of {joined} hospitals, where 2 to 127 are possible")]
    Joined {
        /// The number asked for.
        joined: usize,
    },
    /// A counter has no digits or more than 7, or there is no counter at all.
    #[error("counter {counter} has {digits} digits, where 1 to 7 are possible")]
    CounterDigits {
        /// The position of the counter.
        counter: usize,
        /// Its digits.
        digits: u8,
    },
    /// More values than a header can state.
    #[error("{values} values, where at most 4294967295 are possible")]
    TooManyValues {
        /// The number asked for.
        values: usize,
    },
    /// The message has another number of values than the shape.
    #[error("{found} {what}, where the shape of the sum has {expected}")]
    Count {
        /// What was counted: values, clipped values, opened values or counters.
        what: &'static str,
        /// The number the shape has.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// A value is infinite or not a number.
    #[error("value {index} is not finite")]
    NotFinite {
        /// The position of the value.
        index: usize,
    },
    /// A clip is not a positive number from which a step can be formed.
    #[error("the clip of tensor {tensor} is not a positive normal number")]
    Clip {
        /// The position of the tensor.
        tensor: usize,
    },
    /// The own weight is 0 or above the largest.
    #[error("weight {own} is not in 1 to {largest}")]
    Weight {
        /// The hospital's weight.
        own: u32,
        /// The largest of the run.
        largest: u32,
    },
    /// The weights of the contributors cannot add up to this.
    #[error("{contributors} weights of 1 to {largest} do not add up to {sum}")]
    WeightSum {
        /// The sum given.
        sum: u64,
        /// The number of contributors.
        contributors: usize,
        /// The largest weight of the run.
        largest: u32,
    },
    /// The first counter, "contributions", is not 1.
    #[error("the first counter must be 1, the hospital's own contribution")]
    Contributions,
    /// The threshold is below 2 or above the number of hospitals that receive shares.
    #[error("threshold {threshold} with {joined} hospitals")]
    Threshold {
        /// The threshold asked for.
        threshold: usize,
        /// The number of recipients.
        joined: usize,
    },
    /// A hospital is listed twice.
    #[error("hospital {hospital} is listed twice")]
    Duplicate {
        /// The hospital.
        hospital: HospitalId,
    },
    /// A message that was packed for another shape than the round's.
    #[error("a message of another shape than the sum's")]
    OtherShape,
    /// A shape whose values leave room for the sum of another number of hospitals.
    #[error("a sum among {shape} hospitals, where {joined} have joined")]
    ShapeForOthers {
        /// The number that the shape allows for.
        shape: usize,
        /// The number of recipients.
        joined: usize,
    },
    /// The contributing hospital is not among those that receive shares.
    #[error("hospital {hospital} has not joined")]
    NotJoined {
        /// The hospital.
        hospital: HospitalId,
    },
    /// A byte string has the wrong length.
    #[error("{found} bytes of {what}, where {expected} are needed")]
    Length {
        /// What the bytes stand for.
        what: &'static str,
        /// The right length.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A word is not below its modulus.
    #[error("word {index} of a {what} is not below the modulus")]
    Word {
        /// What the word belongs to.
        what: &'static str,
        /// The position of the word.
        index: usize,
    },
    /// A chunk number beyond the sum.
    #[error("chunk {index} of {chunks}")]
    NoSuchChunk {
        /// The number asked for.
        index: usize,
        /// The chunks there are.
        chunks: usize,
    },
}

/// Why a sum does not open (PROTOCOL 3.7), and whose answers were wrong. It carries no value of the sum.
///
/// ```
/// use crypto::sealed_sum::{HospitalId, OpenError, OpenFault};
///
/// let error = OpenError {
///     fault: OpenFault::Tag,
///     wrong_answers: HospitalId::new(5).into_iter().collect(),
/// };
/// assert_eq!(
///     error.to_string(),
///     "the sum was altered: its integrity tag does not match; wrong unlock shares of hospital 5"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{fault}{}", Named(wrong_answers))]
pub struct OpenError {
    /// What is wrong.
    pub fault: OpenFault,
    /// The hospitals whose unlock shares do not belong to those of the others.
    ///
    /// When the secret fits the sum, which is with every fault of the sum's contents, that is proven. With
    /// [`OpenFault::SecretDoesNotFit`] it holds as long as no more than half of the answers to spare are wrong.
    pub wrong_answers: Vec<HospitalId>,
}

impl<F: Into<OpenFault>> From<F> for OpenError {
    fn from(fault: F) -> Self {
        Self {
            fault: fault.into(),
            wrong_answers: vec![],
        }
    }
}

/// What is wrong with a sum that does not open. No variant carries a value of the sum.
///
/// ```
/// use crypto::sealed_sum::OpenFault;
///
/// /// Whether more answers can help.
/// fn worth_waiting(fault: &OpenFault) -> bool {
///     matches!(fault, OpenFault::TooFewShares { .. } | OpenFault::SecretDoesNotFit { .. })
/// }
/// assert!(worth_waiting(&OpenFault::TooFewShares { found: 6, threshold: 7 }));
/// assert!(!worth_waiting(&OpenFault::Padding));
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum OpenFault {
    /// Fewer answers than the threshold.
    #[error("{found} unlock shares, where {threshold} are needed")]
    TooFewShares {
        /// The answers at hand.
        found: usize,
        /// The answers needed.
        threshold: usize,
    },
    /// The threshold is below 2 or above 127.
    #[error("threshold {threshold}, where 2 to 127 are possible")]
    Threshold {
        /// The threshold given.
        threshold: usize,
    },
    /// Two answers of one hospital.
    #[error("two unlock shares of hospital {hospital}")]
    DuplicateShare {
        /// The hospital.
        hospital: HospitalId,
    },
    /// No contributor, or more than the shape of the sum allows for.
    #[error("{contributors} contributors, where 1 to {joined} are possible")]
    Contributors {
        /// The number given.
        contributors: usize,
        /// The number joined.
        joined: usize,
    },
    /// The summed chunks have the wrong length or a word that is not below the modulus.
    #[error("the summed chunks are malformed")]
    Sum(#[from] SumError),
    /// With no choice of shares is the opened secret small and the noise of the first chunk within its bound.
    #[error("no choice of {threshold} among {found} unlock shares fits the sum ({tried} tried)")]
    SecretDoesNotFit {
        /// The answers a choice needs.
        threshold: usize,
        /// The answers at hand.
        found: usize,
        /// The choices tried.
        tried: usize,
    },
    /// The secret fits, and yet a chunk has too large a noise or message: its bytes are not the sum.
    #[error("the noise or the message of chunk {chunk} is out of range")]
    Noise {
        /// The chunk.
        chunk: usize,
    },
    /// The tag is not that of the values and counters: since the contributors sealed them, the sum was altered by
    /// the coordinator or in transit, or else one of the contributors tagged what it did not send.
    #[error("the sum was altered: its integrity tag does not match")]
    Tag,
    /// A value's sum is not one that the contributors can have made.
    #[error("the sum of value {index} is out of range")]
    ValueRange {
        /// The position of the value.
        index: usize,
    },
    /// A digit's sum is larger than the contributors can have made.
    #[error("a digit of counter {counter} is out of range")]
    DigitRange {
        /// The position of the counter.
        counter: usize,
    },
    /// The counter of contributions disagrees with the set of contributors.
    #[error("the sum does not count {contributors} contributions")]
    Contributions {
        /// The number of contributors.
        contributors: usize,
    },
    /// A field that no value or digit occupies is not 0.
    #[error("unused fields of the sum are not zero")]
    Padding,
}

/// The end of a message: who answered wrongly, if anybody did.
struct Named<'a>(&'a [HospitalId]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, hospital) in self.0.iter().enumerate() {
            let before = if place == 0 {
                "; wrong unlock shares of hospital "
            } else {
                ", "
            };
            write!(formatter, "{before}{hospital}")?;
        }
        Ok(())
    }
}

/// Checks a length before anything is read or allocated.
pub(super) fn check_length(
    what: &'static str,
    expected: usize,
    bytes: &[u8],
) -> Result<(), SumError> {
    if bytes.len() == expected {
        Ok(())
    } else {
        Err(SumError::Length {
            what,
            expected,
            found: bytes.len(),
        })
    }
}
