//! The journal in SQLite: synced at every write, deleted rows overwritten, a masked upload by the next one or when the session ends. Seeds
//! are sealed under the host's key, everything of a session under a key that goes with it (`session_key`); models are files beside it.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use crypto::{
    hash::SecretKey32,
    sealed_sum::{DealerAnswer, HospitalId, Seed},
};
use model_data::weights::WeightsError;
use protocol::{
    codec,
    common_model::CommonModel,
    digests::{
        ClipCommit, ContributionDigest, ContributorsHash, HeaderHash, LearningRound, ModelHash,
        RunId, SessionId, Transcript, WeightsHash,
    },
    identity::PublicKey,
    manifest::{Manifest, Purpose},
    network::ModelLayout,
    round::{header::SumKey, unlock::WeightedMembers},
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    EndedRun, InitialModelMissing, Journal, JournalError, KeptBox, KeptContribution, KeptModel,
    KeptSession, RecordedAnswer, SumOver, SumSubject, initial_models,
    model_files::ModelFiles,
    session_key::{Cipher, SessionKeys},
};
use crate::disk_fault;

/// The journal in the state folder, with the files beside it.
pub struct SqliteJournal {
    connection: Connection,
    host: Cipher,
    session_keys: SessionKeys,
    /// The key of the session that is kept, with the counter in its file's name.
    session: Option<(u64, Cipher)>,
    models: ModelFiles,
    path: PathBuf,
}

impl SqliteJournal {
    /// Opens the journal at `path`, or makes it. `host_key` seals the secrets in it. Session keys and models lie in the same folder.
    ///
    /// # Errors
    /// [`JournalError`] when the file cannot be opened or is no journal, or when it is an older copy than the key of its session.
    pub fn open(path: &Path, host_key: &SecretKey32) -> Result<Self, JournalError> {
        let place = |reason: rusqlite::Error| JournalError {
            place: path.display().to_string(),
            reason: reason.to_string(),
            may_pass: false,
        };
        let connection = Connection::open(path).map_err(place)?;
        connection.execute_batch(PRAGMAS).map_err(place)?;
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(place)?;
        if version > VERSION {
            return Err(JournalError {
                place: path.display().to_string(),
                reason: format!(
                    "it was written by a later release (version {version}, this one writes {VERSION}); use that release"
                ),
                may_pass: false,
            });
        }
        connection.execute_batch(SCHEMA).map_err(place)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut journal = Self {
            connection,
            host: Cipher::new(host_key),
            session_keys: SessionKeys::in_folder(folder),
            session: None,
            models: ModelFiles::in_folder(folder),
            path: path.to_owned(),
        };
        journal.load_session_key()?;
        Ok(journal)
    }

    /// What the last masked upload has left in the file, after a session: one row of zeros takes its place, and goes.
    fn overwrite_free_pages(&mut self) -> Result<(), JournalError> {
        self.in_transaction(|transaction| {
            let number = |of| transaction.pragma_query_value(None, of, |row| row.get::<_, i64>(0));
            let zeros = number("freelist_count")? * number("page_size")?;
            if zeros > 0 {
                transaction.execute(
                    "INSERT INTO contributions (header, blob) VALUES (x'', zeroblob(?1))",
                    params![zeros],
                )?;
            }
            Ok(())
        })?;
        self.in_transaction(|transaction| erase_rounds(transaction, None))
    }

