//! The phase in which vaults exchange keys. A fault here ends the session for this vault: it means that somebody between the hospitals
//! alters messages.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    message::{Resume, ToCoordinator},
    roster::Roster,
    session::{SessionError, first_transcript},
};

use super::{
    error::{Refusal, VaultError},
    hospital::Hospital,
    input::PhaseInput,
    kept::SessionRecord,
    keys::{KeyExchange, Progress},
    output::VaultEvent,
    phase_name::PhaseName,
    session::InSession,
    session_state::Run,
    step::{Next, REPEATED, Reaction, Step},
};
use crate::journal::Journal;

/// All Joins are known; keys are exchanged.
pub(super) struct ExchangingKeys {
    run: Run,
    keys: KeyExchange,
}

impl ExchangingKeys {
    /// After our own part of the exchange was sent.
    pub(super) fn begin<J: Journal>(
        run: Run,
        keys: KeyExchange,
        hospital: &mut Hospital<J>,
    ) -> Result<Next<Self, InSession>, VaultError> {
        Self { run, keys }.go_on(false, hospital)
    }

    pub(super) fn on_input<J: Journal>(
        self,
        input: PhaseInput<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Next<Self, InSession>>, VaultError> {
        const NAME: PhaseName = PhaseName::KeyExchange;
        let kind = input.kind();
        let refusal = match input {
            PhaseInput::Joins(_) => return Ok(Step::ignored(Next::Same(self), REPEATED)),
            PhaseInput::Encapsulation(message) => {
                return self.on_message(hospital, |keys, roster| {
                    keys.on_encapsulation(&message, roster)
                });
            }
            PhaseInput::GroupKey(message) => {
                return self
                    .on_message(hospital, |keys, roster| keys.on_group_key(&message, roster));
            }
            PhaseInput::Ready(message) => {
                return self.on_message(hospital, |keys, roster| keys.on_ready(&message, roster));
            }
            PhaseInput::RoundOpen(header) => hospital.refuse_header_early(header.digest(), NAME),
            PhaseInput::Products(_)
            | PhaseInput::BoxForward(_)
            | PhaseInput::UnlockRequest(_)
            | PhaseInput::OutcomeReady(_)
            | PhaseInput::Outcome(_)
            | PhaseInput::Trained(..)
            | PhaseInput::Evaluated(..) => Refusal::wrong_phase(kind, NAME),
        };
        Ok(Step::refused(Next::Same(self), refusal))
    }

    /// As it was kept.
    pub(super) fn restored(run: Run, keys: KeyExchange) -> Self {
        Self { run, keys }
    }

    /// On a new connection: what we have sent so far, as the identical bytes.
    pub(super) fn repeat<J>(&self, hospital: &mut Hospital<J>) {
        hospital.send_all(self.keys.sent_so_far(&hospital.identity.key));
    }

    fn on_message<J: Journal>(
        mut self,
        hospital: &mut Hospital<J>,
        on: impl FnOnce(&mut KeyExchange, &Roster) -> Result<Reaction, SessionError>,
    ) -> Result<Step<Next<Self, InSession>>, VaultError> {
        let had_all_keys = self.keys.has_all_keys();
        let reaction = on(&mut self.keys, hospital.roster())?;
        Ok(Step {
            phase: self.go_on(had_all_keys, hospital)?,
            reaction: Ok(reaction),
        })
    }

    /// Says Ready once all keys are here, and goes into the session once everybody has: then it is on disk.
    fn go_on<J: Journal>(
        self,
        had_all_keys: bool,
        hospital: &mut Hospital<J>,
    ) -> Result<Next<Self, InSession>, VaultError> {
        if !had_all_keys && let Some(ready) = self.keys.ready(&hospital.identity.key) {
            // Once everybody is Ready rounds are opened: from here on this vault must not lose its keys.
            if let Some((set_up, keys)) = self.keys.records() {
                let record = SessionRecord {
                    manifest: self.run.manifest.signed().clone(),
                    set_up,
                    keys,
                    progress: None,
                };
                // An earlier session, if one was left for this, is over now.
                hospital.journal.end_session(None)?;
                hospital.journal.begin_session(&record.into_kept())?;
            }
            hospital.send(ToCoordinator::Ready(ready));
        }
        let Self { run, keys } = self;
        match keys.progress(&hospital.identity.key) {
            Progress::Incomplete(keys) => Ok(Next::Same(Self { run, keys })),
            Progress::Complete(keys) => {
                let session = InSession::begin(run, keys, hospital)?;
                hospital.journal.begin_session(&session.to_kept())?;
                hospital.event(VaultEvent::SessionReady);
                Ok(Next::Following(session))
            }
        }
    }

    /// T is `T_0` until a round is opened.
    pub(super) fn place(&self, roster: &Roster) -> Resume {
        let session = self.keys.session();
        Resume {
            session,
            transcript: first_transcript(roster, &session, &self.keys.joined_set()),
        }
    }
}
