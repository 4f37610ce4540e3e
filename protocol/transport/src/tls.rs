//! TLS of the federation: version 1.3 only, both sides authenticated, post-quantum key exchange first.
//!
//! Each side checks two things of the other: the certificate was issued by the federation's authority, and its key is the
//! one the roster pins. The first alone would let any certificate the authority ever issued in; the second alone would do,
//! but a foreign authority is the commonest mistake in setting up and deserves a message of its own.
//!
//! Sessions are never resumed and carry no 0-RTT data: a full handshake costs a millisecond, and a resumed one would skip
//! the look into the roster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use crypto::sealed_sum::HospitalId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError as TlsCertificateError, DigitallySignedStruct, DistinguishedName, OtherError,
    RootCertStore, SignatureScheme, SupportedCipherSuite,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use zeroize::Zeroize;

use super::certificates::{CertificateError, KeyFingerprint};

/// The protocol name both sides offer in the handshake (ALPN, RFC 7301). Another wire format gets another name.
pub const APPLICATION_PROTOCOL: &[u8] = b"myelin/6";

/// The protocol name of hospitals that are not on the roster yet.
pub const ENROLMENT_PROTOCOL: &[u8] = b"myelin-enrol/1";

/// A party's own certificate chain and private key, ready to sign handshakes. Neither printable nor clonable.
pub struct TlsIdentity {
    certified: Arc<CertifiedKey>,
    fingerprint: KeyFingerprint,
}

impl TlsIdentity {
    /// Reads the party's own certificate (then any intermediates) and its PKCS #8 key.
    ///
    /// # Errors
    /// If either text is not PEM of the right kind, or the key is not the certificate's.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateError::Certificate)?;
        let own = chain.first().ok_or(CertificateError::Certificate)?;
        let fingerprint = KeyFingerprint::of_certificate(own)?;

        let mut key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|_| CertificateError::PrivateKey)?;
        let signer = aws_lc_rs::sign::any_supported_type(&key);
        key.zeroize();
        let certified = CertifiedKey::new(chain, signer.map_err(|_| CertificateError::PrivateKey)?);
        match certified.keys_match() {
            Ok(()) => Ok(Self {
                certified: Arc::new(certified),
                fingerprint,
            }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::KeyMismatch),
            Err(other) => Err(CertificateError::Unusable(other)),
        }
    }

    /// What the roster must pin for this party to be let in.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified)))
    }
}

/// The federation's certificate authority, as everyone else sees it: the setting `ca_certificate`.
#[derive(Clone)]
pub struct TrustedAuthority(Arc<RootCertStore>);

impl TrustedAuthority {
    /// Whether it has issued a hospital's certificate that is valid now.
    fn check(&self, identity: &TlsIdentity) -> Result<(), CertificateError> {
        let (certificate, others) =
            (identity.certified.cert.split_first()).ok_or(CertificateError::Certificate)?;
        issued_to_clients(self, provider())?
            .verify_client_cert(certificate, others, UnixTime::now())
            .map_err(CertificateError::Unusable)?;
        Ok(())
    }

    /// Reads the authority's certificate; several may stand in one text while one authority takes over from another.
    ///
    /// # Errors
    /// If the text holds no certificate, or one that cannot be a trust root.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|_| CertificateError::Certificate)?;
            roots
                .add(certificate)
                .map_err(CertificateError::Authority)?;
        }
        if roots.is_empty() {
            return Err(CertificateError::Certificate);
        }
        Ok(Self(Arc::new(roots)))
    }
}

/// The TLS keys of the hospitals on the roster: whose key is it, and is it one of ours?
#[derive(Clone, Debug)]
pub struct HospitalKeys(BTreeMap<KeyFingerprint, HospitalId>);

impl HospitalKeys {
    /// Takes the keys from a roster.
    ///
    /// # Errors
    /// [`CertificateError::SharedKey`] and [`CertificateError::DuplicateHospital`]: a key names one hospital, and a hospital
    /// has one key.
    pub fn new(
        keys: impl IntoIterator<Item = (HospitalId, KeyFingerprint)>,
    ) -> Result<Self, CertificateError> {
        let mut listed = BTreeSet::new();
        let mut by_key = BTreeMap::new();
        for (hospital, fingerprint) in keys {
            if !listed.insert(hospital) {
                return Err(CertificateError::DuplicateHospital { hospital });
            }
            if let Some(first) = by_key.insert(fingerprint, hospital) {
                return Err(CertificateError::SharedKey {
                    first,
                    second: hospital,
                    fingerprint,
                });
            }
        }
        Ok(Self(by_key))
    }

