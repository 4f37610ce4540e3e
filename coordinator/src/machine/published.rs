//! A round whose outcome is published: who has closed it, and the transcript that follows (PROTOCOL.md 3.7).

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::{self, List},
    digests::{ChunksRoot, ContributorsHash, HeaderHash, OutcomeName, RoundNumber, Transcript},
    identity::Signed,
    keeping::Verdict,
    manifest::Purpose,
    round::{
        header::RoundOpen,
        next_transcript,
        null_step::NullStep,
        outcome::{RoundClosed, RoundFailed, outcome_name},
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
    failed: BTreeMap<HospitalId, Signed<RoundFailed>>,
    /// What the vaults get in the place of the outcome, when t could not open it.
    null_step: Option<NullStep>,
    /// Vaults that do not follow the null step.
    refused_by: BTreeSet<HospitalId>,
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
            failed: BTreeMap::new(),
            null_step: None,
            refused_by: BTreeSet::new(),
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

    pub(super) fn purpose(&self) -> Purpose {
        self.header.purpose
    }

    /// U.
    pub(super) fn contributors(&self) -> &BTreeSet<HospitalId> {
        &self.contributors
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
            self.sum_root(),
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
    pub(super) fn on_failed(&mut self, from: HospitalId, signed: Signed<RoundFailed>) -> bool {
        self.failed.insert(from, signed).is_none()
    }

    /// Whether `threshold` vaults could not open it. All have the same bytes: who says that it could, lies or was told something else.
    pub(super) fn does_not_open(&self, threshold: usize) -> bool {
        self.null_step.is_none() && self.could_not() >= threshold
    }

    /// So many say that they could not open it, and nothing else.
    fn could_not(&self) -> usize {
        let failed = self.failed.keys();
        failed.filter(|id| !self.closed.contains_key(id)).count()
    }

    /// The words of the vaults that could not open it.
    pub(super) fn words_of_failure(&self) -> List<Signed<RoundFailed>> {
        self.failed.values().cloned().collect()
    }

    /// From here on it is closed by a null step. Gives those that have closed it in another way, and cannot follow.
    pub(super) fn settle_by_null_step(&mut self) -> Vec<HospitalId> {
        self.null_step = Some(NullStep {
            header: self.signed_header.clone(),
            request: self.signed_request.clone(),
            failed: self.words_of_failure(),
        });
        let closed = std::mem::take(&mut self.closed);
        self.refused_by.extend(closed.keys());
        closed.into_keys().collect()
    }

    /// Those that have closed it.
    pub(super) fn have_closed(&self) -> impl Iterator<Item = HospitalId> {
        self.closed.keys().copied()
    }

    /// So many do not follow the null step.
    pub(super) fn refused_by(&self) -> usize {
        self.refused_by.len()
    }

    /// What the vaults get in the place of the outcome, if that does not open.
    pub(super) fn null_step(&self) -> Option<&NullStep> {
        self.null_step.as_ref()
    }

    /// Notes a vault that does not follow the null step; true when that is news.
    pub(super) fn refuse(&mut self, from: HospitalId) -> bool {
        !self.closed.contains_key(&from) && self.refused_by.insert(from)
    }

    /// Where the session stood when its header was signed.
    pub(super) fn head_before(&self) -> Head {
        Head {
            transcript: self.header.transcript,
            model_hash: self.header.model_hash,
        }
    }

    fn sum_root(&self) -> &ChunksRoot {
        match self.null_step {
            Some(_) => &ChunksRoot::NONE,
            None => &self.sum_root,
        }
    }

    /// Whether this vault has closed the round.
    pub(super) fn closed_by(&self, id: HospitalId) -> bool {
        self.closed.contains_key(&id)
    }

    /// Whether this vault could not open the round and has not managed since.
    pub(super) fn failed_by(&self, id: HospitalId) -> bool {
        let has_failed = match self.null_step {
            Some(_) => self.refused_by.contains(&id),
            None => self.failed.contains_key(&id),
        };
        has_failed && !self.closed.contains_key(&id)
    }

    /// Whether `threshold` vaults can no longer close the round alike, nor say alike that it does not open, whatever those of these will
    /// say that have said nothing.
    pub(super) fn is_stuck(&self, members: &[HospitalId], threshold: usize) -> bool {
        let decided = |id: &HospitalId| self.closed.contains_key(id) || self.failed_by(*id);
        let undecided = members.iter().filter(|id| !decided(id)).count();
        // Of statistics the run ends all the same.
        let fails_yet = self.null_step.is_none()
            && self.header.purpose != Purpose::Stats
            && self.could_not() + undecided >= threshold;
        self.votes().into_values().max().unwrap_or(0) + undecided < threshold && !fails_yet
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
        let failed = self.null_step.as_ref().map(|_| &self.failed);
        TranscriptEntry {
            round: self.header.round,
            purpose: self.header.purpose.name().into(),
            contributors: self.contributors.iter().map(|id| id.get()).collect(),
            transcript_before: hex::encode(before.transcript),
            header_hash: hex::encode(self.header_hash),
            contributors_hash: hex::encode(self.contributors_hash),
            sum_root: hex::encode(self.sum_root()),
            model_hash: hex::encode(after.model_hash),
            transcript: hex::encode(after.transcript),
            header: hex::encode(codec::encode(&self.signed_header)),
            request: hex::encode(codec::encode(&self.signed_request)),
            closed: self
                .closed
                .iter()
                .map(|(id, (_, signed))| (id.get(), hex::encode(codec::encode(signed))))
                .collect(),
            failed: failed
                .into_iter()
                .flatten()
                .map(|(id, signed)| (id.get(), hex::encode(codec::encode(signed))))
                .collect(),
        }
    }
}
