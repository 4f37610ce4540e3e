//! One line of `transcript.jsonl`.

use std::collections::BTreeMap;

use protocol::digests::RoundNumber;
use serde::Serialize;

/// One line of `transcript.jsonl`: enough for anybody with the roster to follow the hash chain and check who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TranscriptEntry {
    /// Number of the sum in its session.
    pub round: RoundNumber,
    /// What it was for.
    pub purpose: &'static str,
    /// U.
    pub contributors: Vec<u8>,
    /// T before the round, in hexadecimal like all digests and bytes below.
    pub transcript_before: String,
    /// hh.
    pub header_hash: String,
    /// uh.
    pub contributors_hash: String,
    /// Root over the summed chunks.
    pub sum_root: String,
    /// The common model's hash from now on.
    pub model_hash: String,
    /// `T_r`.
    pub transcript: String,
    /// The signed header, as sent.
    pub header: String,
    /// The signed unlock request, as sent.
    pub request: String,
    /// The signed `RoundClosed` of the vaults that closed it by the time it was settled.
    pub closed: BTreeMap<u8, String>,
}
