//! The journal in SQLite: synced at every write, deleted rows overwritten, seeds sealed under the host's key.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use crypto::{
    hash::SecretKey32,
    sealed_sum::{HospitalId, Seed},
};
use protocol::{
    digests::{ContributorsHash, HeaderHash, RunId},
    manifest::Purpose,
    round::header::SumKey,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use zeroize::Zeroizing;

use super::{Journal, JournalError, RecordedAnswer};

/// See the module.
pub struct SqliteJournal {
    connection: Connection,
    cipher: LessSafeKey,
    path: PathBuf,
}

impl SqliteJournal {
    /// Opens the journal at `path`, or makes it. `host_key` seals the secrets in it.
    ///
    /// # Errors
    /// [`JournalError`] when the file cannot be opened or is no journal.
    pub fn open(path: &Path, host_key: &SecretKey32) -> Result<Self, JournalError> {
        let place = |reason: rusqlite::Error| JournalError {
            place: path.display().to_string(),
            reason: reason.to_string(),
        };
        let connection = Connection::open(path).map_err(place)?;
        connection.execute_batch(SCHEMA).map_err(place)?;
        let cipher = LessSafeKey::new(
            UnboundKey::new(&CHACHA20_POLY1305, host_key.as_bytes())
                .expect("the cipher's keys have 32 bytes"),
        );
        Ok(Self {
            connection,
            cipher,
            path: path.to_owned(),
        })
    }

    fn run(&self, result: rusqlite::Result<usize>) -> Result<(), JournalError> {
        self.ask(result).map(|_| ())
    }

    fn ask<T>(&self, result: rusqlite::Result<T>) -> Result<T, JournalError> {
        result.map_err(|error| self.error(error.to_string()))
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

    fn error(&self, reason: String) -> JournalError {
        JournalError {
            place: self.path.display().to_string(),
            reason,
        }
    }

    /// The host key seals many seeds: each under a random nonce, kept in front.
    fn seal(&self, secret: &[u8; 32]) -> Result<Vec<u8>, JournalError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| self.error(error.to_string()))?;
        let mut plain = Zeroizing::new(secret.to_vec());
        let tag = self
            .cipher
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut plain,
            )
            .map_err(|_| self.error("sealing failed".into()))?;
        Ok([&nonce, plain.as_slice(), tag.as_ref()].concat())
    }
}

impl Journal for SqliteJournal {
    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError> {
        let sealed = self.seal(seed.as_bytes())?;
        self.run(self.connection.execute(
            "INSERT INTO seeds VALUES (?1, ?2, ?3)",
            params![header.as_bytes(), attempt, sealed],
        ))
    }

