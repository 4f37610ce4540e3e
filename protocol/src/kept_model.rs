//! A run that starts from a model of an earlier one: how the manifest names it, and the state that the run begins in.
//!
//! The manifest names the values alone. Clips are those of the new manifest: the coordinator, which does not see the model, can compute
//! what the first header names as `model_hash` (PROTOCOL.md 3.2).

use crypto::hash::labelled_hash;

use crate::{
    codec,
    common_model::{CommonModel, MAX_CONDITIONED_WEIGHT, MIN_RUNNING_VARIANCE},
    digests::{ModelHash, WeightsHash},
    manifest::Manifest,
    network::{ModelLayout, TensorKind},
};

/// H('weights' || layout || values as little-endian float32 in the layout's order). A file's own order, notes and padding do not change
/// it.
pub fn weights_hash(layout: &ModelLayout, values: &[f32]) -> WeightsHash {
    let values = codec::little_endian(values);
    labelled_hash("weights", &[&codec::encode(layout), &values]).into()
}

/// `model_hash` of the state that a run begins in, which follows from its manifest: that of the model of `init_seed`, or
/// H('kept-model' || weights || first clips) of a kept one.
pub fn initial_model_hash(manifest: &Manifest) -> ModelHash {
    let Some(weights) = &manifest.initial_model else {
        return CommonModel::initial(manifest).hash();
    };
    let clips: Vec<u8> = first_clips(manifest)
        .into_iter()
        .flat_map(f64::to_le_bytes)
        .collect();
    labelled_hash("kept-model", &[weights.as_bytes(), &clips]).into()
}

/// The state of a run that begins with these values of a kept model, in the order of the manifest's layout.
///
/// # Errors
/// [`UnusableValues`] when another length, a value that is not finite, or one outside the bounds that every update keeps shows that no
/// run of this network has left them.
pub fn starting_from(manifest: &Manifest, values: Vec<f32>) -> Result<CommonModel, UnusableValues> {
    let expected = manifest.layout.values();
    if values.len() != expected {
        let found = values.len();
        return Err(UnusableValues::Length { expected, found });
    }
    let mut rest = values.as_slice();
    for tensor in manifest.layout.tensors.iter() {
        let (of_tensor, after) = rest.split_at(tensor.values());
        rest = after;
        if !of_tensor.iter().all(|value| is_usable(tensor.kind, *value)) {
            let tensor = tensor.name.0.clone();
            return Err(UnusableValues::OutOfRange { tensor });
        }
    }
    Ok(CommonModel::beginning_with(manifest, values))
}

fn first_clips(manifest: &Manifest) -> Vec<f64> {
    let tensors = manifest.layout.tensors.iter();
    tensors
        .map(|tensor| manifest.first_clip(tensor.kind))
        .collect()
}

fn is_usable(kind: TensorKind, value: f32) -> bool {
    value.is_finite()
        && match kind {
            TensorKind::RunningVariance => value >= MIN_RUNNING_VARIANCE,
            TensorKind::Conditioned => value.abs() <= MAX_CONDITIONED_WEIGHT,
            TensorKind::Weight | TensorKind::RunningMean => true,
        }
}

/// Values that no run of this network has left.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnusableValues {
    /// Not as many as the layout has.
    #[error("it has {found} values, the network {expected}")]
    Length {
        /// Values of the layout.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// Not finite, a variance that is not positive, or an entry of W beyond 16.
    #[error(
        "tensor {tensor} has a value that no training leaves: it is not finite or out of range"
    )]
    OutOfRange {
        /// Its name.
        tensor: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::testing::manifest,
        network::{CONDITIONED_WEIGHT, testing::miniature},
    };

    fn small() -> Manifest {
        Manifest {
            layout: miniature(2, 16),
            ..manifest()
        }
    }

    fn kept() -> (Manifest, Vec<f32>) {
        let manifest = small();
        let values = manifest.layout.initial_values(&[9; 32]);
        let weights = weights_hash(&manifest.layout, &values);
        let manifest = Manifest {
            initial_model: Some(weights),
            ..manifest
        };
        (manifest, values)
    }

    #[test]
    fn the_hash_of_weights_covers_every_value_and_the_layout() {
        let (manifest, values) = kept();
        let hash = |layout: &ModelLayout, values: &[f32]| weights_hash(layout, values);
        let known = hash(&manifest.layout, &values);
        let mut moved = values.clone();
        moved[5] = f32::from_bits(moved[5].to_bits() ^ 1);
        assert_ne!(hash(&manifest.layout, &moved), known);
        let mut renamed = manifest.layout.clone();
        renamed.tensors.0[0].name = "other".into();
        assert_ne!(hash(&renamed, &values), known);
    }

    /// The literal hashes: another implementation must come to them.
    #[test]
    fn known_answers() {
        let layout = ModelLayout {
            tensors: crate::codec::List(vec![crate::network::TensorSpec {
                name: "w".into(),
                shape: crate::codec::List(vec![2]),
                kind: TensorKind::Weight,
            }]),
        };
        let weights = weights_hash(&layout, &[1.0, -0.5]);
        let manifest = Manifest {
            layout,
            initial_model: Some(weights),
            ..manifest()
        };
        assert_eq!(
            (
                hex::encode(weights).as_str(),
                hex::encode(initial_model_hash(&manifest)).as_str()
            ),
            (WEIGHTS, INITIAL)
        );
    }

    const WEIGHTS: &str = "ab7f04b903e79eaff75266c295541ea5f98d218a71417b4ea5e1f4c4856bb8ab";
    const INITIAL: &str = "df80defcc8e685935ebd1dbd72dccf3e6a4614eaba6b5b51eb4b97bd052553bb";

    #[test]
    fn the_state_at_the_start_follows_from_the_manifest_without_the_model() {
        let seeded = small();
        let initial = CommonModel::initial(&seeded).hash();
        assert_eq!(initial_model_hash(&seeded), initial);
        let (manifest, values) = kept();
        let model = starting_from(&manifest, values.clone()).expect("usable");
        assert_eq!(**model.values(), values);
        assert_eq!(model.clips(), CommonModel::initial(&seeded).clips());
        let hash = initial_model_hash(&manifest);
        assert_ne!(hash, initial);
        let other_clips = Manifest {
            learning_rate: 2.0 * manifest.learning_rate,
            ..manifest.clone()
        };
        assert_ne!(initial_model_hash(&other_clips), hash);
        let other_weights = Manifest {
            initial_model: Some([1; 32].into()),
            ..manifest
        };
        assert_ne!(initial_model_hash(&other_weights), hash);
    }

    #[test]
    fn values_that_no_run_leaves_are_refused_with_their_tensor() {
        let (manifest, values) = kept();
        let check = |values| starting_from(&manifest, values).err();
        let (expected, found) = (values.len(), values.len() - 1);
        assert_eq!(
            check(values[1..].to_vec()),
            Some(UnusableValues::Length { expected, found })
        );
        let conditioned = manifest.layout.range(CONDITIONED_WEIGHT).expect("present");
        for (place, value) in [
            (0, f32::NAN),
            (0, f32::INFINITY),
            (conditioned.start, 16.5),
            (conditioned.start, -16.5),
        ] {
            let mut spoilt = values.clone();
            spoilt[place] = value;
            assert!(
                matches!(check(spoilt), Some(UnusableValues::OutOfRange { .. })),
                "{value} at {place}"
            );
        }
    }
}
