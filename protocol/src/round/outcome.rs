//! What a round ends with: the sum, the answers that open it, and the vaults' word on what they made of it (PROTOCOL.md 3.7).

use crypto::hash::{Digest, labelled_hash};

use super::{
    header::RoundOpen,
    unlock::{UnlockRequest, UnlockShare},
};
use crate::{
    codec::{self, BorrowDecode, BorrowedBytes, Bytes, CodecError, Decode, Encode, Id, List},
    digests::{ContributorsHash, HeaderHash, ModelHash, OutcomeName, ResultCommit, Transcript},
    identity::{Message, Signed},
    keeping::Verdict,
};

/// All that a vault needs to open a round, also one that it has missed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Outcome {
    /// The header.
    pub header: Signed<RoundOpen>,
    /// U.
    pub request: Signed<UnlockRequest>,
    /// At least t answers.
    pub shares: List<Signed<UnlockShare>>,
    /// The summed chunks, one behind the other.
    pub sum: Bytes,
}

/// An [`Outcome`] whose sum, of 17 MB, stays where it was read.
#[derive(Debug, PartialEq, Eq, BorrowDecode)]
pub struct ReceivedOutcome<'a> {
    /// The header.
    pub header: Signed<RoundOpen>,
    /// U.
    pub request: Signed<UnlockRequest>,
    /// At least t answers.
    pub shares: List<Signed<UnlockShare>>,
    /// The summed chunks, one behind the other.
    pub sum: BorrowedBytes<'a>,
}

impl<'a> ReceivedOutcome<'a> {
    /// Reads an encoded [`Outcome`].
    ///
    /// # Errors
    /// As [`codec::decode`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        codec::decode_borrowed(bytes)
    }
}

/// The name under which the coordinator serves an outcome.
pub fn outcome_name(header: &HeaderHash, contributors: &ContributorsHash) -> OutcomeName {
    labelled_hash("outcome", &[header.as_bytes(), contributors.as_bytes()]).into()
}

/// A vault has opened the round and moved on; signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoundClosed {
    /// The hospital concerned.
    pub id: Id,
    /// hh.
    pub header: HeaderHash,
    /// uh.
    pub contributors: ContributorsHash,
    /// `T_r`.
    pub transcript: Transcript,
    /// `model_hash` from now on.
    pub model_hash: ModelHash,
    /// HMAC(HKDF(G, 'result'), counters as opened): shows that all opened the same, without showing what.
    pub result_commit: ResultCommit,
    /// Whether the run has to go on after this round; only an evaluation can end it.
    pub verdict: Verdict,
}

impl Message for RoundClosed {
    const TYPE: &'static str = "round-closed";
    type Digest = Digest;
}

/// No t of the answers open the round; signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoundFailed {
    /// The hospital concerned.
    pub id: Id,
    /// hh.
    pub header: HeaderHash,
    /// uh.
    pub contributors: ContributorsHash,
}

impl Message for RoundFailed {
    const TYPE: &'static str = "round-failed";
    type Digest = Digest;
}
