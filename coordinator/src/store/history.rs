//! What was written down of one run, in the order in which it happened.

use protocol::{codec, identity::Signed, manifest::Manifest};
use rusqlite::Row;
use serde::Serialize;

use super::{ListedRun, Store, StoreError};

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// When: milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// What.
    #[serde(flatten)]
    pub event: HistoryEvent,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum HistoryEvent {
    /// The run has begun.
    Begun,
    /// A hospital has connected.
    Connected {
        /// Its number.
        hospital: u8,
        /// From where.
        address: String,
    },
    /// Its connection has ended.
    Disconnected {
        /// Its number.
        hospital: u8,
        /// Why, for people.
        reason: String,
        /// Message bytes from it; none where the coordinator was killed meanwhile.
        bytes_up: Option<i64>,
        /// The same to it.
        bytes_down: Option<i64>,
    },
    /// Somebody was turned away, or a message was not accepted.
    Refused {
        /// Its number, if anybody knows who it was.
        hospital: Option<u8>,
        /// Why, for people.
        reason: String,
    },
    /// A sum was opened for contributions.
    Opened {
        /// Its number.
        sum: u32,
        /// stats, update or evaluation.
        purpose: String,
        /// The learning round, from 1; 0 for stats.
        learning_round: u32,
        /// Why it was given up, if it was.
        abandoned: Option<String>,
    },
    /// The sum is complete, and can be fetched.
    OutcomeOut {
        /// Its number.
        sum: u32,
        /// Numbers of the hospitals in it, separated by commas.
        contributors: String,
    },
    /// Enough hospitals have signed the same of it.
    Settled {
        /// Its number.
        sum: u32,
        /// The common model after it, in hexadecimal.
        model_hash: String,
    },
    /// The run has ended.
    Ended {
        /// How, in one word.
        result: String,
        /// Why, for people.
        reason: Option<String>,
    },
}

impl Store {
    /// All that was written down of a run, the earliest first.
    ///
    /// # Errors
    /// [`StoreError`], here and below.
    pub fn history(&self, run: &ListedRun) -> Result<Vec<HistoryEntry>, StoreError> {
        let read = || {
            let mut all = Vec::new();
            self.collect(run, ENDS, |row| ends(row, &mut all))?;
            self.collect(run, CONNECTIONS, |row| connection(row, &mut all))?;
            self.collect(run, REFUSALS, |row| refusal(row, &mut all))?;
            self.collect(run, ROUNDS, |row| round(row, &mut all))?;
            all.sort_by(|one, other| (one.unix_ms, &one.event).cmp(&(other.unix_ms, &other.event)));
            Ok(all)
        };
        read().map_err(|source| self.failed(source))
    }

    /// What the operator has signed for a run, if it can still be read.
    ///
    /// # Errors
    /// As [`Store::history`].
    pub fn manifest_of(&self, run: &ListedRun) -> Result<Option<Signed<Manifest>>, StoreError> {
        let sql = format!("SELECT manifest FROM runs WHERE {THE_RUN}");
        let bytes = self.connection.query_row(&sql, id(run), |row| row.get(0));
        let bytes: Vec<u8> = bytes.map_err(|source| self.failed(source))?;
        Ok(codec::decode(&bytes).ok())
    }

    fn collect(
        &self,
        run: &ListedRun,
        sql: &str,
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let of_the_run = format!("(SELECT id FROM runs WHERE {THE_RUN})");
        let mut statement = self
            .connection
            .prepare(&sql.replace("THE_RUN", &of_the_run))?;
        let mut rows = statement.query(id(run))?;
        while let Some(row) = rows.next()? {
            each(row)?;
        }
        Ok(())
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database {
            path: self.path.clone(),
            source,
        }
    }
}

/// The same run may have been begun more than once.
fn id(run: &ListedRun) -> impl rusqlite::Params {
    (run.run.clone(), run.begun_unix_ms)
}

const THE_RUN: &str = "id = (SELECT max(id) FROM runs WHERE hash = ?1 AND begun_unix_ms = ?2)";
const ENDS: &str = "SELECT begun_unix_ms, ended_unix_ms, nullif(result, 'stopped'), reason FROM runs WHERE id = THE_RUN";
const CONNECTIONS: &str =
    "SELECT hospital, address, connected_unix_ms, disconnected_unix_ms, reason, bytes_up, bytes_down
     FROM connections WHERE run = THE_RUN";
const REFUSALS: &str = "SELECT hospital, reason, unix_ms FROM refusals WHERE run = THE_RUN";
const ROUNDS: &str =
    "SELECT number, purpose, learning_round, abandoned, opened_unix_ms, outcome_unix_ms, contributors, settled_unix_ms, model_hash
     FROM rounds WHERE run = THE_RUN";

fn ends(row: &Row<'_>, all: &mut Vec<HistoryEntry>) -> rusqlite::Result<()> {
    all.push(HistoryEntry {
        unix_ms: row.get(0)?,
        event: HistoryEvent::Begun,
    });
    if let (Some(unix_ms), Some(result)) = (row.get(1)?, row.get(2)?) {
        let reason = row.get(3)?;
        let event = HistoryEvent::Ended { result, reason };
        all.push(HistoryEntry { unix_ms, event });
    }
    Ok(())
}

fn connection(row: &Row<'_>, all: &mut Vec<HistoryEntry>) -> rusqlite::Result<()> {
    let hospital = row.get(0)?;
    let address = row.get(1)?;
    all.push(HistoryEntry {
        unix_ms: row.get(2)?,
        event: HistoryEvent::Connected { hospital, address },
    });
    if let Some(unix_ms) = row.get(3)? {
        let event = HistoryEvent::Disconnected {
            hospital,
            reason: row.get::<_, Option<_>>(4)?.unwrap_or_default(),
            bytes_up: row.get(5)?,
            bytes_down: row.get(6)?,
        };
        all.push(HistoryEntry { unix_ms, event });
    }
    Ok(())
}

fn refusal(row: &Row<'_>, all: &mut Vec<HistoryEntry>) -> rusqlite::Result<()> {
    let (hospital, reason) = (row.get(0)?, row.get(1)?);
    all.push(HistoryEntry {
        unix_ms: row.get(2)?,
        event: HistoryEvent::Refused { hospital, reason },
    });
    Ok(())
}

fn round(row: &Row<'_>, all: &mut Vec<HistoryEntry>) -> rusqlite::Result<()> {
    let sum = row.get(0)?;
    all.push(HistoryEntry {
        unix_ms: row.get(4)?,
        event: HistoryEvent::Opened {
            sum,
            purpose: row.get(1)?,
            learning_round: row.get(2)?,
            abandoned: row.get(3)?,
        },
    });
    if let Some(unix_ms) = row.get(5)? {
        let contributors = row.get::<_, Option<_>>(6)?.unwrap_or_default();
        let event = HistoryEvent::OutcomeOut { sum, contributors };
        all.push(HistoryEntry { unix_ms, event });
    }
    if let (Some(unix_ms), Some(model_hash)) = (row.get(7)?, row.get(8)?) {
        let event = HistoryEvent::Settled { sum, model_hash };
        all.push(HistoryEntry { unix_ms, event });
    }
    Ok(())
}
