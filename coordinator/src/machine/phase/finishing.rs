//! All sums are done and settled: hospitals that were away may fetch the last outcomes, until all have them or a limit has passed.
//!
//! A phase of its own, apart from publishing: it has a time of its own, and no round follows.

use crypto::sealed_sum::HospitalId;

use super::{Over, Phase, Step};
use crate::machine::{
    Event, Timestamp,
    context::Context,
    head::Head,
    peer::{Peer, Role},
    session::Session,
    waiting_report::{Part, Wait},
};

pub(in crate::machine) struct Finishing {
    pub(super) session: Box<Session>,
    /// Where the run ends.
    head: Head,
    /// Who has not closed the last round by then does not have the last model.
    pub(super) deadline: Timestamp,
}

impl Finishing {
    pub(super) fn new(session: Box<Session>, head: Head, deadline: Timestamp) -> Self {
        Self {
            session,
            head,
            deadline,
        }
    }

    fn missing<R>(&self, context: &Context<R>) -> Vec<HospitalId> {
        let closed = self.session.chain.len();
        let lacks = |peer: &Peer| peer.role == Role::AwaitsState || peer.position < closed;
        context
            .peers
            .ids_where(|peer| peer.is_in_session() && lacks(peer))
    }

    /// For every hospital of the session that does not have the last outcome, also one whose connection is lost.
    pub(super) fn wait<R>(&self, context: &Context<R>) -> Wait {
        let missing = self.missing(context).into_iter();
        Wait {
            ends: Some(self.deadline),
            parts: missing.map(|id| (id, Part::CatchUp)).collect(),
            ..Wait::default()
        }
    }

    /// Over when all hospitals have the last outcome, or the time for it has passed.
    pub(super) fn advance<R>(self, context: &mut Context<R>, now: Timestamp) -> Step {
        let missing = self.missing(context);
        if !missing.is_empty() && now < self.deadline {
            return Step::Stay(Phase::Finishing(self));
        }
        let outside = context.peers.ids_where(|peer| !peer.is_in_session());
        context.event(Event::Complete {
            model_hash: self.head.model_hash,
            missing: missing.into_iter().chain(outside).collect(),
        });
        Step::Go(Phase::Over(Over::Complete {
            session: self.session,
        }))
    }
}
