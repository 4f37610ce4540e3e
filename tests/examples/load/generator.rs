//! A coordinator's process under load: hospitals without secrets, which say what the protocol wants to hear over real connections.
//!
//! Only the coordinator is real. Its memory and processor time come from `/proc`, and the moments of a run from its log.

#[path = "../../../coordinator/tests/scripted/mod.rs"]
#[expect(dead_code, reason = "the tests of the coordinator ask it for more")]
mod scripted;

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use coordinator::demo::{Demo, Place};
use protocol::{
    codec::{Bytes, Id, List},
    message::{FilterRequest, Hello, ToCoordinator, ToVault},
};
use serde_json::{Value, json};
use system_tests::{Running, program, text_field};
use tokio::{
    sync::{Barrier, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use transport::CoordinatorLink;

use self::scripted::{Script, ScriptedHospital, Seen, connect, dialer, hear, hospital, say};

/// What is to be borne.
#[derive(Clone, Debug)]
pub struct Load {
    /// So many hospitals, of which the last is the one that dies or makes trouble.
    pub hospitals: u8,
    /// Learning rounds.
    pub rounds: u32,
    /// What the last hospital does once the first update is uploaded.
    pub last: Last,
    /// The processors that the coordinator may use, as `taskset` names them.
    pub processors: Option<String>,
    /// A hospital that has been silent for so long is no longer waited for.
    pub silence_secs: u32,
    /// How long all of it may take.
    pub patience: Duration,
}

/// What the last hospital does once the first update is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// What all do.
    TakesPart,
    /// It is gone, without a word.
    Dies,
    /// It says nothing but that it is alive.
    OnlyLives,
    /// It says hello again and again, and reads no answer.
    RepeatsHello,
    /// It asks for filters again and again, and reads no answer.
    RepeatsRequests,
}

/// What it took.
#[derive(Debug)]
pub struct Report {
    /// As a JSON object.
    pub figures: Value,
    /// The coordinator's log.
    pub log: String,
}

/// Runs it to the end.
///
/// # Panics
/// If the run does not end well for all hospitals but the last.
pub fn bear(load: &Load) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port");
    let place = Place {
        listen,
        ..Place::default()
    };
    let demo = Demo::generate(load.hospitals, place).expect("a federation");
    demo.write(&folder.path().join("demo")).expect("folders");
    let config = folder.path().join("demo/coordinator/coordinator.toml");
    let mut serve = serve(load);
    serve.arg("serve").arg("--config").arg(config);
    for (key, value) in [
        ("run.rounds", load.rounds),
        ("run.round_timeout_secs", load.silence_secs),
        ("run.straggler_floor_secs", load.silence_secs),
        ("serve_outcomes_secs", load.silence_secs),
    ] {
        serve.args(["--set", &format!("{key}={value}")]);
    }
    serve.args(["--set", "run.conditioning=none"]);
    let coordinator = Running::start("coordinator", &mut serve);
    coordinator.wait_for("waiting for all hospitals", Duration::from_secs(60));
    eprintln!(
        "the coordinator listens at {listen}, process {}",
        coordinator.id()
    );

    let watched = Watched::new(coordinator.id());
    let has_ended = AtomicBool::new(false);
    let (moments, played) = thread::scope(|scope| {
        let watching = scope.spawn(|| watch_process(&coordinator, &watched, &has_ended));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let ends = EndsWhenDropped(&has_ended);
        let playing = async { timeout(load.patience, play(load, &demo, listen, &watched)).await };
        let played = runtime.block_on(playing);
        drop(ends);
        (watching.join().expect("no panic"), played)
    });
    let played = played.unwrap_or_else(|_| panic!("it takes too long:\n{}", coordinator.said()));
    let mut coordinator = coordinator;
    assert!(coordinator.exit_status(load.patience).success());
    let log = coordinator.said();
    let (_, summary) = coordinator.finish(load.patience);
    assert!(text_field(&summary, "model_hash").is_some(), "{summary}");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let figures = json!({
        "hospitals": load.hospitals,
        "rounds": load.rounds,
        "last_hospital": format!("{:?}", load.last),
        "finished": played.finished,
        "troublesome_messages": played.troublesome_messages,
        "peak_mib": moments.peak_kib >> 10,
        "by_round": moments.rounds,
        "first_update": moments.first_update(&played),
        "coordinator_cpu_secs": moments.cpu_secs,
        "own_cpu_secs": cpu_secs(std::process::id()),
        "update_uploads": played.uploads,
        "adding_secs": summary["seconds"]["adding"],
        "missing": summary["missing"],
        "log_lines": log.lines().count(),
    });
    Report { figures, log }
}

