//! What can go wrong between two end-points, told so that a person knows what to do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::ConnectionError;
use thiserror::Error;

use super::disconnect::Disconnect;
use super::handshakes::CertificateProblem;
use super::refusal::Refusal;

/// Why an end-point could not be opened, a peer not be reached or believed, or a frame or blob not be moved.
#[derive(Debug, Error)]
pub enum TransportError {
    /// No socket at this address.
    #[error("cannot open a UDP socket at {address}")]
    Bind {
        /// The local address asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system's socket does not do what QUIC needs.
    #[error("cannot use the UDP socket")]
    Socket(#[source] io::Error),
    /// A limit or a TLS setting that QUIC cannot express.
    #[error("cannot configure QUIC: {detail}")]
    Configuration {
        /// Which, in words.
        detail: String,
    },
    /// The name to look for in the coordinator's certificate is malformed.
    #[error(
        "{name:?} is neither a DNS name nor an IP address; check the coordinator's name in the settings"
    )]
    ServerName {
        /// The name as given.
        name: String,
    },
    /// The participant does not believe that this is its coordinator.
    #[error("the coordinator at {address} cannot be trusted: {problem}; {}", problem.advice())]
    UntrustedCoordinator {
        /// The coordinator's address as dialled.
        address: String,
        /// What is wrong with its certificate.
        problem: CertificateProblem,
    },
    /// The coordinator has looked at this participant's certificate and closed.
    #[error("the coordinator at {address} refused this participant's certificate: {problem}; {}", problem.advice())]
    RefusedByCoordinator {
        /// The coordinator's address as dialled.
        address: String,
        /// What the coordinator finds wrong.
        problem: CertificateProblem,
    },
    /// The coordinator turned a peer away because of its certificate.
    #[error("the participant at {address} was turned away: {problem}; {}", problem.advice())]
    UntrustedParticipant {
        /// Where the peer dialled from.
        address: SocketAddr,
        /// What is wrong with its certificate.
        problem: CertificateProblem,
    },
    /// A participant has looked at the coordinator's certificate and closed.
    #[error("the participant at {address} does not trust this coordinator: {problem}; {}", problem.advice())]
    RefusedByParticipant {
        /// Where the peer dialled from.
        address: SocketAddr,
        /// What the participant finds wrong.
        problem: CertificateProblem,
    },
    /// The two ends do not speak the same protocol.
    #[error(
        "no common protocol with {address}: {detail}; check the address, and that both run the same version"
    )]
    Handshake {
        /// The peer.
        address: String,
        /// What TLS or QUIC says.
        detail: String,
    },
    /// Nobody answers there, or not yet.
    #[error(
        "the coordinator at {address} does not answer ({cause}); check that `coordinator serve` runs there, and that the firewall lets UDP \
         out to this port"
    )]
    Unreachable {
        /// The coordinator's address as dialled.
        address: String,
        /// What the last try has met.
        cause: String,
    },
    /// The coordinator admits nobody.
    #[error(
        "the coordinator at {address} takes no new members: it has no authority key (a demo has none), or is of another release"
    )]
    NoEnrolment {
        /// The coordinator's address as dialled.
        address: String,
    },
    /// A frame longer than the limit, one's own or announced by the peer; nothing was allocated for it.
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    FrameTooLarge {
        /// The announced length.
        length: u64,
        /// The limit in force.
        limit: u64,
    },
    /// A blob longer than the limit; nothing was allocated for it.
    #[error("a blob of {length} bytes exceeds the limit of {limit}")]
    BlobTooLarge {
        /// The announced length.
        length: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The peer sent what the transport's own rules exclude.
    #[error("the peer broke the transport's rules: {0}")]
    Violation(&'static str),
    /// The peer is there but neither reads nor writes.
    #[error("the peer has not moved for {waited:?}")]
    Stalled {
        /// How long it was given.
        waited: Duration,
    },
    /// The peer answered a transfer with a refusal.
    #[error("transfer refused: {0}")]
    Refused(Refusal),
    /// The peer let go of one stream; the connection stands.
    #[error("the peer abandoned the transfer")]
    Abandoned,
    /// What was to be sent could not be read.
    #[error("cannot read the blob that was asked for")]
    Unreadable(#[source] io::Error),
    /// The connection is gone.
    #[error("connection lost: {0}")]
    Closed(Disconnect),
}

impl From<ConnectionError> for TransportError {
    fn from(error: ConnectionError) -> Self {
        Self::Closed(error.into())
    }
}
