//! What can go wrong between two end-points, told so that a person knows what to do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::{ConnectionError, VarInt};
use thiserror::Error;

use super::handshakes::CertificateProblem;
use super::wire::Refusal;

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
    /// The connection is gone.
    #[error("connection lost: {0}")]
    Closed(Disconnect),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// The peer said goodbye.
    ByPeer {
        /// Why, for programs.
        code: CloseCode,
        /// Why, for people; at most 512 printable characters of the peer's choice.
        reason: String,
    },
    /// This side closed it.
    ByUs,
    /// The peer fell silent for the idle timeout, or came back without memory of the connection.
    Vanished,
    /// This side closed it because the peer broke the rules.
    Violation {
        /// Which rule.
        detail: String,
    },
    /// Anything else QUIC reports.
    Broken {
        /// What it reports.
        detail: String,
    },
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer { code, reason } if reason.is_empty() => {
                write!(f, "the peer closed it ({code:?})")
            }
            Self::ByPeer { code, reason } => write!(f, "the peer closed it ({code:?}): {reason}"),
            Self::ByUs => f.write_str("closed on this side"),
            Self::Vanished => f.write_str("the peer fell silent"),
            Self::Violation { detail } => write!(f, "closed because {detail}"),
            Self::Broken { detail } => f.write_str(detail),
        }
    }
}

impl std::error::Error for Disconnect {}

impl From<ConnectionError> for Disconnect {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::ByPeer {
                code: CloseCode::from_wire(close.error_code),
                reason: printable(&close.reason),
            },
            ConnectionError::LocallyClosed => Self::ByUs,
            ConnectionError::TimedOut | ConnectionError::Reset => Self::Vanished,
            other => Self::Broken {
                detail: printable(other.to_string().as_bytes()),
            },
        }
    }
}

impl From<ConnectionError> for TransportError {
    fn from(error: ConnectionError) -> Self {
        Self::Closed(error.into())
    }
}

/// Why one side closes a connection, as the other side's program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The last handle was dropped without a word: a program that ended in a hurry.
    Dropped,
    /// All is done.
    Done,
    /// The process stops; it may come back.
    ShuttingDown,
    /// A newer connection of the same hospital has taken this one's place.
    Superseded,
    /// The peer broke the transport's rules.
    Violation,
    /// The peer neither read nor wrote for too long.
    Stalled,
    /// A code of the layer above.
    Application(u16),
}

impl CloseCode {
    pub(super) fn to_wire(self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Dropped => 0,
            Self::Done => 1,
            Self::ShuttingDown => 2,
            Self::Superseded => 3,
            Self::Violation => 4,
            Self::Stalled => 5,
            Self::Application(code) => APPLICATION_CODES + u32::from(code),
        })
    }

    fn from_wire(code: VarInt) -> Self {
        match code.into_inner() {
            0 => Self::Dropped,
            1 => Self::Done,
            2 => Self::ShuttingDown,
            3 => Self::Superseded,
            5 => Self::Stalled,
            other => other
                .checked_sub(APPLICATION_CODES.into())
                .and_then(|code| u16::try_from(code).ok())
                .map_or(Self::Violation, Self::Application),
        }
    }
}

/// Text of the peer's choice, for a log or a terminal: bounded, and without control characters.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_REASON_CHARACTERS)
        .collect()
}

/// Codes of the layer above start here, clear of the transport's own.
const APPLICATION_CODES: u32 = 256;
const MAX_REASON_CHARACTERS: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn close_codes_survive_the_wire() {
        for code in [
            CloseCode::Dropped,
            CloseCode::Done,
            CloseCode::ShuttingDown,
            CloseCode::Superseded,
            CloseCode::Violation,
            CloseCode::Stalled,
            CloseCode::Application(0),
            CloseCode::Application(u16::MAX),
        ] {
            assert_eq!(CloseCode::from_wire(code.to_wire()), code);
        }
    }

    proptest! {
        #[test]
        fn any_code_is_understood(code in 0..(1_u64 << 62)) {
            CloseCode::from_wire(VarInt::from_u64(code).expect("below 2^62"));
        }

        #[test]
        fn a_reason_is_short_and_printable(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let text = printable(&bytes);
            prop_assert!(text.chars().count() <= MAX_REASON_CHARACTERS);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
