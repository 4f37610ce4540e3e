//! A coordinator without a run: it admits hospitals, lets members wait, and begins what the operator gives it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use host::run_file;
use protocol::{HospitalId, identity::Signed, manifest::Manifest, roster::Roster};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use transport::{
    CloseCode, EnrolmentDesk, HospitalLink, Incoming, Limits, Listener, TransportError,
    certificates::KeyFingerprint,
    tls::{CoordinatorTls, HospitalKeys, TlsIdentity, TrustedAuthority},
};

use super::{CLOSING, ServiceError, control_in, records::Lock};
use crate::{
    control::{Answer, Request},
    store::{LastRun, RunResult, Store, StoreError},
};

/// What an idle coordinator needs.
pub struct IdleConfig {
    /// The roster, once there is one.
    pub roster: Option<Arc<Roster>>,
    /// The coordinator's certificate and key.
    pub identity: TlsIdentity,
    /// Whose certificates are believed.
    pub authority: TrustedAuthority,
    /// The UDP address to bind.
    pub listen: SocketAddr,
    /// The folder for records.
    pub state: PathBuf,
    /// Where hospitals ask to be members, if it admits any.
    pub desk: Option<Arc<dyn EnrolmentDesk>>,
    /// How much hospitals may ask of this end-point.
    pub limits: Limits,
}

/// A coordinator that listens and has no run.
pub struct Idle {
    listener: Listener,
    roster: Option<Arc<Roster>>,
    state: PathBuf,
    _lock: Lock,
}

/// Why an idle coordinator is idle no more.
pub enum IdleEnd {
    /// The operator has given it this run, checked against the roster.
    Begin(Box<Signed<Manifest>>),
    /// To be bound anew: another roster is there, the end-point is broken, or a day has passed.
    StartAnew,
    /// Asked to stop.
    Stopped,
}

impl Idle {
    /// Locks the state folder and binds the address. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn bind(config: IdleConfig) -> Result<Self, ServiceError> {
        let lock = Lock::of_new_folder(&config.state)?;
        let members = config.roster.iter().flat_map(|roster| roster.members());
        let members =
            members.map(|member| (member.id, KeyFingerprint::from(member.tls_fingerprint)));
        let hospitals = HospitalKeys::new(members)?;
        let listener = listen(
            config.listen,
            &config.identity,
            &config.authority,
            hospitals,
            &config.limits,
            config.desk,
        )?;
        Ok(Self {
            listener,
            roster: config.roster,
            state: config.state,
            _lock: lock,
        })
    }

    /// Waits for the operator, until it `starts_anew` (looked at every two seconds), or for `shutdown`.
    pub async fn wait(
        mut self,
        mut starts_anew: impl FnMut() -> bool,
        shutdown: impl Future<Output = ()>,
    ) -> IdleEnd {
        let control = control_in(&self.state);
        let (asked, mut questions) = mpsc::channel(1);
        let serving = async move {
            match control {
                Some(control) => control.serve(asked).await,
                None => std::future::pending().await,
            }
        };
        let serving = tokio::spawn(serving);
        let mut waiting = Waiting::default();
        let mut looks = interval(BETWEEN_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        let end = loop {
            tokio::select! {
                () = &mut shutdown => break IdleEnd::Stopped,
                Some((request, answer)) = questions.recv() => {
                    let (said, begun) = self.on_operator(request, &waiting);
                    let _ = answer.send(said);
                    if let Some(manifest) = begun {
                        // The answer is on its way: the socket goes with the task that serves it.
                        tokio::time::sleep(FOR_THE_ANSWER).await;
                        break IdleEnd::Begin(manifest);
                    }
                }
                arrival = self.listener.accept() => match arrival {
                    Some(arrival) => waiting.keep(arrival),
                    None => break IdleEnd::StartAnew,
                },
                _ = looks.tick() => if starts_anew() {
                    break IdleEnd::StartAnew;
                },
            }
        };
        serving.abort();
        let _ = serving.await;
        let reason = match end {
            IdleEnd::Stopped => "the coordinator is stopping",
            IdleEnd::Begin(_) => "a run begins: connect again",
            IdleEnd::StartAnew => "the coordinator starts anew: connect again",
        };
        let _ = timeout(
            CLOSING,
            self.listener.close(CloseCode::ShuttingDown, reason),
        )
        .await;
        end
    }

    fn on_operator(
        &self,
        request: Request,
        waiting: &Waiting,
    ) -> (Answer, Option<Box<Signed<Manifest>>>) {
        let refused = |reason: String| (Answer::Refused { reason }, None);
        match request {
            Request::Status => {
                let waiting = waiting.connected();
                (Answer::Idle { waiting }, None)
            }
            Request::Without { .. }
            | Request::Pause { .. }
            | Request::Resume { .. }
            | Request::Stop { .. } => {
                refused("no run is under way; `coordinator run start FILE` begins one".to_owned())
            }
            Request::Start { file } => {
                let Some(roster) = &self.roster else {
                    return refused(
                        "there is no roster yet: a run is for the hospitals of one (`coordinator roster draft`)".to_owned(),
                    );
                };
                match run_file::from_text(&file, roster) {
                    Ok(manifest) => match self.has_ended(&manifest) {
                        Ok(None) => (Answer::Done, Some(Box::new(manifest))),
                        Ok(Some(ended)) => refused(ended.to_string()),
                        Err(error) => refused(error.to_string()),
                    },
                    Err(fault) => refused(format!("the run {fault}")),
                }
            }
        }
    }
}

