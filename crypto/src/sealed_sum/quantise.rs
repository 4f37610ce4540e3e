use pulp::Arch;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{FieldFormat, RING_DEGREE, Reals, SumError, SumShape};
use crate::rounding::nearest;

/// A tensor of the update, in the order of the values, and the magnitude beyond which its values are cut off.
///
/// ```
/// use crypto::sealed_sum::ClippedTensor;
///
/// // Nine filters that may move by 0.5, then 64 buffers of batch normalisation that may move by 8.
/// let clips = [ClippedTensor { values: 9, clip: 0.5 }, ClippedTensor { values: 64, clip: 8.0 }];
/// assert_eq!(clips.iter().map(|tensor| tensor.values).sum::<usize>(), 73);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClippedTensor {
    /// How many values the tensor has.
    pub values: usize,
    /// The clip, positive; the same at every hospital.
    pub clip: f64,
}

/// A hospital's weight in the mean, as the manifest states it.
///
/// ```
/// use crypto::sealed_sum::*;
///
/// // A quarter of the largest weight: the values are scaled, and clipped after that.
/// let shape = SumShape::new(1, &[1], FieldFormat::TwoBy24, 2)?;
/// let clips = [ClippedTensor { values: 1, clip: 1.0 }];
/// let (_, saturation) = pack(&shape, &[3.5], &clips, Weight { own: 1, largest: 4 }, &[1])?;
/// assert_eq!(saturation.values, 0);
/// assert!(pack(&shape, &[3.5], &clips, Weight { own: 5, largest: 4 }, &[1]).is_err());
/// # Ok::<(), SumError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The hospital's weight, at least 1.
    pub own: u32,
    /// The largest weight of the run.
    pub largest: u32,
}

/// The message coefficients of all chunks but the tag's, and the shape they were packed for. Secret; erased when
/// dropped.
///
/// ```
/// use crypto::sealed_sum::*;
///
/// // What `pack` makes, `seal` takes: only for a sum of the same shape.
/// let shape = SumShape::new(0, &[1], FieldFormat::TwoBy24, 3)?;
/// let (message, _): (PackedMessage, _) = pack(&shape, &[], &[], Weight { own: 1, largest: 1 }, &[1])?;
/// let header_hash = [7; 32];
/// let round = Round {
///     ring: &SumRing::new(),
///     header_hash: &header_hash,
///     shape: &SumShape::new(0, &[2], FieldFormat::TwoBy24, 3)?,
///     threshold: 2,
///     tag_key: &TagKey::derive(&crypto::hash::SecretKey32::from_bytes([1; 32]), &header_hash),
/// };
/// let joined: Vec<HospitalId> = (1..=3).filter_map(HospitalId::new).collect();
/// let refused = seal(&round, &joined, joined[0], 0, &Seed::generate(), &message);
/// assert_eq!(refused.err(), Some(SumError::OtherShape));
/// # Ok::<(), SumError>(())
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PackedMessage {
    words: Vec<u64>,
    #[zeroize(skip)]
    shape: SumShape,
}

/// How much of a message was cut off.
///
/// ```
/// use crypto::sealed_sum::*;
///
/// let shape = SumShape::new(2, &[1, 1], FieldFormat::TwoBy24, 2)?;
/// let clips = [ClippedTensor { values: 2, clip: 0.5 }];
/// let weight = Weight { own: 1, largest: 1 };
/// // One value beyond its clip; and 300 of something that was given one digit, which ends at 255.
/// let (_, saturation) = pack(&shape, &[0.1, -0.7], &clips, weight, &[1, 300])?;
/// assert_eq!(saturation, Saturation { values: 1, counters: 1 });
/// # Ok::<(), SumError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saturation {
    /// Values beyond their clip.
    pub values: u64,
    /// Counters beyond their digits.
    pub counters: u64,
}

