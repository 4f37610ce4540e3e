//! The common model on disk: `model.safetensors`, which opens in Python without this project, and `model.json`, its card.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use model_data::{
    SplitKind,
    weights::{WeightsError, write_safetensors},
};
use protocol::{
    HospitalId,
    common_model::CommonModel,
    counters::EvaluationCounters,
    digests::{LearningRound, ModelHash, Transcript},
};
use serde_json::{Value, json};

use crate::vault::OpenedRound;

/// The common model as the last opened sum left it.
#[derive(Clone)]
pub struct LatestModel {
    model: CommonModel,
    hash: ModelHash,
    transcript: Transcript,
    learning_round: LearningRound,
    contributors: Vec<HospitalId>,
    validation: Option<EvaluationCounters>,
}

impl LatestModel {
    /// The model after this sum. `validation` is the last evaluation of this very model.
    pub fn after(opened: &OpenedRound, validation: Option<EvaluationCounters>) -> Self {
        Self {
            model: opened.model.clone(),
            hash: opened.model_hash,
            transcript: opened.transcript,
            learning_round: opened.learning_round,
            contributors: opened.contributors.clone(),
            validation,
        }
    }

    /// Its hash, the same at every hospital.
    pub fn hash(&self) -> &ModelHash {
        &self.hash
    }

    /// The learning round it comes from, from 1.
    pub fn learning_round(&self) -> LearningRound {
        self.learning_round
    }

    /// Writes model and card into `folder`, in the place of older ones; each file is whole or absent.
    ///
    /// `split` is how this hospital chose its validation slices; `complete` says whether the run went to its end.
    ///
    /// # Errors
    /// [`ModelFileError`].
    pub fn write(
        &self,
        folder: &Path,
        split: SplitKind,
        complete: bool,
    ) -> Result<PathBuf, ModelFileError> {
        let path = folder.join(MODEL);
        let layout = &self.model.layout().tensors;
        let hash = hex::encode(self.hash);
        let notes = BTreeMap::from([("model_hash".to_owned(), hash)]);
        write_safetensors(&path, layout, self.model.values(), &notes)?;
        let card = folder.join(CARD);
        let unfinished = folder.join(format!("{CARD}.unfinished"));
        let text = format!("{:#}\n", self.card(split, complete));
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &card))
            .map_err(|source| ModelFileError::Card { path: card, source })?;
        Ok(path)
    }

    fn card(&self, split: SplitKind, complete: bool) -> Value {
        let validation = self.validation.as_ref().map(|validation| {
            json!({
                "slices": validation.slices(),
                "accuracy": validation.accuracy(),
                "loss": validation.validation_loss(),
                "confusion": validation.confusion,
                "note": match split {
                    SplitKind::Patient => "slices of patients that were not trained on",
                    SplitKind::Slice => "slices of patients of whom other slices were trained on: too good to be true for a new patient",
                },
            })
        });
        json!({
            "schema": 1,
            "model": MODEL,
            "model_hash": hex::encode(self.hash),
            "transcript": hex::encode(self.transcript),
            "run_complete": complete,
            "learning_round": self.learning_round,
            "contributors": self.contributors.iter().map(|id| id.get()).collect::<Vec<_>>(),
            "classes": self.classes(),
            "input": "axial slices of brain MRI, 128 x 128, each scaled to mean 0 and variance 1",
            "validation": validation,
            "intended_use": "research on federated learning",
            "not_for": "diagnosis, prognosis or any decision about a patient",
            "made_by": concat!("myelin ", env!("CARGO_PKG_VERSION")),
        })
    }

    fn classes(&self) -> Option<u32> {
        let tensors = &self.model.layout().tensors;
        let classifier = tensors
            .iter()
            .find(|tensor| tensor.name.0 == "classifier.bias")?;
        classifier.shape.first().copied()
    }
}

/// The model cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The tensors cannot be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The card cannot be written.
    #[error("cannot write {}", path.display())]
    Card {
        /// The path of the card.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

const MODEL: &str = "model.safetensors";
const CARD: &str = "model.json";

#[cfg(test)]
mod tests {
    use protocol::manifest::testing::manifest;

    use super::*;

    fn latest() -> LatestModel {
        let model = CommonModel::initial(&manifest());
        LatestModel {
            hash: model.hash(),
            model,
            transcript: [9; 32].into(),
            learning_round: LearningRound::new(2),
            contributors: [1, 3].into_iter().filter_map(HospitalId::new).collect(),
            validation: EvaluationCounters::read(&[2, 30, 10, 5, 55, 50 * 65_536, 0, 0]).ok(),
        }
    }

    #[test]
    fn every_tensor_can_be_read_back_and_the_card_names_the_model() {
        let folder = tempfile::tempdir().expect("a folder");
        let latest = latest();
        let path = latest
            .write(folder.path(), SplitKind::Slice, true)
            .expect("written");
        latest
            .write(folder.path(), SplitKind::Slice, true)
            .expect("written over");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
        let layout = &latest.model.layout().tensors;
        let values = model_data::weights::read_safetensors(&path, layout).expect("readable");
        assert!(values == **latest.model.values());
        let text = fs::read_to_string(folder.path().join(CARD)).expect("a card");
        let card: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(card["model_hash"], hex::encode(latest.hash));
        assert_eq!(card["classes"], 2);
        assert_eq!(card["contributors"], json!([1, 3]));
        assert_eq!(card["validation"]["accuracy"], 0.85);
    }
}
