//! A hospital at a moment: its record of runs, its ledger, and the board.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use host::recent_log::recent_lines;
use protocol::roster::Roster;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::board::Board;
use crate::{
    approvals::{
        Decision,
        shown::{as_json, name_of},
        store::{ApprovalStore, OfferedRun},
    },
    ledger::{self, Content, Entry, Summary},
    settings::Settings,
};

/// The hospital's files, as they were read last.
pub(super) struct Files {
    settings: Settings,
    roster: watch::Receiver<Arc<Roster>>,
    approvals: Option<ApprovalStore>,
    ledger: Option<LedgerView>,
}

/// What has left, as far as it was read.
struct LedgerView {
    /// Of the files, when it was read.
    changed: Changed,
    read: Instant,
    took: Duration,
    entries: u64,
    bytes: i64,
    head: String,
    /// The last ones, the newest last.
    recent: Vec<Value>,
    fault: Option<String>,
}

/// When the ledger's file and its write-ahead log were written; none of one that is not there.
type Changed = [Option<SystemTime>; 2];

impl Files {
    pub(super) fn new(settings: Settings, roster: watch::Receiver<Arc<Roster>>) -> Self {
        Self {
            settings,
            roster,
            approvals: None,
            ledger: None,
        }
    }

    /// All of it as an object. Reads files: to be called where blocking is allowed.
    pub(super) fn look(&mut self, board: &Board) -> Value {
        let mut shown = serde_json::to_value(board).unwrap_or_default();
        // One that has been replaced has other runs.
        if self.roster.has_changed().unwrap_or_default() {
            self.approvals = None;
        }
        let roster = Arc::clone(&self.roster.borrow_and_update());
        let (offered, fault) = match self.offered(&roster) {
            Ok(offered) => (offered, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let own = self.settings.hospital;
        let name = roster.member(own).map(|member| member.name.clone());
        shown["schema"] = SCHEMA.into();
        shown["program"] = "participant".into();
        shown["release"] = env!("CARGO_PKG_VERSION").into();
        shown["hospital"] = json!({"number": own.get(), "name": name});
        shown["federation"] = json!({"epoch": roster.epoch(), "fingerprint": roster.fingerprint()});
        shown["run"] = run_at_hand(board, &offered).into();
        shown["offered"] = offered.iter().map(as_json).collect();
        shown["offered_fault"] = fault.into();
        shown["ledger"] = self.ledger().as_json();
        shown["log"] = json!(recent_lines());
        shown
    }

    fn offered(&mut self, roster: &Roster) -> Result<Vec<OfferedRun>, String> {
        if self.approvals.is_none() {
            self.approvals = open_approvals(&self.settings, roster)?;
        }
        let runs = self.approvals.as_ref().map(ApprovalStore::runs);
        runs.transpose()
            .map(Option::unwrap_or_default)
            .map_err(|error| error.to_string())
    }

    /// Read anew when it has changed, and not all the time: the whole chain is checked.
    fn ledger(&mut self) -> &LedgerView {
        let path = self.settings.state.join(ledger::FILE);
        let changed = [path.clone(), with_ending(&path, "-wal")]
            .map(|path| fs::metadata(path).and_then(|about| about.modified()).ok());
        let is_fresh = self.ledger.as_ref().is_some_and(|view| {
            let pause = BETWEEN_LEDGER_READS.max(view.took * MIN_REST);
            view.changed == changed || view.read.elapsed() < pause
        });
        if !is_fresh {
            self.ledger = None;
        }
        self.ledger
            .get_or_insert_with(|| LedgerView::read(&path, changed))
    }
}

impl LedgerView {
    fn read(path: &Path, changed: Changed) -> Self {
        let mut view = Self {
            changed,
            read: Instant::now(),
            took: Duration::ZERO,
            entries: 0,
            bytes: 0,
            head: String::new(),
            recent: Vec::new(),
            fault: None,
        };
        if changed[0].is_none() {
            return view;
        }
        let mut summary = Summary::default();
        let mut recent = VecDeque::new();
        let verified = ledger::verify(path, None, |entry| {
            summary.add(&entry.content);
            recent.push_back(entry.clone());
            if recent.len() > MAX_RECENT {
                recent.pop_front();
            }
        });
        view.recent = recent.iter().map(entry_json).collect();
        view.bytes = summary.total().1;
        match verified {
            Ok(verified) => {
                view.entries = verified.head.entries;
                view.head = hex::encode(verified.head.hash);
            }
            Err(fault) => view.fault = Some(fault.to_string()),
        }
        view.took = view.read.elapsed();
        view
    }

    fn as_json(&self) -> Value {
        json!({
            "entries": self.entries,
            "bytes": self.bytes,
            "hash": self.head,
            "recent": self.recent,
            "fault": self.fault,
        })
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn entry_json(entry: &Entry) -> Value {
    let Content {
        first_at,
        to,
        kind,
        purpose,
        bytes,
        protection,
        sha256,
        ..
    } = &entry.content;
    json!({
        "entry": entry.number,
        "at": first_at,
        "to": to.address,
        "purpose": purpose,
        "object": kind,
        "bytes": bytes,
        "hash": hex::encode(sha256),
        "protection": protection,
    })
}

/// The runs that were offered, the newest last.
///
/// # Errors
/// Why the record cannot be read.
pub fn offered_runs(settings: &Settings, roster: &Roster) -> Result<Vec<OfferedRun>, String> {
    let store = open_approvals(settings, roster)?;
    let runs = store.as_ref().map(ApprovalStore::runs).transpose();
    let runs = runs.map_err(|error| error.to_string())?;
    Ok(runs.unwrap_or_default())
}

/// None before anything was offered.
fn open_approvals(settings: &Settings, roster: &Roster) -> Result<Option<ApprovalStore>, String> {
    let is_there = settings.state.join(ApprovalStore::FILE).exists();
    let store =
        is_there.then(|| ApprovalStore::open(&settings.state, settings.approval, roster.hash()));
    store.transpose().map_err(|error| error.to_string())
}

/// The run that this hospital is in: the one it says, or the last that was approved, once it has joined.
fn run_at_hand(board: &Board, offered: &[OfferedRun]) -> Option<Value> {
    let mut newest_first = offered.iter().rev();
    let run = match board.run() {
        Some(run) => newest_first.find(|offered| offered.run == *run),
        None if board.is_in_run() => {
            newest_first.find(|offered| offered.decision() == Decision::Approved)
        }
        None => None,
    }?;
    let rounds = run.manifest.read_unverified().ok()?.rounds;
    Some(json!({"run": hex::encode(run.run), "name": name_of(run), "rounds": rounds}))
}

/// Rises when a key changes its meaning or goes.
const SCHEMA: u32 = 1;
const MAX_RECENT: usize = 50;
const BETWEEN_LEDGER_READS: Duration = Duration::from_secs(5);
/// Reading a long ledger takes this small a part of the time.
const MIN_REST: u32 = 50;