/// Quantises and packs one hospital's values and counters (PROTOCOL 3.4).
///
/// ```text
/// step = clip / (2^(B-1) - 1)
/// z    = clamp(round_half_even((omega / omega_max) x / step), -(2^(B-1) - 1), 2^(B-1) - 1)
/// u    = z + 2^(B-1)
/// ```
///
/// `clips` covers the values in order; `counters` starts with "contributions", which is 1. What lies beyond a
/// clip or a counter's digits is cut off, and counted in the [`Saturation`]. The time taken does not depend on the values,
/// which are secret, unless one is not finite.
///
/// ```
/// use crypto::sealed_sum::*;
///
/// let shape = SumShape::new(3, &[3], FieldFormat::TwoBy24, 10)?;
/// let clips = [ClippedTensor { values: 2, clip: 1.0 }, ClippedTensor { values: 1, clip: 0.5 }];
/// let weight = Weight { own: 1, largest: 1 };
/// let (message, saturation) = pack(&shape, &[0.3, -1.5, 0.5], &clips, weight, &[1])?;
/// assert_eq!(saturation, Saturation { values: 1, counters: 0 });
/// # Ok::<(), SumError>(())
/// ```
///
/// # Errors
/// If a number of values, clips or counters is not the shape's, a value is not finite, a clip not positive, or
/// the weight not in `1..=largest`.
pub fn pack(
    shape: &SumShape,
    values: &(impl Reals + ?Sized),
    clips: &[ClippedTensor],
    weight: Weight,
    counters: &[u64],
) -> Result<(PackedMessage, Saturation), SumError> {
    check_count("values", shape.values(), values.count())?;
    check_clips(shape, clips)?;
    check_counters(shape, counters)?;
    if weight.own == 0 || weight.own > weight.largest {
        return Err(SumError::Weight {
            own: weight.own,
            largest: weight.largest,
        });
    }

    let digits = Digits::new(shape, counters);
    let quantiser = Quantiser {
        shape,
        clips,
        share: f64::from(weight.own) / f64::from(weight.largest),
    };
    let mut message = PackedMessage {
        words: vec![0; shape.message_chunks() * RING_DEGREE],
        shape: shape.clone(),
    };
    let per_chunk = shape.fields_per_chunk();
    let chunks: Vec<QuantisedChunk> = message
        .words
        .par_chunks_mut(RING_DEGREE)
        .enumerate()
        .map_init(
            || {
                let reals = Zeroizing::new(vec![0.0; per_chunk]);
                (reals, Zeroizing::new(vec![0_u32; per_chunk]))
            },
            |(reals, fields), (chunk, words)| {
                let start = (chunk * per_chunk).min(shape.values());
                let end = (start + per_chunk).min(shape.values());
                let (of_values, others) = fields.split_at_mut(end - start);
                let reals = &mut reals[..of_values.len()];
                values.read(start, reals);
                let quantised = quantiser.quantise(start, reals, of_values);
                digits.write(chunk * per_chunk + of_values.len(), others);
                Arch::new().dispatch(
                    #[inline(always)]
                    || pack_fields(shape.format(), fields, words),
                );
                quantised
            },
        )
        .collect();
    if chunks.iter().any(|chunk| !chunk.finite) {
        let is_not_finite = |&index: &usize| {
            let mut value = Zeroizing::new([0.0]);
            values.read(index, &mut *value);
            !value[0].is_finite()
        };
        let index = (0..values.count()).find(is_not_finite);
        let index = index.expect("a chunk has a value that is not finite");
        return Err(SumError::NotFinite { index });
    }
    let saturation = Saturation {
        values: chunks.iter().map(|chunk| chunk.saturated).sum(),
        counters: digits.saturated,
    };
    Ok((message, saturation))
}

