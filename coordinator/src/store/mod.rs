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
mod history;
mod look;
mod runs;
mod schema;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::schema::SCHEMA_VERSION;
pub use self::{
    blobs::Blobs,
    history::{HistoryEntry, HistoryEvent},
    look::{RunSeen, last_run_seen},
    runs::{LastRun, ListedRun, RunResult},
};
use crate::machine::{Fact, FactError, TranscriptEntry};
use crypto::sealed_sum::HospitalId;
use host::private_folder::open_private_file;
use protocol::{
    digests::{LearningRound, RoundNumber},
    manifest::Purpose,
};
use rusqlite::{Connection, OpenFlags, params};
use transport::TrafficCounts;

/// The database, and the run that is being recorded.
pub struct Store {
    connection: Connection,
    path: PathBuf,
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
        // SQLite would leave the mode to the umask; its other files get the mode of this one.
        open_private_file(path).map_err(|source| StoreError::File {
            path: path.to_owned(),
            source,
        })?;
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
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
        match schema::bring_up_to_date(&connection).map_err(failed)? {
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

    /// Opens the database that is at `path`, for reading alone: also while a coordinator makes it.
    ///
    /// # Errors
    /// [`StoreError`]; also if it is of another release, or not whole yet.
    pub fn look(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Database {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let connection = connection.map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        match version.map_err(failed)? {
            SCHEMA_VERSION => Ok(Self {
                connection,
                path: path.to_owned(),
            }),
            found => Err(StoreError::Version {
                path: path.to_owned(),
                found,
            }),
        }
    }

    /// Writes a fact of the run down, after all those before it. The same fact once more, after an error that came too late, changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_fact(&self, fact: &Fact) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO facts (run, kind, bytes) SELECT (SELECT max(id) FROM runs), ?1, ?2
             WHERE NOT EXISTS (SELECT 1 FROM facts WHERE id = (SELECT max(id) FROM facts)
                               AND run = (SELECT max(id) FROM runs) AND bytes = ?2)",
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

    /// A round was opened. Once more, after a restart, changes nothing; so do those below.
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
            "INSERT OR IGNORE INTO rounds (run, number, purpose, learning_round, opened_unix_ms)
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
        let list = joined(contributors.iter().map(|id| id.get()));
        self.execute(
            "UPDATE rounds SET contributors = ?2, outcome_unix_ms = coalesce(outcome_unix_ms, ?3)
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
            "UPDATE rounds SET transcript = ?2, model_hash = ?3, contributors = ?4,
                 outcome_unix_ms = coalesce(outcome_unix_ms, ?5), settled_unix_ms = coalesce(settled_unix_ms, ?5)
             WHERE run = (SELECT max(id) FROM runs) AND number = ?1",
            params![
                entry.round.get(),
                entry.transcript,
                entry.model_hash,
                joined(entry.contributors.iter().copied()),
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
    #[error("the database {} cannot be used; check that it can be written and its disk has room. If it is damaged, move it away: the next start makes another one", path.display())]
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
    #[error("the database {} holds a damaged fact of the run; put back the state folder as it was, or abandon the run with --new-run", path.display())]
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

/// Numbers as the column `contributors` has them.
fn joined(ids: impl Iterator<Item = u8>) -> String {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    ids.join(",")
}

/// An operator's program that writes holds this one up for so long before its writing fails, to be tried again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
