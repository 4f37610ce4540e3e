//! What a Hello leads to: the same session goes on, a hospital without its keys joins as long as that is possible, and later it is
//! sent away (PROTOCOL.md 3.2, "Connections").

use crypto::sealed_sum::HospitalId;
use protocol::message::Hello;
use rand_core::CryptoRng;

use super::{Over, Phase};
use crate::machine::{MachineError, Timestamp, context::Context, reaction::Reaction};

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
        match (&mut *self, returns) {
            (Self::Over(Over::Failed { reason }), _) => {
                let reason = reason.clone();
                context.refuse(from, reason);
                return Ok(Reaction::Handled);
            }
            (Self::Gathering(phase), _) => phase.on_hello(from, returns),
            (Self::KeyExchange(phase), Some(resume)) if phase.may_follow(context, resume) => {}
            (Self::KeyExchange(_), _) => self.begin_anew(context, from)?,
            (Self::Waiting(phase), None) if !phase.session.has_opened() => {
                self.begin_anew(context, from)?;
            }
            (_, Some(_)) => {}
            (_, None) => {
                let error = MachineError::OtherParticipant { from };
                context.refuse(from, error.to_string());
                return Err(error);
            }
        }
        let closed = self.session().zip(returns).map_or(0, |(session, resume)| {
            session.chain.position_of(&resume.transcript)
        });
        context.greet(from, closed, now)?;
        Ok(Reaction::Handled)
    }
}
