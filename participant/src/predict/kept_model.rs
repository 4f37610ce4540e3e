//! The model that is applied: a file of weights with its card, and what vouches for it.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use model_data::{
    card::{BEST_MODEL_FILE, CardFeature, CardOutput, ModelCard},
    weights::{WeightsError, read_safetensors},
};
use protocol::{
    common_model::model_hash,
    digests::{ModelHash, WeightsHash},
    kept_model::weights_hash,
    labels::Labels,
    manifest::{Conditioning, ConditioningForm},
    network::ModelLayout,
    roster::Roster,
    transcript::{BrokenChain, TranscriptEntry, verify},
};

use super::{ModelPlace, model_place::RUN_DIGITS};
use crate::vault::conditioning::weights::ConditioningWeights;

/// Who may have signed that a model is a run's.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    /// The record of the run; without one, that beside the weights.
    pub transcript: Option<PathBuf>,
    /// Of the federation, all epochs; empty where none is known here. Never what came with the model: that vouches for nothing.
    pub rosters: Vec<Roster>,
    /// Whether the model is taken without any of them, too.
    pub optional: bool,
}

/// What vouches for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// This hospital has opened the sums that it is made of.
    OpenedHere,
    /// It is the model of a round of a chain that holds, each round signed by so many hospitals or more.
    Signed {
        /// The fewest under a round.
        by: usize,
    },
    /// Nothing.
    Unknown,
}

/// A model that can be applied.
pub struct KeptModel {
    /// What is said of it.
    pub card: ModelCard,
    /// The classes.
    pub output: CardOutput,
    /// Whether clinical features condition it.
    pub conditioning: Conditioning,
    /// How.
    pub form: ConditioningForm,
    /// What vouches for it.
    pub provenance: Provenance,
    layout: ModelLayout,
    values: Vec<f32>,
}

impl KeptModel {
    /// Reads weights and card, checks that they belong together, and looks for what vouches for the model.
    ///
    /// # Errors
    /// [`KeptModelError`]; that nothing vouches for it is none.
    pub fn open(place: &ModelPlace, witnesses: &Witnesses) -> Result<Self, KeptModelError> {
        if let Some(card) = &place.in_place_of {
            tell_of_lost(card);
        }
        let card = read_card(&place.card)?;
        let broken = |what| KeptModelError::Card {
            path: place.card.clone(),
            what,
        };
        let output = card.output.clone();
        let output = output.ok_or_else(|| broken("it does not say which classes there are"))?;
        let conditioning = card.input.conditioning;
        let conditioning =
            conditioning.ok_or_else(|| broken("it does not say how the model is conditioned"))?;
        let classes = output.task.classes();
        let labels = Labels {
            task: output.task,
            scheme: output.labels,
        };
        // The hash of a model does not cover them: names in another order would turn every answer round.
        if output != CardOutput::of(labels) {
            return Err(broken(
                "its classes or cuts are not those of its task and labels",
            ));
        }
        let count = u32::try_from(classes).unwrap_or(u32::MAX);
        // A card of an earlier release knows the form of the study alone.
        let form = card.input.conditioning_form.unwrap_or_default();
        let features = card.input.feature_count();
        if !form.takes(features) {
            return Err(broken("no model of its form has so many features"));
        }
        if !card.input.features_agree() {
            return Err(broken(
                "its means and ranges are not those of the features that it names",
            ));
        }
        let layout = ModelLayout::of(count, form, features);
        let values = read_safetensors(&place.weights, &layout.tensors)?;
        if !values.iter().all(|value| value.is_finite()) {
            let path = place.weights.clone();
            return Err(KeptModelError::NotFinite { path });
        }
        let found = weights_hash(&layout, &values);
        if place.own {
            check_own(place, &card)?;
        }
        if let Some(expected) = card.weights_hash
            && expected != found
        {
            let path = place.weights.clone();
            return Err(KeptModelError::OtherWeights {
                path,
                card: place.card.clone(),
                expected,
                found,
            });
        }
        // Of a strategy with moments the hash covers more than a card has.
        let parts = card.clips.as_deref().zip(card.null_steps);
        let hash = parts.map(|(clips, null_steps)| model_hash(&values, &[], clips, null_steps));
        if let Some(found) = hash
            && found != card.model_hash
        {
            return Err(KeptModelError::OtherModel {
                path: place.card.clone(),
                expected: card.model_hash,
                found,
            });
        }
        let provenance = match place.own {
            true => Provenance::OpenedHere,
            false => match signed_by(hash, &place.weights, witnesses) {
                Err(error) if witnesses.optional => {
                    tracing::warn!("{error}");
                    Provenance::Unknown
                }
                signed => signed?,
            },
        };
        Ok(Self {
            card,
            output,
            conditioning,
            form,
            provenance,
            layout,
            values,
        })
    }

