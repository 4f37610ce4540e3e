//! The outcome is published: t vaults that close the round alike settle it (PROTOCOL.md 3.7). When t cannot open it, an update is
//! settled by a null step, an evaluation is left out, and of statistics the run ends (PROTOCOL.md 3.6).

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use protocol::{identity::Signed, manifest::Purpose, round::outcome::RoundFailed};

use super::{Over, Phase, Retry, Step, Waiting};
use crate::machine::{
    Event, Fact, Output, Timestamp,
    context::Context,
    published::PublishedRound,
    session::Session,
    waiting_report::{Part, Wait},
};

pub(in crate::machine) struct Publishing {
    /// The last round of its chain is the one that is not settled yet.
    pub(in crate::machine) session: Box<Session>,
}

impl Publishing {
    pub(super) fn new(mut session: Box<Session>, round: PublishedRound) -> Self {
        session.chain.push(round);
        Self { session }
    }

    /// The round at hand.
    pub(in crate::machine) fn round(&self) -> &PublishedRound {
        let last = self.session.chain.last();
        last.expect("this phase begins with a round in the chain")
    }

    /// Over when t vaults "signed alike" T, model hash and verdict, or when no t of them can any more. When their verdict is to stop, no
    /// further sum is planned: the coordinator sees no loss, and could not tell by itself.
    pub(in crate::machine) fn advance<R>(self, context: &mut Context<R>, now: Timestamp) -> Step {
        if let Some(head) = self.session.chain.head() {
            if let Some(entry) = self.session.chain.last_settled_entry() {
                context.event(Event::Settled(Box::new(entry)));
            }
            if self.session.chain.is_stopped() {
                context.end_early();
            }
            let waiting = Waiting::new(context, self.session, head, Retry::at_once(now));
            return Step::Go(Phase::Waiting(waiting));
        }
        if self.session.chain.last_does_not_open() {
            return self.go_on_without_sum(context, now);
        }
        let lost = self.session.lost_for_good(context, now);
        let mut members = self.session.joined();
        if self.session.chain.is_stuck(&members) {
            let reason = self.failure();
            return Step::Go(Phase::Over(Over::fail(context, reason)));
        }
        members.retain(|id| !lost.contains(id));
        if self.session.chain.is_stuck(&members) {
            let reason = self.failure_of(&lost);
            return Step::Go(Phase::Over(Over::fail(context, reason)));
        }
        Step::Stay(Phase::Publishing(self))
    }

    /// t vaults could not open the sum.
    fn go_on_without_sum<R>(mut self, context: &mut Context<R>, now: Timestamp) -> Step {
        let round = self.round();
        let number = round.number();
        match round.purpose() {
            Purpose::Update if context.null_steps < MAX_NULL_STEPS => {
                context.persist(Fact::NullStep {
                    failed: round.words_of_failure(),
                });
                context.event(Event::DidNotOpen {
                    round: number,
                    contributors: round.contributors().iter().copied().collect(),
                });
                self.take_null_step(context);
                Step::Stay(Phase::Publishing(self))
            }
            Purpose::Evaluation => {
                context.persist(Fact::LeftOut {
                    learning_round: context.plan.last_round(),
                });
                context.event(Event::Abandoned {
                    round: number,
                    purpose: Purpose::Evaluation,
                    reason: "its sum does not open: a contribution or a share in it is wrong"
                        .to_owned(),
                });
                Step::Go(Phase::Waiting(self.leave_out(context, now)))
            }
            Purpose::Update | Purpose::Stats => {
                let reason = self.failure();
                Step::Go(Phase::Over(Over::fail(context, reason)))
            }
        }
    }

    /// The words of t vaults that could not open the update are on disk. From here on all close it by a null step, and nobody needs the
    /// outcome. Who says that it has opened it has gone on to another model.
    fn take_null_step<R>(&mut self, context: &mut Context<R>) {
        let before = self.session.chain.len() - 1;
        let Some(round) = self.session.chain.last_mut() else {
            return;
        };
        for id in round.settle_by_null_step() {
            context.peers.take_back(id, before);
        }
        context.null_steps += 1;
        context.plan.step_back();
        let name = round.name();
        context.outputs.push_back(Output::Retract { name });
    }

    /// The same after a restart, from the words that were kept; false if they do not show it.
    pub(in crate::machine) fn take_kept_null_step<R>(
        &mut self,
        context: &mut Context<R>,
        failed: &[Signed<RoundFailed>],
    ) -> bool {
        for signed in failed {
            let word = signed.read_unverified();
            let member = word.ok().and_then(|word| context.roster.member(word.id.0));
            let noted = member.is_some_and(|member| {
                let chain = &mut self.session.chain;
                let noted = chain.on_failed(member.id, &member.signing_key, signed.clone());
                noted.is_ok()
            });
            if !noted {
                return false;
            }
        }
        let is_due =
            self.round().purpose() == Purpose::Update && self.session.chain.last_does_not_open();
        if is_due {
            self.take_null_step(context);
        }
        is_due
    }

    /// An evaluation that does not open: the run goes on from the round before it.
    pub(in crate::machine) fn leave_out<R>(
        mut self,
        context: &mut Context<R>,
        now: Timestamp,
    ) -> Waiting {
        let left_out = self.session.chain.leave_out_last();
        let round = left_out.expect("this phase begins with a round in the chain");
        let before = self.session.chain.len();
        for id in round.have_closed() {
            context.peers.take_back(id, before);
        }
        let name = round.name();
        context.outputs.push_back(Output::Retract { name });
        self.session.given_up.insert(round.header_hash());
        let retry = Retry::at_once(now);
        Waiting::new(context, self.session, round.head_before(), retry)
    }

    /// For every vault that has said nothing of the outcome.
    pub(super) fn wait(&self) -> Wait {
        let round = self.round();
        let silent = |id: &HospitalId| !round.closed_by(*id) && !round.failed_by(*id);
        let joined = self.session.joined().into_iter();
        Wait {
            round: Some(round.number()),
            parts: joined.filter(silent).map(|id| (id, Part::Open)).collect(),
            ..Wait::default()
        }
    }

    fn failure_of(&self, lost: &BTreeSet<HospitalId>) -> String {
        let lost: Vec<_> = lost.iter().map(|id| id.get()).collect();
        format!(
            "the hospitals {lost:?} have come back without their keys before they had closed round {}, and too few others have: start a new \
             run from the model that these have kept (run.initial_model)",
            self.round().number(),
        )
    }

    fn failure(&self) -> String {
        let round = self.round();
        let contributors: Vec<_> = round.contributors().iter().map(|id| id.get()).collect();
        let refusals = match round.refused_by() {
            0 => String::new(),
            hospitals => format!(
                "; {hospitals} of them follow no further update that does not open (policy.max_null_steps)"
            ),
        };
        format!(
            "round {} does not open alike at enough hospitals: a contribution or a share in it is wrong, or hospitals disagree about the \
             model or the end of the run{refusals}. The model is unchanged; start a new run from it, and ask the contributors \
             {contributors:?} to check their participants",
            round.number(),
        )
    }
}

/// As many are never of use; hospitals follow fewer, as their policies say.
const MAX_NULL_STEPS: u32 = 64;
