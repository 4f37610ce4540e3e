//! The participant's end-point: finds its coordinator, however long that takes, and talks to no one else.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{AsyncUdpSocket, ClientConfig, Connection, Endpoint};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::time::{sleep, timeout};

use super::certificate_requests::validity_of;
use super::datagrams;
use super::disconnect::{CloseCode, Disconnect};
use super::downloads::fetch_blob;
use super::errors::TransportError;
use super::frames::{FrameReceiver, FrameSender};
use super::handshakes::HandshakeFailure;
use super::limits::Limits;
use super::pace::{Paces, RateCap};
use super::streams::Stream;
use super::tls::{ParticipantTls, ShownCertificate};
use super::traffic::{Traffic, WireCounts};
use super::uploads::Offer;
use super::wire::{BlobName, StreamOpening};

/// Knows where the coordinator is and how to recognise it; dials as often as asked.
#[derive(Clone)]
pub struct Dialer {
    address: String,
    pub(super) server_name: String,
    pub(super) config: ClientConfig,
    pub(super) limits: Limits,
    shown: ShownCertificate,
    paces: Paces,
}

impl Dialer {
    /// For a coordinator at `address` ("host:port", resolved anew at each attempt) whose certificate is for `server_name`.
    ///
    /// # Errors
    /// [`TransportError::ServerName`] or [`TransportError::Configuration`].
    pub fn new(
        address: &str,
        server_name: &str,
        tls: &ParticipantTls,
        limits: &Limits,
    ) -> Result<Self, TransportError> {
        if ServerName::try_from(server_name).is_err() {
            return Err(TransportError::ServerName {
                name: server_name.to_owned(),
            });
        }
        let crypto = QuicClientConfig::try_from(Arc::clone(&tls.config)).map_err(|error| {
            TransportError::Configuration {
                detail: error.to_string(),
            }
        })?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(limits.participant_config()?);
        Ok(Self {
            address: address.to_owned(),
            server_name: server_name.to_owned(),
            config,
            limits: limits.clone(),
            shown: tls.shown.clone(),
            paces: Paces::default(),
        })
    }

    /// The certificate that this end-point shows, to be replaced when it is renewed.
    pub fn shown_certificate(&self) -> ShownCertificate {
        self.shown.clone()
    }

    /// Over all its links together, clones included, it sends and receives no faster than this: in bytes of messages, to which QUIC adds
    /// some hundredths. Between two pieces of a blob the frames have their turn.
    ///
    /// # Errors
    /// [`TransportError::Configuration`].
    pub fn at_most(mut self, cap: RateCap) -> Result<Self, TransportError> {
        let config = self
            .limits
            .participant_config_with_window(cap.window_bytes())?;
        self.config.transport_config(config);
        self.paces = Paces::at_most(cap);
        Ok(self)
    }

    /// Connects. While the coordinator cannot be reached it waits and tries again, longer each time up to 10 s, without end;
    /// each wait is reported to `on_wait` and logged. To be called inside a tokio runtime; drop the future to give up.
    ///
    /// # Errors
    /// At once, because waiting would not help: [`TransportError::UntrustedCoordinator`],
    /// [`TransportError::RefusedByCoordinator`], [`TransportError::Handshake`] and [`TransportError::Bind`].
    pub async fn connect(
        &self,
        on_wait: impl FnMut(&Waiting),
    ) -> Result<CoordinatorLink, TransportError> {
        self.connect_from(&LocalSocket::Any, on_wait).await
    }

