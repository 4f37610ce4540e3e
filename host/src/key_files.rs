//! Rosters, keys and certificates, read from the files that settings name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use protocol::{
    identity::SigningKey,
    roster::{Roster, RosterError, RosterFile},
};
use transport::{
    certificate_requests::{valid_until, validity},
    certificates::{Authority, CertificateError},
    tls::{TlsIdentity, TrustedAuthority},
};
use zeroize::Zeroizing;

/// A file together with the setting that names it, so that an error can tell where to look.
#[derive(Clone, Copy, Debug)]
pub struct NamedFile<'a> {
    /// The setting, with its section: `keys.tls_key`.
    pub setting: &'static str,
    /// The path.
    pub path: &'a Path,
}

impl<'a> NamedFile<'a> {
    /// The file at `path`, named by `setting`.
    pub fn new(setting: &'static str, path: &'a Path) -> Self {
        Self { setting, path }
    }

    /// Reads and checks a roster (JSON).
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn roster(self) -> Result<Roster, KeyFileError> {
        Roster::from_json(&self.read()?).map_err(|source| KeyFileError::Roster {
            path: self.path.to_owned(),
            source,
        })
    }

    /// Reads a roster and all the epochs before it, checked, the first one first.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn rosters(self) -> Result<Vec<Roster>, KeyFileError> {
        let text = self.read()?;
        let rosters = RosterFile::from_json(&text).and_then(|file| file.all_epochs());
        rosters.map_err(|source| KeyFileError::Roster {
            path: self.path.to_owned(),
            source,
        })
    }

    /// Reads a signing key: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyFileError`]; what the file holds instead of a key is not told.
    pub fn signing_key(self) -> Result<SigningKey, KeyFileError> {
        let text = self.read_private()?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), secret.as_mut_slice()).map_err(|_| {
            KeyFileError::SigningKey {
                setting: self.setting,
                path: self.path.to_owned(),
            }
        })?;
        Ok(SigningKey::from_secret_bytes(&secret))
    }

    /// Reads a certificate (this file) and its private key, both PEM.
    ///
    /// # Errors
    /// [`KeyFileError`], also when they do not belong together.
    pub fn tls_identity(self, key: NamedFile<'_>) -> Result<TlsIdentity, KeyFileError> {
        self.with_its_key(key, TlsIdentity::from_pem)
    }

    /// Reads the certificate of the federation's authority (PEM).
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn authority(self) -> Result<TrustedAuthority, KeyFileError> {
        TrustedAuthority::from_pem(&self.read()?).map_err(|source| self.unusable(source))
    }

    /// Reads the authority's certificate (this file) and its private key, both PEM.
    ///
    /// # Errors
    /// [`KeyFileError`], also when they do not belong together.
    pub fn signing_authority(self, key: NamedFile<'_>) -> Result<Authority, KeyFileError> {
        self.with_its_key(key, Authority::from_pem)
    }

    /// Until when the certificate in this file (PEM) is valid.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn valid_until(self) -> Result<SystemTime, KeyFileError> {
        valid_until(&self.read()?).map_err(|source| self.unusable(source))
    }

    /// From when and until when the certificate in this file (PEM) is valid.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn validity(self) -> Result<(SystemTime, SystemTime), KeyFileError> {
        validity(&self.read()?).map_err(|source| self.unusable(source))
    }

    /// The text of a file that is not private.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn text(self) -> Result<String, KeyFileError> {
        self.read()
    }

    /// The text of a private key's file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn private_text(self) -> Result<Zeroizing<String>, KeyFileError> {
        self.read_private()
    }

    /// Of a certificate and its key, the one that is at fault is named.
    fn with_its_key<T>(
        self,
        key: NamedFile<'_>,
        from_pem: impl FnOnce(&str, &str) -> Result<T, CertificateError>,
    ) -> Result<T, KeyFileError> {
        from_pem(&self.read()?, &key.read_private()?).map_err(|source| match source {
            CertificateError::PrivateKey => key.unusable(source),
            _ => self.unusable(source),
        })
    }

    fn read(self) -> Result<String, KeyFileError> {
        fs::read_to_string(self.path).map_err(|source| KeyFileError::File {
            setting: self.setting,
            path: self.path.to_owned(),
            source,
        })
    }

    fn read_private(self) -> Result<Zeroizing<String>, KeyFileError> {
        let text = Zeroizing::new(self.read()?);
        warn_if_readable_by_others(self);
        Ok(text)
    }

    fn unusable(self, source: CertificateError) -> KeyFileError {
        KeyFileError::Certificate {
            setting: self.setting,
            path: self.path.to_owned(),
            source,
        }
    }
}

