//! A demo federation as folders: one for the coordinator, one for each hospital, each with what that party alone would have.
//!
//! ```text
//! DIR/coordinator/   coordinator.toml  roster.json  ca.crt  keys/{signing.key, operator.key, tls.crt, tls.key}
//! DIR/hospital-1/    participant.toml  roster.json  ca.crt  keys/{signing.key, tls.crt, tls.key}  data/  README.txt
//! DIR/hospital-2/    ...
//! ```

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crypto::sealed_sum::HospitalId;
use host::participant_file::{of_demo, participant_file};

use super::{Demo, Party};
use crate::{
    new_folder::{
        FolderError, at, make_folder, refuse_unless_empty, write, write_secret, write_signing_key,
    },
    settings,
};

impl Demo {
    /// Writes the folders into `directory`, which must be empty or not exist. Private keys can be read by their owner alone.
    ///
    /// All or nothing: the folders are made beside `directory` and take its place once they are complete.
    ///
    /// # Errors
    /// [`FolderError`] names the path.
    pub fn write(&self, directory: &Path) -> Result<(), FolderError> {
        refuse_unless_empty(directory)?;
        let workplace = Workplace::beside(directory)?;
        self.write_coordinator(&workplace.0.join("coordinator"))?;
        for (&id, party) in &self.hospitals {
            self.write_hospital(id, party, &workplace.0.join(format!("hospital-{id}")))?;
        }
        workplace.move_to(directory)
    }

    fn write_coordinator(&self, folder: &Path) -> Result<(), FolderError> {
        self.write_party(&self.coordinator, folder)?;
        write_signing_key(&folder.join("keys/operator.key"), &self.operator_key)?;
        let text = settings::template(self.place.listen, None);
        write(&folder.join("coordinator.toml"), text.as_bytes())
    }

    fn write_hospital(
        &self,
        id: HospitalId,
        party: &Party,
        folder: &Path,
    ) -> Result<(), FolderError> {
        self.write_party(party, folder)?;
        make_folder(&folder.join("data"))?;
        write(&folder.join("README.txt"), README.as_bytes())?;
        let name = self
            .place
            .server_names
            .first()
            .expect("a certificate was issued for it");
        let text = participant_file(id, &self.place.dialled_address(), name);
        let text = of_demo(&text, self.hospitals.len());
        write(&folder.join("participant.toml"), text.as_bytes())
    }

    /// What every party's folder holds.
    fn write_party(&self, party: &Party, folder: &Path) -> Result<(), FolderError> {
        let keys = folder.join("keys");
        make_folder(&keys)?;
        write(
            &folder.join("roster.json"),
            self.roster_file.to_json().as_bytes(),
        )?;
        write(&folder.join("ca.crt"), self.ca_certificate_pem.as_bytes())?;
        write_signing_key(&keys.join("signing.key"), &party.signing_key)?;
        write(&keys.join("tls.crt"), party.tls.certificate_pem.as_bytes())?;
        write_secret(&keys.join("tls.key"), party.tls.key_pem.as_bytes())
    }
}

/// A folder in the making; removed again unless it is moved to its place.
struct Workplace(PathBuf);

impl Workplace {
    fn beside(directory: &Path) -> Result<Self, FolderError> {
        let mut name = OsString::from(".");
        name.push(directory.file_name().unwrap_or("demo".as_ref()));
        name.push(format!(".{}.partial", std::process::id()));
        let parent = parent(directory);
        make_folder(parent)?;
        let path = parent.join(name);
        // An earlier process with the same number may have been killed before it could remove it.
        let _ = fs::remove_dir_all(&path);
        make_folder(&path)?;
        Ok(Self(path))
    }

