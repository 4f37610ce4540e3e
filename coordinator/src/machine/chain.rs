//! Rounds whose outcome is out: who closed them, and the transcript that follows.

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::HospitalId;
use serde::Serialize;

use protocol::{
    codec,
    digests::{
        ChunksRoot, ContributorsHash, HeaderHash, ModelHash, OutcomeName, RoundNumber, Transcript,
    },
    identity::Signed,
    manifest::Purpose,
    round::{header::RoundOpen, next_transcript, outcome::RoundClosed, unlock::UnlockRequest},
};

pub(super) struct SettledRound {
    name: OutcomeName,
    signed_header: Signed<RoundOpen>,
    header: RoundOpen,
    hash: HeaderHash,
    signed_request: Signed<UnlockRequest>,
    contributors: BTreeSet<HospitalId>,
    contributors_hash: ContributorsHash,
    sum_root: ChunksRoot,
    closed: BTreeMap<HospitalId, (RoundClosed, Signed<RoundClosed>)>,
    failed: BTreeSet<HospitalId>,
}

/// One line of `transcript.jsonl`: enough for anybody with the roster to follow the hash chain and check who signed it.
#[derive(Clone, Debug, Serialize)]
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

impl SettledRound {
    pub(super) fn new(
        name: OutcomeName,
        signed_header: Signed<RoundOpen>,
        header: RoundOpen,
        signed_request: Signed<UnlockRequest>,
        request: &UnlockRequest,
        sum_root: ChunksRoot,
    ) -> Self {
        Self {
            name,
            hash: signed_header.digest(),
            signed_header,
            header,
            signed_request,
            contributors: request.members(),
            contributors_hash: request.hash(),
            sum_root,
            closed: BTreeMap::new(),
            failed: BTreeSet::new(),
        }
    }

    pub(super) fn name(&self) -> OutcomeName {
        self.name
    }

    pub(super) fn number(&self) -> RoundNumber {
        self.header.round
    }

    pub(super) fn contributors(&self) -> Vec<HospitalId> {
        self.contributors.iter().copied().collect()
    }

    pub(super) fn is_for(&self, closed: &RoundClosed) -> bool {
        closed.header == self.hash && closed.contributors == self.contributors_hash
    }

    pub(super) fn header_is(&self, hash: &HeaderHash) -> bool {
        *hash == self.hash
    }

    /// Whether `id` has signed this T for this round.
    pub(super) fn reached_by(&self, id: HospitalId, transcript: &Transcript) -> bool {
        self.closed
            .get(&id)
            .is_some_and(|(closed, _)| closed.transcript == *transcript)
            || self
                .closed
                .values()
                .any(|(closed, _)| closed.transcript == *transcript)
    }

    /// Takes a vault's word; its T must follow from what it says of the model, and only an update moves the model.
    pub(super) fn take_closed(
        &mut self,
        from: HospitalId,
        signed: Signed<RoundClosed>,
        body: &RoundClosed,
        transcript_before: &Transcript,
        model_before: &ModelHash,
    ) -> Result<(), String> {
        if body.id.0 != from {
            return Err("closes a round for another hospital".into());
        }
        let expected = next_transcript(
            transcript_before,
            &self.hash,
            &self.contributors_hash,
            &self.sum_root,
            &body.model_hash,
        );
        if body.transcript != expected {
            return Err(format!(
                "its transcript of round {} is another than ours",
                self.number()
            ));
        }
        if self.header.purpose != Purpose::Update && body.model_hash != *model_before {
            return Err("says that a sum without an update moved the model".into());
        }
        self.closed
            .entry(from)
            .or_insert_with(|| (body.clone(), signed));
        Ok(())
    }

    /// Notes a vault that could not open the round.
    pub(super) fn take_failed(&mut self, from: HospitalId) {
        self.failed.insert(from);
    }

    /// Whether this vault could not open the round and has not managed since.
    pub(super) fn failed_by(&self, id: HospitalId) -> bool {
        self.failed.contains(&id) && !self.closed.contains_key(&id)
    }

    /// Whether `threshold` of `members` vaults can no longer close the round alike, whatever the others will say.
    pub(super) fn is_stuck(&self, members: usize, threshold: usize) -> bool {
        let undecided = members
            - self
                .closed
                .keys()
                .chain(&self.failed)
                .collect::<BTreeSet<_>>()
                .len();
        self.votes().into_values().max().unwrap_or(0) + undecided < threshold
    }

    /// The T and model hash that `threshold` vaults have signed alike.
    pub(super) fn consensus(&self, threshold: usize) -> Option<(Transcript, ModelHash)> {
        self.votes()
            .into_iter()
            .find(|(_, count)| *count >= threshold)
            .map(|(state, _)| state)
    }

    /// How many vaults closed with each T and model hash.
    fn votes(&self) -> BTreeMap<(Transcript, ModelHash), usize> {
        let mut votes: BTreeMap<(Transcript, ModelHash), usize> = BTreeMap::new();
        for (closed, _) in self.closed.values() {
            *votes
                .entry((closed.transcript, closed.model_hash))
                .or_default() += 1;
        }
        votes
    }

    /// The transcript's line of a settled round.
    pub(super) fn transcript_entry(
        &self,
        before: &Transcript,
        threshold: usize,
    ) -> TranscriptEntry {
        let (transcript, model_hash) = self
            .consensus(threshold)
            .expect("asked for once t have closed alike");
        TranscriptEntry {
            round: self.header.round,
            purpose: self.header.purpose.name(),
            contributors: self.contributors.iter().map(|id| id.get()).collect(),
            transcript_before: hex::encode(before),
            header_hash: hex::encode(self.hash),
            contributors_hash: hex::encode(self.contributors_hash),
            sum_root: hex::encode(self.sum_root),
            model_hash: hex::encode(model_hash),
            transcript: hex::encode(transcript),
            header: hex::encode(codec::encode(&self.signed_header)),
            request: hex::encode(codec::encode(&self.signed_request)),
            closed: self
                .closed
                .iter()
                .map(|(id, (_, signed))| (id.get(), hex::encode(codec::encode(signed))))
                .collect(),
        }
    }
}
