//! The run has ended.

use crate::machine::{Event, context::Context, session::Session};

pub(in crate::machine) enum Over {
    /// Well. A hospital that comes late still gets what it has missed, for as long as somebody drives the machine.
    Complete { session: Box<Session> },
    /// Not well: whoever comes is told why.
    Failed { reason: String },
}

impl Over {
    pub(super) fn fail<R>(context: &mut Context<R>, reason: String) -> Self {
        context.event(Event::Failed {
            reason: reason.clone(),
        });
        Self::Failed { reason }
    }

    /// What a machine is whose step has panicked.
    pub(in crate::machine) fn broken() -> Self {
        Self::Failed {
            reason: "the coordinator has met a fault of its own".to_owned(),
        }
    }
}
