//! The coordinator's end-point: lets hospitals in and turns everyone else away.
//!
//! ```text
//! Listener ── accept ──> HospitalLink ── next ──> Incoming::Frame | Upload | Download | Closed
//!                             └── sender ──> FrameSender: send, close
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crypto::sealed_sum::HospitalId;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, ConnectionError, Endpoint, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{Instrument as _, Span, error_span};

use super::certificates::KeyFingerprint;
use super::datagrams;
use super::disconnect::{CloseCode, Disconnect};
use super::downloads::DownloadRequest;
use super::enrolment::{EnrolmentDesk, MAX_AT_THE_DESK, answer_one, is_enrolment};
use super::errors::TransportError;
use super::frames::{FrameReceiver, FrameSender, disconnect, violation};
use super::handshakes::HandshakeFailure;
use super::limits::Limits;
use super::pace::Pace;
use super::refusal::{Refusal, RefusalCode};
use super::repeats::{Repeat, Repeats};
use super::strangers::{Handshake, Handshakes, Line, LineBudget, Verdict};
use super::streams::Stream;
use super::tls::{CoordinatorTls, HospitalKeys};
use super::traffic::Traffic;
use super::uploads::UploadRequest;
use super::wire::{Reply, StreamOpening};

/// The coordinator's end-point. Dropping it closes every link and the socket.
pub struct Listener {
    endpoint: Endpoint,
    arrivals: mpsc::Receiver<Result<HospitalLink, TransportError>>,
}

impl Listener {
    /// Opens a UDP socket at `address` (port 0: any) and begins to answer. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`TransportError::Bind`] or [`TransportError::Configuration`].
    pub fn bind(
        address: SocketAddr,
        tls: &CoordinatorTls,
        limits: &Limits,
    ) -> Result<Self, TransportError> {
        Self::bind_with_desk(address, tls, limits, None)
    }

    /// As [`bind`](Self::bind), with a desk for strangers if there is one: `tls` is then to be made
    /// [`with_enrolment`](CoordinatorTls::with_enrolment).
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with_desk(
        address: SocketAddr,
        tls: &CoordinatorTls,
        limits: &Limits,
        desk: Option<Arc<dyn EnrolmentDesk>>,
    ) -> Result<Self, TransportError> {
        let crypto = QuicServerConfig::try_from(Arc::clone(&tls.config)).map_err(|error| {
            TransportError::Configuration {
                detail: error.to_string(),
            }
        })?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(match desk {
            Some(_) => limits.stranger_config()?,
            None => limits.coordinator_config()?,
        });
        let endpoint = datagrams::bind(address, Some(config))
            .map_err(|source| TransportError::Bind { address, source })?;
        let (arrived, arrivals) = mpsc::channel(WAITING_ARRIVALS);
        let doorkeeper = Doorkeeper {
            hospitals: Arc::clone(&tls.hospitals),
            limits: limits.clone(),
            desk,
        };
        let answering = doorkeeper.answer_all(endpoint.clone(), arrived);
        tokio::spawn(answering.in_current_span());
        Ok(Self { endpoint, arrivals })
    }

    /// Where hospitals reach this end-point; tells the port when any was asked for.
    ///
    /// # Errors
    /// [`TransportError::Socket`] if the operating system does not say.
    pub fn local_address(&self) -> Result<SocketAddr, TransportError> {
        self.endpoint.local_addr().map_err(TransportError::Socket)
    }

    /// The next hospital that has come in, or why a peer has not (already logged, as a warning). `None` once the end-point is
    /// closed. Cancel-safe.
    ///
    /// A hospital may come again before its former link is known to be lost: the newer link is the live one.
    pub async fn accept(&mut self) -> Option<Result<HospitalLink, TransportError>> {
        self.arrivals.recv().await
    }

    /// Closes every link with a code and a reason, and waits until the peers have heard or given up.
    ///
    /// Frames still queued are lost: close the links first, through their [`FrameSender`]s, where that matters.
    pub async fn close(self, code: CloseCode, reason: &str) {
        self.endpoint.close(code.to_wire(), reason.as_bytes());
        self.endpoint.wait_idle().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The task that answers holds the end-point too, and ends only when it is closed. Without effect if it is already.
        self.endpoint.close(
            CloseCode::Dropped.to_wire(),
            b"the coordinator let go of its end-point",
        );
    }
}

/// A connection from a hospital on the roster. Dropping it closes the connection.
pub struct HospitalLink {
    hospital: HospitalId,
    connection: Connection,
    sender: FrameSender,
    incoming: mpsc::Receiver<Incoming>,
    traffic: Arc<Traffic>,
}

impl HospitalLink {
    /// Whose key the peer has proved to hold.
    pub fn hospital(&self) -> HospitalId {
        self.hospital
    }

