//! Faults of a disk that is full, read-only or gone: they pass once somebody sees to it, and what was to be written is written then.

use std::io;

use rusqlite::ErrorCode;

/// In SQLite's words.
pub(crate) fn is_of_sqlite(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
        )
    )
}

/// In those of the operating system.
pub(crate) fn is_of_the_system(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StaleNetworkFileHandle
    )
}
