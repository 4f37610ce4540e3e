//! Going on from the facts that were kept of a run, after this coordinator was stopped at any moment.
//!
//! Each fact stands for a transition: it is applied to the phase that the facts before it lead to. The messages in it are checked
//! as if they had just arrived.

use std::{collections::BTreeSet, iter, sync::Arc};

use protocol::{
    digests::{HeaderHash, LearningRound, OutcomeName, SessionId},
    identity::{Message, Signed, SigningKey},
    manifest::{CheckedManifest, Manifest, ManifestCheck, Purpose},
    roster::Roster,
    round::{
        header::RoundOpen,
        outcome::{RoundClosed, outcome_name},
        unlock::UnlockRequest,
    },
};
use rand_core::CryptoRng;

use super::{
    Coordinator, Event, Fact, FactKind, FixedRecord, Output, ResumeError, SetUpRecord, Timestamp,
    context::{Context, Run},
    input::{ClosingMessage, Envelope, Incoming, SetUpMessage},
    kept_sum::{self, KeptSum},
    phase::{Collecting, Over, Phase, Step, Waiting},
};

/// The facts on their way back into a phase.
struct Replay<'a, R> {
    context: Context<R>,
    now: Timestamp,
    /// The names of all outcomes that were published: sums behind them are not needed any more.
    published: BTreeSet<OutcomeName>,
    /// Evaluations that were left out although U was fixed: nor are theirs.
    left_out: BTreeSet<HeaderHash>,
    load_sum: &'a mut dyn FnMut(&HeaderHash) -> Option<Vec<u8>>,
}

impl<R: CryptoRng> Coordinator<R> {
    /// The coordinator of a run of which these facts were kept, in the order in which they were written. It goes on where it was: the
    /// sum of a round that still collected is opened again under another header; for a U that was fixed answers come again. All
    /// hospitals are gone since `now` and waited for as long as silent ones.
    ///
    /// `load_sum` gives the bytes of [`Output::Keep`] by their name. It is asked at most once.
    ///
    /// # Errors
    /// [`ResumeError`] when the facts are not those of one run in their order, or the sum that is needed is missing.
    pub fn resume(
        roster: Arc<Roster>,
        key: SigningKey,
        facts: impl IntoIterator<Item = Fact>,
        load_sum: impl FnMut(&HeaderHash) -> Option<Vec<u8>>,
        rng: R,
        now: Timestamp,
    ) -> Result<Self, ResumeError> {
        Self::resume_with_check(
            CheckedManifest::check,
            roster,
            key,
            facts,
            load_sum,
            rng,
            now,
        )
    }

    /// The same with another check of the manifest: for tests with networks that nobody trains.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub fn resume_with_check(
        check: ManifestCheck,
        roster: Arc<Roster>,
        key: SigningKey,
        facts: impl IntoIterator<Item = Fact>,
        load_sum: impl FnMut(&HeaderHash) -> Option<Vec<u8>>,
        rng: R,
        now: Timestamp,
    ) -> Result<Self, ResumeError> {
        let facts: Vec<_> = facts.into_iter().collect();
        let run = Run::of(check(manifest_of(&facts)?, &roster)?);
        Self::resume_run(roster, key, run, &facts, load_sum, rng, now)
    }

    /// The same for a run that was checked.
    pub(super) fn resume_run(
        roster: Arc<Roster>,
        key: SigningKey,
        run: Run,
        facts: &[Fact],
        mut load_sum: impl FnMut(&HeaderHash) -> Option<Vec<u8>>,
        rng: R,
        now: Timestamp,
    ) -> Result<Self, ResumeError> {
        let Some((Fact::Begun { session, .. }, later)) = facts.split_first() else {
            return Err(ResumeError::NoBeginning);
        };
        let outcomes = facts.iter().filter_map(|fact| match fact {
            Fact::Outcome { name } => Some(*name),
            _ => None,
        });
        let mut replay = Replay {
            context: Context::new(roster, key, run, *session, rng),
            now,
            published: outcomes.collect(),
            left_out: left_out_when_fixed(facts),
            load_sum: &mut load_sum,
        };
        replay.context.advanced_at = now;
        let mut phase = Phase::Gathering(Default::default());
        for fact in later {
            phase = replay.on_fact(phase, fact.clone())?;
        }
        let left_out = replay.left_out;
        let mut context = replay.context;
        context.peers.restart(now);
        // Of these, what is served no more may not have been removed before the process was stopped.
        let retracts = |output: &Output| matches!(output, Output::Retract { .. });
        context.outputs.retain(retracts);
        let sums = left_out.into_iter().map(|name| Output::Discard { name });
        context.outputs.extend(sums);
        announce(&mut context, &phase);
        let phase = match phase {
            Phase::Collecting(open) => Phase::Waiting(replace(&mut context, open, now)),
            other => other,
        };
        Ok(Self {
            context,
            phase,
            since: now,
        })
    }
}

