use std::ops::RangeInclusive;

use pulp::Arch;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::mask::{ChunkBuffers, RingSecret};
use super::opening::Opening;
use super::running_sum::check_words;
use super::seal::first_duplicate;
use super::secret::{FoundSecret, find_secret};
use super::tag::{ChunkTag, is_tag_of};
use super::{
    CHUNK_BYTES, FieldFormat, HospitalId, MAX_HOSPITALS, OpenError, OpenFault, Round, SumShape,
    UnlockVector,
};

/// The sum over the contributors, exact. For vaults only; erased when dropped.
///
/// [`open`] makes it. What a hospital does with it:
///
/// ```
/// use std::sync::Arc;
/// use crypto::sealed_sum::{ClippedTensor, OpenedSum, SumError, SumShape, next_clip};
///
/// /// The mean of an update of equal weights, and the clips of the next.
/// fn apply(
///     opened: &Arc<OpenedSum>,
///     shape: &SumShape,
///     clips: &[ClippedTensor],
/// ) -> Result<(Vec<f64>, Vec<f64>), SumError> {
///     for hospital in &opened.wrong_answers {
///         eprintln!("hospital {hospital} answered wrongly");
///     }
///     let mean = opened.mean(shape, clips, 1, opened.contributors as u64)?.to_vec();
///     let mut rest = &mean[..];
///     let next = clips.iter().map(|tensor| {
///         let (own, others) = rest.split_at(tensor.values);
///         rest = others;
///         next_clip(tensor.clip, opened.contributors, own)
///     });
///     let next = next.collect();
///     Ok((mean, next))
/// }
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct OpenedSum {
    /// The sum of the quantised values, each with its offset: of `u = z + 2^(B-1)`.
    pub values: Vec<u32>,
    /// The sum of each counter, "contributions" first.
    pub counters: Vec<u64>,
    /// |U|: how many hospitals contributed.
    pub contributors: usize,
    /// The largest magnitude of the summed noise.
    pub largest_noise: u32,
    /// The hospitals whose unlock vectors do not belong to the secret that opened the sum. That is proven, if the
    /// contributors shared their secrets out rightly: the dealer check tells ([`judge_dealer`](super::judge_dealer)).
    #[zeroize(skip)]
    pub wrong_answers: Vec<HospitalId>,
}

/// Opens a sum over `contributors` hospitals with the unlock vectors of at least the threshold (PROTOCOL 3.7).
///
/// Of t + 2e vectors any e wrong ones are told from the right ones, and named; of t + 1 every choice of t is tried, and
/// the one that fits names the wrong one as well.
///
/// # Errors
/// If the arguments are malformed, no choice of vectors fits, or any check of the opened sum fails. The sum is
/// then as good as opened for the rules of PROTOCOL 3.6: whoever knows what was wrong can still use it.
///
/// ```
/// use crypto::{hash::SecretKey32, sealed_sum::*};
///
/// let joined: Vec<HospitalId> = (1..=3).filter_map(HospitalId::new).collect();
/// let shape = SumShape::new(0, &[1, 4], FieldFormat::TwoBy24, joined.len())?;
/// let tag_key = TagKey::derive(&SecretKey32::from_bytes([1; 32]), &[7; 32]);
/// let (ring, shape, tag_key) = (&SumRing::new(), &shape, &tag_key);
/// let round = Round { ring, header_hash: &[7; 32], shape, threshold: 2, tag_key };
///
/// let mut sum = RunningSum::new(shape.chunks());
/// let mut held: Vec<Vec<Share>> = vec![vec![], vec![], vec![]];
/// for (&hospital, patients) in joined.iter().zip([120, 450, 80]) {
///     let (message, _) = pack(shape, &[], &[], Weight { own: 1, largest: 1 }, &[1, patients])?;
///     let contribution = seal(&round, &joined, hospital, 0, &Seed::generate(), &message)?;
///     sum.add(&contribution.chunks)?;
///     for (held, (_, share)) in held.iter_mut().zip(contribution.shares) {
///         held.push(share);
///     }
/// }
///
/// // All three answer, the second with something else; one to spare is enough to find it.
/// let mut answers: Vec<_> =
///     joined.iter().zip(&held).map(|(&id, shares)| (id, add_shares(shares.iter()))).collect();
/// answers[1].1 = UnlockVector::from_bytes(&[0; UNLOCK_BYTES])?;
/// let opened = open(&round, 3, sum.as_bytes(), &answers)?;
/// assert_eq!(opened.counters, [3, 650]);
/// assert_eq!(opened.wrong_answers, [joined[1]]);
///
/// // A sum that was altered, by a single step of one counter.
/// let mut altered = sum.into_bytes();
/// altered[9] ^= 0x20;
/// let refused = open(&round, 3, &altered, &answers).err();
/// assert_eq!(refused.map(|error| error.fault), Some(OpenFault::Tag));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(
    round: &Round<'_>,
    contributors: usize,
    sum: &[u8],
    answers: &[(HospitalId, UnlockVector)],
) -> Result<OpenedSum, OpenError> {
    check_arguments(round, contributors, answers)?;
    let shape = round.shape;
    check_words("sum", shape.chunks() * CHUNK_BYTES, sum).map_err(OpenFault::Sum)?;

    let opening = Opening::new(*round, contributors);
    let FoundSecret {
        secret,
        wrong_answers,
    } = find_secret(&opening, &sum[..CHUNK_BYTES], answers)?;
    match opening.contents(&secret, contributors, sum) {
        Ok((values, counters, largest_noise)) => Ok(OpenedSum {
            values,
            counters,
            contributors,
            largest_noise,
            wrong_answers,
        }),
        Err(fault) => Err(OpenError {
            fault,
            wrong_answers,
        }),
    }
}

