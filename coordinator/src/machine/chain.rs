//! The chain of published rounds of a session, and the vaults' word on each.

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{HeaderHash, RoundNumber, Transcript},
    identity::{PublicKey, Signed},
    keeping::Verdict,
    round::{
        outcome::{RoundClosed, RoundFailed},
        unlock::evaluation_allowed,
    },
};

use super::{ClosingError, TranscriptEntry, head::Head, published::PublishedRound};

/// All published rounds of the session, in order. Each but the last is settled: t vaults have closed it alike.
pub(super) struct Chain {
    /// `T_0` and the model that the session begins with.
    origin: Head,
    rounds: Vec<PublishedRound>,
    /// U of every evaluation of the run whose U was fixed.
    evaluations: Vec<BTreeSet<HospitalId>>,
    /// t.
    threshold: usize,
}

/// What a vault's word on an outcome has changed.
pub(super) struct Closed {
    /// The round's place in the chain.
    pub(super) index: usize,
    /// Whether this vault had not closed it before.
    pub(super) is_first: bool,
}

impl Chain {
    pub(super) fn new(
        origin: Head,
        evaluations: Vec<BTreeSet<HospitalId>>,
        threshold: usize,
    ) -> Self {
        Self {
            origin,
            rounds: Vec::new(),
            evaluations,
            threshold,
        }
    }

    /// How many rounds are published.
    pub(super) fn len(&self) -> usize {
        self.rounds.len()
    }

    pub(super) fn push(&mut self, round: PublishedRound) {
        self.rounds.push(round);
    }

    pub(super) fn last(&self) -> Option<&PublishedRound> {
        self.rounds.last()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut PublishedRound> {
        self.rounds.last_mut()
    }

    /// The last round is left out: what follows goes on from the one before.
    pub(super) fn leave_out_last(&mut self) -> Option<PublishedRound> {
        self.rounds.pop()
    }

    /// A vault does not follow the null step of a round; none if that is none. True when it is news.
    pub(super) fn on_null_step_refused(
        &mut self,
        from: HospitalId,
        header: &HeaderHash,
    ) -> Option<(RoundNumber, bool)> {
        let mut rounds = self.rounds.iter_mut();
        let round = rounds.find(|round| round.header_is(header) && round.null_step().is_some())?;
        Some((round.number(), round.refuse(from)))
    }

    /// Whether t vaults could not open the last round.
    pub(super) fn last_does_not_open(&self) -> bool {
        let last = self.rounds.last();
        last.is_some_and(|round| round.does_not_open(self.threshold))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PublishedRound> {
        self.rounds.iter()
    }

    /// The first round that a hospital which has closed so many is missing.
    pub(super) fn missed(&self, position: usize) -> Option<&PublishedRound> {
        self.rounds.get(position)
    }

    /// T and model hash that t vaults have signed alike for the last round; none before they have.
    pub(super) fn head(&self) -> Option<Head> {
        self.head_of(self.rounds.len())
    }

    /// The same after the first `length` rounds.
    fn head_of(&self, length: usize) -> Option<Head> {
        match length.checked_sub(1) {
            Some(last) => {
                let (head, _) = self.rounds.get(last)?.consensus(self.threshold)?;
                Some(head)
            }
            None => Some(self.origin),
        }
    }

    /// Whether t vaults have ended the run with the last round.
    pub(super) fn is_stopped(&self) -> bool {
        let last = self.rounds.last();
        let word = last.and_then(|round| round.consensus(self.threshold));
        word.is_some_and(|(_, verdict)| verdict == Verdict::Stop)
    }

    /// How many rounds a hospital has closed that names this T: of a round, or where the session starts. A vault that does not know
    /// `T_0` yet says zero.
    pub(super) fn position_of(&self, transcript: &Transcript) -> usize {
        let reached = |round: &PublishedRound| round.ends_in(transcript);
        let index = self.rounds.iter().rposition(reached);
        index.map_or(0, |index| index + 1)
    }

    /// Whether this is the T of a round, or the one that the session starts from.
    pub(super) fn has_reached(&self, transcript: &Transcript) -> bool {
        self.origin.transcript == *transcript || self.position_of(transcript) > 0
    }

    /// Whether a message names a round that has its outcome: it was overtaken.
    pub(super) fn knows(&self, header: &HeaderHash) -> bool {
        self.rounds.iter().any(|round| round.header_is(header))
    }

    /// Whether the last round can no longer be settled, by these vaults.
    pub(super) fn is_stuck(&self, members: &[HospitalId]) -> bool {
        let last = self.rounds.last();
        last.is_some_and(|round| round.is_stuck(members, self.threshold))
    }

    /// The transcript's line of the last round that is settled.
    pub(super) fn last_settled_entry(&self) -> Option<TranscriptEntry> {
        (0..self.rounds.len()).rev().find_map(|index| {
            let after = self.head_of(index + 1)?;
            let before = self.head_of(index)?;
            Some(self.rounds[index].transcript_entry(&before, &after))
        })
    }

    /// A vault says that it has opened a round and moved on.
    pub(super) fn on_closed(
        &mut self,
        from: HospitalId,
        key: &PublicKey,
        signed: Signed<RoundClosed>,
    ) -> Result<Closed, ClosingError> {
        let body = signed.verify(key, format_args!("hospital {from}"))?;
        let index = self
            .rounds
            .iter()
            .position(|round| round.is_of(&body.header, &body.contributors))
            .ok_or(ClosingError::UnknownRound)?;
        let before = self.head_of(index).ok_or(ClosingError::TooEarly {
            round: self.rounds[index].number(),
        })?;
        let is_first = self.rounds[index].on_closed(from, signed, body, &before)?;
        Ok(Closed { index, is_first })
    }

    /// A vault says that it cannot open a round; true when that is news.
    pub(super) fn on_failed(
        &mut self,
        from: HospitalId,
        key: &PublicKey,
        signed: Signed<RoundFailed>,
    ) -> Result<bool, ClosingError> {
        let body = signed.verify(key, format_args!("hospital {from}"))?;
        if body.id.0 != from {
            return Err(ClosingError::OtherHospital { other: body.id.0 });
        }
        let mut rounds = self.rounds.iter_mut();
        let round = rounds
            .find(|round| round.is_of(&body.header, &body.contributors))
            .ok_or(ClosingError::UnknownRound)?;
        Ok(round.on_failed(from, signed))
    }

    /// U of the first evaluation: all later ones must be over the same contributors.
    pub(super) fn first_evaluation(&self) -> Option<&BTreeSet<HospitalId>> {
        self.evaluations.first()
    }

    /// U of every evaluation of the run.
    pub(super) fn evaluations(&self) -> &[BTreeSet<HospitalId>] {
        &self.evaluations
    }

    pub(super) fn note_evaluation(&mut self, contributors: BTreeSet<HospitalId>) {
        self.evaluations.push(contributors);
    }

    /// The contributors of an evaluation among those who could be. The evaluation rule of PROTOCOL.md 3.3: "for every earlier
    /// evaluation U' of the run ... the symmetric difference of U and U' is empty or has at least m_min members". The set of an
    /// earlier evaluation, if all of it is here, is always allowed; else there is none.
    pub(super) fn allowed_evaluation(
        &self,
        candidates: BTreeSet<HospitalId>,
        min_contributors: usize,
    ) -> BTreeSet<HospitalId> {
        if evaluation_allowed(&candidates, &self.evaluations, min_contributors) {
            return candidates;
        }
        let mut earlier = self.evaluations.iter();
        let inside = earlier.find(|earlier| earlier.is_subset(&candidates));
        inside.cloned().unwrap_or_default()
    }
}
