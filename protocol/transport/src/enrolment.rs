//! One question and its answer, for hospitals that are not on the roster yet: at the coordinator's one port, under a protocol name of
//! its own, without a client certificate.
//!
//! ```text
//! hospital                                                 coordinator
//! EnrolmentClient::ask ── TLS 1.3, authority pinned ──>    Listener
//!                      ── one stream: the question ──>       EnrolmentDesk::answer
//!                      <──            the answer   ──
//! ```
//!
//! The hospital knows the coordinator by the fingerprint of the authority that issued its certificate. Who the hospital is, the desk has
//! to find out from the question; here it is a stranger, bounded like all others, with one question on a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig};
use quinn::{ClientConfig, Connection};
use tokio::time::timeout;

use super::certificates::KeyFingerprint;
use super::datagrams;
use super::disconnect::{CloseCode, Disconnect};
use super::errors::TransportError;
use super::handshakes::HandshakeFailure;
use super::limits::Limits;
use super::tls::{ENROLMENT_PROTOCOL, EnrolmentTls};

/// Answers questions of strangers.
pub trait EnrolmentDesk: Send + Sync {
    /// The answer to `question`, which has at most [`max_question_bytes`](Self::max_question_bytes) of the stranger's choice. May wait
    /// for a disk: it is called where that holds up nothing else.
    fn answer(&self, question: &[u8], from: SocketAddr) -> Answered;

    /// Longer questions are not read.
    fn max_question_bytes(&self) -> usize;
}

/// What the desk says.
pub struct Answered {
    /// To the stranger.
    pub reply: Vec<u8>,
    /// To the log, if something was not right: one of a bounded number of lines a minute.
    pub complaint: Option<String>,
}

/// Whether a connection is one for the desk.
pub(super) fn is_enrolment(connection: &Connection) -> bool {
    connection
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .is_some_and(|protocol| protocol == ENROLMENT_PROTOCOL)
}

/// Hands the one question to the desk and waits until the stranger has the answer, or gives up. Gives the desk's complaint.
pub(super) async fn answer_one(
    connection: &Connection,
    desk: &Arc<dyn EnrolmentDesk>,
) -> Result<Option<String>, TransportError> {
    let asked = timeout(QUESTION, async {
        let (send, mut receive) = connection.accept_bi().await?;
        let question = receive.read_to_end(desk.max_question_bytes()).await;
        let question = question
            .map_err(|_| TransportError::Violation("a question that is cut or too long"))?;
        Ok::<_, TransportError>((send, question))
    });
    let (mut send, question) = asked
        .await
        .unwrap_or(Err(TransportError::Stalled { waited: QUESTION }))?;
    let (desk, from) = (Arc::clone(desk), connection.remote_address());
    let answering = async {
        let answer = tokio::task::spawn_blocking(move || desk.answer(&question, from))
            .await
            .map_err(|_| TransportError::Abandoned)?;
        let abandoned = |_| TransportError::Abandoned;
        send.write_all(&answer.reply).await.map_err(abandoned)?;
        send.finish().map_err(|_| TransportError::Abandoned)?;
        // The stranger closes when it has everything.
        connection.closed().await;
        Ok(answer.complaint)
    };
    timeout(EXCHANGE, answering)
        .await
        .unwrap_or(Err(TransportError::Stalled { waited: EXCHANGE }))
}

/// Asks a coordinator's desk.
pub struct EnrolmentClient {
    address: String,
    server_name: String,
    config: ClientConfig,
    limits: Limits,
}

impl EnrolmentClient {
    /// For a coordinator at `address` ("host:port") whose certificate is for `server_name` and was issued by the authority with this
    /// fingerprint.
    ///
    /// # Errors
    /// [`TransportError::ServerName`] or [`TransportError::Configuration`].
    pub fn new(
        address: &str,
        server_name: &str,
        authority: KeyFingerprint,
    ) -> Result<Self, TransportError> {
        let server_name = server_name.to_owned();
        if rustls_pki_types::ServerName::try_from(server_name.as_str()).is_err() {
            return Err(TransportError::ServerName { name: server_name });
        }
        let limits = Limits::default();
        let configuration = |detail: String| TransportError::Configuration { detail };
        let tls = EnrolmentTls::new(authority).map_err(|error| configuration(error.to_string()))?;
        let crypto = QuicClientConfig::try_from(tls.config)
            .map_err(|error| configuration(error.to_string()))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(limits.participant_config()?);
        Ok(Self {
            address: address.to_owned(),
            server_name,
            config,
            limits,
        })
    }