    fn record_blob(&mut self, header: &HeaderHash, blob: &[u8]) -> Result<(), JournalError> {
        self.run(self.connection.execute(
            "INSERT OR REPLACE INTO blobs VALUES (?1, ?2)",
            params![header.as_bytes(), blob],
        ))
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
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError> {
        self.in_transaction(|transaction| {
            keep_evaluation(transaction, key, members)?;
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
            Ok(())
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
        let mut statement = self.ask(
            self.connection
                .prepare("SELECT contributors FROM evaluations WHERE run = ?1"),
        )?;
        let rows =
            self.ask(statement.query_map(params![run.as_bytes()], |row| row.get::<_, Vec<u8>>(0)))?;
        rows.map(|row| {
            Ok(self
                .ask(row)?
                .into_iter()
                .filter_map(HospitalId::new)
                .collect())
        })
        .collect()
    }

    fn record_failed_opening(
        &mut self,
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
    ) -> Result<(), JournalError> {
        self.in_transaction(|transaction| keep_evaluation(transaction, key, members))
    }

    fn settle(&mut self, key: &SumKey, members: &BTreeSet<HospitalId>) -> Result<(), JournalError> {
        self.in_transaction(|transaction| {
            keep_evaluation(transaction, key, members)?;
            transaction.execute(
                "INSERT OR IGNORE INTO spent VALUES (?1, ?2, ?3)",
                params![
                    key.run.as_bytes(),
                    key.purpose.name(),
                    key.model_hash.as_bytes()
                ],
            )?;
            transaction.execute("DELETE FROM seeds", [])?;
            transaction.execute("DELETE FROM blobs", [])?;
            Ok(())
        })
    }
}

/// That this vault knows of an evaluation over these contributors; once.
fn keep_evaluation(
    transaction: &Transaction<'_>,
    key: &SumKey,
    members: &BTreeSet<HospitalId>,
) -> rusqlite::Result<()> {
    if key.purpose == Purpose::Evaluation {
        let members: Vec<u8> = members.iter().map(|id| id.get()).collect();
        transaction.execute(
            "INSERT OR IGNORE INTO evaluations VALUES (?1, ?2)",
            params![key.run.as_bytes(), members],
        )?;
    }
    Ok(())
}

/// `secure_delete` overwrites seeds and blobs of settled rounds; in rollback mode no second file keeps a copy.
const SCHEMA: &str = "
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS seeds (header BLOB NOT NULL, attempt INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (header, attempt)) STRICT;
CREATE TABLE IF NOT EXISTS blobs (header BLOB PRIMARY KEY, blob BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    run BLOB NOT NULL, purpose TEXT NOT NULL, model_hash BLOB NOT NULL,
    header BLOB NOT NULL, contributors BLOB NOT NULL, share BLOB NOT NULL,
    PRIMARY KEY (run, purpose, model_hash)) STRICT;
CREATE TABLE IF NOT EXISTS spent (run BLOB NOT NULL, purpose TEXT NOT NULL, model_hash BLOB NOT NULL, PRIMARY KEY (run, purpose, model_hash)) STRICT;
CREATE TABLE IF NOT EXISTS evaluations (run BLOB NOT NULL, contributors BLOB NOT NULL, PRIMARY KEY (run, contributors)) STRICT;
";

#[cfg(test)]
mod tests {
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
            journal
                .record_seed(&[9; 32].into(), 0, &Seed::from_bytes(seed))
                .expect("kept");
            journal
                .record_blob(&[9; 32].into(), &[0x5c; 40_000])
                .expect("kept");
            journal
                .record_answer(&key(1), &members, &answer())
                .expect("kept");
            journal
                .record_answer(&evaluation(), &members, &answer())
                .expect("kept");
            journal
                .record_failed_opening(&evaluation(), &members)
                .expect("kept once");
            journal
                .record_failed_opening(&key(1), &members)
                .expect("only evaluations are kept");
        }
        let bytes = std::fs::read(&path).expect("readable");
        assert!(
            !bytes.windows(32).any(|window| window == seed),
            "the seed is in the file in the clear"
        );
        let mut journal = SqliteJournal::open(&path, &host_key).expect("opens again");
        assert!(journal.answer(&key(1)).expect("readable") == Some(answer()));
        assert!(journal.answer(&key(2)).expect("readable").is_none());
        assert_eq!(
            journal.evaluations(&[1; 32].into()).expect("readable"),
            std::slice::from_ref(&members)
        );
        assert!(!journal.is_spent(&key(1)).expect("readable"));
        journal.settle(&key(1), &members).expect("settled");
        assert!(journal.is_spent(&key(1)).expect("readable"));
        drop(journal);
        let bytes = std::fs::read(&path).expect("readable");
        assert!(
            !bytes.windows(1000).any(|window| window == [0x5c; 1000]),
            "the blob of a settled round is still in the file"
        );
    }

    #[test]
    fn a_second_answer_for_one_sum_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal =
            SqliteJournal::open(&folder.path().join("j"), &SecretKey32::from_bytes([7; 32]))
                .expect("opens");
        let members: BTreeSet<_> = [1, 5].into_iter().filter_map(HospitalId::new).collect();
        journal
            .record_answer(&evaluation(), &members, &answer())
            .expect("kept");
        let others: BTreeSet<_> = HospitalId::new(2).into_iter().collect();
        assert!(
            journal
                .record_answer(&evaluation(), &others, &answer())
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
}
