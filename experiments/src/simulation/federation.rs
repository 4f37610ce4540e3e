//! The sealed run: a coordinator and all participants of production in one process, over QUIC on loopback.

use std::{
    collections::BTreeMap, fs, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration,
};

use anyhow::{Context, anyhow};
use coordinator::{
    demo::{Demo, Place},
    machine::Event,
    service::{Registry, RunReport, Service, ServiceError},
};
use crypto::sealed_sum::{HospitalId, SumRing};
use host::failure::Failure;
use model_data::ScanSource;
use participant::{
    compute::ComputeSlots,
    hospital_data::ClinicalTable,
    interruption::{Interruptions, NoInterruptions},
    journal::sqlite::SqliteJournal,
    ledger::{Ledger, Recipient},
    run_spans::RunSpans,
    shell::{Participant, ParticipantEvent, RunCost, RunError},
    state_folder::StateFolder,
    trainer_program::{TrainerCommand, TrainerProgram},
    vault::{Vault, VaultIdentity, VaultOutput, consent::Consent, policy::Policy},
    way_out::WayOut,
};
use protocol::{
    codec::List,
    digests::ModelHash,
    manifest::Purpose,
    training_job::{DataSet, FilePath, LocalTrainer, PatientScans, SplitPlan},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use trainer::{CnnTrainer, ImageSet};
use transport::{Dialer, Limits, certificates::KeyFingerprint, tls::ParticipantTls};

use super::{
    interruptions::PlannedInterruptions,
    observer::{Seen, SharedObserver},
    plan::Plan,
    recorder::{RecordingTrainer, Recordings},
    run_folder::{RunFolder, sync_folder, sync_tree},
    seeds::split_seed,
};
use crate::stopping::{Interrupted, Stopping};

/// One hospital's part of the data.
pub struct HospitalParts {
    /// Its number.
    pub id: HospitalId,
    /// For the vault.
    pub table: ClinicalTable,
    /// For the trainer.
    pub images: ImageSet,
    /// For a trainer that is a program: the files of each patient.
    pub scans: Vec<Vec<ScanSource>>,
}

/// Why a federation has ended before its run.
#[derive(Debug)]
pub enum Failed {
    /// It can go on from what is in its folder.
    CanGoOn(Failure),
    /// The coordinator has ended the run.
    ForGood(Failure),
    /// It can go on; but a trainer of this process still computes, so that the process can end only by `_exit`.
    StillComputing(Failure),
}

impl Failed {
    /// While it ran, in a way from which it can go on. For `map_err`.
    pub fn can_go_on(error: impl Into<anyhow::Error>) -> Self {
        Self::CanGoOn(Failure::run(error))
    }
}

/// What all of a federation need to know.
pub struct Federation<'a> {
    /// What is simulated.
    pub plan: &'a Plan,
    /// What the trainers hand over.
    pub recordings: Recordings,
    /// Who is told of everything.
    pub observer: SharedObserver,
    /// Keys, the coordinator's state, the hospitals'.
    pub folder: RunFolder,
    /// What Ctrl-C does.
    pub stopping: &'a Stopping,
}