/// The headers of rounds that were left out after U was fixed. Late words on an earlier round may stand between the two facts.
fn left_out_when_fixed(facts: &[Fact]) -> BTreeSet<HeaderHash> {
    let (mut fixed, mut left_out) = (None, BTreeSet::new());
    for fact in facts {
        match fact {
            Fact::Fixed(record) => {
                let request = record.request.read_unverified();
                fixed = request.ok().map(|request| request.header);
            }
            Fact::LeftOut { .. } => left_out.extend(fixed.take()),
            Fact::Header(_) | Fact::Outcome { .. } => fixed = None,
            Fact::Begun { .. }
            | Fact::Ready(_)
            | Fact::StateKept { .. }
            | Fact::NullStep { .. }
            | Fact::EndsAfter { .. }
            | Fact::Closed(_) => {}
        }
    }
    left_out
}

/// The run, as its first fact names it.
fn manifest_of(facts: &[Fact]) -> Result<Signed<Manifest>, ResumeError> {
    match facts.first() {
        Some(Fact::Begun { manifest, .. }) => Ok(manifest.clone()),
        _ => Err(ResumeError::NoBeginning),
    }
}

impl<R: CryptoRng> Replay<'_, R> {
    fn on_fact(&mut self, phase: Phase, fact: Fact) -> Result<Phase, ResumeError> {
        let kind = fact.kind();
        let out_of_order = ResumeError::OutOfOrder {
            fact: kind,
            phase: phase.name(),
        };
        match (phase, fact) {
            (phase, Fact::Begun { manifest, session }) => {
                if manifest != *self.context.run.manifest.signed() {
                    return Err(invalid(FactKind::Begun, "it is of another run"));
                }
                self.on_begun(phase, session)
            }
            (phase @ Phase::Gathering(_), Fact::Ready(record)) => self.on_ready(phase, record),
            (Phase::HandingOver(handing_over), Fact::StateKept { name }) => {
                let waiting = handing_over.with_state(&self.context, name, self.now);
                Ok(Phase::Waiting(waiting))
            }
            (phase @ (Phase::Waiting(_) | Phase::Collecting(_)), Fact::Header(signed)) => {
                self.on_header(phase, signed)
            }
            (phase @ Phase::Collecting(_), Fact::Fixed(record)) => self.on_fixed(phase, record),
            (phase @ Phase::Publishing(_), Fact::Outcome { name })
                if phase.last_published() == Some(name) =>
            {
                Ok(phase)
            }
            (Phase::Publishing(mut publishing), Fact::NullStep { failed }) => {
                match publishing.take_kept_null_step(&mut self.context, &failed) {
                    true => Ok(Phase::Publishing(publishing)),
                    false => Err(invalid(FactKind::NullStep, "its words do not show it")),
                }
            }
            (
                phase @ (Phase::Waiting(_)
                | Phase::Collecting(_)
                | Phase::Unlocking(_)
                | Phase::Publishing(_)),
                Fact::LeftOut { learning_round },
            ) => self.on_left_out(phase, learning_round),
            (phase, Fact::EndsAfter { learning_round }) => {
                self.context.end_after(learning_round);
                Ok(phase)
            }
            (mut phase, Fact::Closed(signed)) => {
                self.on_closed(&mut phase, signed)?;
                Ok(self.settle(phase))
            }
            _ => Err(out_of_order),
        }
    }

    /// The set-up began anew, or another session follows.
    fn on_begun(&mut self, phase: Phase, session: SessionId) -> Result<Phase, ResumeError> {
        let phase = match phase {
            Phase::Collecting(open) => Phase::Waiting(open.replaced(&self.context, self.now)),
            other => other,
        };
        match &phase {
            Phase::Waiting(waiting) if waiting.is_reached(&self.context) => {
                self.context.beginning = waiting.end(&self.context);
            }
            Phase::Waiting(waiting) if !waiting.session.has_opened() => {
                phase.note_newcomers(&mut self.context);
            }
            Phase::HandingOver(_) => phase.note_newcomers(&mut self.context),
            Phase::Gathering(_) => {}
            other => {
                return Err(ResumeError::OutOfOrder {
                    fact: FactKind::Begun,
                    phase: other.name(),
                });
            }
        }
        if let Some(session) = phase.session() {
            session.retract_all(&mut self.context);
        }
        self.context.enter_session(session);
        Ok(Phase::Gathering(Default::default()))
    }

    /// All messages of the set-up, as if each hospital sent its own again.
    fn on_ready(&mut self, mut phase: Phase, record: SetUpRecord) -> Result<Phase, ResumeError> {
        let joins: Vec<_> = record.joins.into_iter().map(SetUpMessage::Join).collect();
        let exchange = record
            .encapsulations
            .into_iter()
            .map(SetUpMessage::Encapsulation)
            .chain(iter::once(SetUpMessage::GroupKey(record.group_key)))
            .chain(record.readies.into_iter().map(SetUpMessage::Ready));
        for message in joins {
            phase = self.on_set_up(phase, message)?;
        }
        // Among all that had joined, whoever else was awaited, and whomever the operator did without.
        if let Phase::Gathering(gathering) = phase {
            phase = Phase::KeyExchange(gathering.exchange(&mut self.context, self.now));
        }
        for message in exchange {
            phase = self.on_set_up(phase, message)?;
            phase = match phase {
                // The first sum is not opened here: its header would be a fact.
                Phase::KeyExchange(_) => self.step(phase),
                other => other,
            };
        }
        match phase {
            Phase::Waiting(_) | Phase::HandingOver(_) => Ok(phase),
            _ => Err(invalid(FactKind::Ready, "it is not complete")),
        }
    }

    fn on_set_up(&mut self, mut phase: Phase, message: SetUpMessage) -> Result<Phase, ResumeError> {
        let from = message
            .sender()
            .map_err(|error| invalid(FactKind::Ready, error))?;
        let envelope = Envelope {
            from,
            kind: message.kind(),
            phase: phase.name(),
        };
        let message = Incoming::SetUp(message);
        phase
            .on_message(&mut self.context, envelope, message, self.now)
            .map_err(|error| invalid(FactKind::Ready, error))?;
        Ok(phase)
    }

    /// PROTOCOL.md 3.8: "the next header on the same key replaces the round".
    fn on_header(&mut self, phase: Phase, signed: Signed<RoundOpen>) -> Result<Phase, ResumeError> {
        let header = self.own(FactKind::Header, &signed)?;
        let waiting = match phase {
            Phase::Waiting(waiting) => waiting,
            Phase::Collecting(collecting) => collecting.replaced(&self.context, self.now),
            other => {
                return Err(ResumeError::OutOfOrder {
                    fact: FactKind::Header,
                    phase: other.name(),
                });
            }
        };
        if !self.context.plan.skip_to(header.purpose) || !waiting.may_open(&header) {
            return Err(invalid(
                FactKind::Header,
                "it does not follow from the rounds before it",
            ));
        }
        let planned = self.context.plan.next();
        let planned = planned.ok_or_else(|| invalid(FactKind::Header, "no sum is planned"))?;
        let opened = waiting.opened(&self.context, planned, signed, header, self.now);
        Ok(Phase::Collecting(opened))
    }

    /// A U whose outcome is published needs no answers any more, nor its sum.
    fn on_fixed(&mut self, phase: Phase, record: FixedRecord) -> Result<Phase, ResumeError> {
        let request: UnlockRequest = self.own(FactKind::Fixed, &record.request)?;
        let Phase::Collecting(collecting) = phase else {
            return Err(ResumeError::OutOfOrder {
                fact: FactKind::Fixed,
                phase: phase.name(),
            });
        };
        let (round, hash) = (collecting.round().header.round, collecting.round().hash);
        if request.header != hash {
            return Err(invalid(FactKind::Fixed, "it is of another header"));
        }
        if self
            .published
            .contains(&outcome_name(&hash, &request.hash()))
        {
            let no_sum: Arc<[u8]> = Arc::default();
            let fixed = collecting.fixed(request, record, no_sum);
            return Ok(Phase::Publishing(fixed.published(&mut self.context)));
        }
        if self.left_out.contains(&hash) {
            let no_sum: Arc<[u8]> = Arc::default();
            return Ok(Phase::Unlocking(collecting.fixed(request, record, no_sum)));
        }
        let chunks = collecting.round().chunks;
        let kept = (self.load_sum)(&hash)
            .and_then(|bytes| kept_sum::from_bytes(&bytes, chunks, record.sum_root));
        let KeptSum { sum, boxes } = kept.ok_or(ResumeError::SumLost { round, name: hash })?;
        let collecting = collecting.with_boxes(boxes);
        Ok(Phase::Unlocking(collecting.fixed(request, record, sum)))
    }

    /// An evaluation that comes next, or whose round is open and was given up.
    fn on_left_out(
        &mut self,
        phase: Phase,
        learning_round: LearningRound,
    ) -> Result<Phase, ResumeError> {
        let phase = match phase {
            Phase::Publishing(publishing) => {
                let is_it = publishing.round().purpose() == Purpose::Evaluation
                    && self.context.plan.last_round() == learning_round;
                if !is_it {
                    let reason = "no such evaluation is published";
                    return Err(invalid(FactKind::LeftOut, reason));
                }
                let waiting = publishing.leave_out(&mut self.context, self.now);
                return Ok(Phase::Waiting(waiting));
            }
            other => other,
        };
        let next = self.context.plan.next().filter(|next| {
            next.purpose == Purpose::Evaluation && next.learning_round == learning_round
        });
        let expected = match &phase {
            Phase::Collecting(collecting) => next == Some(collecting.planned()),
            Phase::Unlocking(unlocking) => {
                next == Some(unlocking.planned())
                    && self.left_out.contains(&unlocking.header_hash())
            }
            _ => next.is_some(),
        };
        if !expected {
            return Err(invalid(FactKind::LeftOut, "no such evaluation comes next"));
        }
        self.context.plan.advance();
        Ok(match phase {
            Phase::Collecting(open) => Phase::Waiting(open.replaced(&self.context, self.now)),
            Phase::Unlocking(fixed) => Phase::Waiting(fixed.left_out(&self.context, self.now)),
            other => other,
        })
    }

    fn on_closed(
        &mut self,
        phase: &mut Phase,
        signed: Signed<RoundClosed>,
    ) -> Result<(), ResumeError> {
        let body = signed.read_unverified();
        let from = body.map_err(|error| invalid(FactKind::Closed, error))?.id.0;
        let out_of_order = ResumeError::OutOfOrder {
            fact: FactKind::Closed,
            phase: phase.name(),
        };
        let context = &mut self.context;
        let noted = match phase {
            Phase::Gathering(_) => context.on_closed_before(from, signed),
            other => {
                let session = other.session_mut().ok_or(out_of_order)?;
                session.on_closing(context, from, ClosingMessage::Closed(signed))
            }
        };
        noted.map_err(|error| invalid(FactKind::Closed, error))?;
        Ok(())
    }

    /// A published round that t vaults have closed alike is settled; what follows it would be a fact.
    fn settle(&mut self, phase: Phase) -> Phase {
        match phase {
            Phase::Publishing(_) => self.step(phase),
            other => other,
        }
    }

    fn step(&mut self, phase: Phase) -> Phase {
        match phase.advance(&mut self.context, self.now) {
            Step::Stay(phase) => phase,
            Step::Go(phase) => phase,
        }
    }

    /// A message that this coordinator has signed.
    fn own<T: Message>(&self, fact: FactKind, signed: &Signed<T>) -> Result<T, ResumeError> {
        let key = self.context.roster.coordinator_key();
        signed
            .verify(key, "the coordinator")
            .map_err(|error| invalid(fact, error))
    }
}

