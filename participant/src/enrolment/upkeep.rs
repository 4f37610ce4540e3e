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
        self.validity = validity;
        match self.replace() {
            Ok(()) => tracing::info!(
                "this hospital's certificate is another one by now: it is used from the next connection on"
            ),
            Err(error) => tracing::warn!(
                "the certificate that lies there by now is not used, but the one before: {:#}",
                anyhow::Error::from(error)
            ),
        }
    }

    fn replace(&self) -> Result<(), NotUsed> {
        let key = NamedFile::new("keys.tls_key", &self.settings.keys.tls_key);
        Ok(self.shown.replace(&self.certificate().tls_identity(key)?)?)
    }
}

const OF_COORDINATOR: &str =
    "its operator starts the coordinator again, which renews it; coordinator doctor says more";
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