impl Federation<'_> {
    /// Runs the federation to its end, from where its folder has it. The common model's hash in the coordinator's word; none if an earlier
    /// process has come to the end of the run.
    ///
    /// # Errors
    /// Whatever ends the run early, with who it was; also when a person asks to stop.
    pub fn run(&self, hospitals: Vec<HospitalParts>) -> Result<Option<ModelHash>, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.plan.threads)
            .enable_all()
            .build()
            .map_err(Failed::can_go_on)?;
        let result = runtime.block_on(self.run_all(hospitals));
        runtime.shutdown_timeout(Duration::from_secs(2));
        result
    }

    async fn run_all(&self, hospitals: Vec<HospitalParts>) -> Result<Option<ModelHash>, Failed> {
        let waits = self.stopping.wait();
        let Some(mut started) = self.start(hospitals).map_err(Failed::can_go_on)? else {
            return Ok(None);
        };
        let run = to_the_end(started.service, &mut started.participants);
        let result = tokio::select! {
            result = run => result,
            () = waits.signal() => Err(Failed::CanGoOn(Failure::stopped(Interrupted))),
        };
        let failed = match result {
            Ok((report, costs)) => {
                let _ = started.watching.await;
                let mut observer = self.observer.lock();
                observer.see(Seen::CoordinatorSpent(report.spent));
                for (id, cost) in costs {
                    observer.see_cost(id, cost);
                }
                return Ok(Some(report.model_hash));
            }
            Err(failed) => failed,
        };
        // A process that ended while libtorch computes would crash on its way out: a training goes on to its next step.
        started.end.send_replace(true);
        let all = async { while started.participants.join_next().await.is_some() {} };
        match (timeout(TO_A_SAFE_POINT, all).await, failed) {
            (Err(_), Failed::CanGoOn(error) | Failed::ForGood(error)) => {
                Err(Failed::StillComputing(error))
            }
            (_, failed) => Err(failed),
        }
    }

    /// None if the run has ended already.
    fn start(&self, hospitals: Vec<HospitalParts>) -> anyhow::Result<Option<Started>> {
        let demo = self.parties()?;
        let limits = limits(self.plan);
        let mut config = demo.service_config(&self.plan.run, Some(self.folder.coordinator()))?;
        config.limits = limits.clone();
        let service = Service::bind(config)?;
        if !service.is_taken_up() && self.observer.lock().sums.has_seen_any() {
            // Its coordinator has ended it, and would begin another one.
            return Ok(None);
        }
        let (tell, mut told) = mpsc::unbounded_channel();
        let observer = self.observer.clone();
        let watching = tokio::task::spawn_blocking(move || {
            while let Some(seen) = told.blocking_recv() {
                observer.lock().see(seen);
            }
        });
        let (close, closed) = watch::channel(0);
        let (events, coordinator_events) = mpsc::unbounded_channel();
        let follow =
            follow_coordinator(coordinator_events, service.registry(), close, tell.clone());
        tokio::spawn(follow);

        let setting = Setting {
            federation: self,
            demo: &demo,
            address: service.local_address(),
            limits,
            slots: ComputeSlots::new(self.plan.threads),
            ring: Arc::new(SumRing::new()),
        };
        let mut participants = JoinSet::new();
        let (end, ended) = watch::channel(false);
        for parts in hospitals {
            let id = parts.id;
            let (events, hospital_events) = mpsc::unbounded_channel();
            let participant = setting
                .participant(parts, events, closed.clone())
                .with_context(|| format!("hospital {id}"))?;
            tokio::spawn(follow_hospital(id, hospital_events, tell.clone()));
            let mut ended = ended.clone();
            participants.spawn(async move {
                let end = async {
                    let _ = ended.wait_for(|ended| *ended).await;
                };
                (id, participant.run(end).await)
            });
        }
        Ok(Some(Started {
            service: Box::pin(service.run(events, std::future::pending())),
            participants,
            end,
            watching,
        }))
    }

    /// All keys, made when the federation begins.
    fn parties(&self) -> anyhow::Result<Demo> {
        let place = Place {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            server_names: vec![SERVER_NAME.to_owned()],
        };
        let folder = self.folder.federation();
        if folder.exists() {
            return Ok(Demo::read(&folder, place)?);
        }
        let demo = Demo::generate(self.plan.hospitals, place)?;
        let beside = folder.with_extension("new");
        if beside.exists() {
            // Of a process that was stopped while it wrote them.
            fs::remove_dir_all(&beside)?;
        }
        demo.write(&beside)?;
        sync_tree(&beside)?;
        fs::rename(&beside, &folder)?;
        sync_folder(self.folder.path())?;
        Ok(demo)
    }
}

/// A federation that runs.
struct Started {
    service: Pin<Box<dyn Future<Output = Result<RunReport, ServiceError>>>>,
    participants: JoinSet<(HospitalId, Result<RunCost, RunError>)>,
    /// Tells the participants to end.
    end: watch::Sender<bool>,
    /// Until all events are told.
    watching: JoinHandle<()>,
}