impl Opening<'_> {
    /// Values, counters and the largest noise, checked.
    fn contents(
        &self,
        secret: &RingSecret,
        contributors: usize,
        sum: &[u8],
    ) -> Result<(Vec<u32>, Vec<u64>, u32), OpenFault> {
        let shape = self.round.shape;
        let (message_bytes, tag_bytes) = sum.split_at(shape.message_chunks() * CHUNK_BYTES);
        let mut values = Zeroizing::new(vec![0_u32; shape.values()]);
        // Where each chunk's values go; the last chunks may have none.
        let mut places: Vec<&mut [u32]> = values.chunks_mut(shape.fields_per_chunk()).collect();
        places.resize_with(shape.message_chunks(), Default::default);
        let chunks: Vec<OpenedChunk> = places
            .into_par_iter()
            .zip(message_bytes.par_chunks(CHUNK_BYTES))
            .enumerate()
            .map_init(ChunkBuffers::new, |buffers, (chunk, (values, bytes))| {
                self.open_chunk(secret, contributors, chunk, bytes, values, buffers)
            })
            .collect();
        let mut buffers = ChunkBuffers::new();
        let tag_noise = self.unmask(secret, shape.message_chunks(), tag_bytes, &mut buffers);

        let mut largest_noise = 0;
        let noises = chunks.iter().map(|chunk| chunk.noise).chain([tag_noise]);
        for (chunk, noise) in noises.enumerate() {
            largest_noise = largest_noise.max(noise.ok_or(OpenFault::Noise { chunk })?);
        }
        let others = || chunks.iter().flat_map(|chunk| chunk.others.iter().copied());
        let fields = values.iter().copied().chain(others()).map(u64::from);
        let parts: Vec<ChunkTag> = chunks.iter().map(|chunk| *chunk.tag).collect();
        let parts = Zeroizing::new(parts);
        let tag_key = self.round.tag_key;
        let tags = tag_key.of_sum(&parts, fields.take(shape.occupied_fields()));
        if !is_tag_of(&buffers.mask, &tags, contributors as u64) {
            return Err(OpenFault::Tag);
        }
        if chunks.iter().any(|chunk| !chunk.values_in_range) {
            let possible = possible_values(shape, contributors);
            let index = values.iter().position(|value| !possible.contains(value));
            let index = index.expect("a chunk has a value that is out of range");
            return Err(OpenFault::ValueRange { index });
        }
        let counters = read_counters(shape, contributors as u64, others().map(u64::from))?;
        Ok((std::mem::take(&mut *values), counters, largest_noise))
    }

    fn open_chunk(
        &self,
        secret: &RingSecret,
        contributors: usize,
        chunk: usize,
        bytes: &[u8],
        values: &mut [u32],
        buffers: &mut ChunkBuffers,
    ) -> OpenedChunk {
        let shape = self.round.shape;
        let noise = self.unmask(secret, chunk, bytes, buffers);
        let (words, keystream) = (&buffers.mask, &mut buffers.keystream);
        let tag = self.round.tag_key.of_chunk(shape, chunk, words, keystream);
        let possible = possible_values(shape, contributors);
        let per_chunk = shape.fields_per_chunk();
        let mut others = Zeroizing::new(vec![]);
        let values_in_range = if values.len() == per_chunk {
            split_fields(shape.format(), words, values, possible)
        } else {
            let mut fields = Zeroizing::new(vec![0; per_chunk]);
            split_fields(shape.format(), words, &mut fields, 0..=u32::MAX);
            values.copy_from_slice(&fields[..values.len()]);
            others.extend_from_slice(&fields[values.len()..]);
            values.iter().all(|value| possible.contains(value))
        };
        OpenedChunk {
            noise,
            tag: Zeroizing::new(tag),
            values_in_range,
            others,
        }
    }
}

