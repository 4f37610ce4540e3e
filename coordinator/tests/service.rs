//! The service over real QUIC on loopback, with scripted hospitals.

mod scripted;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use coordinator::machine::Event;
use coordinator::{
    demo::{Demo, Place},
    service::{Registry, RunReport, Service, ServiceError},
    settings::RunSettings,
};
use protocol::{
    codec::{Bytes, Id, List, WIRE_VERSION},
    common_model::CommonModel,
    manifest::{Conditioning, Purpose},
    message::{ALREADY_CONNECTED, FilterRequest, Hello, ToCoordinator, ToVault},
};
use scripted::{Script, ScriptedHospital, Seen, connect, dialer, hear, hospital, say};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use transport::{CloseCode, CoordinatorLink, Disconnect, RefusalCode, TransportError};

/// A coordinator at work.
struct Running {
    demo: Demo,
    address: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<RunReport, ServiceError>>,
    events: mpsc::UnboundedReceiver<Event>,
    registry: Arc<Registry>,
}

impl Running {
    fn start(state: Option<PathBuf>) -> Self {
        let demo = demo();
        let service = Service::bind(demo.service_config(&run(), state).expect("certificates"))
            .expect("bound");
        let address = service.local_address().to_string();
        let registry = service.registry();
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, events) = mpsc::unbounded_channel();
        let shutdown = async move {
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        let ended = tokio::spawn(service.run(sender, shutdown));
        Self {
            demo,
            address,
            stop,
            ended,
            events,
            registry,
        }
    }

    fn play(&self, scripts: [Script; 3]) -> Vec<JoinHandle<Seen>> {
        let uploads = Arc::new(watch::Sender::new(0));
        let hospital = |(id, script)| {
            ScriptedHospital::new(&self.demo, id, &self.address, script, Arc::clone(&uploads))
                .play()
        };
        (1..).zip(scripts).map(hospital).map(tokio::spawn).collect()
    }

    async fn connect(&self, id: u8) -> CoordinatorLink {
        connect(&dialer(&self.demo, hospital(id), &self.address)).await
    }
}

fn demo() -> Demo {
    let place = Place {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Place::default()
    };
    Demo::generate(3, place).expect("three hospitals")
}

