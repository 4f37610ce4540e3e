//! Which version and commit a program was built from.
//!
//! A release build asks git. Where there is no git, or no clone, `MYELIN_COMMIT` and `MYELIN_COMMIT_DATE` say it, or nobody does. A debug
//! build knows only what these two say. What depends on this crate is compiled anew when the commit is another one, so only the
//! programs do.
#![forbid(unsafe_code)]

#[cfg(test)]
mod commit;

/// For people: `0.1.0 (40ea5ad12345, 2026-12-01)`.
pub const VERSION: &str = env!("BUILT_VERSION");

/// The first digits of the commit, with `-modified` if the sources were not as committed. None if the build did not know it.
pub const COMMIT: Option<&str> = option_env!("BUILT_COMMIT");
