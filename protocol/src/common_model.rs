//! The state that every hospital holds alike (PROTOCOL.md 3.3, 3.7): tensors, moments of the server's optimiser, clips and the count of
//! null steps, under one hash.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use crypto::sealed_sum::{ClippedTensor, MeanSquares, Reals};

use crate::{
    codec,
    digests::{LearningRound, ModelHash},
    manifest::{ADAPTIVE_CLIPS, Manifest},
    network::{CONDITIONED_SLOPE, LATE_WEIGHT, ModelLayout, TensorKind},
    server_optimiser::{ServerOptimiser, plain},
    strategy::Strategy,
};

/// The common model. Every hospital applies the same means in the same order of operations, so the hash agrees bit for bit.
#[derive(Clone)]
pub struct CommonModel {
    layout: Arc<ModelLayout>,
    values: Arc<Vec<f32>>,
    strategy: Strategy,
    optimiser: ServerOptimiser,
    clips: Vec<f64>,
    clips_adapt: bool,
    /// The tensors that vaults keep, and in which learning rounds they move.
    kept_by_vault: &'static [&'static str],
    conditioning_every: u32,
    null_steps: u32,
    /// Digests of the values as they are, once somebody has asked.
    starts: OnceLock<Starts>,
}

/// What a training starts from, as digests.
#[derive(Clone, Copy)]
struct Starts {
    whole: [u8; 32],
    common: [u8; 32],
}

impl CommonModel {
    /// The initial model of a run.
    pub fn initial(manifest: &Manifest) -> Self {
        Self::beginning_with(
            manifest,
            manifest.layout.initial_values(&manifest.init_seed),
        )
    }

    /// A model of these values that no round has moved: first clips, moments as they begin.
    ///
    /// # Panics
    /// If there are not as many values as the layout has.
    pub(crate) fn beginning_with(manifest: &Manifest, values: Vec<f32>) -> Self {
        assert_eq!(
            values.len(),
            manifest.layout.values(),
            "values of another layout"
        );
        Self {
            layout: Arc::new(manifest.layout.clone()),
            values: Arc::new(values),
            strategy: manifest.strategy,
            optimiser: ServerOptimiser::initial(manifest.strategy, manifest.layout.values()),
            clips: manifest
                .layout
                .tensors
                .iter()
                .map(|tensor| manifest.first_clip(tensor.kind))
                .collect(),
            clips_adapt: manifest.clip_rule == ADAPTIVE_CLIPS,
            kept_by_vault: manifest.kept_by_vault(),
            conditioning_every: manifest.conditioning_every,
            null_steps: 0,
            starts: OnceLock::new(),
        }
    }

    /// The model of a run as it was kept: `values` in the order of the manifest's layout, and what its hash covers beside them. None
    /// when a length is not the layout's, or the moments are not those of the manifest's strategy.
    pub fn restored(
        manifest: &Manifest,
        values: Vec<f32>,
        moments: Vec<Vec<f32>>,
        clips: Vec<f64>,
        null_steps: u32,
    ) -> Option<Self> {
        let layout = Arc::new(manifest.layout.clone());
        let strategy = manifest.strategy;
        let optimiser = ServerOptimiser::restored(strategy, layout.values(), moments)?;
        let fits = values.len() == layout.values() && clips.len() == layout.tensors.len();
        fits.then(|| Self {
            layout,
            values: Arc::new(values),
            strategy,
            optimiser,
            clips,
            clips_adapt: manifest.clip_rule == ADAPTIVE_CLIPS,
            kept_by_vault: manifest.kept_by_vault(),
            conditioning_every: manifest.conditioning_every,
            null_steps,
            starts: OnceLock::new(),
        })
    }

    /// How many rounds were settled without a step.
    pub fn null_steps(&self) -> u32 {
        self.null_steps
    }

    /// A round is settled without a step: nothing moves but the count, and with it the hash.
    pub fn take_null_step(&mut self) {
        self.null_steps += 1;
    }

    /// The same model after so many null steps.
    #[must_use]
    pub fn with_null_steps(mut self, null_steps: u32) -> Self {
        self.null_steps = null_steps;
        self
    }

    /// The tensors' names and shapes.
    pub fn layout(&self) -> &Arc<ModelLayout> {
        &self.layout
    }

    /// All values, flat, in the order of the layout.
    pub fn values(&self) -> &Arc<Vec<f32>> {
        &self.values
    }

    /// How the mean of the updates moves it.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The moments of the server's optimiser, in the order of [`Strategy::moments`]: each as long as [`Self::values`], and in the same
    /// order.
    pub fn moments(&self) -> Vec<&[f32]> {
        self.optimiser.moments()
    }

