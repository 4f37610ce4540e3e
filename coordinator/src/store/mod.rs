//! What a coordinator keeps on disk: `coordinator.sqlite` with runs, rounds, connections and refusals, for operators to query, and
//! with the facts from which a run goes on after a crash; and [`Blobs`], the files that facts refer to.
//!
//! ```sql
//! SELECT number, purpose, contributors, (settled_unix_ms - opened_unix_ms) / 1000.0 AS seconds
//! FROM rounds WHERE run = (SELECT max(id) FROM runs);
//! ```
//!
//! Times are milliseconds since 1970, in UTC. Nothing in it is secret. The signed truth about a run is in `transcript.jsonl`.

mod blobs;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

pub use self::blobs::Blobs;
use crate::machine::{Fact, FactError, TranscriptEntry};
use crypto::sealed_sum::HospitalId;
use protocol::{
    codec,
    digests::{LearningRound, ModelHash, RoundNumber},
    identity::Signed,
    manifest::{Manifest, Purpose},
};
use rusqlite::{Connection, params};
use transport::TrafficCounts;

/// The database, and the run that is being recorded.
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub enum RunResult<'a> {
    /// Well, with this model.
    Complete {
        /// Hash of the common model.
        model_hash: &'a ModelHash,
    },
    /// The run failed.
    Failed {
        /// Why it failed.
        reason: &'a str,
    },
    /// A person or a signal stopped the run.
    Stopped,
}

