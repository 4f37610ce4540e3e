//! Why the ledger cannot be used.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::disk_fault;

/// The ledger cannot be read or written, and then nothing may leave.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the ledger of what has left this hospital, {place}: {reason}")]
pub struct LedgerError {
    /// Which file.
    pub place: String,
    /// What went wrong, and what to do.
    pub reason: String,
    /// Whether it may pass by itself, as a full disk does. Nothing was written then.
    pub may_pass: bool,
}

impl LedgerError {
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            place: path.display().to_string(),
            reason: reason.into(),
            may_pass: false,
        }
    }

    pub(super) fn of_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let remedy = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                "it is damaged: move it aside as evidence; another one is begun"
            }
            _ => "free disk space, or let its owner write to it",
        };
        Self {
            may_pass: disk_fault::is_of_sqlite(error),
            ..Self::new(path, format!("{error}; {remedy}"))
        }
    }
}