impl PackedMessage {
    /// Puts other counters in the place of those that were packed, and returns how many lie beyond their digits: the message is that of
    /// [`pack`] with the same values and these counters, which may tell what packing the values has shown.
    ///
    /// # Errors
    /// If the number of counters is not the shape's, or the first, "contributions", is not 1.
    pub fn set_counters(&mut self, counters: &[u64]) -> Result<u64, SumError> {
        check_counters(&self.shape, counters)?;
        let digits = Digits::new(&self.shape, counters);
        let format = self.shape.format();
        for (number, &digit) in (digits.first..).zip(digits.digits.iter()) {
            let word = &mut self.words[number / format.fields()];
            let shift = (number % format.fields()) as u32 * format.field_bits();
            *word = *word & !(format.field_mask() << shift) | u64::from(digit) << shift;
        }
        Ok(digits.saturated)
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The values and digits, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = u64> + Clone {
        let format = self.shape.format();
        let shifts = (0..format.fields() as u32).map(move |place| place * format.field_bits());
        let fields_of = move |&word: &u64| {
            let shifts = shifts.clone();
            shifts.map(move |shift| word >> shift & format.field_mask())
        };
        let all = self.words.iter().flat_map(fields_of);
        all.take(self.shape.occupied_fields())
    }

    /// The shape that it was packed for.
    pub(super) fn shape(&self) -> &SumShape {
        &self.shape
    }

    /// A message of any words below 2^48, to reach what `pack` never makes.
    #[cfg(test)]
    pub(super) fn from_words(words: Vec<u64>, shape: &SumShape) -> Self {
        let shape = shape.clone();
        Self { words, shape }
    }
}

/// The value of one quantisation step for a clip: `clip / (2^(B-1) - 1)`.
pub(super) fn step(shape: &SumShape, clip: f64) -> f64 {
    clip / shape.largest_value() as f64
}

/// Checks that the clips cover the values and are positive, with a step that is not rounded to fewer bits.
pub(super) fn check_clips(shape: &SumShape, clips: &[ClippedTensor]) -> Result<(), SumError> {
    let covered = clips
        .iter()
        .try_fold(0_usize, |sum, clipped| sum.checked_add(clipped.values))
        .unwrap_or(usize::MAX);
    check_count("clipped values", shape.values(), covered)?;
    let usable = |clip: f64| clip > 0.0 && step(shape, clip).is_normal();
    match clips.iter().position(|clipped| !usable(clipped.clip)) {
        Some(tensor) => Err(SumError::Clip { tensor }),
        None => Ok(()),
    }
}

/// As many as the shape has, and one contribution.
fn check_counters(shape: &SumShape, counters: &[u64]) -> Result<(), SumError> {
    check_count("counters", shape.counters(), counters.len())?;
    match counters.first() {
        Some(1) => Ok(()),
        _ => Err(SumError::Contributions),
    }
}

pub(super) fn check_count(
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), SumError> {
    if expected == found {
        Ok(())
    } else {
        Err(SumError::Count {
            what,
            expected,
            found,
        })
    }
}

/// Makes whole numbers of the real values, tensor by tensor.
struct Quantiser<'a> {
    shape: &'a SumShape,
    clips: &'a [ClippedTensor],
    /// `omega / omega_max`.
    share: f64,
}

/// What became of the values of one chunk.
struct QuantisedChunk {
    saturated: u64,
    finite: bool,
}

impl Quantiser<'_> {
    /// Quantises the values that start at number `first`.
    fn quantise(&self, first: usize, values: &[f64], fields: &mut [u32]) -> QuantisedChunk {
        let mut chunk = QuantisedChunk {
            saturated: 0,
            finite: true,
        };
        let (mut tensor_end, mut done) = (0, 0);
        for clipped in self.clips {
            tensor_end += clipped.values;
            let end = tensor_end.saturating_sub(first).clamp(done, values.len());
            let step = step(self.shape, clipped.clip);
            let largest = self.shape.largest_value() as f64;
            let offset = self.shape.value_offset() as f64;
            let (values, fields) = (&values[done..end], &mut fields[done..end]);
            let (saturated, finite) = Arch::new().dispatch(
                #[inline(always)]
                || quantise_values(values, self.share, step, largest, offset, fields),
            );
            chunk.saturated += saturated;
            chunk.finite &= finite;
            done = end;
        }
        chunk
    }
}

