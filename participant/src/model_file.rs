//! The common model on disk, which opens in Python without this project, and its card.
//!
//! | in the state folder | |
//! |---|---|
//! | `runs/RUN/model.safetensors`, `.json` | the model of each run as the last opened sum left it |
//! | `runs/RUN/model-best.safetensors`, `.json` | that of the round that the manifest's `keep` names: by default the lowest validation loss |
//! | `model.safetensors`, `model-best.safetensors`, with cards | the same of the run at hand, once it has opened an update |
//!
//! The journal writes the model of a run itself, before it says that a round is settled, and needs it to go on: here it is never written
//! over. All hospitals know the same sums, so all choose the same
//! best round.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use host::{moment::rfc3339, private_folder::make_private_folder};
use model_data::{
    Contrast, FeatureColumns, SliceChoice, SplitKind,
    card::{
        BEST_CARD_FILE, BEST_MODEL_FILE, CARD_FILE, CardInput, CardValidation, MODEL_FILE,
        ModelCard,
    },
    weights::{WeightsError, read_notes, write_safetensors},
    whole_file::write_whole,
};
use protocol::{
    HospitalId,
    common_model::CommonModel,
    counters::EvaluationCounters,
    digests::{LearningRound, ModelHash, RunId, Transcript},
    kept_model::weights_hash,
    labels::Labels,
    manifest::{Conditioning, ConditioningForm},
};
use time::OffsetDateTime;

use crate::{
    journal::run_folder,
    settings::Settings,
    vault::{OpenedRound, ResumedRun, statistics::Statistics},
};

/// The common model as the last opened sum left it.
#[derive(Clone)]
pub struct LatestModel {
    run: RunId,
    model: CommonModel,
    hash: ModelHash,
    transcript: Transcript,
    learning_round: LearningRound,
    contributors: Vec<HospitalId>,
    validation: Option<EvaluationCounters>,
    /// The learning round whose model is the best of the run so far.
    kept_round: Option<LearningRound>,
    labels: Labels,
    conditioning: Conditioning,
    form: ConditioningForm,
    /// None before they are known.
    statistics: Option<Statistics>,
}

impl LatestModel {
    /// The model after this sum. `validation` is the last evaluation of this very model; `statistics` are those of its run.
    pub fn after(
        opened: &OpenedRound,
        validation: Option<EvaluationCounters>,
        statistics: Option<Statistics>,
    ) -> Self {
        Self {
            run: opened.run,
            model: opened.model.clone(),
            hash: opened.model_hash,
            transcript: opened.transcript,
            learning_round: opened.learning_round,
            contributors: opened.contributors.clone(),
            validation,
            kept_round: opened.kept_round,
            labels: opened.labels,
            conditioning: opened.conditioning,
            form: opened.form,
            statistics,
        }
    }

    /// The model of a session that was taken up again.
    pub fn resumed(run: &ResumedRun) -> Self {
        Self {
            run: run.run,
            model: run.model.clone(),
            hash: run.model_hash,
            transcript: run.transcript,
            learning_round: run.learning_round,
            contributors: run.contributors.clone(),
            validation: run.validation.clone(),
            kept_round: run.kept_round,
            labels: run.labels,
            conditioning: run.conditioning,
            form: run.form,
            statistics: run.statistics.clone(),
        }
    }

    /// Whose model it is.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Its hash, the same at every hospital.
    pub fn hash(&self) -> &ModelHash {
        &self.hash
    }

    /// The learning round it comes from, from 1; 0 is the initial model.
    pub fn learning_round(&self) -> LearningRound {
        self.learning_round
    }

    /// The federation's statistics, if this is a model of that run.
    pub fn statistics_of(&self, run: &RunId) -> Option<Statistics> {
        let statistics = self.statistics.as_ref();
        statistics.filter(|_| self.run == *run).cloned()
    }

