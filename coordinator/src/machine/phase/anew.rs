//! The set-up begins anew: a hospital has lost its key pairs after its Join was relayed, has come too late for it, or is gone, and no
//! header of the session is out yet. Nothing is lost by it: no sum was contributed to under the keys that are given up (PROTOCOL.md 3.8).

use crypto::sealed_sum::HospitalId;
use protocol::{identity::Signed, session::Join};
use rand_core::CryptoRng;

use super::{Gathering, Over, Phase};
use crate::machine::{
    Event, MachineError, Timestamp,
    context::{Context, ShutOut},
    reaction::Reaction,
    session::Session,
    set_up_check,
};

impl Phase {
    /// Another session, which every hospital joins; those that are connected are owed its Welcome. A hospital that is the reason
    /// again and again is refused; where nobody can go on without it, the run ends.
    pub(super) fn begin_anew<R: CryptoRng>(
        &mut self,
        context: &mut Context<R>,
        because_of: HospitalId,
    ) -> Result<(), MachineError> {
        self.note_newcomers(context);
        let begun = context.begin_anew(because_of);
        match (&begun, &self) {
            (Ok(()), _) => {
                if let Some(session) = self.session() {
                    session.retract_all(context);
                }
                context.event(Event::SetUpAgain {
                    hospital: because_of,
                });
                *self = Self::Gathering(Gathering::default());
            }
            (Err(error), Self::Gathering(_) | Self::KeyExchange(_)) => {
                context.refuse(because_of, error.to_string());
                *self = if context.shut_out(because_of, ShutOut::LosesItsKeys) {
                    context.renew_session();
                    Self::Gathering(Gathering::default())
                } else {
                    Self::Over(Over::fail(context, error.to_string()))
                };
            }
            (Err(error), _) => context.refuse(because_of, error.to_string()),
        }
        begun
    }

    /// The operator's word that the run goes on without a hospital. Before the keys stand, the others join anew.
    pub(in crate::machine) fn go_on_without<R: CryptoRng>(
        &mut self,
        context: &mut Context<R>,
        id: HospitalId,
        now: Timestamp,
    ) {
        let has_joined = match self {
            Self::Gathering(phase) => {
                phase.forget(id);
                false
            }
            Self::KeyExchange(phase) => phase.joins.contains_key(&id),
            _ => false,
        };
        if has_joined {
            context.renew_session();
            *self = Self::Gathering(Gathering::default());
        }
        if let Some(peer) = context.peers.get_mut(id) {
            peer.give_up(now);
        }
    }

    /// They may have the state of this session by now, and go with it into the next.
    pub(in crate::machine) fn note_newcomers<R>(&self, context: &mut Context<R>) {
        let newcomers = self.session().into_iter().flat_map(Session::do_not_answer);
        context.beginning.given_to.extend(newcomers);
    }

    /// Whether the Joins were relayed, this is another one than that hospital's, and no header is out yet.
    pub(super) fn knows_another_join(&self, from: HospitalId, join: &Signed<Join>) -> bool {
        let joins = match self {
            Self::KeyExchange(phase) => &phase.joins,
            Self::Waiting(phase) if !phase.session.has_opened() => &phase.session.set_up.joins,
            _ => return false,
        };
        joins.get(&from).is_some_and(|known| known != join)
    }

    /// A hospital joins with other keys than were relayed.
    pub(super) fn on_other_join<R: CryptoRng>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        join: &Signed<Join>,
    ) -> Result<Reaction, MachineError> {
        set_up_check::join(context, from, join)?;
        self.begin_anew(context, from)?;
        Ok(Reaction::Handled)
    }
}
