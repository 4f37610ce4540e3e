//! U is fixed and its sum added: answers come in that open it (PROTOCOL.md 3.6).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crypto::sealed_sum::{HospitalId, UNLOCK_BYTES};
use protocol::{
    codec::{self, Bytes, List, Text},
    digests::{ChunksRoot, ContributorsHash, HeaderHash},
    identity::Signed,
    manifest::Purpose,
    message::{RefusedPart, ToVault},
    round::{
        RoundError,
        outcome::Outcome,
        unlock::{UnlockRequest, UnlockShare},
    },
};

use super::{OpenRound, Over, Phase, Publishing, Retry, Step, Waiting};
use crate::machine::{
    Event, Fact, FixedRecord, MachineError, Output, Timestamp,
    context::Context,
    input::RoundMessage,
    peer::Peer,
    plan::PlannedSum,
    published::PublishedRound,
    reaction::{FIXED, REPEATED, Reaction, readable},
    session::Session,
    waiting_report::{Part, Wait},
};

pub(in crate::machine) struct Unlocking {
    pub(super) session: Box<Session>,
    pub(super) round: Box<OpenRound>,
    pub(super) planned: PlannedSum,
    request: UnlockRequest,
    /// uh.
    contributors_hash: ContributorsHash,
    signed_request: Signed<UnlockRequest>,
    sum_root: ChunksRoot,
    sum: Arc<[u8]>,
    /// Vaults whose answers would be wrong.
    ignored: BTreeSet<HospitalId>,
    answers: Answers,
    /// Vaults that will not answer, with their reasons.
    refusals: BTreeMap<HospitalId, String>,
}

/// The answers so far.
enum Answers {
    /// Fewer than open the sum.
    TooFew(Shares),
    /// Enough, since then; more are waited for a moment.
    Enough { shares: Shares, since: Timestamp },
}

type Shares = BTreeMap<HospitalId, Signed<UnlockShare>>;

impl Answers {
    fn shares(&self) -> &Shares {
        match self {
            Self::TooFew(shares) | Self::Enough { shares, .. } => shares,
        }
    }
}

impl Unlocking {
    pub(super) fn new(
        session: Box<Session>,
        round: Box<OpenRound>,
        planned: PlannedSum,
        request: UnlockRequest,
        record: FixedRecord,
        sum: Arc<[u8]>,
    ) -> Self {
        Self {
            session,
            round,
            planned,
            contributors_hash: request.hash(),
            request,
            signed_request: record.request,
            sum_root: record.sum_root,
            sum,
            ignored: record.ignored.into_iter().collect(),
            answers: Answers::TooFew(Shares::new()),
            refusals: BTreeMap::new(),
        }
    }

    pub(super) fn owed(&self, to: HospitalId, peer: &mut Peer) -> Vec<ToVault> {
        let mut owed = self.round.owed(to, peer);
        if peer.sent.request() {
            owed.push(ToVault::UnlockRequest(self.signed_request.clone()));
        }
        owed
    }

