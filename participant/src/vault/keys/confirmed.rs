//! That another vault has confirmed the keys, and what it brings of the run.

use crypto::hash::Digest;
use protocol::digests::StateCommit;

/// What is kept of a Ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) struct Confirmed {
    /// H of it.
    pub(in crate::vault) digest: Digest,
    /// What its vault brings of the run.
    pub(in crate::vault) state: Option<StateCommit>,
}
