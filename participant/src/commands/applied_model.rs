//! Which model a command applies, and how it reads scans: what `predict` and `evaluate` share.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use host::{failure::Failure, key_files::NamedFile, settings::environment};
use model_data::{Contrast, LoadOptions, SliceChoice};
use participant::{
    learning_history::LearningHistory,
    predict::{Conditions, KeptModel, ModelPlace, Provenance, Witnesses},
    settings::Settings,
    vault::conditioning::release::ReleaseLevels,
};
use protocol::training_job::DeviceChoice;

/// The model, and what vouches for it.
#[derive(Args)]
pub struct ModelArguments {
    /// The model: a file such as model-best.safetensors, whose card lies beside it; a folder with such a file; or the first digits of a
    /// run of this hospital (`participant runs list`).
    #[arg(value_name = "MODEL_OR_RUN")]
    model: PathBuf,

    /// In a folder: the model of the last round, not that of the best.
    #[arg(long)]
    last: bool,

    /// The transcript that the model must be in. By default transcript.jsonl beside the model.
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,

    /// The roster whose hospitals have signed it. By default that of the settings.
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,

    /// Apply the model although nothing shows where it comes from.
    #[arg(long)]
    unverified: bool,

    /// The settings file, for the state folder, the roster and the trainer. Without it, and with none in this folder, defaults are taken.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How scans are read.
#[derive(Args)]
pub struct ScanArguments {
    /// Which scans of each patient are used: flair, t1, t2, separated by commas. By default those that the model's card names.
    #[arg(long, value_name = "LIST")]
    contrasts: Option<String>,

    /// The number of slices of each scan; 0 means every slice that shows tissue. By default as the model's card says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=MAX_SLICES_PER_SCAN as i64))]
    slices_per_patient: Option<u16>,

    /// Where the network computes: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,

    /// The memory limit for scans while they are read.
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB, value_parser = clap::value_parser!(u64).range(1..))]
    memory_limit_mib: u64,
}

impl ModelArguments {
    /// With the file that they are from; none where there is none.
    ///
    /// # Errors
    /// A file that is named and missing, or settings that are wrong.
    pub fn settings(&self) -> Result<Option<(Settings, PathBuf)>, Failure> {
        let usual = PathBuf::from("participant.toml");
        let file = match &self.config {
            Some(file) => file.clone(),
            None if usual.is_file() => usual,
            None => return Ok(None),
        };
        let settings = Settings::load(&file, environment(), &[]).map_err(Failure::settings)?;
        Ok(Some((settings, file)))
    }

    /// Where the model is.
    ///
    /// # Errors
    /// Nowhere.
    pub fn place(&self, settings: Option<&Settings>) -> Result<ModelPlace, Failure> {
        let state = settings.map(|settings| settings.state.as_path());
        ModelPlace::find(&self.model, state, self.last).map_err(Failure::settings)
    }

    /// The model, which something vouches for unless `--unverified`.
    ///
    /// # Errors
    /// No model, or one that is altered or unknown.
    pub fn open(&self, settings: Option<&Settings>) -> Result<(KeptModel, Conditions), Failure> {
        let place = self.place(settings)?;
        let roster = match (&self.roster, settings) {
            (Some(file), _) => Some(("--roster", file)),
            (None, Some(settings)) if settings.roster.is_file() => {
                Some(("roster", &settings.roster))
            }
            (None, _) => None,
        };
        let rosters = match roster {
            Some((name, file)) => NamedFile::new(name, file)
                .rosters()
                .map_err(Failure::settings)?,
            None => vec![],
        };
        let witnesses = Witnesses {
            transcript: self.transcript.clone(),
            rosters,
            optional: self.unverified,
        };
        let model = KeptModel::open(&place, &witnesses).map_err(Failure::settings)?;
        if model.provenance == Provenance::Unknown && !self.unverified {
            let path = place.weights.display();
            let why = if model.card.clips.is_none() {
                "its strategy keeps moments, which are in no file, so that no transcript can show it"
            } else {
                "it is in no run of this hospital, and in no transcript that hospitals of a known roster have signed"
            };
            return Err(Failure::settings(anyhow!(
                "nothing shows where the model {path} comes from: {why}. Give the transcript of its run and the roster of your federation \
                 (--transcript FILE --roster FILE), or --unverified if you know where it is from"
            )));
        }
        let levels = settings.map_or_else(ReleaseLevels::default, |settings| {
            settings.policy.release_levels
        });
        let conditions = Conditions::of(&model, levels);
        let conditions = conditions.map_err(|reason| Failure::settings(anyhow!(reason)))?;
        let scanners = scanners_of_run(&place);
        Ok((model, conditions.trained_on(scanners)))
    }
}

impl ScanArguments {
    /// All as the model's card says.
    pub fn as_in_training(device: DeviceChoice) -> Self {
        Self {
            contrasts: None,
            slices_per_patient: None,
            device,
            memory_limit_mib: LoadOptions::MEMORY_LIMIT_MIB,
        }
    }

    /// What the loader is asked for, as in the training of this model unless told otherwise.
    ///
    /// # Errors
    /// No list of contrasts.
    pub fn options(
        &self,
        model: &KeptModel,
        conditions: &Conditions,
    ) -> Result<LoadOptions, Failure> {
        let input = &model.card.input;
        let contrasts = match &self.contrasts {
            Some(list) => Contrast::list(list)
                .map_err(|error| Failure::settings(anyhow!("--contrasts {list}: {error}")))?,
            None => match &input.contrasts {
                Some(contrasts) if !contrasts.is_empty() => contrasts.clone(),
                _ => LoadOptions::default().contrasts,
            },
        };
        let slices = self.slices_per_patient.map(usize::from);
        let slices = slices.or(input.slices_per_scan.map(|count| count as usize));
        if let Some(count) = slices.filter(|count| *count > MAX_SLICES_PER_SCAN) {
            return Err(Failure::settings(anyhow!(
                "the model's card asks for {count} slices of each scan, where at most {MAX_SLICES_PER_SCAN} are taken: say --slices-per-patient"
            )));
        }
        Ok(LoadOptions {
            contrasts,
            slices: match slices {
                None | Some(0) => SliceChoice::All { drop_empty: true },
                Some(count) => SliceChoice::evenly(count),
            },
            features: conditions.schema(),
            memory_limit_mib: self.memory_limit_mib,
            ..LoadOptions::default()
        })
    }
}

/// Of this hospital's own scans, where the model is of a run that it took part in.
fn scanners_of_run(place: &ModelPlace) -> Vec<String> {
    let folder = place.weights.parent().filter(|_| place.own);
    let history = folder.and_then(|folder| LearningHistory::read(folder).ok());
    let data = history.and_then(|history| history.data);
    data.map_or_else(Vec::new, |data| data.scanners)
}

/// Said once where no scanner can be called strange.
pub const SCANNERS_NOT_KNOWN: &str = "The scanners of the training are not known here (a run of this hospital tells them, where its scans name theirs): none is called strange.";

const MAX_SLICES_PER_SCAN: usize = 1000;

/// What vouches for the model, for people.
pub fn vouched(provenance: Provenance) -> String {
    match provenance {
        Provenance::OpenedHere => "opened by this hospital in a run".to_owned(),
        Provenance::Signed { by: 1 } => {
            "in a transcript that a hospital of the roster has signed".to_owned()
        }
        Provenance::Signed { by } => {
            format!("in a transcript whose rounds {by} hospitals or more have signed")
        }
        Provenance::Unknown => "NOT VERIFIED: nothing shows where it comes from".to_owned(),
    }
}
