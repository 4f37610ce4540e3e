//! The federation's certificate authority and the certificates it issues.
//!
//! A certificate only says "this key belongs to the federation". Who the key belongs to is said by the roster, which pins
//! each party's [`KeyFingerprint`]; the common name in a certificate is there for people to read and decides nothing.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use crypto::sealed_sum::HospitalId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::{Zeroize, Zeroizing};

/// The certificate authority of one federation: its signing key and its own certificate.
///
/// Neither printable nor clonable; the key is wiped when the value is dropped. It is needed to set a federation up and to
/// admit a hospital, never while one runs.
pub struct Authority {
    pub(super) key: KeyPair,
    pub(super) certificate_pem: String,
}

impl Authority {
    /// Makes a new authority for the federation called `federation`, with a fresh ECDSA P-256 key.
    ///
    /// # Errors
    /// [`CertificateError::Issue`] if the operating system gives no randomness.
    pub fn generate(federation: &str) -> Result<Self, CertificateError> {
        let mut params = parameters(&format!("{federation} authority"));
        // Zero intermediates: this authority signs parties, not further authorities.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self {
            key,
            certificate_pem,
        })
    }

    /// Reads an authority back from what [`certificate_pem`](Self::certificate_pem) and [`key_pem`](Self::key_pem) gave.
    ///
    /// # Errors
    /// If either text is not PEM of the right kind, or the key is not the certificate's.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key_pem).map_err(|_| CertificateError::PrivateKey)?;
        let authority = Self {
            key,
            certificate_pem: certificate_pem.to_owned(),
        };
        let certificate = KeyFingerprint::of_certificate_pem(certificate_pem)?;
        if certificate != KeyFingerprint::of_key(&authority.key) {
            return Err(CertificateError::KeyMismatch);
        }
        Ok(authority)
    }

    /// The authority's own certificate: what every party has as `ca_certificate`.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key (PKCS #8), for a file that only the operator can read.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }

    /// Issues the coordinator's certificate, valid for `names`: DNS names and IP addresses under which hospitals reach it.
    ///
    /// # Errors
    /// [`CertificateError::NoNames`] if `names` is empty, [`CertificateError::Issue`] if one is not a DNS name or an address.
    pub fn issue_coordinator(
        &self,
        names: &[String],
    ) -> Result<IssuedCertificate, CertificateError> {
        if names.is_empty() {
            return Err(CertificateError::NoNames);
        }
        let mut params = parameters("coordinator");
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// Issues a hospital's certificate, with the common name "hospital-7" for people to read.
    ///
    /// # Errors
    /// [`CertificateError::Issue`] if the operating system gives no randomness.
    pub fn issue_hospital(
        &self,
        hospital: HospitalId,
    ) -> Result<IssuedCertificate, CertificateError> {
        let mut params = parameters(&format!("hospital-{}", hospital.get()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<IssuedCertificate, CertificateError> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key)?;
        let mut key = KeyPair::generate()?;
        let issued = params
            .signed_by(&key, &issuer)
            .map(|certificate| IssuedCertificate {
                certificate_pem: certificate.pem(),
                key_pem: Zeroizing::new(key.serialize_pem()),
                fingerprint: KeyFingerprint::of_key(&key),
            });
        key.zeroize();
        Ok(issued?)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// A certificate with its private key, both as PEM, as they go into one party's folder.
///
/// Neither printable nor clonable; the key's text is wiped when the value is dropped.
pub struct IssuedCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key (PKCS #8).
    pub key_pem: Zeroizing<String>,
    /// What the roster pins for this party.
    pub fingerprint: KeyFingerprint,
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 5280, section 4.1): the name of a TLS key in the roster.
///
/// Of the key, not of the certificate, so that a certificate can be renewed without a new roster. Written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint([u8; 32]);

impl KeyFingerprint {
    /// The fingerprint of the key in a DER certificate.
    ///
    /// # Errors
    /// [`CertificateError::Certificate`] if the bytes are not an X.509 certificate.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| CertificateError::Certificate)?;
        Ok(Self::of_public_key(parsed.tbs_certificate.subject_pki.raw))
    }

    /// The fingerprint of the key in the first certificate of a PEM text.
    ///
    /// # Errors
    /// [`CertificateError::Certificate`] if there is none.
    pub fn of_certificate_pem(pem: &str) -> Result<Self, CertificateError> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| CertificateError::Certificate)?;
        Self::of_certificate(&certificate)
    }

    /// The 32 bytes, as they stand in the roster.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn of_key(key: &impl PublicKeyData) -> Self {
        Self::of_public_key(&key.subject_public_key_info())
    }

    fn of_public_key(subject_public_key_info: &[u8]) -> Self {
        let hash = digest(&SHA256, subject_public_key_info);
        Self(hash.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

impl From<[u8; 32]> for KeyFingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFingerprint({self})")
    }
}

