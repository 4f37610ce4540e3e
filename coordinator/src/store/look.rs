//! A look at the database of a coordinator that may be running or not: nothing is written, no file is made.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{BUSY_TIMEOUT, StoreError, schema::SCHEMA_VERSION};

/// The last run of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSeen {
    /// For people.
    pub name: String,
    /// How it ended, in one word; none if it can go on.
    pub result: Option<String>,
}

/// The run that was recorded last in the database at `path`, which must be there. One of an older release is read as it is.
///
/// # Errors
/// [`StoreError`] if it cannot be read, or was made by a newer release.
pub fn last_run_seen(path: &Path) -> Result<Option<RunSeen>, StoreError> {
    let failed = |source| StoreError::Database {
        path: path.to_owned(),
        source,
    };
    let connection = open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    match version.map_err(failed)? {
        0 => return Ok(None),
        1..=SCHEMA_VERSION => {}
        found => {
            return Err(StoreError::Version {
                path: path.to_owned(),
                found,
            });
        }
    }
    let sql = "SELECT name, nullif(result, 'stopped') FROM runs ORDER BY id DESC LIMIT 1";
    let run = connection.query_row(sql, [], |row| {
        Ok(RunSeen {
            name: row.get(0)?,
            result: row.get(1)?,
        })
    });
    run.optional().map_err(failed)
}

/// SQLite would make files beside a database that has none of them; one that nobody has open is complete without them.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    if Path::new(&log).exists() {
        return Connection::open_with_flags(path, flags);
    }
    let name = format!("file:{}?immutable=1", escaped(path));
    Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_URI)
}

/// As a part of a URI.
fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let escape = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use protocol::{manifest::testing::manifest, roster::testing::federation};

    use super::*;
    use crate::store::{RunResult, Store};

    #[test]
    fn a_look_tells_the_last_run_and_leaves_no_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a state? of #1 100%.sqlite");
        let files = || {
            let entries = fs::read_dir(folder.path()).expect("a folder");
            entries.count()
        };
        assert!(last_run_seen(&path).is_err());
        assert_eq!(files(), 0);
        let federation = federation(3);
        let signed = protocol::identity::Signed::sign(&manifest(), &federation.operator_key);
        let store = Store::open(&path).expect("made");
        assert_eq!(last_run_seen(&path).expect("read"), None);
        let hash = federation.roster.hash();
        store.begin_run(&signed, &hash).expect("begun");
        // While somebody has it open, and afterwards.
        let unfinished = last_run_seen(&path).expect("read").expect("one");
        assert_eq!(unfinished.name, manifest().name.0);
        assert_eq!(unfinished.result, None);
        let reason = "a test";
        store
            .end_run(&RunResult::Abandoned { reason })
            .expect("ended");
        drop(store);
        let there = files();
        let ended = last_run_seen(&path).expect("read").expect("one");
        assert_eq!(ended.result.as_deref(), Some("abandoned"));
        assert_eq!(files(), there);
    }
}
