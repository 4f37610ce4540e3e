//! The models of runs: a folder for each run, so that no run overwrites the result of another. The moments of the server's optimiser, if
//! the run's strategy keeps any, are a file beside the model: nobody needs them outside, and not after the run.
//!
//! What an update leads to is first written beside what was before. Only when the journal says that the round is settled does it
//! take its place: whenever the process ends, the model that the journal speaks of is on disk. Each file names in its header the hash of
//! the common model, which covers both: one that is missing, or of another round, is never taken for the right one.

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
    manifest::Manifest,
    network::{ModelLayout, TensorSpec},
    strategy::Strategy,
};

use super::KeptModel;

/// The folder that holds a folder for each run.
pub(super) struct ModelFiles {
    folder: PathBuf,
    /// The run whose model was staged and is not yet in its place, and its strategy.
    staged: Option<(RunId, Strategy)>,
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
        write_safetensors(&folder.join(MODEL.staged), layout, model.values(), &notes)?;
        let strategy = model.strategy();
        if has_moments(strategy) {
            let layout = layout_of_moments(strategy, model.layout());
            let moments = model.moments().concat();
            write_safetensors(&folder.join(MOMENTS.staged), &layout, &moments, &notes)?;
        }
        self.staged = Some((*run, strategy));
        Ok(())
    }

    /// Puts the staged model, if any, in the place of the run's.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        if let Some((run, strategy)) = &self.staged {
            let folder = run_folder(&self.folder, run);
            MODEL.publish(&folder)?;
            if has_moments(*strategy) {
                MOMENTS.publish(&folder)?;
            }
        }
        self.staged = None;
        Ok(())
    }

    /// The run's model with this hash, whichever of the two places its files are in; then they are in their own.
    pub(super) fn load(
        &self,
        run: &RunId,
        manifest: &Manifest,
        hash: &ModelHash,
    ) -> Result<Option<KeptModel>, WeightsError> {
        let folder = run_folder(&self.folder, run);
        let (layout, strategy) = (&manifest.layout, manifest.strategy);
        let Some(model) = MODEL.find(&folder, hash)? else {
            return Ok(None);
        };
        let values = read_safetensors(&model, &layout.tensors)?;
        if !has_moments(strategy) {
            let moments = Vec::new();
            return Ok(Some(KeptModel { values, moments }));
        }
        let Some(moments) = MOMENTS.find(&folder, hash)? else {
            return Ok(None);
        };
        let flat = read_safetensors(&moments, &layout_of_moments(strategy, layout))?;
        let moments = flat.chunks(layout.values()).map(<[f32]>::to_vec).collect();
        Ok(Some(KeptModel { values, moments }))
    }

    /// No session is kept: the moments of all runs are of no use any more. What cannot be removed does no harm.
    pub(super) fn remove_moments(&self) {
        let runs = fs::read_dir(self.folder.join(RUNS));
        for run in runs.into_iter().flatten().flatten() {
            for name in [MOMENTS.staged, MOMENTS.settled] {
                let _ = fs::remove_file(run.path().join(name));
            }
        }
    }
}

/// The two names of a file in a run's folder.
struct Names {
    /// Until the round is settled.
    staged: &'static str,
    /// From then on.
    settled: &'static str,
}

impl Names {
    /// Puts the staged file in its place. Once more does no harm: after the first of two files the disk may refuse the second.
    fn publish(&self, folder: &Path) -> io::Result<()> {
        match fs::rename(folder.join(self.staged), folder.join(self.settled)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// The file of the model with this hash, once it is in its place.
    fn find(&self, folder: &Path, hash: &ModelHash) -> Result<Option<PathBuf>, WeightsError> {
        let staged = folder.join(self.staged);
        if is_of_model(&staged, hash)? {
            let published = self.publish(folder);
            published.map_err(|source| WeightsError::Io {
                path: staged,
                source,
            })?;
        }
        let settled = folder.join(self.settled);
        Ok(is_of_model(&settled, hash)?.then_some(settled))
    }
}

/// Whether the file is there and says that it is of this model.
fn is_of_model(path: &Path, hash: &ModelHash) -> Result<bool, WeightsError> {
    if !path.exists() {
        return Ok(false);
    }
    let notes = read_notes(path)?;
    Ok(notes.get(MODEL_HASH) == Some(&hex::encode(hash)))
}

fn has_moments(strategy: Strategy) -> bool {
    !strategy.moments().is_empty()
}

/// The tensors of the model once for each moment: `m.dense.weight`.
fn layout_of_moments(strategy: Strategy, layout: &ModelLayout) -> Vec<TensorSpec> {
    let moments = strategy.moments().iter();
    let of_moment = |moment: &&'static str| {
        let moment = *moment;
        layout.tensors.iter().map(move |tensor| TensorSpec {
            name: format!("{moment}.{}", tensor.name.0).as_str().into(),
            ..tensor.clone()
        })
    };
    moments.flat_map(of_moment).collect()
}

pub(super) const RUNS: &str = "runs";
const MODEL: Names = Names {
    staged: "model.staged.safetensors",
    settled: MODEL_FILE,
};
const MOMENTS: Names = Names {
    staged: "optimiser.staged.safetensors",
    settled: "optimiser.safetensors",
};
const MODEL_HASH: &str = "model_hash";
