//! One run of a federation over QUIC: the asynchronous shell around [`crate::machine::Coordinator`].
//!
//! One owner drives the machine, on a thread of its own because adding and multiplying take tens of milliseconds; nothing is
//! locked. A task per hospital reads its link and feeds the owner; another writes what the owner says. Uploads are in memory or in
//! files, and go on where they were cut; outcomes are served from files. Without a state folder both are in memory.

mod byte_budget;
mod ending;
mod event_log;
mod held_bytes;
mod idle;
mod inbox;
mod inputs;
mod link;
mod lost;
mod outcomes;
mod owner;
mod records;
mod records_error;
mod registry;
mod spent;
mod start;
mod transcript_file;
mod uploads;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    control::{Control, SOCKET},
    machine::Event,
};
use crypto::sealed_sum::HospitalId;
use host::spans;
use protocol::{
    digests::{ModelHash, RunId, SessionId},
    identity::{Signed, SigningKey},
    manifest::{Manifest, ManifestError},
    message::ALREADY_CONNECTED,
    roster::Roster,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{Instrument as _, Span, error_span, field};
use transport::{
    CloseCode, EnrolmentDesk, HospitalLink, Incoming, Limits, Listener, TrafficCounts,
    TransportError,
    certificates::{CertificateError, KeyFingerprint},
    repeats::{Repeat, Repeats},
    tls::{HospitalKeys, TlsIdentity, TrustedAuthority},
};

pub(crate) use self::event_log::declined;
use self::{
    byte_budget::ByteBudget,
    ending::Ending,
    inbox::Inbox,
    inputs::{Input, LinkNumber},
    link::{LinkTask, SHUT_OUT},
    lost::Lost,
    outcomes::Outcomes,
    owner::Owner,
    records::Records,
    start::{Start, Started},
    uploads::UploadShelf,
};
pub use self::{
    idle::{Idle, IdleConfig, IdleEnd, give_up_unfinished_run, has_unfinished_run},
    owner::Machine,
    records_error::RecordsError,
    registry::{LiveHospital, Registry},
    spent::Spent,
    start::TakeUpError,
};

/// What a run needs.
pub struct ServiceConfig {
    /// Who is in the federation.
    pub roster: Arc<Roster>,
    /// Signs what the coordinator sends; the roster lists its public half.
    pub signing_key: SigningKey,
    /// The coordinator's certificate and key; the roster pins the key.
    pub identity: TlsIdentity,
    /// Whose certificates are believed.
    pub authority: TrustedAuthority,
    /// The run to begin, signed by the operator, if there is one. A run without result that the state folder keeps goes on instead.
    pub manifest: Option<Signed<Manifest>>,
    /// The UDP address to bind; port 0 takes any.
    pub listen: SocketAddr,
    /// The folder for records, made if it does not exist; none keeps no records.
    pub state: Option<PathBuf>,
    /// Whether an unfinished run that the state folder keeps is abandoned, and another one begun.
    pub new_run: bool,
    /// How long the last outcomes are served to hospitals that have not fetched them, when all rounds are done.
    pub serve_outcomes_secs: u32,
    /// How much hospitals may ask of this end-point.
    pub limits: Limits,
    /// Where hospitals ask to be members of a later roster, if any are admitted.
    pub desk: Option<Arc<dyn EnrolmentDesk>>,
}

/// A coordinator that listens and is ready to run.
pub struct Service {
    listener: Listener,
    started: Started,
    records: Option<Records>,
    control: Option<Control>,
    uploads: UploadShelf,
    registry: Arc<Registry>,
    address: SocketAddr,
    span: Span,
}

/// How a run went that ended well.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Hash of the common model that the hospitals now hold.
    pub model_hash: ModelHash,
    /// Hospitals that never fetched the last outcome; they hold an older model.
    pub missing: Vec<HospitalId>,
    /// In how many sums the dealer check spoke against a hospital; the records say what.
    pub suspected: BTreeMap<HospitalId, usize>,
    /// Time spent on arithmetic.
    pub spent: Spent,
    /// Message bytes of each hospital over all its connections, as the coordinator counts them: received is up, sent is down.
    pub traffic: BTreeMap<HospitalId, TrafficCounts>,
}

