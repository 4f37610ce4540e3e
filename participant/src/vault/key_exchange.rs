//! The phase in which vaults exchange keys. A fault here ends the session for this vault: it means that somebody between the hospitals
//! alters messages.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    digests::{RunId, SessionId, Transcript},
    manifest::CheckedManifest,
    message::{Resume, ToCoordinator},
    roster::Roster,
    session::{SessionError, first_transcript},
};

use super::{
    awaiting_state::AwaitingState,
    common_state::Carried,
    error::{Refusal, VaultError},
    hospital::Hospital,
    input::PhaseInput,
    kept::SessionRecord,
    keys::{KeyExchange, Progress, SessionKeys},
    output::VaultEvent,
    phase_name::PhaseName,
    session::InSession,
    session_state::Run,
    step::{Next, REPEATED, Reaction, Step},
};
use crate::journal::{Journal, KeptSession};

/// All Joins are known; keys are exchanged.
pub(super) struct ExchangingKeys {
    run: Run,
    keys: KeyExchange,
    /// T of the round that the session goes on after.
    after: Option<Transcript>,
    /// What this vault brings of the run.
    carried: Option<Box<Carried>>,
}

/// Where a vault is once the keys are complete.
pub(super) enum AfterKeys {
    /// It has what the session goes on from.
    InSession(Box<InSession>),
    /// It has to get it.
    AwaitingState(Box<AwaitingState>),
}

impl ExchangingKeys {
    /// After our own part of the exchange was sent.
    pub(super) fn begin<J: Journal>(
        run: Run,
        keys: KeyExchange,
        after: Option<Transcript>,
        carried: Option<Box<Carried>>,
        hospital: &mut Hospital<J>,
    ) -> Result<Next<Self, AfterKeys>, VaultError> {
        let exchange = Self {
            run,
            keys,
            after,
            carried,
        };
        exchange.go_on(false, hospital)
    }

    pub(super) fn on_input<J: Journal>(
        self,
        input: PhaseInput<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Next<Self, AfterKeys>>, VaultError> {
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
            | PhaseInput::NullStep(_)
            | PhaseInput::Outcome(_)
            | PhaseInput::StateWanted(_)
            | PhaseInput::StateReady(_)
            | PhaseInput::Trained(..)
            | PhaseInput::Evaluated(..) => Refusal::wrong_phase(kind, NAME),
        };
        Ok(Step::refused(Next::Same(self), refusal))
    }

    /// As it was kept.
    pub(super) fn restored(
        run: Run,
        keys: KeyExchange,
        after: Option<Transcript>,
        carried: Option<Box<Carried>>,
    ) -> Self {
        Self {
            run,
            keys,
            after,
            carried,
        }
    }

    /// What this vault brings of its run, with that and the session's number.
    pub(super) fn carried(&self) -> Option<(&CheckedManifest, SessionId, &Carried)> {
        let carried = self.carried.as_deref()?;
        Some((&self.run.manifest, self.keys.session(), carried))
    }

    /// What this vault brings of its run, for another session.
    pub(super) fn into_carried(self) -> (RunId, Option<Box<Carried>>) {
        (self.run.manifest.run(), self.carried)
    }

    /// On a new connection: what we have sent so far, as the identical bytes.
    pub(super) fn repeat<J>(&self, hospital: &mut Hospital<J>) {
        hospital.send_all(self.keys.sent_so_far(&hospital.identity.key));
    }

    fn on_message<J: Journal>(
        mut self,
        hospital: &mut Hospital<J>,
        on: impl FnOnce(&mut KeyExchange, &Roster) -> Result<Reaction, SessionError>,
    ) -> Result<Step<Next<Self, AfterKeys>>, VaultError> {
        let had_all_keys = self.keys.has_all_keys();
        let reaction = match on(&mut self.keys, hospital.roster()) {
            // Nothing is lost by it: what has to come first comes, and this again.
            Err(error @ (SessionError::TooEarly { .. } | SessionError::OtherSession { .. })) => {
                return Ok(Step::refused(Next::Same(self), error.into()));
            }
            reaction => reaction?,
        };
        Ok(Step {
            phase: self.go_on(had_all_keys, hospital)?,
            reaction: Ok(reaction),
        })
    }

