//! The ledger's file: SQLite in write-ahead mode, so that it is read while a run is under way.
//!
//! A write is one transaction. Of objects that hold something of patients it is synced before they leave; of all others it is in the
//! file, safe from the end of the process, and synced with the next one that is: a power cut may take the last heartbeats with it, no
//! contribution.

use std::path::{Path, PathBuf};

use crypto::hash::Digest;
use host::private_folder::open_private_file;
use protocol::digests::RunId;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, ToSql, params, types::Type};

use super::{
    Kind,
    entry::{Content, Entry, Part, Recipient},
    error::LedgerError,
};

/// The open file.
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
}

/// Where the chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub entries: u64,
    /// The hash of the last one.
    pub hash: Digest,
}

impl Store {
    /// Opens the file for writing, or makes it, for its owner alone.
    pub(super) fn open(path: &Path) -> Result<Self, LedgerError> {
        open_private_file(path).map_err(|error| {
            let reason = format!("{error}; free disk space, or let this user write to the folder");
            LedgerError::new(path, reason)
        })?;
        let connection = Connection::open(path);
        Self::set_up(connection, path, WRITING)
    }

    /// A ledger that goes with this value.
    pub(super) fn in_memory() -> Result<Self, LedgerError> {
        Self::set_up(Connection::open_in_memory(), Path::new(":memory:"), "")
    }

