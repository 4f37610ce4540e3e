use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{RING_DEGREE, SumError, SumShape};
use crate::rounding::nearest;

/// A tensor of the update, in the order of the values, and the magnitude beyond which its values are cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClippedTensor {
    /// How many values the tensor has.
    pub values: usize,
    /// The clip, positive; the same at every hospital.
    pub clip: f64,
}

/// A hospital's weight in the mean, as the manifest states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The hospital's weight, at least 1.
    pub own: u32,
    /// The largest weight of the run.
    pub largest: u32,
}

/// The message coefficients of all chunks but the tag's, and the shape they were packed for. Secret; erased when
/// dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PackedMessage {
    words: Vec<u64>,
    #[zeroize(skip)]
    shape: SumShape,
}

/// How much of a message was cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saturation {
    /// Values beyond their clip.
    pub values: u64,
    /// Counters beyond their digits.
    pub counters: u64,
}

/// Quantises and packs one hospital's values and counters (PROTOCOL 3.4).
///
/// `clips` covers the values in order; `counters` starts with "contributions", which is 1. What lies beyond a
/// clip or a counter's digits is cut off, and counted in the [`Saturation`].
///
/// # Errors
/// If a number of values, clips or counters is not the shape's, a value is not finite, a clip not positive, or
/// the weight not in `1..=largest`.
pub fn pack(
    shape: &SumShape,
    values: &[f64],
    clips: &[ClippedTensor],
    weight: Weight,
    counters: &[u64],
) -> Result<(PackedMessage, Saturation), SumError> {
    check_count("values", shape.values(), values.len())?;
    check_clips(shape, clips)?;
    check_count("counters", shape.counters(), counters.len())?;
    if weight.own == 0 || weight.own > weight.largest {
        return Err(SumError::Weight {
            own: weight.own,
            largest: weight.largest,
        });
    }
    if counters.first() != Some(&1) {
        return Err(SumError::Contributions);
    }

    let words = vec![0; shape.message_chunks() * RING_DEGREE];
    let mut message = PackedMessage {
        words,
        shape: shape.clone(),
    };
    let mut fields = FieldWriter::new(shape, &mut message.words);
    let mut saturation = Saturation::default();

    let share = f64::from(weight.own) / f64::from(weight.largest);
    let largest = shape.largest_value() as f64;
    let offset = shape.value_offset() as i64;
    let mut rest = values;
    for clipped in clips {
        let step = step(shape, clipped.clip);
        let (values_of_tensor, others) = rest.split_at(clipped.values);
        for value in values_of_tensor {
            if !value.is_finite() {
                return Err(SumError::NotFinite { index: fields.next });
            }
            let steps = nearest(share * value / step);
            saturation.values += u64::from(steps.abs() > largest);
            let quantised = steps.clamp(-largest, largest) as i64;
            fields.push((quantised + offset) as u64);
        }
        rest = others;
    }

    for (&counter, &digits) in counters.iter().zip(shape.counter_digits()) {
        let limit = (1 << (8 * u32::from(digits))) - 1;
        saturation.counters += u64::from(counter > limit);
        let clamped = counter.min(limit);
        for digit in 0..digits {
            fields.push(clamped >> (8 * digit) & 0xff);
        }
    }
    Ok((message, saturation))
}

impl PackedMessage {
    pub(super) fn words(&self) -> &[u64] {
        &self.words
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

/// Puts one field after another into the coefficients, the first into the lowest bits.
struct FieldWriter<'a> {
    words: &'a mut [u64],
    fields: usize,
    field_bits: u32,
    next: usize,
}

impl<'a> FieldWriter<'a> {
    fn new(shape: &SumShape, words: &'a mut [u64]) -> Self {
        Self {
            words,
            fields: shape.format().fields(),
            field_bits: shape.format().field_bits(),
            next: 0,
        }
    }

    fn push(&mut self, field: u64) {
        let shift = (self.next % self.fields) as u32 * self.field_bits;
        self.words[self.next / self.fields] |= field << shift;
        self.next += 1;
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