    /// The key of the session that is kept; without a session no key may stay. A key that has seen more than the journal shows that the
    /// journal is an older copy, whatever is in it.
    fn load_session_key(&mut self) -> Result<(), JournalError> {
        let counter = self.counter()?;
        let newest = self.on_keys(SessionKeys::newest)?;
        if let Some(in_name) = newest.filter(|in_name| counter < *in_name) {
            let reason = format!(
                "it is an older copy ({counter} changes, the key of its session has seen {in_name}): with it this hospital might answer twice. Put the newest copy back; only when that run is over at all hospitals, move the state folder away to take part in the next one"
            );
            return Err(self.error(reason));
        }
        let kept: bool = self.ask(self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM session)",
            [],
            |row| row.get(0),
        ))?;
        if !kept {
            self.models.remove_moments();
            self.on_keys(SessionKeys::remove)?;
            return self.overwrite_free_pages();
        }
        let host = &self.host;
        let loaded = self.on_keys(|keys| keys.load(host))?;
        let Some((in_name, cipher)) = loaded else {
            let reason = "the key of its session (session-NUMBER.key in the same folder) is missing; put it back. Only when that run is over at all hospitals, move the state folder away to take part in the next one";
            return Err(self.error(reason.into()));
        };
        if counter > in_name {
            self.on_keys(|keys| keys.step(in_name, counter))?;
        }
        self.session = Some((counter, cipher));
        Ok(())
    }

    fn counter(&self) -> Result<u64, JournalError> {
        let counter: i64 = self.ask(self.connection.query_row(
            "SELECT counter FROM state",
            [],
            |row| row.get(0),
        ))?;
        Ok(u64::try_from(counter).unwrap_or(0))
    }

    fn run(&self, result: rusqlite::Result<usize>) -> Result<(), JournalError> {
        self.ask(result).map(|_| ())
    }

    fn ask<T>(&self, result: rusqlite::Result<T>) -> Result<T, JournalError> {
        result.map_err(|error| JournalError {
            may_pass: disk_fault::is_of_sqlite(&error),
            ..self.error(error.to_string())
        })
    }

    fn on_keys<T>(
        &self,
        act: impl FnOnce(&SessionKeys) -> io::Result<T>,
    ) -> Result<T, JournalError> {
        act(&self.session_keys).map_err(|error| JournalError {
            may_pass: disk_fault::is_of_the_system(&error),
            ..self.error(format!("the key of its session: {error}"))
        })
    }

    /// Everything that `write` does, synced, or nothing of it.
    fn in_transaction(
        &mut self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), JournalError> {
        let written = self.connection.transaction().and_then(|transaction| {
            write(&transaction)?;
            transaction.commit()
        });
        self.ask(written)
    }

    /// The same for what must not be forgotten: the counter steps with it.
    fn in_counted_transaction(
        &mut self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), JournalError> {
        let mut counter: i64 = 0;
        self.in_transaction(|transaction| {
            let step = "UPDATE state SET counter = counter + 1 RETURNING counter";
            counter = transaction.query_row(step, [], |row| row.get(0))?;
            write(transaction)
        })?;
        let counter = u64::try_from(counter).unwrap_or(0);
        if let Some((in_name, _)) = &mut self.session {
            match self.session_keys.step(*in_name, counter) {
                Ok(()) => *in_name = counter,
                // What was written counts. A name that lags behind is caught up with the next time.
                Err(error) => tracing::warn!(%error, "cannot rename the key of the session"),
            }
        }
        Ok(())
    }

    /// What the journal speaks of now takes its place.
    fn publish_model(&mut self) -> Result<(), JournalError> {
        let published = self.models.publish();
        published.map_err(|error| JournalError {
            may_pass: disk_fault::is_of_the_system(&error),
            ..self.error(format!("the model of the run: {error}"))
        })
    }

    fn error(&self, reason: String) -> JournalError {
        JournalError {
            place: self.path.display().to_string(),
            reason,
            may_pass: false,
        }
    }

    /// Whether a sum over these very members was kept.
    fn knows(&self, sum: &SumOver) -> Result<bool, JournalError> {
        let key = &sum.key;
        self.ask(self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sums WHERE run = ?1 AND purpose = ?2 AND contributors = ?3)",
            params![
                key.run.as_bytes(),
                key.purpose.name(),
                numbers(&sum.members)
            ],
            |row| row.get(0),
        ))
    }

    /// Seals under the session's key. Without a session nothing is kept of it.
    fn seal(&self, what: &[u8], secret: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        let Some((_, cipher)) = &self.session else {
            return Ok(None);
        };
        let sealed = cipher.seal(what, secret);
        sealed.map(Some).map_err(|reason| self.error(reason.into()))
    }

    fn ended(
        &self,
        which: &str,
        values: impl rusqlite::Params,
    ) -> Result<Option<EndedRun>, JournalError> {
        let columns = "run, session, transcript, model_hash, learning_round";
        let found = self
            .connection
            .query_row(
                &format!("SELECT {columns} FROM ended {which}"),
                values,
                |row| {
                    Ok(EndedRun {
                        run: RunId::from_bytes(row.get(0)?),
                        session: SessionId::from_bytes(row.get(1)?),
                        transcript: Transcript::from_bytes(row.get(2)?),
                        model_hash: ModelHash::from_bytes(row.get(3)?),
                        learning_round: LearningRound::new(row.get(4)?),
                    })
                },
            )
            .optional();
        self.ask(found)
    }

    fn sealed_box(
        &self,
        header: &HeaderHash,
        opened: &KeptBox,
    ) -> Result<Option<Vec<u8>>, JournalError> {
        match &opened.share {
            Some(share) => self.seal(&box_name(header, opened.from), share),
            None => Ok(None),
        }
    }

    fn opened_box(&self, header: &HeaderHash, row: BoxRow) -> Result<KeptBox, JournalError> {
        let damaged = || self.error("a kept box is damaged".into());
        let from = HospitalId::new(row.hospital).ok_or_else(damaged)?;
        let share = match (&self.session, row.share) {
            (Some((_, cipher)), Some(sealed)) => Some(
                cipher
                    .open(&box_name(header, from), &sealed)
                    .map_err(|reason| self.error(reason.into()))?,
            ),
            _ => None,
        };
        Ok(KeptBox {
            from,
            digest: ContributionDigest::from_bytes(row.digest),
            commit: ClipCommit::from_bytes(row.commit),
            answer: DealerAnswer::from_bytes(&row.answer).map_err(|_| damaged())?,
            share,
        })
    }
}

/// A row of the table of boxes.
struct BoxRow {
    hospital: u8,
    digest: [u8; 32],
    commit: [u8; 32],
    answer: Vec<u8>,
    share: Option<Vec<u8>>,
}

impl BoxRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            hospital: row.get(0)?,
            digest: row.get(1)?,
            commit: row.get(2)?,
            answer: row.get(3)?,
            share: row.get(4)?,
        })
    }
}

