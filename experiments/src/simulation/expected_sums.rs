//! The sums as they should be, computed beside the protocol from what the hospitals really trained.
//!
//! A second quantiser, written from PROTOCOL.md 3.4 and not from the code that it checks.

use std::ops::Range;

use crypto::sealed_sum::{ClippedTensor, Mean, Reals as _};
use participant::vault::conditioning::weights::{ScaledFeatures, weight_change};
use protocol::{
    common_model::CommonModel, digests::LearningRound, manifest::Manifest,
    training_job::TrainedUpdate,
};
use pulp::Arch;
use rayon::prelude::*;

/// The sum of an update over its contributors.
pub struct ExpectedUpdate {
    /// Sum of the quantised values, each with its offset.
    pub values: Vec<u32>,
    /// Values beyond their clip, over all contributors.
    pub saturated: u64,
    /// Sum of the floats, neither quantised nor clipped.
    floats: Vec<f64>,
    /// Whether a contributor's value was cut off by its clip.
    cut_off: Vec<bool>,
    contributors: u32,
    tensors: Vec<ClippedTensor>,
    largest: f64,
}

impl ExpectedUpdate {
    /// Of nobody yet, for a session of `joined` hospitals with this model.
    pub fn new(model: &CommonModel, joined: usize) -> Self {
        let count = model.values().len();
        Self {
            values: vec![0; count],
            saturated: 0,
            floats: vec![0.0; count],
            cut_off: vec![false; count],
            contributors: 0,
            tensors: model.clipped_tensors(),
            largest: largest_value(joined),
        }
    }

    /// One more contributor's change of the model.
    ///
    /// # Panics
    /// If it is one of another model.
    pub fn add(&mut self, change: &[f64]) {
        assert_eq!(change.len(), self.values.len(), "a change of another model");
        self.contributors += 1;
        let largest = self.largest;
        let (mut values, mut floats) = (&mut self.values[..], &mut self.floats[..]);
        let mut cut_off = &mut self.cut_off[..];
        let blocks: Vec<_> = blocks(&self.tensors)
            .map(|(range, clip)| Block {
                values: first_of(&mut values, range.len()),
                floats: first_of(&mut floats, range.len()),
                cut_off: first_of(&mut cut_off, range.len()),
                change: &change[range],
                clip,
            })
            .collect();
        let saturated = blocks.into_par_iter().map(|block| block.add(largest));
        self.saturated += saturated.sum::<u64>();
    }

    /// The largest difference of `mean` from the mean of the floats.
    pub fn largest_error(&self, mean: &Mean) -> MeanError {
        let count = f64::from(self.contributors.max(1));
        let blocks: Vec<_> = blocks(&self.tensors).collect();
        let errors = blocks
            .into_par_iter()
            .map_init(Vec::new, |found, (range, clip)| {
                found.resize(range.len(), 0.0);
                mean.read(range.start, found);
                let expected = self.floats[range.clone()].iter().map(|sum| sum / count);
                let pairs = expected.zip(found).zip(&self.cut_off[range]);
                pairs.fold((0.0, 0.0), |largest, ((expected, found), &cut_off)| {
                    let error = (expected - *found).abs() / clip;
                    // A value that is no number is no small error.
                    let error = if error.is_nan() { f64::INFINITY } else { error };
                    larger(largest, (error, if cut_off { 0.0 } else { error }))
                })
            });
        let (over_clip, inside) = errors.reduce(|| (0.0, 0.0), larger);
        let step_over_clip = 1.0 / self.largest;
        MeanError {
            over_clip,
            over_step: over_clip / step_over_clip,
            inside_clip_over_step: inside / step_over_clip,
        }
    }
}

/// The larger of each.
fn larger(left: (f64, f64), right: (f64, f64)) -> (f64, f64) {
    (left.0.max(right.0), left.1.max(right.1))
}

/// Part of a tensor of an expected update, and of one contributor's change.
struct Block<'a> {
    values: &'a mut [u32],
    floats: &'a mut [f64],
    cut_off: &'a mut [bool],
    change: &'a [f64],
    clip: f64,
}

impl Block<'_> {
    /// Adds the change, and counts what its clip cut off.
    fn add(self, largest: f64) -> u64 {
        // Where the processor rounds, no function is called for it.
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let sums = self.values.iter_mut().zip(self.floats).zip(self.cut_off);
                let mut saturated = 0;
                for (((value, float), cut_off), change) in sums.zip(self.change) {
                    let (quantised, is_cut_off) = quantise(*change, self.clip, largest);
                    *value += quantised;
                    *float += change;
                    *cut_off |= is_cut_off;
                    saturated += u64::from(is_cut_off);
                }
                saturated
            },
        )
    }
}

/// Splits as many off.
fn first_of<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    rest.split_off_mut(..count)
        .expect("as many as the tensors have")
}