    /// Says Ready once all keys are here, and goes into the session once everybody has: then it is on disk.
    fn go_on<J: Journal>(
        mut self,
        had_all_keys: bool,
        hospital: &mut Hospital<J>,
    ) -> Result<Next<Self, AfterKeys>, VaultError> {
        if let Some(carried) = &self.carried
            && let Some(group) = self.keys.group_key()
        {
            let state = carried.commit(group);
            self.keys.bring(state);
        }
        if !had_all_keys && let Some(ready) = self.keys.ready(&hospital.identity.key) {
            // Once everybody is Ready rounds are opened: from here on this vault must not lose its keys.
            if let Some((set_up, keys)) = self.keys.records() {
                let record = SessionRecord {
                    manifest: self.run.manifest.signed().clone(),
                    set_up,
                    keys,
                    after: self.after,
                    has_begun: false,
                    progress: self.carried.as_ref().map(|carried| carried.record()),
                };
                // An earlier session, if one was left for this, is over now. Of the same run its model is still needed.
                if self.carried.is_none() {
                    hospital.journal.end_session(None)?;
                }
                hospital.journal.begin_session(&record.into_kept())?;
            }
            hospital.send(ToCoordinator::Ready(ready));
        }
        let Self {
            run,
            keys,
            after,
            carried,
        } = self;
        match keys.progress(&hospital.identity.key) {
            Progress::Incomplete(keys) => Ok(Next::Same(Self {
                run,
                keys,
                after,
                carried,
            })),
            Progress::Complete(keys) => {
                let next = AfterKeys::of(run, keys, after, carried, hospital)?;
                hospital.journal.begin_session(&next.to_kept())?;
                hospital.event(VaultEvent::SessionReady);
                if let AfterKeys::InSession(session) = &next
                    && after.is_some()
                {
                    session.say_state_taken(hospital);
                }
                Ok(Next::Following(next))
            }
        }
    }

    /// T is `T_0` until a round is opened.
    pub(super) fn place(&self, roster: &Roster) -> Resume {
        let (session, joined_set) = (self.keys.session(), self.keys.joined_set());
        Resume {
            session,
            transcript: first_transcript(roster, &session, &joined_set, self.after.as_ref()),
        }
    }
}

impl AfterKeys {
    /// Every vault has said in its Ready what it brings of the run: the session goes on from what t bring alike, or begins the run where
    /// nobody brings anything.
    pub(super) fn of<J: Journal>(
        run: Run,
        keys: SessionKeys,
        after: Option<Transcript>,
        carried: Option<Box<Carried>>,
        hospital: &Hospital<J>,
    ) -> Result<Self, VaultError> {
        let roster = hospital.roster();
        // Where no t bring the same, the coordinator has to begin another session.
        let agreed = keys.common_state(roster).unwrap_or_default();
        let Some(after) = after else {
            if keys.own_state().is_some() {
                return Err(VaultError::OtherTranscript);
            }
            let session = InSession::begin(run, keys, hospital)?;
            return Ok(Self::InSession(Box::new(session)));
        };
        match carried {
            Some(carried) if agreed.is_some() && keys.own_state() == agreed => {
                if carried.chain.transcript != after {
                    return Err(VaultError::OtherTranscript);
                }
                let session = InSession::following(run, keys, after, *carried, roster);
                Ok(Self::InSession(Box::new(session)))
            }
            carried => {
                let awaiting = AwaitingState {
                    run,
                    keys,
                    after,
                    agreed,
                    carried,
                };
                Ok(Self::AwaitingState(Box::new(awaiting)))
            }
        }
    }

    fn to_kept(&self) -> KeptSession {
        match self {
            Self::InSession(session) => session.to_kept(),
            Self::AwaitingState(awaiting) => awaiting.to_kept(),
        }
    }
}