impl Journal for SqliteJournal {
    fn kept_session(&self) -> Result<Option<KeptSession>, JournalError> {
        let row = self
            .connection
            .query_row("SELECT set_up, position FROM session", [], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .optional();
        let (Some((set_up, position)), Some((_, cipher))) = (self.ask(row)?, &self.session) else {
            return Ok(None);
        };
        let open = |what, sealed: &[u8]| {
            let opened = cipher.open(what, sealed);
            opened.map_err(|reason| self.error(format!("the kept session: {reason}")))
        };
        Ok(Some(KeptSession {
            set_up: open(SET_UP, &set_up)?.to_vec(),
            position: open(POSITION, &position)?,
        }))
    }

    fn begin_session(&mut self, session: &KeptSession) -> Result<(), JournalError> {
        if self.session.is_none() {
            let counter = self.counter()?;
            let host = &self.host;
            let cipher = self.on_keys(|keys| keys.create(host, counter))?;
            self.session = Some((counter, cipher));
        }
        let set_up = self.seal(SET_UP, &session.set_up)?;
        let position = self.seal(POSITION, &session.position)?;
        self.in_counted_transaction(|transaction| {
            let values = params![set_up, position];
            transaction.execute("INSERT OR REPLACE INTO session VALUES (1, ?1, ?2)", values)?;
            erase_rounds(transaction, None)
        })?;
        self.publish_model()
    }

    fn keep_position(&mut self, header: &HeaderHash, position: &[u8]) -> Result<(), JournalError> {
        let position = self.seal(POSITION, position)?;
        self.in_counted_transaction(|transaction| {
            erase_rounds(transaction, Some(header))?;
            put_position(transaction, position)
        })
    }

    fn next_attempt(&self, header: &HeaderHash) -> Result<u8, JournalError> {
        self.ask(self.connection.query_row(
            "SELECT coalesce(max(attempt) + 1, 0) FROM seeds WHERE header = ?1",
            params![header.as_bytes()],
            |row| row.get(0),
        ))
    }

    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError> {
        // Of a session, under its key: what is left of it on a disk cannot be opened when the session has ended.
        let sealed = match self.seal(SEED, seed.as_bytes())? {
            Some(sealed) => sealed,
            None => self
                .host
                .seal(SEED, seed.as_bytes())
                .map_err(|reason| self.error(reason.into()))?,
        };
        self.run(self.connection.execute(
            "INSERT INTO seeds VALUES (?1, ?2, ?3)",
            params![header.as_bytes(), attempt, sealed],
        ))
    }

    fn record_contribution(
        &mut self,
        header: &HeaderHash,
        contribution: &KeptContribution,
        own: &KeptBox,
    ) -> Result<(), JournalError> {
        let share = self.sealed_box(header, own)?;
        let (loss, steps) = contribution.training;
        let training = self.seal(TRAINING, &codec::encode(&(loss, steps)))?;
        self.in_counted_transaction(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO contributions (header, blob) VALUES (?1, ?2)",
                params![header.as_bytes(), contribution.blob],
            )?;
            if let Some(training) = training {
                transaction.execute(
                    "INSERT OR REPLACE INTO trainings VALUES (?1, ?2)",
                    params![header.as_bytes(), training],
                )?;
            }
            put_box(transaction, header, own, share)
        })
    }

    fn contribution(&self, header: &HeaderHash) -> Result<Option<KeptContribution>, JournalError> {
        let found = self
            .connection
            .query_row(
                "SELECT blob, sealed FROM contributions JOIN trainings USING (header) WHERE header = ?1",
                params![header.as_bytes()],
                |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)),
            )
            .optional();
        let (Some((blob, training)), Some((_, cipher))) = (self.ask(found)?, &self.session) else {
            return Ok(None);
        };
        let opened = cipher.open(TRAINING, &training);
        let opened = opened.map_err(|reason| self.error(reason.into()))?;
        let training = codec::decode(&opened).map_err(|error| self.error(error.to_string()))?;
        Ok(Some(KeptContribution { blob, training }))
    }

    fn record_box(&mut self, header: &HeaderHash, opened: &KeptBox) -> Result<(), JournalError> {
        let share = self.sealed_box(header, opened)?;
        self.in_transaction(|transaction| put_box(transaction, header, opened, share))
    }

    fn boxes(&self, header: &HeaderHash) -> Result<Vec<KeptBox>, JournalError> {
        let mut statement = self.ask(self.connection.prepare(
            "SELECT hospital, digest, clip_commit, answer, share FROM boxes WHERE header = ?1",
        ))?;
        let rows = self.ask(statement.query_map(params![header.as_bytes()], BoxRow::read))?;
        rows.map(|row| self.opened_box(header, self.ask(row)?))
            .collect()
    }

    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError> {
        let found = self
            .connection
            .query_row(
                "SELECT header, contributors, share FROM answers WHERE run = ?1 AND purpose = ?2 AND model_hash = ?3",
                params![key.run.as_bytes(), key.purpose.name(), key.model_hash.as_bytes()],
                |row| {
                    let header = HeaderHash::from_bytes(row.get(0)?);
                    let contributors = ContributorsHash::from_bytes(row.get(1)?);
                    Ok(RecordedAnswer { header, contributors, share: row.get(2)? })
                },
            )
            .optional();
        self.ask(found)
    }

    fn record_answer(
        &mut self,
        sum: &SumOver,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError> {
        let key = &sum.key;
        // The same one again, after a write whose success was not seen, is no second.
        if self.knows(sum)? && self.answer(key)?.as_ref() == Some(answer) {
            return Ok(());
        }
        self.in_counted_transaction(|transaction| {
            keep_sum(transaction, sum)?;
            // The primary key refuses a second answer.
            transaction.execute(
                "INSERT INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    key.run.as_bytes(),
                    key.purpose.name(),
                    key.model_hash.as_bytes(),
                    answer.header.as_bytes(),
                    answer.contributors.as_bytes(),
                    answer.share
                ],
            )?;
            erase_shares_of_others(transaction, &sum.members)
        })
    }

    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError> {
        self.ask(self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM spent WHERE run = ?1 AND purpose = ?2 AND model_hash = ?3)",
            params![key.run.as_bytes(), key.purpose.name(), key.model_hash.as_bytes()],
            |row| row.get(0),
        ))
    }

    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError> {
        let mut statement = self
            .ask(self.connection.prepare(
                "SELECT DISTINCT contributors FROM sums WHERE run = ?1 AND purpose = ?2",
            ))?;
        let values = params![run.as_bytes(), Purpose::Evaluation.name()];
        let rows = self.ask(statement.query_map(values, |row| row.get::<_, Vec<u8>>(0)))?;
        rows.map(|row| {
            let members = self.ask(row)?.into_iter();
            Ok(members.filter_map(HospitalId::new).collect())
        })
        .collect()
    }

    fn same_sums_of_other_runs(
        &self,
        key: &SumKey,
        subjects: &[SumSubject],
    ) -> Result<Vec<WeightedMembers>, JournalError> {
        let mut statement = self.ask(self.connection.prepare(
            "SELECT DISTINCT weighted FROM sums WHERE run <> ?1 AND purpose = ?2 AND subject = ?3",
        ))?;
        let mut found = Vec::new();
        for subject in subjects {
            let values = params![key.run.as_bytes(), key.purpose.name(), subject.0];
            let rows = self.ask(statement.query_map(values, |row| row.get::<_, Vec<u8>>(0)))?;
            for row in rows {
                let members = weighted_from_bytes(&self.ask(row)?);
                found.push(members.ok_or_else(|| self.error("a kept sum is damaged".into()))?);
            }
        }
        Ok(found)
    }

    fn record_failed_opening(&mut self, sum: &SumOver) -> Result<(), JournalError> {
        self.in_transaction(|transaction| keep_sum(transaction, sum))
    }

    fn stage_model(
        &mut self,
        run: &RunId,
        model: &CommonModel,
        hash: &ModelHash,
    ) -> Result<(), JournalError> {
        let staged = self.models.stage(run, model, hash);
        staged.map_err(|error| JournalError {
            may_pass: matches!(&error, WeightsError::Io { source, .. } if disk_fault::is_of_the_system(source)),
            ..self.error(error.to_string())
        })
    }

    fn model(
        &self,
        run: &RunId,
        manifest: &Manifest,
        hash: &ModelHash,
    ) -> Result<Option<KeptModel>, JournalError> {
        let loaded = self.models.load(run, manifest, hash);
        loaded.map_err(|error| self.error(error.to_string()))
    }

    fn initial_model(
        &self,
        layout: &ModelLayout,
        weights: &WeightsHash,
    ) -> Result<Vec<f32>, InitialModelMissing> {
        initial_models::find(self.models.state(), layout, weights)
    }

    fn settle(&mut self, sum: &SumOver, position: &[u8]) -> Result<(), JournalError> {
        let key = &sum.key;
        let position = self.seal(POSITION, position)?;
        self.in_counted_transaction(|transaction| {
            keep_sum(transaction, sum)?;
            transaction.execute(
                "INSERT OR IGNORE INTO spent VALUES (?1, ?2, ?3)",
                params![
                    key.run.as_bytes(),
                    key.purpose.name(),
                    key.model_hash.as_bytes()
                ],
            )?;
            // Nobody is answered any more; that it was answered stays.
            transaction.execute(
                "UPDATE answers SET share = x'' WHERE run = ?1 AND purpose = ?2 AND model_hash = ?3",
                params![
                    key.run.as_bytes(),
                    key.purpose.name(),
                    key.model_hash.as_bytes()
                ],
            )?;
            erase_rounds(transaction, None)?;
            put_position(transaction, position)
        })?;
        self.publish_model()
    }

    fn end_session(&mut self, ended: Option<&EndedRun>) -> Result<(), JournalError> {
        self.in_transaction(|transaction| {
            transaction.execute("DELETE FROM session", [])?;
            erase_rounds(transaction, None)?;
            if let Some(ended) = ended {
                transaction.execute(
                    "INSERT OR REPLACE INTO ended VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        ended.run.as_bytes(),
                        ended.session.as_bytes(),
                        ended.transcript.as_bytes(),
                        ended.model_hash.as_bytes(),
                        ended.learning_round.get()
                    ],
                )?;
            }
            Ok(())
        })?;
        self.session = None;
        self.on_keys(SessionKeys::remove)?;
        self.models.remove_moments();
        self.overwrite_free_pages()
    }

    fn ended_run(&self, run: &RunId) -> Result<Option<EndedRun>, JournalError> {
        self.ended("WHERE run = ?1", params![run.as_bytes()])
    }

    fn last_ended_run(&self) -> Result<Option<EndedRun>, JournalError> {
        self.ended("ORDER BY rowid DESC LIMIT 1", params![])
    }
}