    fn card(&self, own: &OwnReading, complete: bool) -> ModelCard {
        let split = own.split;
        let validation = self.validation.as_ref().map(|validation| {
            CardValidation::new(
                validation.accuracy(),
                validation.validation_loss(),
                validation.confusion.clone(),
                split,
            )
        });
        let statistics = self.statistics.as_ref();
        let features = statistics.map(|statistics| statistics.for_card(&own.features));
        let bare = ModelCard::new(self.model.layout(), self.hash);
        let card = bare.of_run(self.labels, self.conditioning, self.form, features);
        // What a strategy's moments add to the hash is in no card.
        let is_whole = self.model.moments().is_empty();
        ModelCard {
            run: Some(self.run),
            learning_round: self.learning_round,
            run_complete: complete,
            transcript: Some(self.transcript),
            contributors: Some(self.contributors.iter().map(|id| id.get()).collect()),
            strategy: Some(self.model.strategy().to_string()),
            weights_hash: Some(weights_hash(self.model.layout(), self.model.values())),
            validation,
            clips: is_whole.then(|| self.model.clips().to_vec()),
            null_steps: is_whole.then(|| self.model.null_steps()),
            commit: version::COMMIT.map(str::to_owned),
            date: Some(rfc3339((own.now)())),
            input: CardInput {
                contrasts: Some(own.contrasts.clone()),
                slices_per_scan: Some(own.slices_per_scan()),
                ..card.input
            },
            ..card
        }
    }
}

/// How this hospital reads its own data, as far as a card tells it.
#[derive(Clone, Debug)]
pub struct OwnReading {
    /// How its validation slices are chosen.
    pub split: SplitKind,
    /// Which scans of a patient.
    pub contrasts: Vec<Contrast>,
    /// Which slices of a scan.
    pub slices: SliceChoice,
    /// Which columns of the table are the features.
    pub features: FeatureColumns,
    /// Tells when a card is written.
    pub now: fn() -> OffsetDateTime,
}

impl OwnReading {
    /// As the settings say.
    pub fn of(settings: &Settings) -> Self {
        Self {
            split: settings.training.split,
            contrasts: settings.reading.contrasts.clone(),
            slices: settings.training.slices,
            features: settings.reading.feature_columns.clone(),
            now: OffsetDateTime::now_utc,
        }
    }

    /// 0 for every one that shows tissue.
    fn slices_per_scan(&self) -> u32 {
        match self.slices {
            SliceChoice::All { .. } => 0,
            SliceChoice::Evenly { count, .. } => u32::try_from(count).unwrap_or(u32::MAX),
        }
    }
}

/// Keeps models and cards in a state folder.
pub struct ModelKeeper {
    state: PathBuf,
    own: OwnReading,
}

impl ModelKeeper {
    /// For this state folder.
    pub fn new(state: &Path, own: OwnReading) -> Self {
        Self {
            state: state.to_owned(),
            own,
        }
    }

    /// Where the model of a run is.
    pub fn model_of(&self, run: &RunId) -> PathBuf {
        run_folder(&self.state, run).join(MODEL_FILE)
    }

    /// Keeps the model, and as the best one if the evaluations say that it is; each file is whole or as it was. `complete` says whether the run went to its end.
    /// The initial model is not kept: it follows from the manifest, and must not take the place of another run's. Gives the path in the
    /// run's folder.
    ///
    /// # Errors
    /// [`ModelFileError`].
    pub fn keep(&self, latest: &LatestModel, complete: bool) -> Result<PathBuf, ModelFileError> {
        let folder = run_folder(&self.state, &latest.run);
        let model = folder.join(MODEL_FILE);
        if latest.learning_round == LearningRound::default() {
            return Ok(model);
        }
        make_private_folder(&folder).map_err(at(&folder))?;
        let hash = hex::encode(latest.hash);
        let holds = |path: &Path| -> Result<bool, WeightsError> {
            Ok(read_notes(path)?.get(MODEL_HASH) == Some(&hash))
        };
        if !model.exists() {
            let notes = BTreeMap::from([(MODEL_HASH.to_owned(), hash.clone())]);
            let layout = &latest.model.layout().tensors;
            write_safetensors(&model, layout, latest.model.values(), &notes)?;
        } else if !holds(&model)? {
            // The journal is a round ahead of what we were told, and needs its file as it is.
            return Ok(model);
        }
        let card = latest.card(&self.own, complete);
        write_card(&folder.join(CARD_FILE), &card)?;
        self.put_forward(&folder, MODEL_FILE, CARD_FILE)?;
        if latest.kept_round == Some(latest.learning_round) {
            let candidate = folder.join(CANDIDATE);
            replace_by_link(&model, &candidate)?;
            if !holds(&candidate)? {
                // The next round's model has taken the place of this one meanwhile.
                return Ok(model);
            }
            let best = folder.join(BEST_MODEL_FILE);
            fs::rename(&candidate, &best).map_err(at(&best))?;
            let best = ModelCard {
                model: BEST_MODEL_FILE.into(),
                weights: BEST_MODEL_FILE.into(),
                ..card
            };
            write_card(&folder.join(BEST_CARD_FILE), &best)?;
        }
        if folder.join(BEST_CARD_FILE).exists() {
            self.put_forward(&folder, BEST_MODEL_FILE, BEST_CARD_FILE)?;
        }
        Ok(model)
    }

