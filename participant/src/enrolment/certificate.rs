//! This hospital's own certificate: when it ends, and how it is renewed for the same key.

use std::{path::Path, time::SystemTime};

use host::{
    certificate_end::CertificateEnd,
    key_files::{KeyFileError, NamedFile},
    replaced_file::replace,
};
use protocol::{
    codec::Bytes,
    enrolment::{Ask, EnrolmentReply},
    identity::SigningKey,
};
use transport::{
    TransportError,
    certificate_requests::{certificate_request, valid_until},
    certificates::{CertificateError, KeyFingerprint},
    tls::TlsIdentity,
};

use super::{DeskError, MemberDesk, RosterFiles};
use crate::settings::Settings;

impl Settings {
    /// The coordinator's desk for this hospital.
    ///
    /// # Errors
    /// [`RenewError`].
    pub fn desk<'a>(&self, key: &'a SigningKey) -> Result<MemberDesk<'a>, RenewError> {
        let certificate =
            NamedFile::new("keys.ca_certificate", &self.keys.ca_certificate).text()?;
        let authority = KeyFingerprint::of_certificate_pem(&certificate)?;
        let place = &self.coordinator;
        Ok(MemberDesk::new(
            &place.address,
            &place.server_name,
            authority,
            key,
        )?)
    }

    /// This hospital's rosters.
    ///
    /// # Errors
    /// [`RenewError::File`].
    pub fn roster_files(&self, key: &SigningKey) -> Result<RosterFiles, RenewError> {
        let keys = &self.keys;
        let identity = NamedFile::new("keys.tls_certificate", &keys.tls_certificate)
            .tls_identity(NamedFile::new("keys.tls_key", &keys.tls_key))?;
        let tls_fingerprint = *identity.fingerprint().as_bytes();
        Ok(RosterFiles::new(
            &self.roster,
            self.hospital,
            key.public(),
            tls_fingerprint,
        ))
    }

    /// Has the coordinator issue another certificate for this hospital's TLS key, and puts it in the place of the one that is there. Gives
    /// until when it is valid. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`RenewError`]; then the old one is there still.
    pub async fn renew_certificate(&self) -> Result<SystemTime, RenewError> {
        let keys = &self.keys;
        let key = NamedFile::new("keys.signing_key", &keys.signing_key).signing_key()?;
        let tls_key = NamedFile::new("keys.tls_key", &keys.tls_key).private_text()?;
        let (certificate_request, _) = certificate_request(&tls_key)?;
        let ask = Ask::Renew {
            certificate_request: Bytes(certificate_request),
        };
        let certificate = match self.desk(&key)?.ask(ask).await? {
            EnrolmentReply::Certificate { certificate, .. } => certificate.0,
            _ => return Err(DeskError::OtherAnswer.into()),
        };
        TlsIdentity::from_pem(&certificate, &tls_key)?;
        let until = valid_until(&certificate)?;
        if until <= SystemTime::now() {
            return Err(RenewError::NotValidNow);
        }
        replace(&keys.tls_certificate, certificate.as_bytes()).map_err(|source| {
            RenewError::Write {
                path: keys.tls_certificate.clone(),
                source,
            }
        })?;
        Ok(until)
    }

    /// Renews a certificate that ends soon, and says in the log how long the old one holds where that cannot be done; `config` is the
    /// settings file. What goes wrong is no reason not to go on: the certificate may hold for weeks.
    pub async fn look_after_certificate(&self, config: &Path) {
        let certificate = NamedFile::new("keys.tls_certificate", &self.keys.tls_certificate);
        // A file that cannot be read is named when it is used.
        let Ok(until) = certificate.valid_until() else {
            return;
        };
        let Some(end) = CertificateEnd::near(until, SystemTime::now()) else {
            return;
        };
        match self.renew_certificate().await {
            Ok(_) => tracing::info!("this hospital's certificate was renewed"),
            Err(error) => end.tell(
                "this hospital's certificate could not be renewed now; it",
                &format!(
                    "participant keys renew --config {} ({:#})",
                    config.display(),
                    anyhow::Error::from(error)
                ),
            ),
        }
    }
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// A file that the settings name.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The certificate, or that of the authority.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The coordinator's address.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The desk.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The coordinator's clock, or this one, is wrong.
    #[error("the new certificate is not valid now; compare the clocks of both machines")]
    NotValidNow,
    /// The operating system refuses to write.
    #[error("cannot write {}", path.display())]
    Write {
        /// The path.
        path: std::path::PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}
