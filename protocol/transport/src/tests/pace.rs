//! Transfers at a cap: they take their time, let frames through, lose nothing, and are not given up.

use super::*;

/// A link of hospital 1 that keeps to `cap`.
async fn capped(
    federation: &Federation,
    limits: &Limits,
    cap: RateCap,
) -> Result<(Listener, HospitalLink, CoordinatorLink), TransportError> {
    let mut listener = federation.listen(limits);
    let dialer = federation.dialer(1, listener.local_address()?, limits);
    let dialer = dialer.at_most(cap)?;
    let (arrival, link) = tokio::join!(listener.accept(), dialer.connect(never_wait));
    let hospital_link = arrival.expect("the listener is open")?;
    Ok((listener, hospital_link, link?))
}

/// Takes an upload to its end.
async fn taken(request: UploadRequest) -> Result<Vec<u8>, TransportError> {
    let mut upload = request.accept(0).await?;
    let mut bytes = Vec::new();
    while let Some(leaf) = upload.next_leaf().await? {
        bytes.extend(leaf);
    }
    upload.accept().await?;
    Ok(bytes)
}

/// The next upload, and after it every frame with the time at which it came, until the link is closed.
async fn take_upload_and_frames(mut link: HospitalLink) -> (Vec<u8>, Vec<(Vec<u8>, Instant)>) {
    let mut frames = Vec::new();
    let request = upload_request(&mut link).await;
    let taking = tokio::spawn(taken(request));
    loop {
        match link.next().await {
            Incoming::Frame(frame) => frames.push((frame, Instant::now())),
            Incoming::Closed(_) => break,
            _ => panic!("nothing else is sent"),
        }
    }
    let bytes = taking.await.expect("no panic").expect("whole");
    (bytes, frames)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_at_a_cap_takes_its_time_and_lets_heartbeats_through() -> TestResult {
    let limits = Limits::default();
    let cap = RateCap::new(8, &limits).expect("allowed");
    let federation = Federation::new("pace");
    let (_listener, coordinator, participant) = capped(&federation, &limits, cap).await?;
    let taking = tokio::spawn(take_upload_and_frames(coordinator));
    // A second and a half at a million bytes a second.
    let blob = pattern(1_500_000);
    let (blobs, sender) = (participant.blobs(), participant.sender());
    let began = Instant::now();
    let mut said = Vec::new();
    {
        let upload = blobs.upload([1; 32], &blob, |_| ());
        tokio::pin!(upload);
        loop {
            tokio::select! {
                result = &mut upload => break result?,
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    sender.send(vec![said.len() as u8; 9]).await?;
                    said.push(Instant::now());
                }
            }
        }
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1300), "{took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    participant.close(CloseCode::Done, "done").await;
    let (arrived, frames) = taking.await?;
    assert_eq!(arrived, blob);
    assert_eq!(frames.len(), said.len());
    for (number, ((frame, came), went)) in frames.iter().zip(&said).enumerate() {
        assert_eq!(*frame, vec![number as u8; 9]);
        let late = came.saturating_duration_since(*went);
        assert!(late < Duration::from_secs(1), "frame {number}: {late:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_and_frames_share_the_cap_and_uploads_have_their_own() -> TestResult {
    let limits = Limits::default();
    let cap = RateCap::new(8, &limits).expect("allowed");
    let federation = Federation::new("pace");
    let (_listener, mut coordinator, mut participant) = capped(&federation, &limits, cap).await?;
    let (down, up, long) = (pattern(700_000), pattern(900_000), pattern(600_000));
    let (served, sent) = (down.clone(), long.clone());
    let serving = tokio::spawn(async move {
        coordinator.sender().send(sent).await?;
        let mut tasks = tokio::task::JoinSet::new();
        let mut arrived = Vec::new();
        for _ in 0..2 {
            match coordinator.next().await {
                Incoming::Upload(request) => {
                    tasks.spawn(taken(request));
                }
                Incoming::Download(request) => {
                    let blob = served.clone();
                    tasks.spawn(
                        async move { request.serve(blob.into()).await.map(|()| Vec::new()) },
                    );
                }
                _ => panic!("nothing else is asked for"),
            }
        }
        while let Some(done) = tasks.join_next().await {
            arrived.extend(done.expect("no panic")?);
        }
        Ok::<_, TransportError>(arrived)
    });
    let blobs = participant.blobs();
    let began = Instant::now();
    let mut fetched = Vec::new();
    let downwards = async {
        let (frame, fetch) =
            tokio::join!(participant.receive(), blobs.download([1; 32], &mut fetched));
        fetch?;
        Ok::<_, TransportError>((frame, began.elapsed()))
    };
    let upwards = async {
        blobs
            .upload([2; 32], &up, |_| ())
            .await
            .map(|()| began.elapsed())
    };
    let (downwards, upwards) = tokio::join!(downwards, upwards);
    let ((frame, took_down), took_up) = (downwards?, upwards?);
    assert_eq!(frame?, long);
    assert_eq!(fetched, down);
    assert_eq!(serving.await??, up);
    // 1.3 s and 0.9 s; one after the other they would take 2.2 s.
    assert!(took_down >= Duration::from_millis(1100), "{took_down:?}");
    assert!(took_up >= Duration::from_millis(700), "{took_up:?}");
    assert!(took_down.max(took_up) < Duration::from_secs(15));
    Ok(())
}

/// Patience of a second, and transfers that take longer: the blob's end and the frame wait for one another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_least_rate_no_side_gives_the_other_up() -> TestResult {
    let limits = Limits {
        stall_timeout: Duration::from_secs(1),
        ..quick()
    };
    let cap = RateCap::new(RateCap::least(&limits), &limits).expect("allowed");
    let federation = Federation::new("pace");
    let (_listener, mut coordinator, mut participant) = capped(&federation, &limits, cap).await?;
    let (blob, long) = (pattern(8 << 20), pattern(4 << 20));
    let (served, sent) = (blob.clone(), long.clone());
    let serving = tokio::spawn(async move {
        let request = download_request(&mut coordinator).await;
        coordinator.sender().send(sent).await?;
        request.serve(served.into()).await?;
        Ok::<_, TransportError>(coordinator)
    });
    let blobs = participant.blobs();
    let mut fetched = Vec::new();
    let began = Instant::now();
    let (frame, fetch) = tokio::join!(participant.receive(), blobs.download([1; 32], &mut fetched));
    fetch?;
    assert_eq!(frame?, long);
    assert_eq!(fetched, blob);
    assert!(
        began.elapsed() > limits.stall_timeout,
        "{:?}",
        began.elapsed()
    );
    serving.await??;
    Ok(())
}
