use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::parameters::{NOISE_BOUND, PAYLOAD_BITS, STEP_BITS};
use super::quantise::{check_clips, check_count, step};
use super::running_sum::{check_words, words};
use super::seal::{first_duplicate, mask_key};
use super::{
    CHUNK_BYTES, ClippedTensor, HospitalId, MAX_HOSPITALS, OpenError, RING_DEGREE, SumError,
    SumRing, SumShape, UnlockVector, shamir,
};
use crate::hash::{Digest, SecretKey32};
use crate::ring::{Coefficients, Evaluations};

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
}

/// Opens a sum over `contributors` hospitals with the unlock vectors of at least `threshold` (PROTOCOL 3.7).
///
/// With more vectors than `threshold`, other choices among them are tried when the first does not fit, the first
/// given preferred. One vector to spare is enough to leave out any single wrong one, as all `threshold + 1` choices
/// are tried; two are enough for any two.
///
/// # Errors
/// If the arguments are malformed, no choice of vectors fits, or any check of the opened sum fails. The sum is
/// then as good as opened for the rules of PROTOCOL 3.6: whoever knows what was wrong can still use it.
pub fn open(
    ring: &SumRing,
    header_hash: &Digest,
    shape: &SumShape,
    contributors: usize,
    threshold: usize,
    sum: &[u8],
    shares: &[(HospitalId, UnlockVector)],
) -> Result<OpenedSum, OpenError> {
    check_arguments(shape, contributors, threshold, shares)?;
    check_words("sum", shape.chunks() * CHUNK_BYTES, sum)?;

    let opening = Opening {
        ring,
        mask_key: mask_key(header_hash),
        noise_limit: NOISE_BOUND * contributors as u32,
    };
    let secret = opening.find_secret(threshold, &sum[..CHUNK_BYTES], shares)?;

    let mut fields = Zeroizing::new(vec![0_u64; shape.chunks() * shape.fields_per_chunk()]);
    let noises: Vec<Option<u32>> = fields
        .par_chunks_mut(shape.fields_per_chunk())
        .zip(sum.par_chunks(CHUNK_BYTES))
        .enumerate()
        .map(|(chunk, (fields, bytes))| {
            let mut fields = fields.chunks_exact_mut(shape.format().fields());
            let mask = ring.mask(&opening.mask_key, chunk);
            opening.unmask(&secret, mask, bytes, |message| {
                let fields = fields
                    .next()
                    .expect("a group of fields for each coefficient");
                for (place, field) in fields.iter_mut().enumerate() {
                    let shifted = message >> (place as u32 * shape.format().field_bits());
                    *field = shifted & ((1 << shape.format().field_bits()) - 1);
                }
            })
        })
        .collect();
    let mut largest_noise = 0;
    for (chunk, noise) in noises.into_iter().enumerate() {
        largest_noise = largest_noise.max(noise.ok_or(OpenError::Noise { chunk })?);
    }

    let counters = check_fields(shape, contributors as u64, &fields)?;
    fields.truncate(shape.values());
    Ok(OpenedSum {
        values: std::mem::take(&mut *fields),
        counters,
        contributors,
        largest_noise,
    })
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

/// What stays the same while choices of shares are tried.
struct Opening<'a> {
    ring: &'a SumRing,
    mask_key: SecretKey32,
    /// 32 |U|: bounds each coefficient of the summed secret and of the summed noise.
    noise_limit: u32,
}

impl Opening<'_> {
    /// The summed secret from the first choice of shares that fits the first chunk.
    ///
    /// A wrong secret passes a coefficient with probability at most 1/2, so whoever passes a chunk is right, and
    /// what fails in a later chunk is not for the shares to mend.
    fn find_secret(
        &self,
        threshold: usize,
        first_chunk: &[u8],
        shares: &[(HospitalId, UnlockVector)],
    ) -> Result<Evaluations, OpenError> {
        let mask = self.ring.mask(&self.mask_key, 0);
        // If it is the sum that is wrong, right shares give the same secret again with every choice.
        let mut rejected: Vec<Zeroizing<Vec<i64>>> = vec![];
        let mut tried = 0;
        let mut left_out: Vec<usize> = (threshold..shares.len()).collect();
        loop {
            tried += 1;
            let chosen: Vec<_> = shares
                .iter()
                .enumerate()
                .filter(|(place, _)| !left_out.contains(place))
                .map(|(_, (hospital, vector))| (*hospital, vector))
                .collect();
            if let Some(small) = self.small_secret(&chosen)
                && !rejected.contains(&small)
            {
                let plan = &self.ring.plan;
                let secret = plan.forward(Coefficients::from_small(&small, plan.modulus()));
                let fits = self.unmask(&secret, mask.duplicate(), first_chunk, |_| ());
                if fits.is_some() {
                    return Ok(secret);
                }
                rejected.push(small);
            }
            if tried == MAX_CHOICES || !step_down(&mut left_out) {
                return Err(OpenError::SecretDoesNotFit {
                    threshold,
                    found: shares.len(),
                    tried,
                });
            }
        }
    }

    /// The rebuilt secret, if every coefficient is small. A few coefficients already tell most wrong ones.
    fn small_secret(&self, shares: &[(HospitalId, &UnlockVector)]) -> Option<Zeroizing<Vec<i64>>> {
        let small = |secret: &[i64]| {
            secret
                .iter()
                .all(|s| s.unsigned_abs() <= u64::from(self.noise_limit))
        };
        if !small(&shamir::rebuild(shares, 0..64)) {
            return None;
        }
        let secret = shamir::rebuild(shares, 0..RING_DEGREE);
        small(&secret).then_some(secret)
    }

    /// Hands every message coefficient of the chunk with this `a_j` to `consume` and returns the largest noise, or
    /// nothing as soon as a noise or a message is out of its range.
    fn unmask(
        &self,
        secret: &Evaluations,
        mut mask: Evaluations,
        bytes: &[u8],
        mut consume: impl FnMut(u64),
    ) -> Option<u32> {
        let modulus = self.ring.plan.modulus();
        mask.multiply_assign(secret, modulus);
        let masks = self.ring.plan.inverse(mask);
        let mut largest_noise = 0;
        for (word, &mask) in words(bytes).zip(masks.words()) {
            let noisy = modulus.add(modulus.subtract(word, mask), HALF_STEP);
            let message = noisy >> STEP_BITS;
            let noise = ((noisy & (2 * HALF_STEP - 1)) as u32).abs_diff(HALF_STEP as u32);
            if message >> PAYLOAD_BITS != 0 || noise > self.noise_limit {
                return None;
            }
            largest_noise = largest_noise.max(noise);
            consume(message);
        }
        Some(largest_noise)
    }
}