    /// The hospital with this key, if it is on the roster.
    pub fn hospital(&self, fingerprint: &KeyFingerprint) -> Option<HospitalId> {
        self.0.get(fingerprint).copied()
    }
}

/// What a coordinator needs to answer handshakes.
#[derive(Clone)]
pub struct CoordinatorTls {
    pub(super) config: Arc<rustls::ServerConfig>,
    pub(super) hospitals: Arc<HospitalKeys>,
}

impl CoordinatorTls {
    /// Lets in the hospitals whose certificate `authority` signed and whose key is among `hospitals`.
    ///
    /// # Errors
    /// [`CertificateError::Authority`] if the authority cannot serve as a trust root.
    pub fn new(
        identity: &TlsIdentity,
        authority: &TrustedAuthority,
        hospitals: HospitalKeys,
    ) -> Result<Self, CertificateError> {
        Self::made(identity, authority, hospitals, false)
    }

    /// The same, and lets strangers ask at the desk: see [`EnrolmentDesk`](super::EnrolmentDesk). `hospitals` may be none.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_enrolment(
        identity: &TlsIdentity,
        authority: &TrustedAuthority,
        hospitals: HospitalKeys,
    ) -> Result<Self, CertificateError> {
        Self::made(identity, authority, hospitals, true)
    }

    fn made(
        identity: &TlsIdentity,
        authority: &TrustedAuthority,
        hospitals: HospitalKeys,
        admits_strangers: bool,
    ) -> Result<Self, CertificateError> {
        let provider = provider();
        let hospitals = Arc::new(hospitals);
        let issued_by_authority = issued_to_clients(authority, provider.clone())?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(CertificateError::Unusable)?
            .with_client_cert_verifier(Arc::new(RosterVerifier {
                issued_by_authority,
                hospitals: Arc::clone(&hospitals),
                admits_strangers,
            }))
            .with_cert_resolver(identity.resolver());
        config.alpn_protocols = vec![APPLICATION_PROTOCOL.to_vec()];
        if admits_strangers {
            config.alpn_protocols.push(ENROLMENT_PROTOCOL.to_vec());
        }
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            hospitals,
        })
    }
}

/// What a participant needs to open a handshake.
#[derive(Clone)]
pub struct ParticipantTls {
    pub(super) config: Arc<rustls::ClientConfig>,
    pub(super) shown: ShownCertificate,
}

/// The certificate that a participant shows; clones share it. A renewed one takes its place while the program runs: the next handshake
/// shows it.
#[derive(Clone, Debug)]
pub struct ShownCertificate {
    certified: Arc<RwLock<Arc<CertifiedKey>>>,
    fingerprint: KeyFingerprint,
}

impl ShownCertificate {
    fn of(identity: &TlsIdentity) -> Self {
        Self {
            certified: Arc::new(RwLock::new(Arc::clone(&identity.certified))),
            fingerprint: identity.fingerprint,
        }
    }

    /// Shows this one from now on, if a coordinator that trusts this authority would let it in now.
    ///
    /// # Errors
    /// [`CertificateError::OtherKey`]: the roster pins the key. [`CertificateError::Unusable`]: of another authority, or not valid now.
    pub fn replace(
        &self,
        renewed: &TlsIdentity,
        authority: &TrustedAuthority,
    ) -> Result<(), CertificateError> {
        if renewed.fingerprint != self.fingerprint {
            return Err(CertificateError::OtherKey);
        }
        authority.check(renewed)?;
        let mut shown = self
            .certified
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *shown = Arc::clone(&renewed.certified);
        Ok(())
    }
}

impl ResolvesClientCert for ShownCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let shown = self
            .certified
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ParticipantTls {
    /// Speaks only to the coordinator whose certificate `authority` signed and whose key is `coordinator`.
    ///
    /// # Errors
    /// [`CertificateError::Authority`] if the authority cannot serve as a trust root.
    pub fn new(
        identity: &TlsIdentity,
        authority: &TrustedAuthority,
        coordinator: KeyFingerprint,
    ) -> Result<Self, CertificateError> {
        let (provider, shown) = (provider(), ShownCertificate::of(identity));
        let issued_by_authority =
            WebPkiServerVerifier::builder_with_provider(authority.0.clone(), provider.clone())
                .build()
                .map_err(|error| {
                    CertificateError::Authority(rustls::Error::General(error.to_string()))
                })?;
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(CertificateError::Unusable)?
            .dangerous() // rustls' name for any verifier of one's own; this one only adds a check.
            .with_custom_certificate_verifier(Arc::new(PinnedVerifier {
                issued_by_authority,
                coordinator,
            }))
            .with_client_cert_resolver(Arc::new(shown.clone()));
        config.alpn_protocols = vec![APPLICATION_PROTOCOL.to_vec()];
        config.enable_early_data = false;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            shown,
        })
    }
}

