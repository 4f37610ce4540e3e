//! A certificate that is renewed while its hospital runs.

use std::time::SystemTime;

use super::super::certificate_requests::{Role, certificate_request};
use super::super::certificates::CertificateError;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_the_next_handshake_on() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let address = listener.local_address()?;
    let issued = &federation.hospitals[0];
    let (request, _) = certificate_request(&issued.key_pem)?;
    let valid_until = |until| -> Result<TlsIdentity, CertificateError> {
        let role = Role::Hospital("one");
        let issued_at = SystemTime::now() - 3 * DAY;
        let authority = &federation.authority;
        let certificate = authority.certify(&request, &role, issued_at, until)?;
        TlsIdentity::from_pem(&certificate.certificate_pem, &issued.key_pem)
    };
    let expired = valid_until(SystemTime::now() - DAY)?;
    let tls = ParticipantTls::new(
        &expired,
        &federation.trusted(),
        federation.coordinator.fingerprint,
    )?;
    let dialer = dialer(&tls, address, &quick());
    let (arrival, refused) = tokio::join!(listener.accept(), dialer.connect(never_wait));
    assert!(arrival.expect("open").is_err());
    let refused = refused.err();
    assert!(
        matches!(
            &refused,
            Some(TransportError::RefusedByCoordinator {
                problem: CertificateProblem::NotValidNow,
                ..
            })
        ),
        "{refused:?}"
    );

    // The certificate of another key does not take its place.
    let shown = dialer.shown_certificate();
    let trusted = federation.trusted();
    assert!(matches!(
        shown.replace(&identity(&federation.hospitals[1]), &trusted),
        Err(CertificateError::OtherKey)
    ));
    // Nor does one that has ended, or that another authority has issued.
    let renewed = valid_until(SystemTime::now() + DAY)?;
    let another = Federation::new("another").trusted();
    for (refused, authority) in [(&expired, &trusted), (&renewed, &another)] {
        assert!(matches!(
            shown.replace(refused, authority),
            Err(CertificateError::Unusable(_))
        ));
    }
    shown.replace(&renewed, &trusted)?;
    let (arrival, link) = tokio::join!(listener.accept(), dialer.connect(never_wait));
    assert_eq!(arrival.expect("open")?.hospital(), hospital(1));
    // That of the coordinator is one of a demonstration.
    let until = link?.coordinator_valid_until();
    assert!(until.is_some_and(|until| until > SystemTime::now() + 365 * DAY));
    Ok(())
}
