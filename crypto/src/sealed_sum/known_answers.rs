mod parts;
mod sums;

use serde::Deserialize;

use super::{ClippedTensor, FieldFormat, Weight};
use crate::known_answers::SplitMix;

/// The number of values of a tensor, and its clip.
#[derive(Deserialize)]
struct Clip(usize, f64);

impl Clip {
    fn tensors(clips: &[Self]) -> Vec<ClippedTensor> {
        let tensor = |&Self(values, clip): &Self| ClippedTensor { values, clip };
        clips.iter().map(tensor).collect()
    }
}

/// The bits of a field, as which a format stands in the files.
#[derive(Clone, Copy, Deserialize)]
struct FieldBits(u32);

impl FieldBits {
    fn format(self) -> FieldFormat {
        [FieldFormat::TwoBy24, FieldFormat::ThreeBy16]
            .into_iter()
            .find(|format| format.field_bits() == self.0)
            .expect("24 or 16 bits")
    }
}

/// The hospital's own weight and the largest.
#[derive(Deserialize)]
struct Weights(u32, u32);

impl Weights {
    fn weight(&self) -> Weight {
        let &Self(own, largest) = self;
        Weight { own, largest }
    }
}

/// Multiples of 2^-20 in [-1, 1).
fn update_values(source: &mut SplitMix, count: usize) -> Vec<f64> {
    let value = |word: u64| ((word >> 43) as f64 - 1_048_576.0) / 1_048_576.0;
    (0..count).map(|_| value(source.word())).collect()
}
