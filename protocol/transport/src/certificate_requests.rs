//! Certificates for keys that their owners have made: a party sends a request (PKCS #10) and keeps its key, the authority issues and
//! renews for some time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::{Zeroize, Zeroizing};

use super::certificates::{Authority, CertificateError, KeyFingerprint, parameters};

/// A fresh ECDSA P-256 key, PKCS #8 in PEM, for a file that its owner alone can read.
///
/// # Errors
/// [`CertificateError::Issue`] if the operating system gives no randomness.
pub fn new_key() -> Result<Zeroizing<String>, CertificateError> {
    let mut key = KeyPair::generate()?;
    let pem = Zeroizing::new(key.serialize_pem());
    key.zeroize();
    Ok(pem)
}

/// The request for a certificate of this key (PEM), in DER, and the key's fingerprint. Nothing in it is secret; the authority decides
/// what the certificate says.
///
/// # Errors
/// [`CertificateError::PrivateKey`].
pub fn certificate_request(key_pem: &str) -> Result<(Vec<u8>, KeyFingerprint), CertificateError> {
    let mut key = KeyPair::from_pem(key_pem).map_err(|_| CertificateError::PrivateKey)?;
    let request = CertificateParams::default().serialize_request(&key);
    let fingerprint = KeyFingerprint::of_key(&key);
    key.zeroize();
    Ok((request?.der().to_vec(), fingerprint))
}

/// What a certificate is for.
pub enum Role<'a> {
    /// A coordinator that is reached under these DNS names and IP addresses.
    Coordinator(&'a [String]),
    /// A hospital, by its name, which is there for people to read.
    Hospital(&'a str),
}

/// A certificate for a key that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// PEM.
    pub certificate_pem: String,
    /// Of the key in it.
    pub fingerprint: KeyFingerprint,
}

/// The fingerprint of the key in a request, once its signature shows that its sender has the key.
///
/// # Errors
/// [`CertificateError::Request`].
pub fn requested_key(request: &[u8]) -> Result<KeyFingerprint, CertificateError> {
    parsed(request).map(|request| KeyFingerprint::of_key(&request.public_key))
}

fn parsed(request: &[u8]) -> Result<CertificateSigningRequestParams, CertificateError> {
    CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
        .map_err(|_| CertificateError::Request)
}

impl Authority {
    /// Issues a certificate for the key of `request` (DER), valid from a day before `now` to `until`. Nothing but the key is taken from
    /// the request.
    ///
    /// # Errors
    /// [`CertificateError::Request`]; [`CertificateError::NoNames`] and [`CertificateError::Issue`] when a name cannot stand in a
    /// certificate.
    pub fn certify(
        &self,
        request: &[u8],
        role: &Role<'_>,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Certified, CertificateError> {
        let request = parsed(request)?;
        let mut params = match role {
            Role::Coordinator([]) => return Err(CertificateError::NoNames),
            Role::Coordinator(names) => {
                let mut params = parameters("coordinator");
                params.subject_alt_names = CertificateParams::new(*names)?.subject_alt_names;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params
            }
            Role::Hospital(name) => {
                let mut params = parameters(name);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                params
            }
        };
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now).saturating_sub(CLOCK_ERROR);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(until);
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key)?;
        let certificate = params.signed_by(&request.public_key, &issuer)?;
        Ok(Certified {
            certificate_pem: certificate.pem(),
            fingerprint: KeyFingerprint::of_key(&request.public_key),
        })
    }
}

/// Until when the first certificate of a PEM text is valid.
///
/// # Errors
/// [`CertificateError::Certificate`] if there is none.
pub fn valid_until(pem: &str) -> Result<SystemTime, CertificateError> {
    validity(pem).map(|(_, until)| until)
}

/// From when and until when the first certificate of a PEM text is valid.
///
/// # Errors
/// [`CertificateError::Certificate`] if there is none.
pub fn validity(pem: &str) -> Result<(SystemTime, SystemTime), CertificateError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CertificateError::Certificate)?;
    validity_of(&der)
}

pub(super) fn validity_of(
    certificate: &CertificateDer<'_>,
) -> Result<(SystemTime, SystemTime), CertificateError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateError::Certificate)?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
    let validity = parsed.validity();
    Ok((
        time(validity.not_before.timestamp()),
        time(validity.not_after.timestamp()),
    ))
}

/// Whole seconds, as certificates have them.
fn since_1970(time: SystemTime) -> Duration {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(since.as_secs())
}

/// A hospital's clock may be slow by so much.
const CLOCK_ERROR: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsIdentity;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_certificate_fits_the_key_that_stayed_where_it_was_and_can_be_renewed() {
        let authority = Authority::generate("trial").expect("generated");
        let key = new_key().expect("a key");
        let (request, fingerprint) = certificate_request(&key).expect("a request");
        assert_eq!(requested_key(&request).expect("sound"), fingerprint);
        let now = SystemTime::now();
        let certify = |until| {
            let role = Role::Hospital("St. Mary's, Århus");
            authority
                .certify(&request, &role, now, until)
                .expect("issued")
        };
        let (first, second) = (certify(now + 30 * DAY), certify(now + 400 * DAY));
        for issued in [&first, &second] {
            assert_eq!(issued.fingerprint, fingerprint);
            let identity = TlsIdentity::from_pem(&issued.certificate_pem, &key);
            assert_eq!(identity.expect("they fit").fingerprint(), fingerprint);
        }
        let until = valid_until(&first.certificate_pem).expect("a certificate");
        let expected = now + 30 * DAY;
        let difference = expected.duration_since(until).expect("cut to seconds");
        assert!(difference < Duration::from_secs(1));
        assert!(valid_until(&second.certificate_pem).expect("a certificate") > until);
    }

    #[test]
    fn a_request_that_was_altered_or_is_none_is_refused() {
        let authority = Authority::generate("trial").expect("generated");
        let (request, _) = certificate_request(&new_key().expect("a key")).expect("a request");
        let now = SystemTime::now();
        let role = Role::Hospital("one");
        for position in 0..request.len() {
            let mut altered = request.clone();
            altered[position] ^= 1;
            // A bit in the encoding of the signature may be one that does not count; the key is another's in no case.
            if let Ok(issued) = authority.certify(&altered, &role, now, now + DAY) {
                assert_eq!(issued.fingerprint, requested_key(&request).expect("sound"));
            }
        }
        for bytes in [&b""[..], b"nonsense", &request[..request.len() / 2]] {
            assert!(matches!(
                authority.certify(bytes, &role, now, now + DAY),
                Err(CertificateError::Request)
            ));
        }
        let nameless = Role::Coordinator(&[]);
        assert!(matches!(
            authority.certify(&request, &nameless, now, now + DAY),
            Err(CertificateError::NoNames)
        ));
    }
}
