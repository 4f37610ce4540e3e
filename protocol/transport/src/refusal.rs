//! Why a transfer is not wanted.

use std::fmt;

/// A transfer that was not wanted: why, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for programs.
    pub code: RefusalCode,
    /// Why, for people: printable, at most 1,024 bytes on the wire; the rest is cut off.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.reason)
    }
}

/// Why a transfer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// There is no blob of that name.
    NotFound,
    /// The blob exceeds a limit.
    TooLarge,
    /// Nobody asked for this blob, or not now.
    Unexpected,
    /// The bytes were looked at and found wrong; sending them again will not help.
    Invalid,
    /// A code of the layer above.
    Application(u16),
}

impl RefusalCode {
    pub(super) fn to_wire(self) -> u32 {
        match self {
            Self::NotFound => 1,
            Self::TooLarge => 2,
            Self::Unexpected => 3,
            Self::Invalid => 4,
            Self::Application(code) => APPLICATION_CODES + u32::from(code),
        }
    }

    pub(super) fn from_wire(code: u32) -> Self {
        match code {
            1 => Self::NotFound,
            2 => Self::TooLarge,
            3 => Self::Unexpected,
            other => other
                .checked_sub(APPLICATION_CODES)
                .and_then(|code| u16::try_from(code).ok())
                .map_or(Self::Invalid, Self::Application),
        }
    }
}

const APPLICATION_CODES: u32 = 256;