    /// Opens a file that is there, for reading.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::new(path, NOTHING_YET));
        }
        // Not read-only to SQLite: what a killed process has left in the file beside it is to be seen too.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let connection = connection.map_err(|error| LedgerError::of_sqlite(path, &error))?;
        let store = Self {
            connection,
            path: path.to_owned(),
        };
        match store.version()? {
            // All that is read from now on is as it was at one moment, also while a run is under way.
            VERSION => store
                .ask(store.connection.execute_batch("BEGIN"))
                .map(|()| store),
            0 => Err(LedgerError::new(path, NOTHING_YET)),
            found => Err(store.of_another_version(found)),
        }
    }

    fn set_up(
        connection: rusqlite::Result<Connection>,
        path: &Path,
        pragmas: &str,
    ) -> Result<Self, LedgerError> {
        let error = |error: rusqlite::Error| LedgerError::of_sqlite(path, &error);
        let connection = connection.map_err(error)?;
        connection.execute_batch(pragmas).map_err(error)?;
        let store = Self {
            connection,
            path: path.to_owned(),
        };
        match store.version()? {
            0 | VERSION => store.ask(store.connection.execute_batch(SCHEMA))?,
            found => return Err(store.of_another_version(found)),
        }
        Ok(store)
    }

    fn version(&self) -> Result<i64, LedgerError> {
        let version = |row: &Row<'_>| row.get(0);
        self.ask(
            self.connection
                .pragma_query_value(None, "user_version", version),
        )
    }

    fn of_another_version(&self, found: i64) -> LedgerError {
        let reason = format!(
            "it was written by another release (version {found}, this one writes {VERSION}); use that release, or move the file aside"
        );
        self.error(reason)
    }

    /// Where the chain ends, as the last write has noted it.
    pub(super) fn head(&self) -> Result<Head, LedgerError> {
        let head = self
            .connection
            .query_row("SELECT entries, hash FROM head", [], |row| {
                Ok(Head {
                    entries: unsigned(row, 0)?,
                    hash: row.get(1)?,
                })
            });
        self.ask(head)
    }

    /// The last entry.
    pub(super) fn last(&self) -> Result<Option<Entry>, LedgerError> {
        let last = "SELECT * FROM entries ORDER BY number DESC LIMIT 1";
        self.ask(self.connection.query_row(last, [], read_entry).optional())
    }

    /// Everything of the chain in its order, one entry at a time.
    pub(super) fn entries<E: From<LedgerError>>(
        &self,
        mut see: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.ask(
            self.connection
                .prepare("SELECT * FROM entries ORDER BY number"),
        )?;
        let mut rows = self.ask(statement.query([]))?;
        while let Some(row) = self.ask(rows.next())? {
            see(self.ask(read_entry(row))?)?;
        }
        Ok(())
    }

    /// Objects that are being counted, and will be entries when their minute is over.
    pub(super) fn counting(&self) -> Result<Vec<Content>, LedgerError> {
        let mut statement = self.ask(
            self.connection
                .prepare("SELECT * FROM counting ORDER BY number"),
        )?;
        let rows = self.ask(statement.query_map([], read_content))?;
        rows.map(|row| self.ask(row)).collect()
    }

    /// How far into an object of this hash earlier uploads have come in this run.
    pub(super) fn reached(&self, run: Option<RunId>, sha256: &Digest) -> Result<u64, LedgerError> {
        let earlier = "SELECT kind, first_byte, bytes FROM entries WHERE sha256 = ?1 AND run IS ?2 AND first_byte IS NOT NULL ORDER BY number";
        let mut statement = self.ask(self.connection.prepare_cached(earlier))?;
        let run = run.map(<[u8; 32]>::from);
        let mut rows = self.ask(statement.query(params![sha256, run]))?;
        let (mut reached, mut of_last) = (0, 0);
        while let Some(row) = self.ask(rows.next())? {
            let kind: String = self.ask(row.get(0))?;
            let (first, bytes): (i64, i64) = (self.ask(row.get(1))?, self.ask(row.get(2))?);
            // A correction says where the upload before it has ended.
            of_last = if kind == Kind::NotSent.name() {
                first
            } else {
                reached = reached.max(of_last);
                first + bytes
            };
        }
        Ok(u64::try_from(reached.max(of_last)).unwrap_or(0))
    }

    /// Writes all of it or nothing: entries behind the chain, and the objects that are counted from now on.
    pub(super) fn write(
        &mut self,
        entries: &[Entry],
        counting: Option<&[Content]>,
        synced: bool,
    ) -> Result<(), LedgerError> {
        let level = if synced { SYNCED } else { UNSYNCED };
        self.ask(self.connection.execute_batch(level))?;
        let written = self.connection.transaction().and_then(|transaction| {
            for entry in entries {
                let mut insert = transaction.prepare_cached(INSERT_ENTRY)?;
                let (number, part) = (entry.number as i64, PartColumns::of(&entry.content));
                let run = entry.content.run.map(<[u8; 32]>::from);
                let mut values: Vec<&dyn ToSql> = vec![&number];
                let objects = entry.content.objects as i64;
                values.extend(columns(&entry.content, &run, &objects, &part));
                values.push(&entry.hash);
                insert.execute(&values[..])?;
            }
            if let Some(entry) = entries.last() {
                let mut head =
                    transaction.prepare_cached("UPDATE head SET entries = ?1, hash = ?2")?;
                head.execute(params![entry.number as i64, entry.hash])?;
            }
            if let Some(counting) = counting {
                transaction
                    .prepare_cached("DELETE FROM counting")?
                    .execute([])?;
                for (number, content) in (1_i64..).zip(counting) {
                    let mut insert = transaction.prepare_cached(INSERT_COUNTING)?;
                    let part = PartColumns::of(content);
                    let run = content.run.map(<[u8; 32]>::from);
                    let mut values: Vec<&dyn ToSql> = vec![&number];
                    let objects = content.objects as i64;
                    values.extend(columns(content, &run, &objects, &part));
                    insert.execute(&values[..])?;
                }
            }
            transaction.commit()
        });
        self.ask(written)
    }

    /// As on a disk that is full, or no longer.
    #[cfg(test)]
    pub(super) fn fill_disk(&self, full: bool) {
        let read_only = format!("PRAGMA query_only = {full}");
        let done = self.connection.execute_batch(&read_only);
        done.expect("SQLite knows it");
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> LedgerError {
        LedgerError::new(&self.path, reason)
    }

    fn ask<T>(&self, result: rusqlite::Result<T>) -> Result<T, LedgerError> {
        result.map_err(|error| LedgerError::of_sqlite(&self.path, &error))
    }
}