    /// Where it dials from.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// A handle for sending frames and for closing the link.
    pub fn sender(&self) -> FrameSender {
        self.sender.clone()
    }

    /// The bytes moved so far; keeps counting.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// What the hospital does next. Frames come in the order in which they were sent; transfers run beside them. After
    /// [`Incoming::Closed`] it gives that again. Cancel-safe.
    ///
    /// A caller that does not call slows its hospital down, nobody else.
    pub async fn next(&mut self) -> Incoming {
        match self.incoming.recv().await {
            Some(incoming) => incoming,
            None => Incoming::Closed(disconnect(&self.connection)),
        }
    }
}

/// What comes from a hospital.
pub enum Incoming {
    /// A frame of the control channel.
    Frame(Vec<u8>),
    /// It wants to send a blob.
    Upload(UploadRequest),
    /// It wants to have a blob.
    Download(DownloadRequest),
    /// It is gone.
    Closed(Disconnect),
}

/// Decides who comes in.
#[derive(Clone)]
struct Doorkeeper {
    hospitals: Arc<HospitalKeys>,
    limits: Limits,
    desk: Option<Arc<dyn EnrolmentDesk>>,
}

impl Doorkeeper {
    async fn answer_all(
        self,
        endpoint: Endpoint,
        arrived: mpsc::Sender<Result<HospitalLink, TransportError>>,
    ) {
        let handshakes = Handshakes::default();
        let lines = Arc::new(Mutex::new(Lines {
            budget: LineBudget::new(Instant::now()),
            repeats: Repeats::new(TOLD_AGAIN_AFTER),
        }));
        let places = Arc::new(Semaphore::new(MAX_AT_THE_DESK));
        while let Some(incoming) = endpoint.accept().await {
            let address = incoming.remote_address();
            let is_proven = incoming.remote_address_validated();
            let handshake = match handshakes.judge(address.ip(), is_proven) {
                Verdict::GoOn(handshake) => handshake,
                Verdict::AskForProof => {
                    // It can be asked: its address is not proven.
                    let _ = incoming.retry();
                    continue;
                }
                Verdict::TurnAway => {
                    incoming.refuse();
                    continue;
                }
            };
            let visit = Visit {
                doorkeeper: self.clone(),
                address,
                lines: Arc::clone(&lines),
                places: Arc::clone(&places),
            };
            let arrived = arrived.clone();
            let visit = async move {
                // A listener that is being dropped takes no more arrivals.
                if let Some(arrival) = visit.receive(incoming, handshake).await {
                    let _ = arrived.send(arrival).await;
                }
            };
            tokio::spawn(visit.in_current_span());
        }
    }

    async fn connect(
        &self,
        incoming: quinn::Incoming,
        address: SocketAddr,
    ) -> Result<Connection, TransportError> {
        let lost = |error| handshake_error(address, error);
        incoming.accept().map_err(lost)?.await.map_err(lost)
    }

    /// From the handshake to an open control channel; none if the hospital has said goodbye before it opened anything: it has looked
    /// whether it gets here.
    async fn answer(
        &self,
        connection: Connection,
        address: SocketAddr,
    ) -> Result<Option<HospitalLink>, TransportError> {
        let lost = |error| handshake_error(address, error);
        let hospital = self.identify(&connection).inspect_err(|error| {
            violation(&connection, error);
        })?;
        if self.desk.is_some() {
            self.limits.admit_as_hospital(&connection);
        }
        let (send, receive) = match connection.accept_bi().await {
            Ok(streams) => streams,
            Err(ConnectionError::ApplicationClosed(close))
                if close.error_code == CloseCode::Done.to_wire() =>
            {
                let _within = span_of(hospital).entered();
                tracing::info!(%address, %hospital, "a hospital has looked whether it gets here");
                return Ok(None);
            }
            Err(error) => return Err(lost(error)),
        };
        let mut control = self.stream(send, receive);
        if control.read_opening().await? != StreamOpening::Control {
            let error = TransportError::Violation("a first stream that is not the control channel");
            violation(&connection, &error);
            return Err(error);
        }
        // A participant takes itself for refused or connected only now (see participant_side).
        control.write_reply(&Reply::Go(0)).await?;

        let traffic = Arc::new(Traffic::default());
        let sender = FrameSender::start(
            control.send,
            connection.clone(),
            &self.limits,
            Arc::clone(&traffic),
            Pace::default(),
        );
        let frames = FrameReceiver::new(
            control.receive,
            connection.clone(),
            &self.limits,
            Arc::clone(&traffic),
            Pace::default(),
        );
        let (queue, incoming) = mpsc::channel(WAITING_INCOMING);
        let reader = LinkReader {
            doorkeeper: self.clone(),
            hospital,
            connection: connection.clone(),
            traffic: Arc::clone(&traffic),
            queue,
        };
        let span = span_of(hospital);
        span.in_scope(|| tracing::info!(%address, %hospital, "a hospital has connected"));
        tokio::spawn(reader.run(frames).instrument(span));
        Ok(Some(HospitalLink {
            hospital,
            connection,
            sender,
            incoming,
            traffic,
        }))
    }