    /// What a trainer gets of the model: all of it but what the vault keeps. With that, what it gets of each patient would give the
    /// clinical features.
    pub fn for_trainer(&self) -> Vec<f32> {
        self.layout.without(self.kept_by_vault, &self.values)
    }

    /// c, one clip a tensor. For vaults only: the coordinator never sees one after the first.
    pub fn clips(&self) -> &[f64] {
        &self.clips
    }

    /// The clips with their tensors' sizes, as the sealed sum takes them.
    pub fn clipped_tensors(&self) -> Vec<ClippedTensor> {
        let pairs = self.layout.tensors.iter().zip(&self.clips);
        pairs
            .map(|(tensor, &clip)| ClippedTensor {
                values: tensor.values(),
                clip,
            })
            .collect()
    }

    /// `model_hash`: H('model' || tensors || moments || clips || null steps). Strategies without moments add nothing for them.
    pub fn hash(&self) -> ModelHash {
        model_hash(&self.values, &self.moments(), &self.clips, self.null_steps)
    }

    /// A digest of layout and values alone: the start of a training, whatever the run makes of it. Computed once for the values as they
    /// are, as is the other one.
    pub fn start_hash(&self) -> [u8; 32] {
        self.starts().whole
    }

    /// The same of the values alone that every form of conditioning begins with: what is trained from them in one run may be what is
    /// trained in another, of another form or of other features, as [`CONDITIONED_SLOPE`] and [`LATE_WEIGHT`] begin at zero.
    pub fn common_start_hash(&self) -> [u8; 32] {
        self.starts().common
    }

    fn starts(&self) -> Starts {
        *self.starts.get_or_init(|| Starts {
            whole: self.digest_of_whole(),
            common: self.digest_of_common(),
        })
    }

    fn digest_of_whole(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"sealed-sum/S1/start\0");
        context.update(&codec::encode(self.layout.as_ref()));
        update_with(&mut context, &self.values);
        digest_bytes(context)
    }

    fn digest_of_common(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"sealed-sum/S1/common-start\0");
        let own = [CONDITIONED_SLOPE, LATE_WEIGHT];
        let mut rest = self.values.as_slice();
        for tensor in self.layout.tensors.iter() {
            let (values, after) = rest.split_at(tensor.values());
            rest = after;
            if !own.contains(&tensor.name.0.as_str()) {
                update_with(&mut context, values);
            }
        }
        digest_bytes(context)
    }

    /// Moves the weights by the mean of the contributors' changes as the strategy says, and by the mean itself what is no weight; keeps
    /// variances and W within their bounds, and moves the clips by the manifest's rule.
    ///
    /// A running statistic of a batch norm is an average: a momentum of it would be the statistic of no data. W follows its plain
    /// gradient at a rate of its own; without conditioning it moves like them. What the vaults keep stays as it is but in every k-th
    /// learning round, where the manifest says so.
    ///
    /// # Panics
    /// If `mean` has another length than the model: both come from one layout.
    pub fn apply_mean(
        &mut self,
        mean: &(impl Reals + ?Sized),
        contributors: usize,
        round: LearningRound,
    ) {
        let count = self.values.len();
        assert_eq!(mean.count(), count, "a mean of another model");
        self.starts = OnceLock::new();
        let values = Arc::make_mut(&mut self.values);
        let mut start = 0;
        let mut block_of_means = vec![0.0; BLOCK];
        for (tensor, clip) in self.layout.tensors.iter().zip(&mut self.clips) {
            let range = start..start + tensor.values();
            start = range.end;
            let is_kept = self.kept_by_vault.contains(&tensor.name.0.as_str());
            if is_kept && !round.get().is_multiple_of(self.conditioning_every) {
                continue;
            }
            let mut squares = MeanSquares::default();
            for first in range.clone().step_by(BLOCK) {
                let block = first..range.end.min(first + BLOCK);
                let mean_of_block = &mut block_of_means[..block.len()];
                mean.read(first, mean_of_block);
                squares.add(mean_of_block);
                let values = &mut values[block.clone()];
                match tensor.kind {
                    TensorKind::Weight => self.optimiser.step(block, values, mean_of_block),
                    TensorKind::Conditioned => move_by(values, mean_of_block, |moved| {
                        moved.clamp(-MAX_CONDITIONED_WEIGHT, MAX_CONDITIONED_WEIGHT)
                    }),
                    TensorKind::RunningMean => move_by(values, mean_of_block, |moved| moved),
                    TensorKind::RunningVariance => move_by(values, mean_of_block, |moved| {
                        moved.max(MIN_RUNNING_VARIANCE)
                    }),
                }
            }
            if self.clips_adapt {
                *clip = squares.next_clip(*clip, contributors);
            }
        }
    }
}

