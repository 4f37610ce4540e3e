//! Reads what the settings name: roster, keys and certificates, and checks that they belong together.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use host::{
    key_files::{KeyFileError, NamedFile},
    replaced_file::replace,
    run_file::{self, RunFileError},
};
use protocol::identity::SigningKey;
use transport::{
    EnrolmentDesk, Limits,
    certificates::Authority,
    tls::{TlsIdentity, TrustedAuthority},
};

use super::{RunSettings, Settings, SettingsError};
use crate::{
    enrolment::{Desk, DeskError, own_certificate},
    service::{IdleConfig, ServiceConfig, has_unfinished_run},
};

impl Settings {
    /// Everything that the service needs, read from the files that the settings name. The run to begin is that of `run_file`, or it is
    /// signed here. Without the operator's key there is none: then only an unfinished one goes on.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file and what to do.
    pub fn service_config(
        &self,
        run_file: Option<&Path>,
    ) -> Result<ServiceConfig, CredentialsError> {
        let keys = &self.keys;
        let roster = NamedFile::new("roster", &self.roster).roster()?;
        let signing_key = NamedFile::new("keys.signing_key", &keys.signing_key).signing_key()?;
        let operator_key = match run_file {
            Some(_) => None,
            None => self.operator_key()?,
        };
        let EndPoint {
            identity,
            authority,
            desk,
        } = self.end_point()?;
        for (key, path, is_listed) in [
            (
                "keys.signing_key",
                &keys.signing_key,
                signing_key.public() == *roster.coordinator_key(),
            ),
            (
                "keys.operator_key",
                &keys.operator_key,
                operator_key
                    .as_ref()
                    .is_none_or(|key| key.public() == *roster.operator_key()),
            ),
            (
                "keys.tls_certificate",
                &keys.tls_certificate,
                *identity.fingerprint().as_bytes() == roster.coordinator_tls_fingerprint(),
            ),
        ] {
            if !is_listed {
                return Err(CredentialsError::NotOnRoster {
                    key,
                    path: path.clone(),
                    roster: self.roster.clone(),
                });
            }
        }
        let manifest = match (run_file, operator_key) {
            (Some(path), _) => Some(run_file::read(path, &roster)?),
            (None, Some(key)) => self.run_to_begin()?.map(|run| run.signed_manifest(&key)),
            (None, None) => None,
        };
        Ok(ServiceConfig {
            roster: Arc::new(roster),
            signing_key,
            identity,
            authority,
            manifest,
            listen: self.listen,
            state: Some(self.state.clone()),
            new_run: false,
            serve_outcomes_secs: self.serve_outcomes_secs,
            limits: Limits::default(),
            desk,
        })
    }

    /// What a coordinator needs while it has no run, with its roster if there is one.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file and what to do.
    pub fn idle_config(&self) -> Result<IdleConfig, CredentialsError> {
        let roster = match self.roster.exists() {
            true => Some(NamedFile::new("roster", &self.roster).roster()?),
            false => None,
        };
        let EndPoint {
            identity,
            authority,
            desk,
        } = self.end_point()?;
        Ok(IdleConfig {
            roster: roster.map(Arc::new),
            identity,
            authority,
            listen: self.listen,
            state: self.state.clone(),
            desk,
            limits: Limits::default(),
        })
    }

