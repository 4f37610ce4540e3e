//! A demo federation read back from the folders that `folders` writes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crypto::sealed_sum::HospitalId;
use host::key_files::{KeyFileError, NamedFile};
use protocol::roster::{RosterError, RosterFile};
use transport::{
    certificates::{CertificateError, IssuedCertificate},
    tls::TlsIdentity,
};
use zeroize::Zeroizing;

use super::{Demo, Party, Place};

impl Demo {
    /// The federation that [`Demo::write`] has laid out in `directory`; `place` is where its coordinator listens.
    ///
    /// # Errors
    /// [`ReadError`] names the file that is missing or was altered.
    pub fn read(directory: &Path, place: Place) -> Result<Self, ReadError> {
        let coordinator = directory.join("coordinator");
        let path = coordinator.join("roster.json");
        let text = read(&path)?;
        let of_roster = |source| ReadError::Roster {
            path: path.clone(),
            source,
        };
        let roster_file = RosterFile::from_json(&text).map_err(of_roster)?;
        let roster = roster_file.check().map_err(of_roster)?;
        let of_hospital = |id: HospitalId| {
            let folder = directory.join(format!("hospital-{id}"));
            Ok((id, Party::read(&folder)?))
        };
        let hospitals = roster.members().map(|member| of_hospital(member.id));
        let hospitals = hospitals.collect::<Result<_, ReadError>>()?;
        let operator_key = coordinator.join("keys/operator.key");
        Ok(Self {
            roster: Arc::new(roster),
            roster_file,
            ca_certificate_pem: read(&coordinator.join("ca.crt"))?,
            operator_key: NamedFile::new("operator_key", &operator_key).signing_key()?,
            coordinator: Party::read(&coordinator)?,
            hospitals,
            place,
        })
    }
}

impl Party {
    fn read(folder: &Path) -> Result<Self, ReadError> {
        let keys = folder.join("keys");
        let signing_key = NamedFile::new("signing_key", &keys.join("signing.key")).signing_key()?;
        let (certificate, key) = (keys.join("tls.crt"), keys.join("tls.key"));
        let certificate_pem = read(&certificate)?;
        let key_pem = Zeroizing::new(read(&key)?);
        let identity = TlsIdentity::from_pem(&certificate_pem, &key_pem);
        let identity = identity.map_err(|source| ReadError::Certificate {
            path: certificate,
            source,
        })?;
        let tls = IssuedCertificate {
            fingerprint: identity.fingerprint(),
            certificate_pem,
            key_pem,
        };
        Ok(Self { signing_key, tls })
    }
}

/// The folders are not those of a whole federation.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is missing or not readable.
    #[error("cannot read {}; put the file back", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A certificate cannot be used, or its key is another's.
    #[error("{} cannot be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The reason, for people.
        source: CertificateError,
    },
    /// The roster is not valid.
    #[error("the roster {} cannot be used", path.display())]
    Roster {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RosterError,
    },
}

fn read(path: &Path) -> Result<String, ReadError> {
    fs::read_to_string(path).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_a_missing_file_is_named() {
        let written = Demo::generate(3, Place::default()).expect("three hospitals");
        let folder = tempfile::tempdir().expect("a folder");
        written.write(folder.path()).expect("written");
        let read = Demo::read(folder.path(), Place::default()).expect("read back");
        assert_eq!(read.roster.hash(), written.roster.hash());
        assert_eq!(read.operator_key.public(), written.operator_key.public());
        let parties = |demo: &Demo| {
            let all = demo.hospitals.values().chain([&demo.coordinator]);
            let keys = |party: &Party| (party.signing_key.public(), party.tls.fingerprint);
            all.map(keys).collect::<Vec<_>>()
        };
        assert_eq!(parties(&read).len(), 4);
        assert!(parties(&read) == parties(&written));

        fs::remove_file(folder.path().join("hospital-2/keys/tls.key")).expect("there");
        let error = Demo::read(folder.path(), Place::default()).err();
        let error = error.expect("incomplete").to_string();
        assert!(error.contains("hospital-2/keys/tls.key"), "{error}");
    }
}
