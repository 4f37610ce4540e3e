//! Who is let in, who is not, and what both sides are told.

use std::io;
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_on_either_side() -> TestResult {
    let ours = Federation::new("ours");
    // One with another name, and one that only calls itself the same.
    for theirs in [Federation::new("theirs"), Federation::new("ours")] {
        let mut listener = ours.listen(&quick());
        let address = listener.local_address()?;

        // A hospital with a foreign certificate that trusts the right coordinator.
        let tls = ParticipantTls::new(
            &identity(&theirs.hospitals[0]),
            &ours.trusted(),
            ours.coordinator.fingerprint,
        )?;
        let stranger = dialer(&tls, address, &quick());
        let (arrival, refused) = tokio::join!(listener.accept(), stranger.connect(never_wait));
        let expected = CertificateProblem::OtherAuthority;
        let (arrival, refused) = (arrival.expect("open").err(), refused.err());
        assert!(
            matches!(&arrival, Some(TransportError::UntrustedParticipant { problem, .. }) if *problem == expected),
            "{arrival:?}"
        );
        assert!(
            matches!(&refused, Some(TransportError::RefusedByCoordinator { problem, .. }) if *problem == expected),
            "{refused:?}"
        );
        let text = refused.expect("checked above").to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("ca_certificate"),
            "{text}"
        );

        // A hospital that trusts another authority than the coordinator's.
        let stranger = theirs.dialer(1, address, &quick());
        let (arrival, refused) = tokio::join!(listener.accept(), stranger.connect(never_wait));
        let (arrival, refused) = (arrival.expect("open").err(), refused.err());
        assert!(
            matches!(&arrival, Some(TransportError::RefusedByParticipant { problem, .. }) if *problem == expected),
            "{arrival:?}"
        );
        assert!(
            matches!(&refused, Some(TransportError::UntrustedCoordinator { problem, .. }) if *problem == expected),
            "{refused:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_not_on_the_roster_is_refused_on_either_side() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let address = listener.local_address()?;

    let third = federation.dialer(3, address, &quick());
    let (arrival, refused) = tokio::join!(listener.accept(), third.connect(never_wait));
    let (arrival, refused) = (arrival.expect("open").err(), refused.err());
    let fingerprint = federation.hospitals[2].fingerprint.to_string();
    for (side, text) in [
        ("the coordinator", arrival.expect("refused").to_string()),
        ("the participant", refused.expect("refused").to_string()),
    ] {
        assert!(
            text.contains("roster") && text.contains(&fingerprint),
            "{side}: {text}"
        );
    }

    // Another coordinator of the same federation than the one the roster names.
    let tls = ParticipantTls::new(
        &identity(&federation.hospitals[0]),
        &federation.trusted(),
        KeyFingerprint::from([9; 32]),
    )?;
    let refused = dialer(&tls, address, &quick())
        .connect(never_wait)
        .await
        .err();
    assert!(
        matches!(
            &refused,
            Some(TransportError::UntrustedCoordinator { problem: CertificateProblem::UnknownKey { detail }, .. })
                if detail.contains(&"09".repeat(32))
        ),
        "{refused:?}"
    );

    // The right one under a name that its certificate does not carry.
    let tls = federation.participant_tls(1);
    let elsewhere = Dialer::new(&address.to_string(), "elsewhere.example", &tls, &quick())?;
    let refused = elsewhere.connect(never_wait).await.err().expect("refused");
    assert!(
        refused.to_string().contains("elsewhere.example"),
        "{refused}"
    );
    assert!(matches!(
        Dialer::new(&address.to_string(), "no name", &tls, &quick()),
        Err(TransportError::ServerName { .. })
    ));
    Ok(())
}

/// A client of the same protocol that shows no certificate, or one of a server.
#[tokio::test]
async fn a_peer_without_a_client_certificate_is_refused() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let address = listener.local_address()?;

    let mut tls = federation.participant_tls(1);
    Arc::make_mut(&mut tls.config).client_auth_cert_resolver = Arc::new(NoCertificate);
    let anonymous = dialer(&tls, address, &quick());
    let (arrival, refused) = tokio::join!(listener.accept(), anonymous.connect(never_wait));
    let (arrival, refused) = (arrival.expect("open").err(), refused.err());
    assert!(
        matches!(
            &arrival,
            Some(TransportError::UntrustedParticipant {
                problem: CertificateProblem::Missing,
                ..
            })
        ),
        "{arrival:?}"
    );
    assert!(
        matches!(
            &refused,
            Some(TransportError::RefusedByCoordinator {
                problem: CertificateProblem::Missing,
                ..
            })
        ),
        "{refused:?}"
    );

    let tls = ParticipantTls::new(
        &identity(&federation.coordinator),
        &federation.trusted(),
        federation.coordinator.fingerprint,
    )?;
    let server_as_client = dialer(&tls, address, &quick());
    let (arrival, refused) = tokio::join!(listener.accept(), server_as_client.connect(never_wait));
    assert!(arrival.expect("open").is_err() && refused.is_err());
    Ok(())
}

