//! The state that the rounds of a session hand on, from each to the next.

use protocol::digests::{ModelHash, Transcript};

/// Where a session stands: what the next header must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    /// T of the last settled round.
    pub(super) transcript: Transcript,
    /// The common model.
    pub(super) model_hash: ModelHash,
}