/// Waits for everybody. The coordinator knows best why a run ended; otherwise the first hospital that cannot go on ends it.
async fn to_the_end(
    mut service: Pin<Box<dyn Future<Output = Result<RunReport, ServiceError>>>>,
    participants: &mut JoinSet<(HospitalId, Result<RunCost, RunError>)>,
) -> Result<(RunReport, BTreeMap<HospitalId, RunCost>), Failed> {
    let mut costs = BTreeMap::new();
    let report = loop {
        tokio::select! {
            report = &mut service => break report.map_err(of_service)?,
            Some(ended) = participants.join_next() => match ended.map_err(Failed::can_go_on)? {
                (id, Ok(cost)) => { costs.insert(id, cost); }
                (id, Err(error)) => {
                    if let Ok(report) = timeout(LAST_WORD, &mut service).await {
                        report.map_err(of_service)?;
                    }
                    let error = anyhow::Error::from(error).context(format!("hospital {id} failed"));
                    return Err(Failed::can_go_on(error));
                }
            },
        }
    };
    let rest = async {
        while let Some(ended) = participants.join_next().await {
            let (id, cost) = ended?;
            costs.insert(
                id,
                cost.with_context(|| format!("hospital {id} did not reach the end of the run"))?,
            );
        }
        anyhow::Ok(())
    };
    timeout(LAST_HOSPITALS, rest)
        .await
        .context("a hospital did not learn that the run is over")
        .and_then(|rest| rest)
        .map_err(|error| Failed::ForGood(Failure::Run(error)))?;
    Ok((report, costs))
}

fn of_service(error: ServiceError) -> Failed {
    match error {
        ServiceError::RunFailed { .. } => Failed::ForGood(Failure::run(error)),
        error => Failed::can_go_on(error),
    }
}

/// Tells hospitals that were cut off when their round has closed, and the observer everything.
async fn follow_coordinator(
    mut events: mpsc::UnboundedReceiver<Event>,
    registry: Arc<Registry>,
    close: watch::Sender<u32>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    let mut open = 0;
    while let Some(event) = events.recv().await {
        match &event {
            Event::Opened {
                purpose: Purpose::Update,
                learning_round,
                ..
            } => open = learning_round.get(),
            Event::OutcomeOut {
                purpose: Purpose::Update,
                learning_round,
                ..
            } => {
                close.send_replace(learning_round.get());
                let _ = tell.send(Seen::CoordinatorSpent(registry.spent()));
            }
            Event::Abandoned {
                purpose: Purpose::Update,
                ..
            } => {
                close.send_replace(open);
            }
            _ => {}
        }
        let _ = tell.send(Seen::Coordinator(event));
    }
}

async fn follow_hospital(
    id: HospitalId,
    mut events: mpsc::UnboundedReceiver<ParticipantEvent>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    while let Some(event) = events.recv().await {
        let _ = tell.send(Seen::Hospital(id, event));
    }
}

/// What all participants share.
struct Setting<'a> {
    federation: &'a Federation<'a>,
    demo: &'a Demo,
    address: SocketAddr,
    limits: Limits,
    slots: ComputeSlots,
    ring: Arc<SumRing>,
}

