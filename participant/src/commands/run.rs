//! `participant run`.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{self, Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use crypto::sealed_sum::{HospitalId, SumRing};
use getrandom::SysRng;
use host::{
    failure::Failure,
    output::say,
    settings::{environment, key_and_value},
    signals::Stopping,
    web::WebListener,
};
use participant::{
    approvals::store::ApprovalStore,
    compute::ComputeSlots,
    enrolment::Upkeep,
    erasure::Erased,
    interruption::NoInterruptions,
    journal::{
        EndedRun,
        patient::{Patience, PatientJournal},
        sqlite::SqliteJournal,
    },
    ledger::Ledger,
    model_file::ModelKeeper,
    run_spans::RunSpans,
    settings::Settings,
    shell::{Participant, ParticipantEvent, RunCost, RunError},
    standing::Standing,
    state_folder::StateFolder,
    vault::{Vault, VaultError, consent::Consent, self_test::self_test},
    way_out::{CoordinatorsCertificate, WayOut},
    web::Web,
};
use protocol::{
    digests::{LearningRound, ModelHash},
    roster::Roster,
};
use rand_core::UnwrapErr;
use serde_json::json;
use tokio::sync::mpsc;
use transport::TransportError;

use super::{
    data_gaps::DataGaps,
    data_set::{self, ReadDataSet},
    diary::Diary,
    dry_run::DryRun,
};

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

    /// Serve a web page at this address of this machine, such as 127.0.0.1:8081, to watch the run and decide about runs.
    #[arg(long, value_name = "ADDRESS")]
    web: Option<SocketAddr>,

    /// Set any key of the settings file, with its section, for example --set training.seed=7. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,

    #[command(flatten)]
    dry: DryRun,
}

impl Run {
    /// Runs to the end; the last line on stdout is a JSON object.
    pub fn execute(self) -> Result<(), Failure> {
        let flags = self.flags().map_err(Failure::settings)?;
        let settings =
            Settings::load(&self.config, environment(), &flags).map_err(Failure::settings)?;
        if self.dry.is_asked_for() {
            return self.dry.execute(settings, &self.config);
        }
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        let stopping = runtime
            .block_on(async { Stopping::listen() })
            .map_err(Failure::run)?;
        runtime.block_on(async {
            tokio::select! {
                followed = settings.follow_roster(&self.config) => followed.map_err(Failure::settings),
                () = stopping.asked() => Err(Failure::Stopped(anyhow!("stopped before there was a roster"))),
            }
        })?;
        let bound = settings.web.map(WebListener::bind);
        // Before the data are read, which takes long.
        let listener = bound.map(|bound| runtime.block_on(bound)).transpose();
        let listener = listener.map_err(Failure::settings)?;
        let (events, mut noted) = mpsc::unbounded_channel();
        let Ready {
            participant,
            state,
            ledger,
            roster,
            gaps,
            upkeep,
        } = Ready::make(&settings, &self.config, events)?;
        let mut diary = Diary::new(
            ModelKeeper::new(state.path(), settings.training.split),
            self.config.clone(),
            gaps,
            participant.spans.clone(),
        );
        let (standing, _web) = runtime.block_on(async {
            let standing = Standing::begin(&settings, &roster);
            let web = page(listener, &settings, &roster, &standing)?;
            Ok((standing, web))
        })?;
        // Whoever reads this may ask `participant status`.
        tracing::info!(hospital = %settings.hospital, device = %settings.training.device, "ready");
        let result = runtime.block_on(async {
            let stop = async {
                stopping.asked().await;
                tracing::warn!("stopping");
            };
            let mut run = pin!(participant.run(stop));
            let mut upkeep = pin!(upkeep.run());
            let result = loop {
                tokio::select! {
                    biased;
                    Some(event) = noted.recv() => {
                        standing.note(&event);
                        diary.note(event);
                    }
                    result = &mut run => break result,
                    never = &mut upkeep => match never {},
                }
            };
            while let Ok(event) = noted.try_recv() {
                diary.note(event);
            }
            result.map_err(failure)
        });
        close(&ledger);
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
            return Err(Failure::Run(anyhow!(text)));
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
            ("web.listen", self.web.map(|address| address.to_string())),
        ];
        flags.extend(
            given
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?))),
        );
        Ok(flags)
    }
}

/// The web page, if the settings name an address for it.
fn page(
    listener: Option<WebListener>,
    settings: &Settings,
    roster: &Roster,
    standing: &Standing,
) -> Result<Option<Web>, Failure> {
    let Some(listener) = listener else {
        return Ok(None);
    };
    let web = Web::start(listener, settings.clone(), roster.clone(), standing);
    let web = web.map_err(Failure::settings)?;
    let (address, token) = (web.address(), web.token_file().display());
    tracing::info!("the web page is at http://{address}/; its token is in {token}");
    Ok(Some(web))
}

