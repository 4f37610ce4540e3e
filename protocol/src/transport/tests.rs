//! Both sides over real sockets on loopback, with real certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::sealed_sum::HospitalId;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::certificates::{Authority, IssuedCertificate, KeyFingerprint};
use super::faults::Silenceable;
use super::tls::{CoordinatorTls, HospitalKeys, ParticipantTls, TlsIdentity, TrustedAuthority};
use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// An authority, a coordinator and the hospitals 1 to 3, of whom the roster lists 1 and 2.
struct Federation {
    authority: Authority,
    coordinator: IssuedCertificate,
    hospitals: Vec<IssuedCertificate>,
}

impl Federation {
    fn new(name: &str) -> Self {
        let authority = Authority::generate(name).expect("an authority");
        let coordinator = authority
            .issue_coordinator(&["localhost".to_owned()])
            .expect("a certificate");
        let hospitals = (1..=3)
            .map(|id| {
                authority
                    .issue_hospital(hospital(id))
                    .expect("a certificate")
            })
            .collect();
        Self {
            authority,
            coordinator,
            hospitals,
        }
    }

    fn trusted(&self) -> TrustedAuthority {
        TrustedAuthority::from_pem(self.authority.certificate_pem()).expect("a trust root")
    }

    fn listen(&self, limits: &Limits) -> Listener {
        let keys = [
            (hospital(1), self.hospitals[0].fingerprint),
            (hospital(2), self.hospitals[1].fingerprint),
        ];
        let tls = CoordinatorTls::new(
            &identity(&self.coordinator),
            &self.trusted(),
            HospitalKeys::new(keys).expect("two keys"),
        )
        .expect("a configuration");
        Listener::bind(([127, 0, 0, 1], 0).into(), &tls, limits).expect("a listener")
    }

    fn participant_tls(&self, id: u8) -> ParticipantTls {
        let certificate = &self.hospitals[usize::from(id) - 1];
        ParticipantTls::new(
            &identity(certificate),
            &self.trusted(),
            self.coordinator.fingerprint,
        )
        .expect("a configuration")
    }

    fn dialer(&self, id: u8, address: SocketAddr, limits: &Limits) -> Dialer {
        dialer(&self.participant_tls(id), address, limits)
    }

    /// A listener and hospital 1 connected to it.
    async fn connected(
        &self,
        limits: &Limits,
    ) -> Result<(Listener, HospitalLink, CoordinatorLink), TransportError> {
        let mut listener = self.listen(limits);
        let dialer = self.dialer(1, listener.local_address()?, limits);
        let (arrival, link) = tokio::join!(listener.accept(), dialer.connect(never_wait));
        let hospital_link = arrival.expect("the listener is open")?;
        Ok((listener, hospital_link, link?))
    }
}

/// What a client configured without a certificate answers.
#[derive(Debug)]
struct NoCertificate;

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

fn hospital(id: u8) -> HospitalId {
    HospitalId::new(id).expect("a valid id")
}

fn identity(issued: &IssuedCertificate) -> TlsIdentity {
    TlsIdentity::from_pem(&issued.certificate_pem, &issued.key_pem).expect("an identity")
}

fn dialer(tls: &ParticipantTls, address: SocketAddr, limits: &Limits) -> Dialer {
    Dialer::new(&address.to_string(), "localhost", tls, limits).expect("a dialer")
}

fn never_wait(waiting: &Waiting) {
    panic!("nothing to wait for, but: {waiting}");
}

