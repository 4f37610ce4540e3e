//! Roster, keys and certificates: sound by themselves, and those of one federation.

use std::{path::Path, time::SystemTime};

use host::{
    doctor::{Check, Finding, certificate, key_file, told},
    key_files::NamedFile,
};
use participant::settings::{Credentials, CredentialsError, Settings};
use protocol::counted::counted;

/// With what is needed to reach the coordinator, if all is there.
pub fn look(
    settings: &Settings,
    file: &Path,
    now: SystemTime,
) -> (Vec<Check>, Option<Credentials>) {
    let keys = &settings.keys;
    let tls_key = NamedFile::new("keys.tls_key", &keys.tls_key);
    let renewal = format!(
        "participant keys renew --config {} (participant run does it at a start in the last 30 days)",
        file.display()
    );
    let mut checks = vec![
        roster(settings, file),
        key_file(NamedFile::new("keys.signing_key", &keys.signing_key)),
        key_file(tls_key),
        certificate(
            NamedFile::new("keys.tls_certificate", &keys.tls_certificate),
            Some(tls_key),
            now,
            &renewal,
        ),
        certificate(
            NamedFile::new("keys.ca_certificate", &keys.ca_certificate),
            None,
            now,
            "ask the coordinator's operator: the federation needs another authority",
        ),
    ];
    let has_failed = checks.iter().any(|check| check.finding == Finding::Failed);
    match settings.credentials() {
        Ok(credentials) => {
            checks.push(Check::good(MEMBERSHIP, membership(&credentials)));
            (checks, Some(credentials))
        }
        // Told already, of the file.
        Err(CredentialsError::File(_)) if has_failed => (checks, None),
        Err(error) => {
            checks.push(Check::failed(
                MEMBERSHIP,
                told(error),
                "put keys, certificates and roster of one federation together; if the roster has changed: participant roster fetch",
            ));
            (checks, None)
        }
    }
}

fn roster(settings: &Settings, file: &Path) -> Check {
    match NamedFile::new(ROSTER, &settings.roster).roster() {
        Ok(roster) => Check::good(
            ROSTER,
            format!(
                "epoch {}, {}; its fingerprint, to be compared by telephone: {}",
                roster.epoch(),
                counted(roster.size(), ["hospital", "hospitals"]),
                roster.fingerprint()
            ),
        ),
        Err(error) => Check::failed(
            ROSTER,
            told(error),
            format!(
                "a hospital that has just joined looks at the first roster and signs it: participant roster show --config {0}; once it is \
                 published, participant run fetches it, and: participant roster fetch --config {0}; else put the file back",
                file.display()
            ),
        ),
    }
}

fn membership(credentials: &Credentials) -> String {
    let identity = &credentials.identity;
    let name = identity.roster.member(identity.id);
    let name = name.map_or("", |member| member.name.as_str());
    format!(
        "hospital {} ({name}), with the keys that the roster lists",
        identity.id
    )
}

const ROSTER: &str = "roster";
const MEMBERSHIP: &str = "membership";
