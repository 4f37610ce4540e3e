//! Roster, keys and certificates: sound by themselves, and those of one federation.

use std::time::SystemTime;

use coordinator::{
    enrolment::{RENEWAL_OF_AUTHORITY, renewal_of_own},
    settings::Settings,
};
use host::{
    doctor::{Check, Finding, certificate, key_file, told},
    key_files::NamedFile,
};
use protocol::{counted::counted, roster::Roster};

/// With the number of hospitals on the roster.
pub fn look(settings: &Settings, now: SystemTime) -> (Vec<Check>, usize) {
    let keys = &settings.keys;
    let tls_key = NamedFile::new("keys.tls_key", &keys.tls_key);
    let tls_certificate = NamedFile::new("keys.tls_certificate", &keys.tls_certificate);
    let ca_certificate = NamedFile::new("keys.ca_certificate", &keys.ca_certificate);
    let authority_key = NamedFile::new("keys.authority_key", &keys.authority_key);
    let has_authority = keys.authority_key.exists();
    let (of_roster, roster) = roster(settings, has_authority);
    let mut checks = vec![
        of_roster,
        key_file(NamedFile::new("keys.signing_key", &keys.signing_key)),
        key_file(tls_key),
    ];
    if keys.operator_key.exists() {
        checks.push(key_file(NamedFile::new(
            "keys.operator_key",
            &keys.operator_key,
        )));
    }
    if has_authority {
        checks.push(key_file(authority_key));
    }
    let renewal = renewal_of_own(settings);
    checks.push(certificate(tls_certificate, Some(tls_key), now, renewal));
    checks.push(
        match has_authority.then(|| ca_certificate.signing_authority(authority_key)) {
            Some(Err(error)) => Check::failed(
                "keys.ca_certificate",
                told(error),
                "put both files of the authority back as they were made: they are a pair",
            ),
            _ => certificate(ca_certificate, None, now, RENEWAL_OF_AUTHORITY),
        },
    );
    let hospitals = roster.as_ref().map_or(0, Roster::size);
    let has_failed = checks.iter().any(|check| check.finding == Finding::Failed);
    if let Some(roster) = roster
        && !has_failed
    {
        checks.push(membership(settings, &roster));
    }
    (checks, hospitals)
}

fn roster(settings: &Settings, has_authority: bool) -> (Check, Option<Roster>) {
    if has_authority && !settings.roster.exists() {
        let check = Check::warning(
            ROSTER,
            "there is none yet: hospitals can join, and no run can begin",
            "once all have joined: coordinator roster draft, and coordinator roster publish",
        );
        return (check, None);
    }
    match NamedFile::new(ROSTER, &settings.roster).roster() {
        Ok(roster) => {
            let check = Check::good(
                ROSTER,
                format!(
                    "epoch {}, {}; its fingerprint: {}",
                    roster.epoch(),
                    counted(roster.size(), ["hospital", "hospitals"]),
                    roster.fingerprint()
                ),
            );
            (check, Some(roster))
        }
        Err(error) => {
            let remedy = "put the file back, the same as the hospitals have";
            (Check::failed(ROSTER, told(error), remedy), None)
        }
    }
}

/// The keys are those that the roster lists. What cannot be read was told before.
fn membership(settings: &Settings, roster: &Roster) -> Check {
    let keys = &settings.keys;
    let signing = NamedFile::new("keys.signing_key", &keys.signing_key);
    let operator = NamedFile::new("keys.operator_key", &keys.operator_key);
    let identity = NamedFile::new("keys.tls_certificate", &keys.tls_certificate)
        .tls_identity(NamedFile::new("keys.tls_key", &keys.tls_key));
    let is_listed = [
        (
            signing,
            signing
                .signing_key()
                .is_ok_and(|key| key.public() == *roster.coordinator_key()),
        ),
        (
            operator,
            !keys.operator_key.exists()
                || operator
                    .signing_key()
                    .is_ok_and(|key| key.public() == *roster.operator_key()),
        ),
        (
            NamedFile::new("keys.tls_certificate", &keys.tls_certificate),
            identity.is_ok_and(|identity| {
                *identity.fingerprint().as_bytes() == roster.coordinator_tls_fingerprint()
            }),
        ),
    ];
    match is_listed.into_iter().find(|(_, is_listed)| !is_listed) {
        None => Check::good(MEMBERSHIP, "the keys are those that the roster lists"),
        Some((file, _)) => Check::failed(
            MEMBERSHIP,
            format!(
                "{} (setting `{}`) is not the one that the roster lists",
                file.path.display(),
                file.setting
            ),
            "put keys, certificates and roster of one federation together",
        ),
    }
}

const ROSTER: &str = "roster";
const MEMBERSHIP: &str = "membership";