impl Setting<'_> {
    fn participant(
        &self,
        parts: HospitalParts,
        events: mpsc::UnboundedSender<ParticipantEvent>,
        closed: watch::Receiver<u32>,
    ) -> anyhow::Result<Participant<SqliteJournal>> {
        let id = parts.id;
        let (plan, observer) = (self.federation.plan, &self.federation.observer);
        let party = self
            .demo
            .hospitals
            .get(&id)
            .ok_or_else(|| anyhow!("is not in the federation"))?;
        let coordinator = KeyFingerprint::from(self.demo.roster.coordinator_tls_fingerprint());
        let tls = ParticipantTls::new(
            &party.tls_identity()?,
            &self.demo.trusted_authority()?,
            coordinator,
        )?;
        let identity = VaultIdentity {
            id,
            key: party.copy_signing_key(),
            roster: Arc::clone(&self.demo.roster),
        };
        // Its lock is not needed: one process at a time works in the folder around it.
        let journal = StateFolder::open(&self.federation.folder.hospital(id))?.journal()?;
        let vault = Vault::new(
            identity,
            // Who asks for the run here is every hospital.
            Consent::by_policy_alone(Policy::of_own_federation()),
            Box::new(parts.table),
            journal,
            Arc::clone(&self.ring),
        );
        let mut vault = vault.witnessed_by(observer.witness(id));
        vault.resume()?;
        // Without a connection it has only this to say; the check of the sums hears it before the first sum is opened.
        while let Some(VaultOutput::Event(event)) = vault.poll_output() {
            let event = ParticipantEvent::Vault(event);
            observer.lock().see(Seen::Hospital(id, event));
        }
        let trainer: Box<dyn LocalTrainer> = match &plan.trainer_program {
            None => Box::new(CnnTrainer::new(parts.images, plan.device)),
            Some(program) => {
                let command = TrainerCommand::of(program.clone(), Vec::new())?;
                let kept_out = self.federation.folder.path();
                let data_set = data_set(plan, id, &parts.images, &parts.scans, kept_out)?;
                Box::new(TrainerProgram::open(command, 0, data_set, |_| ())?)
            }
        };
        let drops = plan.faults.of(id);
        let interruptions: Arc<dyn Interruptions> = if drops.is_empty() {
            Arc::new(NoInterruptions)
        } else {
            Arc::new(PlannedInterruptions::new(drops, closed))
        };
        let recordings = self.federation.recordings.clone();
        let address = self.address.to_string();
        let dialer = Dialer::new(&address, SERVER_NAME, &tls, &self.limits)?;
        let recipient = Recipient {
            address,
            key: *coordinator.as_bytes(),
        };
        let threshold = self.demo.roster.threshold();
        // Nothing leaves this process.
        let ledger = Arc::new(Ledger::in_memory()?);
        Ok(Participant {
            vault,
            trainer: Box::new(RecordingTrainer::new(id, trainer, recordings)),
            way_out: WayOut::new(dialer, recipient, threshold, ledger),
            slots: self.slots.clone(),
            events,
            interruptions,
            patience: Arc::default(),
            spans: RunSpans::new(id),
            shows_heat: false,
        })
    }
}

/// What a trainer's program is told in the place of images.
fn data_set(
    plan: &Plan,
    id: HospitalId,
    images: &ImageSet,
    scans: &[Vec<ScanSource>],
    kept_out: &Path,
) -> anyhow::Result<DataSet> {
    let patients = images.patients().iter().zip(scans);
    let patients = patients.map(|(patient, scans)| PatientScans {
        edss: Some(patient.edss),
        scans: scans.iter().map(|scan| (&scan.files).into()).collect(),
    });
    Ok(DataSet {
        patients: patients.collect(),
        slices: plan.loading.slices,
        memory_limit_mib: plan.loading.memory_limit_mib,
        cache: None,
        split: SplitPlan {
            kind: plan.split,
            seed: split_seed(plan.seed, id),
        },
        device: plan.device.to_string().parse()?,
        confine: true,
        kept_out: List(vec![FilePath(std::path::absolute(kept_out)?)]),
    })
}

/// Everybody shares one machine, which may be busy: without planned faults nobody is given up because it was slow to answer, so
/// that the same seed has the same contributors. With planned faults a silent hospital is to be noticed.
fn limits(plan: &Plan) -> Limits {
    let idle_timeout = if plan.faults.is_empty() {
        PATIENCE
    } else {
        PATIENCE_WITH_FAULTS
    };
    Limits {
        idle_timeout,
        handshake_timeout: PATIENCE_WITH_FAULTS,
        stall_timeout: PATIENCE,
        ..Limits::default()
    }
}

const SERVER_NAME: &str = "localhost";
const PATIENCE: Duration = Duration::from_secs(120);
const PATIENCE_WITH_FAULTS: Duration = Duration::from_secs(8);
/// A step of training, or a sum that is being opened.
const TO_A_SAFE_POINT: Duration = Duration::from_secs(10);
const LAST_WORD: Duration = Duration::from_secs(5);
const LAST_HOSPITALS: Duration = Duration::from_secs(60);
