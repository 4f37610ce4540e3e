//! Where a sample of a balanced set comes from, and how it is made again from there.

use std::borrow::Cow;

use super::Transform;
use model_data::Sample;

/// What a sample of a balanced set was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Origin {
    /// A slice as it is.
    Slice(Sample),
    /// A slice flipped, rotated and shifted.
    Transformed {
        /// The slice.
        seed: Sample,
        /// What was done to it.
        transform: Transform,
    },
    /// A point of the segment between two slices of a class: seed + share * (neighbour - seed).
    Between {
        /// Where the segment starts. Label and filter are those of its patient.
        seed: Sample,
        /// Where it ends: one of the nearest neighbours of the seed.
        neighbour: Sample,
        /// Position between them, at least 0 and below 1.
        share: f64,
    },
}

impl Origin {
    /// The slice whose patient the sample counts for.
    pub fn seed(&self) -> Sample {
        match *self {
            Self::Slice(seed) | Self::Transformed { seed, .. } | Self::Between { seed, .. } => seed,
        }
    }

    /// Whether the sample is no slice.
    pub fn is_made(&self) -> bool {
        !matches!(self, Self::Slice(_))
    }

    /// The image, 128 x 128.
    ///
    /// A point between slices is left where it lies, as SMOTE has it, with mean 0 and a variance
    /// of 1 - 2 share (1 - share) (1 - r), r being the correlation of the two.
    pub(super) fn image<'a>(&self, pixels: impl Fn(Sample) -> &'a [f32]) -> Cow<'a, [f32]> {
        match *self {
            Self::Slice(sample) => Cow::Borrowed(pixels(sample)),
            Self::Transformed { seed, transform } => Cow::Owned(transform.of(pixels(seed))),
            Self::Between {
                seed,
                neighbour,
                share,
            } => Cow::Owned(between(pixels(seed), pixels(neighbour), share)),
        }
    }
}

fn between(seed: &[f32], neighbour: &[f32], share: f64) -> Vec<f32> {
    let pairs = seed.iter().zip(neighbour);
    pairs
        .map(|(&from, &to)| (f64::from(from) + share * f64::from(to - from)) as f32)
        .collect()
}
