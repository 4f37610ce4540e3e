//! The state that every hospital holds alike (PROTOCOL.md 3.3, 3.7): tensors, clips and the count of null steps, under one hash.

use std::sync::Arc;

use aws_lc_rs::digest;
use crypto::sealed_sum::{ClippedTensor, next_clip};

use crate::{
    digests::ModelHash,
    manifest::{ADAPTIVE_CLIPS, Conditioning, Manifest},
    network::{CONDITIONED_VALUES, CONDITIONED_WEIGHT, ModelLayout, TensorKind},
};

/// The common model. Every hospital applies the same means in the same order of operations, so the hash agrees bit for bit.
#[derive(Clone)]
pub struct CommonModel {
    layout: Arc<ModelLayout>,
    values: Arc<Vec<f32>>,
    clips: Vec<f64>,
    clips_adapt: bool,
    null_steps: u32,
}

impl CommonModel {
    /// The initial model of a run.
    pub fn initial(manifest: &Manifest) -> Self {
        Self {
            layout: Arc::new(manifest.layout.clone()),
            values: Arc::new(manifest.layout.initial_values(&manifest.init_seed)),
            clips: manifest
                .layout
                .tensors
                .iter()
                .map(|tensor| manifest.first_clip(tensor.kind))
                .collect(),
            clips_adapt: manifest.clip_rule == ADAPTIVE_CLIPS,
            null_steps: 0,
        }
    }

    /// The model of a run as it was kept: `values` in the order of the manifest's layout, and what its hash covers beside them. None
    /// when a length is not the layout's.
    pub fn restored(
        manifest: &Manifest,
        values: Vec<f32>,
        clips: Vec<f64>,
        null_steps: u32,
    ) -> Option<Self> {
        let layout = Arc::new(manifest.layout.clone());
        let fits = values.len() == layout.values() && clips.len() == layout.tensors.len();
        fits.then(|| Self {
            layout,
            values: Arc::new(values),
            clips,
            clips_adapt: manifest.clip_rule == ADAPTIVE_CLIPS,
            null_steps,
        })
    }

    /// How many rounds were settled without a step.
    pub fn null_steps(&self) -> u32 {
        self.null_steps
    }

    /// The tensors' names and shapes.
    pub fn layout(&self) -> &Arc<ModelLayout> {
        &self.layout
    }

    /// All values, flat, in the order of the layout.
    pub fn values(&self) -> &Arc<Vec<f32>> {
        &self.values
    }

    /// What a trainer gets of the model: all of it or, when filters are used, all but W. With W the filters would give the clinical
    /// features.
    pub fn for_trainer(&self, conditioning: Conditioning) -> Vec<f32> {
        let mut values = self.values.to_vec();
        if conditioning.uses_filters() {
            values.drain(self.conditioned_range());
        }
        values
    }

    /// W, the conditioned weights.
    pub fn conditioned_weights(&self) -> [f64; CONDITIONED_VALUES] {
        let start = self.conditioned_range().start;
        std::array::from_fn(|entry| f64::from(self.values[start + entry]))
    }

    fn conditioned_range(&self) -> std::ops::Range<usize> {
        self.layout
            .range(CONDITIONED_WEIGHT)
            .expect("a checked manifest has the hybrid network's layout")
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

    /// `model_hash`: H('model' || tensors || server-optimiser state || clips || null steps). Federated averaging has no optimiser
    /// state.
    pub fn hash(&self) -> ModelHash {
        // The digest runs over 17 MB; it is fed tensor by tensor, in little-endian words, without a second copy of the model.
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"sealed-sum/S1/model\0");
        context.update(&(self.values.len() as u64).to_le_bytes());
        let mut buffer = Vec::with_capacity(4 * 4096);
        for block in self.values.chunks(4096) {
            buffer.clear();
            buffer.extend(block.iter().flat_map(|value| value.to_le_bytes()));
            context.update(&buffer);
        }
        context.update(&(self.clips.len() as u64).to_le_bytes());
        for clip in &self.clips {
            context.update(&clip.to_le_bytes());
        }
        context.update(&self.null_steps.to_le_bytes());
        let hash: [u8; 32] = context
            .finish()
            .as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes");
        ModelHash::from_bytes(hash)
    }

    /// Federated averaging: adds the mean of the contributors' changes, keeps variances and W within their bounds, and moves the
    /// clips by the manifest's rule.
    ///
    /// # Panics
    /// If `mean` has another length than the model: both come from one layout.
    pub fn apply_mean(&mut self, mean: &[f64], contributors: usize) {
        assert_eq!(mean.len(), self.values.len(), "a mean of another model");
        let values = Arc::make_mut(&mut self.values);
        let mut start = 0;
        for (tensor, clip) in self.layout.tensors.iter().zip(&mut self.clips) {
            let range = start..start + tensor.values();
            start = range.end;
            let mean = &mean[range.clone()];
            for (value, change) in values[range].iter_mut().zip(mean) {
                let moved = (f64::from(*value) + change) as f32;
                *value = match tensor.kind {
                    TensorKind::RunningVariance => moved.max(LEAST_VARIANCE),
                    TensorKind::Conditioned => {
                        moved.clamp(-LARGEST_CONDITIONED, LARGEST_CONDITIONED)
                    }
                    TensorKind::Weight | TensorKind::RunningMean => moved,
                };
            }
            if self.clips_adapt {
                *clip = next_clip(*clip, contributors, mean);
            }
        }
    }
}

pub(crate) const LEAST_VARIANCE: f32 = 1e-5;
pub(crate) const LARGEST_CONDITIONED: f32 = 16.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{FIXED_CLIPS, testing::manifest};

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
        model.apply_mean(&mean, 3);
        assert_eq!(model.values()[variance.start], 1e-5);
        assert_eq!(model.values()[conditioned.start], 16.0);
        assert_eq!(model.values()[bias.start], before[bias.start] + 0.25);
        assert_eq!(model.values()[bias.start + 1], before[bias.start + 1]);
    }

    #[test]
    fn a_trainer_with_filters_gets_everything_but_w() {
        let model = CommonModel::initial(&manifest());
        assert_eq!(
            model.for_trainer(Conditioning::None),
            **model.values(),
            "nothing is conditioned"
        );
        let range = model.layout().range(CONDITIONED_WEIGHT).expect("present");
        let without = model.for_trainer(Conditioning::EncryptedHardened);
        assert_eq!(without[..range.start], model.values()[..range.start]);
        assert_eq!(without[range.start..], model.values()[range.end..]);
        let weights = model.conditioned_weights().map(|value| value as f32);
        assert_eq!(weights, model.values()[range]);
    }

    #[test]
    fn clips_adapt_or_stay_as_the_manifest_says() {
        for (clip_rule, factor) in [(ADAPTIVE_CLIPS, 0.25), (FIXED_CLIPS, 1.0)] {
            let mut model = CommonModel::initial(&Manifest {
                clip_rule,
                ..manifest()
            });
            let before = model.clips().to_vec();
            model.apply_mean(&vec![0.0; model.layout().values()], 3);
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