fn serve(load: &Load) -> Command {
    match &load.processors {
        None => program("coordinator"),
        Some(processors) => {
            let mut pinned = Command::new("taskset");
            let coordinator = program("coordinator");
            pinned.args(["--cpu-list", processors]);
            pinned.arg(coordinator.get_program());
            pinned
        }
    }
}

/// Also a panic ends what waits for it.
struct EndsWhenDropped<'a>(&'a AtomicBool);

impl Drop for EndsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How it went at the hospitals.
struct Played {
    /// Hospitals that have heard that the run is finished.
    finished: usize,
    /// Updates that were uploaded.
    uploads: usize,
    /// What the last hospital has sent beside the protocol.
    troublesome_messages: u64,
    /// All had their first update ready, and all had uploaded it.
    first_update: Option<(Instant, Instant)>,
}

async fn play(load: &Load, demo: &Demo, address: SocketAddr, watched: &Watched) -> Played {
    let address = address.to_string();
    let uploads = Arc::new(watch::Sender::new(0));
    let starting_line = Arc::new(Barrier::new(usize::from(load.hospitals) + 1));
    let mut hospitals: Vec<JoinHandle<Seen>> = (1..=load.hospitals)
        .map(|id| {
            let uploads = Arc::clone(&uploads);
            let mut hospital =
                ScriptedHospital::new(demo, id, &address, Script::default(), uploads);
            hospital.starting_line = Some(Arc::clone(&starting_line));
            hospital
        })
        .map(|hospital| tokio::spawn(hospital.play()))
        .collect();
    starting_line.wait().await;
    let began = Instant::now();
    watched.mark_start();
    let all = usize::from(load.hospitals);
    let uploaded = uploads
        .subscribe()
        .wait_for(|count| *count >= all)
        .await
        .is_ok();
    let first_update = uploaded.then(|| (began, Instant::now()));
    watched.mark_end();

    let troublesome = Arc::new(AtomicU64::new(0));
    let mut trouble = None;
    if load.last != Last::TakesPart {
        let last = hospitals.pop().expect("two or more");
        last.abort();
        let _ = last.await;
        let dialer = dialer(demo, hospital(load.hospitals), &address);
        let (kind, id) = (load.last, load.hospitals);
        let count = Arc::clone(&troublesome);
        trouble = Some(tokio::spawn(async move {
            loop {
                let link = connect(&dialer).await;
                make_trouble(kind, id, link, &count).await;
                sleep(Duration::from_millis(500)).await;
            }
        }));
    }
    let mut finished = 0;
    for hospital in hospitals {
        let seen = hospital.await.expect("a hospital");
        finished += usize::from(seen.ending == Some(ToVault::Finished));
    }
    if let Some(trouble) = trouble {
        trouble.abort();
    }
    let uploads = *uploads.borrow();
    Played {
        finished,
        uploads,
        troublesome_messages: troublesome.load(Ordering::Relaxed),
        first_update,
    }
}

/// Until the connection is closed.
async fn make_trouble(kind: Last, id: u8, mut link: CoordinatorLink, count: &AtomicU64) {
    let hello = || ToCoordinator::Hello(Hello { resume: None });
    let request = ToCoordinator::FilterRequest(FilterRequest {
        session: [0; 16].into(),
        id: Id(hospital(id)),
        key: 0,
        version: 0,
        features: List::default(),
        bytes: Bytes(vec![0; 100_000]),
    });
    match kind {
        Last::TakesPart => {}
        Last::Dies => std::future::pending().await,
        Last::OnlyLives => {
            say(&link, hello()).await;
            let live = async {
                loop {
                    say(&link, ToCoordinator::Heartbeat).await;
                    count.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_secs(2)).await;
                }
            };
            // The sending side holds the link only by its sender.
            let _ = timeout(Duration::from_secs(3600), live).await;
            while hear(&mut link).await.is_ok() {}
        }
        Last::RepeatsHello | Last::RepeatsRequests => loop {
            let message = if kind == Last::RepeatsHello {
                hello()
            } else {
                request.clone()
            };
            let frame = protocol::codec::encode_frame(&message);
            if link.sender().send(frame).await.is_err() {
                return;
            }
            count.fetch_add(1, Ordering::Relaxed);
        },
    }
}

