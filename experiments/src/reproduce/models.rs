//! Which trained models are kept for pictures: all of them would be gigabytes.

use std::collections::BTreeMap;

use model_data::weights::{WeightsError, read_safetensors, write_safetensors};

use super::{cell::CellKey, configuration::Configuration, folder::Folder, training::architecture};

/// The trainings whose models are kept: of the first repetition and the first network and training set of the run, one for each
/// task and split.
pub fn is_kept(configuration: &Configuration, key: &CellKey) -> bool {
    key.seed == 1
        && configuration.model.first() == Some(&key.model)
        && configuration.first_form(key.model) == key.form
        && configuration.balance.first() == Some(&key.balance)
}

/// Writes the model of a training, if it is one of those that are kept.
///
/// # Errors
/// A file that cannot be written.
pub fn keep_model(
    folder: &Folder,
    configuration: &Configuration,
    key: &CellKey,
    model: &[f32],
) -> anyhow::Result<()> {
    if !is_kept(configuration, key) {
        return Ok(());
    }
    let metadata = BTreeMap::from([
        ("cell".to_owned(), key.stem()),
        ("notice".to_owned(), NOTICE.to_owned()),
        (
            "code_version".to_owned(),
            configuration.code_version.clone(),
        ),
    ]);
    Ok(write_safetensors(
        &folder.model_path(key),
        &architecture(key).layout(),
        model,
        &metadata,
    )?)
}

/// The model of a training that is kept.
///
/// # Errors
/// A file that is not there, or damaged.
pub fn read_model(folder: &Folder, key: &CellKey) -> Result<Vec<f32>, WeightsError> {
    read_safetensors(&folder.model_path(key), &architecture(key).layout())
}

const NOTICE: &str = "Not a medical device. Not for diagnosis, prognosis or treatment of anybody.";