fn check_arguments(
    shape: &SumShape,
    contributors: usize,
    threshold: usize,
    shares: &[(HospitalId, UnlockVector)],
) -> Result<(), OpenError> {
    if !(1..=shape.joined()).contains(&contributors) {
        return Err(OpenError::Contributors {
            contributors,
            joined: shape.joined(),
        });
    }
    if !(2..=MAX_HOSPITALS).contains(&threshold) {
        return Err(OpenError::Threshold { threshold });
    }
    if let Some(hospital) = first_duplicate(shares.iter().map(|(hospital, _)| *hospital)) {
        return Err(OpenError::DuplicateShare { hospital });
    }
    if shares.len() < threshold {
        return Err(OpenError::TooFewShares {
            found: shares.len(),
            threshold,
        });
    }
    Ok(())
}

/// Checks every field against what the contributors can have made, and adds up the counters.
fn check_fields(
    shape: &SumShape,
    contributors: u64,
    fields: &[u64],
) -> Result<Vec<u64>, OpenError> {
    let (values, rest) = fields.split_at(shape.values());
    let (digits, padding) = rest.split_at(shape.digits());

    let largest_value = (1 << shape.value_bits()) - 1;
    let possible = contributors..=contributors * largest_value;
    if let Some(index) = values.iter().position(|value| !possible.contains(value)) {
        return Err(OpenError::ValueRange { index });
    }

    let mut counters = Vec::with_capacity(shape.counters());
    let mut digits = digits.iter();
    for (counter, &length) in shape.counter_digits().iter().enumerate() {
        let mut sum = 0;
        for place in 0..length {
            let digit = *digits.next().expect("a field for each digit");
            if digit > 255 * contributors {
                return Err(OpenError::DigitRange { counter });
            }
            // At most 7 digits of 15 bits: below 2^63.
            sum += digit << (8 * place);
        }
        counters.push(sum);
    }
    if counters[0] != contributors {
        return Err(OpenError::Contributions {
            contributors: contributors as usize,
        });
    }
    if padding.iter().any(|&field| field != 0) {
        return Err(OpenError::Padding);
    }
    Ok(counters)
}

/// Goes to the next choice of places in falling lexicographic order: from the last places, which are left out
/// first, to the first. One wrong share is found before any choice moves two.
fn step_down(places: &mut [usize]) -> bool {
    let movable = (0..places.len()).find(|&index| {
        let floor = if index == 0 { 0 } else { places[index - 1] + 1 };
        places[index] > floor
    });
    let Some(index) = movable else {
        return false;
    };
    places[index] -= 1;
    // Those below restart directly under it.
    for lower in (0..index).rev() {
        places[lower] = places[lower + 1] - 1;
    }
    true
}

const HALF_STEP: u64 = 1 << (STEP_BITS - 1);

/// Enough to leave out any two wrong answers among the first t + 2 for every t up to 89; the largest there is is 85.
///
/// Most wrong choices cost the Lagrange factors, of order t^2 operations, and 64 coefficients. One that gives a new
/// small secret costs all 4096 coefficients, of t products each, and two transforms.
const MAX_CHOICES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::step_down;

    #[test]
    fn choices_are_all_visited_once_and_single_exchanges_come_first() {
        let mut places = vec![3, 4];
        let mut visited = vec![places.clone()];
        while step_down(&mut places) {
            visited.push(places.clone());
        }
        let expected = [
            [3, 4],
            [2, 4],
            [1, 4],
            [0, 4],
            [2, 3],
            [1, 3],
            [0, 3],
            [1, 2],
            [0, 2],
            [0, 1],
        ];
        assert_eq!(visited, expected);
        assert!(!step_down(&mut []));
    }
}