    fn move_to(self, directory: &Path) -> Result<(), FolderError> {
        // Only an empty folder can be removed so: what somebody else has put there meanwhile stays.
        if directory.exists() {
            fs::remove_dir(directory).map_err(at(directory))?;
        }
        fs::rename(&self.0, directory).map_err(at(directory))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // After a move there is nothing left here; after a failure nothing half-written stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn parent(directory: &Path) -> &Path {
    match directory.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

const README: &str = "\
This folder holds everything of one hospital. Its keys never leave it.

Put a data set in MS60 layout into data/, or set `data` in participant.toml to its folder. Then run

    participant run --config participant.toml

The run starts when every hospital of the roster has joined.
";

#[cfg(test)]
mod tests {
    use protocol::roster::Roster;
    use transport::tls::TlsIdentity;

    use super::*;
    use crate::{demo::Place, settings::Settings};

    fn demo() -> Demo {
        Demo::generate(3, Place::default()).expect("three hospitals")
    }

    #[test]
    fn every_folder_can_be_read_back() {
        let demo = demo();
        let outside = tempfile::tempdir().expect("a folder");
        let directory = outside.path().join("new/federation");
        demo.write(&directory).expect("written");
        assert_eq!(
            fs::read_dir(outside.path().join("new"))
                .expect("a folder")
                .count(),
            1
        );
        for folder in ["coordinator", "hospital-1", "hospital-2", "hospital-3"] {
            let folder = directory.join(folder);
            let text = |name: &str| fs::read_to_string(folder.join(name)).expect("a file");
            let roster = Roster::from_json(&text("roster.json")).expect("a sound roster");
            assert_eq!(roster.hash(), demo.roster.hash());
            TlsIdentity::from_pem(&text("keys/tls.crt"), &text("keys/tls.key")).expect("a pair");
        }
        let third = directory.join("hospital-3/participant.toml");
        let settings: toml::Table = fs::read_to_string(third)
            .expect("a file")
            .parse()
            .expect("TOML");
        assert_eq!(settings["hospital"].as_integer(), Some(3));
        assert_eq!(
            settings["coordinator"]["address"].as_str(),
            Some("127.0.0.1:7443")
        );
        assert_eq!(
            settings["coordinator"]["server_name"].as_str(),
            Some("localhost")
        );
        assert_eq!(settings["policy"]["approval"].as_str(), Some("automatic"));
        for key in [
            "signing_key",
            "tls_certificate",
            "tls_key",
            "ca_certificate",
        ] {
            let path = settings["keys"][key].as_str().expect("a path");
            assert!(directory.join("hospital-3").join(path).is_file(), "{path}");
        }
        assert_eq!(
            fs::read_dir(directory.join("hospital-3/data"))
                .expect("a folder")
                .count(),
            0
        );
        let settings = Settings::load(&directory.join("coordinator/coordinator.toml"), [], &[])
            .expect("sound settings");
        let config = settings.service_config(None).expect("sound credentials");
        assert_eq!(config.roster.hash(), demo.roster.hash());
    }

    #[cfg(unix)]
    #[test]
    fn private_keys_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().expect("a folder");
        demo()
            .write(directory.path())
            .expect("an empty folder is taken");
        let keys = [
            "coordinator/keys/signing.key",
            "coordinator/keys/operator.key",
            "coordinator/keys/tls.key",
            "hospital-2/keys/signing.key",
            "hospital-2/keys/tls.key",
        ];
        for key in keys {
            let mode = fs::metadata(directory.path().join(key))
                .expect("a file")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        let operator = "hospital-1/keys/operator.key";
        assert!(
            !directory.path().join(operator).exists(),
            "a hospital has no key but its own"
        );
    }

    #[test]
    fn what_is_there_already_stays_as_it_was() {
        let directory = tempfile::tempdir().expect("a folder");
        fs::write(directory.path().join("mine"), "mine").expect("a file");
        let error = demo().write(directory.path()).expect_err("not empty");
        assert!(matches!(error, FolderError::NotEmpty { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(&directory.path().display().to_string())
        );
        assert_eq!(fs::read_dir(directory.path()).expect("a folder").count(), 1);
        let error = demo()
            .write(&directory.path().join("mine"))
            .expect_err("a file");
        assert!(matches!(error, FolderError::NotAFolder { .. }), "{error}");
    }
}
