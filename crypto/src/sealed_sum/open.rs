use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::parameters::{NOISE_BOUND, PAYLOAD_BITS, STEP_BITS};
use super::quantise::{check_clips, check_count, step};
use super::running_sum::{check_words, words};
use super::seal::{first_duplicate, mask_key};
use super::secret::{FoundSecret, find_secret};
use super::tag::is_tag_of;
use super::{
    CHUNK_BYTES, ClippedTensor, HospitalId, MAX_HOSPITALS, OpenError, OpenFault, RING_DEGREE,
    Round, SumError, SumShape, UnlockVector,
};
use crate::hash::SecretKey32;
use crate::ring::Evaluations;

/// The sum over the contributors, exact. For vaults only; erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct OpenedSum {
    /// The sum of the quantised values, each with its offset: of `u = z + 2^(B-1)`.
    pub values: Vec<u64>,
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
pub fn open(
    round: &Round<'_>,
    contributors: usize,
    sum: &[u8],
    answers: &[(HospitalId, UnlockVector)],
) -> Result<OpenedSum, OpenError> {
    check_arguments(round, contributors, answers)?;
    let shape = round.shape;
    check_words("sum", shape.chunks() * CHUNK_BYTES, sum).map_err(OpenFault::Sum)?;

    let opening = Opening {
        round: *round,
        mask_key: mask_key(round.header_hash),
        noise_limit: NOISE_BOUND * contributors as u32,
    };
    let FoundSecret {
        secret,
        wrong_answers,
    } = find_secret(&opening, &sum[..CHUNK_BYTES], answers)?;
    let contents = opening
        .unmask_all(&secret, sum)
        .and_then(|(words, largest_noise)| {
            let (message, tag_chunk) = words.split_at(shape.message_chunks() * RING_DEGREE);
            check_tag(round, contributors as u64, message, tag_chunk)?;
            let (values, counters) = check_fields(shape, contributors as u64, message)?;
            Ok((values, counters, largest_noise))
        });
    match contents {
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

impl OpenedSum {
    /// The weighted mean of the values:
    /// `step (sum of u - |U| 2^(B-1)) omega_max / (sum of omega over U)`, in this order of operations, so that
    /// every vault gets the same bits.
    ///
    /// # Errors
    /// If the sum was opened with another number of values than `shape` has, `clips` do not cover them or are not
    /// positive, or `weight_sum` is not one that the contributors' weights, each `1..=largest_weight`, can have.
    pub fn mean(
        &self,
        shape: &SumShape,
        clips: &[ClippedTensor],
        largest_weight: u32,
        weight_sum: u64,
    ) -> Result<Vec<f64>, SumError> {
        check_count("opened values", shape.values(), self.values.len())?;
        check_clips(shape, clips)?;
        let least_sum = self.contributors as u64;
        if weight_sum < least_sum.max(1) || weight_sum > least_sum * u64::from(largest_weight) {
            return Err(SumError::WeightSum {
                sum: weight_sum,
                contributors: self.contributors,
                largest: largest_weight,
            });
        }
        let offset = self.contributors as i64 * shape.value_offset() as i64;
        let mut mean = Vec::with_capacity(self.values.len());
        let mut values = self.values.iter();
        for clipped in clips {
            let step = step(shape, clipped.clip);
            mean.extend(values.by_ref().take(clipped.values).map(|&sum| {
                let steps = (sum as i64 - offset) as f64;
                step * steps * f64::from(largest_weight) / weight_sum as f64
            }));
        }
        Ok(mean)
    }
}

/// What an opening goes by, whichever secret is tried.
pub(super) struct Opening<'a> {
    pub round: Round<'a>,
    pub mask_key: SecretKey32,
    /// 32 |U|: bounds each coefficient of the summed secret and of the summed noise.
    pub noise_limit: u32,
}

impl Opening<'_> {
    /// All messages, the tag chunk's last, and the largest noise.
    fn unmask_all(
        &self,
        secret: &Evaluations,
        sum: &[u8],
    ) -> Result<(Zeroizing<Vec<u64>>, u32), OpenFault> {
        let mut words = Zeroizing::new(vec![0; sum.len() / 8]);
        let noises: Vec<Option<u32>> = words
            .par_chunks_mut(RING_DEGREE)
            .zip(sum.par_chunks(CHUNK_BYTES))
            .enumerate()
            .map(|(chunk, (messages, bytes))| {
                let mask = self.round.ring.mask(&self.mask_key, chunk);
                self.unmask(secret, mask, bytes, messages)
            })
            .collect();
        let mut largest_noise = 0;
        for (chunk, noise) in noises.into_iter().enumerate() {
            largest_noise = largest_noise.max(noise.ok_or(OpenFault::Noise { chunk })?);
        }
        Ok((words, largest_noise))
    }

    /// Writes the message coefficients of the chunk with this `a_j` to `messages`, as far as that reaches, and returns
    /// the largest noise, or nothing as soon as a noise or a message is out of its range.
    pub(super) fn unmask(
        &self,
        secret: &Evaluations,
        mut mask: Evaluations,
        bytes: &[u8],
        messages: &mut [u64],
    ) -> Option<u32> {
        let plan = &self.round.ring.plan;
        let modulus = plan.modulus();
        mask.multiply_assign(secret, modulus);
        let masks = plan.inverse(mask);
        let mut messages = messages.iter_mut();
        let mut largest_noise = 0;
        for (word, &mask) in words(bytes).zip(masks.words()) {
            let noisy = modulus.add(modulus.subtract(word, mask), HALF_STEP);
            let message = noisy >> STEP_BITS;
            let noise = ((noisy & (2 * HALF_STEP - 1)) as u32).abs_diff(HALF_STEP as u32);
            if message >> PAYLOAD_BITS != 0 || noise > self.noise_limit {
                return None;
            }
            largest_noise = largest_noise.max(noise);
            if let Some(place) = messages.next() {
                *place = message;
            }
        }
        Some(largest_noise)
    }
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

/// Checks that what was opened is what the contributors tagged.
fn check_tag(
    round: &Round<'_>,
    contributors: u64,
    message: &[u64],
    tag_chunk: &[u64],
) -> Result<(), OpenFault> {
    let (format, fields) = (round.shape.format(), round.shape.occupied_fields());
    let tags = round.tag_key.tag(format, fields, message);
    if is_tag_of(tag_chunk, &tags, contributors) {
        Ok(())
    } else {
        Err(OpenFault::Tag)
    }
}

/// Splits the words into fields and checks each against what the contributors can have made: the sums of the values and
/// of the counters.
fn check_fields(
    shape: &SumShape,
    contributors: u64,
    message: &[u64],
) -> Result<(Vec<u64>, Vec<u64>), OpenFault> {
    let format = shape.format();
    let fields_of = |&word: &u64| {
        let shifts = (0..format.fields() as u32).map(|place| place * format.field_bits());
        shifts.map(move |shift| word >> shift & format.field_mask())
    };
    let mut fields = message.iter().flat_map(fields_of);

    let mut values = Zeroizing::new(Vec::with_capacity(shape.values()));
    values.extend(fields.by_ref().take(shape.values()));
    let largest_value = (1 << shape.value_bits()) - 1;
    let possible = contributors..=contributors * largest_value;
    if let Some(index) = values.iter().position(|value| !possible.contains(value)) {
        return Err(OpenFault::ValueRange { index });
    }

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
    Ok((std::mem::take(&mut *values), std::mem::take(&mut *counters)))
}

const HALF_STEP: u64 = 1 << (STEP_BITS - 1);
