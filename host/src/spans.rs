//! What a line of the log is within: a run, a round of it, a hospital. The same names in both programs.
//!
//! ```text
//! 2026-12-01T09:30:00Z  INFO run{id=5f1d03b2c4a79e68}:round{number=3 purpose=update}: abandoned a round
//! ```
//!
//! They are of the level "error", so that also a log of errors alone says of what run they are.

use protocol::{
    HospitalId,
    digests::{RoundNumber, RunId},
    manifest::Purpose,
};
use tracing::{Span, error_span};

/// A run, as a hospital takes part in it.
pub fn run_at(hospital: HospitalId, run: &RunId) -> Span {
    error_span!(parent: None, "run", id = %short(run), hospital = hospital.get())
}

/// A round of `run`.
pub fn round(run: &Span, number: RoundNumber, purpose: Purpose) -> Span {
    error_span!(parent: run, "round", number = number.get(), purpose = %purpose.name())
}

/// The first 16 of the 64 hexadecimal digits of a run's ID.
pub fn short(run: &RunId) -> String {
    hex::encode(&run.as_bytes()[..SHORT_ID_BYTES])
}

const SHORT_ID_BYTES: usize = 8;
