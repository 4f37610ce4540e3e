//! A round whose outcome is published: who has closed it, and the transcript that follows (PROTOCOL.md 3.7).

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec,
    digests::{ChunksRoot, ContributorsHash, HeaderHash, OutcomeName, RoundNumber, Transcript},
    identity::Signed,
    keeping::Verdict,
    manifest::Purpose,
    round::{
        header::RoundOpen,
        next_transcript,
        outcome::{RoundClosed, outcome_name},
        unlock::UnlockRequest,
    },
};

use super::{ClosingError, TranscriptEntry, head::Head};

pub(super) struct PublishedRound {
    name: OutcomeName,
    signed_header: Signed<RoundOpen>,
    header: RoundOpen,
    header_hash: HeaderHash,
    signed_request: Signed<UnlockRequest>,
    contributors: BTreeSet<HospitalId>,
    contributors_hash: ContributorsHash,
    sum_root: ChunksRoot,
    closed: BTreeMap<HospitalId, (RoundClosed, Signed<RoundClosed>)>,
    failed: BTreeSet<HospitalId>,
}

impl PublishedRound {
    pub(super) fn new(
        signed_header: Signed<RoundOpen>,
        header: RoundOpen,
        signed_request: Signed<UnlockRequest>,
        request: &UnlockRequest,
        sum_root: ChunksRoot,
    ) -> Self {
        let (header_hash, contributors_hash) = (signed_header.digest(), request.hash());
        Self {
            name: outcome_name(&header_hash, &contributors_hash),
            header_hash,
            signed_header,
            header,
            signed_request,
            contributors: request.members(),
            contributors_hash,
            sum_root,
            closed: BTreeMap::new(),
            failed: BTreeSet::new(),
        }
    }

    /// The outcome's name.
    pub(super) fn name(&self) -> OutcomeName {
        self.name
    }

    pub(super) fn number(&self) -> RoundNumber {
        self.header.round
    }

    /// hh. Under this name the sum was kept until its outcome was published.
    pub(super) fn header_hash(&self) -> HeaderHash {
        self.header_hash
    }

    pub(super) fn contributors(&self) -> Vec<HospitalId> {
        self.contributors.iter().copied().collect()
    }

    /// Whether these are its header and U.
    pub(super) fn is_of(&self, header: &HeaderHash, contributors: &ContributorsHash) -> bool {
        *header == self.header_hash && *contributors == self.contributors_hash
    }

    pub(super) fn header_is(&self, hash: &HeaderHash) -> bool {
        *hash == self.header_hash
    }

    /// Whether a vault has signed this T for this round: then a hospital that names it has opened the round.
    pub(super) fn ends_in(&self, transcript: &Transcript) -> bool {
        let mut closed = self.closed.values();
        closed.any(|(closed, _)| closed.transcript == *transcript)
    }

    /// Takes a vault's word. `T_r = H('T' || T_{r-1} || hh || uh || sum_root || model_hash_after)` must follow from what it says of
    /// the model, and only an update moves the model. True when it is news; another one of the same vault is refused.
    pub(super) fn on_closed(
        &mut self,
        from: HospitalId,
        signed: Signed<RoundClosed>,
        body: RoundClosed,
        before: &Head,
    ) -> Result<bool, ClosingError> {
        let round = self.number();
        if body.id.0 != from {
            return Err(ClosingError::OtherHospital { other: body.id.0 });
        }
        let expected = next_transcript(
            &before.transcript,
            &self.header_hash,
            &self.contributors_hash,
            &self.sum_root,
            &body.model_hash,
        );
        if body.transcript != expected {
            return Err(ClosingError::OtherTranscript { round });
        }
        if self.header.purpose != Purpose::Update && body.model_hash != before.model_hash {
            return Err(ClosingError::ModelMoved { round });
        }
        if self.header.purpose != Purpose::Evaluation && body.verdict != Verdict::GoOn {
            return Err(ClosingError::StopWithoutEvaluation { round });
        }
        match self.closed.get(&from) {
            Some((_, known)) if *known == signed => Ok(false),
            Some(_) => Err(ClosingError::Second { round }),
            None => {
                self.closed.insert(from, (body, signed));
                Ok(true)
            }
        }
    }

    /// Notes a vault that could not open the round; true when that is news.
    pub(super) fn on_failed(&mut self, from: HospitalId) -> bool {
        self.failed.insert(from)
    }

    /// Whether this vault has closed the round.
    pub(super) fn closed_by(&self, id: HospitalId) -> bool {
        self.closed.contains_key(&id)
    }

    /// Whether this vault could not open the round and has not managed since.
    pub(super) fn failed_by(&self, id: HospitalId) -> bool {
        self.failed.contains(&id) && !self.closed.contains_key(&id)
    }

    /// Whether `threshold` vaults can no longer close the round alike, whatever those of these will say that have said nothing.
    pub(super) fn is_stuck(&self, members: &[HospitalId], threshold: usize) -> bool {
        let decided: BTreeSet<_> = self.closed.keys().chain(&self.failed).collect();
        let undecided = members.iter().filter(|id| !decided.contains(id)).count();
        self.votes().into_values().max().unwrap_or(0) + undecided < threshold
    }

    /// The T, model hash and verdict that `threshold` vaults have signed alike.
    pub(super) fn consensus(&self, threshold: usize) -> Option<(Head, Verdict)> {
        let mut votes = self.votes().into_iter();
        let (word, _) = votes.find(|(_, count)| *count >= threshold)?;
        Some(word)
    }

    /// How many vaults closed with each T, model hash and verdict.
    fn votes(&self) -> BTreeMap<(Head, Verdict), usize> {
        let mut votes = BTreeMap::new();
        for (closed, _) in self.closed.values() {
            let head = Head {
                transcript: closed.transcript,
                model_hash: closed.model_hash,
            };
            *votes.entry((head, closed.verdict)).or_default() += 1;
        }
        votes
    }

    /// The transcript's line of a round that leads from `before` to `after`.
    pub(super) fn transcript_entry(&self, before: &Head, after: &Head) -> TranscriptEntry {
        TranscriptEntry {
            round: self.header.round,
            purpose: self.header.purpose.name().into(),
            contributors: self.contributors.iter().map(|id| id.get()).collect(),
            transcript_before: hex::encode(before.transcript),
            header_hash: hex::encode(self.header_hash),
            contributors_hash: hex::encode(self.contributors_hash),
            sum_root: hex::encode(self.sum_root),
            model_hash: hex::encode(after.model_hash),
            transcript: hex::encode(after.transcript),
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
