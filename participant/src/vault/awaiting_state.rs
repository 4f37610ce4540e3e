//! In a session that goes on from a state of the run that this vault does not have: another hospital hands it over, sealed for those of
//! the session, and it is taken if it is the one that t vaults have signed in their Readies (PROTOCOL.md 3.7).
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    digests::{RunId, SessionId, StateCommit, Transcript},
    manifest::CheckedManifest,
    message::{Resume, ToCoordinator},
};

use super::{
    common_state::{self, Carried},
    error::{Refusal, VaultError},
    hospital::Hospital,
    input::{InputKind, PhaseInput},
    kept::SessionRecord,
    keys::SessionKeys,
    output::{VaultEvent, VaultOutput},
    phase_name::PhaseName,
    session::{InSession, repeated},
    session_state::{Chain, Run},
    step::{Next, REPEATED, Reaction, Step, StepResult},
};
use crate::journal::{Journal, KeptSession};

/// The keys are complete, the state is not here.
pub(super) struct AwaitingState {
    pub(super) run: Run,
    pub(super) keys: SessionKeys,
    /// T of the round that the session goes on after.
    pub(super) after: Transcript,
    /// What t vaults bring alike; where there is no such state, another session is awaited.
    pub(super) agreed: Option<StateCommit>,
    /// What this vault has itself: an earlier state, or nothing.
    pub(super) carried: Option<Box<Carried>>,
}

impl AwaitingState {
    pub(super) fn to_kept(&self) -> KeptSession {
        let record = SessionRecord {
            manifest: self.run.manifest.signed().clone(),
            set_up: self.keys.set_up_record(),
            keys: self.keys.key_record(),
            after: Some(self.after),
            has_begun: false,
            progress: self.carried.as_ref().map(|carried| carried.record()),
        };
        record.into_kept()
    }

    pub(super) fn on_input<J: Journal>(
        self,
        input: PhaseInput<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Next<Self, InSession>>, VaultError> {
        const NAME: PhaseName = PhaseName::AwaitingState;
        let (keys, kind) = (&self.keys, input.kind());
        let roster = hospital.roster();
        let result: StepResult = match input {
            PhaseInput::Joins(_) => Ok(Reaction::Ignored(REPEATED)),
            PhaseInput::Encapsulation(message) => {
                repeated(keys.check_repeated_encapsulation(&message, roster))
            }
            PhaseInput::GroupKey(message) => {
                repeated(keys.check_repeated_group_key(&message, roster))
            }
            PhaseInput::Ready(message) => repeated(keys.check_repeated_ready(&message, roster)),
            PhaseInput::StateReady(name) if self.agreed.is_some() => {
                let fetch = VaultOutput::FetchOutcome { name };
                hospital.outputs.push_back(fetch);
                Ok(Reaction::Handled)
            }
            PhaseInput::Outcome(bytes) => return self.on_state(bytes, hospital),
            PhaseInput::RoundOpen(header) => {
                Err(hospital.refuse_header_early(header.digest(), NAME).into())
            }
            PhaseInput::StateReady(_)
            | PhaseInput::StateWanted(_)
            | PhaseInput::Products(_)
            | PhaseInput::BoxForward(_)
            | PhaseInput::UnlockRequest(_)
            | PhaseInput::OutcomeReady(_)
            | PhaseInput::NullStep(_)
            | PhaseInput::Trained(..)
            | PhaseInput::Evaluated(..) => Err(Refusal::wrong_phase(kind, NAME).into()),
        };
        Step::staying(Next::Same(self), result)
    }

    /// A state was downloaded: if it is the right one, the model is on disk, then the session goes on from it.
    fn on_state<J: Journal>(
        self,
        bytes: &[u8],
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Next<Self, InSession>>, VaultError> {
        let manifest = &self.run.manifest;
        let Some(agreed) = &self.agreed else {
            let refusal = Refusal::wrong_phase(InputKind::Outcome, PhaseName::AwaitingState);
            return Ok(Step::refused(Next::Same(self), refusal));
        };
        let opened = common_state::open(bytes, &self.keys, agreed, self.after, manifest);
        let mut state = match opened {
            Ok(state) => state,
            Err(error) => {
                // It is let into another session, and gets the state from another hospital.
                let session = self.keys.session();
                hospital.send(ToCoordinator::StateRefused { session });
                return Ok(Step::refused(Next::Same(self), error.into()));
            }
        };
        match &self.carried {
            Some(own) => {
                let place = |chain: &Chain| (chain.updates, chain.model.null_steps());
                let (theirs, ours) = (place(&state.chain), place(&own.chain));
                if theirs < ours {
                    return Err(VaultError::StateBehind {
                        theirs: theirs.0.get(),
                        ours: ours.0.get(),
                    });
                }
                // On the weights that it has; what it comes to know with later ones is no other sum on them.
                let (taken, most) = (theirs.1, hospital.consent.policy.max_null_steps);
                if theirs.0 == ours.0 && taken > ours.1 && taken > most {
                    return Err(VaultError::NullStepsBeyondPolicy { taken, most });
                }
                if own.is_contradicted_by(&state, manifest) {
                    return Err(VaultError::OtherTranscript);
                }
                state.chain.given = own.chain.given;
            }
            None => state.chain.given = Some(state.chain.model_hash),
        }
        let (chain, run) = (&state.chain, manifest.run());
        hospital
            .journal
            .stage_model(&run, &chain.model, &chain.model_hash)?;
        let Self {
            run, keys, after, ..
        } = self;
        let session = InSession::following(run, keys, after, state, hospital.roster());
        hospital.journal.begin_session(&session.to_kept())?;
        session.say_state_taken(hospital);
        let taken = Box::new(session.resumed_run());
        hospital.event(VaultEvent::StateTaken(taken));
        Ok(Step::handled(Next::Following(session)))
    }

    pub(super) fn carried(&self) -> Option<(&CheckedManifest, SessionId, &Carried)> {
        let carried = self.carried.as_deref()?;
        Some((&self.run.manifest, self.keys.session(), carried))
    }

    /// On a new connection.
    pub(super) fn repeat<J>(&self, hospital: &mut Hospital<J>) {
        hospital.send_all(self.keys.sent().iter().cloned());
    }

    /// What this vault brings of its run, for another session.
    pub(super) fn into_carried(self) -> (RunId, Option<Box<Carried>>) {
        (self.run.manifest.run(), self.carried)
    }

    /// As before the Joins are known: this vault has nothing of the session's rounds.
    pub(super) fn place(&self) -> Resume {
        Resume {
            session: self.keys.session(),
            transcript: Transcript::BEFORE_JOINS,
        }
    }
}