    /// None where the model that it starts from cannot be read, if an unfinished run goes on anyway.
    fn run_to_begin(&self) -> Result<Option<RunSettings>, SettingsError> {
        match self.run() {
            Ok(run) => Ok(Some(run)),
            Err(error) if matches!(has_unfinished_run(&self.state), Ok(true)) => {
                let error = host::doctor::told(error);
                tracing::warn!(
                    error,
                    "an unfinished run goes on; the next one could not begin"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn end_point(&self) -> Result<EndPoint, CredentialsError> {
        let keys = &self.keys;
        let ca_certificate = NamedFile::new("keys.ca_certificate", &keys.ca_certificate);
        let authority = ca_certificate.authority()?;
        let certificate = NamedFile::new("keys.tls_certificate", &keys.tls_certificate);
        let tls_key = NamedFile::new("keys.tls_key", &keys.tls_key);
        if !keys.authority_key.exists() {
            return Ok(EndPoint {
                identity: certificate.tls_identity(tls_key)?,
                authority,
                desk: None,
            });
        }
        let signing = ca_certificate
            .signing_authority(NamedFile::new("keys.authority_key", &keys.authority_key))?;
        renew_if_due(certificate, tls_key, &signing, &self.public)?;
        let desk: Arc<dyn EnrolmentDesk> = Arc::new(Desk::open(signing, &self.state)?);
        Ok(EndPoint {
            identity: certificate.tls_identity(tls_key)?,
            authority,
            desk: Some(desk),
        })
    }

    /// None where its file does not exist: the operator may keep it elsewhere.
    fn operator_key(&self) -> Result<Option<SigningKey>, KeyFileError> {
        let file = NamedFile::new("keys.operator_key", &self.keys.operator_key);
        match file.signing_key() {
            Err(KeyFileError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            key => key.map(Some),
        }
    }
}

/// Who the coordinator is on the network, and whom it lets in besides its hospitals.
struct EndPoint {
    identity: TlsIdentity,
    authority: TrustedAuthority,
    desk: Option<Arc<dyn EnrolmentDesk>>,
}

/// The coordinator's own certificate is renewed by itself, with the same key, at a start.
fn renew_if_due(
    certificate: NamedFile<'_>,
    key: NamedFile<'_>,
    authority: &Authority,
    public: &str,
) -> Result<(), CredentialsError> {
    let until = certificate.valid_until()?;
    if until > SystemTime::now() + RENEWED_BEFORE {
        return Ok(());
    }
    let renewed = key.private_text()?;
    let renewed = own_certificate(authority, &renewed, public).map_err(DeskError::Certificate)?;
    match replace(certificate.path, renewed.as_bytes()) {
        Ok(()) => {
            tracing::info!(path = %certificate.path.display(), "the coordinator's certificate was renewed");
        }
        // The one that is there may hold for a while.
        Err(error) => tracing::warn!(
            path = %certificate.path.display(),
            %error,
            "the coordinator's certificate expires soon, and a new one cannot be written"
        ),
    }
    Ok(())
}

/// So long before its end.
const RENEWED_BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);

/// A file that the settings name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read, or is not what it should be.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The list of members cannot be used, or no certificate be made.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The run to begin is none.
    #[error(transparent)]
    Run(#[from] RunFileError),
    /// The model that the run to begin starts from.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A key of another federation, or of another party.
    #[error("{} (setting `{key}`) is not the one that the roster {} lists; both files must come from the same federation", path.display(), roster.display())]
    NotOnRoster {
        /// The setting that names it.
        key: &'static str,
        /// The path.
        path: PathBuf,
        /// The roster's path.
        roster: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use std::fs;

    use protocol::{digests::LearningRound, roster::RosterError};
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        demo::{Demo, Place},
        machine::Fact,
        store::Store,
    };

    fn federation() -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        Demo::generate(2, Place::default())
            .expect("two")
            .write(folder.path())
            .expect("written");
        folder
    }

    fn read_back(folder: &TempDir) -> Result<ServiceConfig, CredentialsError> {
        let file = folder.path().join("coordinator/coordinator.toml");
        Settings::load(&file, [], &[])
            .expect("sound settings")
            .service_config(None)
    }

    fn refusal(folder: &TempDir) -> CredentialsError {
        match read_back(folder) {
            Ok(_) => panic!("must be refused"),
            Err(error) => error,
        }
    }

    fn alter_roster(folder: &TempDir, alter: impl FnOnce(&mut Value)) {
        let path = folder.path().join("coordinator/roster.json");
        let mut roster =
            serde_json::from_str(&fs::read_to_string(&path).expect("a file")).expect("JSON");
        alter(&mut roster);
        fs::write(path, roster.to_string()).expect("written");
    }

    #[test]
    fn a_missing_key_file_is_named() {
        let folder = federation();
        fs::remove_file(folder.path().join("coordinator/keys/signing.key")).expect("it is there");
        let text = refusal(&folder).to_string();
        assert!(
            text.contains("keys/signing.key") && text.contains("keys.signing_key"),
            "{text}"
        );
    }

    #[test]
    fn an_unfinished_run_goes_on_without_the_model_that_the_next_would_start_from() {
        let folder = federation();
        let begun = read_back(&folder).expect("sound");
        let file = folder.path().join("coordinator/coordinator.toml");
        let missing = folder.path().join("kept.safetensors").display().to_string();
        let flags = [("run.initial_model".to_owned(), missing)];
        let settings = Settings::load(&file, [], &flags).expect("sound settings");
        let refused = settings.service_config(None).map(|_| ());
        assert!(
            matches!(refused, Err(CredentialsError::Settings(_))),
            "{refused:?}"
        );

        fs::create_dir_all(&settings.state).expect("a folder");
        let store = Store::open(&settings.state.join("coordinator.sqlite")).expect("a store");
        let manifest = begun.manifest.expect("signed here");
        store
            .begin_run(&manifest, &begun.roster.hash())
            .expect("written");
        let learning_round = LearningRound::new(1);
        store
            .add_fact(&Fact::EndsAfter { learning_round })
            .expect("written");
        drop(store);
        let goes_on = settings.service_config(None).expect("not needed");
        assert!(goes_on.manifest.is_none());
    }

    #[test]
    fn without_the_operators_key_the_run_is_the_one_that_was_signed_elsewhere() {
        let folder = federation();
        let key = folder.path().join("coordinator/keys/operator.key");
        let elsewhere = folder.path().join("operator.key");
        fs::rename(key, &elsewhere).expect("moved");
        assert!(read_back(&folder).expect("sound").manifest.is_none());

        let file = folder.path().join("coordinator/coordinator.toml");
        let settings = Settings::load(&file, [], &[]).expect("sound settings");
        let key = NamedFile::new("keys.operator_key", &elsewhere).signing_key();
        let signed = settings
            .run()
            .expect("sound")
            .signed_manifest(&key.expect("a key"));
        let roster = NamedFile::new("roster", &settings.roster).roster();
        let text = run_file::to_text(&signed, &roster.expect("sound")).expect("sound");
        let run = folder.path().join("run.json");
        fs::write(&run, text).expect("written");
        let config = settings.service_config(Some(&run)).expect("sound");
        assert!(config.manifest == Some(signed));
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_not_shown() {
        let folder = federation();
        fs::write(
            folder.path().join("coordinator/keys/signing.key"),
            "secret words",
        )
        .expect("written");
        let text = refusal(&folder).to_string();
        assert!(
            text.contains("keys/signing.key") && !text.contains("secret words"),
            "{text}"
        );
        let folder = federation();
        fs::write(folder.path().join("coordinator/ca.crt"), "no certificate").expect("written");
        assert!(matches!(
            refusal(&folder),
            CredentialsError::File(KeyFileError::Certificate {
                setting: "keys.ca_certificate",
                ..
            })
        ));
    }

    #[test]
    fn keys_of_another_federation_are_refused() {
        let (folder, other) = (federation(), federation());
        for (names, key) in [
            (&["signing.key"][..], "keys.signing_key"),
            (&["operator.key"], "keys.operator_key"),
            (&["tls.key", "tls.crt"], "keys.tls_certificate"),
        ] {
            let path =
                |folder: &TempDir, name: &str| folder.path().join("coordinator/keys").join(name);
            let own: Vec<_> = names
                .iter()
                .map(|name| fs::read(path(&folder, name)).expect("a file"))
                .collect();
            for name in names {
                fs::copy(path(&other, name), path(&folder, name)).expect("copied");
            }
            match refusal(&folder) {
                CredentialsError::NotOnRoster { key: named, .. } => assert_eq!(named, key),
                error => panic!("{error}"),
            }
            for (name, bytes) in names.iter().zip(own) {
                fs::write(path(&folder, name), bytes).expect("written");
            }
        }
        assert!(read_back(&folder).is_ok());
    }

    #[test]
    fn two_hospitals_with_the_same_number_are_refused() {
        let folder = federation();
        alter_roster(&folder, |roster| roster["hospitals"][1]["id"] = 1.into());
        let error = refusal(&folder);
        assert!(
            matches!(
                error,
                CredentialsError::File(KeyFileError::Roster {
                    source: RosterError::DuplicateId { .. },
                    ..
                })
            ),
            "{error}"
        );
        assert!(error.to_string().contains("roster.json"));
    }

    #[test]
    fn a_roster_changed_after_it_was_signed_is_refused() {
        let folder = federation();
        alter_roster(&folder, |roster| {
            roster["hospitals"][0]["name"] = "another".into()
        });
        assert!(matches!(
            refusal(&folder),
            CredentialsError::File(KeyFileError::Roster {
                source: RosterError::Unsigned { .. },
                ..
            })
        ));
    }
}
