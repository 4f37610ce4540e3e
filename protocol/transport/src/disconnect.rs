//! How a connection ends, and the code that says why.

use std::fmt;

use quinn::{ConnectionError, VarInt};

use super::printable::printable;

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

/// Codes of the layer above start here, clear of the transport's own.
const APPLICATION_CODES: u32 = 256;

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
    }
}