    /// The same files in the state folder itself.
    fn put_forward(&self, folder: &Path, model: &str, card: &str) -> Result<(), ModelFileError> {
        for name in [model, card] {
            replace_by_link(&folder.join(name), &self.state.join(name))?;
        }
        Ok(())
    }
}

fn write_card(path: &Path, card: &ModelCard) -> Result<(), ModelFileError> {
    let text = serde_json::to_string_pretty(card).expect("a card has text for keys") + "\n";
    write_whole(path, text.as_bytes()).map_err(at(path))
}

/// Gives a file a second name, in the place of an older file; a copy where the file system knows no such links.
fn replace_by_link(from: &Path, to: &Path) -> Result<(), ModelFileError> {
    let beside = to.with_extension("unfinished");
    let link = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(from, &beside).or_else(|_| fs::copy(from, &beside).map(|_| ()))?;
        fs::rename(&beside, to)?;
        // Renaming one name of a file to another of the same file does nothing.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    };
    link().map_err(at(to))
}

/// The model cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The tensors cannot be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A card or another file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ModelFileError {
    let path = path.to_owned();
    move |source| ModelFileError::File { path, source }
}

const MODEL_HASH: &str = "model_hash";
const CANDIDATE: &str = "model-candidate.safetensors";

#[cfg(test)]
mod tests {
    use model_data::{FEATURES, Feature};
    use protocol::manifest::testing::manifest;
    use serde_json::{Value, json};

    use super::*;

    const RUN: [u8; 32] = [7; 32];

    /// A model that is the best one so far.
    fn latest(round: u32, loss: f64) -> LatestModel {
        let model = CommonModel::initial(&manifest());
        let loss = (loss * 65_536.0) as u64;
        LatestModel {
            run: RUN.into(),
            hash: [round as u8; 32].into(),
            model,
            transcript: [9; 32].into(),
            learning_round: LearningRound::new(round),
            contributors: [1, 3].into_iter().filter_map(HospitalId::new).collect(),
            validation: EvaluationCounters::read(&[2, 30, 10, 5, 55, loss, 0, 0]).ok(),
            kept_round: Some(LearningRound::new(round)),
            labels: Labels::of(&manifest()),
            conditioning: Conditioning::EncryptedHardened,
            form: ConditioningForm::Study,
            statistics: Some(Statistics {
                class_counts: vec![5, 3],
                means: [0.5; FEATURES],
                deviations: [0.25; FEATURES],
            }),
        }
    }