/// `round_half_even(share x / step)`, clamped to the largest magnitude, plus the offset. Returns how many were clamped,
/// and whether all are finite.
#[inline(always)]
fn quantise_values(
    values: &[f64],
    share: f64,
    step: f64,
    largest: f64,
    offset: f64,
    fields: &mut [u32],
) -> (u64, bool) {
    let (mut saturated, mut not_finite) = (0, 0);
    for (value, field) in values.iter().zip(fields) {
        // No branch on a value: comparisons become numbers, and clamping minima and maxima.
        not_finite |= u64::from(!value.is_finite());
        let steps = nearest(share * value / step);
        saturated += u64::from(steps.abs() > largest);
        // A whole number from 1 to 2^23: added to 2^52 it is the low bits of the sum. The language's conversion,
        // which saturates, is several times the work.
        let quantised = steps.clamp(-largest, largest) + offset;
        *field = (quantised + TWO_TO_52).to_bits() as u32;
    }
    (saturated, not_finite == 0)
}

const TWO_TO_52: f64 = 4_503_599_627_370_496.0;

/// Puts the fields into the coefficients, the first into the lowest bits.
#[inline(always)]
fn pack_fields(format: FieldFormat, fields: &[u32], words: &mut [u64]) {
    match format {
        FieldFormat::TwoBy24 => {
            for (word, &[low, high]) in words.iter_mut().zip(fields.as_chunks::<2>().0) {
                *word = u64::from(low) | u64::from(high) << 24;
            }
        }
        FieldFormat::ThreeBy16 => {
            for (word, &[low, middle, high]) in words.iter_mut().zip(fields.as_chunks::<3>().0) {
                *word = u64::from(low) | u64::from(middle) << 16 | u64::from(high) << 32;
            }
        }
    }
}

/// The digits of all counters, which follow the values.
struct Digits {
    digits: Zeroizing<Vec<u8>>,
    /// The number of the first digit among the fields.
    first: usize,
    /// Counters beyond their digits.
    saturated: u64,
}

impl Digits {
    fn new(shape: &SumShape, counters: &[u64]) -> Self {
        let mut digits = Zeroizing::new(Vec::with_capacity(shape.digits()));
        let mut saturated = 0;
        for (&counter, &length) in counters.iter().zip(shape.counter_digits()) {
            let limit = (1 << (8 * u32::from(length))) - 1;
            saturated += u64::from(counter > limit);
            let clamped = counter.min(limit);
            digits.extend_from_slice(&clamped.to_le_bytes()[..usize::from(length)]);
        }
        Self {
            digits,
            first: shape.values(),
            saturated,
        }
    }

