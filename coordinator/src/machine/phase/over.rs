//! The run has ended.

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;

use crate::machine::{Event, context::Context, session::Session};

pub(in crate::machine) enum Over {
    /// Well. A hospital that comes late still gets what it has missed, for as long as somebody drives the machine.
    Complete { session: Box<Session> },
    /// Well, but the session that was to hand the model on to late hospitals was never set up.
    Done {
        /// Those that have it.
        reached_by: BTreeSet<HospitalId>,
    },
    /// Not well: whoever comes is told why.
    Failed { reason: String },
}

impl Over {
    pub(in crate::machine) fn fail<R>(context: &mut Context<R>, reason: String) -> Self {
        context.event(Event::Failed {
            reason: reason.clone(),
        });
        Self::Failed { reason }
    }

    /// All rounds are done, and those that have come last could not be given the model in time.
    pub(super) fn done<R>(context: &mut Context<R>) -> Self {
        let model_hash = context
            .beginning
            .after
            .map_or(context.run.initial_model, |head| head.model_hash);
        let reached_by = context.beginning.reached_by.clone();
        let ids = context.roster.members().map(|member| member.id);
        let missing = ids.filter(|id| !reached_by.contains(id)).collect();
        context.event(Event::Complete {
            model_hash,
            missing,
        });
        Self::Done { reached_by }
    }

    /// What a machine is whose step has panicked.
    pub(in crate::machine) fn broken() -> Self {
        Self::Failed {
            reason: "the coordinator has met a fault of its own".to_owned(),
        }
    }
}