/// What one chunk turned out to hold, apart from its values.
struct OpenedChunk {
    noise: Option<u32>,
    tag: Zeroizing<ChunkTag>,
    values_in_range: bool,
    /// The fields after the values: digits and padding.
    others: Zeroizing<Vec<u32>>,
}

fn check_arguments(
    round: &Round<'_>,
    contributors: usize,
    answers: &[(HospitalId, UnlockVector)],
) -> Result<(), OpenFault> {
    let joined = round.shape.joined();
    if !(1..=joined).contains(&contributors) {
        return Err(OpenFault::Contributors {
            contributors,
            joined,
        });
    }
    let threshold = round.threshold;
    if !(2..=MAX_HOSPITALS).contains(&threshold) {
        return Err(OpenFault::Threshold { threshold });
    }
    if let Some(hospital) = first_duplicate(answers.iter().map(|(hospital, _)| *hospital)) {
        return Err(OpenFault::DuplicateShare { hospital });
    }
    if answers.len() < threshold {
        return Err(OpenFault::TooFewShares {
            found: answers.len(),
            threshold,
        });
    }
    Ok(())
}

/// The sums that the values of so many contributors can have.
fn possible_values(shape: &SumShape, contributors: usize) -> RangeInclusive<u32> {
    let largest = (1 << shape.value_bits()) - 1;
    contributors as u32..=contributors as u32 * largest
}

/// Splits the words into their fields, and says whether all are in a range.
fn split_fields(
    format: FieldFormat,
    words: &[u64],
    fields: &mut [u32],
    range: RangeInclusive<u32>,
) -> bool {
    let (least, largest) = Arch::new().dispatch(
        #[inline(always)]
        || match format {
            FieldFormat::TwoBy24 => split_words::<2>(words, 24, fields),
            FieldFormat::ThreeBy16 => split_words::<3>(words, 16, fields),
        },
    );
    range.contains(&least) && range.contains(&largest)
}

/// Splits words of F fields, and returns the least and the largest field.
#[inline(always)]
fn split_words<const F: usize>(words: &[u64], field_bits: u32, fields: &mut [u32]) -> (u32, u32) {
    let (mut least, mut largest) = (u32::MAX, 0);
    for (fields, word) in fields.as_chunks_mut::<F>().0.iter_mut().zip(words) {
        for (place, field) in fields.iter_mut().enumerate() {
            *field = (word >> (place as u32 * field_bits) & ((1 << field_bits) - 1)) as u32;
            least = least.min(*field);
            largest = largest.max(*field);
        }
    }
    (least, largest)
}

/// Adds up the counters from the fields after the values, and checks what the contributors cannot have made.
fn read_counters(
    shape: &SumShape,
    contributors: u64,
    mut fields: impl Iterator<Item = u64>,
) -> Result<Vec<u64>, OpenFault> {
    let mut counters = Zeroizing::new(Vec::with_capacity(shape.counters()));
    for (counter, &length) in shape.counter_digits().iter().enumerate() {
        let mut sum = 0;
        for place in 0..length {
            let digit = fields.next().expect("a field for each digit");
            if digit > 255 * contributors {
                return Err(OpenFault::DigitRange { counter });
            }
            // At most 7 digits of 15 bits: below 2^63.
            sum += digit << (8 * place);
        }
        counters.push(sum);
    }
    if counters[0] != contributors {
        return Err(OpenFault::Contributions {
            contributors: contributors as usize,
        });
    }
    if fields.any(|field| field != 0) {
        return Err(OpenFault::Padding);
    }
    Ok(std::mem::take(&mut *counters))
}
