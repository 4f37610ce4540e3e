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

/// Why a text names no archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Not of the form.
    #[error("an archive is named as AE@HOST:PORT, such as PACS@10.0.0.7:104")]
    Form,
    /// A wrong name before the @.
    #[error(transparent)]
    Title(#[from] AeTitleError),
}

/// `AE@HOST:PORT`, called by the name [`Archive::CALLING`], with a minute for each wait.
impl FromStr for Archive {
    type Err = ArchiveError;

    fn from_str(text: &str) -> Result<Self, ArchiveError> {
        let (called, address) = text.split_once('@').ok_or(ArchiveError::Form)?;
        let (host, port) = address.rsplit_once(':').ok_or(ArchiveError::Form)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(ArchiveError::Form);
        }
        Ok(Self {
            address: address.to_owned(),
            called: called.parse()?,
            calling: Self::CALLING.parse()?,
            timeout: Duration::from_secs(60),
        })
    }
}

impl Archive {
    /// Our name, unless an archive knows us by another.
    pub const CALLING: &str = "MYELIN";
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
    fn an_archive_is_a_name_at_an_address() {
        let archive: Archive = "PACS@[::1]:104".parse().expect("an archive");
        assert_eq!(
            (archive.called.as_str(), archive.address.as_str()),
            ("PACS", "[::1]:104")
        );
        assert_eq!(archive.calling.as_str(), Archive::CALLING);
        for wrong in [
            "PACS",
            "PACS@host",
            "PACS@:104",
            "PACS@host:x",
            "@host:104",
            "P\\@host:104",
        ] {
            assert!(wrong.parse::<Archive>().is_err(), "{wrong}");
        }
    }

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
