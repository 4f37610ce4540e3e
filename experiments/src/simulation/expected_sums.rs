//! The sums as they should be, computed beside the protocol from what the hospitals really trained.
//!
//! A second quantiser, written from PROTOCOL.md 3.4 and not from the code that it checks.

use participant::vault::conditioning::weights::{ScaledFeatures, weight_change};
use protocol::{
    common_model::CommonModel, digests::LearningRound, manifest::Manifest,
    training_job::TrainedUpdate,
};
use rayon::prelude::*;

/// The sum of an update over its contributors.
pub struct ExpectedUpdate {
    /// Sum of the quantised values, each with its offset.
    pub values: Vec<u64>,
    /// Mean of the floats, neither quantised nor clipped.
    pub mean: Vec<f64>,
    /// Values beyond their clip, over all contributors.
    pub saturated: u64,
    /// Whether a contributor's value was cut off by its clip.
    cut_off: Vec<bool>,
    clips: Vec<f64>,
}

impl ExpectedUpdate {
    /// Adds up the contributors' changes of `model`, given one after another, for a session of `joined` hospitals.
    pub fn new(
        model: &CommonModel,
        changes: impl Iterator<Item = Vec<f64>>,
        joined: usize,
    ) -> Self {
        let clips = clip_of_each_value(model);
        let mut sum = Self {
            values: vec![0; clips.len()],
            mean: vec![0.0; clips.len()],
            saturated: 0,
            cut_off: vec![false; clips.len()],
            clips,
        };
        let mut contributors = 0_u32;
        for change in changes {
            contributors += 1;
            let largest = largest_value(joined);
            let own = sum
                .values
                .par_iter_mut()
                .zip(&mut sum.mean)
                .zip(&mut sum.cut_off)
                .zip(&change)
                .zip(&sum.clips);
            sum.saturated += own
                .map(|((((value, mean), cut_off), change), clip)| {
                    let (quantised, saturated) = quantise(*change, *clip, largest);
                    *value += quantised;
                    *mean += change;
                    *cut_off |= saturated;
                    u64::from(saturated)
                })
                .sum::<u64>();
        }
        let count = f64::from(contributors.max(1));
        sum.mean.par_iter_mut().for_each(|mean| *mean /= count);
        sum
    }

    /// The largest difference of `mean` from the mean of the floats.
    pub fn largest_error(&self, mean: &[f64], joined: usize) -> MeanError {
        let values = self
            .mean
            .par_iter()
            .zip(mean)
            .zip(&self.clips)
            .zip(&self.cut_off);
        let errors = values.map(|(((expected, found), clip), cut_off)| {
            let error = (expected - found).abs() / clip;
            // A value that is no number is no small error.
            let error = if error.is_nan() { f64::INFINITY } else { error };
            (error, if *cut_off { 0.0 } else { error })
        });
        let larger =
            |left: (f64, f64), right: (f64, f64)| (left.0.max(right.0), left.1.max(right.1));
        let (over_clip, inside) = errors.reduce(|| (0.0, 0.0), larger);
        let step_over_clip = 1.0 / largest_value(joined);
        MeanError {
            over_clip,
            over_step: over_clip / step_over_clip,
            inside_clip_over_step: inside / step_over_clip,
        }
    }
}

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

/// What training changed in the common model, in the order of the layout; in the place of what the vault keeps stands what it puts there.
pub fn change(
    manifest: &Manifest,
    model: &CommonModel,
    update: &TrainedUpdate,
    features: &[ScaledFeatures],
    round: LearningRound,
) -> Vec<f64> {
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
    let mut change = Vec::with_capacity(before.len());
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
    change
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
fn quantise(value: f64, clip: f64, largest: f64) -> (u64, bool) {
    let steps = (value / (clip / largest)).round_ties_even();
    let offset = largest + 1.0;
    (
        (steps.clamp(-largest, largest) + offset) as u64,
        steps.abs() > largest,
    )
}

/// 2^(B-1) - 1 with B = 24 - ceil(log2 of the joined hospitals).
fn largest_value(joined: usize) -> f64 {
    let bits = 24 - (joined as f64).log2().ceil() as i32;
    2_f64.powi(bits - 1) - 1.0
}

fn clip_of_each_value(model: &CommonModel) -> Vec<f64> {
    let tensors = model.layout().tensors.iter().zip(model.clips());
    tensors
        .flat_map(|(tensor, &clip)| std::iter::repeat_n(clip, tensor.values()))
        .collect()
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
