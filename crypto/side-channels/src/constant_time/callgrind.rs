use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Secret;

pub(super) const SECRET_VARIABLE: &str = "MYELIN_SECRET";

/// What callgrind counted during one operation.
#[derive(Debug, PartialEq)]
pub(super) struct Counts {
    pub(super) instructions: u64,
    reads: u64,
    writes: u64,
    branches: u64,
    indirect_jumps: u64,
    /// In the simulated cache of 32 KiB: depend on the addresses.
    read_misses: u64,
    write_misses: u64,
    /// By the simulated predictor: depend on which way the branches went.
    mispredictions: u64,
}

impl Counts {
    /// Whether the two can be of the same instructions, branches and addresses.
    ///
    /// Cache and predictor remember what was before the operation, such as its preparation, which may depend on the
    /// secret. Two or three misses come of that.
    pub(super) fn agree(&self, other: &Self) -> bool {
        let exact = |c: &Self| {
            [
                c.instructions,
                c.reads,
                c.writes,
                c.branches,
                c.indirect_jumps,
            ]
        };
        let remembered = |c: &Self| [c.read_misses, c.write_misses, c.mispredictions];
        let near = |(a, b): (u64, u64)| a.abs_diff(b) <= REMEMBERED;
        exact(self) == exact(other)
            && remembered(self)
                .into_iter()
                .zip(remembered(other))
                .all(near)
    }

    /// The counts in one dump: a line with the names of the events, and one with their totals.
    fn parse(dump: &str) -> Self {
        let line = |name: &str| {
            let line = dump.lines().find_map(|line| line.strip_prefix(name));
            line.expect("a dump has the line").split_whitespace()
        };
        let events: Vec<(&str, &str)> = line("events: ").zip(line("summary: ")).collect();
        let event = |name: &str| {
            let event = events.iter().find(|(event, _)| *event == name);
            // Trailing zeros are left out.
            event.map_or(0, |(_, count)| count.parse().expect("a count"))
        };
        Self {
            instructions: event("Ir"),
            reads: event("Dr"),
            writes: event("Dw"),
            branches: event("Bc"),
            indirect_jumps: event("Bi"),
            read_misses: event("D1mr"),
            write_misses: event("D1mw"),
            mispredictions: event("Bcm") + event("Bim"),
        }
    }
}

pub(super) fn is_there() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// This program once more, under callgrind, at work on one secret.
pub(super) struct Run {
    child: Child,
    folder: TempDir,
}

impl Run {
    /// `worker` is the path of a test, its crate first.
    pub(super) fn start(secret: Secret, worker: &str) -> Self {
        let (_crate, worker) = worker.split_once("::").expect("a path in a crate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let child = Command::new("valgrind")
            .args(["--tool=callgrind", "--cache-sim=yes", "--branch-sim=yes"])
            .args(["--I1=32768,8,64", "--D1=32768,8,64", "--LL=8388608,16,64"])
            // Threads take turns in the order in which they ask. Or the last instructions of the one that starts the
            // test may run in the middle of an operation and change its cache.
            .arg("--fair-sched=yes")
            // Two patterns for one function: callgrind keeps one option for a pattern.
            .arg("--toggle-collect=*::constant_time::measured*")
            .arg("--dump-after=*constant_time::measured*")
            .arg(format!("--callgrind-out-file={DUMP}"))
            .arg(std::env::current_exe().expect("the path of this program"))
            .args(["--ignored", "--exact", "--test-threads=1"])
            .arg(worker)
            .env(SECRET_VARIABLE, secret.name())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("valgrind starts");
        Self { child, folder }
    }

    /// One for each call of the measured function, in their order.
    pub(super) fn counts(self, calls: usize) -> Vec<Counts> {
        let output = self.child.wait_with_output().expect("valgrind ends");
        assert!(
            output.status.success(),
            "under valgrind: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let dump = |call: usize| self.folder.path().join(format!("{DUMP}.{call}"));
        assert!(!dump(calls + 1).exists(), "more than {calls} dumps");
        let counts = (1..=calls).map(|call| {
            let text = std::fs::read_to_string(dump(call)).expect("a dump for each call");
            Counts::parse(&text)
        });
        counts.collect()
    }
}

const DUMP: &str = "counts";

/// More than what another history makes of the simulated cache and predictor, and far less than one in a hundred of
/// the elements of any operation.
const REMEMBERED: u64 = 8;
