//! Hospitals join, until all of the roster have.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use protocol::{
    identity::Signed,
    session::{Join, SessionError, check_join},
};

use super::{KeyExchange, Phase, Step};
use crate::machine::{
    Event, MachineError,
    context::Context,
    early::EarlyMessages,
    input::{Envelope, SetUpMessage},
    reaction::{REPEATED, Reaction},
    session::repeats,
    waiting_report::{Part, Wait},
};

#[derive(Default)]
pub(in crate::machine) struct Gathering {
    joins: BTreeMap<HospitalId, Signed<Join>>,
    early: EarlyMessages,
}

impl Gathering {
    pub(super) fn has_joined(&self, id: HospitalId) -> bool {
        self.joins.contains_key(&id)
    }

    pub(in crate::machine) fn on_set_up<R>(
        &mut self,
        context: &mut Context<R>,
        envelope: Envelope,
        message: SetUpMessage,
    ) -> Result<Reaction, MachineError> {
        match message {
            SetUpMessage::Join(join) => self.on_join(context, envelope.from, join),
            SetUpMessage::Encapsulation(_) | SetUpMessage::GroupKey(_) | SetUpMessage::Ready(_) => {
                self.early.hold(envelope, message, &context.roster)
            }
        }
    }

    /// PROTOCOL.md 3.2: "One Join per id per session; a second one is refused."
    fn on_join<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        join: Signed<Join>,
    ) -> Result<Reaction, MachineError> {
        let rejected = MachineError::session(from);
        let body = check_join(&join, &context.roster, &context.session).map_err(&rejected)?;
        own(from, body.id.0).map_err(&rejected)?;
        if repeats(from, self.joins.get(&from), &join).map_err(&rejected)? {
            return Ok(Reaction::Ignored(REPEATED));
        }
        self.joins.insert(from, join);
        context.event(Event::Joined {
            hospital: from,
            missing: context.roster.size() - self.joins.len(),
        });
        Ok(Reaction::Handled)
    }

    /// For every hospital of the roster that has not joined.
    pub(super) fn wait<R>(&self, context: &Context<R>) -> Wait {
        let ids = context.roster.members().map(|member| member.id);
        let missing = ids.filter(|id| !self.has_joined(*id));
        Wait {
            parts: missing.map(|id| (id, Part::Join)).collect(),
            ..Wait::default()
        }
    }

    /// Over when all hospitals of the roster have joined.
    pub(in crate::machine) fn advance<R>(self, context: &mut Context<R>) -> Step {
        if self.joins.len() < context.roster.size() {
            return Step::Stay(Phase::Gathering(self));
        }
        Step::Go(Phase::KeyExchange(KeyExchange::new(
            self.joins, self.early, context,
        )))
    }
}

/// A hospital speaks for itself only.
pub(super) fn own(from: HospitalId, named: HospitalId) -> Result<(), SessionError> {
    if named == from {
        Ok(())
    } else {
        Err(SessionError::Malformed(format!(
            "hospital {from} speaks for hospital {named}"
        )))
    }
}