/// Writes a new file that its owner alone can read, not readable by others even between its creation and a change of mode, and
/// syncs it.
///
/// # Errors
/// If it exists already, or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}

/// A file that the settings name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Missing or not readable.
    #[error(
        "cannot read {} (setting `{setting}`); check the path, or make a demo federation with `coordinator init --demo 3 DIR`",
        path.display()
    )]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Not the digits of a key.
    #[error(
        "{} (setting `{setting}`) is not a signing key; it must hold 64 hexadecimal digits and nothing else",
        path.display()
    )]
    SigningKey {
        /// The setting that names it.
        setting: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A certificate or its key is not one, or they are not a pair.
    #[error("{} (setting `{setting}`) cannot be used", path.display())]
    Certificate {
        /// The setting that names it.
        setting: &'static str,
        /// The path.
        path: PathBuf,
        /// The reason, for people.
        source: CertificateError,
    },
    /// The roster cannot be trusted.
    #[error("the roster {} cannot be used", path.display())]
    Roster {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: RosterError,
    },
}

#[cfg(unix)]
fn warn_if_readable_by_others(file: NamedFile<'_>) {
    use std::os::unix::fs::PermissionsExt as _;

    let NamedFile { setting, path } = file;
    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        tracing::warn!(setting, path = %path.display(), "other users can read this private key; protect it with chmod 600");
    }
}

#[cfg(not(unix))]
fn warn_if_readable_by_others(_file: NamedFile<'_>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_the_owner_can_be_read_back_and_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("signing.key");
        let key = SigningKey::from_secret_bytes(&[7; 32]);
        write_private(&path, hex::encode([7; 32]).as_bytes()).expect("written");
        let read = NamedFile::new("keys.signing_key", &path).signing_key();
        assert_eq!(read.expect("a key").public(), key.public());
        assert!(write_private(&path, b"another").is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_missing_or_no_key_is_named_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("signing.key");
        let refusal = || match NamedFile::new("keys.signing_key", &path).signing_key() {
            Ok(_) => panic!("must be refused"),
            Err(error) => error.to_string(),
        };
        let text = refusal();
        assert!(
            text.contains("signing.key") && text.contains("`keys.signing_key`"),
            "{text}"
        );
        fs::write(&path, "secret words").expect("written");
        let text = refusal();
        assert!(
            text.contains("signing.key") && !text.contains("secret words"),
            "{text}"
        );
    }

    #[test]
    fn of_a_certificate_and_its_key_the_bad_one_is_blamed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let authority = Authority::generate("test").expect("an authority");
        let mut issued = (1..=2).map(|id| {
            let hospital = protocol::HospitalId::new(id).expect("in range");
            authority.issue_hospital(hospital).expect("issued")
        });
        let (first, second) = (issued.next().expect("two"), issued.next().expect("two"));
        let blamed = |certificate_text: &str, key_text: &str| {
            fs::write(&certificate, certificate_text).expect("written");
            fs::write(&key, key_text).expect("written");
            let key = NamedFile::new("keys.tls_key", &key);
            match NamedFile::new("keys.tls_certificate", &certificate).tls_identity(key) {
                Ok(_) => None,
                Err(KeyFileError::Certificate { setting, .. }) => Some(setting),
                Err(error) => panic!("{error}"),
            }
        };
        let (pem, key_pem) = (&first.certificate_pem, &first.key_pem);
        assert_eq!(blamed(pem, key_pem), None);
        assert_eq!(blamed(pem, &second.key_pem), Some("keys.tls_certificate"));
        assert_eq!(blamed(pem, "nothing"), Some("keys.tls_key"));
        assert_eq!(blamed("nothing", key_pem), Some("keys.tls_certificate"));
    }
}