/// So many means are at hand at a time.
const BLOCK: usize = 4096;

/// As [`CommonModel::hash`], of a model whose parts lie in files: `values` in the order of the layout, `moments` each as long.
pub fn model_hash(values: &[f32], moments: &[&[f32]], clips: &[f64], null_steps: u32) -> ModelHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"sealed-sum/S1/model\0");
    update_with(&mut context, values);
    for moment in moments {
        update_with(&mut context, moment);
    }
    context.update(&(clips.len() as u64).to_le_bytes());
    for clip in clips {
        context.update(&clip.to_le_bytes());
    }
    context.update(&null_steps.to_le_bytes());
    ModelHash::from_bytes(digest_bytes(context))
}

/// The mean, and then the bounds of such values.
fn move_by(values: &mut [f32], mean: &[f64], bound: impl Fn(f32) -> f32) {
    for (value, &change) in values.iter_mut().zip(mean) {
        *value = bound(plain(*value, change));
    }
}

/// Their number, then the values as little-endian words. The digest runs over 17 MB: it is fed in blocks, without a second copy of the
/// model.
fn update_with(context: &mut digest::Context, values: &[f32]) {
    context.update(&(values.len() as u64).to_le_bytes());
    let mut buffer = [0; 4 * 4096];
    for block in values.chunks(4096) {
        let bytes = &mut buffer[..size_of_val(block)];
        codec::write_little_endian(block, bytes);
        context.update(bytes);
    }
}

/// The smallest running variance of a batch norm: its root divides.
pub(crate) const MIN_RUNNING_VARIANCE: f32 = 1e-5;
/// The largest magnitude of an entry of W.
pub(crate) const MAX_CONDITIONED_WEIGHT: f32 = 16.0;