impl Store {
    /// Opens the database at `path`, or makes it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be opened, or was made by another release.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Database {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open(path).map_err(failed)?;
        // Another process may look in while we write.
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .map_err(failed)?;
        // A fact is on disk, not only with the operating system, when the statement that writes it returns.
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(failed)?;
        connection
            .pragma_update(None, "foreign_keys", true)
            .map_err(failed)?;
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(failed)?;
        match version {
            0 => {
                connection.execute_batch(SCHEMA).map_err(failed)?;
                connection.execute_batch(FACTS).map_err(failed)?;
            }
            // The release before this one kept no facts.
            1 => connection.execute_batch(FACTS).map_err(failed)?,
            SCHEMA_VERSION => {}
            found => {
                return Err(StoreError::Version {
                    path: path.to_owned(),
                    found,
                });
            }
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// A run begins; what follows belongs to it.
    ///
    /// # Errors
    /// [`StoreError`], here and below, if the database cannot be written.
    pub fn begin_run(&self, manifest: &Signed<Manifest>) -> Result<(), StoreError> {
        let name = manifest
            .read_unverified()
            .map(|manifest| manifest.name.0)
            .unwrap_or_default();
        self.execute(
            "INSERT INTO runs (hash, name, manifest, begun_unix_ms) VALUES (?1, ?2, ?3, ?4)",
            params![
                hex::encode(manifest.digest()),
                name,
                codec::encode(manifest),
                now_unix_ms()
            ],
        )
    }

    /// Writes a fact of the run down, after all those before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_fact(&self, fact: &Fact) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO facts (run, kind, bytes) VALUES ((SELECT max(id) FROM runs), ?1, ?2)",
            params![fact.kind().to_string(), fact.to_bytes()],
        )
    }

    /// The facts of the last run, in the order in which they were written.
    ///
    /// # Errors
    /// [`StoreError`], also when the bytes of one are damaged.
    pub fn facts(&self) -> Result<Vec<Fact>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT bytes FROM facts WHERE run = (SELECT max(id) FROM runs) ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let rows = read().map_err(|source| StoreError::Database {
            path: self.path.clone(),
            source,
        })?;
        let facts = rows.iter().map(|bytes| Fact::from_bytes(bytes));
        let facts: Result<_, _> = facts.collect();
        facts.map_err(|source| StoreError::Fact {
            path: self.path.clone(),
            source,
        })
    }

    /// The run has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_run(&self, result: &RunResult<'_>) -> Result<(), StoreError> {
        let (word, reason, model_hash) = match result {
            RunResult::Complete { model_hash } => ("complete", None, Some(hex::encode(model_hash))),
            RunResult::Failed { reason } => ("failed", Some(*reason), None),
            RunResult::Stopped => ("stopped", None, None),
        };
        self.execute(
            "UPDATE runs SET ended_unix_ms = ?1, result = ?2, reason = ?3, model_hash = ?4
             WHERE id = (SELECT max(id) FROM runs)",
            params![now_unix_ms(), word, reason, model_hash],
        )
    }

    /// A round was opened.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn opened(
        &self,
        round: RoundNumber,
        purpose: Purpose,
        learning_round: LearningRound,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO rounds (run, number, purpose, learning_round, opened_unix_ms)
             VALUES ((SELECT max(id) FROM runs), ?1, ?2, ?3, ?4)",
            params![
                round.get(),
                purpose.name(),
                learning_round.get(),
                now_unix_ms()
            ],
        )
    }

    /// Its sum and answers are out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outcome_out(
        &self,
        round: RoundNumber,
        contributors: &[HospitalId],
    ) -> Result<(), StoreError> {
        let list = contributors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",");
        self.execute(
            "UPDATE rounds SET contributors = ?2, outcome_unix_ms = ?3
             WHERE run = (SELECT max(id) FROM runs) AND number = ?1",
            params![round.get(), list, now_unix_ms()],
        )
    }

    /// t vaults have closed it alike.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settled(&self, entry: &TranscriptEntry) -> Result<(), StoreError> {
        self.execute(
            "UPDATE rounds SET transcript = ?2, model_hash = ?3, settled_unix_ms = ?4
             WHERE run = (SELECT max(id) FROM runs) AND number = ?1",
            params![
                entry.round.get(),
                entry.transcript,
                entry.model_hash,
                now_unix_ms()
            ],
        )
    }

    /// It was given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn abandoned(&self, round: RoundNumber, reason: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE rounds SET abandoned = ?2 WHERE run = (SELECT max(id) FROM runs) AND number = ?1",
            params![round.get(), reason],
        )
    }

    /// A hospital has connected.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn connected(&self, hospital: HospitalId, address: SocketAddr) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO connections (run, hospital, address, connected_unix_ms)
             VALUES ((SELECT max(id) FROM runs), ?1, ?2, ?3)",
            params![hospital.get(), address.to_string(), now_unix_ms()],
        )
    }

    /// Its connection has ended, having moved so many bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn disconnected(
        &self,
        hospital: HospitalId,
        reason: &str,
        traffic: TrafficCounts,
    ) -> Result<(), StoreError> {
        let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.execute(
            "UPDATE connections SET disconnected_unix_ms = ?2, reason = ?3, bytes_up = ?4, bytes_down = ?5
             WHERE id = (SELECT max(id) FROM connections WHERE hospital = ?1)",
            params![
                hospital.get(),
                now_unix_ms(),
                reason,
                bytes(traffic.received_bytes()),
                bytes(traffic.sent_bytes())
            ],
        )
    }

    /// Somebody, perhaps a hospital, was turned away, or something it said was not accepted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refused(&self, hospital: Option<HospitalId>, reason: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO refusals (run, hospital, reason, unix_ms) VALUES ((SELECT max(id) FROM runs), ?1, ?2, ?3)",
            params![hospital.map(HospitalId::get), reason, now_unix_ms()],
        )
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
        let done = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params));
        done.map(|_| ()).map_err(|source| StoreError::Database {
            path: self.path.clone(),
            source,
        })
    }
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened, read or written.
    #[error("the database {} cannot be used", path.display())]
    Database {
        /// Its path.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A file that the facts refer to.
    #[error("cannot use {}; check that the folder of the setting `state` can be written and has room", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A fact that cannot be read.
    #[error("the database {} holds a damaged fact of the run", path.display())]
    Fact {
        /// The database's path.
        path: PathBuf,
        /// What is wrong.
        source: FactError,
    },
    /// It was made by another release, or by another program.
    #[error("the database {} has schema version {found}, but this version of the program needs {SCHEMA_VERSION}; move the file away, or set `state` to another folder", path.display())]
    Version {
        /// Its path.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
}

fn now_unix_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = "
BEGIN;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,            -- H(manifest), in hexadecimal like all digests
    name TEXT NOT NULL,
    manifest BLOB NOT NULL,        -- as signed by the operator
    begun_unix_ms INTEGER NOT NULL,
    ended_unix_ms INTEGER,
    result TEXT,                   -- complete, failed, stopped; null while it runs, or if the process was killed
    reason TEXT,
    model_hash TEXT
) STRICT;
CREATE TABLE rounds (
    run INTEGER NOT NULL REFERENCES runs,
    number INTEGER NOT NULL,       -- of the sum, from 1
    purpose TEXT NOT NULL,         -- stats, update, evaluation
    learning_round INTEGER NOT NULL,
    contributors TEXT,             -- numbers, separated by commas
    transcript TEXT,               -- T after the round
    model_hash TEXT,
    opened_unix_ms INTEGER NOT NULL,
    outcome_unix_ms INTEGER,
    settled_unix_ms INTEGER,
    abandoned TEXT,                -- why it was given up
    PRIMARY KEY (run, number)
) STRICT;
CREATE TABLE connections (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs,
    hospital INTEGER NOT NULL,
    address TEXT NOT NULL,
    connected_unix_ms INTEGER NOT NULL,
    disconnected_unix_ms INTEGER,
    reason TEXT,
    bytes_up INTEGER,              -- message bytes from the hospital
    bytes_down INTEGER
) STRICT;
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs,
    hospital INTEGER,              -- null when nobody knows who it was
    reason TEXT NOT NULL,
    unix_ms INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
