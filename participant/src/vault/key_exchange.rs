//! The phase in which vaults exchange keys. A fault here ends the session for this vault: it means that somebody between the hospitals
//! alters messages.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    message::{Resume, ToCoordinator},
    roster::Roster,
    session::{SessionError, first_transcript},
};

use super::{
    VaultEvent,
    error::VaultError,
    hospital::Hospital,
    input::Input,
    joining::{Run, check_same_session},
    keys::{KeyExchange, Progress},
    phase::{Phase, Reaction, Step},
    session::InSession,
};
use crate::journal::Journal;

/// All Joins are known; keys are exchanged.
pub(super) struct ExchangingKeys {
    run: Run,
    keys: KeyExchange,
}

impl ExchangingKeys {
    /// After our own part of the exchange was sent.
    pub(super) fn begin<J>(run: Run, keys: KeyExchange, hospital: &mut Hospital<J>) -> Phase {
        Self { run, keys }.go_on(false, hospital)
    }

    pub(super) fn on_input<J: Journal>(
        self,
        input: Input<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step, VaultError> {
        let kind = input.kind();
        let staying = |exchange| Phase::KeyExchange(Box::new(exchange));
        match input {
            Input::Connected => {
                hospital.introduce(Some(self.place(hospital.roster())));
                Ok(Step::handled(staying(self)))
            }
            Input::Welcome(welcome) => {
                check_same_session(&welcome, self.keys.session(), hospital)?;
                hospital.send_all(self.keys.sent_so_far(&hospital.identity.key));
                Ok(Step::handled(staying(self)))
            }
            Input::Refused(reason) => Err(VaultError::RefusedByCoordinator(reason.0)),
            Input::Joins(_) => Ok(Step::ignored(staying(self), REPEATED)),
            Input::Encapsulation(message) => self.on_message(hospital, |keys, roster| {
                keys.on_encapsulation(&message, roster)
            }),
            Input::GroupKey(message) => {
                self.on_message(hospital, |keys, roster| keys.on_group_key(&message, roster))
            }
            Input::Ready(message) => {
                self.on_message(hospital, |keys, roster| keys.on_ready(&message, roster))
            }
            Input::Finished => {
                let place = self.place(hospital.roster());
                Ok(hospital.finish(Some(place)))
            }
            Input::RoundOpen(header) => {
                Ok(hospital.refuse_header_early(staying(self), header.digest()))
            }
            Input::Products(_)
            | Input::BoxForward(_)
            | Input::UnlockRequest(_)
            | Input::OutcomeReady(_)
            | Input::Outcome(_)
            | Input::Trained(..)
            | Input::Evaluated(..) => Ok(Step::wrong_phase(staying(self), kind)),
        }
    }

    fn on_message<J>(
        mut self,
        hospital: &mut Hospital<J>,
        on: impl FnOnce(&mut KeyExchange, &Roster) -> Result<Reaction, SessionError>,
    ) -> Result<Step, VaultError> {
        let had_all_keys = self.keys.has_all_keys();
        let reaction = on(&mut self.keys, hospital.roster())?;
        Ok(Step {
            phase: self.go_on(had_all_keys, hospital),
            reaction: Ok(reaction),
        })
    }

    /// Says Ready once all keys are here, and goes into the session once everybody has.
    fn go_on<J>(self, had_all_keys: bool, hospital: &mut Hospital<J>) -> Phase {
        if !had_all_keys && let Some(ready) = self.keys.ready(&hospital.identity.key) {
            hospital.send(ToCoordinator::Ready(ready));
        }
        let Self { run, keys } = self;
        match keys.progress(&hospital.identity.key) {
            Progress::Incomplete(keys) => Phase::KeyExchange(Box::new(Self { run, keys })),
            Progress::Complete(keys) => {
                hospital.event(VaultEvent::SessionReady);
                let session = InSession::begin(run, keys, hospital.roster());
                Phase::InSession(Box::new(session))
            }
        }
    }

    /// T is `T_0` until a round is opened.
    fn place(&self, roster: &Roster) -> Resume {
        let session = self.keys.session();
        Resume {
            session,
            transcript: first_transcript(roster, &session, &self.keys.joined_set()),
        }
    }
}

/// Why a message of the set-up that has come before is not looked at again.
pub(super) const REPEATED: &str = "repeated on a new connection; the keys were made from the first";