    /// Sends the question to the first of the coordinator's addresses that answers, and returns the answer, of at most
    /// `max_answer_bytes`. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`], for which another try later may help; others as from [`Dialer::connect`](super::Dialer).
    pub async fn ask(
        &self,
        question: &[u8],
        max_answer_bytes: usize,
    ) -> Result<Vec<u8>, TransportError> {
        let addresses = tokio::net::lookup_host(&self.address)
            .await
            .map_err(|error| self.unreachable(format!("name not resolved: {error}")))?;
        let mut failure = self.unreachable("the name has no address".to_owned());
        for remote in addresses {
            match self.ask_at(remote, question, max_answer_bytes).await {
                Err(unreachable @ TransportError::Unreachable { .. }) => failure = unreachable,
                settled => return settled,
            }
        }
        Err(failure)
    }

    async fn ask_at(
        &self,
        remote: SocketAddr,
        question: &[u8],
        max_answer_bytes: usize,
    ) -> Result<Vec<u8>, TransportError> {
        let local = super::participant_side::any_local(remote);
        let endpoint = datagrams::bind(local, None).map_err(|source| TransportError::Bind {
            address: local,
            source,
        })?;
        let connecting = endpoint
            .connect_with(self.config.clone(), remote, &self.server_name)
            .map_err(|error| self.unreachable(error.to_string()))?;
        let connection = timeout(self.limits.handshake_timeout, connecting)
            .await
            .map_err(|_| self.unreachable("no answer".to_owned()))?
            .map_err(|error| self.failed(error))?;
        let exchange = timeout(EXCHANGE, async {
            let lost = || match connection.close_reason() {
                Some(reason) => self.failed(reason),
                None => self.unreachable("the exchange was cut".to_owned()),
            };
            let (mut send, mut receive) = connection.open_bi().await.map_err(|_| lost())?;
            send.write_all(question).await.map_err(|_| lost())?;
            send.finish().map_err(|_| lost())?;
            receive
                .read_to_end(max_answer_bytes)
                .await
                .map_err(|_| lost())
        });
        let answer = exchange
            .await
            .unwrap_or(Err(TransportError::Stalled { waited: EXCHANGE }));
        connection.close(CloseCode::Done.to_wire(), b"");
        // The goodbye is a courtesy: the other side would wait for its own limit.
        let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
        answer
    }

    fn failed(&self, error: quinn::ConnectionError) -> TransportError {
        let address = self.address.clone();
        let told = Disconnect::from(error.clone());
        match HandshakeFailure::from(error) {
            HandshakeFailure::Objection(problem) => {
                TransportError::UntrustedCoordinator { address, problem }
            }
            HandshakeFailure::PeerObjection(problem) => {
                TransportError::RefusedByCoordinator { address, problem }
            }
            HandshakeFailure::Incompatible(_) => TransportError::NoEnrolment { address },
            HandshakeFailure::Unreachable(cause) => match told {
                Disconnect::ByPeer { .. } => self.unreachable(told.to_string()),
                _ => self.unreachable(cause),
            },
        }
    }

    fn unreachable(&self, cause: String) -> TransportError {
        TransportError::Unreachable {
            address: self.address.clone(),
            cause,
        }
    }
}

/// For one question and its answer, of which a roster is the longest: 4 MB.
const EXCHANGE: Duration = Duration::from_secs(20);
/// For the question alone.
const QUESTION: Duration = Duration::from_secs(5);
/// Strangers at the desk at a time.
pub(super) const MAX_AT_THE_DESK: usize = 16;
const GOODBYE: Duration = Duration::from_millis(500);
