//! The set-up begins anew: a hospital has lost its key pairs after its Join was relayed, has come too late for it, or is gone, and no
//! header of the session is out yet. Nothing is lost by it: no sum was contributed to under the keys that are given up (PROTOCOL.md 3.8).

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use protocol::{identity::Signed, session::Join};
use rand_core::CryptoRng;

use super::{Gathering, Over, Phase};
use crate::machine::{
    Event, MachineError, Timestamp,
    context::{Context, ShutOut},
    reaction::Reaction,
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
                let have_it = self.have_what_comes_next(context);
                let why = ShutOut::LosesItsKeys;
                *self = if context.shut_out(because_of, why, have_it.as_ref()) {
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

    /// Who can go on from where the run is: members with keys, which open what is published; while a session is set up, those that have
    /// reached its beginning. None where the run has nothing yet.
    pub(in crate::machine) fn have_what_comes_next<R>(
        &self,
        context: &Context<R>,
    ) -> Option<BTreeSet<HospitalId>> {
        let in_rounds = self.session().filter(|session| session.chain.len() > 0);
        let with_keys = in_rounds.map(|session| session.with_keys().into_iter().collect());
        let beginning = &context.beginning;
        with_keys.or_else(|| beginning.after.map(|_| beginning.reached_by.clone()))
    }

    /// They may have the state of this session by now, and go with it into the next.
    pub(in crate::machine) fn note_newcomers<R>(&self, context: &mut Context<R>) {
        let newcomers = self.session().map(|session| session.do_not_answer(context));
        context
            .beginning
            .given_to
            .extend(newcomers.into_iter().flatten());
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
