//! `run.initial_model`: the kept model that a run starts from, named by a file or by its hash.
//!
//! Whoever runs the coordinator need not have the model: the `weights_hash` of its card is enough.

use std::path::Path;

use model_data::weights::read_safetensors;
use protocol::{
    digests::WeightsHash,
    kept_model::{starting_from, weights_hash},
    manifest::Manifest,
};

use super::SettingsError;

/// H of the values that the setting names; none where it is empty. A file must hold a model of the manifest's network that a run can start
/// from. A relative path starts at `folder`.
///
/// # Errors
/// [`SettingsError::NamedFile`].
pub(super) fn read(
    setting: &str,
    manifest: &Manifest,
    folder: &Path,
) -> Result<Option<WeightsHash>, SettingsError> {
    if setting.is_empty() {
        return Ok(None);
    }
    let mut hash = [0; 32];
    if hex::decode_to_slice(setting, &mut hash).is_ok() {
        return Ok(Some(hash.into()));
    }
    let layout = &manifest.layout;
    let values = read_safetensors(&folder.join(setting), &layout.tensors).map_err(unusable)?;
    let weights = weights_hash(layout, &values);
    starting_from(manifest, values).map_err(unusable)?;
    Ok(Some(weights))
}

fn unusable(source: impl std::error::Error + Send + Sync + 'static) -> SettingsError {
    SettingsError::NamedFile {
        key: "run.initial_model",
        expected: "the .safetensors file of a model that a run of the same task has left, or the 64 digits of `weights_hash` in its card",
        source: Box::new(source),
    }
}