/// What a hospital that is not on the roster yet needs to ask at the desk.
pub(super) struct EnrolmentTls {
    pub(super) config: Arc<rustls::ClientConfig>,
}

impl EnrolmentTls {
    /// Speaks only to a coordinator whose certificate was issued by the authority with this fingerprint, and shows none itself.
    pub(super) fn new(authority: KeyFingerprint) -> Result<Self, CertificateError> {
        let provider = provider();
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(CertificateError::Unusable)?
            .dangerous() // rustls' name for any verifier of one's own; this one takes its trust root from the pinned hash.
            .with_custom_certificate_verifier(Arc::new(AuthorityVerifier {
                authority,
                provider,
            }))
            .with_no_client_auth();
        config.alpn_protocols = vec![ENROLMENT_PROTOCOL.to_vec()];
        config.enable_early_data = false;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

/// A hospital's certificate: issued by the authority, and its key on the roster. A stranger who shows none is asked by the desk who it
/// is, and gets no further.
#[derive(Debug)]
struct RosterVerifier {
    issued_by_authority: Arc<dyn ClientCertVerifier>,
    hospitals: Arc<HospitalKeys>,
    admits_strangers: bool,
}

impl ClientCertVerifier for RosterVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.admits_strangers
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.issued_by_authority.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .issued_by_authority
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(name_foreign_authority)?;
        let fingerprint = fingerprint_of(end_entity)?;
        match self.hospitals.hospital(&fingerprint) {
            Some(_) => Ok(verified),
            None => Err(not_pinned(format!(
                "the key {fingerprint} is not on the roster"
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued_by_authority
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued_by_authority
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued_by_authority.supported_verify_schemes()
    }
}

/// The coordinator's certificate: issued by the authority for the name that was dialled, and its key the pinned one.
#[derive(Debug)]
struct PinnedVerifier {
    issued_by_authority: Arc<WebPkiServerVerifier>,
    coordinator: KeyFingerprint,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .issued_by_authority
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(name_foreign_authority)?;
        let fingerprint = fingerprint_of(end_entity)?;
        if fingerprint != self.coordinator {
            return Err(not_pinned(format!(
                "it shows the key {fingerprint}, expected {}",
                self.coordinator
            )));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued_by_authority
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued_by_authority
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued_by_authority.supported_verify_schemes()
    }
}

/// The coordinator's certificate, known by the authority alone that has issued it: that one's own certificate comes along with it.
#[derive(Debug)]
struct AuthorityVerifier {
    authority: KeyFingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AuthorityVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let foreign = || rustls::Error::InvalidCertificate(TlsCertificateError::UnknownIssuer);
        let is_pinned = |certificate: &&CertificateDer<'_>| {
            fingerprint_of(certificate).is_ok_and(|fingerprint| fingerprint == self.authority)
        };
        let authority = intermediates.iter().find(is_pinned).ok_or_else(foreign)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
            .map_err(name_foreign_authority)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The hybrid group first; X25519 alone stays on offer so that a peer built without ML-KEM gets a connection and the
/// operator a choice, rather than a handshake failure nobody can read. AES-128 is there because QUIC fixes it for the
/// packets before the handshake (RFC 9001, section 5.2).
const KEY_EXCHANGE: &[&dyn SupportedKxGroup] = &[kx_group::X25519MLKEM768, kx_group::X25519];
const CIPHER_SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
];

/// Named in every configuration, never installed as the process's default: a library must not decide that for a process.
/// Looks whether the authority has issued a certificate to a client.
fn issued_to_clients(
    authority: &TrustedAuthority,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    WebPkiClientVerifier::builder_with_provider(authority.0.clone(), provider)
        .build()
        .map_err(|error| CertificateError::Authority(rustls::Error::General(error.to_string())))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: KEY_EXCHANGE.to_vec(),
        cipher_suites: CIPHER_SUITES.to_vec(),
        ..aws_lc_rs::default_provider()
    })
}

fn fingerprint_of(certificate: &CertificateDer<'_>) -> Result<KeyFingerprint, rustls::Error> {
    KeyFingerprint::of_certificate(certificate)
        .map_err(|_| rustls::Error::InvalidCertificate(TlsCertificateError::BadEncoding))
}

/// Two federations may have given their authorities one name: then the issuer is found by name and its signature is wrong.
/// That, too, is a foreign authority.
fn name_foreign_authority(error: rustls::Error) -> rustls::Error {
    match error {
        rustls::Error::InvalidCertificate(TlsCertificateError::BadSignature) => {
            rustls::Error::InvalidCertificate(TlsCertificateError::UnknownIssuer)
        }
        other => other,
    }
}

/// Becomes the alert `certificate_unknown`, which nothing else here causes: the far side can tell it from a foreign authority.
fn not_pinned(reason: String) -> rustls::Error {
    rustls::Error::InvalidCertificate(TlsCertificateError::Other(OtherError(Arc::from(Box::<
        dyn std::error::Error + Send + Sync,
    >::from(
        reason
    )))))
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;
    use rustls::quic::{ClientConnection, ServerConnection, Version};

    use super::*;
    use crate::certificates::Authority;

    /// One handshake without a socket; both ends' view of the key exchange and of the protocol.
    fn handshake(
        coordinator: &CoordinatorTls,
        participant: &ParticipantTls,
    ) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        let name = ServerName::try_from("localhost").expect("a DNS name");
        let mut client =
            ClientConnection::new(participant.config.clone(), Version::V1, name, Vec::new())?;
        let mut server =
            ServerConnection::new(coordinator.config.clone(), Version::V1, Vec::new())?;
        for _ in 0..8 {
            // Each call writes the flight of one encryption level at most.
            let mut flight = Vec::new();
            let _ = client.write_hs(&mut flight);
            server.read_hs(&flight)?;
            let mut flight = Vec::new();
            let _ = server.write_hs(&mut flight);
            client.read_hs(&flight)?;
        }
        Ok((client, server))
    }

