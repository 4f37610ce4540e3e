//! The runs that were offered and what was decided about them, in SQLite, in the state folder. Two processes work on it at once: the one
//! that waits for a decision, and the command that makes it. It holds no secret; whoever can write to it decides for this hospital.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use host::private_folder::open_private_file;
use protocol::{
    codec,
    digests::{RosterHash, RunId},
    identity::Signed,
    manifest::{CheckedManifest, Manifest},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Approval, Approvals, ApprovalsError, Decision};

/// The record of one hospital.
pub struct ApprovalStore {
    connection: Connection,
    path: PathBuf,
    approval: Approval,
    roster: RosterHash,
}

/// A run that was offered, for the hospitals of the roster that holds here.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferedRun {
    /// Its name to programs.
    pub run: RunId,
    /// As the operator signed it.
    pub manifest: Signed<Manifest>,
    /// When it was offered first, in UTC.
    pub offered_at: String,
    /// Why the policy refuses it; none where it does not.
    pub refusal: Option<String>,
    /// The newest last.
    pub decisions: Vec<KeptDecision>,
}

/// What somebody has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDecision {
    /// What.
    pub verdict: Verdict,
    /// When, in UTC.
    pub at: String,
    /// Who, as the system calls them.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This hospital takes part.
    Approved,
    /// It does not.
    Rejected,
}

impl Verdict {
    /// As the record and people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

impl OfferedRun {
    /// What counts: the newest decision.
    pub fn decision(&self) -> Decision {
        match self.decisions.last() {
            None => Decision::Awaited,
            Some(last) => last.decision(),
        }
    }
}

impl KeptDecision {
    fn decision(&self) -> Decision {
        match self.verdict {
            Verdict::Approved => Decision::Approved,
            Verdict::Rejected => Decision::Rejected {
                reason: self.reason.clone(),
            },
        }
    }
}

impl ApprovalStore {
    /// The file's name in the state folder.
    pub const FILE: &'static str = "approvals.sqlite";

    /// Opens the record in the state folder, or makes it, for its owner alone. Offers and decisions are about a run of this roster's
    /// hospitals: those of other rosters stay in the file, and nobody is taken to have agreed to other hospitals.
    ///
    /// # Errors
    /// [`ApprovalsError`] when it cannot be opened, is no such record, or is one of a later release.
    pub fn open(
        state: &Path,
        approval: Approval,
        roster: RosterHash,
    ) -> Result<Self, ApprovalsError> {
        let path = state.join(Self::FILE);
        let fault = |reason: String| ApprovalsError {
            path: path.clone(),
            reason,
        };
        // SQLite would make one that others can read; its journal gets the same mode.
        open_private_file(&path).map_err(|error| fault(error.to_string()))?;
        let opened = Self::connect(&path);
        let (connection, version) = opened.map_err(|error| fault(error.to_string()))?;
        if version > VERSION {
            return Err(fault(format!(
                "it was written by a later release (version {version}, this one writes {VERSION}); use that release"
            )));
        }
        if version == 0 {
            connection
                .execute_batch(SCHEMA)
                .map_err(|error| fault(error.to_string()))?;
        }
        Ok(Self {
            connection,
            path,
            approval,
            roster,
        })
    }

    fn connect(path: &Path) -> rusqlite::Result<(Connection, i64)> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(PRAGMAS)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((connection, version))
    }

    /// Every run that was offered, the newest last.
    ///
    /// # Errors
    /// [`ApprovalsError`], also when a manifest in it cannot be read.
    pub fn runs(&self) -> Result<Vec<OfferedRun>, ApprovalsError> {
        let rows = self.ask(self.rows())?;
        let offered = rows.into_iter().map(|row| {
            let (run, manifest, offered_at, refusal) = row;
            let run = RunId::from_bytes(run);
            let damaged = || self.error(format!("the manifest of run {run} in it is damaged"));
            let manifest: Signed<Manifest> = codec::decode(&manifest).map_err(|_| damaged())?;
            if manifest.digest() != run {
                return Err(damaged());
            }
            let decisions = self.ask(self.decisions(&run))?;
            Ok(OfferedRun {
                run,
                manifest,
                offered_at,
                refusal,
                decisions,
            })
        });
        offered.collect()
    }