/// Pieces of the tensors, of a size that is worth a thread, each with its clip.
fn blocks(tensors: &[ClippedTensor]) -> impl Iterator<Item = (Range<usize>, f64)> {
    let mut end = 0;
    tensors.iter().flat_map(move |tensor| {
        let start = end;
        end += tensor.values;
        let end = end;
        let firsts = (start..end).step_by(BLOCK);
        firsts.map(move |first| (first..end.min(first + BLOCK), tensor.clip))
    })
}

const BLOCK: usize = 1 << 14;

/// How far an opened mean is from the float mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanError {
    /// In clips of the tensor, what the clip cut off included.
    pub over_clip: f64,
    /// The same in quantisation steps.
    pub over_step: f64,
    /// In quantisation steps, where the clip cut nothing off: what quantising alone costs, at most half a step.
    pub inside_clip_over_step: f64,
}

impl MeanError {
    /// The larger of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            over_clip: self.over_clip.max(other.over_clip),
            over_step: self.over_step.max(other.over_step),
            inside_clip_over_step: self.inside_clip_over_step.max(other.inside_clip_over_step),
        }
    }
}

/// What training changed in the common model, in the order of the layout, into `change`; in the place of what the vault keeps stands
/// what it puts there.
pub fn write_change(
    manifest: &Manifest,
    model: &CommonModel,
    update: &TrainedUpdate,
    features: &[ScaledFeatures],
    round: LearningRound,
    change: &mut Vec<f64>,
) {
    let kept = manifest.kept_by_vault();
    let of_kept = weight_change(
        manifest.conditioning_form,
        features,
        &update.input_gradients,
        update.batches,
        manifest.conditioning_rate,
    );
    let moves = manifest.conditioning_moves_in(round);
    let mut of_kept = of_kept
        .iter()
        .map(|change| if moves { *change } else { 0.0 });
    let before = model.values();
    change.clear();
    change.reserve_exact(before.len());
    let mut trained = update.model.iter();
    for tensor in model.layout().tensors.iter() {
        let range = change.len()..change.len() + tensor.values();
        if kept.contains(&tensor.name.0.as_str()) {
            change.extend(of_kept.by_ref().take(tensor.values()));
        } else {
            let pairs = before[range].iter().zip(trained.by_ref());
            change.extend(pairs.map(|(before, after)| f64::from(*after) - f64::from(*before)));
        }
    }
}

/// The mean of plaintext changes.
pub fn mean(changes: &[&[f64]]) -> Vec<f64> {
    let mut mean = vec![0.0; changes.first().map_or(0, |change| change.len())];
    for change in changes {
        mean.par_iter_mut()
            .zip(*change)
            .for_each(|(mean, change)| *mean += change);
    }
    let count = changes.len() as f64;
    mean.par_iter_mut().for_each(|mean| *mean /= count);
    mean
}

/// The sums of counters; none if one of the lists is missing, or there is no list.
pub fn add_counters(lists: impl Iterator<Item = Option<Vec<u64>>>) -> Option<Vec<u64>> {
    lists.reduce(|sum, list| {
        Some(
            sum?.iter()
                .zip(list?)
                .map(|(left, right)| left + right)
                .collect(),
        )
    })?
}

/// `u`, and whether the clip cut something off. All weights are 1. `largest` is [`largest_value`].
#[inline(always)]
fn quantise(value: f64, clip: f64, largest: f64) -> (u32, bool) {
    let steps = (value / (clip / largest)).round_ties_even();
    let offset = largest + 1.0;
    (
        (steps.clamp(-largest, largest) + offset) as u32,
        steps.abs() > largest,
    )
}

/// 2^(B-1) - 1 with B = 24 - ceil(log2 of the joined hospitals).
fn largest_value(joined: usize) -> f64 {
    let bits = 24 - (joined as f64).log2().ceil() as i32;
    2_f64.powi(bits - 1) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: three hospitals leave B = 22, so a clip of 2^21 - 1 makes the step 1.
    #[test]
    fn quantised_values_are_those_of_the_protocol() {
        let clip = 2_097_151.0;
        for (value, expected) in [
            (0.0, (2_097_152, false)),
            (1.0, (2_097_153, false)),
            (2.5, (2_097_154, false)),
            (3.5, (2_097_156, false)),
            (-clip, (1, false)),
            (1e9, (4_194_303, true)),
            (-1e9, (1, true)),
        ] {
            assert_eq!(quantise(value, clip, largest_value(3)), expected, "{value}");
        }
        assert_eq!(
            [2, 3, 4, 5, 10, 100].map(largest_value),
            [23, 22, 22, 21, 20, 17].map(|bits| 2_f64.powi(bits - 1) - 1.0)
        );
    }
}