    /// A model that was trained here alone, in the place of this one: for the same classes, with the same conditioning.
    pub(super) fn with_values(&self, values: Vec<f32>, features: Option<Vec<CardFeature>>) -> Self {
        let mut card = self.card.clone();
        card.input.feature_statistics = features;
        Self {
            card,
            output: self.output.clone(),
            conditioning: self.conditioning,
            form: self.form,
            provenance: Provenance::OpenedHere,
            layout: self.layout.clone(),
            values,
        }
    }

    /// The network's tensors.
    pub(super) fn layout(&self) -> &ModelLayout {
        &self.layout
    }

    /// All values, in the order of the layout.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// What a trainer gets: all of it but what a vault keeps.
    pub fn for_trainer(&self) -> Vec<f32> {
        let kept = self.conditioning.kept_by_vault(self.form);
        self.layout.without(kept, &self.values)
    }

    /// What a vault keeps of it; none where clinical features do not condition it.
    pub fn conditioning_weights(&self) -> Option<ConditioningWeights> {
        let used = self.conditioning.uses_features();
        used.then(|| ConditioningWeights::of(self.form, &self.layout, &self.values))
    }
}

/// The best model of a folder is gone, and its card is there.
fn tell_of_lost(card: &Path) {
    let round = read_card(card).map(|card| format!(", that of round {}", card.learning_round));
    tracing::warn!(
        "{} is gone, the best model{}, as its card {} says: the model of the last round is taken in its place (with --last, that is meant)",
        card.with_file_name(BEST_MODEL_FILE).display(),
        round.unwrap_or_default(),
        card.display()
    );
}

/// A model of this hospital's own lies in the folder of its run, and its card says which weights it is of.
fn check_own(place: &ModelPlace, card: &ModelCard) -> Result<(), KeptModelError> {
    let folder = place.weights.parent().and_then(Path::file_name);
    let folder = folder.map(|name| name.to_string_lossy().into_owned());
    let run = card.run.map(hex::encode);
    let is_runs = |name: &String| name.len() == RUN_DIGITS && hex::decode(name).is_ok();
    let fits = match folder.filter(is_runs) {
        Some(name) => run.is_some_and(|run| run.starts_with(&name)),
        None => run.is_some(),
    };
    if fits && card.weights_hash.is_some() {
        return Ok(());
    }
    Err(KeptModelError::Card {
        path: place.card.clone(),
        what: "it is not of the run in whose folder it lies, or does not say which weights it is of",
    })
}