    /// As [`connect`](Self::connect), through a socket of the caller's, which serves this one link. For simulations: see
    /// [`faults`](super::faults).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_through(
        &self,
        socket: Arc<dyn AsyncUdpSocket>,
        on_wait: impl FnMut(&Waiting),
    ) -> Result<CoordinatorLink, TransportError> {
        let endpoint = datagrams::over(socket, None).map_err(TransportError::Socket)?;
        self.connect_from(&LocalSocket::Given(endpoint), on_wait)
            .await
    }

    async fn connect_from(
        &self,
        socket: &LocalSocket,
        mut on_wait: impl FnMut(&Waiting),
    ) -> Result<CoordinatorLink, TransportError> {
        let (mut attempt, mut retry_in) = (1_u32, FIRST_WAIT);
        loop {
            let cause = match self.attempt(socket).await {
                Ok(link) => return Ok(link),
                Err(HandshakeError::Final(error)) => return Err(error),
                Err(HandshakeError::Unreachable(cause)) => cause,
            };
            let waiting = Waiting {
                address: self.address.clone(),
                attempt,
                retry_in,
                cause,
            };
            tracing::info!("{waiting}");
            on_wait(&waiting);
            sleep(retry_in).await;
            attempt = attempt.saturating_add(1);
            retry_in = (retry_in * 2).min(LONGEST_WAIT);
        }
    }

    /// Tries every address of the coordinator's name once.
    async fn attempt(&self, socket: &LocalSocket) -> Result<CoordinatorLink, HandshakeError> {
        let addresses = tokio::net::lookup_host(&self.address)
            .await
            .map_err(|error| HandshakeError::Unreachable(format!("name not resolved: {error}")))?;
        let mut cause = "the name has no address".to_owned();
        for remote in addresses {
            match self.dial(remote, socket.endpoint(remote)?).await {
                Err(HandshakeError::Unreachable(reason)) => cause = reason,
                settled => return settled,
            }
        }
        Err(HandshakeError::Unreachable(cause))
    }

    async fn dial(
        &self,
        remote: SocketAddr,
        endpoint: Endpoint,
    ) -> Result<CoordinatorLink, HandshakeError> {
        let connecting = endpoint
            .connect_with(self.config.clone(), remote, &self.server_name)
            .map_err(|error| HandshakeError::Unreachable(error.to_string()))?;
        let opened = timeout(self.limits.handshake_timeout, async {
            let connection = connecting.await.map_err(|error| self.failed(error))?;
            let control = self.open_control(&connection).await?;
            Ok((connection, control))
        });
        let (connection, control) = opened
            .await
            .unwrap_or_else(|_| Err(HandshakeError::Unreachable("no answer".to_owned())))?;

        let traffic = Arc::new(Traffic::default());
        let sender = FrameSender::start(
            control.send,
            connection.clone(),
            &self.limits,
            Arc::clone(&traffic),
            self.paces.up.clone(),
        );
        let receiver = FrameReceiver::new(
            control.receive,
            connection.clone(),
            &self.limits,
            Arc::clone(&traffic),
            self.paces.down.clone(),
        );
        tracing::info!(address = %remote, "connected to the coordinator");
        let blobs = Blobs {
            connection,
            limits: self.limits.clone(),
            traffic,
            paces: self.paces.clone(),
        };
        Ok(CoordinatorLink {
            endpoint,
            sender,
            receiver,
            blobs,
        })
    }

    /// In TLS 1.3 a client is done before the server has seen the client's certificate: whether the coordinator lets us in
    /// shows only in whether it answers on the first stream.
    async fn open_control(&self, connection: &Connection) -> Result<Stream, HandshakeError> {
        let refused = |error: TransportError| match connection.close_reason() {
            Some(reason) => self.failed(reason),
            None => HandshakeError::Unreachable(error.to_string()),
        };
        let mut control = open_stream(connection, &self.limits)
            .await
            .map_err(refused)?;
        control
            .write(&StreamOpening::Control.encode())
            .await
            .map_err(refused)?;
        control.read_reply().await.map_err(refused)?;
        Ok(control)
    }

    fn failed(&self, error: quinn::ConnectionError) -> HandshakeError {
        match self.objection(error) {
            Ok(error) => HandshakeError::Final(error),
            Err(cause) => HandshakeError::Unreachable(cause),
        }
    }

    /// Why trying again would not help; or else, why there is nobody there.
    pub(super) fn objection(
        &self,
        error: quinn::ConnectionError,
    ) -> Result<TransportError, String> {
        let address = self.address.clone();
        match HandshakeFailure::from(error) {
            HandshakeFailure::Objection(problem) => {
                Ok(TransportError::UntrustedCoordinator { address, problem })
            }
            HandshakeFailure::PeerObjection(problem) => {
                Ok(TransportError::RefusedByCoordinator { address, problem })
            }
            HandshakeFailure::Incompatible(detail) => {
                Ok(TransportError::Handshake { address, detail })
            }
            HandshakeFailure::Unreachable(cause) => Err(cause),
        }
    }
}

/// One wait for a coordinator that cannot be reached.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The coordinator's address as given.
    pub address: String,
    /// How many attempts have failed.
    pub attempt: u32,
    /// The time until the next.
    pub retry_in: Duration,
    /// Why the last one failed, in words.
    pub cause: String,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            retry_in,
            cause,
            ..
        } = self;
        write!(
            f,
            "waiting for the coordinator at {address} ({cause}); next attempt in {retry_in:?}"
        )
    }
}

/// A connection to the coordinator. Dropping it, with the handles taken from it, ends the connection without a reason.
pub struct CoordinatorLink {
    endpoint: Endpoint,
    sender: FrameSender,
    receiver: FrameReceiver,
    blobs: Blobs,
}

impl CoordinatorLink {
    /// A handle for sending frames.
    pub fn sender(&self) -> FrameSender {
        self.sender.clone()
    }

    /// A handle for moving blobs, beside the frames and each other.
    pub fn blobs(&self) -> Blobs {
        self.blobs.clone()
    }

