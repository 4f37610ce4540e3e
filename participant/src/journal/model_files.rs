//! The models of runs: a folder for each run, so that no run overwrites the result of another.
//!
//! The model that an update leads to is first written beside the one before. Only when the journal says that the round is settled does it
//! take its place: whenever the process ends, the model that the journal speaks of is on disk.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use host::private_folder::make_private_folder;
use model_data::{
    card::MODEL_FILE,
    weights::{WeightsError, read_notes, read_safetensors, write_safetensors},
};
use protocol::{
    common_model::CommonModel,
    digests::{ModelHash, RunId},
    network::ModelLayout,
};

/// The folder that holds a folder for each run.
pub(super) struct ModelFiles {
    folder: PathBuf,
    /// The run whose model was staged and is not yet in its place.
    staged: Option<RunId>,
}

/// Where a run's model and card are kept, in the state folder.
pub fn run_folder(state: &Path, run: &RunId) -> PathBuf {
    let name = hex::encode(&run.as_bytes()[..8]);
    state.join(RUNS).join(name)
}

impl ModelFiles {
    /// Of this state folder.
    pub(super) fn in_folder(state: &Path) -> Self {
        Self {
            folder: state.to_owned(),
            staged: None,
        }
    }

    /// The state folder.
    pub(super) fn state(&self) -> &Path {
        &self.folder
    }

    /// Writes a model beside the run's, synced.
    pub(super) fn stage(
        &mut self,
        run: &RunId,
        model: &CommonModel,
        hash: &ModelHash,
    ) -> Result<(), WeightsError> {
        let folder = run_folder(&self.folder, run);
        make_private_folder(&folder).map_err(|source| WeightsError::Io {
            path: folder.clone(),
            source,
        })?;
        let notes = BTreeMap::from([(MODEL_HASH.to_owned(), hex::encode(hash))]);
        let layout = &model.layout().tensors;
        write_safetensors(&folder.join(STAGED), layout, model.values(), &notes)?;
        self.staged = Some(*run);
        Ok(())
    }

    /// Puts the staged model, if any, in the place of the run's.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        if let Some(run) = &self.staged {
            let folder = run_folder(&self.folder, run);
            fs::rename(folder.join(STAGED), folder.join(MODEL_FILE))?;
        }
        self.staged = None;
        Ok(())
    }

    /// The values of the run's model with this hash, whichever of the two places it is in; then it is in its own.
    pub(super) fn load(
        &self,
        run: &RunId,
        layout: &ModelLayout,
        hash: &ModelHash,
    ) -> Result<Option<Vec<f32>>, WeightsError> {
        let folder = run_folder(&self.folder, run);
        let (staged, model) = (folder.join(STAGED), folder.join(MODEL_FILE));
        if is_model(&staged, hash)? {
            fs::rename(&staged, &model).map_err(|source| WeightsError::Io {
                path: staged.clone(),
                source,
            })?;
        }
        if is_model(&model, hash)? {
            return read_safetensors(&model, &layout.tensors).map(Some);
        }
        Ok(None)
    }
}

/// Whether the file is there and says that it holds this model.
fn is_model(path: &Path, hash: &ModelHash) -> Result<bool, WeightsError> {
    if !path.exists() {
        return Ok(false);
    }
    let notes = read_notes(path)?;
    Ok(notes.get(MODEL_HASH) == Some(&hex::encode(hash)))
}

pub(super) const RUNS: &str = "runs";
const STAGED: &str = "model.staged.safetensors";
const MODEL_HASH: &str = "model_hash";