fn read_card(path: &Path) -> Result<ModelCard, KeptModelError> {
    let unreadable = |source| KeptModelError::NoCard {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = open_file(path).map_err(unreadable)?;
    let read = file.take(MAX_CARD_BYTES).read_to_string(&mut text);
    read.map_err(unreadable)?;
    serde_json::from_str(&text).map_err(|source| KeptModelError::CardFormat {
        path: path.to_owned(),
        source,
    })
}

/// Follows the chain of the transcript, and looks for the model in it.
fn signed_by(
    hash: Option<ModelHash>,
    weights: &Path,
    witnesses: &Witnesses,
) -> Result<Provenance, KeptModelError> {
    let beside = weights.with_file_name("transcript.jsonl");
    let path = match &witnesses.transcript {
        Some(path) => path.clone(),
        None if beside.is_file() => beside,
        None => return Ok(Provenance::Unknown),
    };
    let (Some(hash), false) = (hash, witnesses.rosters.is_empty()) else {
        return Ok(Provenance::Unknown);
    };
    let unreadable = |source| KeptModelError::Transcript {
        path: path.clone(),
        source,
    };
    let file = open_file(&path).map_err(unreadable)?;
    let wanted = hex::encode(hash);
    let mut is_there = false;
    let lines = io::BufReader::new(file.take(MAX_TRANSCRIPT_BYTES));
    let lines = io::BufRead::lines(lines).map(|line| {
        let entry: TranscriptEntry = serde_json::from_str(&line?).map_err(io::Error::other)?;
        is_there |= entry.model_hash == wanted;
        io::Result::Ok(entry)
    });
    let chain = verify(lines, &witnesses.rosters);
    let chain = chain.map_err(|source| KeptModelError::Chain { path, source })?;
    Ok(match is_there {
        false => Provenance::Unknown,
        true => Provenance::Signed {
            by: chain.fewest_signatures,
        },
    })
}

/// A file, and nothing that somebody would have to write into first.
fn open_file(path: &Path) -> io::Result<fs::File> {
    if fs::metadata(path)?.is_file() {
        fs::File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"))
    }
}

/// A line a round, of some kilobytes.
const MAX_TRANSCRIPT_BYTES: u64 = 4 << 30;
/// No card is longer.
const MAX_CARD_BYTES: u64 = 4 << 20;

/// Why there is no model to apply.
#[derive(Debug, thiserror::Error)]
pub enum KeptModelError {
    /// What is asked for is not the beginning of a run's number.
    #[error(
        "{asked:?} is not the beginning of a run's number; `participant runs list` shows the runs"
    )]
    NotDigits {
        /// By the user.
        asked: String,
    },
    /// No such file or folder, and no digits of a run.
    #[error(
        "there is no model {}: name a file .safetensors, a folder that has a model.safetensors, or the first digits of a run of this \
         hospital (`participant runs list`)",
        asked.display()
    )]
    Nothing {
        /// What was asked for.
        asked: PathBuf,
    },
    /// A folder without a model.
    #[error(
        "{} holds no model.safetensors: name the folder of a run, the file itself, or the first digits of a run of this hospital with --config",
        folder.display()
    )]
    NoModel {
        /// The folder.
        folder: PathBuf,
    },
    /// No run begins so.
    #[error("no run {digits} in {}: `participant runs list` shows those of this hospital", runs.display())]
    NoRun {
        /// What was asked for.
        digits: String,
        /// Where it was looked for.
        runs: PathBuf,
    },
    /// More than one begins so.
    #[error("{digits} could be any of the runs {found}: give more digits")]
    SeveralRuns {
        /// What was asked for.
        digits: String,
        /// Those that begin so.
        found: String,
    },
    /// No card beside the weights.
    #[error(
        "cannot read the model's card {}: it is written beside the weights, and belongs to them",
        path.display()
    )]
    NoCard {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a card.
    #[error("{} is no model card that this release reads", path.display())]
    CardFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A card of an earlier release, or of another program.
    #[error(
        "the model card {} is not enough to apply the model: {what}. Cards of this release say it; `coordinator serve` and `participant run` \
         write one with every round",
        path.display()
    )]
    Card {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A weight that is no number.
    #[error("{} holds weights that are not finite: no run has left them", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
    },
    /// Weights of another model than the card's.
    #[error(
        "{} is not the model of {}: its weights have the hash {found}, and the card says {expected}. Take both from one place",
        path.display(),
        card.display()
    )]
    OtherWeights {
        /// The weights.
        path: PathBuf,
        /// The card.
        card: PathBuf,
        /// By the card.
        expected: WeightsHash,
        /// By the file.
        found: WeightsHash,
    },
    /// The card contradicts itself.
    #[error(
        "the model hash in {} is {expected}, where its weights, clips and null steps give {found}: the card was altered, or belongs to \
         other weights",
        path.display()
    )]
    OtherModel {
        /// The card.
        path: PathBuf,
        /// By the card.
        expected: ModelHash,
        /// By its parts.
        found: ModelHash,
    },
    /// The transcript cannot be read.
    #[error("cannot read the transcript {}", path.display())]
    Transcript {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The transcript does not hold.
    #[error(
        "the transcript {} does not hold by the roster that was used (--roster FILE names another)",
        path.display()
    )]
    Chain {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        source: BrokenChain,
    },
}
