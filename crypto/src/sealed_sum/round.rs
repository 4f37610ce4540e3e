use super::{SumRing, SumShape, TagKey};
use crate::hash::Digest;

/// What all parties of one sum have in common: the arguments of [`seal`](super::seal()) and [`open`](super::open()) that
/// are the same at every vault.
///
/// ```
/// use crypto::{hash::SecretKey32, sealed_sum::*};
///
/// let header_hash = [7; 32];
/// let round = Round {
///     ring: &SumRing::new(),
///     header_hash: &header_hash,
///     shape: &SumShape::new(1000, &[3], FieldFormat::TwoBy24, 10)?,
///     threshold: threshold(10),
///     tag_key: &TagKey::derive(&SecretKey32::from_bytes([1; 32]), &header_hash),
/// };
/// assert_eq!(round.shape.chunks(), 2);
/// # Ok::<(), SumError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Round<'a> {
    /// The ring, prepared once.
    pub ring: &'a SumRing,
    /// hh: the hash of the header, from which the public polynomials and all keys of the sum derive.
    pub header_hash: &'a Digest,
    /// The values and counters that are summed, and among how many hospitals.
    pub shape: &'a SumShape,
    /// t: how many hospitals must answer to open the sum.
    pub threshold: usize,
    /// The key of the integrity tag, of the same header. For vaults only.
    pub tag_key: &'a TagKey,
}