impl Service {
    /// Checks that the parts fit, binds the address, opens the records, and begins a run or takes the one up again that they keep
    /// without a result. To be called inside a tokio runtime; computes the initial model's hash, which takes a moment.
    ///
    /// # Errors
    /// [`ServiceError`] names what does not fit.
    pub fn bind(config: ServiceConfig) -> Result<Self, ServiceError> {
        let roster = config.roster;
        if config.signing_key.public() != *roster.coordinator_key() {
            return Err(ServiceError::NotOnRoster {
                what: "signing key",
            });
        }
        if *config.identity.fingerprint().as_bytes() != roster.coordinator_tls_fingerprint() {
            return Err(ServiceError::NotOnRoster { what: "TLS key" });
        }
        let hospitals = roster
            .members()
            .map(|member| (member.id, KeyFingerprint::from(member.tls_fingerprint)));
        let hospitals = HospitalKeys::new(hospitals)?;
        // Which run it is will be known when the records are open; who dials is told under it from then on.
        let span = error_span!("run", id = field::Empty);
        let listener = span.in_scope(|| {
            idle::listen(
                config.listen,
                &config.identity,
                &config.authority,
                hospitals,
                &config.limits,
                config.desk,
            )
        })?;
        let address = listener
            .local_address()
            .map_err(|source| ServiceError::Listen {
                address: config.listen,
                source,
            })?;
        let records = config.state.as_deref().map(Records::open).transpose()?;
        let uploads = match &records {
            Some(records) => UploadShelf::in_files(records.folder_for_uploads()?),
            None => UploadShelf::in_memory(),
        };
        let start = Start {
            roster,
            signing_key: config.signing_key,
            manifest: config.manifest,
            new_run: config.new_run,
        };
        let mut started = start.with(records.as_ref())?;
        span.record("id", spans::short(&started.machine.run()));
        started.machine = started
            .machine
            .serving_outcomes_for(config.serve_outcomes_secs);
        let control = config.state.as_deref().and_then(control_in);
        Ok(Self {
            listener,
            started,
            records,
            control,
            uploads,
            registry: Arc::default(),
            address,
            span,
        })
    }

    /// The run, for lines of the log about it.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Where hospitals reach this coordinator.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the run is one that began in an earlier process.
    pub fn is_taken_up(&self) -> bool {
        self.started.taken_up
    }

    /// The hospitals of the run.
    pub fn roster(&self) -> &Roster {
        self.started.machine.roster()
    }

    /// The name of the run.
    pub fn run_name(&self) -> &str {
        &self.started.machine.manifest().name.0
    }

    /// H of its manifest.
    pub fn run_id(&self) -> RunId {
        self.started.machine.run()
    }

    /// The session's number. It stays when a run is taken up again.
    pub fn session(&self) -> SessionId {
        self.started.machine.session()
    }

