//! Reads what the settings name: roster, keys and certificates, and checks that they are this hospital's.

use std::{path::PathBuf, sync::Arc};

use host::key_files::{KeyFileError, NamedFile};
use protocol::{HospitalId, roster::Roster};
use transport::{
    Dialer, Limits, TransportError,
    certificates::{CertificateError, KeyFingerprint},
    tls::ParticipantTls,
};

use super::Settings;
use crate::{ledger::Recipient, vault::VaultIdentity};

/// Who this hospital is, and the way to its coordinator.
pub struct Credentials {
    /// For the vault.
    pub identity: VaultIdentity,
    /// Speaks to this federation's coordinator and to nobody else.
    pub dialer: Dialer,
    /// Who that is, as the ledger names it.
    pub coordinator: Recipient,
}

impl Settings {
    /// Reads the files that the settings name and checks them against the roster.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file, the setting, and what to do.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let keys = &self.keys;
        let roster = NamedFile::new("roster", &self.roster).roster()?;
        let key = NamedFile::new("keys.signing_key", &keys.signing_key).signing_key()?;
        let identity = NamedFile::new("keys.tls_certificate", &keys.tls_certificate)
            .tls_identity(NamedFile::new("keys.tls_key", &keys.tls_key))?;
        let authority = NamedFile::new("keys.ca_certificate", &keys.ca_certificate).authority()?;

        let public_key = key.public();
        let signer = roster
            .members()
            .find(|member| member.signing_key == public_key);
        self.check_owner(
            &roster,
            "keys.signing_key",
            &keys.signing_key,
            signer.map(|member| member.id),
        )?;
        let member = roster.member_by_fingerprint(identity.fingerprint().as_bytes());
        self.check_owner(
            &roster,
            "keys.tls_certificate",
            &keys.tls_certificate,
            member.map(|member| member.id),
        )?;

        let coordinator = KeyFingerprint::from(roster.coordinator_tls_fingerprint());
        let tls = ParticipantTls::new(&identity, &authority, coordinator)?;
        let place = &self.coordinator;
        let dialer = Dialer::new(&place.address, &place.server_name, &tls, &Limits::default())?;
        let dialer = match self.allowance.rate {
            Some(cap) => dialer.at_most(cap)?,
            None => dialer,
        };
        let coordinator = Recipient {
            address: place.address.clone(),
            key: roster.coordinator_tls_fingerprint(),
        };
        let identity = VaultIdentity {
            id: self.hospital,
            key,
            roster: Arc::new(roster),
        };
        Ok(Credentials {
            identity,
            dialer,
            coordinator,
        })
    }

    /// `owner` is the hospital that the roster lists for the key in the file at `path`.
    fn check_owner(
        &self,
        roster: &Roster,
        setting: &'static str,
        path: &std::path::Path,
        owner: Option<HospitalId>,
    ) -> Result<(), CredentialsError> {
        let hospital = self.hospital;
        if roster.member(hospital).is_none() {
            let members: Vec<_> = roster
                .members()
                .map(|member| member.id.to_string())
                .collect();
            return Err(CredentialsError::NotAMember {
                hospital,
                roster: self.roster.clone(),
                members: members.join(", "),
            });
        }
        match owner {
            Some(owner) if owner == hospital => Ok(()),
            Some(owner) => Err(CredentialsError::OtherHospital {
                setting,
                path: path.to_owned(),
                owner,
                hospital,
            }),
            None => Err(CredentialsError::NotOnRoster {
                setting,
                path: path.to_owned(),
                hospital,
                roster: self.roster.clone(),
            }),
        }
    }
}

