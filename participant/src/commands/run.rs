//! `participant run`.

use std::{
    collections::BTreeMap,
    io,
    path::{self, Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use crypto::sealed_sum::{HospitalId, SumRing};
use host::{
    failure::Failure,
    output::say,
    settings::{environment, key_and_value},
    signals::StopSignals,
};
use participant::{
    compute::ComputeSlots,
    interruption::NoInterruptions,
    journal::{
        EndedRun,
        patient::{Patience, PatientJournal},
        sqlite::SqliteJournal,
    },
    model_file::ModelKeeper,
    settings::Settings,
    shell::{Participant, ParticipantEvent, RunCost, RunError},
    state_folder::StateFolder,
    trainer_program::TrainerError,
    vault::{Vault, VaultError},
};
use protocol::digests::{LearningRound, ModelHash};
use serde_json::json;
use tokio::sync::mpsc;
use transport::TransportError;

use super::{data_set, diary::Diary};

/// Takes part in one training: waits for the coordinator, then runs the rounds.
///
/// It starts the program `trainer`, which lies beside this one, and starts it again if it is lost. It may itself be started before
/// the coordinator: it waits, and the log says so. Stop it with Ctrl-C or SIGTERM; the other hospitals
/// continue without it. Started again, also after a crash or a power cut, it goes on in the run that it was in. Flags override the settings file for this run. Relative paths given as flags start at the current
/// folder, those in the settings file at the folder of that file.
#[derive(Args)]
pub struct Run {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "participant.toml")]
    config: PathBuf,

    /// The folder of the data set.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The state folder, for the journal and the model.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Which scans of each patient are used: flair, t1, t2, separated by commas.
    #[arg(long, value_name = "LIST")]
    contrasts: Option<String>,

    /// Prepare all slices again, and keep none in the state folder.
    #[arg(long)]
    no_cache: bool,

    /// Where the network is trained: auto, cpu, cuda or cuda:N.
    #[arg(long)]
    device: Option<String>,

    /// How the data are split into training, validation and test: patient or slice.
    #[arg(long)]
    split: Option<String>,

    /// Set any key of the settings file, with its section, for example --set training.seed=7. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl Run {
    /// Runs to the end; the last line on stdout is a JSON object.
    pub fn execute(self) -> Result<(), Failure> {
        let flags = self.flags().map_err(Failure::settings)?;
        let settings =
            Settings::load(&self.config, environment(), &flags).map_err(Failure::settings)?;
        let (events, mut noted) = mpsc::unbounded_channel();
        let (participant, state) = participant(&settings, &self.config, events)?;
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        let mut diary = Diary::new(ModelKeeper::new(state.path(), settings.training.split));
        let result = runtime.block_on(async {
            let signals = StopSignals::listen().map_err(Failure::run)?;
            let stop = async {
                signals.first().await;
                tracing::warn!("stopping");
            };
            let mut run = pin!(participant.run(stop));
            let result = loop {
                tokio::select! {
                    biased;
                    Some(event) = noted.recv() => diary.note(event),
                    result = &mut run => break result,
                }
            };
            while let Ok(event) = noted.try_recv() {
                diary.note(event);
            }
            result.map_err(failure)
        });
        let wrong_answers = diary.wrong_answers().clone();
        let ended_before = diary.ended_before().cloned();
        let (models, latest) = diary.into_latest_model();
        if let (Ok(cost), Some(ended)) = (&result, ended_before) {
            let model = models.model_of(&ended.run);
            let outcome = Outcome::of_ended_run(&ended, cost, &model);
            say(outcome.summary(&settings, &wrong_answers));
            return Ok(());
        }
        // Also of a run that ended early: its last model is the common one of that round.
        let written = latest
            .as_ref()
            .map(|latest| models.keep(latest, result.is_ok()));
        let cost = match (result, &written) {
            (Ok(cost), _) => cost,
            (Err(failure), Some(Err(error))) => {
                tracing::error!("the common model could not be written either: {error}");
                return Err(failure);
            }
            (Err(failure), _) => return Err(failure),
        };
        let (Some(latest), Some(written)) = (latest, written) else {
            let text = "the run has ended and no sum was opened here; the first refusal in the log above tells why";
            return Err(Failure::Run(anyhow::anyhow!(text)));
        };
        let path = written.map_err(Failure::run)?;
        let outcome = Outcome {
            model_hash: latest.hash(),
            learning_round: latest.learning_round(),
            cost: &cost,
            model: &path,
        };
        say(outcome.summary(&settings, &wrong_answers));
        Ok(())
    }

    fn flags(&self) -> io::Result<Vec<(String, String)>> {
        let mut flags = self.set.clone();
        // Unlike the paths in the file, those given here start where the user is.
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(path::absolute).transpose();
        let text = |path: PathBuf| path.display().to_string();
        let given = [
            ("data", absolute(&self.data)?.map(text)),
            ("state", absolute(&self.state)?.map(text)),
            ("reading.contrasts", self.contrasts.clone()),
            ("reading.cache", self.no_cache.then(|| "false".to_owned())),
            ("training.device", self.device.clone()),
            ("training.split", self.split.clone()),
        ];
        flags.extend(
            given
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?))),
        );
        Ok(flags)
    }
}