    fn reading() -> OwnReading {
        OwnReading {
            split: SplitKind::Slice,
            contrasts: vec![Contrast::T2],
            slices: SliceChoice::evenly(16),
            features: FeatureColumns::Standard,
            now: || OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn write_as_the_journal(keeper: &ModelKeeper, latest: &LatestModel) {
        let path = keeper.model_of(&latest.run);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let notes = BTreeMap::from([(MODEL_HASH.to_owned(), hex::encode(latest.hash))]);
        let layout = &latest.model.layout().tensors;
        write_safetensors(&path, layout, latest.model.values(), &notes).expect("written");
    }

    #[test]
    fn the_model_that_the_journal_has_written_meanwhile_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = ModelKeeper::new(folder.path(), reading());
        let (told, ahead) = (latest(1, 50.0), latest(2, 30.0));
        write_as_the_journal(&keeper, &told);
        keeper.keep(&told, false).expect("written");
        write_as_the_journal(&keeper, &ahead);
        let path = keeper.keep(&told, false).expect("nothing to do");
        let notes = read_notes(&path).expect("a model");
        assert_eq!(notes[MODEL_HASH], hex::encode(ahead.hash));
    }

    fn card(path: &Path) -> Value {
        let text = fs::read_to_string(path).expect("a card");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn every_tensor_can_be_read_back_and_the_card_names_the_model() {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = ModelKeeper::new(folder.path(), reading());
        let latest = latest(2, 50.0);
        let path = keeper.keep(&latest, false).expect("written");
        keeper.keep(&latest, true).expect("written over");
        assert_eq!(path, keeper.model_of(&RUN.into()));
        let layout = &latest.model.layout().tensors;
        for path in [path, folder.path().join(MODEL_FILE)] {
            let values = model_data::weights::read_safetensors(&path, layout).expect("readable");
            assert!(values == **latest.model.values());
        }
        let card = card(&folder.path().join(CARD_FILE));
        assert_eq!(card["model_hash"], hex::encode(latest.hash));
        assert_eq!(card["run"], hex::encode(RUN));
        assert_eq!(card["classes"], 2);
        assert_eq!(card["contributors"], json!([1, 3]));
        assert_eq!(card["strategy"], "fedavg");
        assert_eq!(card["validation"]["accuracy"], 0.85);
        let read: ModelCard = serde_json::from_value(card).expect("a card");
        assert_eq!(read, latest.card(&reading(), true));
        assert!(read.run_complete && read.transcript == Some(latest.transcript));
        assert_eq!((read.data, read.training, read.test), (None, None, None));
        let (input, output) = (read.input, read.output.expect("told"));
        assert_eq!(output.classes.len(), 2);
        assert_eq!(input.contrasts, Some(vec![Contrast::T2]));
        assert_eq!(input.slices_per_scan, Some(16));
        let features = input.feature_statistics.expect("told");
        assert_eq!(features.len(), FEATURES);
        let age = &features[Feature::Age.index()];
        assert_eq!((age.name.as_str(), age.to, age.mean), ("age", 100.0, 0.5));
        assert_eq!(read.date.as_deref(), Some("1970-01-01T00:00:00Z"));
        // Model, best model, and their cards, each once in each of the two folders; and `runs`.
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 5);
    }

    #[test]
    fn the_round_that_the_vault_names_is_kept_as_the_best_and_stays_when_others_follow() {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = ModelKeeper::new(folder.path(), reading());
        for (round, kept_round) in [(1, 1), (2, 2), (3, 2), (4, 2)] {
            let latest = LatestModel {
                kept_round: Some(LearningRound::new(kept_round)),
                ..latest(round, 50.0)
            };
            write_as_the_journal(&keeper, &latest);
            // Before its evaluation nobody knows; then the vault says which.
            let before = LatestModel {
                kept_round: (round > 1).then(|| LearningRound::new(kept_round.min(round - 1))),
                validation: None,
                ..latest.clone()
            };
            keeper.keep(&before, false).expect("written");
            keeper.keep(&latest, false).expect("written");
        }
        let (last, best) = (
            card(&folder.path().join(CARD_FILE)),
            card(&folder.path().join(BEST_CARD_FILE)),
        );
        assert_eq!(
            (&last["learning_round"], &best["learning_round"]),
            (&json!(4), &json!(2))
        );
        assert_eq!(best["model"], BEST_MODEL_FILE);
        let notes = read_notes(&folder.path().join(BEST_MODEL_FILE)).expect("a model");
        assert_eq!(notes[MODEL_HASH], hex::encode([2; 32]));
    }

    #[test]
    fn a_run_without_an_update_leaves_the_model_of_another_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = ModelKeeper::new(folder.path(), reading());
        keeper.keep(&latest(3, 30.0), true).expect("written");
        let second = LatestModel {
            run: [8; 32].into(),
            ..latest(0, 30.0)
        };
        keeper.keep(&second, false).expect("nothing to write");
        let card = card(&folder.path().join(CARD_FILE));
        assert_eq!(card["run_complete"], true);
        let third = LatestModel {
            run: [9; 32].into(),
            ..latest(1, 60.0)
        };
        keeper.keep(&third, false).expect("written");
        let first = read_notes(&keeper.model_of(&RUN.into())).expect("still there");
        assert_eq!(first[MODEL_HASH], hex::encode([3; 32]));
    }
}