    /// Keeps a decision beside those before it.
    ///
    /// # Errors
    /// [`ApprovalsError`].
    pub fn decide(
        &mut self,
        run: &RunId,
        verdict: Verdict,
        by: &str,
        reason: &str,
    ) -> Result<(), ApprovalsError> {
        let written = self.connection.execute(
            "INSERT INTO decisions (run, roster, verdict, at, by, reason) VALUES (?1, ?2, ?3, unixepoch(), ?4, ?5)",
            params![run.as_bytes(), self.roster.as_bytes(), verdict.as_str(), by, reason],
        );
        self.ask(written).map(|_| ())
    }

    fn rows(&self) -> rusqlite::Result<Vec<Row>> {
        let select = "SELECT run, manifest, strftime('%Y-%m-%dT%H:%M:%SZ', offered, 'unixepoch'), refusal FROM runs WHERE roster = ?1 ORDER BY offered, rowid";
        let mut statement = self.connection.prepare(select)?;
        let rows = statement.query_map(params![self.roster.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        rows.collect()
    }

    fn decisions(&self, run: &RunId) -> rusqlite::Result<Vec<KeptDecision>> {
        let select = "SELECT verdict, strftime('%Y-%m-%dT%H:%M:%SZ', at, 'unixepoch'), by, reason FROM decisions WHERE run = ?1 AND roster = ?2 ORDER BY id";
        let mut statement = self.connection.prepare(select)?;
        let rows = statement.query_map(params![run.as_bytes(), self.roster.as_bytes()], |row| {
            let verdict: String = row.get(0)?;
            Ok(KeptDecision {
                // Whatever is not a yes is none.
                verdict: match verdict.as_str() {
                    "approved" => Verdict::Approved,
                    _ => Verdict::Rejected,
                },
                at: row.get(1)?,
                by: row.get(2)?,
                reason: row.get(3)?,
            })
        })?;
        rows.collect()
    }

    /// Takes the run into the record, or what the policy now says of it. Nothing is written where all is as it was: the record is asked
    /// every few seconds.
    fn note(&mut self, run: &CheckedManifest, refusal: Option<&str>) -> Result<(), ApprovalsError> {
        let id = run.run();
        let roster = self.roster.as_bytes();
        let select = "SELECT refusal FROM runs WHERE run = ?1 AND roster = ?2";
        let known = self
            .connection
            .query_row(select, params![id.as_bytes(), roster], |row| row.get(0))
            .optional();
        let known: Option<Option<String>> = self.ask(known)?;
        let written = match known {
            Some(known) if known.as_deref() == refusal => return Ok(()),
            Some(_) => self.connection.execute(
                "UPDATE runs SET refusal = ?3 WHERE run = ?1 AND roster = ?2",
                params![id.as_bytes(), roster, refusal],
            ),
            None => self.connection.execute(
                "INSERT INTO runs (run, roster, manifest, offered, refusal) VALUES (?1, ?2, ?3, unixepoch(), ?4)",
                params![id.as_bytes(), roster, codec::encode(run.signed()), refusal],
            ),
        };
        self.ask(written).map(|_| ())
    }

    /// What counts of the decisions; where there is none, `otherwise` becomes one.
    fn decision(
        &mut self,
        run: &CheckedManifest,
        otherwise: Option<&str>,
    ) -> Result<Decision, ApprovalsError> {
        self.note(run, None)?;
        let id = run.run();
        if let Some(reason) = otherwise {
            // In one statement: what somebody says in between counts.
            let written = self.connection.execute(
                "INSERT INTO decisions (run, roster, verdict, at, by, reason)
                 SELECT ?1, ?2, 'approved', unixepoch(), ?3, ?4
                 WHERE NOT EXISTS (SELECT 1 FROM decisions WHERE run = ?1 AND roster = ?2)",
                params![id.as_bytes(), self.roster.as_bytes(), NOBODY, reason],
            );
            self.ask(written)?;
        }
        let decisions = self.ask(self.decisions(&id))?;
        Ok(decisions
            .last()
            .map_or(Decision::Awaited, KeptDecision::decision))
    }

    fn ask<T>(&self, result: rusqlite::Result<T>) -> Result<T, ApprovalsError> {
        result.map_err(|error| self.error(error.to_string()))
    }

    fn error(&self, reason: String) -> ApprovalsError {
        ApprovalsError {
            path: self.path.clone(),
            reason,
        }
    }
}

impl Approvals for ApprovalStore {
    fn of_offered(&mut self, run: &CheckedManifest) -> Result<Decision, ApprovalsError> {
        let otherwise = match self.approval {
            Approval::Ask => None,
            Approval::Automatic => Some("policy.approval is automatic"),
        };
        self.decision(run, otherwise)
    }

    fn of_begun(&mut self, run: &CheckedManifest) -> Result<Decision, ApprovalsError> {
        self.decision(run, Some("this hospital was in the run already"))
    }

    fn note_refusal(&mut self, run: &CheckedManifest, reason: &str) -> Result<(), ApprovalsError> {
        self.note(run, Some(reason))
    }
}

type Row = ([u8; 32], Vec<u8>, String, Option<String>);

/// In the place of a person.
const NOBODY: &str = "the program";
const VERSION: i64 = 1;
/// The other process writes for a moment only.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const PRAGMAS: &str = "
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
";

const SCHEMA: &str = "
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS runs (
    run BLOB NOT NULL, roster BLOB NOT NULL, manifest BLOB NOT NULL, offered INTEGER NOT NULL, refusal TEXT,
    PRIMARY KEY (run, roster)) STRICT;
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY, run BLOB NOT NULL, roster BLOB NOT NULL, verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected')),
    at INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
PRAGMA user_version = 1;
COMMIT;
";

#[cfg(test)]
mod tests {
    use protocol::{manifest::testing::manifest, roster::testing::federation};

    use super::*;

    /// A run whose nonce begins with `number`.
    fn run(number: u8) -> CheckedManifest {
        let federation = federation(3);
        let manifest = Manifest {
            nonce: [number; 32],
            ..manifest()
        };
        let signed = Signed::sign(&manifest, &federation.operator_key);
        CheckedManifest::check(signed, &federation.roster).expect("sound")
    }

    fn open(state: &Path, approval: Approval) -> ApprovalStore {
        open_with(state, approval, 1)
    }

    fn open_with(state: &Path, approval: Approval, roster: u8) -> ApprovalStore {
        ApprovalStore::open(state, approval, [roster; 32].into()).expect("opened")
    }

    #[test]
    fn who_has_agreed_has_not_agreed_to_other_hospitals() {
        let state = tempfile::tempdir().expect("a folder");
        let mut before = open(state.path(), Approval::Automatic);
        let approved = before.of_offered(&run(1)).expect("kept");
        assert_eq!(approved, Decision::Approved);
        let mut after = open_with(state.path(), Approval::Ask, 2);
        assert!(after.runs().expect("readable").is_empty());
        let asked_again = after.of_offered(&run(1)).expect("kept");
        assert_eq!(asked_again, Decision::Awaited);
        assert_eq!(before.runs().expect("readable").len(), 1);
    }

    #[test]
    fn a_run_waits_until_another_process_decides_and_a_decision_is_about_this_run_alone() {
        let state = tempfile::tempdir().expect("a folder");
        let mut waiting = open(state.path(), Approval::Ask);
        let (first, second) = (run(1), run(2));
        for _ in 0..2 {
            assert_eq!(waiting.of_offered(&first).expect("kept"), Decision::Awaited);
        }
        let mut command = open(state.path(), Approval::Ask);
        let offered = command.runs().expect("readable");
        assert_eq!(offered.len(), 1);
        assert_eq!(offered[0].manifest, *first.signed());
        assert_eq!(offered[0].offered_at.len(), "2026-11-30T20:00:00Z".len());
        let (verdict, by) = (Verdict::Approved, "alice");
        command.decide(&first.run(), verdict, by, "").expect("kept");
        assert_eq!(
            waiting.of_offered(&first).expect("kept"),
            Decision::Approved
        );
        // Another nonce, another run.
        assert_eq!(
            waiting.of_offered(&second).expect("kept"),
            Decision::Awaited
        );
        let rejected = Decision::Rejected {
            reason: "not with these".into(),
        };
        command
            .decide(&first.run(), Verdict::Rejected, "bob", "not with these")
            .expect("kept");
        assert_eq!(waiting.of_offered(&first).expect("kept"), rejected);
        assert_eq!(waiting.of_begun(&first).expect("kept"), rejected);
        let runs = command.runs().expect("readable");
        assert_eq!(runs.len(), 2);
        let by: Vec<_> = runs[0].decisions.iter().map(|kept| &kept.by).collect();
        assert_eq!(by, ["alice", "bob"]);
        assert_eq!(runs[0].decision(), rejected);
        assert_eq!(runs[1].decision(), Decision::Awaited);
    }

    #[test]
    fn nobody_is_asked_where_approval_is_automatic_or_the_run_has_begun() {
        let state = tempfile::tempdir().expect("a folder");
        let mut automatic = open(state.path(), Approval::Automatic);
        assert_eq!(
            automatic.of_offered(&run(1)).expect("kept"),
            Decision::Approved
        );
        let mut asking = open(state.path(), Approval::Ask);
        assert_eq!(
            asking.of_offered(&run(1)).expect("kept"),
            Decision::Approved
        );
        assert_eq!(asking.of_begun(&run(2)).expect("kept"), Decision::Approved);
        let runs = asking.runs().expect("readable");
        let reasons: Vec<_> = runs
            .iter()
            .map(|run| run.decisions[0].reason.as_str())
            .collect();
        assert_eq!(
            reasons,
            [
                "policy.approval is automatic",
                "this hospital was in the run already"
            ]
        );
    }

    #[test]
    fn a_refusal_of_the_policy_is_kept_until_the_policy_is_another() {
        let state = tempfile::tempdir().expect("a folder");
        let mut store = open(state.path(), Approval::Ask);
        let refusal = |store: &ApprovalStore| store.runs().expect("readable")[0].refusal.clone();
        store.note_refusal(&run(1), "too long").expect("kept");
        assert_eq!(refusal(&store).as_deref(), Some("too long"));
        assert_eq!(store.of_offered(&run(1)).expect("kept"), Decision::Awaited);
        assert_eq!(refusal(&store), None);
    }

    #[test]
    fn the_record_is_its_owners_alone_and_one_of_a_later_release_is_refused() {
        let state = tempfile::tempdir().expect("a folder");
        let store = open(state.path(), Approval::Ask);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let about = std::fs::metadata(&store.path).expect("it is there");
            assert_eq!(about.permissions().mode() & 0o777, 0o600);
        }
        let later = store.connection.pragma_update(None, "user_version", 2);
        later.expect("written");
        drop(store);
        let error = ApprovalStore::open(state.path(), Approval::Ask, [1; 32].into()).err();
        let said = error.expect("refused").to_string();
        assert!(
            said.contains("approvals.sqlite") && said.contains("version 2"),
            "{said}"
        );
        std::fs::write(state.path().join(ApprovalStore::FILE), "not a database").expect("written");
        let opened = ApprovalStore::open(state.path(), Approval::Ask, [1; 32].into());
        assert!(opened.is_err());
    }

    #[test]
    fn a_damaged_manifest_is_an_error_and_not_another_run() {
        let state = tempfile::tempdir().expect("a folder");
        let mut store = open(state.path(), Approval::Ask);
        store.of_offered(&run(1)).expect("kept");
        let spoil = "UPDATE runs SET manifest = x'0102'";
        store.connection.execute(spoil, []).expect("written");
        let said = store.runs().expect_err("damaged").to_string();
        assert!(said.contains("is damaged"), "{said}");
    }
}
