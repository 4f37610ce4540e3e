//! The common model that a run starts from: of the manifest's seed, or one that this hospital has kept.

use protocol::{common_model::CommonModel, kept_model::starting_from, manifest::Manifest};

use super::error::VaultError;
use crate::journal::Journal;

/// The model before the first update. Its hash is [`protocol::kept_model::initial_model_hash`] of the manifest.
///
/// # Errors
/// [`VaultError::InitialModelMissing`], or [`VaultError::InitialModelUnusable`] of values that no training leaves.
pub(super) fn initial_model(
    manifest: &Manifest,
    journal: &impl Journal,
) -> Result<CommonModel, VaultError> {
    let Some(weights) = &manifest.initial_model else {
        return Ok(CommonModel::initial(manifest));
    };
    let values = journal.initial_model(&manifest.layout, weights)?;
    Ok(starting_from(manifest, values)?)
}