/// The coordinator's process, and the moments that the hospitals know of.
struct Watched {
    process: u32,
    /// Its processor time when the uploads of the first update began, and when they had ended.
    first_update_cpu: Mutex<(f64, f64)>,
    own_cpu: Mutex<(f64, f64)>,
}

impl Watched {
    fn new(process: u32) -> Self {
        Self {
            process,
            first_update_cpu: Mutex::default(),
            own_cpu: Mutex::default(),
        }
    }

    fn mark_start(&self) {
        lock(&self.first_update_cpu).0 = cpu_secs(self.process);
        lock(&self.own_cpu).0 = cpu_secs(std::process::id());
    }

    fn mark_end(&self) {
        lock(&self.first_update_cpu).1 = cpu_secs(self.process);
        lock(&self.own_cpu).1 = cpu_secs(std::process::id());
    }
}

/// What was seen of the process.
struct Moments {
    peak_kib: u64,
    cpu_secs: f64,
    rounds: Vec<Value>,
    first_update_cpu: f64,
    own_first_update_cpu: f64,
}

impl Moments {
    fn first_update(&self, played: &Played) -> Value {
        let Some((began, ended)) = played.first_update else {
            return Value::Null;
        };
        let secs = (ended - began).as_secs_f64();
        json!({
            "secs": secs,
            "coordinator_cpu_secs": self.first_update_cpu,
            "own_cpu_secs": self.own_first_update_cpu,
        })
    }
}

/// Looks at the process again and again, and begins a new peak with each update.
fn watch_process(coordinator: &Running, watched: &Watched, has_ended: &AtomicBool) -> Moments {
    let process = watched.process;
    let mut moments = Moments {
        peak_kib: 0,
        cpu_secs: 0.0,
        rounds: Vec::new(),
        first_update_cpu: 0.0,
        own_first_update_cpu: 0.0,
    };
    let mut updates = 0;
    let (mut now_kib, mut peak_kib) = (0, 0);
    loop {
        let is_last = has_ended.load(Ordering::Relaxed);
        // Before the peak of the round is begun anew.
        let seen = (status_kib(process, "VmRSS:"), status_kib(process, "VmHWM:"));
        if seen != (0, 0) {
            (now_kib, peak_kib) = seen;
        }
        moments.peak_kib = moments.peak_kib.max(peak_kib);
        moments.cpu_secs = moments.cpu_secs.max(cpu_secs(process));
        let said = coordinator.said();
        let opened = said.lines().filter(|line| line.contains("opened a round"));
        let seen = opened.filter(|line| line.contains("update")).count();
        if seen > updates || is_last {
            if updates > 0 {
                moments.rounds.push(json!({
                    "round": updates,
                    "peak_mib": peak_kib >> 10,
                    "at_end_mib": now_kib >> 10,
                }));
            }
            updates = seen;
            let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
        }
        if is_last {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let [coordinator, own] = [&watched.first_update_cpu, &watched.own_cpu].map(|cpu| {
        let (began, ended) = *lock(cpu);
        ended - began
    });
    moments.first_update_cpu = coordinator;
    moments.own_first_update_cpu = own;
    moments
}

/// A number of `/proc/PROCESS/status`; 0 when the process has ended.
fn status_kib(process: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Processor time of all its threads, in its own code and in the kernel; 0 when the process has ended.
fn cpu_secs(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is a name in brackets.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<_> = after.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse().ok());
    let [user, system]: [Option<f64>; 2] = [11, 12].map(ticks);
    (user.unwrap_or(0.0) + system.unwrap_or(0.0)) / TICKS_PER_SEC
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of Linux, on every processor.
const TICKS_PER_SEC: f64 = 100.0;