    /// Who is connected, and how many bytes each has moved; keeps counting while the run goes on.
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// Runs to the end. Every event goes to `events` (whose receiver may be gone); the run stops early, with a word to the
    /// hospitals, when `shutdown` completes. Dropping the future ends all connections without a word.
    ///
    /// # Errors
    /// [`ServiceError::RunFailed`] or [`ServiceError::Stopped`].
    ///
    /// # Panics
    /// If the machine's own invariants break.
    pub async fn run(
        self,
        events: mpsc::UnboundedSender<Event>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<RunReport, ServiceError> {
        let span = self.span.clone();
        self.run_to_its_end(events, shutdown).instrument(span).await
    }

    async fn run_to_its_end(
        mut self,
        events: mpsc::UnboundedSender<Event>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<RunReport, ServiceError> {
        let names = self.roster().members();
        let names = names.map(|member| (member.id, member.name.clone()));
        let names: BTreeMap<_, _> = names.collect();
        let (inputs, queue) = mpsc::channel(WAITING_INPUTS);
        let inbox = Inbox::new(queue);
        let outcomes = Arc::new(Outcomes::default());
        let uploads = Arc::new(self.uploads);
        let owner = Owner::new(
            self.started,
            Arc::clone(&outcomes),
            Arc::clone(&uploads),
            Arc::clone(&self.registry),
            self.records,
            events,
            self.span.clone(),
        );
        let runtime = tokio::runtime::Handle::current();
        // Apart from the inputs: an owner that cannot take any more still hears it.
        let (stop, told_to_stop) = watch::channel(false);
        let span = self.span;
        let mut owner = tokio::task::spawn_blocking(move || {
            runtime.block_on(owner.drive(inbox, told_to_stop).instrument(span))
        });
        let mut admission = Admission {
            registry: Arc::clone(&self.registry),
            outcomes,
            uploads,
            inputs,
            unheard: BTreeMap::new(),
            turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
            links: JoinSet::new(),
            next_link: LinkNumber::default(),
            lost: Lost::new("records of refused connections"),
            second_connections: Repeats::new(TOLD_AGAIN_AFTER),
            names,
        };

        let control = serve_operator(self.control, admission.inputs.clone());
        let control = tokio::spawn(control);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                ended = &mut owner => break ended,
                () = &mut shutdown, if !stopping => {
                    stopping = true;
                    stop.send_replace(true);
                }
                // Told to dial on, hospitals would else be back before this process has ended, and the run would go on.
                Some(arrival) = self.listener.accept(), if !stopping => admission.admit(arrival),
                Some(_) = admission.links.join_next() => {}
            }
        };
        control.abort();
        admission.links.shutdown().await;
        let (code, reason) = farewell(ended.as_ref().ok().map(|(ending, _)| ending));
        let _ = timeout(CLOSING, self.listener.close(code, reason)).await;
        let (ending, spent) = match ended {
            Ok(ended) => ended,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        match ending {
            Ending::Complete {
                model_hash,
                missing,
                suspected,
                ..
            } => Ok(RunReport {
                model_hash,
                missing,
                suspected,
                spent,
                traffic: self.registry.traffic(),
            }),
            Ending::Failed { reason } => Err(ServiceError::RunFailed { reason }),
            Ending::Stopped => Err(ServiceError::Stopped),
        }
    }
}

/// A run goes on without its operator's word, too.
fn control_in(state: &Path) -> Option<Control> {
    Control::listen(state)
        .inspect_err(|error| {
            let socket = state.join(SOCKET);
            tracing::warn!(
                %error,
                "cannot listen at {}: `coordinator status` and `coordinator run` will find nobody",
                socket.display()
            );
        })
        .ok()
}

/// Hands on what the operator asks, until it is aborted.
async fn serve_operator(control: Option<Control>, inputs: mpsc::Sender<Input>) {
    let Some(control) = control else {
        return;
    };
    let (asked, mut questions) = mpsc::channel(1);
    let hand_on = async {
        while let Some((request, answer)) = questions.recv().await {
            if inputs
                .send(Input::Operator { request, answer })
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::join!(control.serve(asked), hand_on);
}

/// What hospitals are told when the end-point is closed; `ending` is none when the owner has panicked. Then the run has no result, and
/// goes on when this program is started again: a hospital that was told that it is over would not come back.
fn farewell(ending: Option<&Ending>) -> (CloseCode, &'static str) {
    match ending {
        Some(Ending::Complete { .. } | Ending::Failed { .. }) => {
            (CloseCode::Done, "the run is over")
        }
        Some(Ending::Stopped) => (CloseCode::ShuttingDown, STOPPED),
        None => (
            CloseCode::ShuttingDown,
            "the coordinator has met a fault of its own",
        ),
    }
}

/// Lets hospitals in, one connection each.
struct Admission {
    registry: Arc<Registry>,
    outcomes: Arc<Outcomes>,
    uploads: Arc<UploadShelf>,
    inputs: mpsc::Sender<Input>,
    /// For what each hospital has said and the owner has yet to handle.
    unheard: BTreeMap<HospitalId, ByteBudget>,
    /// Places for links that are told why they are closed.
    turned_away: Arc<Semaphore>,
    links: JoinSet<()>,
    next_link: LinkNumber,
    lost: Lost,
    /// Of hospitals that are connected already.
    second_connections: Repeats<HospitalId>,
    names: BTreeMap<HospitalId, String>,
}

impl Admission {
    fn admit(&mut self, arrival: Result<HospitalLink, TransportError>) {
        let link = match arrival {
            Ok(link) => link,
            Err(error) => return self.record_refusal(None, error.to_string()),
        };
        let (hospital, address) = (link.hospital(), link.remote_address());
        if self.registry.is_shut_out(hospital, Instant::now()) {
            return self.turn_away(link, CloseCode::Violation, SHUT_OUT);
        }
        if !self.registry.enter(&link) {
            // A hospital whose link was cut comes back before we know: it tries again until the old link is known to be lost. A
            // second participant under the same number never gets in.
            let reason = "this hospital is connected already: stop the other participant, or wait a few seconds if its connection was lost";
            let span = self.span_of(hospital);
            span.in_scope(|| self.tell_of_second_connection(hospital, address));
            self.turn_away(link, CloseCode::Application(ALREADY_CONNECTED), reason);
            return self.record_refusal(
                Some(hospital),
                format!("a second connection, from {address}"),
            );
        }
        let span = self.span_of(hospital);
        match self.second_connections.is_over(&hospital) {
            0 => {}
            refused => span.in_scope(|| {
                tracing::info!(
                    %hospital,
                    refused,
                    "this hospital is let in again: its former connection is gone, and so many more attempts were refused until then"
                );
            }),
        }
        let task = LinkTask {
            hospital,
            number: self.next_link.take(),
            registry: Arc::clone(&self.registry),
            inputs: self.inputs.clone(),
            unheard: self
                .unheard
                .entry(hospital)
                .or_insert_with(|| ByteBudget::new(UNHEARD_BYTES))
                .clone(),
            uploads: Arc::clone(&self.uploads),
            outcomes: Arc::clone(&self.outcomes),
        };
        self.links.spawn(task.serve(link).instrument(span));
    }

    fn span_of(&self, hospital: HospitalId) -> Span {
        event_log::span_of(hospital, &self.names)
    }

    /// One whose line was cut comes every second until the former connection is known to be lost.
    fn tell_of_second_connection(&mut self, hospital: HospitalId, address: SocketAddr) {
        match self.second_connections.note(hospital, Instant::now()) {
            Repeat::First => {
                tracing::warn!(%hospital, %address, "refused a second connection: this hospital is already connected");
            }
            Repeat::StillSo { times } => {
                tracing::warn!(
                    %hospital,
                    %address,
                    times,
                    "refused second connections again and again: this hospital is already connected"
                );
            }
            Repeat::Told => {}
        }
    }

    /// Tells why, for as long as there are few to tell: what they say meanwhile is not kept.
    fn turn_away(&mut self, mut link: HospitalLink, code: CloseCode, reason: &'static str) {
        let sender = link.sender();
        let Ok(place) = Arc::clone(&self.turned_away).try_acquire_owned() else {
            return sender.abort(code, reason);
        };
        self.links.spawn(async move {
            let unread = async { while !matches!(link.next().await, Incoming::Closed(_)) {} };
            tokio::join!(sender.close(code, reason), unread);
            drop(place);
        });
    }

    /// Never waits: the owner may have more to do than it can, and nothing depends on this.
    fn record_refusal(&mut self, hospital: Option<HospitalId>, reason: String) {
        let refusal = Input::TurnedAway { hospital, reason };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.inputs.try_send(refusal) {
            self.lost.one_more(&"the coordinator is busy");
        }
    }
}

/// Why a run did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A key that is another party's, or of another federation.
    #[error(
        "the coordinator's {what} differs from the one in the roster; both must come from the same federation"
    )]
    NotOnRoster {
        /// Which of the coordinator's keys.
        what: &'static str,
    },
    /// A certificate or key that cannot be used.
    #[error("the coordinator's certificates cannot be used")]
    Certificate(#[from] CertificateError),
    /// Nothing to do.
    #[error(
        "there is no unfinished run to go on with, and none to begin: `coordinator run sign` makes one, where the operator's key is"
    )]
    NoRun,
    /// A signed run begins once.
    #[error(
        "the run {name:?} was begun here before, and has ended ({result}): sign another one with `coordinator run sign`"
    )]
    RunHasEnded {
        /// Its name.
        name: String,
        /// How it ended, in one word.
        result: String,
    },
    /// A manifest that cannot be run.
    #[error("the run cannot be started: {0}")]
    Manifest(ManifestError),
    /// The address cannot be bound.
    #[error(
        "cannot listen at {address}; perhaps another coordinator is running there. Choose another address with the setting `listen` or with --listen"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why the address cannot be bound.
        source: TransportError,
    },
    /// The records cannot be kept: a run that leaves no transcript is not begun.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The state folder keeps an unfinished run that cannot go on.
    #[error("the unfinished run of the state folder {} cannot be taken up again: {source}; put roster, keys and folder back as they were, or give the run up and begin another one with --new-run", folder.display())]
    TakeUp {
        /// The state folder.
        folder: PathBuf,
        /// What of the run does not fit this coordinator, or is missing.
        source: TakeUpError,
    },
    /// The run has failed; the hospitals have been told.
    #[error("the run has failed: {reason}")]
    RunFailed {
        /// Why, and what to do.
        reason: String,
    },
    /// Stopped from outside; the hospitals have been told.
    #[error(
        "stopped before the end of the run; the hospitals keep the model of the last complete round. Started again with the same state folder, the run goes on"
    )]
    Stopped,
}

const WAITING_INPUTS: usize = 256;
/// Beyond these a link is closed without waiting until its hospital has heard why.
const MAX_TURNED_AWAY: usize = 32;
/// A hospital announces a CKKS key and its features at once, less than 5 MB, and in the set-up less than 1.
const UNHEARD_BYTES: u32 = 12 << 20;
/// A second participant under the same number is told of this often.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// What hospitals are told with [`CloseCode::ShuttingDown`].
const STOPPED: &str = "the coordinator was stopped";
/// How long peers may take to hear that a connection is closed.
const CLOSING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_with_a_result_is_told_to_be_over() {
        let failed = Ending::Failed {
            reason: "it does not open".to_owned(),
        };
        assert_eq!(farewell(Some(&failed)).0, CloseCode::Done);
        assert_eq!(farewell(Some(&Ending::Stopped)).0, CloseCode::ShuttingDown);
        // The owner has panicked.
        assert_eq!(farewell(None).0, CloseCode::ShuttingDown);
    }
}
