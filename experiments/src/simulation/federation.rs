//! The sealed run: a coordinator and all participants of production in one process, over QUIC on loopback.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use coordinator::machine::Event;
use coordinator::{
    demo::{Demo, Place},
    service::{RunReport, Service},
};
use crypto::{
    hash::SecretKey32,
    sealed_sum::{HospitalId, SumRing},
};
use model_data::ScanSource;
use participant::{
    compute::ComputeSlots,
    hospital_data::ClinicalTable,
    interruption::{Interruptions, NoInterruptions},
    journal::sqlite::SqliteJournal,
    shell::{Participant, ParticipantEvent, RunCost, RunError},
    trainer_program::{TrainerCommand, TrainerProgram},
    vault::{Vault, VaultIdentity, policy::Policy},
};
use protocol::{
    codec::List,
    manifest::Purpose,
    training_job::{DataSet, LocalTrainer, PatientScans, SplitPlan},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use trainer::{CnnTrainer, ImageSet};
use transport::{Dialer, Limits, certificates::KeyFingerprint, tls::ParticipantTls};

use super::{
    interruptions::PlannedInterruptions,
    observer::{Observer, Seen},
    plan::Plan,
    recorder::{RecordingTrainer, Recordings},
    seeds::split_seed,
};

/// A finished run.
pub struct Finished {
    /// What was seen of it.
    pub observer: Observer,
    /// What it cost each hospital.
    pub costs: BTreeMap<HospitalId, RunCost>,
    /// What it cost the coordinator.
    pub report: RunReport,
}

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

/// Runs the federation to its end. Vaults keep their journals in `folder`.
///
/// # Errors
/// Whatever ends the run early, with who it was; also when a person asks to stop.
pub fn run(
    plan: &Plan,
    hospitals: Vec<HospitalParts>,
    recordings: &Recordings,
    observer: Observer,
    folder: &Path,
) -> anyhow::Result<Finished> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(plan.threads)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = run_all(plan, hospitals, recordings, observer, folder) => result,
            _ = tokio::signal::ctrl_c() => bail!("stopped before the end; nothing was written"),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

async fn run_all(
    plan: &Plan,
    hospitals: Vec<HospitalParts>,
    recordings: &Recordings,
    mut observer: Observer,
    folder: &Path,
) -> anyhow::Result<Finished> {
    let place = Place {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        server_names: vec![SERVER_NAME.to_owned()],
    };
    let demo = Demo::generate(plan.hospitals, place)?;
    let limits = limits(plan);
    let mut config = demo.service_config(&plan.run, None)?;
    config.limits = limits.clone();
    let service = Service::bind(config)?;
    let address = service.local_address();

    let (tell, mut told) = mpsc::unbounded_channel();
    let watching = tokio::task::spawn_blocking(move || {
        while let Some(seen) = told.blocking_recv() {
            observer.see(seen);
        }
        observer
    });
    let (close, closed) = watch::channel(0);
    let (events, coordinator_events) = mpsc::unbounded_channel();
    tokio::spawn(follow_coordinator(coordinator_events, close, tell.clone()));

    let setting = Setting {
        plan,
        demo: &demo,
        address,
        limits,
        recordings,
        slots: ComputeSlots::new(plan.threads),
        ring: Arc::new(SumRing::new()),
    };
    let mut participants = JoinSet::new();
    for parts in hospitals {
        let id = parts.id;
        let (events, hospital_events) = mpsc::unbounded_channel();
        let participant = setting
            .participant(parts, events, closed.clone(), folder)
            .with_context(|| format!("hospital {id}"))?;
        tokio::spawn(follow_hospital(id, hospital_events, tell.clone()));
        participants.spawn(async move { (id, participant.run(std::future::pending()).await) });
    }
    drop((tell, closed));

    let (report, costs) =
        to_the_end(service.run(events, std::future::pending()), participants).await?;
    let observer = watching
        .await
        .map_err(|error| anyhow!("the observer of the run has failed: {error}"))?;
    Ok(Finished {
        observer,
        costs,
        report,
    })
}

/// Waits for everybody. The coordinator knows best why a run ended; otherwise the first hospital that cannot go on ends it.
async fn to_the_end(
    service: impl Future<Output = Result<RunReport, coordinator::service::ServiceError>>,
    mut participants: JoinSet<(HospitalId, Result<RunCost, RunError>)>,
) -> anyhow::Result<(RunReport, BTreeMap<HospitalId, RunCost>)> {
    let mut service = std::pin::pin!(service);
    let mut costs = BTreeMap::new();
    let report = loop {
        tokio::select! {
            report = &mut service => break report?,
            Some(ended) = participants.join_next() => match ended? {
                (id, Ok(cost)) => { costs.insert(id, cost); }
                (id, Err(error)) => {
                    if let Ok(report) = timeout(LAST_WORD, &mut service).await {
                        report?;
                    }
                    return Err(error).with_context(|| format!("hospital {id} failed"));
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
        .context("a hospital did not learn that the run is over")??;
    Ok((report, costs))
}

/// Tells hospitals that were cut off when their round has closed, and the observer everything.
async fn follow_coordinator(
    mut events: mpsc::UnboundedReceiver<Event>,
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
    plan: &'a Plan,
    demo: &'a Demo,
    address: SocketAddr,
    limits: Limits,
    recordings: &'a Recordings,
    slots: ComputeSlots,
    ring: Arc<SumRing>,
}

impl Setting<'_> {
    fn participant(
        &self,
        parts: HospitalParts,
        events: mpsc::UnboundedSender<ParticipantEvent>,
        closed: watch::Receiver<u32>,
        folder: &Path,
    ) -> anyhow::Result<Participant<SqliteJournal>> {
        let id = parts.id;
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
        let journal = journal(&folder.join(format!("hospital-{id}")))?;
        let trainer: Box<dyn LocalTrainer> = match &self.plan.trainer_program {
            None => Box::new(CnnTrainer::new(parts.images, self.plan.device)),
            Some(program) => {
                let command = TrainerCommand::of(program.clone(), Vec::new())?;
                let data_set = data_set(self.plan, id, &parts.images, &parts.scans)?;
                Box::new(TrainerProgram::open(command, 0, data_set, |_| ())?)
            }
        };
        let drops = self.plan.faults.of(id);
        let interruptions: Arc<dyn Interruptions> = if drops.is_empty() {
            Arc::new(NoInterruptions)
        } else {
            Arc::new(PlannedInterruptions::new(drops, closed))
        };
        Ok(Participant {
            vault: Vault::new(
                identity,
                Policy::default(),
                Box::new(parts.table),
                journal,
                Arc::clone(&self.ring),
            ),
            trainer: Box::new(RecordingTrainer::new(id, trainer, self.recordings.clone())),
            dialer: Dialer::new(&self.address.to_string(), SERVER_NAME, &tls, &self.limits)?,
            slots: self.slots.clone(),
            events,
            interruptions,
            stopping: Arc::default(),
        })
    }
}

/// What a trainer's program is told in the place of images.
fn data_set(
    plan: &Plan,
    id: HospitalId,
    images: &ImageSet,
    scans: &[Vec<ScanSource>],
) -> anyhow::Result<DataSet> {
    let patients = images.patients().iter().zip(scans);
    let patients = patients.map(|(patient, scans)| PatientScans {
        edss: patient.edss,
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
        // A simulation's folder holds nothing that its trainers must not know.
        kept_out: List::default(),
    })
}

fn journal(folder: &Path) -> anyhow::Result<SqliteJournal> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut host_key = [0; 32];
    getrandom::fill(&mut host_key)
        .map_err(|error| anyhow!("the operating system gives no randomness: {error}"))?;
    Ok(SqliteJournal::open(
        &folder.join("vault.sqlite"),
        &SecretKey32::from_bytes(host_key),
    )?)
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
const LAST_WORD: Duration = Duration::from_secs(5);
const LAST_HOSPITALS: Duration = Duration::from_secs(60);
