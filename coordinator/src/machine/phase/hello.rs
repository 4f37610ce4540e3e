//! What a Hello leads to: the same session goes on, a hospital without its keys joins as long as that is possible, and later it waits for
//! the session that follows (PROTOCOL.md 3.2, "Connections").

use crypto::sealed_sum::HospitalId;
use protocol::message::Hello;
use rand_core::CryptoRng;

use super::{Over, Phase};
use crate::machine::{
    Event, MachineError, Timestamp,
    context::{Context, MAX_SET_UPS_BEGUN_ANEW},
    peer::Role,
    reaction::Reaction,
};

impl Phase {
    /// Accepts a hospital, which is owed a Welcome then, or refuses it.
    pub(super) fn on_hello<R: CryptoRng>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        hello: &Hello,
        now: Timestamp,
    ) -> Result<Reaction, MachineError> {
        let resume = hello.resume.as_ref();
        let returns = resume.filter(|resume| resume.session == context.session);
        if context.is_shut_out(from) {
            let error = MachineError::SetUpTooOften {
                from,
                times: MAX_SET_UPS_BEGUN_ANEW,
            };
            context.refuse(from, error.to_string());
            return Err(error);
        }
        match (&mut *self, returns) {
            (Self::Over(Over::Failed { reason }), _) => {
                let reason = reason.clone();
                context.refuse(from, reason);
                return Ok(Reaction::Handled);
            }
            (Self::Gathering(phase), _) => phase.on_hello(from, returns),
            (Self::KeyExchange(phase), Some(resume)) if phase.may_follow(context, resume) => {}
            (Self::KeyExchange(_), _) => self.begin_anew(context, from)?,
            (Self::HandingOver(_), None) => self.begin_anew(context, from)?,
            (Self::Waiting(phase), None) if !phase.session.has_opened() => {
                self.begin_anew(context, from)?;
            }
            (Self::Finishing(_) | Self::Over(_), None) => {
                let error = MachineError::TooLate { from };
                context.refuse(from, error.to_string());
                return Err(error);
            }
            (phase, None) => {
                context.greet(from, 0, now)?;
                phase.let_wait_outside(context, from);
                return Ok(Reaction::Handled);
            }
            (_, Some(_)) => {}
        }
        let closed = self.session().zip(returns).map_or(0, |(session, resume)| {
            session.chain.position_of(&resume.transcript)
        });
        context.greet(from, closed, now)?;
        Ok(Reaction::Handled)
    }

    /// A hospital has no keys of the session, or none any more, and its rounds have begun.
    fn let_wait_outside<R>(&mut self, context: &mut Context<R>, from: HospitalId) {
        if let Some(session) = self.session_mut()
            && session.has_member(from)
        {
            session.lost.insert(from);
        }
        if let Some(peer) = context.peers.get_mut(from) {
            peer.role = Role::Outsider;
        }
        context.event(Event::Outside { hospital: from });
        if let Some(reason) = self.too_few_keys(context) {
            *self = Self::Over(Over::fail(context, reason));
        }
    }

    /// Why the run cannot go on, when too few members still have their keys.
    fn too_few_keys<R>(&self, context: &Context<R>) -> Option<String> {
        let session = self.session()?;
        let (lost, needed) = (&session.lost, context.needed());
        let left = session.members() - lost.len();
        (left < needed).then(|| {
            let lost: Vec<_> = lost.iter().map(|id| id.get()).collect();
            format!(
                "the hospitals {lost:?} have come back without their keys, so that {left} are left where {needed} are needed to go on: find \
                 out from their participants' logs what became of their state folders, and start a new run from a kept model \
                 (run.initial_model)"
            )
        })
    }
}
