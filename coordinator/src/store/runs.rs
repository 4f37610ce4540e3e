//! The runs of a store: one after the other, the last one is the one that is recorded.

use protocol::{
    codec,
    digests::{ModelHash, RosterHash, RunId},
    identity::Signed,
    manifest::Manifest,
};
use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::{Store, StoreError, now_unix_ms};

/// How a run ended. A run that was only stopped has no result: it can go on.
#[derive(Clone, Copy, Debug)]
pub enum RunResult<'a> {
    /// Well, with this model.
    Complete {
        /// Hash of the common model.
        model_hash: &'a ModelHash,
        /// Why it ended before its last round, if it did.
        early: Option<&'a str>,
    },
    /// The run failed.
    Failed {
        /// Why it failed.
        reason: &'a str,
    },
    /// It could have gone on, but another one was begun.
    Abandoned {
        /// Why it was given up, for the operator.
        reason: &'a str,
    },
}

/// The run that was recorded last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// For people.
    pub name: String,
    /// How it ended, in one word; none if it can go on.
    pub result: Option<String>,
    /// Its roster's hash, in hexadecimal; none if an older release began it.
    pub roster: Option<String>,
    /// H of its manifest, if it can be read.
    pub run: Option<RunId>,
}

/// A run in the list of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedRun {
    /// H of its manifest, in hexadecimal.
    pub run: String,
    /// For people.
    pub name: String,
    /// How it ended, in one word; none if it is under way or can go on.
    pub result: Option<String>,
    /// Why it ended so, for people; of one that is complete, why before its last round.
    pub reason: Option<String>,
    /// Updates that were opened.
    pub learning_rounds: u32,
    /// The model of its last update, in hexadecimal, if it ended well.
    pub model_hash: Option<String>,
    /// Milliseconds since 1970, UTC.
    pub begun_unix_ms: i64,
    /// The same; none while it can go on.
    pub ended_unix_ms: Option<i64>,
}

impl Store {
    /// All runs, the last one first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn runs(&self) -> Result<Vec<ListedRun>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT hash, name, nullif(result, 'stopped'), reason,
                        (SELECT count(*) FROM rounds
                         WHERE run = runs.id AND purpose = 'update' AND settled_unix_ms IS NOT NULL AND abandoned IS NULL),
                        model_hash, begun_unix_ms, ended_unix_ms
                 FROM runs ORDER BY id DESC",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(ListedRun {
                    run: row.get(0)?,
                    name: row.get(1)?,
                    result: row.get(2)?,
                    reason: row.get(3)?,
                    learning_rounds: row.get(4)?,
                    model_hash: row.get(5)?,
                    begun_unix_ms: row.get(6)?,
                    ended_unix_ms: row.get(7)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| StoreError::Database {
            path: self.path.clone(),
            source,
        })
    }

    /// A run begins; what follows belongs to it.
    ///
    /// # Errors
    /// [`StoreError`], here and below, if the database cannot be read or written.
    pub fn begin_run(
        &self,
        manifest: &Signed<Manifest>,
        roster: &RosterHash,
    ) -> Result<(), StoreError> {
        let name = manifest
            .read_unverified()
            .map(|manifest| manifest.name.0)
            .unwrap_or_default();
        self.execute(
            "INSERT INTO runs (hash, name, manifest, begun_unix_ms, roster) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                hex::encode(manifest.digest()),
                name,
                codec::encode(manifest),
                now_unix_ms(),
                hex::encode(roster)
            ],
        )
    }

    /// The last run, if there was one. Releases before 0.2 wrote "stopped" as the result of a run that can go on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_run(&self) -> Result<Option<LastRun>, StoreError> {
        self.find_run("id = (SELECT max(id) FROM runs)", [])
    }

    /// The run with this manifest, if it was begun here; the last time, if it was more than once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn run(&self, run: &RunId) -> Result<Option<LastRun>, StoreError> {
        let last = "id = (SELECT max(id) FROM runs WHERE hash = ?1)";
        self.find_run(last, [hex::encode(run)])
    }

    fn find_run(
        &self,
        which: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Option<LastRun>, StoreError> {
        let read = || {
            let sql = format!(
                "SELECT name, nullif(result, 'stopped'), roster, hash FROM runs WHERE {which}"
            );
            let mut statement = self.connection.prepare(&sql)?;
            let run = statement.query_row(parameters, |row| {
                Ok(LastRun {
                    name: row.get(0)?,
                    result: row.get(1)?,
                    roster: row.get(2)?,
                    run: run_of(&row.get::<_, String>(3)?),
                })
            });
            run.optional()
        };
        read().map_err(|source| StoreError::Database {
            path: self.path.clone(),
            source,
        })
    }

    /// The last run goes on after a restart: the connections of the process before are over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_up_run(&self) -> Result<(), StoreError> {
        self.execute(
            "UPDATE runs SET ended_unix_ms = NULL, result = NULL WHERE id = (SELECT max(id) FROM runs)",
            [],
        )?;
        self.execute(
            "UPDATE connections SET disconnected_unix_ms = ?1, reason = 'the coordinator was started again'
             WHERE run = (SELECT max(id) FROM runs) AND disconnected_unix_ms IS NULL",
            [now_unix_ms()],
        )
    }

    /// The run has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_run(&self, result: &RunResult<'_>) -> Result<(), StoreError> {
        let (word, reason, model_hash) = match result {
            RunResult::Complete { model_hash, early } => {
                ("complete", *early, Some(hex::encode(model_hash)))
            }
            RunResult::Failed { reason } => ("failed", Some(*reason), None),
            RunResult::Abandoned { reason } => ("abandoned", Some(*reason), None),
        };
        self.execute(
            "UPDATE runs SET ended_unix_ms = ?1, result = ?2, reason = ?3, model_hash = ?4
             WHERE id = (SELECT max(id) FROM runs)",
            params![now_unix_ms(), word, reason, model_hash],
        )
    }
}

fn run_of(hash: &str) -> Option<RunId> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hash, &mut bytes).ok()?;
    Some(bytes.into())
}