#[tokio::test]
async fn another_protocol_is_refused_at_once() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let mut tls = federation.participant_tls(1);
    Arc::make_mut(&mut tls.config).alpn_protocols = vec![b"myelin/0".to_vec()];
    let old = dialer(&tls, listener.local_address()?, &quick());
    let (arrival, refused) = tokio::join!(listener.accept(), old.connect(never_wait));
    let (arrival, refused) = (arrival.expect("open").err(), refused.err());
    assert!(
        matches!(arrival, Some(TransportError::Handshake { .. })),
        "{arrival:?}"
    );
    assert!(
        matches!(refused, Some(TransportError::Handshake { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_participant_waits_for_its_coordinator_and_says_so() -> TestResult {
    let federation = Federation::new("trial");
    let limits = Limits {
        handshake_timeout: Duration::from_millis(200),
        ..quick()
    };
    let address = federation.listen(&limits).local_address()?;
    let tls = federation.participant_tls(1);
    let early = dialer(&tls, address, &limits);
    let (told, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let early: JoinHandle<Result<CoordinatorLink, TransportError>> = tokio::spawn(async move {
        early
            .connect(|waiting| told.send(waiting.clone()).expect("someone listens"))
            .await
    });
    let first = waits.recv().await.expect("a wait");
    assert_eq!(
        (first.attempt, first.retry_in),
        (1, Duration::from_millis(500))
    );
    let text = first.to_string();
    assert!(
        text.starts_with(&format!("waiting for the coordinator at {address}")),
        "{text}"
    );
    let second = waits.recv().await.expect("another wait");
    assert_eq!(
        (second.attempt, second.retry_in),
        (2, Duration::from_secs(1))
    );

    let keys = HospitalKeys::new([(hospital(1), federation.hospitals[0].fingerprint)])?;
    let tls = CoordinatorTls::new(
        &identity(&federation.coordinator),
        &federation.trusted(),
        keys,
    )?;
    // Meanwhile another test's socket may have been given the port, for as long as that test runs.
    let mut listener = loop {
        match Listener::bind(address, &tls, &limits) {
            Err(TransportError::Bind { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            bound => break bound?,
        }
    };
    let link = listener.accept().await.expect("open")?;
    assert_eq!(link.hospital(), hospital(1));
    early.await??;

    let nowhere = Dialer::new(
        "no-such-host.invalid:1",
        "localhost",
        &federation.participant_tls(1),
        &limits,
    )?;
    let (told, mut waits) = tokio::sync::mpsc::unbounded_channel();
    tokio::select! {
        _ = nowhere.connect(|waiting| told.send(waiting.clone()).expect("someone listens")) => panic!("nobody is there"),
        waiting = waits.recv() => assert!(waiting.expect("a wait").cause.contains("not resolved")),
    }
    Ok(())
}

/// What a client configured without a certificate answers.
#[derive(Debug)]
pub(super) struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn one_that_is_turned_away_again_and_again_has_one_line() -> TestResult {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt().with_writer(lines.clone());
    let _log = tracing::subscriber::set_default(log.with_ansi(false).finish());
    let (ours, theirs) = (Federation::new("ours"), Federation::new("theirs"));
    let mut listener = ours.listen(&quick());
    let address = listener.local_address()?;
    let strangers = [
        (&theirs.hospitals[0], 5),
        // Its certificate is ours, but it is not on the roster: that is another reason.
        (&ours.hospitals[2], 3),
    ];
    for (certificate, times) in strangers {
        let tls = ParticipantTls::new(
            &identity(certificate),
            &ours.trusted(),
            ours.coordinator.fingerprint,
        )?;
        for _ in 0..times {
            let stranger = dialer(&tls, address, &quick());
            let (arrival, refused) = tokio::join!(listener.accept(), stranger.connect(never_wait));
            assert!(arrival.expect("open").is_err() && refused.is_err());
        }
    }
    let said = lines.text();
    assert_eq!(said.matches("turned a peer away").count(), 2, "{said}");
    assert!(said.contains("another authority"), "{said}");
    assert!(said.contains("is not on the roster"), "{said}");
    Ok(())
}

/// A log that the test reads.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
