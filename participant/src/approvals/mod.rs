//! What people here have decided about the runs that this hospital was offered. A decision is about one manifest and one roster, by
//! their hashes: a run in which anything is different is another run, and with other hospitals it is asked about again.

pub mod shown;
pub mod store;

use std::path::PathBuf;

use protocol::manifest::CheckedManifest;

/// Who decides about a run that the policy accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Somebody here, each time.
    Ask,
    /// The policy alone.
    Automatic,
}

/// What is decided about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet.
    Awaited,
    /// This hospital takes part.
    Approved,
    /// It does not.
    Rejected {
        /// Why, in the words of who decided.
        reason: String,
    },
}

/// Where decisions are kept. The vault asks it before it joins.
pub trait Approvals: Send {
    /// What is decided about a run that the policy accepts and that this hospital has yet to join. Keeps the run for people to look at.
    ///
    /// # Errors
    /// [`ApprovalsError`].
    fn of_offered(&mut self, run: &CheckedManifest) -> Result<Decision, ApprovalsError>;

    /// The same of a run that this hospital is in: nobody is asked again, but a rejection counts.
    ///
    /// # Errors
    /// [`ApprovalsError`].
    fn of_begun(&mut self, run: &CheckedManifest) -> Result<Decision, ApprovalsError>;

    /// Keeps a run that the policy refuses, with the reason.
    ///
    /// # Errors
    /// [`ApprovalsError`].
    fn note_refusal(&mut self, run: &CheckedManifest, reason: &str) -> Result<(), ApprovalsError>;
}

/// Approves every run and keeps nothing: for simulations and tests, whose user has asked for the run.
pub struct NobodyIsAsked;

impl Approvals for NobodyIsAsked {
    fn of_offered(&mut self, _: &CheckedManifest) -> Result<Decision, ApprovalsError> {
        Ok(Decision::Approved)
    }

    fn of_begun(&mut self, _: &CheckedManifest) -> Result<Decision, ApprovalsError> {
        Ok(Decision::Approved)
    }

    fn note_refusal(&mut self, _: &CheckedManifest, _: &str) -> Result<(), ApprovalsError> {
        Ok(())
    }
}

/// The decisions cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use the record of approvals {}: {reason}; make room for it, or put the file back as it was",
    path.display()
)]
pub struct ApprovalsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}