    pub(super) fn on_round<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: RoundMessage,
        now: Timestamp,
    ) -> Result<Reaction, MachineError> {
        if !self.round.is_round_of(&message) {
            return self.session.on_late(context, from, &message);
        }
        match message {
            RoundMessage::BoxAck(_)
            | RoundMessage::HeaderRefused {
                part: RefusedPart::Header | RefusedPart::Contribution | RefusedPart::NullStep,
                ..
            } => Ok(Reaction::Ignored(FIXED)),
            RoundMessage::HeaderRefused {
                part: RefusedPart::Answer,
                reason,
                ..
            } => Ok(self.on_refusal(context, from, &reason)),
            RoundMessage::UnlockShare(share) => self.on_unlock_share(context, from, share, now),
        }
    }

    /// A vault that does not answer for this U.
    fn on_refusal<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        reason: &Text,
    ) -> Reaction {
        if self.refusals.contains_key(&from) || self.answers.shares().contains_key(&from) {
            return Reaction::Ignored(REPEATED);
        }
        let reason = readable(reason);
        self.refusals.insert(from, reason.clone());
        context.event(Event::Declined {
            hospital: from,
            round: self.round.header.round,
            part: RefusedPart::Answer,
            reason,
        });
        Reaction::Handled
    }

    /// Why this sum will never be opened; none while enough vaults may still answer.
    fn never_opens<R>(&self, context: &Context<R>, now: Timestamp) -> Option<String> {
        let joined = self.session.joined();
        let lost = self.session.lost_for_good(context, now);
        // An evaluation is not worth waiting without end for one that is gone.
        let is_evaluation = self.planned.purpose == Purpose::Evaluation;
        let is_gone = |id: &HospitalId| is_evaluation && context.peers.is_given_up(*id);
        let may_answer = |id: &&HospitalId| {
            let has_spoken_against = self.refusals.contains_key(id) || self.ignored.contains(id);
            let may_yet = !has_spoken_against && !lost.contains(id) && !is_gone(id);
            self.answers.shares().contains_key(id) || may_yet
        };
        let left = joined.iter().filter(may_answer).count();
        let needed = context.roster.threshold();
        if left >= needed {
            return None;
        }
        let refusals = self
            .refusals
            .iter()
            .map(|(id, reason)| format!("hospital {id}: {reason}"));
        let ignored = self
            .ignored
            .iter()
            .map(|id| format!("hospital {id}: {SUSPECTED}"));
        let lost = lost
            .iter()
            .filter(|id| !self.has_said(**id))
            .map(|id| format!("hospital {id}: it has come back without its keys"));
        let reasons: Vec<_> = refusals.chain(ignored).chain(lost).collect();
        // Those that are only gone may come back.
        if reasons.is_empty() {
            return None;
        }
        Some(format!(
            "the sum of round {} cannot be opened: {needed} hospitals have to help, and too few can. {}",
            self.round.header.round,
            reasons.join("; ")
        ))
    }

    /// PROTOCOL.md 3.6: "Answer `UnlockShare` (8,345 B): hh, uh, j, AEAD(...), signature". What is sealed in it only vaults can read.
    fn on_unlock_share<R>(
        &mut self,
        context: &Context<R>,
        from: HospitalId,
        share: Signed<UnlockShare>,
        now: Timestamp,
    ) -> Result<Reaction, MachineError> {
        let key = &context.member(from)?.signing_key;
        let body = share
            .verify(key, format_args!("hospital {from}"))
            .map_err(MachineError::round(from))?;
        self.check_share(from, &body)
            .map_err(MachineError::round(from))?;
        if self.ignored.contains(&from) {
            return Ok(Reaction::Ignored(SUSPECTED));
        }
        if self.answers.shares().contains_key(&from) {
            return Ok(Reaction::Ignored(REPEATED));
        }
        match &mut self.answers {
            Answers::Enough { shares, .. } => {
                shares.insert(from, share);
            }
            Answers::TooFew(shares) => {
                shares.insert(from, share);
                if shares.len() >= context.roster.threshold() {
                    let shares = std::mem::take(shares);
                    self.answers = Answers::Enough { shares, since: now };
                }
            }
        }
        Ok(Reaction::Handled)
    }

    fn check_share(&self, from: HospitalId, body: &UnlockShare) -> Result<(), RoundError> {
        if body.contributors != self.contributors_hash || body.id.0 != from {
            return Err(RoundError::OtherRound {
                message: "an unlock share",
            });
        }
        let found = body.sealed.0.len();
        if found != SEALED_SHARE_BYTES {
            return Err(RoundError::WrongLength {
                id: from,
                part: "bytes in its unlock share",
                found,
                expected: SEALED_SHARE_BYTES,
            });
        }
        Ok(())
    }

    /// When answers beyond the threshold are no longer waited for.
    pub(super) fn grace_ends(&self) -> Option<Timestamp> {
        match &self.answers {
            Answers::TooFew(_) => None,
            Answers::Enough { since, .. } => Some(since.after_secs(GRACE_FOR_MORE_ANSWERS_SECS)),
        }
    }

    /// For every vault whose answer is wanted and has not come.
    pub(super) fn wait(&self) -> Wait {
        let is_wanted = |id: &HospitalId| !self.has_said(*id);
        let joined = self.session.joined().into_iter();
        Wait {
            round: Some(self.round.header.round),
            ends: self.grace_ends(),
            parts: joined
                .filter(is_wanted)
                .map(|id| (id, Part::Answer))
                .collect(),
        }
    }

    /// An evaluation is left out; without another sum the run cannot go on.
    fn go_on_without<R>(self, context: &mut Context<R>, reason: String, now: Timestamp) -> Phase {
        if self.planned.purpose != Purpose::Evaluation {
            return Phase::Over(Over::fail(context, reason));
        }
        context.leave_out(self.planned);
        context.event(Event::Abandoned {
            round: self.round.header.round,
            purpose: self.planned.purpose,
            reason,
        });
        let name = self.round.hash;
        context.outputs.push_back(Output::Discard { name });
        Phase::Waiting(self.left_out(context, now))
    }

    /// The round is over without an outcome.
    pub(in crate::machine) fn left_out<R>(self, context: &Context<R>, now: Timestamp) -> Waiting {
        Waiting::after_abandoned(context, self.session, &self.round, Retry::at_once(now))
    }

    /// hh.
    pub(in crate::machine) fn header_hash(&self) -> HeaderHash {
        self.round.hash
    }

    /// The sum that the round is for.
    pub(in crate::machine) fn planned(&self) -> PlannedSum {
        self.planned
    }

    /// Whether nothing is wanted of a vault any more.
    fn has_said(&self, id: HospitalId) -> bool {
        self.answers.shares().contains_key(&id)
            || self.refusals.contains_key(&id)
            || self.ignored.contains(&id)
    }

    /// Over once t have answered and either all vaults that are here have or a moment has passed: answers to spare let the vaults
    /// open the sum when one of them is wrong.
    pub(super) fn advance<R>(self, context: &mut Context<R>, now: Timestamp) -> Step {
        if let Some(reason) = self.never_opens(context, now) {
            return Step::Go(self.go_on_without(context, reason, now));
        }
        let has_said = |id: &HospitalId| self.has_said(*id);
        let present = context.peers.up_to_date(self.session.chain.len());
        let is_over = self
            .grace_ends()
            .is_some_and(|end| now >= end || present.iter().all(has_said));
        if is_over {
            Step::Go(Phase::Publishing(self.publish(context)))
        } else {
            Step::Stay(Phase::Unlocking(self))
        }
    }

    /// PROTOCOL.md 3.7: "Outcome (coordinator -> all): RoundOpen, signed UnlockRequest, ... the summed chunks, at least t
    /// UnlockShares". It is on disk before its name is told; then the sum alone is not needed any more.
    fn publish<R>(mut self, context: &mut Context<R>) -> Publishing {
        let sum = std::mem::take(&mut self.sum);
        let outcome = Outcome {
            header: self.round.signed.clone(),
            request: self.signed_request.clone(),
            shares: List(self.answers.shares().values().cloned().collect()),
            sum: Bytes(sum.to_vec()),
        };
        // It has 17 MB, and two more copies are made for a moment.
        drop(sum);
        let bytes = codec::encode(&outcome).into();
        drop(outcome);
        let (sum, planned) = (self.round.hash, self.planned);
        let published = self.published(context);
        let round = published.round();
        let (name, number) = (round.name(), round.number());
        let contributors = round.contributors().iter().copied().collect();
        context.outputs.push_back(Output::Publish {
            name,
            sum: Some(sum),
            bytes,
        });
        context.persist(Fact::Outcome { name });
        context.outputs.push_back(Output::Discard { name: sum });
        context.event(Event::OutcomeOut {
            round: number,
            purpose: planned.purpose,
            learning_round: planned.learning_round,
            contributors,
        });
        published
    }

    /// The round whose outcome is on disk.
    pub(in crate::machine) fn published<R>(self, context: &mut Context<R>) -> Publishing {
        context.plan.advance();
        let OpenRound { signed, header, .. } = *self.round;
        let round = PublishedRound::new(
            signed,
            header,
            self.signed_request,
            &self.request,
            self.sum_root,
        );
        Publishing::new(self.session, round)
    }
}

/// A vault's answer that is not wanted.
const SUSPECTED: &str = "the dealer check speaks against this vault";

/// How long answers beyond the threshold are waited for.
const GRACE_FOR_MORE_ANSWERS_SECS: u32 = 1;

/// An unlock vector and the tag of its AEAD.
const SEALED_SHARE_BYTES: usize = UNLOCK_BYTES + 16;