    /// The bytes moved so far; keeps counting.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.blobs.traffic)
    }

    /// The coordinator's next frame. Cancel-safe.
    ///
    /// # Errors
    /// How the connection ended, after the last frame that arrived.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Disconnect> {
        self.receiver.receive().await
    }

    /// Until when the certificate is valid that the coordinator has shown.
    pub fn coordinator_valid_until(&self) -> Option<SystemTime> {
        let chain = self.blobs.connection.peer_identity()?;
        let chain = chain.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        let (_, until) = validity_of(chain.first()?).ok()?;
        Some(until)
    }

    /// What QUIC itself has counted on this connection so far.
    pub fn wire(&self) -> WireCounts {
        self.blobs.connection.stats().into()
    }

    /// Delivers the frames still queued, says goodbye, and waits until the coordinator has heard or cannot be reached. Gives what QUIC
    /// has counted until the goodbye.
    pub async fn close(self, code: CloseCode, reason: &str) -> WireCounts {
        self.sender.close(code, reason).await;
        let counts = self.wire();
        self.endpoint.wait_idle().await;
        counts
    }
}

/// Moves blobs over a [`CoordinatorLink`].
#[derive(Clone)]
pub struct Blobs {
    connection: Connection,
    limits: Limits,
    traffic: Arc<Traffic>,
    paces: Paces,
}

impl Blobs {
    /// Sends a blob, or what the coordinator lacks of it, and waits for the verdict. After a broken connection, call again
    /// over a new link with the same bytes.
    ///
    /// `progress` hears after each leaf how much of the blob has been handed over, counted from its beginning; at most the
    /// last 4 MiB of it have not reached the coordinator's end-point yet.
    ///
    /// # Errors
    /// [`TransportError::Refused`] if the coordinator does not want it; [`TransportError::BlobTooLarge`];
    /// [`TransportError::Closed`], [`TransportError::Abandoned`] or [`TransportError::Stalled`] if it was cut.
    pub async fn upload(
        &self,
        name: BlobName,
        blob: &[u8],
        progress: impl FnMut(u64),
    ) -> Result<(), TransportError> {
        let offer = self.offer(name, blob.len() as u64).await?;
        offer.send(blob, progress).await
    }

    /// The first half of [`upload`](Self::upload): no byte of the blob leaves before [`Offer::send`].
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub async fn offer(&self, name: BlobName, total_bytes: u64) -> Result<Offer, TransportError> {
        if total_bytes > self.limits.max_blob_bytes {
            return Err(TransportError::BlobTooLarge {
                length: total_bytes,
                limit: self.limits.max_blob_bytes,
            });
        }
        let stream = open_stream(&self.connection, &self.limits).await?;
        let (traffic, pace) = (Arc::clone(&self.traffic), self.paces.up.clone());
        Offer::make(stream, name, total_bytes, traffic, pace).await
    }

    /// Fetches a blob: appends to `held`, its beginning as far as it is known (empty at first), what is missing.
    ///
    /// If it is cut, `held` keeps what has come: call again over a new link with it. The bytes are whatever the coordinator
    /// says they are; compare them with the name, or with what a peer has signed, before using them.
    ///
    /// # Errors
    /// As [`upload`](Self::upload); a name that the coordinator does not know is [`TransportError::Refused`].
    pub async fn download(&self, name: BlobName, held: &mut Vec<u8>) -> Result<(), TransportError> {
        let stream = open_stream(&self.connection, &self.limits).await?;
        let limit = self.limits.max_blob_bytes;
        fetch_blob(stream, name, held, limit, &self.traffic, &self.paces.down).await
    }
}

/// Where an attempt sends from.
enum LocalSocket {
    /// A socket of its own, of the coordinator's address family.
    Any,
    /// The caller's.
    Given(Endpoint),
}

/// Any port of the address family in which `remote` is.
pub(super) fn any_local(remote: SocketAddr) -> SocketAddr {
    match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

impl LocalSocket {
    fn endpoint(&self, remote: SocketAddr) -> Result<Endpoint, HandshakeError> {
        let address = match self {
            Self::Given(endpoint) => return Ok(endpoint.clone()),
            Self::Any => any_local(remote),
        };
        datagrams::bind(address, None)
            .map_err(|source| HandshakeError::Final(TransportError::Bind { address, source }))
    }
}

/// How one attempt failed.
enum HandshakeError {
    /// Nobody there: try again.
    Unreachable(String),
    /// Trying again would not help.
    Final(TransportError),
}

async fn open_stream(connection: &Connection, limits: &Limits) -> Result<Stream, TransportError> {
    let (send, receive) = connection.open_bi().await?;
    Ok(Stream {
        send,
        receive,
        stall_timeout: limits.stall_timeout,
    })
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
