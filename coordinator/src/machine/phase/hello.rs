//! What a Hello leads to: the same session goes on, a hospital without its keys joins as long as that is possible, and later it waits for
//! the session that follows (PROTOCOL.md 3.2, "Connections").

use crypto::sealed_sum::HospitalId;
use protocol::message::{Hello, Resume};
use rand_core::CryptoRng;

use super::{Over, Phase};
use crate::machine::{
    Event, MachineError, Timestamp, context::Context, peer::Role, reaction::Reaction,
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
        if let Some(error) = context.word_for_shut_out(from) {
            context.refuse(from, error.to_string());
            return Err(error);
        }
        if resume.is_some_and(|resume| context.beginning.transcript() == Some(resume.transcript)) {
            context.beginning.note_reached(from);
        }
        let finds_its_keys =
            returns.is_some_and(|resume| self.finds_its_keys(context, from, resume));
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
            (_, Some(_)) if finds_its_keys => {}
            (Self::Over(Over::Done { reached_by }), _)
                if context.beginning.reached_by.contains(&from) =>
            {
                reached_by.insert(from);
            }
            (Self::Finishing(_) | Self::Over(_), _) => {
                let error = MachineError::TooLate { from };
                context.refuse(from, error.to_string());
                return Err(error);
            }
            (phase, _) => {
                context.greet(from, 0, now)?;
                phase.let_wait_outside(context, from);
                return Ok(Reaction::Handled);
            }
        }
        let closed = self.session().zip(returns).map_or(0, |(session, resume)| {
            session.chain.position_of(&resume.transcript)
        });
        context.greet(from, closed, now)?;
        Ok(Reaction::Handled)
    }

    /// A hospital names a T of the session: it is a member, perhaps one that had come without its keys before.
    fn finds_its_keys<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        resume: &Resume,
    ) -> bool {
        let Some(session) = self
            .session_mut()
            .filter(|session| session.has_member(from))
        else {
            return false;
        };
        if session.lost.contains(&from) {
            if !session.chain.has_reached(&resume.transcript) {
                return false;
            }
            session.lost.remove(&from);
            if let Some(peer) = context.peers.get_mut(from) {
                peer.role = match context.beginning.after {
                    Some(_) => Role::AwaitsState,
                    None => Role::Member,
                };
            }
        }
        true
    }

    /// A hospital has no keys of the session, or none any more, and its rounds have begun.
    fn let_wait_outside<R>(&mut self, context: &mut Context<R>, from: HospitalId) {
        match self.session_mut() {
            Some(session) if session.has_member(from) => session.lose(context, from),
            _ => {
                if let Some(peer) = context.peers.get_mut(from) {
                    peer.role = Role::Outsider;
                }
            }
        }
        context.event(Event::Outside { hospital: from });
    }
}
