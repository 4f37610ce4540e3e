//! `run.initial_model`: the kept model that a run starts from, named by a file or by its hash.
//!
//! Whoever runs the coordinator need not have the model: the `weights_hash` of its card is enough.

use std::{
    fs,
    path::{Path, PathBuf},
};

use model_data::{
    card::{CardFeature, ModelCard},
    weights::read_safetensors,
};
use protocol::{
    digests::WeightsHash,
    features::FeatureSchema,
    kept_model::{starting_from, weights_hash},
    manifest::Manifest,
};

use super::SettingsError;

/// What the setting says.
pub(super) enum StartsFrom {
    Seed,
    Hash(WeightsHash),
    File(PathBuf),
}

impl StartsFrom {
    /// A relative path starts at `folder`.
    pub(super) fn of(setting: &str, folder: &Path) -> Self {
        let mut hash = [0; 32];
        match hex::decode_to_slice(setting, &mut hash) {
            _ if setting.is_empty() => Self::Seed,
            Ok(()) => Self::Hash(hash.into()),
            Err(_) => Self::File(folder.join(setting)),
        }
    }
}

/// H of the values in a file, which must hold a model of the manifest's network that a run can start from.
///
/// # Errors
/// [`SettingsError::NamedFile`].
pub(super) fn read(file: &Path, manifest: &Manifest) -> Result<WeightsHash, SettingsError> {
    let layout = &manifest.layout;
    let values = read_safetensors(file, &layout.tensors).map_err(unusable)?;
    check_features(&file.with_extension("json"), &manifest.used_features()).map_err(unusable)?;
    let weights = weights_hash(layout, &values);
    starting_from(manifest, values).map_err(unusable)?;
    Ok(weights)
}

/// Weights that meet features mean nothing with others: where a card lies beside the file, it says of which they are. A model that is
/// named by its hash is not known here.
fn check_features(card: &Path, run: &FeatureSchema) -> Result<(), OtherFeatures> {
    let card = fs::read(card).ok();
    let card = card.and_then(|card| serde_json::from_slice::<ModelCard>(&card).ok());
    let told = card.and_then(|card| card.input.feature_statistics);
    let Some(told) = told.filter(|_| run.count() > 0) else {
        return Ok(());
    };
    let model = FeatureSchema {
        features: told.iter().map(CardFeature::spec).collect(),
    };
    match model.is_same_as(run) {
        true => Ok(()),
        false => Err(OtherFeatures {
            model,
            run: run.clone(),
        }),
    }
}

/// A model of other features, or of the same in another order.
#[derive(Debug, thiserror::Error)]
#[error("its card says that it is of the features \"{model}\", and the run is of \"{run}\"")]
struct OtherFeatures {
    model: FeatureSchema,
    run: FeatureSchema,
}

fn unusable(source: impl std::error::Error + Send + Sync + 'static) -> SettingsError {
    SettingsError::NamedFile {
        key: "run.initial_model",
        expected: "the .safetensors file of a model that a run of the same task has left, or the 64 digits of `weights_hash` in its card",
        source: Box::new(source),
    }
}