COMMIT;
";

/// What version 2 has beyond version 1.
const FACTS: &str = "
BEGIN;
CREATE TABLE facts (
    id INTEGER PRIMARY KEY,        -- their order
    run INTEGER NOT NULL REFERENCES runs,
    kind TEXT NOT NULL,            -- begun, ready, header, fixed, outcome, closed
    bytes BLOB NOT NULL            -- as coordinator::machine::Fact writes it
) STRICT;
PRAGMA user_version = 2;
COMMIT;
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RunSettings;

    #[test]
    fn a_run_can_be_queried_after_the_store_was_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("coordinator.sqlite");
        let key = protocol::identity::SigningKey::from_secret_bytes(&[3; 32]);
        let manifest = RunSettings::default().signed_manifest(&key);
        let hospital = HospitalId::new(2).expect("in range");
        let store = Store::open(&path).expect("a new store");
        store.begin_run(&manifest).expect("written");
        store.begin_run(&manifest).expect("written");
        store
            .connected(hospital, SocketAddr::from(([127, 0, 0, 1], 5)))
            .expect("written");
        store
            .opened(RoundNumber::new(1), Purpose::Stats, LearningRound::new(0))
            .expect("written");
        store
            .outcome_out(
                RoundNumber::new(1),
                &[HospitalId::new(1).expect("in range"), hospital],
            )
            .expect("written");
        store.refused(None, "a stranger").expect("written");
        let traffic = TrafficCounts {
            blob_bytes_received: 17,
            ..TrafficCounts::default()
        };
        store
            .disconnected(hospital, "the peer fell silent", traffic)
            .expect("written");
        store
            .end_run(&RunResult::Complete {
                model_hash: &[7; 32].into(),
            })
            .expect("written");
        drop(store);

        let store = Store::open(&path).expect("the same store");
        let text = |sql: &str| -> String {
            store
                .connection
                .query_row(sql, [], |row| row.get(0))
                .expect("a row")
        };
        assert_eq!(
            text("SELECT purpose || ':' || contributors FROM rounds WHERE run = 2"),
            "stats:1,2"
        );
        assert_eq!(
            text("SELECT reason || ':' || bytes_up FROM connections WHERE hospital = 2"),
            "the peer fell silent:17"
        );
        assert_eq!(
            text("SELECT reason FROM refusals WHERE hospital IS NULL"),
            "a stranger"
        );
        assert_eq!(
            text("SELECT group_concat(coalesce(result, '-')) FROM runs"),
            "-,complete"
        );
        assert_eq!(
            text("SELECT name || model_hash FROM runs WHERE id = 2"),
            format!("demo{}", "07".repeat(32))
        );
    }

    #[test]
    fn facts_are_read_back_in_order_and_belong_to_their_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("coordinator.sqlite");
        let key = protocol::identity::SigningKey::from_secret_bytes(&[3; 32]);
        let manifest = RunSettings::default().signed_manifest(&key);
        let facts = [3_u8, 1, 2].map(|name| Fact::Outcome {
            name: [name; 32].into(),
        });
        let store = Store::open(&path).expect("a new store");
        store.begin_run(&manifest).expect("written");
        store.add_fact(&facts[0]).expect("written");
        store.begin_run(&manifest).expect("written");
        for fact in &facts {
            store.add_fact(fact).expect("written");
        }
        drop(store);
        let store = Store::open(&path).expect("the same store");
        assert_eq!(store.facts().expect("read"), facts);
        store
            .execute("UPDATE facts SET bytes = x'05' WHERE id = 4", [])
            .expect("damaged");
        assert!(matches!(store.facts(), Err(StoreError::Fact { .. })));
    }

    #[test]
    fn a_store_without_facts_is_brought_up_to_date() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("coordinator.sqlite");
        let older = Connection::open(&path).expect("a database");
        older.execute_batch(SCHEMA).expect("version 1");
        drop(older);
        let key = protocol::identity::SigningKey::from_secret_bytes(&[3; 32]);
        let store = Store::open(&path).expect("brought up to date");
        store
            .begin_run(&RunSettings::default().signed_manifest(&key))
            .expect("written");
        assert!(store.facts().expect("read").is_empty());
        drop(store);
        assert!(Store::open(&path).is_ok(), "once only");
    }

    #[test]
    fn a_store_of_another_release_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("coordinator.sqlite");
        let other = Connection::open(&path).expect("a database");
        other
            .pragma_update(None, "user_version", 9)
            .expect("written");
        drop(other);
        assert!(matches!(
            Store::open(&path),
            Err(StoreError::Version { found: 9, .. })
        ));
        std::fs::write(&path, "not a database").expect("written");
        assert!(matches!(
            Store::open(&path),
            Err(StoreError::Database { .. })
        ));
    }
}