    /// The hospital whose key the handshake has proved. TLS has looked into the roster already; this finds the id.
    fn identify(&self, connection: &Connection) -> Result<HospitalId, TransportError> {
        connection
            .peer_identity()
            .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok())
            .and_then(|chain| KeyFingerprint::of_certificate(chain.first()?).ok())
            .and_then(|fingerprint| self.hospitals.hospital(&fingerprint))
            .ok_or(TransportError::Violation(
                "a handshake without a certificate",
            ))
    }

    fn stream(&self, send: quinn::SendStream, receive: quinn::RecvStream) -> Stream {
        Stream {
            send,
            receive,
            stall_timeout: self.limits.stall_timeout,
        }
    }
}

/// One peer at the door.
struct Visit {
    doorkeeper: Doorkeeper,
    address: SocketAddr,
    lines: Arc<Mutex<Lines>>,
    places: Arc<Semaphore>,
}

/// How much is said of peers that are turned away.
struct Lines {
    budget: LineBudget,
    /// From which machine, and why.
    repeats: Repeats<(IpAddr, String)>,
}

impl Visit {
    /// A hospital, or why it is none; nothing of a stranger who has had an answer at the desk.
    async fn receive(
        self,
        incoming: quinn::Incoming,
        handshake: Handshake,
    ) -> Option<Result<HospitalLink, TransportError>> {
        let patience = self.doorkeeper.limits.handshake_timeout;
        let stalled = |_| Err(TransportError::Stalled { waited: patience });
        let connected = timeout(patience, self.doorkeeper.connect(incoming, self.address));
        let arrival = match (
            connected.await.unwrap_or_else(stalled),
            &self.doorkeeper.desk,
        ) {
            (Ok(connection), Some(desk)) if is_enrolment(&connection) => {
                // Its handshake is over: whoever is at the desk keeps no hospital out.
                drop(handshake);
                self.at_the_desk(&connection, desk).await;
                return None;
            }
            (Ok(connection), _) => {
                let arrival = timeout(patience, self.doorkeeper.answer(connection, self.address));
                arrival
                    .await
                    .unwrap_or(Err(TransportError::Stalled { waited: patience }))
            }
            (Err(error), _) => Err(error),
        };
        if let Err(error) = &arrival {
            self.tell_of(error);
        }
        arrival.transpose()
    }

    /// A peer that comes again and again and is turned away for the same reason has one line, and then a count from time to time.
    fn tell_of(&self, error: &TransportError) {
        let address = self.address;
        if let TransportError::Closed(_) | TransportError::Abandoned = error {
            // A hospital whose program was stopped, or whose line was cut, in this very moment: it is back soon.
            self.log(|| tracing::info!(%address, %error, "a peer has gone before it was let in"));
            return;
        }
        // Each attempt comes from another port.
        let reason = error.to_string().replace(&address.to_string(), "");
        let what = (address.ip(), reason);
        let repeat = self.repeats(|repeats| repeats.note(what.clone(), Instant::now()));
        let is_told = match repeat {
            Repeat::First => self.log(|| tracing::warn!(%address, %error, "turned a peer away")),
            Repeat::StillSo { times } => self.log(
                || tracing::warn!(%address, %error, times, "turned a peer away again and again"),
            ),
            Repeat::Told => true,
        };
        if !is_told {
            // There was no line for it: the next time is a first one.
            self.repeats(|repeats| repeats.is_over(&what));
        }
    }

    fn repeats<T>(&self, with: impl FnOnce(&mut Repeats<(IpAddr, String)>) -> T) -> T {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        with(&mut lines.repeats)
    }

    async fn at_the_desk(&self, connection: &Connection, desk: &Arc<dyn EnrolmentDesk>) {
        let Ok(_place) = self.places.try_acquire() else {
            connection.close(
                CloseCode::Stalled.to_wire(),
                b"too many ask at once: try again",
            );
            return;
        };
        let address = self.address;
        match answer_one(connection, desk).await {
            Ok(None) => {}
            Ok(Some(complaint)) => {
                self.log(|| tracing::warn!(%address, complaint, "a hospital's request at the desk was not met"));
            }
            Err(error) => {
                self.log(
                    || tracing::warn!(%address, %error, "a question at the desk was not answered"),
                );
            }
        }
    }

