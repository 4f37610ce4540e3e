//! Blobs up and down: whole, refused, cut and resumed.

use super::*;

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
async fn files_are_served_in_pieces_from_any_byte_on_and_a_short_one_is_abandoned() -> TestResult {
    let (_listener, mut coordinator, participant) =
        Federation::new("files").connected(&quick()).await?;
    let blob = pattern(9 * LEAF_BYTES + 77);
    let blobs = participant.blobs();
    let (head, tail) = blob.split_at(LEAF_BYTES + 3);
    let parts = |missing: u64| {
        let part = |bytes: &[u8], missing: u64| BlobPart {
            reader: std::io::Cursor::new(bytes.to_vec()),
            bytes: bytes.len() as u64 + missing,
        };
        vec![part(head, 0), part(tail, missing)]
    };
    for held in [0, 1, head.len(), head.len() + 5, blob.len()] {
        let mut fetched = blob[..held].to_vec();
        let serving = async {
            let request = download_request(&mut coordinator).await;
            request.serve_from(parts(0)).await
        };
        let (fetching, served) = tokio::join!(blobs.download([4; 32], &mut fetched), serving);
        fetching?;
        served?;
        assert_eq!(fetched, blob, "{held} bytes were there");
    }
    let mut fetched = Vec::new();
    let serving = async {
        let request = download_request(&mut coordinator).await;
        request.serve_from(parts(1)).await
    };
    let (fetching, served) = tokio::join!(blobs.download([4; 32], &mut fetched), serving);
    assert!(
        matches!(served, Err(TransportError::Unreadable(_))),
        "{served:?}"
    );
    assert!(
        matches!(fetching, Err(TransportError::Abandoned)),
        "{fetching:?}"
    );
    Ok(())
}

/// Prints what loopback gives, for a look; asserts only that everything arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_seventeen_megabytes_goes_up_and_down() -> TestResult {
    // Beside all other tests it may stall for longer than those that look for a stall allow.
    let (_listener, mut coordinator, participant) = Federation::new("trial")
        .connected(&Limits::default())
        .await?;
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

/// Takes what comes of an upload into `held`, up to the end or an error.
async fn take(request: UploadRequest, held: &mut Vec<u8>) -> Result<(), TransportError> {
    let mut upload = request.accept(held.len() as u64).await?;
    while let Some(leaf) = upload.next_leaf().await? {
        held.extend(leaf);
    }
    upload.accept().await
}
