//! The common model on disk: `model.safetensors`, which opens in Python without this project, and `model.json`, its card.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use model_data::{
    SplitKind,
    card::{CARD_FILE, CardValidation, MODEL_FILE, ModelCard},
    weights::{WeightsError, write_safetensors},
};
use protocol::{
    HospitalId,
    common_model::CommonModel,
    counters::EvaluationCounters,
    digests::{LearningRound, ModelHash, Transcript},
};

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
        let path = folder.join(MODEL_FILE);
        let layout = &self.model.layout().tensors;
        let hash = hex::encode(self.hash);
        let notes = BTreeMap::from([("model_hash".to_owned(), hash)]);
        write_safetensors(&path, layout, self.model.values(), &notes)?;
        let card = folder.join(CARD_FILE);
        let unfinished = folder.join(format!("{CARD_FILE}.unfinished"));
        let text = serde_json::to_string_pretty(&self.card(split, complete))
            .expect("a card has text for keys")
            + "\n";
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &card))
            .map_err(|source| ModelFileError::Card { path: card, source })?;
        Ok(path)
    }

    fn card(&self, split: SplitKind, complete: bool) -> ModelCard {
        let validation = self.validation.as_ref().map(|validation| {
            CardValidation::new(
                validation.accuracy(),
                validation.validation_loss(),
                validation.confusion.clone(),
                split,
            )
        });
        ModelCard {
            learning_round: self.learning_round,
            run_complete: complete,
            transcript: Some(self.transcript),
            contributors: Some(self.contributors.iter().map(|id| id.get()).collect()),
            validation,
            ..ModelCard::new(self.model.layout(), self.hash)
        }
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

#[cfg(test)]
mod tests {
    use protocol::manifest::testing::manifest;
    use serde_json::{Value, json};

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
        let text = fs::read_to_string(folder.path().join(CARD_FILE)).expect("a card");
        let card: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(card["model_hash"], hex::encode(latest.hash));
        assert_eq!(card["classes"], 2);
        assert_eq!(card["contributors"], json!([1, 3]));
        assert_eq!(card["validation"]["accuracy"], 0.85);
        let read: ModelCard = serde_json::from_str(&text).expect("a card");
        assert_eq!(read, latest.card(SplitKind::Slice, true));
        assert!(read.run_complete && read.transcript == Some(latest.transcript));
        assert_eq!((read.data, read.training, read.test), (None, None, None));
    }
}
