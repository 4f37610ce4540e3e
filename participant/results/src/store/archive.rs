//! Whom to send to.

use std::{fmt, str::FromStr, time::Duration};

/// An archive of DICOM objects, and the name under which it knows us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Host and port: "10.0.0.7:104".
    pub address: String,
    /// The archive's name among DICOM applications.
    pub called: AeTitle,
    /// Ours; many archives take objects from names alone that they were told of.
    pub calling: AeTitle,
    /// How long to wait for a connection, and each time for bytes to come or to be taken.
    pub timeout: Duration,
}

/// For messages: where it is, and both names.
impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            called,
            calling,
            ..
        } = self;
        write!(f, "the archive {called} at {address}, called by {calling}")
    }
}

/// The name of a DICOM application (PS3.5, VR AE): 1 to 16 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AeTitle(String);

impl AeTitle {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not such a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{title:?} is no AE title: 1 to 16 letters, digits and signs of ASCII, no backslash, no space at an end"
)]
pub struct AeTitleError {
    /// The text, cut where it is long.
    pub title: String,
}

impl FromStr for AeTitle {
    type Err = AeTitleError;

    fn from_str(title: &str) -> Result<Self, AeTitleError> {
        let legal = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '\\';
        let fits = (1..=16).contains(&title.len()) && title.chars().all(legal);
        if fits && title.trim() == title {
            return Ok(Self(title.to_owned()));
        }
        Err(AeTitleError {
            title: title.chars().take(32).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_short_and_plain() {
        for legal in ["PACS", "MY ARCHIVE", "A234567890123456"] {
            assert!(legal.parse::<AeTitle>().is_ok(), "{legal}");
        }
        for illegal in ["", " ", "A\\B", " PACS", "A2345678901234567", "PÄCS", "A\n"] {
            assert!(illegal.parse::<AeTitle>().is_err(), "{illegal}");
        }
    }
}