/// An open round without a U: its uploads are lost, and nobody has answered for it. The same sum follows under another header. If the
/// process was stopped while U was being fixed, the sum was kept for nothing.
fn replace<R>(context: &mut Context<R>, open: Collecting, now: Timestamp) -> Waiting {
    let (round, name, planned) = (open.round().header.round, open.round().hash, open.planned());
    context.outputs.push_back(Output::Discard { name });
    // It may have been stopped, too, between the header's fact and its record.
    context.event(Event::Opened {
        round,
        purpose: planned.purpose,
        learning_round: planned.learning_round,
    });
    context.event(Event::Abandoned {
        round,
        purpose: planned.purpose,
        reason: "the coordinator was started again before the contributors were fixed".to_owned(),
    });
    open.replaced(context, now)
}

/// What the shell has to do again, as it may have been stopped before it did: tell that the run has failed, serve the outcomes that
/// somebody may miss, let go of a sum, and record that the last round is settled.
fn announce<R>(context: &mut Context<R>, phase: &Phase) {
    if let Phase::Over(Over::Failed { reason }) = phase {
        context.event(Event::Failed {
            reason: reason.clone(),
        });
    }
    let Some(session) = phase.session() else {
        return;
    };
    if let Some(name) = session.state {
        context.outputs.push_back(Output::Republish { name });
    }
    for (index, round) in session.chain.iter().enumerate() {
        let name = round.name();
        let is_wanted = index >= session.retracted && round.null_step().is_none();
        context.outputs.push_back(if !is_wanted {
            Output::Retract { name }
        } else {
            Output::Republish { name }
        });
    }
    if let Some(last) = session.chain.last() {
        let name = last.header_hash();
        context.outputs.push_back(Output::Discard { name });
    }
    if let Some(entry) = session.chain.last_settled_entry() {
        context.event(Event::Settled(Box::new(entry)));
    }
}

fn invalid(fact: FactKind, reason: impl ToString) -> ResumeError {
    ResumeError::Invalid {
        fact,
        reason: reason.to_string(),
    }
}