/// Why a hospital cannot show who it is.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read or is not what it should be.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The roster has no hospital of this number.
    #[error(
        "hospital {hospital} is not on the roster {}, which lists {members}; set `hospital` to this hospital's number",
        roster.display()
    )]
    NotAMember {
        /// The number in the settings.
        hospital: HospitalId,
        /// The roster's path.
        roster: PathBuf,
        /// The numbers on it.
        members: String,
    },
    /// The key is that of another member.
    #[error(
        "{} (setting `{setting}`) belongs to hospital {owner}, but `hospital` is {hospital}; correct the one that is wrong",
        path.display()
    )]
    OtherHospital {
        /// The setting that names the file.
        setting: &'static str,
        /// The path.
        path: PathBuf,
        /// Whose it is by the roster.
        owner: HospitalId,
        /// The number in the settings.
        hospital: HospitalId,
    },
    /// The key is not on the roster.
    #[error(
        "{} (setting `{setting}`) is not the one that the roster {} lists for hospital {hospital}; both files must come from the same federation",
        path.display(),
        roster.display()
    )]
    NotOnRoster {
        /// The setting that names the file.
        setting: &'static str,
        /// The path.
        path: PathBuf,
        /// The number in the settings.
        hospital: HospitalId,
        /// The roster's path.
        roster: PathBuf,
    },
    /// TLS cannot use the certificate, its key or the authority.
    #[error("the certificates in the settings [keys] cannot be used for TLS")]
    Tls(#[from] CertificateError),
    /// The coordinator cannot be dialled as the settings say.
    #[error("the settings [coordinator] cannot be used")]
    Coordinator(#[from] TransportError),
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use coordinator::demo::{Demo, Place};
    use protocol::roster::RosterError;
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;

    /// What `coordinator init --demo 2` writes.
    fn federation() -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let demo = Demo::generate(2, Place::default()).expect("two hospitals");
        demo.write(folder.path()).expect("written");
        folder
    }

    fn read(folder: &Path, flags: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        let flags: Vec<_> = flags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let file = folder.join("hospital-1/participant.toml");
        Settings::load(&file, [], &flags)
            .expect("sound settings")
            .credentials()
    }

    fn refusal(folder: &Path, flags: &[(&str, &str)]) -> CredentialsError {
        match read(folder, flags) {
            Ok(_) => panic!("must be refused"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_demos_folder_makes_a_hospital() {
        let folder = federation();
        let credentials = read(folder.path(), &[]).expect("sound");
        let identity = credentials.identity;
        assert_eq!(identity.id.get(), 1);
        let member = identity.roster.member(identity.id).expect("on the roster");
        assert_eq!(member.signing_key, identity.key.public());
    }

    #[test]
    fn another_hospitals_keys_are_named_with_their_owner() {
        let folder = federation();
        let text = refusal(folder.path(), &[("hospital", "2")]).to_string();
        assert!(
            text.contains("keys/signing.key") && text.contains("belongs to hospital 1"),
            "{text}"
        );
        let others = folder.path().join("hospital-2/keys");
        let others = others.to_str().expect("a path of letters");
        let [key, certificate, tls_key] =
            ["signing.key", "tls.crt", "tls.key"].map(|name| format!("{others}/{name}"));
        let signing_key = [("keys.signing_key", key.as_str())];
        let error = refusal(folder.path(), &signing_key);
        assert!(matches!(
            error,
            CredentialsError::OtherHospital {
                setting: "keys.signing_key",
                ..
            }
        ));
        let certificate = [
            ("keys.tls_certificate", certificate.as_str()),
            ("keys.tls_key", tls_key.as_str()),
        ];
        let error = refusal(folder.path(), &certificate);
        assert!(matches!(
            error,
            CredentialsError::OtherHospital {
                setting: "keys.tls_certificate",
                ..
            }
        ));
    }

    #[test]
    fn keys_of_another_federation_are_refused() {
        let (folder, other) = (federation(), federation());
        for (names, setting) in [
            (&["signing.key"][..], "keys.signing_key"),
            (&["tls.key", "tls.crt"], "keys.tls_certificate"),
        ] {
            let path = |root: &TempDir, name: &str| root.path().join("hospital-1/keys").join(name);
            let swap = |from: &TempDir, to: &TempDir| {
                for name in names {
                    fs::copy(path(from, name), path(to, name)).expect("copied");
                }
            };
            let kept = federation();
            swap(&folder, &kept);
            swap(&other, &folder);
            match refusal(folder.path(), &[]) {
                CredentialsError::NotOnRoster { setting: named, .. } => assert_eq!(named, setting),
                error => panic!("{error}"),
            }
            swap(&kept, &folder);
        }
        assert!(read(folder.path(), &[]).is_ok());
    }

    #[test]
    fn a_number_that_is_not_on_the_roster_is_refused_with_those_that_are() {
        let folder = federation();
        let text = refusal(folder.path(), &[("hospital", "9")]).to_string();
        assert!(
            text.contains("hospital 9") && text.contains("lists 1, 2"),
            "{text}"
        );
    }

    #[test]
    fn two_hospitals_with_the_same_number_are_refused() {
        let folder = federation();
        let path = folder.path().join("hospital-1/roster.json");
        let text = fs::read_to_string(&path).expect("a file");
        let mut roster: Value = serde_json::from_str(&text).expect("JSON");
        roster["hospitals"][1]["id"] = 1.into();
        fs::write(&path, roster.to_string()).expect("written");
        let error = refusal(folder.path(), &[]);
        let CredentialsError::File(KeyFileError::Roster { path, source }) = error else {
            panic!("{error}");
        };
        assert!(path.ends_with("hospital-1/roster.json"));
        assert!(
            matches!(source, RosterError::DuplicateId { .. }),
            "{source}"
        );
    }

    #[test]
    fn a_name_that_no_certificate_can_have_is_refused() {
        let folder = federation();
        let error = refusal(folder.path(), &[("coordinator.server_name", "not a name")]);
        assert!(matches!(
            error,
            CredentialsError::Coordinator(TransportError::ServerName { .. })
        ));
    }
}