    /// Writes the fields from number `start` on, none of which is a value: digits, then 0.
    fn write(&self, start: usize, fields: &mut [u32]) {
        fields.fill(0);
        let digits = self.digits.get(start.saturating_sub(self.first)..);
        for (field, &digit) in fields.iter_mut().zip(digits.unwrap_or_default()) {
            *field = digit.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed_sum::FieldFormat;
    use proptest::prelude::*;

    const EQUAL: Weight = Weight { own: 1, largest: 1 };

    fn shape(values: usize, digits: &[u8]) -> SumShape {
        SumShape::new(values, digits, FieldFormat::TwoBy24, 2).expect("a valid shape")
    }

    fn fields(message: &PackedMessage, count: usize) -> Vec<u64> {
        let both = message
            .words
            .iter()
            .flat_map(|word| [word & 0xff_ffff, word >> 24]);
        both.take(count).collect()
    }

    /// By hand: B = 23, the offset 2^22; a clip of 2^22 - 1 makes the step 1.
    #[test]
    fn values_and_counters_land_where_the_protocol_puts_them() {
        let shape = shape(8, &[1, 3, 2]);
        let clips = [
            ClippedTensor {
                values: 7,
                clip: 4_194_303.0,
            },
            ClippedTensor {
                values: 1,
                clip: 2.0 * 4_194_303.0,
            },
        ];
        let values = [0.0, 1.0, -1.0, 0.5, 1.5, 1e300, -4_194_304.0, 6.0];
        let (message, saturation) =
            pack(&shape, &values, &clips, EQUAL, &[1, 0x03_02_01, 70_000]).expect("packs");
        let offset = 1 << 22;
        let expected = [
            offset,
            offset + 1,
            offset - 1,
            offset,
            offset + 2,
            2 * offset - 1,
            1,
            offset + 3,
            1,
            1,
            2,
            3,
            255,
            255,
            0,
        ];
        assert_eq!(fields(&message, expected.len()), expected);
        assert_eq!(
            saturation,
            Saturation {
                values: 2,
                counters: 1
            }
        );
        assert!(message.words[8..].iter().all(|&word| word == 0));
    }

    #[test]
    fn weight_scales_values_and_not_counters() {
        let shape = shape(1, &[1, 1]);
        let clips = [ClippedTensor {
            values: 1,
            clip: 4_194_303.0,
        }];
        let weight = Weight { own: 3, largest: 4 };
        let (message, _) = pack(&shape, &[100.0], &clips, weight, &[1, 9]).expect("packs");
        assert_eq!(fields(&message, 3), [(1 << 22) + 75, 1, 9]);
    }

    /// Where digits begin in the middle of a word, at a chunk's first one, and behind no value at all.
    #[test]
    fn other_counters_make_the_message_that_is_packed_with_them() {
        for format in [FieldFormat::TwoBy24, FieldFormat::ThreeBy16] {
            for values in [0, 7, 8, 8191, 8192, 12_287, 12_288] {
                let shape = SumShape::new(values, &[1, 3, 2], format, 2).expect("a valid shape");
                let clips = [ClippedTensor { values, clip: 1.0 }];
                let given: Vec<f64> = (0..values).map(|place| (place as f64).sin()).collect();
                let packed = |counters: &[u64]| {
                    pack(&shape, &given, &clips, EQUAL, counters).expect("packs")
                };
                let (mut message, _) = packed(&[1, 0xff_ff_ff, 9]);
                let (expected, saturation) = packed(&[1, 5, 70_000]);
                assert_eq!(
                    message.set_counters(&[1, 5, 70_000]),
                    Ok(saturation.counters)
                );
                assert!(message.words == expected.words, "{values} values");
                let refused = [
                    message.set_counters(&[1, 5]),
                    message.set_counters(&[2, 5, 0]),
                ];
                assert!(matches!(
                    refused,
                    [Err(SumError::Count { .. }), Err(SumError::Contributions)]
                ));
            }
        }
    }

    #[test]
    fn what_cannot_be_summed_is_refused() {
        let shape = shape(2, &[1, 3]);
        let good = [ClippedTensor {
            values: 2,
            clip: 1.0,
        }];
        let refusal = |values: &[f64], clips: &[ClippedTensor], weight, counters: &[u64]| {
            pack(&shape, values, clips, weight, counters).err()
        };
        assert_eq!(refusal(&[0.0; 2], &good, EQUAL, &[1, 0]), None);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = refusal(&[0.0, bad], &good, EQUAL, &[1, 0]);
            assert_eq!(refused, Some(SumError::NotFinite { index: 1 }));
        }
        for clip in [
            0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            1e-310,
            f64::MIN_POSITIVE,
        ] {
            let clips = [
                ClippedTensor {
                    values: 1,
                    clip: 1.0,
                },
                ClippedTensor { values: 1, clip },
            ];
            let refused = refusal(&[0.0; 2], &clips, EQUAL, &[1, 0]);
            assert_eq!(refused, Some(SumError::Clip { tensor: 1 }), "{clip}");
        }
        for (own, largest) in [(0, 1), (2, 1)] {
            let refused = refusal(&[0.0; 2], &good, Weight { own, largest }, &[1, 0]);
            assert_eq!(refused, Some(SumError::Weight { own, largest }));
        }
        assert_eq!(
            refusal(&[0.0; 2], &good, EQUAL, &[0, 0]),
            Some(SumError::Contributions)
        );
        let counts = [
            refusal(&[0.0; 1], &good, EQUAL, &[1, 0]),
            refusal(&[0.0; 2], &[], EQUAL, &[1, 0]),
            refusal(&[0.0; 2], &good, EQUAL, &[1]),
        ];
        assert!(
            counts
                .iter()
                .all(|refused| matches!(refused, Some(SumError::Count { .. })))
        );
        let endless = [ClippedTensor {
            values: usize::MAX,
            clip: 1.0,
        }; 2];
        assert!(refusal(&[0.0; 2], &endless, EQUAL, &[1, 0]).is_some());
    }

    /// Tensors of any length, empty ones too, across chunks and up to the digits.
    #[test]
    fn every_field_is_the_one_of_the_definition() {
        for format in [FieldFormat::TwoBy24, FieldFormat::ThreeBy16] {
            for lengths in [
                &[8190, 1, 0, 4, 4097][..],
                &[0, 8192],
                &[12_287],
                &[30_000, 0],
            ] {
                let clips: Vec<ClippedTensor> = (1..)
                    .zip(lengths)
                    .map(|(place, &values)| ClippedTensor {
                        values,
                        clip: 0.3 * f64::from(place),
                    })
                    .collect();
                let count = lengths.iter().sum();
                let shape = SumShape::new(count, &[1, 2, 7], format, 10).expect("a valid shape");
                let values: Vec<f64> = (0..count as u32)
                    .map(|k| f64::from(k.wrapping_mul(2_654_435_761)) / 2_f64.powi(31) - 1.0)
                    .collect();
                let (weight, counters) = (Weight { own: 3, largest: 4 }, [1, 70_000, 1 << 50]);
                let (message, saturation) =
                    pack(&shape, &values, &clips, weight, &counters).expect("packs");

                let mut expected = vec![];
                let (mut saturated, mut rest) = (0, &values[..]);
                for clipped in &clips {
                    let (of_tensor, others) = rest.split_at(clipped.values);
                    let largest = f64::from((1 << (shape.value_bits() - 1)) - 1);
                    for value in of_tensor {
                        let steps = (0.75 * value / (clipped.clip / largest)).round_ties_even();
                        saturated += u64::from(steps.abs() > largest);
                        let quantised = steps.max(-largest).min(largest) as i64;
                        expected.push((quantised + largest as i64 + 1) as u64);
                    }
                    rest = others;
                }
                // 70,000 is beyond two digits.
                expected.extend([1, 255, 255, 0, 0, 0, 0, 0, 0, 4]);
                assert!(message.fields().eq(expected), "{lengths:?}");
                let expected = Saturation {
                    values: saturated,
                    counters: 1,
                };
                assert_eq!(saturation, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn unpacked_values_are_within_half_a_step(
            values in prop::collection::vec(-1.0..1.0_f64, 1..200),
            three: bool,
            joined in 2_usize..=127,
        ) {
            let format = if three { FieldFormat::ThreeBy16 } else { FieldFormat::TwoBy24 };
            let shape = SumShape::new(values.len(), &[1], format, joined).expect("a valid shape");
            let clips = [ClippedTensor { values: values.len(), clip: 1.0 }];
            let (message, saturation) = pack(&shape, &values, &clips, EQUAL, &[1]).expect("packs");
            prop_assert_eq!(saturation, Saturation::default());
            let step = step(&shape, 1.0);
            for (index, value) in values.iter().enumerate() {
                let word = message.words[index / format.fields()];
                let shift = (index % format.fields()) as u32 * format.field_bits();
                let field = word >> shift & ((1 << format.field_bits()) - 1);
                let back = (field as f64 - shape.value_offset() as f64) * step;
                prop_assert!((back - value).abs() <= step * 0.500_001);
            }
        }
    }
}