/// Short enough for tests, long enough for a loaded machine.
fn quick() -> Limits {
    Limits {
        keep_alive_interval: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(1500),
        stall_timeout: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

async fn frame(link: &mut HospitalLink) -> Vec<u8> {
    match link.next().await {
        Incoming::Frame(frame) => frame,
        _ => panic!("a frame was expected"),
    }
}

async fn upload_request(link: &mut HospitalLink) -> UploadRequest {
    match link.next().await {
        Incoming::Upload(request) => request,
        _ => panic!("an upload was expected"),
    }
}

async fn download_request(link: &mut HospitalLink) -> DownloadRequest {
    match link.next().await {
        Incoming::Download(request) => request,
        _ => panic!("a download was expected"),
    }
}

async fn closed(link: &mut HospitalLink) -> Disconnect {
    match link.next().await {
        Incoming::Closed(disconnect) => disconnect,
        _ => panic!("the end of the link was expected"),
    }
}

/// Takes what comes of an upload into `held`, up to the end or an error.
async fn take(request: UploadRequest, held: &mut Vec<u8>) -> Result<(), TransportError> {
    let mut upload = request.accept(held.len() as u64).await?;
    while let Some(leaf) = upload.next_leaf().await? {
        held.extend(leaf);
    }
    upload.accept().await
}

#[tokio::test]
async fn frames_go_both_ways_and_a_goodbye_follows_the_last() -> TestResult {
    let (listener, mut coordinator, mut participant) =
        Federation::new("trial").connected(&quick()).await?;
    assert_eq!(coordinator.hospital(), hospital(1));

    let large = pattern(1_000_000);
    for round in 0_u8..20 {
        participant.sender().send(vec![round; round.into()]).await?;
    }
    participant.sender().send(large.clone()).await?;
    for round in 0_u8..20 {
        assert_eq!(frame(&mut coordinator).await, vec![round; round.into()]);
    }
    assert_eq!(frame(&mut coordinator).await, large);
    coordinator.sender().send(b"welcome".to_vec()).await?;
    assert_eq!(participant.receive().await.expect("a frame"), b"welcome");

    let (sent, received) = (
        participant.traffic().counts(),
        coordinator.traffic().counts(),
    );
    assert_eq!(sent.sent_bytes(), 1_000_190);
    assert_eq!(received.received_bytes(), 1_000_190);
    assert_eq!((sent.received_bytes(), received.sent_bytes()), (7, 7));

    participant.sender().send(b"last words".to_vec()).await?;
    let (coordinator_saw, ()) = tokio::join!(
        async {
            (
                frame(&mut coordinator).await,
                closed(&mut coordinator).await,
            )
        },
        participant.close(CloseCode::Application(7), "all rounds are done"),
    );
    assert_eq!(coordinator_saw.0, b"last words");
    let expected = Disconnect::ByPeer {
        code: CloseCode::Application(7),
        reason: "all rounds are done".to_owned(),
    };
    assert_eq!(coordinator_saw.1, expected);
    assert_eq!(closed(&mut coordinator).await, expected);
    listener.close(CloseCode::Done, "").await;
    Ok(())
}

#[tokio::test]
async fn the_coordinator_says_goodbye_too() -> TestResult {
    let (listener, coordinator, mut participant) =
        Federation::new("trial").connected(&quick()).await?;
    coordinator.sender().send(b"last words".to_vec()).await?;
    let sender = coordinator.sender();
    let ((), frame) = tokio::join!(
        sender.close(CloseCode::ShuttingDown, "maintenance"),
        participant.receive(),
    );
    assert_eq!(frame.expect("queued before the close"), b"last words");
    let expected = Disconnect::ByPeer {
        code: CloseCode::ShuttingDown,
        reason: "maintenance".to_owned(),
    };
    assert_eq!(participant.receive().await.expect_err("closed"), expected);
    let refused = participant.blobs().upload([1; 32], b"late", |_| ()).await;
    assert!(matches!(refused, Err(TransportError::Closed(disconnect)) if disconnect == expected));
    let mut late = Err(TransportError::Abandoned);
    while !matches!(late, Err(TransportError::Closed(_))) {
        late = participant.sender().send(b"late".to_vec()).await;
        tokio::task::yield_now().await;
    }
    listener.close(CloseCode::Done, "").await;
    Ok(())
}

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
    let mut listener = Listener::bind(address, &tls, &limits)?;
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

#[tokio::test]
async fn an_oversize_frame_costs_the_peer_its_connection() -> TestResult {
    let federation = Federation::new("trial");
    let strict = Limits {
        max_frame_bytes: 1000,
        ..quick()
    };
    let mut listener = federation.listen(&strict);
    let dialer = federation.dialer(1, listener.local_address()?, &quick());
    let (arrival, link) = tokio::join!(listener.accept(), dialer.connect(never_wait));
    let (mut coordinator, mut participant) = (arrival.expect("open")?, link?);

    let own = coordinator.sender().send(vec![0; 1001]).await;
    assert!(matches!(
        own,
        Err(TransportError::FrameTooLarge {
            length: 1001,
            limit: 1000
        })
    ));
    participant.sender().send(vec![1; 1000]).await?;
    participant.sender().send(vec![2; 1001]).await?;
    assert_eq!(frame(&mut coordinator).await, [1; 1000]);
    let detail = "a frame of 1001 bytes exceeds the limit of 1000".to_owned();
    assert_eq!(
        closed(&mut coordinator).await,
        Disconnect::Violation {
            detail: detail.clone()
        }
    );
    assert_eq!(
        participant.receive().await.expect_err("closed"),
        Disconnect::ByPeer {
            code: CloseCode::Violation,
            reason: detail
        }
    );
    Ok(())
}

/// Half a frame, a stream of unknown kind, a second control channel: each ends that link, with a reason, and no other.
#[tokio::test]
async fn breaking_the_rules_costs_the_peer_its_connection() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let bystander = federation.dialer(2, listener.local_address()?, &quick());
    let (arrival, _bystander) = tokio::join!(listener.accept(), bystander.connect(never_wait));
    let mut undisturbed = arrival.expect("open")?;

    let config = {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(
            federation.participant_tls(1).config,
        )?;
        quinn::ClientConfig::new(Arc::new(crypto))
    };
    let control = wire::StreamOpening::Control.encode().to_vec();
    let half_a_frame = [&control[..], &[10, 0, 0, 0, 1, 2]].concat();
    for (streams, expected) in [
        (vec![half_a_frame], "half a frame"),
        (vec![control.clone(), vec![9; 41]], "unknown kind"),
        (
            vec![control.clone(), control.clone()],
            "second control channel",
        ),
    ] {
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
        let connection = endpoint
            .connect_with(config.clone(), listener.local_address()?, "localhost")?
            .await?;
        let mut opened = Vec::new();
        for bytes in streams {
            let (mut send, receive) = connection.open_bi().await?;
            send.write_all(&bytes).await?;
            if expected == "half a frame" {
                send.finish()?;
            }
            opened.push((send, receive));
        }
        let mut link = listener.accept().await.expect("open")?;
        let Disconnect::Violation { detail } = (match closed(&mut link).await {
            // The stream that broke the rule closed the connection, and the control channel saw that.
            Disconnect::ByUs => Disconnect::Violation {
                detail: expected.to_owned(),
            },
            other => other,
        }) else {
            panic!("a violation was expected");
        };
        assert!(detail.contains(expected), "{detail}");
        let Disconnect::ByPeer { code, reason } = Disconnect::from(connection.closed().await)
        else {
            panic!("a close by the coordinator was expected");
        };
        assert_eq!(code, CloseCode::Violation);
        assert!(reason.contains(expected), "{reason}");
    }
    assert!(
        timeout(Duration::from_millis(50), undisturbed.next())
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_blob_goes_up_and_comes_down() -> TestResult {
    let (_listener, mut coordinator, participant) =
        Federation::new("trial").connected(&quick()).await?;
    for length in [0, 1, LEAF_BYTES, LEAF_BYTES + 1, 10 * LEAF_BYTES + 195] {
        let blob = pattern(length);
        let name = [length as u8; 32];
        let mut last = 0;
        let (sent, taken) = tokio::join!(
            async {
                participant
                    .blobs()
                    .upload(name, &blob, |bytes| last = bytes)
                    .await
            },
            async {
                let request = upload_request(&mut coordinator).await;
                assert_eq!((request.name(), request.hospital()), (name, hospital(1)));
                assert_eq!(request.total_bytes(), length as u64);
                let mut taken = Vec::new();
                take(request, &mut taken).await.map(|()| taken)
            }
        );
        sent?;
        assert_eq!(taken?, blob);
        assert_eq!(last, length as u64);

        let mut fetched = Vec::new();
        let blobs = participant.blobs();
        let (fetch, served) = tokio::join!(blobs.download(name, &mut fetched), async {
            let request = download_request(&mut coordinator).await;
            assert_eq!(request.name(), name);
            request.serve(blob.clone().into()).await
        });
        fetch?;
        served?;
        assert_eq!(fetched, blob);
    }
    let (up, down) = (
        participant.traffic().counts(),
        coordinator.traffic().counts(),
    );
    assert_eq!(up.blob_bytes_sent, down.blob_bytes_received);
    assert_eq!(up.blob_bytes_sent, (12 * LEAF_BYTES + 197) as u64);
    assert_eq!(down.blob_bytes_sent, up.blob_bytes_received);
    Ok(())
}

#[tokio::test]
async fn refusals_reach_the_one_who_asked_and_spare_the_link() -> TestResult {
    let (_listener, mut coordinator, mut participant) =
        Federation::new("trial").connected(&quick()).await?;
    let blobs = participant.blobs();
    let refusal = |code, reason: &str| Refusal {
        code,
        reason: reason.to_owned(),
    };
    let refused_with = |result: Result<(), TransportError>| match result {
        Err(TransportError::Refused(refusal)) => refusal,
        other => panic!("a refusal was expected, not {other:?}"),
    };

    // Before the first byte.
    let unwanted = refusal(RefusalCode::Unexpected, "no round is open");
    let (sent, answered) = tokio::join!(blobs.upload([1; 32], b"blob", |_| ()), async {
        upload_request(&mut coordinator)
            .await
            .refuse(unwanted.clone())
            .await
    });
    answered?;
    assert_eq!(refused_with(sent), unwanted);

    // In the middle, with far more on its way than fits into the windows.
    let wrong = refusal(RefusalCode::Invalid, "a word is not below q");
    let large = pattern(20 << 20);
    let (sent, answered) = tokio::join!(blobs.upload([2; 32], &large, |_| ()), async {
        let mut upload = upload_request(&mut coordinator).await.accept(0).await?;
        assert_eq!(
            upload.next_leaf().await?.expect("a leaf"),
            &large[..LEAF_BYTES]
        );
        upload.refuse(wrong.clone()).await
    });
    answered?;
    assert_eq!(refused_with(sent), wrong);

    // After the last.
    let (sent, answered) = tokio::join!(blobs.upload([3; 32], b"blob", |_| ()), async {
        let mut upload = upload_request(&mut coordinator).await.accept(0).await?;
        while upload.next_leaf().await?.is_some() {}
        upload.refuse(wrong.clone()).await
    });
    answered?;
    assert_eq!(refused_with(sent), wrong);

    // A name whose length has changed since its first leaves were taken.
    let (sent, answered) = tokio::join!(blobs.upload([4; 32], b"blob", |_| ()), async {
        upload_request(&mut coordinator)
            .await
            .accept(LEAF_BYTES as u64)
            .await
            .err()
    });
    assert!(matches!(answered, Some(TransportError::Violation(_))));
    assert_eq!(refused_with(sent).code, RefusalCode::Invalid);

    // No verdict at all.
    let (sent, ()) = tokio::join!(blobs.upload([5; 32], b"blob", |_| ()), async {
        drop(upload_request(&mut coordinator).await);
    });
    assert!(matches!(sent, Err(TransportError::Abandoned)), "{sent:?}");

    // Nothing of that name; more held than there is.
    let missing = refusal(RefusalCode::NotFound, "no such blob");
    let mut held = Vec::new();
    let (fetched, answered) = tokio::join!(blobs.download([6; 32], &mut held), async {
        download_request(&mut coordinator)
            .await
            .refuse(missing.clone())
            .await
    });
    answered?;
    assert_eq!(refused_with(fetched), missing);
    let mut held = vec![0; 5];
    let (fetched, answered) = tokio::join!(blobs.download([6; 32], &mut held), async {
        download_request(&mut coordinator)
            .await
            .serve(Arc::from(*b"blob"))
            .await
    });
    assert!(matches!(answered, Err(TransportError::Violation(_))));
    assert_eq!(refused_with(fetched).code, RefusalCode::Invalid);

    participant.sender().send(b"still here".to_vec()).await?;
    assert_eq!(frame(&mut coordinator).await, b"still here");
    coordinator.sender().send(b"so am I".to_vec()).await?;
    assert_eq!(participant.receive().await.expect("a frame"), b"so am I");
    Ok(())
}

#[tokio::test]
async fn blobs_above_the_limit_are_refused_by_both_sides() -> TestResult {
    let federation = Federation::new("trial");
    let small = Limits {
        max_blob_bytes: 1000,
        ..quick()
    };
    let mut listener = federation.listen(&small);
    let address = listener.local_address()?;

    let generous = federation.dialer(1, address, &quick());
    let (arrival, link) = tokio::join!(listener.accept(), generous.connect(never_wait));
    let (mut coordinator, participant) = (arrival.expect("open")?, link?);
    let too_large = participant
        .blobs()
        .upload([1; 32], &[0; 1001], |_| ())
        .await;
    assert!(
        matches!(&too_large, Err(TransportError::Refused(refusal)) if refusal.code == RefusalCode::TooLarge),
        "{too_large:?}"
    );

    let strict = federation.dialer(2, address, &small);
    let (arrival, link) = tokio::join!(listener.accept(), strict.connect(never_wait));
    let (mut second, careful) = (arrival.expect("open")?, link?);
    let own = careful.blobs().upload([1; 32], &[0; 1001], |_| ()).await;
    assert!(matches!(
        own,
        Err(TransportError::BlobTooLarge {
            length: 1001,
            limit: 1000
        })
    ));
    let mut held = Vec::new();
    let blobs = careful.blobs();
    let (fetched, _) = tokio::join!(blobs.download([1; 32], &mut held), async {
        download_request(&mut second)
            .await
            .serve(vec![0; 1001].into())
            .await
    });
    assert!(matches!(
        fetched,
        Err(TransportError::BlobTooLarge { length: 1001, .. })
    ));
    assert_eq!(held.capacity(), 0);
    assert!(
        timeout(Duration::from_millis(50), coordinator.next())
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_hospital_that_vanishes_mid_upload_resumes_where_it_was() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let dialer = federation.dialer(1, listener.local_address()?, &quick());
    let blob = pattern(12 << 20);
    let name = [7; 32];
    let mut held = Vec::new();

    let (socket, silencer) = Silenceable::bind(([127, 0, 0, 1], 0).into())?;
    let (arrival, link) = tokio::join!(
        listener.accept(),
        dialer.connect_through(socket, never_wait)
    );
    let (mut coordinator, participant) = (arrival.expect("open")?, link?);
    let started = Instant::now();
    let uploading = async {
        let blobs = participant.blobs();
        let upload = blobs.upload(name, &blob, |bytes| {
            if bytes >= 6 << 20 {
                silencer.silence();
            }
        });
        // It would wait until its own idle timeout: the process that is gone does not.
        let _ = timeout(Duration::from_millis(500), upload).await;
        drop(participant);
    };
    let (cut, ()) = tokio::join!(
        async {
            let request = upload_request(&mut coordinator).await;
            take(request, &mut held).await
        },
        uploading
    );
    assert!(
        matches!(cut, Err(TransportError::Closed(Disconnect::Vanished))),
        "{cut:?}"
    );
    assert_eq!(closed(&mut coordinator).await, Disconnect::Vanished);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(held.len().is_multiple_of(LEAF_BYTES), "{}", held.len());
    // 6 MiB handed over, at most 4 of them still in the window.
    assert!((2 << 20..=6 << 20).contains(&held.len()), "{}", held.len());

    let (arrival, link) = tokio::join!(listener.accept(), dialer.connect(never_wait));
    let (mut coordinator, participant) = (arrival.expect("open")?, link?);
    let before = held.len();
    let blobs = participant.blobs();
    let (resumed, taken) = tokio::join!(blobs.upload(name, &blob, |_| ()), async {
        let request = upload_request(&mut coordinator).await;
        take(request, &mut held).await
    });
    resumed?;
    taken?;
    assert_eq!(held, blob);
    let sent = participant.traffic().counts().blob_bytes_sent;
    assert_eq!(sent, (blob.len() - before) as u64);

    // The verdict was lost: asked again, nothing is sent twice.
    let (again, taken) = tokio::join!(blobs.upload(name, &blob, |_| ()), async {
        let request = upload_request(&mut coordinator).await;
        take(request, &mut held).await
    });
    again?;
    taken?;
    assert_eq!(participant.traffic().counts().blob_bytes_sent, sent);
    Ok(())
}

#[tokio::test]
async fn a_cut_download_resumes_where_it_was() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let dialer = federation.dialer(1, listener.local_address()?, &quick());
    let blob: Arc<[u8]> = pattern(12 << 20).into();
    let mut held = Vec::new();

    let (socket, silencer) = Silenceable::bind(([127, 0, 0, 1], 0).into())?;
    let (arrival, link) = tokio::join!(
        listener.accept(),
        dialer.connect_through(socket, never_wait)
    );
    let (mut coordinator, participant) = (arrival.expect("open")?, link?);
    let blobs = participant.blobs();
    let traffic = participant.traffic();
    let cut_after_a_while = async {
        while traffic.counts().blob_bytes_received < 1 << 20 {
            tokio::task::yield_now().await;
        }
        silencer.silence();
    };
    let (fetched, served, ()) = tokio::join!(
        blobs.download([8; 32], &mut held),
        async {
            download_request(&mut coordinator)
                .await
                .serve(Arc::clone(&blob))
                .await
        },
        cut_after_a_while,
    );
    assert!(
        matches!(fetched, Err(TransportError::Closed(Disconnect::Vanished))),
        "{fetched:?}"
    );
    assert!(
        matches!(served, Err(TransportError::Closed(Disconnect::Vanished))),
        "{served:?}"
    );
    assert!(
        (1 << 20..blob.len()).contains(&held.len()),
        "{}",
        held.len()
    );

    let (arrival, link) = tokio::join!(listener.accept(), dialer.connect(never_wait));
    let (mut coordinator, participant) = (arrival.expect("open")?, link?);
    let before = held.len();
    let blobs = participant.blobs();
    let (fetched, served) = tokio::join!(blobs.download([8; 32], &mut held), async {
        download_request(&mut coordinator)
            .await
            .serve(Arc::clone(&blob))
            .await
    });
    fetched?;
    served?;
    assert_eq!(held[..], blob[..]);
    let received = participant.traffic().counts().blob_bytes_received;
    assert_eq!(received, (blob.len() - before) as u64);
    Ok(())
}

#[tokio::test]
async fn a_silent_peer_is_gone_after_the_idle_timeout_and_a_quiet_one_is_not() -> TestResult {
    let federation = Federation::new("trial");
    let mut listener = federation.listen(&quick());
    let address = listener.local_address()?;
    let (socket, silencer) = Silenceable::bind(([127, 0, 0, 1], 0).into())?;
    let first = federation.dialer(1, address, &quick());
    let (arrival, link) =
        tokio::join!(listener.accept(), first.connect_through(socket, never_wait));
    let (mut silent, gone) = (arrival.expect("open")?, link?);
    let second = federation.dialer(2, address, &quick());
    let (arrival, link) = tokio::join!(listener.accept(), second.connect(never_wait));
    let (mut quiet, participant) = (arrival.expect("open")?, link?);

    silencer.silence();
    drop(gone);
    let since = Instant::now();
    assert_eq!(closed(&mut silent).await, Disconnect::Vanished);
    let noticed = since.elapsed();
    assert!(
        noticed > Duration::from_millis(500) && noticed < Duration::from_secs(4),
        "{noticed:?}"
    );

    // Longer than the idle timeout in all, and nothing was said: keep-alive holds the other one.
    tokio::time::sleep(Duration::from_millis(800)).await;
    participant.sender().send(b"here".to_vec()).await?;
    assert_eq!(frame(&mut quiet).await, b"here");

    // One that is merely dropped is missed at once.
    let since = Instant::now();
    drop(participant);
    let Disconnect::ByPeer { code, .. } = closed(&mut quiet).await else {
        panic!("a close was expected");
    };
    assert_eq!(code, CloseCode::Dropped);
    assert!(since.elapsed() < Duration::from_millis(500));
    Ok(())
}

#[tokio::test]
async fn a_peer_that_does_not_move_is_given_up() -> TestResult {
    let federation = Federation::new("trial");
    let impatient = Limits {
        stall_timeout: Duration::from_millis(300),
        ..quick()
    };
    let (_listener, mut coordinator, participant) = federation.connected(&impatient).await?;
    let blobs = participant.blobs();

    // An upload whose request nobody answers.
    let unanswered = blobs.upload([1; 32], b"blob", |_| ()).await;
    assert!(
        matches!(unanswered, Err(TransportError::Stalled { .. })),
        "{unanswered:?}"
    );
    drop(upload_request(&mut coordinator).await);

    // Frames that nobody takes.
    let mut sent = Ok(());
    for _ in 0..200 {
        sent = participant.sender().send(vec![0; 1 << 20]).await;
        if sent.is_err() {
            break;
        }
    }
    assert!(
        matches!(sent, Err(TransportError::Closed(Disconnect::ByUs))),
        "{sent:?}"
    );
    loop {
        match coordinator.next().await {
            Incoming::Frame(_) => {}
            Incoming::Closed(Disconnect::ByPeer { code, .. }) => {
                assert_eq!(code, CloseCode::Stalled);
                break;
            }
            _ => panic!("only frames were sent"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn closing_the_listener_tells_everyone() -> TestResult {
    let (listener, mut coordinator, mut participant) =
        Federation::new("trial").connected(&quick()).await?;
    let ((), heard) = tokio::join!(
        listener.close(CloseCode::ShuttingDown, "stopped by the operator"),
        participant.receive(),
    );
    assert_eq!(
        heard.expect_err("closed"),
        Disconnect::ByPeer {
            code: CloseCode::ShuttingDown,
            reason: "stopped by the operator".to_owned()
        }
    );
    assert_eq!(closed(&mut coordinator).await, Disconnect::ByUs);
    Ok(())
}

/// Prints what loopback gives, for a look; asserts only that everything arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_seventeen_megabytes_goes_up_and_down() -> TestResult {
    let (_listener, mut coordinator, participant) =
        Federation::new("trial").connected(&quick()).await?;
    let blob: Arc<[u8]> = pattern(515 * LEAF_BYTES).into();
    let megabytes = blob.len() as f64 / 1e6;
    let shared = Arc::clone(&blob);
    let taking: JoinHandle<Result<(HospitalLink, Vec<u8>), TransportError>> =
        tokio::spawn(async move {
            let mut held = Vec::new();
            take(upload_request(&mut coordinator).await, &mut held).await?;
            download_request(&mut coordinator)
                .await
                .serve(shared)
                .await?;
            Ok((coordinator, held))
        });
    let blobs = participant.blobs();
    let started = Instant::now();
    blobs.upload([1; 32], &blob, |_| ()).await?;
    let up = started.elapsed().as_secs_f64();
    let mut fetched = Vec::new();
    let started = Instant::now();
    blobs.download([1; 32], &mut fetched).await?;
    let down = started.elapsed().as_secs_f64();
    let (_coordinator, held) = taking.await??;
    assert_eq!(held[..], blob[..]);
    assert_eq!(fetched[..], blob[..]);
    eprintln!(
        "{megabytes:.1} MB: up {:.0} MB/s, down {:.0} MB/s",
        megabytes / up,
        megabytes / down
    );
    Ok(())
}