#[derive(Default)]
struct PartColumns {
    first: Option<i64>,
    of: Option<i64>,
    again: Option<i64>,
}

impl PartColumns {
    fn of(content: &Content) -> Self {
        content.part.map_or_else(Self::default, |part| Self {
            first: Some(part.first as i64),
            of: Some(part.of as i64),
            again: Some(part.again as i64),
        })
    }
}

/// In the order of the tables, behind the number.
fn columns<'a>(
    content: &'a Content,
    run: &'a Option<[u8; 32]>,
    objects: &'a i64,
    part: &'a PartColumns,
) -> [&'a dyn ToSql; 16] {
    [
        &content.first_at,
        &content.last_at,
        &content.to.address,
        &content.to.key,
        run,
        &content.sum,
        &content.round,
        &content.kind,
        &content.purpose,
        &content.protection,
        objects,
        &content.bytes,
        &part.first,
        &part.of,
        &part.again,
        &content.sha256,
    ]
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        number: unsigned(row, 0)?,
        content: read_content(row)?,
        hash: row.get("hash")?,
    })
}

fn read_content(row: &Row<'_>) -> rusqlite::Result<Content> {
    let run: Option<[u8; 32]> = row.get(5)?;
    let first: Option<i64> = row.get(13)?;
    let part = match first {
        None => None,
        Some(_) => Some(Part {
            first: unsigned(row, 13)?,
            of: unsigned(row, 14)?,
            again: unsigned(row, 15)?,
        }),
    };
    Ok(Content {
        first_at: row.get(1)?,
        last_at: row.get(2)?,
        to: Recipient {
            address: row.get(3)?,
            key: row.get(4)?,
        },
        run: run.map(RunId::from),
        sum: row.get(6)?,
        round: row.get(7)?,
        kind: row.get(8)?,
        purpose: row.get(9)?,
        protection: row.get(10)?,
        objects: unsigned(row, 11)?,
        bytes: row.get(12)?,
        part,
        sha256: row.get(16)?,
    })
}

/// SQLite has no unsigned numbers: a negative one is damage, or somebody's change.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
    })
}

const NOTHING_YET: &str = "it is not there: nothing has left this hospital by way of this state folder since ledgers are kept";
const VERSION: i64 = 1;
const SYNCED: &str = "PRAGMA synchronous = FULL";
const UNSYNCED: &str = "PRAGMA synchronous = NORMAL";

/// The file beside it is folded into it every 64 pages: it stays small, also on a small disk.
const WRITING: &str = "
PRAGMA journal_mode = WAL;
PRAGMA wal_autocheckpoint = 64;
";

const SCHEMA: &str = "
BEGIN;
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY, first_at TEXT NOT NULL, last_at TEXT NOT NULL, address TEXT NOT NULL, key BLOB NOT NULL,
    run BLOB, sum TEXT, round INTEGER, kind TEXT NOT NULL, purpose TEXT NOT NULL, protection TEXT NOT NULL,
    objects INTEGER NOT NULL, bytes INTEGER NOT NULL, first_byte INTEGER, object_bytes INTEGER, again INTEGER,
    sha256 BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS uploads ON entries (sha256) WHERE first_byte IS NOT NULL;
CREATE TABLE IF NOT EXISTS counting (
    number INTEGER PRIMARY KEY, first_at TEXT NOT NULL, last_at TEXT NOT NULL, address TEXT NOT NULL, key BLOB NOT NULL,
    run BLOB, sum TEXT, round INTEGER, kind TEXT NOT NULL, purpose TEXT NOT NULL, protection TEXT NOT NULL,
    objects INTEGER NOT NULL, bytes INTEGER NOT NULL, first_byte INTEGER, object_bytes INTEGER, again INTEGER,
    sha256 BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
INSERT OR IGNORE INTO head VALUES (1, 0, zeroblob(32));
PRAGMA user_version = 1;
COMMIT;
";

const INSERT_ENTRY: &str = "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
const INSERT_COUNTING: &str = "INSERT INTO counting VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