/// A participant made of what the settings name. The state folder comes last: it is not made for one that cannot start.
fn participant(
    settings: &Settings,
    file: &Path,
    events: mpsc::UnboundedSender<ParticipantEvent>,
) -> Result<(Participant<PatientJournal<SqliteJournal>>, StateFolder), Failure> {
    let credentials = settings.credentials().map_err(Failure::settings)?;
    let (table, trainer) = data_set::read(settings, file).map_err(unusable_data)?;
    let state = StateFolder::open(&settings.state).map_err(Failure::settings)?;
    let journal = state.journal().map_err(Failure::settings)?;
    tracing::info!(hospital = %settings.hospital, device = %settings.training.device, "ready");
    let ring = Arc::new(SumRing::new());
    let policy = settings.policy.clone();
    let patience = Arc::new(Patience::default());
    let journal = PatientJournal::new(journal, patience.clone());
    let mut vault = Vault::new(credentials.identity, policy, Box::new(table), journal, ring);
    vault.resume().map_err(Failure::settings)?;
    let participant = Participant {
        vault,
        trainer: Box::new(trainer),
        dialer: credentials.dialer,
        slots: ComputeSlots::new(1),
        events,
        interruptions: Arc::new(NoInterruptions),
        patience,
    };
    Ok((participant, state))
}

/// A trainer that crashes is no matter of settings.
fn unusable_data(error: anyhow::Error) -> Failure {
    match error.downcast_ref() {
        Some(TrainerError::Lost(_)) => Failure::Run(error),
        _ => Failure::Settings(error),
    }
}

/// What the user can set right has the exit code of settings.
fn failure(error: RunError) -> Failure {
    match &error {
        RunError::Stopped => Failure::stopped(error),
        RunError::Vault(
            VaultError::OtherRoster
            | VaultError::Policy(_)
            | VaultError::Data(_)
            | VaultError::InitialModelMissing(_)
            | VaultError::InitialModelUnusable(_),
        )
        | RunError::Transport(
            TransportError::UntrustedCoordinator { .. }
            | TransportError::RefusedByCoordinator { .. }
            | TransportError::Handshake { .. },
        ) => Failure::settings(error),
        _ => Failure::run(error),
    }
}

/// What a run that ended well has led to.
struct Outcome<'a> {
    model_hash: &'a ModelHash,
    learning_round: LearningRound,
    cost: &'a RunCost,
    model: &'a Path,
}

impl<'a> Outcome<'a> {
    fn of_ended_run(ended: &'a EndedRun, cost: &'a RunCost, model: &'a Path) -> Self {
        Self {
            model_hash: &ended.model_hash,
            learning_round: ended.learning_round,
            cost,
            model,
        }
    }

    fn summary(&self, settings: &Settings, wrong_answers: &BTreeMap<HospitalId, String>) -> String {
        let wrong_answers: Vec<_> = wrong_answers
            .iter()
            .map(|(hospital, name)| json!({"hospital": hospital.get(), "name": name}))
            .collect();
        json!({
            "result": "complete",
            "hospital": settings.hospital.get(),
            "model_hash": hex::encode(self.model_hash),
            "learning_round": self.learning_round,
            "model": self.model,
            "seconds": {
                "training": self.cost.training_secs,
                "sealing": self.cost.sealing_secs,
                "opening": self.cost.opening_secs,
                "conditioning": self.cost.conditioning_secs,
                "transport": self.cost.transport_secs,
            },
            "bytes": {"up": self.cost.sent_bytes, "down": self.cost.received_bytes},
            "wrong_answers": wrong_answers,
        })
        .to_string()
    }
}
