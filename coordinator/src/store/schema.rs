//! The tables, and how those of older releases become those of this one.

use rusqlite::Connection;

/// What this version of the program needs.
pub(super) const SCHEMA_VERSION: i64 = 3;

/// Makes the tables, or adds what an older release did not have; gives the version that the database has then.
pub(super) fn bring_up_to_date(connection: &Connection) -> rusqlite::Result<i64> {
    let version = || connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let missing: &[&str] = match version()? {
        0 => &[SCHEMA, FACTS, ROSTER],
        // The first release kept no facts.
        1 => &[FACTS, ROSTER],
        2 => &[ROSTER],
        found => return Ok(found),
    };
    for step in missing {
        connection.execute_batch(step)?;
    }
    version()
}

/// Version 1.
pub(super) const SCHEMA: &str = "
BEGIN;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,            -- H(manifest), in hexadecimal like all digests
    name TEXT NOT NULL,
    manifest BLOB NOT NULL,        -- as signed by the operator
    begun_unix_ms INTEGER NOT NULL,
    ended_unix_ms INTEGER,
    result TEXT,                   -- complete, failed, abandoned; null while it can go on
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
pub(super) const FACTS: &str = "
BEGIN;
CREATE TABLE facts (
    id INTEGER PRIMARY KEY,        -- their order
    run INTEGER NOT NULL REFERENCES runs,
    kind TEXT NOT NULL,            -- begun, ready, header, fixed, outcome, closed, left out
    bytes BLOB NOT NULL            -- as coordinator::machine::Fact writes it
) STRICT;
PRAGMA user_version = 2;
COMMIT;
";

/// What version 3 has beyond version 2.
const ROSTER: &str = "
BEGIN;
ALTER TABLE runs ADD COLUMN roster TEXT; -- its hash; null for a run of an older release
PRAGMA user_version = 3;
COMMIT;
";