impl FromStr for KeyFingerprint {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| CertificateError::Fingerprint)?;
        Ok(Self(bytes))
    }
}

/// Why a certificate, a key or a set of pins cannot be made or used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The text or bytes hold no X.509 certificate.
    #[error("not an X.509 certificate in PEM; expected a block \"BEGIN CERTIFICATE\"")]
    Certificate,
    /// The text holds no private key of a kind that can be used.
    #[error("not a private key in PEM; expected PKCS #8, a block \"BEGIN PRIVATE KEY\"")]
    PrivateKey,
    /// The private key and the certificate do not belong together.
    #[error(
        "the private key is not the one of the certificate; check that both files come from the same folder"
    )]
    KeyMismatch,
    /// A renewed certificate is for the same key.
    #[error(
        "the certificate is for another key than the one before: a certificate is renewed for the same key, which the roster lists"
    )]
    OtherKey,
    /// A coordinator's certificate needs a name to be reached under.
    #[error("a coordinator's certificate needs at least one DNS name or IP address")]
    NoNames,
    /// A fingerprint is written as 64 hexadecimal digits.
    #[error("a key fingerprint is 64 hexadecimal digits")]
    Fingerprint,
    /// Two hospitals of the roster have the same TLS key.
    #[error(
        "hospitals {first} and {second} have the same TLS key {fingerprint}; each needs a certificate of its own"
    )]
    SharedKey {
        /// The hospital that was listed first.
        first: HospitalId,
        /// The other one.
        second: HospitalId,
        /// The key both show.
        fingerprint: KeyFingerprint,
    },
    /// A hospital is listed twice.
    #[error("hospital {hospital} is listed twice; each id stands for one hospital")]
    DuplicateHospital {
        /// The id that occurs twice.
        hospital: HospitalId,
    },
    /// The bytes hold no certificate request, or one that its own key has not signed.
    #[error("not a certificate request (PKCS #10) signed with its own key")]
    Request,
    /// The certificate could not be made.
    #[error("cannot issue the certificate")]
    Issue(#[from] rcgen::Error),
    /// The TLS library does not take the certificates.
    #[error("cannot use the certificate")]
    Unusable(#[source] rustls::Error),
    /// The authority's certificate cannot serve as a trust root.
    #[error("cannot trust the authority's certificate")]
    Authority(#[source] rustls::Error),
}

/// What all certificates of a demo, and the authorities', have in common. Thirty years: a certificate that expires in the middle of a study helps nobody,
/// and a hospital that must go is taken off the roster.
pub(super) fn parameters(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2055, 1, 1);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hospital(id: u8) -> HospitalId {
        HospitalId::new(id).expect("a valid id")
    }

    #[test]
    fn an_authority_survives_its_files() {
        let authority = Authority::generate("trial").expect("generated");
        let again = Authority::from_pem(authority.certificate_pem(), &authority.key_pem())
            .expect("its own files");
        let issued = again.issue_hospital(hospital(7)).expect("issued");
        let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).expect("PEM");
        let (_, parsed) = X509Certificate::from_der(&der).expect("DER");
        assert_eq!(parsed.subject().to_string(), "CN=hospital-7");
        assert_eq!(parsed.issuer().to_string(), "CN=trial authority");
        let ca =
            CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).expect("PEM");
        let (_, ca) = X509Certificate::from_der(&ca).expect("DER");
        parsed
            .verify_signature(Some(ca.public_key()))
            .expect("signed by the first authority's key");
    }

    #[test]
    fn a_foreign_key_is_noticed() {
        let (one, other) = (
            Authority::generate("one").expect("generated"),
            Authority::generate("other").expect("generated"),
        );
        assert!(matches!(
            Authority::from_pem(one.certificate_pem(), &other.key_pem()),
            Err(CertificateError::KeyMismatch)
        ));
        assert!(matches!(
            Authority::from_pem("nonsense", &one.key_pem()),
            Err(CertificateError::Certificate)
        ));
        assert!(matches!(
            Authority::from_pem(one.certificate_pem(), "nonsense"),
            Err(CertificateError::PrivateKey)
        ));
    }

    /// Certificate and expected value made by OpenSSL 3:
    /// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=known`, then
    /// `openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum`.
    #[test]
    fn the_fingerprint_is_the_one_openssl_computes() {
        const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBeDCCAR2gAwIBAgIUQa3ZzcE9Ho2mXrOykqNpCYUILA4wCgYIKoZIzj0EAwIw\n\
EDEOMAwGA1UEAwwFa25vd24wIBcNMjYxMTIyMTUyOTA0WhgPMjA1NDA0MDkxNTI5\n\
MDRaMBAxDjAMBgNVBAMMBWtub3duMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
EikqVI7Tiff6QBQXkUadf0njdXLHrLYU4Khr6n9sAhoCBj9Aa24ReW0Uyjs+lkxf\n\
ZsYd9MgNO3MIm44sq3VTCqNTMFEwHQYDVR0OBBYEFGxFFnfzEo2PMS+8Q1hrZuII\n\
Rsq5MB8GA1UdIwQYMBaAFGxFFnfzEo2PMS+8Q1hrZuIIRsq5MA8GA1UdEwEB/wQF\n\
MAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAIxzflcbcqXRhvcVbTFP71hs1/TDrtoq\n\
KW6E3+sarY4IAiEAoeBLWO4QQdNa14DgTSrMxupdSkKMoOqUky2YJH0gc8U=\n\
-----END CERTIFICATE-----";
        const EXPECTED: &str = "c185c7e64d26133942e598bf64fa7061b6f22dfa32905c2763a462ced3015ad9";
        let fingerprint = KeyFingerprint::of_certificate_pem(CERTIFICATE).expect("a certificate");
        assert_eq!(fingerprint.to_string(), EXPECTED);
        assert_eq!(
            EXPECTED.parse::<KeyFingerprint>().expect("hex"),
            fingerprint
        );
    }

    #[test]
    fn an_issued_fingerprint_is_that_of_the_certificate() {
        let authority = Authority::generate("trial").expect("generated");
        let issued = authority
            .issue_coordinator(&["localhost".into(), "127.0.0.1".into()])
            .expect("issued");
        assert_eq!(
            KeyFingerprint::of_certificate_pem(&issued.certificate_pem).expect("a certificate"),
            issued.fingerprint
        );
        assert!(matches!(
            authority.issue_coordinator(&[]),
            Err(CertificateError::NoNames)
        ));
    }

    #[test]
    fn a_short_fingerprint_is_refused() {
        assert!("abcd".parse::<KeyFingerprint>().is_err());
        assert!("zz".repeat(32).parse::<KeyFingerprint>().is_err());
    }
}