fn digest_bytes(context: digest::Context) -> [u8; 32] {
    let bytes = context.finish();
    bytes.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::{Conditioning, ConditioningForm, FIXED_CLIPS, testing::manifest},
        network::{CONDITIONED_WEIGHT, testing::miniature},
        strategy::testing::EACH,
    };

    #[test]
    fn the_hash_covers_values_clips_and_null_steps() {
        let model = CommonModel::initial(&manifest());
        let mut value = model.clone();
        Arc::make_mut(&mut value.values)[17] += 1e-3;
        let mut clip = model.clone();
        clip.clips[0] *= 2.0;
        let mut null_step = model.clone();
        null_step.null_steps = 1;
        assert_eq!(model.hash(), CommonModel::initial(&manifest()).hash());
        for other in [value, clip, null_step] {
            assert_ne!(other.hash(), model.hash());
        }
    }

    #[test]
    fn a_mean_moves_the_model_within_its_bounds() {
        let mut model = CommonModel::initial(&manifest());
        let layout = model.layout().clone();
        let before = model.values().clone();
        let mut mean = vec![0.0; layout.values()];
        let variance = layout.range("block1.norm.running_var").expect("present");
        let conditioned = layout.range(CONDITIONED_WEIGHT).expect("present");
        let bias = layout.range("dense.bias").expect("present");
        mean[variance.start] = -5.0;
        mean[conditioned.start] = 100.0;
        mean[bias.start] = 0.25;
        model.apply_mean(&mean, 3, LearningRound::new(1));
        assert_eq!(model.values()[variance.start], 1e-5);
        assert_eq!(model.values()[conditioned.start], 16.0);
        assert_eq!(model.values()[bias.start], before[bias.start] + 0.25);
        assert_eq!(model.values()[bias.start + 1], before[bias.start + 1]);
    }

    /// Tensors of more values than are read at a time, each moved and its clip taken as a whole.
    #[test]
    fn a_model_moves_by_blocks_as_by_whole_tensors() {
        let mut model = CommonModel::initial(&Manifest {
            clip_rule: ADAPTIVE_CLIPS,
            ..manifest()
        });
        let before = model.clone();
        let mean: Vec<f64> = (0..model.values().len())
            .map(|index| (index as f64).sin() * 1e-3)
            .collect();
        let sizes: Vec<_> = before.layout().tensors.iter().collect();
        assert!(sizes.iter().any(|tensor| tensor.values() > 3 * BLOCK));
        model.apply_mean(&mean, 3, LearningRound::new(1));
        let (mut start, mut moved) = (0, 0);
        for ((tensor, before_clip), clip) in sizes.iter().zip(before.clips()).zip(model.clips()) {
            let range = start..start + tensor.values();
            start = range.end;
            let of_tensor = &mean[range.clone()];
            assert_eq!(
                *clip,
                crypto::sealed_sum::next_clip(*before_clip, 3, of_tensor)
            );
            if tensor.kind == TensorKind::Weight {
                let pairs = before.values()[range.clone()].iter().zip(of_tensor);
                let expected: Vec<f32> = pairs
                    .map(|(value, mean)| (f64::from(*value) + mean) as f32)
                    .collect();
                assert_eq!(model.values()[range], expected);
                moved += 1;
            }
        }
        assert!(moved > 3);
    }

    fn of_strategy(strategy: Strategy) -> Manifest {
        Manifest {
            strategy,
            layout: miniature(2, 16),
            ..manifest()
        }
    }

    /// A mean that differs from value to value.
    fn mean(model: &CommonModel) -> Vec<f64> {
        let values = model.values().len();
        (0..values)
            .map(|index| index as f64 * 1e-4 - 2e-3)
            .collect()
    }

    #[test]
    fn statistics_and_w_move_by_the_mean_whatever_the_strategy() {
        let mut average = CommonModel::initial(&of_strategy(Strategy::FedAvg));
        let mean = mean(&average);
        average.apply_mean(&mean, 3, LearningRound::new(1));
        for strategy in EACH {
            let mut model = CommonModel::initial(&of_strategy(strategy));
            model.apply_mean(&mean, 3, LearningRound::new(1));
            let has_moments = !strategy.moments().is_empty();
            let mut start = 0;
            for tensor in model.layout().tensors.iter() {
                let range = start..start + tensor.values();
                start = range.end;
                let alike = model.values()[range.clone()] == average.values()[range.clone()];
                let moved = tensor.kind == TensorKind::Weight && has_moments;
                assert_eq!(alike, !moved, "{strategy}: {:?}", tensor.name);
                if tensor.kind != TensorKind::Weight {
                    let began = CommonModel::initial(&of_strategy(strategy));
                    let moments = model.moments().into_iter().zip(began.moments());
                    for (moment, began) in moments {
                        assert_eq!(moment[range.clone()], began[range.clone()]);
                    }
                }
            }
        }
    }

    #[test]
    fn the_hash_covers_every_moment_and_without_any_is_that_of_federated_averaging() {
        let hash = |strategy| CommonModel::initial(&of_strategy(strategy)).hash();
        assert_eq!(hash(Strategy::FedAvg), hash(Strategy::FedProx { mu: 0.5 }));
        assert_ne!(hash(Strategy::FedAvg), hash(Strategy::FEDAVGM));
        for strategy in EACH {
            let manifest = of_strategy(strategy);
            let mut model = CommonModel::initial(&manifest);
            model.apply_mean(&mean(&model), 3, LearningRound::new(1));
            let restored = |moments: Vec<Vec<f32>>| {
                let values = model.values().to_vec();
                CommonModel::restored(&manifest, values, moments, model.clips().to_vec(), 0)
            };
            let kept: Vec<Vec<f32>> = model.moments().into_iter().map(<[f32]>::to_vec).collect();
            let same = restored(kept.clone()).expect("its own moments");
            assert_eq!(same.hash(), model.hash());
            for place in 0..kept.len() {
                let mut altered = kept.clone();
                altered[place][7] += 1e-3;
                assert_ne!(restored(altered).expect("as many").hash(), model.hash());
                assert!(restored(kept[..place].to_vec()).is_none());
            }
        }
    }

    #[test]
    fn a_model_that_was_kept_between_rounds_goes_on_as_one_that_was_not() {
        for strategy in EACH {
            let manifest = of_strategy(strategy);
            let mut undisturbed = CommonModel::initial(&manifest);
            let mut restarted = undisturbed.clone();
            for round in 1..=4 {
                let mean: Vec<f64> = mean(&undisturbed)
                    .iter()
                    .map(|change| change / f64::from(round))
                    .collect();
                undisturbed.apply_mean(&mean, 3, LearningRound::new(round));
                restarted.apply_mean(&mean, 3, LearningRound::new(round));
                let moments = restarted.moments().into_iter().map(<[f32]>::to_vec);
                restarted = CommonModel::restored(
                    &manifest,
                    restarted.values().to_vec(),
                    moments.collect(),
                    restarted.clips().to_vec(),
                    restarted.null_steps(),
                )
                .expect("its own");
                assert_eq!(undisturbed.hash(), restarted.hash(), "{strategy}");
            }
        }
    }

    #[test]
    fn a_start_is_that_of_the_values_as_they_are() {
        let manifest = manifest();
        let mut model = CommonModel::initial(&manifest);
        let starts = |model: &CommonModel| (model.start_hash(), model.common_start_hash());
        let first = starts(&model);
        model.take_null_step();
        assert_eq!(starts(&model), first);
        let mean = vec![0.25; model.values().len()];
        model.apply_mean(&mean, 3, 1.into());
        let moved = starts(&model);
        assert!(moved.0 != first.0 && moved.1 != first.1);
        let values = model.values().to_vec();
        let moments = model.moments().into_iter().map(<[f32]>::to_vec);
        let fresh = CommonModel::restored(
            &manifest,
            values,
            moments.collect(),
            model.clips().to_vec(),
            0,
        );
        assert_eq!(starts(&fresh.expect("its own")), moved);
    }

    fn of_form(conditioning: Conditioning, form: ConditioningForm) -> Manifest {
        Manifest {
            conditioning,
            conditioning_form: form,
            layout: ModelLayout::of(2, form, 9),
            ..manifest()
        }
    }

    /// An operator that signs two runs of one seed can not make them look like trainings from two starts.
    #[test]
    fn forms_and_features_do_not_change_what_runs_of_one_seed_have_in_common() {
        let with_features = |count: usize| Manifest {
            layout: ModelLayout::of(2, ConditioningForm::Late, count),
            ..of_form(Conditioning::Plain, ConditioningForm::Late)
        };
        let runs = [
            of_form(Conditioning::None, ConditioningForm::Study),
            of_form(Conditioning::Plain, ConditioningForm::Additive),
            with_features(9),
            with_features(4),
        ];
        let starts = runs.each_ref().map(CommonModel::initial);
        for (place, start) in starts.iter().enumerate() {
            assert_eq!(start.common_start_hash(), starts[0].common_start_hash());
            let mut before = starts[..place].iter();
            assert!(before.all(|other| other.start_hash() != start.start_hash()));
        }
        let other_seed = Manifest {
            init_seed: [6; 32],
            ..runs[0].clone()
        };
        let other_seed = CommonModel::initial(&other_seed).common_start_hash();
        assert_ne!(other_seed, starts[0].common_start_hash());
    }

    #[test]
    fn a_trainer_gets_everything_but_what_the_vault_keeps() {
        let unconditioned = of_form(Conditioning::None, ConditioningForm::Study);
        let model = CommonModel::initial(&unconditioned);
        assert_eq!(model.for_trainer(), **model.values());
        for &form in ConditioningForm::ALL {
            let model = CommonModel::initial(&of_form(Conditioning::EncryptedHardened, form));
            let kept = form.tensors().iter();
            let kept: usize = kept
                .map(|name| model.layout().range(name).expect("its own").len())
                .sum();
            let found = model.for_trainer();
            assert_eq!(found.len() + kept, model.values().len());
            assert_eq!(
                found,
                model.layout().without(form.tensors(), model.values())
            );
        }
    }

    #[test]
    fn what_the_vault_keeps_moves_in_every_kth_round_alone() {
        for &form in ConditioningForm::ALL {
            let manifest = Manifest {
                conditioning_every: 3,
                ..of_form(Conditioning::Plain, form)
            };
            let mut model = CommonModel::initial(&manifest);
            let mean = vec![0.01; model.values().len()];
            for round in 1..=7 {
                let before = model.clone();
                model.apply_mean(&mean, 3, LearningRound::new(round));
                for tensor in before.layout().tensors.iter() {
                    let name = tensor.name.0.as_str();
                    let range = before.layout().range(name).expect("present");
                    let moved = before.values()[range.clone()] != model.values()[range];
                    let expected = !form.tensors().contains(&name) || round % 3 == 0;
                    assert_eq!(moved, expected, "{form}: {name} in round {round}");
                }
            }
        }
    }

    #[test]
    fn clips_adapt_or_stay_as_the_manifest_says() {
        for (clip_rule, factor) in [(ADAPTIVE_CLIPS, 0.25), (FIXED_CLIPS, 1.0)] {
            let mut model = CommonModel::initial(&Manifest {
                clip_rule,
                ..manifest()
            });
            let before = model.clips().to_vec();
            model.apply_mean(
                &vec![0.0; model.layout().values()],
                3,
                LearningRound::new(1),
            );
            assert!(
                model
                    .clips()
                    .iter()
                    .zip(&before)
                    .all(|(after, before)| *after == before * factor)
            );
        }
    }
}
