//! The service stopped, killed, short of disk, and bound again on the same state folder, over real QUIC on loopback.

mod scripted;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use coordinator::{
    demo::{Demo, Place},
    machine::Event,
    service::{RecordsError, RunReport, Service, ServiceError, TakeUpError},
    settings::RunSettings,
};
use protocol::{
    digests::SessionId,
    manifest::{Conditioning, Purpose},
    message::{Hello, ToCoordinator, ToVault},
};
use scripted::{Script, ScriptedHospital, Seen, connect, dialer, hear, hospital, say};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use transport::CloseCode;

/// A federation whose coordinator has a state folder and a fixed address.
struct Federation {
    demo: Demo,
    folder: TempDir,
}

/// A coordinator at work.
struct Running {
    address: SocketAddr,
    session: SessionId,
    is_taken_up: bool,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<RunReport, ServiceError>>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Federation {
    fn new() -> Self {
        let place = Place {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Place::default()
        };
        Self {
            demo: Demo::generate(3, place).expect("three hospitals"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn bind(&self, listen: SocketAddr, new_run: bool) -> Result<Service, ServiceError> {
        let state = Some(self.state());
        let mut config = self
            .demo
            .service_config(&run(), state)
            .expect("certificates");
        config.listen = listen;
        config.new_run = new_run;
        Service::bind(config)
    }

    fn start(&self) -> Running {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Running::of(self.bind(any, false).expect("bound"))
    }

    /// As soon as the process before has let go of address and folder, which takes a moment when it was not stopped but dropped.
    async fn start_again(&self, address: SocketAddr) -> Running {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            match self.bind(address, false) {
                Ok(service) => return Running::of(service),
                Err(
                    ServiceError::Listen { .. } | ServiceError::Records(RecordsError::InUse { .. }),
                ) if Instant::now() < patience => sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{:#}", anyhow::Error::from(error)),
            }
        }
    }

    fn play(&self, address: SocketAddr) -> Vec<JoinHandle<Seen>> {
        let uploads = Arc::new(watch::Sender::new(0));
        let script = Script {
            dials_on: true,
            ..Script::default()
        };
        let hospital = |id| {
            let address = address.to_string();
            ScriptedHospital::new(&self.demo, id, &address, script, Arc::clone(&uploads)).play()
        };
        (1..=3).map(hospital).map(tokio::spawn).collect()
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.state().join("coordinator.sqlite")).expect("a database")
    }

    fn text(&self, sql: &str) -> String {
        let row = self.database().query_row(sql, [], |row| row.get(0));
        row.expect("a row")
    }

    /// The transcript is one chain over all sums, each told once.
    fn assert_one_chain(&self) {
        let transcript = fs::read_to_string(self.state().join("transcript.jsonl"));
        let transcript = transcript.expect("a transcript");
        let lines: Vec<serde_json::Value> = transcript
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 5);
        for pair in lines.windows(2) {
            assert_eq!(pair[0]["transcript"], pair[1]["transcript_before"]);
        }
    }
}

impl Running {
    fn of(service: Service) -> Self {
        let address = service.local_address();
        let (session, is_taken_up) = (service.session(), service.is_taken_up());
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, events) = mpsc::unbounded_channel();
        let shutdown = async move {
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        Self {
            address,
            session,
            is_taken_up,
            stop,
            ended: tokio::spawn(service.run(sender, shutdown)),
            events,
        }
    }

    async fn until(&mut self, holds: impl Fn(&Event) -> bool) {
        let found = async {
            while let Some(event) = self.events.recv().await {
                if holds(&event) {
                    return true;
                }
            }
            false
        };
        if !soon(found).await {
            panic!("the run has ended before: {:?}", (&mut self.ended).await);
        }
    }

    async fn stop(self) {
        let told = Instant::now();
        self.stop.send(()).expect("it runs");
        let ended = soon(self.ended).await.expect("no panic");
        assert!(matches!(ended, Err(ServiceError::Stopped)), "{ended:?}");
        assert!(told.elapsed() < Duration::from_secs(10));
    }
}

fn run() -> RunSettings {
    RunSettings {
        // More than the restarts of a test can miss.
        rounds: 2,
        conditioning: Conditioning::None,
        round_timeout_secs: 20,
        ..RunSettings::default()
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(90), future)
        .await
        .expect("a test that hangs")
}

async fn assert_all_finished(hospitals: Vec<JoinHandle<Seen>>) {
    for hospital in hospitals {
        let seen = soon(hospital).await.expect("a hospital");
        assert_eq!(seen.ending, Some(ToVault::Finished));
        assert_eq!(seen.resumed_blob_bytes, None, "no script cuts it off");
        let purposes: Vec<_> = seen.outcomes.iter().map(|(purpose, ..)| *purpose).collect();
        let all = [
            Purpose::Stats,
            Purpose::Update,
            Purpose::Evaluation,
            Purpose::Update,
            Purpose::Evaluation,
        ];
        assert_eq!(purposes, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_stopped_and_killed_again_and_again_ends_as_if_nothing_had_happened() {
    let federation = Federation::new();
    let mut running = federation.start();
    assert!(!running.is_taken_up);
    let (session, address) = (running.session, running.address);
    let hospitals = federation.play(address);
    let moments: [fn(&Event) -> bool; 6] = [
        |event| matches!(event, Event::Joined { .. }),
        // A stop takes a moment, in which the process before may have got as far.
        |event| matches!(event, Event::SessionReady | Event::Opened { .. }),
        |event| matches!(event, Event::Contributed { .. }),
        |event| matches!(event, Event::Unlocking { .. }),
        |event| matches!(event, Event::OutcomeOut { .. }),
        |event| matches!(event, Event::Opened { .. }),
    ];
    for (place, moment) in moments.into_iter().enumerate() {
        running.until(moment).await;
        if place % 2 == 0 {
            running.stop().await;
        } else {
            // As near to a kill as a test within one process can come.
            running.ended.abort();
        }
        running = federation.start_again(address).await;
        assert!(running.is_taken_up);
        assert_eq!(running.session, session);
    }
    let report = soon(running.ended).await.expect("no panic");
    let report = report.expect("a good end");
    assert!(report.missing.is_empty());
    assert_all_finished(hospitals).await;

    federation.assert_one_chain();
    assert_eq!(
        federation.text("SELECT group_concat(result) FROM runs"),
        "complete"
    );
    assert_eq!(
        federation.text("SELECT group_concat(purpose || contributors, ' ') FROM rounds"),
        "stats1,2,3 update1,2,3 evaluation1,2,3 update1,2,3 evaluation1,2,3"
    );
    let blobs = fs::read_dir(federation.state().join("blobs")).expect("a folder");
    assert_eq!(blobs.count(), 0, "what everybody has is not kept");

    // A run that has ended is not taken up.
    let next = federation.start_again(address).await;
    assert!(!next.is_taken_up);
    assert_ne!(next.session, session);
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_stops_the_run_only_until_it_can() {
    let federation = Federation::new();
    let mut running = federation.start();
    let (blobs, aside) = (
        federation.state().join("blobs"),
        federation.state().join("aside"),
    );
    let take_away = || {
        fs::rename(&blobs, &aside).expect("moved");
        fs::write(&blobs, "in the way").expect("written");
    };
    let give_back = || {
        fs::remove_file(&blobs).expect("removed");
        fs::rename(&aside, &blobs).expect("moved");
    };
    take_away();
    let hospitals = federation.play(running.address);
    running
        .until(|event| matches!(event, Event::Opened { .. }))
        .await;
    sleep(Duration::from_secs(3)).await;
    let gone_on = std::iter::from_fn(|| running.events.try_recv().ok())
        .any(|event| matches!(event, Event::Unlocking { .. }));
    assert!(!gone_on, "nothing follows what was not written");
    // While it stands still it can be stopped, and then taken up.
    let address = running.address;
    running.stop().await;
    give_back();
    let mut running = federation.start_again(address).await;
    running
        .until(|event| matches!(event, Event::Settled(_)))
        .await;
    take_away();
    sleep(Duration::from_secs(3)).await;
    give_back();
    let report = soon(running.ended).await.expect("no panic");
    assert!(report.expect("a good end").missing.is_empty());
    assert_all_finished(hospitals).await;
    federation.assert_one_chain();
}

/// It says more than the queue of the owner has places for, who cannot write down the run's first fact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hospital_whose_connection_is_cut_in_a_standstill_is_let_in_again() {
    let federation = Federation::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let service = federation.bind(any, false).expect("bound");
    let registry = service.registry();
    let database = federation.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let running = Running::of(service);
    let address = running.address.to_string();
    let dialer = dialer(&federation.demo, hospital(1), &address);
    let hello = || ToCoordinator::Hello(Hello { resume: None });
    for _ in 0..3 {
        let link = connect(&dialer).await;
        say(&link, hello()).await;
        for _ in 0..400 {
            say(&link, ToCoordinator::Heartbeat).await;
        }
        link.close(CloseCode::Dropped, "cut").await;
        soon(async {
            while !registry.live().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    let mut link = connect(&dialer).await;
    say(&link, hello()).await;
    let unheard = timeout(Duration::from_secs(1), hear(&mut link)).await;
    assert!(unheard.is_err(), "its session is not on disk: {unheard:?}");
    database.execute_batch("ROLLBACK").expect("unlocked");
    let heard = soon(hear(&mut link)).await;
    assert!(matches!(heard, Ok(ToVault::Welcome(_))), "{heard:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_folder_is_for_one_coordinator_and_its_owner() {
    let federation = Federation::new();
    let running = federation.start();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    match federation.bind(any, false) {
        Err(error @ ServiceError::Records(RecordsError::InUse { .. })) => {
            let text = error.to_string();
            assert!(text.contains("another coordinator") && text.contains("state"));
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two coordinators with one folder"),
    }
    #[cfg(unix)]
    for name in [
        "",
        "lock",
        "transcript.jsonl",
        "coordinator.sqlite",
        "coordinator.sqlite-wal",
        "blobs",
    ] {
        use std::os::unix::fs::PermissionsExt as _;
        let about = fs::metadata(federation.state().join(name)).expect(name);
        assert_eq!(about.permissions().mode() & 0o077, 0, "{name}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_new_run_abandons_the_unfinished_one_only_when_it_is_asked_for() {
    let federation = Federation::new();
    let running = federation.start();
    let (session, address) = (running.session, running.address);
    running.stop().await;
    let new = federation.bind(address, true).expect("bound");
    assert!(!new.is_taken_up() && new.session() != session);
    assert_eq!(
        federation.text("SELECT group_concat(coalesce(result || ': ' || reason, '-')) FROM runs"),
        "abandoned: given up with --new-run,-"
    );
}

#[tokio::test]
async fn a_run_of_a_release_that_kept_no_facts_is_abandoned_with_that_reason() {
    let federation = Federation::new();
    let running = federation.start();
    let address = running.address;
    running.stop().await;
    let old = "DELETE FROM facts; UPDATE runs SET roster = NULL";
    federation.database().execute_batch(old).expect("written");
    let new = federation.bind(address, false).expect("bound");
    assert!(!new.is_taken_up());
    let reason = federation.text("SELECT reason FROM runs WHERE id = 1");
    assert_eq!(reason, "it was begun by a release that could not go on");
}

#[tokio::test]
async fn what_does_not_fit_the_kept_run_is_named_with_the_way_out() {
    let federation = Federation::new();
    let running = federation.start();
    let address = running.address;
    running.stop().await;

    let other = Federation::new();
    let config = other.demo.service_config(&run(), Some(federation.state()));
    let refused = refusal(Service::bind(config.expect("certificates")));
    assert!(refused.contains("another roster"), "{refused}");

    let facts = |sql: &str| {
        let changed = federation.database().execute(sql, []);
        changed.expect("written")
    };
    facts("UPDATE facts SET bytes = x'0505'");
    let refused = refusal(federation.bind(address, false));
    assert!(refused.contains("coordinator.sqlite"), "{refused}");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    assert!(federation.bind(any, true).is_ok(), "the way out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sum_or_an_outcome_that_is_gone_is_named() {
    let federation = Federation::new();
    let mut running = federation.start();
    let address = running.address;
    let hospitals = federation.play(address);
    running
        .until(|event| matches!(event, Event::OutcomeOut { .. }))
        .await;
    running.stop().await;
    for hospital in &hospitals {
        hospital.abort();
    }
    let blobs = federation.state().join("blobs");
    let empty = |folder: &Path| {
        for file in fs::read_dir(folder).expect("a folder") {
            fs::remove_file(file.expect("a file").path()).expect("removed");
        }
    };
    // As it was when the first U was fixed.
    let database = federation.database();
    let rest = "SELECT min(id) FROM facts WHERE kind = 'fixed'";
    let cut = database.execute(&format!("DELETE FROM facts WHERE id > ({rest})"), []);
    cut.expect("written");
    drop(database);
    empty(&blobs);
    // Nobody comes, so any port will do: the one before may be another's by now.
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    match federation.bind(anywhere, false) {
        Err(ServiceError::TakeUp {
            source: TakeUpError::SumLost { path, .. },
            ..
        }) => assert!(path.starts_with(&blobs), "{}", path.display()),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("without its sum"),
    }
}

/// The refusal of a service that must not start, with its causes.
fn refusal(bound: Result<Service, ServiceError>) -> String {
    match bound {
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            assert!(text.contains("--new-run"), "{text}");
            text
        }
        Ok(_) => panic!("must be refused"),
    }
}
