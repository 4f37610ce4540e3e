//! Certificates while a participant runs: a renewed one is used without a restart, and one that ends soon is told once a day.

use std::{
    convert::Infallible,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use host::{
    certificate_end::{CertificateEnd, TOLD_EVERY},
    key_files::{KeyFileError, NamedFile},
};
use tokio::time::sleep;
use transport::{certificates::CertificateError, tls::ShownCertificate};

use crate::{settings::Settings, way_out::CoordinatorsCertificate};

/// Looks after this hospital's certificate, and keeps an eye on the coordinator's.
pub struct Upkeep {
    settings: Settings,
    /// The settings file, for the commands that the log names.
    config: PathBuf,
    shown: ShownCertificate,
    /// From when and until when the one that is shown is valid.
    validity: Option<(SystemTime, SystemTime)>,
    /// The same of the last one that was not used, which is told once.
    refused: Option<(SystemTime, SystemTime)>,
    coordinators: CoordinatorsCertificate,
}

/// Why the file of a certificate is not used in the place of the one before.
#[derive(Debug, thiserror::Error)]
enum NotUsed {
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Upkeep {
    /// Of the certificate that the settings name, which was read in this moment for `shown`.
    pub fn new(
        settings: Settings,
        config: PathBuf,
        shown: ShownCertificate,
        coordinators: CoordinatorsCertificate,
    ) -> Self {
        let mut upkeep = Self {
            settings,
            config,
            shown,
            validity: None,
            refused: None,
            coordinators,
        };
        upkeep.validity = upkeep.certificate().validity().ok();
        upkeep
    }

    /// Goes on until it is dropped. What the start has looked after is due again after a day.
    pub async fn run(mut self) -> Infallible {
        let mut looked_after = Instant::now();
        let mut told_of_coordinator: Option<Instant> = None;
        loop {
            if looked_after.elapsed() >= TOLD_EVERY {
                looked_after = Instant::now();
                self.settings.look_after_certificate(&self.config).await;
            }
            self.show_renewed();
            if told_of_coordinator.is_none_or(|told| told.elapsed() >= TOLD_EVERY)
                && let Some(until) = self.coordinators.valid_until()
            {
                told_of_coordinator = Some(Instant::now());
                if let Some(end) = CertificateEnd::near(until, SystemTime::now()) {
                    end.tell("the coordinator's certificate", OF_COORDINATOR);
                }
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    fn certificate(&self) -> NamedFile<'_> {
        NamedFile::new("keys.tls_certificate", &self.settings.keys.tls_certificate)
    }

    /// The next handshake shows what lies in the file by now.
    fn show_renewed(&mut self) {
        let validity = self.certificate().validity().ok();
        // A file that is away, or half written, is looked at again.
        if validity.is_none() || validity == self.validity {
            return;
        }
        match self.replace() {
            Ok(()) => {
                self.validity = validity;
                tracing::info!(
                    "this hospital's certificate is another one by now: it is used from the next connection on"
                );
            }
            // It may be only half there: it is tried again.
            Err(error) if self.refused != validity => {
                self.refused = validity;
                tracing::warn!(
                    "the certificate that lies there by now is not used, but the one before: {:#}",
                    anyhow::Error::from(error)
                );
            }
            Err(_) => {}
        }
    }

    fn replace(&self) -> Result<(), NotUsed> {
        let keys = &self.settings.keys;
        let key = NamedFile::new("keys.tls_key", &keys.tls_key);
        let authority = NamedFile::new("keys.ca_certificate", &keys.ca_certificate).authority()?;
        let renewed = self.certificate().tls_identity(key)?;
        Ok(self.shown.replace(&renewed, &authority)?)
    }
}

const OF_COORDINATOR: &str =
    "its operator starts the coordinator again, which renews it; coordinator doctor says more";
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::fs;

    use coordinator::demo::{Demo, Place};
    use transport::{
        certificate_requests::{Role, certificate_request},
        certificates::Authority,
    };

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_renewed_certificate_is_shown_and_that_of_another_key_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let demo = Demo::generate(2, Place::default()).expect("two hospitals");
        demo.write(folder.path()).expect("written");
        let hospital = |number: u8, file: &str| {
            let keys = folder.path().join(format!("hospital-{number}/keys"));
            keys.join(file)
        };
        let file = folder.path().join("hospital-1/participant.toml");
        let settings = Settings::load(&file, [], &[]).expect("sound settings");
        let shown = settings.credentials().expect("sound").dialer;
        let shown = shown.shown_certificate();
        let mut upkeep = Upkeep::new(settings, file, shown, CoordinatorsCertificate::default());
        let first = upkeep.validity;
        assert!(first.is_some());
        upkeep.show_renewed();
        assert_eq!(upkeep.validity, first);

        let key = fs::read_to_string(hospital(1, "tls.key")).expect("a key");
        let (request, _) = certificate_request(&key).expect("a request");
        let now = SystemTime::now();
        let issue = |authority: &Authority, until| {
            let role = Role::Hospital("one");
            let issued = authority.certify(&request, &role, now, until);
            let renewed = issued.expect("issued").certificate_pem;
            fs::write(hospital(1, "tls.crt"), renewed).expect("written");
        };
        // One of another authority would not be let in.
        let another = Authority::generate("another").expect("an authority");
        issue(&another, now + 365 * DAY);
        upkeep.show_renewed();
        assert_eq!(upkeep.validity, first);
        assert!(upkeep.refused.is_some());
        // Half of one is looked at again when it is whole.
        let authority = Authority::generate("ours").expect("an authority");
        let trusted = &upkeep.settings.keys.ca_certificate;
        fs::write(trusted, authority.certificate_pem()).expect("written");
        issue(&authority, now + 300 * DAY);
        let whole = fs::read(hospital(1, "tls.crt")).expect("a certificate");
        fs::write(hospital(1, "tls.crt"), &whole[..whole.len() / 2]).expect("written");
        upkeep.show_renewed();
        assert_eq!(upkeep.validity, first);
        fs::write(hospital(1, "tls.crt"), whole).expect("written");
        upkeep.show_renewed();
        assert_ne!(upkeep.validity, first);

        for file in ["tls.crt", "tls.key"] {
            fs::copy(hospital(2, file), hospital(1, file)).expect("copied");
        }
        assert!(matches!(
            upkeep.replace(),
            Err(NotUsed::Certificate(CertificateError::OtherKey))
        ));
    }
}
