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
    sync::Once,
};

use host::{moment::rfc3339, private_folder::make_private_folder};
use model_data::{
    Contrast, FeatureSchema, SliceChoice, SplitKind,
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
    features: FeatureSchema,
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
            features: opened.features.clone(),
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
            features: run.features.clone(),
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
        let features = statistics.map(|statistics| statistics.for_card(&self.features));
        let mut bare = ModelCard::new(self.model.layout(), self.hash);
        // Named before their means are known.
        let names: Vec<String> = self.features.names().map(str::to_owned).collect();
        bare.input.features = Some(names).filter(|names| !names.is_empty());
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
    /// That the best model is gone is said once.
    told_of_loss: Once,
}

impl ModelKeeper {
    /// For this state folder.
    pub fn new(state: &Path, own: OwnReading) -> Self {
        Self {
            state: state.to_owned(),
            own,
            told_of_loss: Once::new(),
        }
    }

    /// Removes what a process that was killed has left half done. What cannot be removed does no harm.
    #[must_use]
    pub fn tidied(self) -> Self {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let runs = entries(&self.state.join("runs")).map(|run| run.path());
        for folder in runs.chain([self.state.clone()]) {
            for file in entries(&folder).map(|file| file.path()) {
                let is_candidate = file.file_name().is_some_and(|name| name == CANDIDATE);
                if is_candidate || file.extension().is_some_and(|end| end == UNFINISHED) {
                    let _ = fs::remove_file(file);
                }
            }
        }
        self
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
        let best = folder.join(BEST_MODEL_FILE);
        if latest.kept_round == Some(latest.learning_round) {
            if !put_in_place(&model, &best, holds)? {
                // The next round's model has taken the place of this one meanwhile.
                return Ok(model);
            }
            let best = ModelCard {
                model: BEST_MODEL_FILE.into(),
                weights: BEST_MODEL_FILE.into(),
                ..card
            };
            write_card(&folder.join(BEST_CARD_FILE), &best)?;
        }
        let has_card = folder.join(BEST_CARD_FILE).exists();
        match (best.exists(), latest.kept_round) {
            (true, _) if has_card => self.put_forward(&folder, BEST_MODEL_FILE, BEST_CARD_FILE)?,
            (false, Some(round)) => self.tell_of_loss(&best, round, has_card),
            _ => {}
        }
        Ok(model)
    }

    fn tell_of_loss(&self, best: &Path, round: LearningRound, has_card: bool) {
        let why = match has_card {
            true => "it was removed, as its card is there still",
            false => "it was removed, or this hospital did not take part in that round",
        };
        self.told_of_loss.call_once(|| {
            tracing::warn!(
                "{} is not there, the model of round {round}, the best one so far: {why}. It cannot be made again here; the other hospitals \
                 have the same file. A better round that follows is kept in its place",
                best.display()
            );
        });
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

/// Gives the model a second name, in the place of the best one before, if it is the right one still. Nothing lies beside it afterwards.
fn put_in_place(
    model: &Path,
    best: &Path,
    is_right: impl Fn(&Path) -> Result<bool, WeightsError>,
) -> Result<bool, ModelFileError> {
    let candidate = best.with_file_name(CANDIDATE);
    let put = || {
        replace_by_link(model, &candidate)?;
        let is_right = is_right(&candidate)?;
        if is_right {
            fs::rename(&candidate, best).map_err(at(best))?;
        }
        Ok(is_right)
    };
    let put = put();
    // One that was not right; or another name of the very file that is there already, of which renaming makes nothing.
    match fs::remove_file(&candidate) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&candidate)(error)),
        _ => put,
    }
}

/// Gives a file a second name, in the place of an older file; a copy where the file system knows no such links.
fn replace_by_link(from: &Path, to: &Path) -> Result<(), ModelFileError> {
    let beside = to.with_extension(UNFINISHED);
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
const UNFINISHED: &str = "unfinished";

#[cfg(test)]
mod tests;
