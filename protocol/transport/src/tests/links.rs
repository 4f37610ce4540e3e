//! Frames, goodbyes, broken rules and silence.

use super::*;

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
    let (coordinator_saw, wire) = tokio::join!(
        async {
            (
                frame(&mut coordinator).await,
                closed(&mut coordinator).await,
            )
        },
        participant.close(CloseCode::Application(7), "all rounds are done"),
    );
    assert_eq!(coordinator_saw.0, b"last words");
    // With its framing a message is longer, not half as long again.
    assert!(
        (1_000_200..1_500_000).contains(&(wire.datagram_bytes_sent - wire.bytes_lost)),
        "{wire:?}"
    );
    assert!(wire.datagrams_sent > 0 && wire.datagrams_received > 0 && wire.stream_frames_sent > 22);
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
        let Disconnect::Violation { detail } = closed(&mut link).await else {
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
