//! One hospital's connection: frames to the owner and back, uploads, downloads.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crypto::sealed_sum::HospitalId;
use protocol::{codec, message::ToCoordinator, round::RoundError};
use tokio::{
    fs::File,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use transport::{
    BlobPart, CloseCode, Disconnect, DownloadRequest, FrameSender, HospitalLink, Incoming, Refusal,
    RefusalCode, TransportError, Upload, UploadRequest,
};

use crate::machine::MachineError;

use super::{
    byte_budget::ByteBudget,
    inputs::{Input, LinkNumber, Outbound, Outbox},
    outcomes::{Outcome, Outcomes},
    registry::Registry,
    uploads::{Claim, HeldUpload, UploadName, UploadShelf},
};

/// What a link's tasks share with the rest of the service.
#[derive(Clone)]
pub(super) struct LinkTask {
    pub(super) hospital: HospitalId,
    pub(super) number: LinkNumber,
    pub(super) registry: Arc<Registry>,
    pub(super) inputs: mpsc::Sender<Input>,
    /// For what this hospital has said, over whichever link, and the owner has yet to handle.
    pub(super) unheard: ByteBudget,
    pub(super) uploads: Arc<UploadShelf>,
    pub(super) outcomes: Arc<Outcomes>,
}

impl LinkTask {
    /// From the first frame until the hospital is gone and the owner knows. The registry knows at once, also while the owner takes
    /// nothing: the hospital is let in again then.
    pub(super) async fn serve(self, mut link: HospitalLink) {
        let (outbox, queue) = Outbox::new();
        let mut untold = VecDeque::from([Input::Connected {
            hospital: self.hospital,
            link: self.number,
            address: link.remote_address(),
            outbox,
        }]);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(link.sender(), queue));
        let disconnect = self.read(&mut link, &mut untold, &mut tasks).await;
        // Transfers under way put on the shelf what has come, before this hospital can be back.
        tasks.shutdown().await;
        untold.push_back(Input::Disconnected {
            hospital: self.hospital,
            link: self.number,
            disconnect,
            traffic: link.traffic().counts(),
        });
        // As a rule there is room, and the owner hears of this end before it hears of the next connection.
        while let Ok(room) = self.inputs.try_reserve() {
            match untold.pop_front() {
                Some(input) => room.send(input),
                None => break,
            }
        }
        self.registry.leave(self.hospital);
        for input in untold {
            self.tell(input).await;
        }
    }

    /// Hands on what comes, until the connection is closed. What the owner has no room for is left in `untold`: the end of a
    /// connection is noticed also while the owner takes nothing.
    async fn read(
        &self,
        link: &mut HospitalLink,
        untold: &mut VecDeque<Input>,
        tasks: &mut JoinSet<()>,
    ) -> Disconnect {
        loop {
            let incoming = tokio::select! {
                biased;
                room = self.inputs.reserve(), if !untold.is_empty() => {
                    match (room, untold.pop_front()) {
                        (Ok(room), Some(input)) => room.send(input),
                        // The owner ends with the run; then nobody wants to know.
                        _ => untold.clear(),
                    }
                    continue;
                }
                incoming = link.next() => incoming,
            };
            match incoming {
                Incoming::Frame(frame) => untold.extend(self.on_frame(&frame, link)),
                Incoming::Upload(request) => {
                    let task = self.clone();
                    tasks.spawn(async move { report("upload", task.serve_upload(request).await) });
                }
                Incoming::Download(request) => {
                    let task = self.clone();
                    tasks.spawn(
                        async move { report("download", task.serve_download(request).await) },
                    );
                }
                Incoming::Closed(disconnect) => return disconnect,
            }
            if untold.len() > MAX_UNTOLD {
                // It may come back, and says again what counts.
                let reason = "the coordinator stands still, and cannot take any more messages";
                link.sender().abort(CloseCode::Stalled, reason);
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    /// What the owner is to be told of a frame.
    fn on_frame(&self, frame: &[u8], link: &HospitalLink) -> Option<Input> {
        if self.registry.is_shut_out(self.hospital, Instant::now()) {
            // It was told to close, and goes on.
            link.sender().abort(CloseCode::Violation, SHUT_OUT);
            return None;
        }
        match codec::decode_frame(frame) {
            // A full queue delays it until the next time.
            Ok(ToCoordinator::Heartbeat) if self.inputs.capacity() == 0 => None,
            Ok(message) => match self.unheard.reserve(frame.len()) {
                Some(room) => Some(Input::Message {
                    hospital: self.hospital,
                    link: self.number,
                    message: Box::new(message),
                    room,
                }),
                None => {
                    // It may come back, and says again what counts.
                    let reason = "the coordinator cannot take any more messages before it has handled those that came";
                    link.sender().abort(CloseCode::Stalled, reason);
                    None
                }
            },
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(
                    reason,
                    "received bytes that are not a message; closing the connection"
                );
                link.sender().abort(CloseCode::Violation, &reason);
                Some(Input::TurnedAway {
                    hospital: Some(self.hospital),
                    reason,
                })
            }
        }
    }

    async fn serve_upload(&self, request: UploadRequest) -> Result<(), TransportError> {
        let upload = UploadName {
            name: request.name(),
            total_bytes: request.total_bytes(),
        };
        if self.uploads.was_taken(self.hospital, upload) {
            let mut known = request.accept(upload.total_bytes).await?;
            known.next_leaf().await?;
            return known.accept().await;
        }
        let offer = |answer| Input::OfferUpload {
            hospital: self.hospital,
            bytes: upload.total_bytes,
            answer,
        };
        if let Err(error) = self.ask(offer).await {
            return request.refuse(refusal(error.as_ref())).await;
        }
        match self.uploads.claim(self.hospital, upload) {
            Claim::Held(held) => {
                let transfer = request.accept(held.held_bytes()).await?;
                self.receive(transfer, held).await
            }
            Claim::Busy => {
                let reason = "another upload of this hospital is in progress".to_owned();
                request
                    .refuse(Refusal {
                        code: RefusalCode::Unexpected,
                        reason,
                    })
                    .await
            }
        }
    }

    async fn receive(
        &self,
        mut transfer: Upload,
        mut held: HeldUpload,
    ) -> Result<(), TransportError> {
        let mut told = Instant::now();
        while let Some(leaf) = transfer.next_leaf().await? {
            if held.push(&leaf).await.is_err() {
                // Without a verdict the hospital tries again, over another connection, from the beginning.
                return Ok(());
            }
            if told.elapsed() >= SIGN_OF_LIFE {
                told = Instant::now();
                self.show_life();
            }
        }
        let bytes = held.take_bytes();
        match self
            .ask(|answer| Input::Upload {
                hospital: self.hospital,
                bytes,
                answer,
            })
            .await
        {
            Ok(()) => {
                held.mark_taken();
                transfer.accept().await
            }
            // It is not to blame, and tries again.
            Err(Some(MachineError::Unreadable { .. })) => Ok(()),
            Err(error) => transfer.refuse(refusal(error.as_ref())).await,
        }
    }

    async fn serve_download(&self, request: DownloadRequest) -> Result<(), TransportError> {
        match self.outcomes.find(&request.name().into()) {
            Some(outcome) => {
                self.show_life();
                match outcome {
                    Outcome::InMemory(bytes) => request.serve(bytes).await?,
                    Outcome::InFiles(paths) => serve_files(request, &paths).await?,
                }
                self.show_life();
                Ok(())
            }
            None => {
                let reason = "there is no outcome of this name, or it is no longer kept".to_owned();
                request
                    .refuse(Refusal {
                        code: RefusalCode::NotFound,
                        reason,
                    })
                    .await
            }
        }
    }

    /// Asks the owner about an upload. Without an error it says no because it is about to end.
    async fn ask(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<(), MachineError>>) -> Input,
    ) -> Result<(), Option<MachineError>> {
        let (answer, verdict) = oneshot::channel();
        self.tell(question(answer)).await;
        match verdict.await {
            Ok(verdict) => verdict.map_err(Some),
            Err(_) => Err(None),
        }
    }

    async fn tell(&self, input: Input) {
        // The owner ends with the run; then nobody wants to know.
        let _ = self.inputs.send(input).await;
    }

    fn show_life(&self) {
        // A full queue delays it until the next time.
        let _ = self.inputs.try_send(Input::Progress {
            hospital: self.hospital,
        });
    }
}

/// Files that cannot be read abandon the transfer: the hospital asks again.
async fn serve_files(request: DownloadRequest, paths: &[PathBuf]) -> Result<(), TransportError> {
    let served = match open(paths).await {
        Ok(parts) => request.serve_from(parts).await,
        Err(error) => Err(TransportError::Unreadable(error)),
    };
    if let Err(TransportError::Unreadable(error)) = &served {
        let file = paths.first().map(|path| path.display());
        tracing::error!(
            ?file,
            %error,
            "cannot read an outcome that a hospital asks for"
        );
    }
    served
}

async fn open(paths: &[PathBuf]) -> io::Result<Vec<BlobPart<File>>> {
    let mut parts = Vec::new();
    for path in paths {
        let reader = File::open(path).await?;
        let bytes = reader.metadata().await?.len();
        parts.push(BlobPart { reader, bytes });
    }
    Ok(parts)
}

/// Writes what the owner says, until told to close.
async fn write(sender: FrameSender, mut queue: mpsc::Receiver<Outbound>) {
    while let Some(outbound) = queue.recv().await {
        match outbound {
            Outbound::Frame(frame, _room) => match sender.send(frame).await {
                Ok(()) => {}
                Err(error @ TransportError::FrameTooLarge { .. }) => {
                    tracing::error!(%error, "a message is too large for a frame");
                    return sender.close(CloseCode::Done, &error.to_string()).await;
                }
                // The reading side hears of it too, and ends the link.
                Err(_) => return,
            },
            Outbound::Close { code, reason } => return sender.close(code, &reason).await,
        }
    }
    sender.abort(
        CloseCode::Stalled,
        "this participant does not read its messages",
    );
}

/// Without an error nobody is left who could decide.
fn refusal(error: Option<&MachineError>) -> Refusal {
    let code = match error {
        None
        | Some(
            MachineError::WrongPhase { .. }
            | MachineError::NotOnRoster { .. }
            | MachineError::Round {
                fault: RoundError::OtherRound { .. },
                ..
            },
        ) => RefusalCode::Unexpected,
        Some(_) => RefusalCode::Invalid,
    };
    let reason = error.map_or_else(
        || "the coordinator is about to end".to_owned(),
        ToString::to_string,
    );
    Refusal { code, reason }
}

/// A transfer that was cut is the hospital's to repeat.
fn report(transfer: &str, result: Result<(), TransportError>) {
    if let Err(error) = result {
        tracing::debug!(transfer, %error, "a transfer failed");
    }
}

/// More than this a hospital has no reason to say before it is answered.
const MAX_UNTOLD: usize = 1024;
/// What a hospital is told whose messages were not accepted again and again.
pub(super) const SHUT_OUT: &str =
    "too many messages of this hospital were not accepted: it is let in again within a minute";
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use protocol::message::Hello;
    use tokio::time::{sleep, timeout};
    use transport::{
        CoordinatorLink, Dialer, Limits, Listener,
        certificates::KeyFingerprint,
        tls::{CoordinatorTls, HospitalKeys, ParticipantTls},
    };

    use super::*;
    use crate::demo::{Demo, Place};

    /// A listener on loopback, and hospital 1 that dials it.
    fn both_ends() -> (Listener, Dialer, HospitalId) {
        let demo = Demo::generate(2, Place::default()).expect("two hospitals");
        let hospital = HospitalId::new(1).expect("in range");
        let authority = demo.trusted_authority().expect("a trust root");
        let keys = demo
            .roster
            .members()
            .map(|member| (member.id, KeyFingerprint::from(member.tls_fingerprint)));
        let keys = HospitalKeys::new(keys).expect("distinct keys");
        let identity = demo.coordinator.tls_identity().expect("a pair");
        let tls = CoordinatorTls::new(&identity, &authority, keys).expect("a configuration");
        let limits = Limits::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, &tls, &limits).expect("bound");
        let address = listener.local_address().expect("an address").to_string();
        let identity = demo.hospitals[&hospital].tls_identity().expect("a pair");
        let coordinator = KeyFingerprint::from(demo.roster.coordinator_tls_fingerprint());
        let tls = ParticipantTls::new(&identity, &authority, coordinator).expect("a configuration");
        let dialer = Dialer::new(&address, "localhost", &tls, &limits).expect("a dialer");
        (listener, dialer, hospital)
    }

    async fn say(link: &CoordinatorLink, message: ToCoordinator) {
        let frame = codec::encode_frame(&message);
        link.sender().send(frame).await.expect("the link stands");
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        let patience = Duration::from_secs(30);
        timeout(patience, future).await.expect("a test that hangs")
    }

    /// The owner stands still, and its queue is full.
    #[tokio::test]
    async fn a_cut_connection_is_noticed_while_the_owner_takes_nothing() {
        let (mut listener, dialer, hospital) = both_ends();
        let registry = Arc::new(Registry::default());
        let (inputs, mut queue) = mpsc::channel(1);
        let mut number = LinkNumber::default();
        let mut serve_next = async || {
            let (dialed, arrived) = tokio::join!(dialer.connect(|_| {}), listener.accept());
            let arrived = arrived.expect("it listens").expect("it is let in");
            assert!(registry.enter(&arrived), "the connection before is gone");
            let task = LinkTask {
                hospital,
                number: number.take(),
                registry: Arc::clone(&registry),
                inputs: inputs.clone(),
                unheard: ByteBudget::new(1 << 20),
                uploads: Arc::new(UploadShelf::in_memory()),
                outcomes: Arc::default(),
            };
            tokio::spawn(task.serve(arrived));
            dialed.expect("it is let in")
        };
        for _ in 0..3 {
            let link = serve_next().await;
            for _ in 0..200 {
                say(&link, ToCoordinator::Heartbeat).await;
            }
            say(&link, ToCoordinator::Hello(Hello { resume: None })).await;
            link.close(CloseCode::Dropped, "cut").await;
            soon(async {
                while !registry.live().is_empty() {
                    sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
        }
        // The owner goes on: of each connection it hears in order.
        let mut heard = vec![Vec::new(); 3];
        let mut place = LinkNumber::default();
        let numbers = [(); 3].map(|()| place.take());
        for _ in 0..9 {
            let (link, what) = match soon(queue.recv()).await.expect("the tasks are there") {
                Input::Connected { link, .. } => (link, "connected"),
                Input::Message { link, .. } => (link, "message"),
                Input::Disconnected { link, .. } => (link, "disconnected"),
                _ => panic!("nobody uploads"),
            };
            let place = numbers.iter().position(|number| *number == link);
            heard[place.expect("one of them")].push(what);
        }
        assert_eq!(heard, [["connected", "message", "disconnected"]; 3]);
    }
}