impl Idle {
    /// A run begins once.
    fn has_ended(&self, manifest: &Signed<Manifest>) -> Result<Option<ServiceError>, StoreError> {
        let database = self.state.join(DATABASE);
        if !database.exists() {
            return Ok(None);
        }
        let known = Store::open(&database)?.run(&manifest.digest())?;
        // One without a result was stopped before any hospital had heard of it.
        Ok(known.and_then(|LastRun { name, result, .. }| {
            let result = result?;
            Some(ServiceError::RunHasEnded { name, result })
        }))
    }
}

/// The coordinator's one port: for hospitals of the roster, and for strangers if there is a desk.
pub(super) fn listen(
    address: SocketAddr,
    identity: &TlsIdentity,
    authority: &TrustedAuthority,
    hospitals: HospitalKeys,
    limits: &Limits,
    desk: Option<Arc<dyn EnrolmentDesk>>,
) -> Result<Listener, ServiceError> {
    let tls = match desk {
        Some(_) => CoordinatorTls::with_enrolment(identity, authority, hospitals)?,
        None => CoordinatorTls::new(identity, authority, hospitals)?,
    };
    Listener::bind_with_desk(address, &tls, limits, desk)
        .map_err(|source| ServiceError::Listen { address, source })
}

/// Members that are connected, and wait.
#[derive(Default)]
struct Waiting(BTreeMap<HospitalId, AbortHandle>);

impl Waiting {
    /// Keeps the connection open: it hears at once when it is to connect again. What the hospital says meanwhile, it says again then.
    fn keep(&mut self, arrival: Result<HospitalLink, TransportError>) {
        // Why a stranger did not come in was logged.
        let Ok(mut link) = arrival else {
            return;
        };
        let hospital = link.hospital();
        let unread =
            tokio::spawn(async move { while !matches!(link.next().await, Incoming::Closed(_)) {} });
        if let Some(before) = self.0.insert(hospital, unread.abort_handle()) {
            before.abort();
        }
    }

    fn connected(&self) -> Vec<u8> {
        let there = self.0.iter().filter(|(_, task)| !task.is_finished());
        there.map(|(hospital, _)| hospital.get()).collect()
    }
}

/// Whether the state folder keeps a run that goes on when a coordinator is started on it.
///
/// # Errors
/// [`ServiceError`] if the folder cannot be used, or is in use.
pub fn has_unfinished_run(state: &Path) -> Result<bool, ServiceError> {
    if !state.join(DATABASE).exists() {
        return Ok(false);
    }
    let records = super::Records::open(state)?;
    let last = records.last_run()?;
    Ok(last.is_some_and(|run| run.result.is_none()) && !records.facts()?.is_empty())
}

/// Gives up the run that the state folder keeps without a result, if there is one.
///
/// # Errors
/// [`ServiceError`] if the folder cannot be used, or is in use.
pub fn give_up_unfinished_run(state: &Path) -> Result<(), ServiceError> {
    if !has_unfinished_run(state)? {
        return Ok(());
    }
    let reason = "given up with --new-run";
    super::Records::open(state)?.end_run(&RunResult::Abandoned { reason })?;
    tracing::warn!("abandoned the unfinished run: --new-run");
    Ok(())
}

/// Of the records.
const DATABASE: &str = "coordinator.sqlite";
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
const FOR_THE_ANSWER: Duration = Duration::from_millis(200);