    fn parties() -> (CoordinatorTls, ParticipantTls) {
        let authority = Authority::generate("trial").expect("generated");
        let hospital = HospitalId::new(7).expect("a valid id");
        let server = authority
            .issue_coordinator(&["localhost".to_owned()])
            .expect("issued");
        let client = authority.issue_hospital(hospital).expect("issued");
        let trusted = TrustedAuthority::from_pem(authority.certificate_pem()).expect("a root");
        let identity = |issued: &crate::certificates::IssuedCertificate| {
            TlsIdentity::from_pem(&issued.certificate_pem, &issued.key_pem).expect("an identity")
        };
        let keys = HospitalKeys::new([(hospital, client.fingerprint)]).expect("one key");
        (
            CoordinatorTls::new(&identity(&server), &trusted, keys).expect("a configuration"),
            ParticipantTls::new(&identity(&client), &trusted, server.fingerprint)
                .expect("a configuration"),
        )
    }

    #[test]
    fn the_key_exchange_is_post_quantum_and_the_session_new() {
        let (coordinator, participant) = parties();
        let (client, server) = handshake(&coordinator, &participant).expect("a handshake");
        assert!(!client.is_handshaking() && !server.is_handshaking());
        for group in [
            client.negotiated_key_exchange_group(),
            server.negotiated_key_exchange_group(),
        ] {
            assert_eq!(group.expect("agreed").name(), NamedGroup::X25519MLKEM768);
        }
        assert_eq!(client.alpn_protocol(), Some(APPLICATION_PROTOCOL));
        assert_eq!(
            server.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
        let (again, _) = handshake(&coordinator, &participant).expect("a second handshake");
        assert_eq!(again.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert!(again.zero_rtt_keys().is_none());
    }

    #[test]
    fn one_key_one_hospital() {
        let id = |id| HospitalId::new(id).expect("a valid id");
        let (a, b) = (KeyFingerprint::from([1; 32]), KeyFingerprint::from([2; 32]));
        assert!(HospitalKeys::new([(id(1), a), (id(2), b)]).is_ok());
        assert!(matches!(
            HospitalKeys::new([(id(1), a), (id(2), a)]),
            Err(CertificateError::SharedKey { first, second, .. }) if first == id(1) && second == id(2)
        ));
        assert!(matches!(
            HospitalKeys::new([(id(1), a), (id(1), b)]),
            Err(CertificateError::DuplicateHospital { hospital }) if hospital == id(1)
        ));
    }

    #[test]
    fn a_key_of_another_certificate_is_no_identity() {
        let authority = Authority::generate("trial").expect("generated");
        let issue = |id| {
            authority
                .issue_hospital(HospitalId::new(id).expect("a valid id"))
                .expect("issued")
        };
        let (one, two) = (issue(1), issue(2));
        assert!(matches!(
            TlsIdentity::from_pem(&one.certificate_pem, &two.key_pem),
            Err(CertificateError::KeyMismatch)
        ));
        assert!(TrustedAuthority::from_pem("").is_err());
    }
}
