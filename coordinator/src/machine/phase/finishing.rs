//! All sums are done and settled: hospitals that were away may fetch the last outcome, for as long as anybody is waited for.
//!
//! A phase of its own, apart from publishing: it has a time of its own, and no round follows.

use super::{Over, Phase, Step};
use crate::machine::{Event, Timestamp, context::Context, head::Head, session::Session};

pub(in crate::machine) struct Finishing {
    pub(super) session: Box<Session>,
    /// Where the run ends.
    head: Head,
    since: Timestamp,
}

impl Finishing {
    pub(super) fn new(session: Box<Session>, head: Head, since: Timestamp) -> Self {
        Self {
            session,
            head,
            since,
        }
    }

    /// Who has not closed the last round by then does not have the last model.
    pub(super) fn deadline(&self, silence_secs: u32) -> Timestamp {
        self.since.after_secs(silence_secs)
    }

    /// Over when all hospitals have the last outcome, or the time for it has passed.
    pub(super) fn advance<R>(self, context: &mut Context<R>, now: Timestamp) -> Step {
        let closed = self.session.chain.len();
        let missing = context.peers.ids_where(|peer| peer.position < closed);
        if !missing.is_empty() && now < self.deadline(context.run.manifest.silence_secs) {
            return Step::Stay(Phase::Finishing(self));
        }
        context.event(Event::Complete {
            model_hash: self.head.model_hash,
            missing,
        });
        Step::Go(Phase::Over(Over::Complete {
            session: self.session,
        }))
    }
}