/// That this vault knows of a sum over these contributors; once.
fn keep_sum(transaction: &Transaction<'_>, sum: &SumOver) -> rusqlite::Result<()> {
    let members = numbers(&sum.members);
    let (key, weighted) = (&sum.key, weighted_to_bytes(&sum.weighted));
    for subject in &sum.subjects {
        transaction.execute(
            "INSERT OR IGNORE INTO sums VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                key.run.as_bytes(),
                key.purpose.name(),
                subject.0,
                members,
                weighted
            ],
        )?;
    }
    Ok(())
}

fn numbers(members: &BTreeSet<HospitalId>) -> Vec<u8> {
    members.iter().map(|id| id.get()).collect()
}

/// 36 bytes a member: its signing key, its weight as u32.
fn weighted_to_bytes(members: &WeightedMembers) -> Vec<u8> {
    let entry = |(key, weight): (&PublicKey, &u32)| [&key.0[..], &weight.to_le_bytes()].concat();
    members.iter().flat_map(entry).collect()
}

fn weighted_from_bytes(bytes: &[u8]) -> Option<WeightedMembers> {
    let (entries, rest) = bytes.as_chunks::<36>();
    let entry = |entry: &[u8; 36]| {
        let (key, weight) = entry.split_first_chunk::<32>()?;
        Some((PublicKey(*key), u32::from_le_bytes(weight.try_into().ok()?)))
    };
    rest.is_empty()
        .then(|| entries.iter().map(entry).collect())
        .flatten()
}

