//! Strangers at the desk of a coordinator that admits new hospitals.

use super::*;

/// Answers with the question, twice.
struct Echo;

impl EnrolmentDesk for Echo {
    fn answer(&self, question: &[u8], _from: SocketAddr) -> Answered {
        Answered {
            reply: question.repeat(2),
            complaint: None,
        }
    }

    fn max_question_bytes(&self) -> usize {
        1000
    }
}

/// A listener with a desk; its certificate comes with that of its authority.
fn listen_with_desk(federation: &Federation) -> Result<Listener, Box<dyn std::error::Error>> {
    let chain = [
        federation.coordinator.certificate_pem.as_str(),
        federation.authority.certificate_pem(),
    ]
    .concat();
    let identity = TlsIdentity::from_pem(&chain, &federation.coordinator.key_pem)?;
    let keys = HospitalKeys::new([(hospital(1), federation.hospitals[0].fingerprint)])?;
    let tls = CoordinatorTls::with_enrolment(&identity, &federation.trusted(), keys)?;
    let address = ([127, 0, 0, 1], 0).into();
    Ok(Listener::bind_with_desk(
        address,
        &tls,
        &quick(),
        Some(Arc::new(Echo)),
    )?)
}

fn client(
    federation: &Federation,
    listener: &Listener,
) -> Result<EnrolmentClient, Box<dyn std::error::Error>> {
    let authority = KeyFingerprint::of_certificate_pem(federation.authority.certificate_pem())?;
    let address = listener.local_address()?.to_string();
    Ok(EnrolmentClient::new(&address, "localhost", authority)?)
}

#[tokio::test]
async fn a_stranger_gets_one_answer_and_members_come_in_as_before() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = listen_with_desk(&federation)?;
    let stranger = client(&federation, &listener)?;
    assert_eq!(stranger.ask(b"hello", 100).await?, b"hellohello");
    assert_eq!(stranger.ask(b"", 100).await?, b"");

    let member = federation.dialer(1, listener.local_address()?, &quick());
    let (arrival, link) = tokio::join!(listener.accept(), member.connect(never_wait));
    assert_eq!(arrival.expect("open")?.hospital(), hospital(1));
    link?;
    Ok(())
}

#[tokio::test]
async fn too_long_a_question_or_answer_is_not_read() -> TestResult {
    let federation = Federation::new("trial");
    let listener = listen_with_desk(&federation)?;
    let stranger = client(&federation, &listener)?;
    assert!(stranger.ask(&[7; 1001], 10_000).await.is_err());
    assert!(stranger.ask(&[7; 1000], 1999).await.is_err());
    assert_eq!(stranger.ask(&[7; 1000], 2000).await?.len(), 2000);
    Ok(())
}

#[tokio::test]
async fn another_authority_is_noticed_and_a_stranger_gets_no_further_than_the_desk() -> TestResult {
    let federation = Federation::new("ours");
    let mut listener = listen_with_desk(&federation)?;
    let theirs = Federation::new("theirs");
    let misled = client(&theirs, &listener)?;
    let refused = misled.ask(b"hello", 100).await.err();
    assert!(
        matches!(
            &refused,
            Some(TransportError::UntrustedCoordinator {
                problem: CertificateProblem::OtherAuthority,
                ..
            })
        ),
        "{refused:?}"
    );

    // The members' protocol, without a certificate.
    let mut tls = federation.participant_tls(1);
    Arc::make_mut(&mut tls.config).client_auth_cert_resolver =
        Arc::new(super::admission::NoCertificate);
    let anonymous = dialer(&tls, listener.local_address()?, &quick());
    let connecting = tokio::spawn(async move { anonymous.connect(|_| ()).await.map(|_| ()) });
    // The first word is that the misled one has gone.
    let arrival = loop {
        match listener.accept().await.expect("open") {
            Err(TransportError::RefusedByParticipant { .. }) => {}
            arrival => break arrival.err(),
        }
    };
    assert!(
        matches!(&arrival, Some(TransportError::Violation(_))),
        "{arrival:?}"
    );
    connecting.abort();
    Ok(())
}

#[tokio::test]
async fn a_coordinator_without_a_desk_says_that_it_admits_nobody() -> TestResult {
    let federation = Federation::new("trial");
    let listener = federation.listen(&quick());
    let refused = client(&federation, &listener)?.ask(b"hello", 100).await;
    assert!(
        matches!(&refused, Err(TransportError::NoEnrolment { .. })),
        "{refused:?}"
    );
    let nobody = EnrolmentClient::new("127.0.0.1:9", "localhost", KeyFingerprint::from([1; 32]))?;
    let refused = nobody.ask(b"hello", 100).await;
    assert!(
        matches!(&refused, Err(TransportError::Unreachable { .. })),
        "{refused:?}"
    );
    Ok(())
}