/// A participant, and what it was made with.
struct Ready {
    participant: Participant<PatientJournal<SqliteJournal>>,
    /// Locked.
    state: StateFolder,
    ledger: Arc<Ledger>,
    /// By which it goes.
    roster: Roster,
    gaps: DataGaps,
    upkeep: Upkeep,
}

impl Ready {
    /// Made of what the settings name. The state folder comes last: it is not made for one that cannot start.
    fn make(
        settings: &Settings,
        file: &Path,
        events: mpsc::UnboundedSender<ParticipantEvent>,
    ) -> Result<Self, Failure> {
        let credentials = settings.credentials().map_err(Failure::settings)?;
        let shown = credentials.dialer.shown_certificate();
        let coordinators = CoordinatorsCertificate::default();
        let upkeep = Upkeep::new(
            settings.clone(),
            file.to_owned(),
            shown,
            coordinators.clone(),
        );
        let ring = Arc::new(SumRing::new());
        let (mut first, mut second) = (UnwrapErr(SysRng), UnwrapErr(SysRng));
        self_test(&settings.policy.profiles, &ring, &mut first, &mut second)
            .map_err(Failure::run)?;
        let roster = Roster::clone(&credentials.identity.roster);
        let (epoch, fingerprint) = (roster.epoch(), roster.fingerprint());
        tracing::info!(epoch, fingerprint, "the roster");
        let erased = || Erased::read(&settings.state).map_err(Failure::settings);
        let erased_before = erased()?.len();
        let ReadDataSet {
            table,
            trainer,
            gaps,
        } = data_set::read(settings, file).map_err(data_set::unusable)?;
        let state = StateFolder::open(&settings.state).map_err(Failure::settings)?;
        if erased()?.len() != erased_before {
            return Err(Failure::Settings(anyhow!(
                "a patient was erased while the data were read: start again"
            )));
        }
        let journal = state.journal().map_err(Failure::settings)?;
        let ledger = Arc::new(state.ledger().map_err(Failure::settings)?);
        let approvals = ApprovalStore::open(
            state.path(),
            settings.approval,
            credentials.identity.roster.hash(),
        );
        let approvals = approvals.map_err(Failure::settings)?;
        let consent = Consent::new(settings.policy.clone(), Box::new(approvals));
        let patience = Arc::new(Patience::default());
        let journal = PatientJournal::new(journal, patience.clone());
        let threshold = credentials.identity.roster.threshold();
        let way_out = WayOut::new(
            credentials.dialer,
            credentials.coordinator,
            threshold,
            Arc::clone(&ledger),
        )
        .noting_certificates_in(coordinators);
        let mut vault = Vault::new(
            credentials.identity,
            consent,
            Box::new(table),
            journal,
            ring,
        );
        vault.resume().map_err(Failure::settings)?;
        let participant = Participant {
            vault,
            trainer: Box::new(trainer),
            way_out,
            slots: ComputeSlots::new(1),
            events,
            interruptions: Arc::new(NoInterruptions),
            patience,
            spans: RunSpans::new(settings.hospital),
            shows_heat: settings.web.is_some(),
        };
        Ok(Self {
            participant,
            state,
            ledger,
            roster,
            gaps,
            upkeep,
        })
    }
}

/// The last heartbeats are entered, and the log has the hash that the ledger ends with: written elsewhere, it shows that nobody has
/// written another ledger since.
fn close(ledger: &Ledger) {
    if let Err(error) = ledger.enter_counted() {
        tracing::warn!("{error}; they are entered at the next start");
    }
    let head = ledger.head();
    tracing::info!(
        entries = head.entries,
        hash = hex::encode(head.hash),
        "the ledger of what has left this hospital ends here"
    );
}

/// What the user can set right has the exit code of settings.
fn failure(error: RunError) -> Failure {
    match &error {
        RunError::Stopped => Failure::stopped(error),
        RunError::Vault(
            VaultError::OtherRoster
            | VaultError::Policy(_)
            | VaultError::Rejected { .. }
            | VaultError::Approvals(_)
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
            // What QUIC counts for the same: with its own and TLS's framing, and what was sent again.
            "datagram_bytes": {
                "up": self.cost.wire.datagram_bytes_sent,
                "down": self.cost.wire.datagram_bytes_received,
            },
            "wrong_answers": wrong_answers,
        })
        .to_string()
    }
}
