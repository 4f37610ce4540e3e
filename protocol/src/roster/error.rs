//! Why a roster cannot be trusted.

use crypto::sealed_sum::{HospitalId, MAX_HOSPITALS};

use super::SUITE;
use crate::counted::counted;

/// A roster that cannot be trusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RosterError {
    /// Not the JSON of a roster.
    #[error("the roster does not parse: {0}")]
    Syntax(String),
    /// A suite this release does not speak.
    #[error("the roster is for suite {found}, this release speaks suite {SUITE}")]
    Suite {
        /// The number in the file.
        found: u16,
    },
    /// Too few or too many hospitals.
    #[error("the roster lists {}; a federation has 2 to {MAX_HOSPITALS}", counted(*found, ["hospital", "hospitals"]))]
    Size {
        /// How many the file lists.
        found: usize,
    },
    /// A number that cannot be a share point.
    #[error(
        "hospital number {id} is out of range: give each hospital a number from 1 to {MAX_HOSPITALS}"
    )]
    IdOutOfRange {
        /// The number in the file.
        id: u8,
    },
    /// Two hospitals with one number.
    #[error(
        "two hospitals have the number {id}: give each hospital a number of its own and have all sign the roster again"
    )]
    DuplicateId {
        /// The number.
        id: HospitalId,
    },
    /// Two hospitals with one key.
    #[error("hospital {id} shares a key with another member: each hospital makes its own keys")]
    SharedKey {
        /// The second holder.
        id: HospitalId,
    },
    /// Two hospitals with one name: people could not tell them apart.
    #[error("two hospitals are called {name:?}: give each a name of its own")]
    SharedName {
        /// The name.
        name: String,
    },
    /// A key under which anything verifies.
    #[error("the signing key of {owner} is not a sound Ed25519 key")]
    UnsoundKey {
        /// Whose key.
        owner: String,
    },
    /// A member has not signed this very roster.
    #[error("hospital {id} has not signed this roster: every member signs after the last change")]
    Unsigned {
        /// Whose signature is missing or does not fit.
        id: HospitalId,
    },
    /// A later epoch that the hospitals of the one before have not agreed to.
    #[error("{missing} more hospitals of the roster before epoch {epoch} have to sign it")]
    TooFewOfPrevious {
        /// The epoch that lacks signatures.
        epoch: u32,
        /// How many.
        missing: usize,
    },
    /// The earlier epochs in the file are not all those before this one.
    #[error(
        "epoch {epoch} of the roster does not come with all epochs before it: take the whole file as it was published"
    )]
    History {
        /// Of the file.
        epoch: u32,
    },
    /// A number that another hospital had in an earlier epoch.
    #[error(
        "the number {id} was another hospital's in an earlier roster: give each new hospital a new number"
    )]
    NumberUsedAgain {
        /// The number.
        id: HospitalId,
    },
}
