//! The outcome is published: t vaults that close the round alike settle it, too many that cannot open it end the run
//! (PROTOCOL.md 3.7).

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;

use super::{Over, Phase, Retry, Step, Waiting};
use crate::machine::{
    Event, Timestamp,
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
        format!(
            "round {} does not open alike at enough hospitals: a contribution or a share in it is wrong, or hospitals disagree about the \
             model or the end of the run. The model is unchanged; start a new run from it, and ask the contributors {contributors:?} to \
             check their participants",
            round.number(),
        )
    }
}