fn run() -> RunSettings {
    RunSettings {
        rounds: 1,
        conditioning: Conditioning::None,
        round_timeout_secs: 20,
        ..RunSettings::default()
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future)
        .await
        .expect("a test that hangs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_to_its_end_and_a_cut_upload_goes_on_where_it_stopped() {
    let state = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(Some(state.path().to_owned()));
    let patient = Script {
        waits_for_uploads: 1,
        ..Script::default()
    };
    let cut = Script {
        cut_at: Some(8 << 20),
        ..Script::default()
    };
    let hospitals = running.play([patient, patient, cut]);
    let mut seen = Vec::new();
    for hospital in hospitals {
        seen.push(soon(hospital).await.expect("a hospital"));
    }
    let report = soon(running.ended)
        .await
        .expect("no panic")
        .expect("a good end");

    let all = BTreeSet::from([1, 2, 3]);
    for seen in &seen {
        assert_eq!(seen.ending, Some(ToVault::Finished));
        let expected = [Purpose::Stats, Purpose::Update, Purpose::Evaluation]
            .map(|purpose| (purpose, all.clone(), 6));
        assert_eq!(seen.outcomes, expected);
    }
    // 16.8 MB, of which 8 were on their way and at most 4 of these had not arrived.
    let resumed = seen[2].resumed_blob_bytes.expect("it was cut");
    assert!(resumed < 13 << 20, "{resumed} bytes after the cut");

    assert_eq!(
        report.model_hash,
        CommonModel::initial(&run().manifest()).hash()
    );
    assert!(report.missing.is_empty());
    assert!(report.spent.adding > Duration::ZERO && report.spent.conditioning == Duration::ZERO);
    assert!(report.suspected.is_empty());
    for (id, counts) in &report.traffic {
        assert!(
            counts.blob_bytes_received > 16 << 20 && counts.blob_bytes_sent > 16 << 20,
            "{id}: {counts:?}"
        );
    }
    assert_eq!(report.traffic.len(), 3);

    let transcript =
        std::fs::read_to_string(state.path().join("transcript.jsonl")).expect("a transcript");
    let lines: Vec<serde_json::Value> = transcript
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines
            .windows(2)
            .all(|pair| pair[0]["transcript"] == pair[1]["transcript_before"])
    );
    let store =
        rusqlite::Connection::open(state.path().join("coordinator.sqlite")).expect("a database");
    let text = |sql: &str| -> String { store.query_row(sql, [], |row| row.get(0)).expect("a row") };
    assert_eq!(
        text("SELECT group_concat(purpose || contributors, ' ') FROM rounds"),
        "stats1,2,3 update1,2,3 evaluation1,2,3"
    );
    assert_eq!(
        text("SELECT result || model_hash FROM runs"),
        format!("complete{}", hex::encode(report.model_hash))
    );
    assert_eq!(
        text("SELECT cast(count(*) AS TEXT) FROM connections WHERE bytes_up IS NOT NULL"),
        "4"
    );

    let mut events = Vec::new();
    while let Some(event) = running.events.recv().await {
        events.push(event);
    }
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Event::Settled(_)))
            .count(),
        3
    );
    assert!(
        matches!(events.last(), Some(Event::Complete { .. })),
        "{:?}",
        events.last()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_fails_ends_with_a_reason_for_everybody() {
    let running = Running::start(None);
    let fails = Script {
        fails: true,
        ..Script::default()
    };
    for hospital in running.play([fails; 3]) {
        match soon(hospital).await.expect("a hospital").ending {
            Some(ToVault::Refused { reason }) => {
                assert!(reason.0.contains("does not open"), "{reason:?}")
            }
            other => panic!("{other:?}"),
        }
    }
    match soon(running.ended).await.expect("no panic") {
        Err(ServiceError::RunFailed { reason }) => {
            assert!(reason.contains("does not open"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_connection_of_a_hospital_stands_and_the_second_is_refused() {
    let running = Running::start(None);
    let mut first = running.connect(2).await;
    let mut second = running.connect(2).await;
    match soon(second.receive()).await {
        Err(Disconnect::ByPeer {
            code: CloseCode::Application(ALREADY_CONNECTED),
            reason,
        }) => {
            assert!(reason.contains("connected already"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    say(&first, ToCoordinator::Hello(Hello { resume: None })).await;
    assert!(matches!(
        soon(hear(&mut first)).await,
        Ok(ToVault::Welcome(_))
    ));
    assert_eq!(
        running
            .registry
            .live()
            .iter()
            .map(|live| live.hospital.get())
            .collect::<Vec<_>>(),
        [2]
    );

    // Once the first is gone there is room again.
    first.close(CloseCode::ShuttingDown, "").await;
    soon(async {
        while !running.registry.live().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut third = running.connect(2).await;
    say(&third, ToCoordinator::Hello(Hello { resume: None })).await;
    assert!(matches!(
        soon(hear(&mut third)).await,
        Ok(ToVault::Welcome(_))
    ));
}

#[tokio::test]
async fn what_nobody_asked_for_is_refused_with_a_reason() {
    let running = Running::start(None);
    let link = running.connect(1).await;
    match soon(link.blobs().upload([1; 32], &[0; 100], |_| {})).await {
        Err(TransportError::Refused(refusal)) => {
            assert_eq!(refusal.code, RefusalCode::Unexpected, "{refusal}")
        }
        other => panic!("{other:?}"),
    }
    match soon(link.blobs().download([1; 32], &mut Vec::new())).await {
        Err(TransportError::Refused(refusal)) => {
            assert_eq!(refusal.code, RefusalCode::NotFound, "{refusal}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_link_and_nothing_else() {
    let running = Running::start(None);
    let mut other = running.connect(3).await;
    for (frame, reason) in [
        (vec![WIRE_VERSION, 255, 0, 0, 0], "malformed"),
        (vec![9], "different releases"),
        (vec![], "malformed"),
    ] {
        let mut link = running.connect(1).await;
        link.sender().send(frame).await.expect("queued");
        match soon(link.receive()).await {
            Err(Disconnect::ByPeer {
                code: CloseCode::Violation,
                reason: told,
            }) => {
                assert!(told.contains(reason), "{told}");
            }
            other => panic!("{other:?}"),
        }
        soon(async {
            while running.registry.live().len() > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    say(&other, ToCoordinator::Hello(Hello { resume: None })).await;
    assert!(matches!(
        soon(hear(&mut other)).await,
        Ok(ToVault::Welcome(_))
    ));
}

#[tokio::test]
async fn a_hospital_whose_messages_are_not_accepted_is_shut_out_for_a_while_and_nobody_else() {
    let mut running = Running::start(None);
    let mut link = running.connect(1).await;
    say(&link, ToCoordinator::Hello(Hello { resume: None })).await;
    // Of no run and no key, and this run encrypts nothing.
    let request = ToCoordinator::FilterRequest(FilterRequest {
        session: [0; 16].into(),
        id: Id(hospital(1)),
        key: 0,
        version: 0,
        features: List::default(),
        bytes: Bytes(vec![0; 1000]),
    });
    for _ in 0..200 {
        say(&link, request.clone()).await;
    }
    match soon(async {
        loop {
            if let Err(ended) = link.receive().await {
                return ended;
            }
        }
    })
    .await
    {
        // In the words of the close, or, if more messages came before it, of the abort.
        Disconnect::ByPeer { code, reason } => {
            assert_eq!(code, CloseCode::Violation);
            let words = ["has not accepted 100 messages", "were not accepted"];
            assert!(words.iter().any(|words| reason.contains(words)), "{reason}");
        }
        // Quinn holds a close back while its congestion window is full of answers, and nobody acknowledges them any more.
        Disconnect::Vanished => {}
        other => panic!("{other:?}"),
    }
    soon(async {
        while !running.registry.live().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    // What it had said before it was shut out is not looked at.
    let events = std::iter::from_fn(|| running.events.try_recv().ok());
    let rejected = events.filter(|event| matches!(event, Event::Rejected { .. }));
    assert_eq!(rejected.count(), 100);

    let mut again = running.connect(1).await;
    match soon(again.receive()).await {
        Err(Disconnect::ByPeer {
            code: CloseCode::Violation,
            reason,
        }) => assert!(reason.contains("within a minute"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut other = running.connect(2).await;
    say(&other, ToCoordinator::Hello(Hello { resume: None })).await;
    assert!(matches!(
        soon(hear(&mut other)).await,
        Ok(ToVault::Welcome(_))
    ));
}

#[tokio::test]
async fn a_stop_is_told_to_the_hospitals_and_is_no_result() {
    let state = tempfile::tempdir().expect("a folder");
    let running = Running::start(Some(state.path().to_owned()));
    let mut link = running.connect(1).await;
    say(&link, ToCoordinator::Hello(Hello { resume: None })).await;
    assert!(matches!(
        soon(hear(&mut link)).await,
        Ok(ToVault::Welcome(_))
    ));
    running.stop.send(()).expect("it runs");
    match soon(link.receive()).await {
        Err(Disconnect::ByPeer {
            code: CloseCode::ShuttingDown,
            reason,
        }) => {
            assert!(reason.contains("stopped"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        soon(running.ended).await.expect("no panic"),
        Err(ServiceError::Stopped)
    ));
    let store =
        rusqlite::Connection::open(state.path().join("coordinator.sqlite")).expect("a database");
    let result: Option<String> = store
        .query_row("SELECT result FROM runs", [], |row| row.get(0))
        .expect("a row");
    assert_eq!(result, None, "it can go on");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = Running::start(None);
    let mut config = running
        .demo
        .service_config(&run(), None)
        .expect("certificates");
    config.listen = running.address.parse().expect("an address");
    match Service::bind(config) {
        Err(error @ ServiceError::Listen { .. }) => {
            assert!(error.to_string().contains(&running.address), "{error}")
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two sockets at one address"),
    }
}

#[tokio::test]
async fn keys_that_are_not_on_the_roster_are_refused() {
    let (demo, other) = (demo(), demo());
    let mut config = demo.service_config(&run(), None).expect("certificates");
    config.signing_key = other.coordinator.copy_signing_key();
    assert!(matches!(
        Service::bind(config),
        Err(ServiceError::NotOnRoster {
            what: "signing key"
        })
    ));
    let mut config = demo.service_config(&run(), None).expect("certificates");
    config.identity = other.coordinator.tls_identity().expect("a pair");
    assert!(matches!(
        Service::bind(config),
        Err(ServiceError::NotOnRoster { what: "TLS key" })
    ));
    let mut config = demo.service_config(&run(), None).expect("certificates");
    config.manifest = Some(run().signed_manifest(&other.operator_key));
    assert!(matches!(
        Service::bind(config),
        Err(ServiceError::Manifest { .. })
    ));
}