/// Seeds, blobs and boxes of all headers but this one.
fn erase_rounds(transaction: &Transaction<'_>, but: Option<&HeaderHash>) -> rusqlite::Result<()> {
    let but = but.map(|header| header.as_bytes().as_slice());
    let erase = |table| {
        let erase = format!("DELETE FROM {table} WHERE header IS NOT ?1");
        transaction.execute(&erase, params![but])
    };
    for table in ["seeds", "trainings", "boxes"] {
        erase(table)?;
    }
    overwrite_deleted(transaction, "FAST")?;
    let erased = erase("contributions");
    overwrite_deleted(transaction, "ON")?;
    erased.map(|_| ())
}

/// A masked upload is what the coordinator has as well; overwriting its 17 MB in every round would take longer than writing them. The
/// next one takes its place in the file, and after the last one [`SqliteJournal::overwrite_free_pages`] does. `FAST` overwrites what is
/// deleted in pages that stay in use, and leaves those that become free.
fn overwrite_deleted(connection: &Connection, how: &str) -> rusqlite::Result<()> {
    let set = format!("PRAGMA secure_delete = {how}");
    connection.query_row(&set, [], |_| Ok(()))
}

fn put_position(transaction: &Transaction<'_>, position: Option<Vec<u8>>) -> rusqlite::Result<()> {
    if let Some(position) = position {
        transaction.execute("UPDATE session SET position = ?1", params![position])?;
    }
    Ok(())
}

fn put_box(
    transaction: &Transaction<'_>,
    header: &HeaderHash,
    opened: &KeptBox,
    share: Option<Vec<u8>>,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO boxes VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            header.as_bytes(),
            opened.from.get(),
            opened.digest.as_bytes(),
            opened.commit.as_bytes(),
            opened.answer.to_bytes(),
            share
        ],
    )?;
    Ok(())
}

/// "When U is fixed the vault erases the shares of contributors outside U" (PROTOCOL.md 3.6); what it has said of them stays.
fn erase_shares_of_others(
    transaction: &Transaction<'_>,
    members: &BTreeSet<HospitalId>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare("SELECT DISTINCT hospital FROM boxes")?;
    let kept: Vec<u8> = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for hospital in kept {
        if HospitalId::new(hospital).is_none_or(|id| !members.contains(&id)) {
            let values = params![hospital];
            transaction.execute("UPDATE boxes SET share = NULL WHERE hospital = ?1", values)?;
        }
    }
    Ok(())
}

/// A share is bound to its round and its contributor.
fn box_name(header: &HeaderHash, from: HospitalId) -> Vec<u8> {
    [b"share".as_slice(), header.as_bytes(), &[from.get()]].concat()
}

const SEED: &[u8] = b"seed";
const TRAINING: &[u8] = b"training";
const SET_UP: &[u8] = b"set-up";
const POSITION: &[u8] = b"position";
const VERSION: i64 = 3;

/// `secure_delete` overwrites seeds and shares of settled rounds; in rollback mode no second file keeps a copy.
const PRAGMAS: &str = "
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
";

