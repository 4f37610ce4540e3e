//! What whole-system tests need: the programs as they are built, processes that end with the test, and a federation in a folder.
#![forbid(unsafe_code)]

pub mod browser;
mod parties;
pub mod site;
#[cfg(target_os = "linux")]
pub mod small_disk;
pub mod udp_relay;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, LazyLock, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub use self::parties::Parties;
use self::udp_relay::UdpRelay;

/// A program of the workspace, from the folder that `MYELIN_PROGRAMS` names, or else built once a test run in the profile of the tests.
///
/// # Panics
/// If it does not build.
pub fn program(name: &str) -> Command {
    static FOLDER: LazyLock<PathBuf> =
        LazyLock::new(|| env::var_os("MYELIN_PROGRAMS").map_or_else(build_programs, PathBuf::from));
    Command::new(FOLDER.join(name))
}

/// The folder in which they are then.
fn build_programs() -> PathBuf {
    // target/PROFILE/deps/this-test: the programs lie two levels up.
    let test = env::current_exe().expect("a test has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/PROFILE/deps")
        .to_owned();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--bins"]);
    for package in ["coordinator", "participant", "trainer", "experiments"] {
        build.args(["--package", package]);
    }
    if folder.ends_with("release") {
        build.arg("--release");
    }
    build
        .arg("--target-dir")
        .arg(folder.parent().expect("target"));
    assert!(
        build.status().expect("cargo runs").success(),
        "the programs must build"
    );
    folder
}

/// Runs a program to its end.
///
/// # Panics
/// If it cannot be started.
pub fn run(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

/// What a program said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A program that runs beside the test and is ended with it.
pub struct Running {
    name: String,
    child: Child,
    log: Arc<(Mutex<Log>, Condvar)>,
}

#[derive(Default)]
struct Log {
    stdout: Vec<String>,
    stderr: Vec<String>,
}

impl Running {
    /// Starts it; what it says is kept.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::new((Mutex::new(Log::default()), Condvar::new()));
        let (stdout, stderr) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let keep = |reader: Box<dyn BufRead + Send>, put: fn(&mut Log, String)| {
            let log = log.clone();
            thread::spawn(move || {
                for line in reader.lines().map_while(Result::ok) {
                    put(
                        &mut log.0.lock().unwrap_or_else(PoisonError::into_inner),
                        line,
                    );
                    log.1.notify_all();
                }
            });
        };
        keep(Box::new(BufReader::new(stdout)), |log, line| {
            log.stdout.push(line)
        });
        keep(Box::new(BufReader::new(stderr)), |log, line| {
            log.stderr.push(line)
        });
        Self {
            name: name.into(),
            child,
            log,
        }
    }

    /// A process that does nothing, in the place of one that was killed.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn nothing() -> Self {
        Self::start("nothing", &mut Command::new("true"))
    }

    /// Waits until a line on stderr contains `words`.
    ///
    /// # Panics
    /// When none has come in time; shows what has.
    pub fn wait_for(&self, words: &str, patience: Duration) {
        let log = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |log: &mut Log| !log.stderr.iter().any(|line| line.contains(words));
        let (log, result) = self
            .log
            .1
            .wait_timeout_while(log, patience, missing)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !result.timed_out(),
            "{} did not say {words:?}:\n{}",
            self.name,
            log.stderr.join("\n")
        );
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it has not in time; shows what it said.
    pub fn exit_status(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} has not ended:\n{}",
                self.name,
                self.said()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for the end; gives success and the last line on stdout.
    ///
    /// # Panics
    /// When it has not ended in time; shows what it said.
    pub fn finish(mut self, patience: Duration) -> (bool, String) {
        let status = self.exit_status(patience);
        // The readers end with the pipes.
        thread::sleep(Duration::from_millis(100));
        let last = self
            .log
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stdout
            .last()
            .cloned()
            .unwrap_or_default();
        if !status.success() {
            eprintln!("{}: {}", self.name, self.said());
        }
        (status.success(), last)
    }

    /// Ends it at once, as a power failure would.
    ///
    /// # Panics
    /// If it cannot be ended.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours");
    }

    /// Sends it a signal: TERM, HUP, STOP, ...
    ///
    /// # Panics
    /// If that fails.
    pub fn signal(&self, name: &str) {
        let sent = run(Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]));
        assert!(sent.status.success(), "{}", stderr(&sent));
    }

    /// Its number in the operating system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said on stderr.
    pub fn said(&self) -> String {
        self.log
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stderr
            .join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A demo federation in a folder of its own, as `coordinator init --demo` makes it.
pub struct Federation {
    folder: TempDir,
    address: SocketAddr,
}

impl Federation {
    /// Keys, certificates and settings for so many hospitals, on a free port.
    ///
    /// # Panics
    /// If `init` fails.
    pub fn new(hospitals: u8) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port");
        let mut init = program("coordinator");
        init.args([
            "init",
            "--demo",
            &hospitals.to_string(),
            "--listen",
            &address.to_string(),
        ])
        .arg(folder.path().join("demo"));
        let output = run(&mut init);
        assert!(output.status.success(), "{}", stderr(&output));
        Self { folder, address }
    }

    /// Gives every hospital its part of a phantom cohort.
    ///
    /// # Panics
    /// If the cohort cannot be written.
    pub fn with_phantom(self, hospitals: u8, patients: usize, slices: usize) -> Self {
        let mut phantom = program("experiments");
        phantom.arg("phantom").arg(self.path());
        phantom.args([
            "--hospitals",
            &hospitals.to_string(),
            "--patients",
            &patients.to_string(),
            "--slices",
            &slices.to_string(),
        ]);
        let output = run(&mut phantom);
        assert!(output.status.success(), "{}", stderr(&output));
        self
    }

    /// Where its coordinator listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The federation's folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("demo")
    }

    /// A hospital's folder.
    pub fn hospital(&self, number: u8) -> PathBuf {
        self.path().join(format!("hospital-{number}"))
    }

    /// Replaces text in one of the federation's files.
    ///
    /// # Panics
    /// If the file does not contain it.
    pub fn edit(&self, file: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(file).expect("a file of the demo");
        assert!(
            text.contains(from),
            "{} does not contain {from:?}",
            file.display()
        );
        fs::write(file, text.replacen(from, to, 1)).expect("written");
    }

    /// The coordinator's program, for a short run.
    pub fn serve(&self, rounds: u32, silence_secs: u32) -> Command {
        let mut command = program("coordinator");
        command
            .arg("serve")
            .arg("--config")
            .arg(self.path().join("coordinator/coordinator.toml"));
        command.args([
            "--rounds",
            &rounds.to_string(),
            "--set",
            "run.local_epochs=1",
        ]);
        command.args(["--set", &format!("run.round_timeout_secs={silence_secs}")]);
        command.args(["--set", &format!("serve_outcomes_secs={silence_secs}")]);
        command
    }

    /// A hospital's program.
    pub fn participant(&self, number: u8) -> Command {
        let mut command = program("participant");
        command
            .arg("run")
            .arg("--config")
            .arg(self.hospital(number).join("participant.toml"));
        command
    }

    /// A hospital's program that finds its coordinator behind a relay.
    pub fn participant_behind(&self, relay: &UdpRelay, number: u8) -> Command {
        let mut command = self.participant(number);
        let address = relay.address();
        command.args(["--set", &format!("coordinator.address={address}")]);
        command
    }
}

/// The value of a text field of a JSON line.
pub fn text_field(line: &str, field: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get(field)?.as_str().map(ToOwned::to_owned)
}