    /// Strangers have so many lines a minute, all together. False if there was none left.
    fn log(&self, write: impl FnOnce()) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.budget.take(Instant::now());
        drop(lines);
        if let Line::WriteAfter { left_out } = line {
            tracing::warn!(
                left_out,
                "more peers were turned away than the log has lines for"
            );
        }
        let is_written = line != Line::LeaveOut;
        if is_written {
            write();
        }
        is_written
    }
}

/// Turns one connection's streams into [`Incoming`].
struct LinkReader {
    doorkeeper: Doorkeeper,
    hospital: HospitalId,
    connection: Connection,
    traffic: Arc<Traffic>,
    queue: mpsc::Sender<Incoming>,
}

impl LinkReader {
    async fn run(self, frames: FrameReceiver) {
        let reader = Arc::new(self);
        let ended = tokio::select! {
            disconnect = reader.read_frames(frames) => Some(disconnect),
            disconnect = reader.accept_transfers() => Some(disconnect),
            () = reader.queue.closed() => None,
        };
        let hospital = reader.hospital;
        match ended {
            Some(disconnect) => {
                tracing::info!(%hospital, %disconnect, "a hospital has gone");
                // The link may be dropped meanwhile: then nobody asks.
                let _ = reader.queue.send(Incoming::Closed(disconnect)).await;
            }
            // The link was dropped: nobody is left to read.
            None => reader.connection.close(
                CloseCode::Dropped.to_wire(),
                b"the coordinator let go of the link",
            ),
        }
    }

    async fn read_frames(&self, mut frames: FrameReceiver) -> Disconnect {
        loop {
            match frames.receive().await {
                Ok(frame) => {
                    // The queue closes with the link, which `run` notices.
                    let _ = self.queue.send(Incoming::Frame(frame)).await;
                }
                Err(disconnect) => return disconnect,
            }
        }
    }

    /// Ends only if the peer breaks the rules. That the connection is lost is for `read_frames` to say, after the last frame.
    async fn accept_transfers(self: &Arc<Self>) -> Disconnect {
        // Each in a task of its own: a stream that is slow to introduce itself holds nothing up.
        let mut introductions = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.connection.accept_bi() => match accepted {
                    Ok((send, receive)) => {
                        let stream = self.doorkeeper.stream(send, receive);
                        introductions.spawn(Arc::clone(self).introduce(stream));
                    }
                    Err(_) => std::future::pending().await,
                },
                Some(introduced) = introductions.join_next() => match introduced {
                    Ok(Ok(())) | Ok(Err(TransportError::Closed(_) | TransportError::Abandoned)) => {}
                    Ok(Err(error)) => return violation(&self.connection, &error),
                    Err(error) => {
                        // Otherwise the runtime is stopping, and this task with it.
                        if let Ok(panic) = error.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
            }
        }
    }

    /// Finds out what a new stream is for, and queues it or refuses it.
    async fn introduce(self: Arc<Self>, mut stream: Stream) -> Result<(), TransportError> {
        let (hospital, traffic) = (self.hospital, Arc::clone(&self.traffic));
        let limit = self.doorkeeper.limits.max_blob_bytes;
        let incoming = match stream.read_opening().await? {
            StreamOpening::Control => {
                return Err(TransportError::Violation("a second control channel"));
            }
            StreamOpening::Upload { total_bytes, .. } if total_bytes > limit => {
                let reason = format!("{total_bytes} bytes, {limit} allowed");
                let code = RefusalCode::TooLarge;
                return stream.refuse(Refusal { code, reason }).await;
            }
            StreamOpening::Upload { name, total_bytes } => Incoming::Upload(UploadRequest {
                hospital,
                name,
                total_bytes,
                stream,
                traffic,
            }),
            StreamOpening::Download { name, offset } => Incoming::Download(DownloadRequest {
                hospital,
                name,
                offset,
                stream,
                traffic,
            }),
        };
        // The queue closes with the link, which `run` notices.
        let _ = self.queue.send(incoming).await;
        Ok(())
    }
}

fn handshake_error(address: SocketAddr, error: quinn::ConnectionError) -> TransportError {
    let disconnect = Disconnect::from(error.clone());
    match HandshakeFailure::from(error) {
        HandshakeFailure::Objection(problem) => {
            TransportError::UntrustedParticipant { address, problem }
        }
        HandshakeFailure::PeerObjection(problem) => {
            TransportError::RefusedByParticipant { address, problem }
        }
        HandshakeFailure::Incompatible(detail) => TransportError::Handshake {
            address: address.to_string(),
            detail,
        },
        HandshakeFailure::Unreachable(_) => TransportError::Closed(disconnect),
    }
}

/// For all lines about a hospital that is connected.
fn span_of(hospital: HospitalId) -> Span {
    error_span!("hospital", number = hospital.get())
}

/// A peer that is turned away for the same reason all the time is told of this often.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(600);
const WAITING_ARRIVALS: usize = 16;
const WAITING_INCOMING: usize = 16;