const SCHEMA: &str = "
BEGIN;
CREATE TABLE IF NOT EXISTS seeds (header BLOB NOT NULL, attempt INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (header, attempt)) STRICT;
DROP TABLE IF EXISTS blobs; -- of the first release, which could not go on from it
CREATE TABLE IF NOT EXISTS contributions (header BLOB PRIMARY KEY, blob BLOB NOT NULL, training BLOB) STRICT; -- the last of version 2 alone
CREATE TABLE IF NOT EXISTS trainings (header BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
INSERT OR IGNORE INTO trainings SELECT header, training FROM contributions WHERE training IS NOT NULL; -- of version 2
CREATE TABLE IF NOT EXISTS answers (
    run BLOB NOT NULL, purpose TEXT NOT NULL, model_hash BLOB NOT NULL,
    header BLOB NOT NULL, contributors BLOB NOT NULL, share BLOB NOT NULL,
    PRIMARY KEY (run, purpose, model_hash)) STRICT;
CREATE TABLE IF NOT EXISTS spent (run BLOB NOT NULL, purpose TEXT NOT NULL, model_hash BLOB NOT NULL, PRIMARY KEY (run, purpose, model_hash)) STRICT;
CREATE TABLE IF NOT EXISTS sums (
    run BLOB NOT NULL, purpose TEXT NOT NULL, subject BLOB NOT NULL, contributors BLOB NOT NULL, weighted BLOB NOT NULL,
    PRIMARY KEY (run, purpose, subject, contributors)) STRICT;
CREATE TABLE IF NOT EXISTS evaluations (run BLOB NOT NULL, contributors BLOB NOT NULL, PRIMARY KEY (run, contributors)) STRICT;
INSERT OR IGNORE INTO sums SELECT run, 'evaluation', x'', contributors, x'' FROM evaluations; -- of version 1, which kept no others
DROP TABLE evaluations;
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), counter INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO state VALUES (1, 0);
CREATE TABLE IF NOT EXISTS session (id INTEGER PRIMARY KEY CHECK (id = 1), set_up BLOB NOT NULL, position BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS boxes (
    header BLOB NOT NULL, hospital INTEGER NOT NULL, digest BLOB NOT NULL, clip_commit BLOB NOT NULL,
    answer BLOB NOT NULL, share BLOB, PRIMARY KEY (header, hospital)) STRICT;
CREATE TABLE IF NOT EXISTS ended (
    run BLOB PRIMARY KEY, session BLOB NOT NULL, transcript BLOB NOT NULL,
    model_hash BLOB NOT NULL, learning_round INTEGER NOT NULL) STRICT;
PRAGMA user_version = 3;
COMMIT;
";

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn key(model: u8) -> SumKey {
        SumKey {
            run: [1; 32].into(),
            purpose: Purpose::Update,
            model_hash: [model; 32].into(),
        }
    }

    fn evaluation() -> SumKey {
        SumKey {
            purpose: Purpose::Evaluation,
            ..key(1)
        }
    }

    const SHARE: [u8; 64] = [0xc9; 64];
    const PAIR_KEY: [u8; 32] = [0xd7; 32];

    fn session() -> KeptSession {
        KeptSession {
            set_up: b"set-up".to_vec(),
            position: Zeroizing::new(PAIR_KEY.to_vec()),
        }
    }

    fn kept_box(from: u8) -> KeptBox {
        KeptBox {
            from: HospitalId::new(from).expect("in range"),
            digest: [from; 32].into(),
            commit: [2; 32].into(),
            answer: DealerAnswer::from_bytes(&[from; 16]).expect("numbers of the field"),
            share: Some(Zeroizing::new(SHARE.to_vec())),
        }
    }

    fn over(key: SumKey, members: &BTreeSet<HospitalId>) -> SumOver {
        SumOver {
            key,
            subjects: vec![SumSubject([7; 32]), SumSubject([8; 32])],
            members: members.clone(),
            weighted: members
                .iter()
                .map(|id| (PublicKey([id.get(); 32]), 3))
                .collect(),
        }
    }

    fn answer() -> RecordedAnswer {
        RecordedAnswer {
            header: [2; 32].into(),
            contributors: [3; 32].into(),
            share: vec![4; 100],
        }
    }

    #[test]
    fn answers_and_evaluations_survive_a_restart_and_seeds_go_when_settled() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vault.sqlite");
        let host_key = SecretKey32::from_bytes([7; 32]);
        let seed = [0xa5; 32];
        let members: BTreeSet<_> = [1, 5].into_iter().filter_map(HospitalId::new).collect();
        {
            let mut journal = SqliteJournal::open(&path, &host_key).expect("opens");
            journal.begin_session(&session()).expect("kept");
            journal
                .record_seed(&[9; 32].into(), 0, &Seed::from_bytes(seed))
                .expect("kept");
            let contribution = KeptContribution {
                blob: vec![0x5c; 40_000],
                training: (0.5, 7),
            };
            let header = [9; 32].into();
            let own = kept_box(1);
            journal
                .record_contribution(&header, &contribution, &own)
                .expect("kept");
            assert_eq!(
                journal.contribution(&header).expect("readable"),
                Some(contribution)
            );
            journal
                .record_answer(&over(key(1), &members), &answer())
                .expect("kept");
            journal
                .record_answer(&over(evaluation(), &members), &answer())
                .expect("kept");
            journal
                .record_failed_opening(&over(evaluation(), &members))
                .expect("kept once");
            journal
                .record_failed_opening(&over(key(1), &members))
                .expect("kept once");
        }
        let bytes = std::fs::read(&path).expect("readable");
        assert!(
            !bytes.windows(32).any(|window| window == seed),
            "the seed is unencrypted in the file"
        );
        let sealed = sealed_of_rounds(&path);
        assert_eq!(sealed.len(), 3);
        for secret in &sealed {
            assert!(is_in(&bytes, secret), "it is there as long as it is needed");
        }
        let mut journal = SqliteJournal::open(&path, &host_key).expect("opens again");
        assert!(journal.answer(&key(1)).expect("readable") == Some(answer()));
        assert!(journal.answer(&key(2)).expect("readable").is_none());
        assert_eq!(
            journal.evaluations(&[1; 32].into()).expect("readable"),
            std::slice::from_ref(&members)
        );
        assert!(!journal.is_spent(&key(1)).expect("readable"));
        journal
            .settle(&over(key(1), &members), b"later")
            .expect("settled");
        assert!(journal.is_spent(&key(1)).expect("readable"));
        assert_eq!(sealed_of_rounds(&path), Vec::<Vec<u8>>::new());
        let bytes = std::fs::read(&path).expect("readable");
        for secret in sealed {
            assert!(!is_in(&bytes, &secret), "of a settled round, in the file");
        }
        journal.end_session(None).expect("ended");
        drop(journal);
        let after = std::fs::read(&path).expect("readable");
        assert!(
            !is_in(&after, &[0x5c; 100]),
            "the upload is still in the file"
        );
        let grown = after.len() - bytes.len();
        assert!(grown <= 3 * 4096, "it grew by {grown} bytes");
    }

    /// Seeds, trainings and shares, as they are in the file.
    fn sealed_of_rounds(path: &Path) -> Vec<Vec<u8>> {
        let connection = Connection::open(path).expect("opens");
        let all = "SELECT sealed FROM seeds UNION ALL SELECT sealed FROM trainings UNION ALL SELECT share FROM boxes";
        let mut statement = connection.prepare(all).expect("both tables");
        let rows = statement.query_map([], |row| row.get(0)).expect("readable");
        rows.map(|row| row.expect("bytes")).collect()
    }

    fn is_in(bytes: &[u8], wanted: &[u8]) -> bool {
        bytes.windows(wanted.len()).any(|window| window == wanted)
    }

    #[test]
    fn sums_about_the_same_are_found_in_other_runs_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journals: [Box<dyn Journal>; 2] = [
            Box::new(
                SqliteJournal::open(&folder.path().join("j"), &SecretKey32::from_bytes([7; 32]))
                    .expect("opens"),
            ),
            Box::<super::super::memory::MemoryJournal>::default(),
        ];
        let members: BTreeSet<_> = [1, 5].into_iter().filter_map(HospitalId::new).collect();
        let other = |change: fn(&mut SumOver)| {
            let mut sum = over(key(1), &members);
            change(&mut sum);
            sum
        };
        for journal in &mut journals {
            let sums = [
                over(key(1), &members),
                other(|sum| sum.key.run = [2; 32].into()),
                other(|sum| sum.key.purpose = Purpose::Evaluation),
                other(|sum| sum.subjects = vec![SumSubject([9; 32])]),
            ];
            for sum in &sums {
                journal.record_failed_opening(sum).expect("kept");
            }
            let found = |run: u8, purpose| {
                let key = SumKey {
                    run: [run; 32].into(),
                    purpose,
                    ..key(7)
                };
                let same = journal.same_sums_of_other_runs(&key, &[SumSubject([8; 32])]);
                let same = same.expect("readable");
                assert!(same.iter().all(|members| *members == sums[0].weighted));
                !same.is_empty()
            };
            for run in [1, 2, 3] {
                assert!(found(run, Purpose::Update));
            }
            assert!(!found(1, Purpose::Evaluation) && found(2, Purpose::Evaluation));
            assert!(!found(3, Purpose::Stats));
        }
    }

    #[test]
    fn evaluations_of_version_1_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let older = Connection::open(&path).expect("opens");
        let text = "CREATE TABLE evaluations (run BLOB NOT NULL, contributors BLOB NOT NULL, PRIMARY KEY (run, contributors)) STRICT;
            INSERT INTO evaluations VALUES (zeroblob(32), x'0105'); PRAGMA user_version = 1;";
        older.execute_batch(text).expect("written");
        drop(older);
        let members: BTreeSet<_> = [1, 5].into_iter().filter_map(HospitalId::new).collect();
        for _ in 0..2 {
            let journal = SqliteJournal::open(&path, &SecretKey32::from_bytes([7; 32]));
            let found = journal.expect("opens").evaluations(&[0; 32].into());
            assert_eq!(found.expect("readable"), std::slice::from_ref(&members));
        }
    }

    /// A process of the release before was ended in the midst of a round: this one goes on from what it had trained.
    #[test]
    fn the_training_of_version_2_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let host_key = SecretKey32::from_bytes([7; 32]);
        let header = [9; 32].into();
        let contribution = KeptContribution {
            blob: vec![0x5c; 100],
            training: (0.5, 7),
        };
        {
            let mut journal = SqliteJournal::open(&path, &host_key).expect("opens");
            journal.begin_session(&session()).expect("kept");
            let kept = journal.record_contribution(&header, &contribution, &kept_box(1));
            kept.expect("kept");
            let as_version_2 = "UPDATE contributions SET training = (SELECT sealed FROM trainings);
                DROP TABLE trainings; PRAGMA user_version = 2;";
            journal
                .connection
                .execute_batch(as_version_2)
                .expect("written");
        }
        let journal = SqliteJournal::open(&path, &host_key).expect("opens");
        let found = journal.contribution(&header).expect("readable");
        assert_eq!(found, Some(contribution));
    }

    #[test]
    fn a_second_answer_for_one_sum_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal =
            SqliteJournal::open(&folder.path().join("j"), &SecretKey32::from_bytes([7; 32]))
                .expect("opens");
        let members: BTreeSet<_> = [1, 5].into_iter().filter_map(HospitalId::new).collect();
        journal
            .record_answer(&over(evaluation(), &members), &answer())
            .expect("kept");
        let others: BTreeSet<_> = HospitalId::new(2).into_iter().collect();
        assert!(
            journal
                .record_answer(&over(evaluation(), &others), &answer())
                .is_err()
        );
        assert_eq!(
            journal.evaluations(&[1; 32].into()).expect("readable"),
            [members],
            "all of an answer is kept, or nothing"
        );
    }

    #[test]
    fn a_file_that_is_no_journal_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.txt");
        std::fs::write(
            &path,
            "this is not a database, it only has the length of one. ".repeat(40),
        )
        .expect("written");
        let error = SqliteJournal::open(&path, &SecretKey32::from_bytes([7; 32]))
            .err()
            .expect("refused");
        assert!(error.to_string().contains("notes.txt"));
    }

    fn key_files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "key"))
            .collect()
    }

    #[test]
    fn a_session_is_sealed_survives_a_restart_and_goes_with_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let host_key = SecretKey32::from_bytes([7; 32]);
        let open = || SqliteJournal::open(&path, &host_key).expect("opens");
        let header = HeaderHash::from_bytes([3; 32]);
        let mut journal = open();
        journal.begin_session(&session()).expect("kept");
        journal.keep_position(&header, &PAIR_KEY).expect("kept");
        for from in [1, 2] {
            journal.record_box(&header, &kept_box(from)).expect("kept");
        }
        let members = [HospitalId::new(1).expect("in range")].into();
        journal
            .record_answer(&over(key(1), &members), &answer())
            .expect("kept");
        drop(journal);
        let journal = open();
        let kept = journal.kept_session().expect("readable").expect("kept");
        assert_eq!(
            (&*kept.set_up, &**kept.position),
            (&b"set-up"[..], &PAIR_KEY[..])
        );
        let boxes = journal.boxes(&header).expect("readable");
        let shares: Vec<_> = boxes.iter().map(|kept| kept.share.is_some()).collect();
        assert_eq!(shares, [true, false], "a share outside U is erased");
        assert_eq!(
            boxes[1].answer.to_bytes(),
            [2; 16],
            "what was said of it stays"
        );
        drop(journal);
        let bytes = std::fs::read(&path).expect("readable");
        for secret in [&SHARE[..], &PAIR_KEY[..]] {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "a secret is unencrypted in the file");
        }
        assert_eq!(key_files(folder.path()).len(), 1);
        open().end_session(None).expect("ended");
        assert!(key_files(folder.path()).is_empty());
        assert!(open().kept_session().expect("readable").is_none());
    }

    #[test]
    fn an_older_copy_of_the_journal_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let host_key = SecretKey32::from_bytes([7; 32]);
        let open = || SqliteJournal::open(&path, &host_key);
        let mut journal = open().expect("opens");
        journal.begin_session(&session()).expect("kept");
        let older = std::fs::read(&path).expect("readable");
        journal
            .record_answer(&over(key(1), &BTreeSet::new()), &answer())
            .expect("kept");
        drop(journal);
        let newest = std::fs::read(&path).expect("readable");
        std::fs::write(&path, older).expect("put back");
        let error = open().err().expect("refused");
        assert!(error.to_string().contains("older copy"), "{error}");
        std::fs::write(&path, newest).expect("put back");
        open().expect("the newest copy is taken");
        let name = key_files(folder.path()).pop().expect("a key");
        std::fs::remove_file(name).expect("there");
        let error = open().err().expect("refused");
        assert!(error.to_string().contains("missing"), "{error}");
    }

    #[test]
    fn a_lost_contribution_takes_the_next_attempt() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let mut journal =
            SqliteJournal::open(&path, &SecretKey32::from_bytes([7; 32])).expect("opens");
        let header = HeaderHash::from_bytes([3; 32]);
        for attempt in 0..3 {
            assert_eq!(journal.next_attempt(&header).expect("readable"), attempt);
            let seed = Seed::from_bytes([attempt; 32]);
            journal.record_seed(&header, attempt, &seed).expect("kept");
        }
        journal
            .keep_position(&[4; 32].into(), b"")
            .expect("the next header");
        assert_eq!(journal.next_attempt(&header).expect("readable"), 0);
    }

    #[test]
    fn a_run_that_ended_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("j");
        let ended = EndedRun {
            run: [1; 32].into(),
            session: [2; 16].into(),
            transcript: [3; 32].into(),
            model_hash: [4; 32].into(),
            learning_round: LearningRound::new(8),
        };
        let open = || SqliteJournal::open(&path, &SecretKey32::from_bytes([7; 32])).expect("opens");
        open().end_session(Some(&ended)).expect("kept");
        assert_eq!(
            open().last_ended_run().expect("readable"),
            Some(ended.clone())
        );
        let found = |run: [u8; 32]| open().ended_run(&run.into()).expect("readable");
        assert_eq!(found([1; 32]), Some(ended));
        assert_eq!(found([9; 32]), None);
    }
}
