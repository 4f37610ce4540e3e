//! Files of keys and certificates: there, for their owner alone, a pair, and valid for a while yet.

use std::{
    fs::{self, File},
    time::SystemTime,
};

use super::{Check, utc};
use crate::{
    certificate_end::{CertificateEnd, Urgency},
    key_files::{KeyFileError, NamedFile},
};

/// An error with its causes.
pub fn told(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

/// A private key's file can be read, and by its owner alone. The check has the setting's name.
pub fn key_file(file: NamedFile<'_>) -> Check {
    let NamedFile { setting, path } = file;
    let about = match File::open(path).and_then(|file| file.metadata()) {
        Ok(about) => about,
        Err(source) => {
            let path = path.to_owned();
            return Check::failed(
                setting,
                told(KeyFileError::File {
                    setting,
                    path,
                    source,
                }),
                "set the path right, or the rights of the file and its folder for the user of this program",
            );
        }
    };
    let path = path.display();
    let mode = mode_of(&about);
    let remedy = format!("chmod 600 {path}");
    match mode & 0o777 {
        mode if mode & 0o007 != 0 => Check::failed(
            setting,
            format!("{path} has mode {mode:04o}: every user of this machine can use this key"),
            format!("{remedy}; if others have had access, make new keys"),
        ),
        mode if mode & 0o070 != 0 => Check::weakened(
            setting,
            format!("{path} has mode {mode:04o}: its group can use this key"),
            format!("{remedy} (a copy that systemd has made in /run/credentials is well as it is)"),
        ),
        _ => Check::good(setting, format!("{path}, for its owner alone")),
    }
}

#[cfg(unix)]
fn mode_of(about: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&about.permissions())
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u32 {
    0
}

/// A certificate is one, belongs to `key`, and is valid at `now`. `renewal` says how there will be another one. The check has the
/// setting's name.
pub fn certificate(
    file: NamedFile<'_>,
    key: Option<NamedFile<'_>>,
    now: SystemTime,
    renewal: &str,
) -> Check {
    let setting = file.setting;
    if let Some(key) = key
        && let Err(error) = file.tls_identity(key)
    {
        return Check::failed(
            setting,
            told(error),
            "put both files back as they were made: they are a pair",
        );
    }
    match file.validity() {
        Ok(validity) => dates(setting, validity, now, renewal),
        Err(error) => Check::failed(
            setting,
            told(error),
            "put the file back, or set its path right",
        ),
    }
}

fn dates(
    name: &'static str,
    (from, until): (SystemTime, SystemTime),
    now: SystemTime,
    renewal: &str,
) -> Check {
    let (since, end, here) = (utc(from), utc(until), utc(now));
    if now < from {
        return Check::failed(
            name,
            format!(
                "the certificate is valid from {since} on, and the clock of this machine says {here}"
            ),
            "set the clock of this machine right; if it is right, that of whoever issued the certificate is wrong",
        );
    }
    match CertificateEnd::near(until, now) {
        None => Check::good(name, format!("valid until {end}")),
        Some(near) if near.urgency() == Urgency::Over => Check::failed(
            name,
            format!(
                "the certificate has expired: it was valid until {end}, and the clock of this machine says {here}"
            ),
            format!("if the clock is right: {renewal}"),
        ),
        Some(near) => Check::warning(
            name,
            format!("the certificate {}", near.words()),
            format!("{}: {renewal}", near.how_soon()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use protocol::HospitalId;
    use transport::certificates::Authority;

    use super::*;
    use crate::{doctor::Finding, key_files::write_private};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn an_end_that_comes_near_is_told_in_time() {
        let day = 24 * 3600;
        let validity = (at(10 * day), at(100 * day));
        let found = |now| dates("certificate", validity, at(now), "renew");
        for (now, finding, words) in [
            (10 * day - 1, Finding::Failed, "clock"),
            (10 * day, Finding::Good, "valid until"),
            (70 * day - 1, Finding::Good, "valid until"),
            (70 * day, Finding::Warning, "30 days"),
            (93 * day, Finding::Warning, "7 days"),
            (99 * day, Finding::Warning, "1 day"),
            (99 * day + 3600, Finding::Warning, "23 hours"),
            (100 * day + 1, Finding::Failed, "expired"),
        ] {
            let check = found(now);
            assert_eq!(check.finding, finding, "{check:?}");
            assert!(check.found.contains(words), "{check:?}");
        }
        let remedy = |now| found(now).remedy.expect("one");
        assert!(remedy(70 * day).starts_with("renew it this month"));
        assert!(remedy(93 * day).starts_with("renew it this week"));
        assert!(remedy(99 * day).starts_with("renew it today"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_named() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("signing.key");
        let look = || key_file(NamedFile::new("keys.signing_key", &path));
        assert_eq!(look().finding, Finding::Failed);
        write_private(&path, b"secret").expect("written");
        for (mode, finding) in [
            (0o600, Finding::Good),
            (0o640, Finding::Weakened),
            (0o644, Finding::Failed),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let check = look();
            assert_eq!(check.finding, finding, "{check:?}");
            assert!(check.found.contains("signing.key"), "{check:?}");
        }
    }

    #[test]
    fn a_certificate_with_another_key_or_none_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate_path, key_path) =
            (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let authority = Authority::generate("test").expect("an authority");
        let issue = |id| {
            let id = HospitalId::new(id).expect("in range");
            authority.issue_hospital(id).expect("issued")
        };
        let (first, second) = (issue(1), issue(2));
        let file = NamedFile::new("keys.tls_certificate", &certificate_path);
        let key = NamedFile::new("keys.tls_key", &key_path);
        let look = || certificate(file, Some(key), SystemTime::now(), "renew").finding;
        assert_eq!(look(), Finding::Failed);
        fs::write(&certificate_path, first.certificate_pem).expect("written");
        write_private(&key_path, first.key_pem.as_bytes()).expect("written");
        assert_eq!(look(), Finding::Good);
        fs::write(&key_path, second.key_pem.as_bytes()).expect("written");
        assert_eq!(look(), Finding::Failed);
    }
}
