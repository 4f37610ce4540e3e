//! The phases of a vault, and which follows which. No phase knows this file.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    digests::{RunId, SessionId},
    manifest::CheckedManifest,
    message::{Resume, Welcome},
    roster::Roster,
};

use super::{
    awaiting_approval::AwaitingApproval,
    awaiting_state::AwaitingState,
    common_state::Carried,
    error::{Refusal, VaultError},
    finished::{Finished, RUN_HAS_ENDED},
    hospital::Hospital,
    input::{Input, RunEnd},
    joining::{Joining, accepted_manifest, refused_before_joining},
    kept::{SessionRecord, is_of_session},
    key_exchange::{AfterKeys, ExchangingKeys},
    keys::{KeyExchange, Progress},
    output::{VaultEvent, VaultOutput},
    phase_name::PhaseName,
    session::InSession,
    session_state::Run,
    step::{Next, Step},
};
use crate::journal::{EndedRun, Journal, KeptSession};

/// How far the vault is. Each phase owns what it needs, and going on consumes it.
pub(super) enum Phase {
    /// Nothing is known of the run.
    Unjoined,
    /// A run is offered; somebody here has yet to agree to it.
    AwaitingApproval(Box<AwaitingApproval>),
    /// Our Join is sent; the others' are awaited.
    Joining(Box<Joining>),
    /// All Joins are known; the vaults exchange keys.
    KeyExchange(Box<ExchangingKeys>),
    /// All keys are here; what the session goes on from is awaited.
    AwaitingState(Box<AwaitingState>),
    /// All keys are here: rounds are opened, one sum each.
    InSession(Box<InSession>),
    /// The run has ended well; all keys of the session are gone.
    Finished(Finished),
    /// An error that the vault cannot go on from.
    Stopped,
}

impl Phase {
    /// That of a vault that goes on in the session that was kept, in the round that was open.
    pub(super) fn of_kept<J: Journal>(
        kept: &KeptSession,
        hospital: &mut Hospital<J>,
    ) -> Result<Self, VaultError> {
        let record = SessionRecord::from_kept(kept).map_err(VaultError::damaged)?;
        let manifest = accepted_manifest(record.manifest, hospital)?;
        hospital.consent.is_kept(&manifest)?;
        let records = hospital.records_for(&manifest)?;
        let run = Run { manifest, records };
        let (id, roster) = (hospital.id(), hospital.roster());
        let keys = KeyExchange::restored(record.set_up, record.keys, id, roster)
            .map_err(VaultError::damaged)?;
        let (after, progress) = (record.after, record.progress);
        let session = if record.has_begun {
            let incomplete = || VaultError::damaged("a Ready or the place in the run is missing");
            let progress = progress.ok_or_else(incomplete)?;
            match keys.progress(&hospital.identity.key) {
                Progress::Incomplete(_) => return Err(incomplete()),
                Progress::Complete(keys) => {
                    InSession::restored(run, keys, after, progress, hospital)?
                }
            }
        } else {
            let carried = match progress {
                Some(progress) => {
                    let carried = Carried::restored(progress, &run.manifest, &hospital.journal)?;
                    Some(Box::new(carried))
                }
                None => None,
            };
            match keys.progress(&hospital.identity.key) {
                Progress::Incomplete(keys) => {
                    return Ok(ExchangingKeys::restored(run, keys, after, carried).into());
                }
                Progress::Complete(keys) => {
                    match AfterKeys::of(run, keys, after, carried, hospital)? {
                        AfterKeys::InSession(session) => *session,
                        AfterKeys::AwaitingState(awaiting) => {
                            return Ok(Self::AwaitingState(awaiting));
                        }
                    }
                }
            }
        };
        hospital.event(VaultEvent::Resumed(Box::new(session.resumed_run())));
        Ok(session.into())
    }

    pub(super) fn name(&self) -> PhaseName {
        match self {
            Self::Unjoined => PhaseName::Unjoined,
            Self::AwaitingApproval(_) => PhaseName::AwaitingApproval,
            Self::Joining(_) => PhaseName::Joining,
            Self::KeyExchange(_) => PhaseName::KeyExchange,
            Self::AwaitingState(_) => PhaseName::AwaitingState,
            Self::InSession(session) => session.name(),
            Self::Finished(_) => PhaseName::Finished,
            Self::Stopped => PhaseName::Stopped,
        }
    }

    /// A new connection, the coordinator's refusal, a welcome and the end of the run mean the same in every phase; about the rest each
    /// decides.
    pub(super) fn on_input<J: Journal>(
        self,
        input: Input<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Self>, VaultError> {
        match (self, input) {
            (Self::Stopped, input) => {
                let refusal = Refusal::wrong_phase(input.kind(), PhaseName::Stopped);
                Ok(Step::refused(Self::Stopped, refusal))
            }
            // One that was ended after its run had is known to the coordinator by its place in that run.
            (Self::Unjoined, Input::Connected) => {
                let ended = hospital.journal.last_ended_run()?;
                hospital.introduce(ended.map(|ended| place_of(&ended)));
                Ok(Step::handled(Self::Unjoined))
            }
            (phase, Input::Connected) => {
                hospital.introduce(phase.place(hospital.roster()));
                Ok(Step::handled(phase))
            }
            (_, Input::Refused(reason)) => Err(VaultError::RefusedByCoordinator(reason.0)),
            (phase, Input::NotYet(reason)) => {
                hospital.event(VaultEvent::NotYet { reason: reason.0 });
                Ok(Step::handled(phase))
            }
            (phase, Input::Rejected(reason)) => {
                let reason = reason.0.chars().take(MAX_REASON_CHARS).collect();
                hospital.event(VaultEvent::Rejected { reason });
                Ok(Step::handled(phase))
            }
            (Self::AwaitingApproval(waiting), Input::Reconsider) => {
                Self::reconsider(*waiting, hospital)
            }
            (phase, Input::Reconsider) => Ok(Step::handled(phase)),
            (phase, Input::Finished(end)) => phase.on_finished(end, hospital),
            (phase, Input::Welcome(welcome)) => phase.on_welcome(welcome, hospital),
            (Self::Unjoined, Input::ForPhase(input)) => {
                let refusal = refused_before_joining(&input, PhaseName::Unjoined, hospital);
                Ok(Step::refused(Self::Unjoined, refusal))
            }
            (Self::AwaitingApproval(waiting), Input::ForPhase(input)) => {
                let refusal = waiting.on_input(&input, hospital);
                Ok(Step::refused(Self::AwaitingApproval(waiting), refusal))
            }
            (Self::Joining(joining), Input::ForPhase(input)) => {
                joining.on_input(input, hospital).map(Step::into_phase)
            }
            (Self::KeyExchange(exchange), Input::ForPhase(input)) => {
                exchange.on_input(input, hospital).map(Step::into_phase)
            }
            (Self::AwaitingState(awaiting), Input::ForPhase(input)) => {
                awaiting.on_input(input, hospital).map(Step::into_phase)
            }
            (Self::InSession(mut session), Input::ForPhase(input)) => {
                let result = session.on_input(input, hospital);
                Step::staying(Self::InSession(session), result)
            }
            (Self::Finished(finished), Input::ForPhase(input)) => {
                let result = finished.on_input(&input);
                Step::staying(Self::Finished(finished), result)
            }
        }
    }

    /// The coordinator goes by our session, or by another: then this vault joins that one, with what it has of the run. It cannot answer
    /// twice for it, as answers are kept by run and model, not by session. Ours stays on disk until the other one has its keys.
    fn on_welcome<J: Journal>(
        self,
        welcome: Welcome,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Self>, VaultError> {
        hospital.check_roster(&welcome)?;
        let ours = self.place(hospital.roster()).map(|place| place.session);
        match self {
            Self::Finished(finished) => Ok(Step::ignored(Self::Finished(finished), RUN_HAS_ENDED)),
            Self::Joining(joining) if ours == Some(welcome.session) => {
                joining.repeat(hospital);
                Ok(Step::handled(Self::Joining(joining)))
            }
            Self::KeyExchange(exchange) if ours == Some(welcome.session) => {
                exchange.repeat(hospital);
                Ok(Step::handled(Self::KeyExchange(exchange)))
            }
            Self::AwaitingState(awaiting) if ours == Some(welcome.session) => {
                awaiting.repeat(hospital);
                Ok(Step::handled(Self::AwaitingState(awaiting)))
            }
            Self::InSession(mut session) if ours == Some(welcome.session) => {
                session.repeat_unanswered(hospital);
                Ok(Step::handled(Self::InSession(session)))
            }
            Self::Unjoined
            | Self::AwaitingApproval(_)
            | Self::Joining(_)
            | Self::KeyExchange(_)
            | Self::AwaitingState(_)
            | Self::InSession(_)
            | Self::Stopped => {
                if let Some(session) = ours {
                    hospital.event(VaultEvent::LeftSession { session });
                    hospital.leave_jobs();
                }
                let run = welcome.manifest.digest();
                let carried = match self.into_carried(&run, hospital.roster()) {
                    None => Self::carried_on_disk(&run, hospital)?,
                    carried => carried,
                };
                Self::join(welcome, carried, hospital)
            }
        }
    }

    /// What this vault has of this run, for another of its sessions.
    fn into_carried(self, of: &RunId, roster: &Roster) -> Option<Box<Carried>> {
        let (run, carried) = match self {
            Self::Unjoined | Self::AwaitingApproval(_) | Self::Finished(_) | Self::Stopped => {
                return None;
            }
            Self::Joining(joining) => joining.into_carried(),
            Self::KeyExchange(exchange) => exchange.into_carried(),
            Self::AwaitingState(awaiting) => awaiting.into_carried(),
            Self::InSession(session) => session.into_carried(roster),
        };
        carried.filter(|_| run == *of)
    }

    /// The same of a session on our disk that was left for one of another run.
    fn carried_on_disk<J: Journal>(
        of: &RunId,
        hospital: &mut Hospital<J>,
    ) -> Result<Option<Box<Carried>>, VaultError> {
        let Some(kept) = hospital.journal.kept_session()? else {
            return Ok(None);
        };
        let record = SessionRecord::from_kept(&kept).map_err(VaultError::damaged)?;
        let learning = record.progress.as_ref().map(|progress| &progress.learning);
        if record.manifest.digest() != *of || !matches!(learning, Some(Some(_))) {
            return Ok(None);
        }
        let phase = Self::of_kept(&kept, hospital)?;
        Ok(phase.into_carried(of, hospital.roster()))
    }

    /// Looks again whether somebody has agreed.
    fn reconsider<J: Journal>(
        waiting: AwaitingApproval,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Self>, VaultError> {
        let step = Self::join(waiting.into_welcome(), None, hospital)?;
        if !matches!(step.phase, Self::AwaitingApproval(_)) {
            hospital.event(VaultEvent::Approved);
        }
        Ok(step)
    }

    /// Takes part from where the run is, unless this vault has already taken part to the end.
    fn join<J: Journal>(
        welcome: Welcome,
        carried: Option<Box<Carried>>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Self>, VaultError> {
        let ended = hospital.journal.ended_run(&welcome.manifest.digest())?;
        match ended.filter(|ended| ended.session == welcome.session) {
            Some(ended) => {
                let place = Some(place_of(&ended));
                hospital.event(VaultEvent::EndedBefore(ended));
                hospital.outputs.push_back(VaultOutput::Finished);
                Ok(Step::handled(Self::Finished(Finished { place })))
            }
            None => {
                let phase = match Self::kept(&welcome, hospital)? {
                    Some(kept) => kept,
                    None => Self::join_if_agreed(welcome, carried, hospital)?,
                };
                Ok(Step::handled(phase))
            }
        }
    }

    /// Joins a run that the policy accepts and somebody has agreed to; waits with one that nobody has decided about. A run that this
    /// vault was in before was agreed to.
    fn join_if_agreed<J: Journal>(
        welcome: Welcome,
        carried: Option<Box<Carried>>,
        hospital: &mut Hospital<J>,
    ) -> Result<Self, VaultError> {
        let manifest = accepted_manifest(welcome.manifest.clone(), hospital)?;
        let is_agreed = match &carried {
            Some(_) => hospital.consent.is_kept(&manifest)?,
            None => hospital.consent.is_given(&manifest)?,
        };
        if is_agreed {
            return Ok(Joining::begin(manifest, &welcome, carried, hospital)?.into());
        }
        hospital.event(VaultEvent::AwaitingApproval {
            run: manifest.run(),
            name: manifest.name.0.clone(),
        });
        let waiting = AwaitingApproval::new(welcome);
        Ok(Self::AwaitingApproval(Box::new(waiting)))
    }

    /// The session that the coordinator goes by, if it is the one on our disk: it was left for another that never got its keys.
    fn kept<J: Journal>(
        welcome: &Welcome,
        hospital: &mut Hospital<J>,
    ) -> Result<Option<Self>, VaultError> {
        let Some(kept) = hospital.journal.kept_session()? else {
            return Ok(None);
        };
        if !is_of_session(&kept, welcome.session) {
            return Ok(None);
        }
        let mut phase = Self::of_kept(&kept, hospital)?;
        match &mut phase {
            Self::KeyExchange(exchange) => exchange.repeat(hospital),
            Self::AwaitingState(awaiting) => awaiting.repeat(hospital),
            Self::InSession(session) => session.repeat_unanswered(hospital),
            Self::Unjoined
            | Self::AwaitingApproval(_)
            | Self::Joining(_)
            | Self::Finished(_)
            | Self::Stopped => {}
        }
        Ok(Some(phase))
    }

    /// "Finished" and "EndedByOperator": believed by a vault that has opened every update of the run to its end or knows from its evaluations
    /// that the run has to end, or that has never been in its session.
    fn on_finished<J: Journal>(
        self,
        end: RunEnd,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Self>, VaultError> {
        let place = self.place(hospital.roster());
        let has_models = match &self {
            Self::InSession(_) => true,
            Self::Joining(joining) => joining.carried().is_some(),
            Self::KeyExchange(exchange) => exchange.carried().is_some(),
            Self::AwaitingState(awaiting) => awaiting.carried().is_some(),
            Self::Unjoined | Self::AwaitingApproval(_) | Self::Finished(_) | Self::Stopped => false,
        };
        match &self {
            Self::InSession(session) => {
                if let Some(missing) = session.missing_updates(end) {
                    return Err(VaultError::EndedEarly { missing });
                }
                hospital.journal.end_session(Some(&session.ended_run()))?;
            }
            Self::Joining(joining) => end_with(joining.carried(), end, hospital)?,
            Self::KeyExchange(exchange) => end_with(exchange.carried(), end, hospital)?,
            Self::AwaitingState(awaiting) => match awaiting.carried() {
                None => {
                    let missing = end.updates(awaiting.run.manifest.rounds);
                    return Err(VaultError::EndedEarly { missing });
                }
                carried => end_with(carried, end, hospital)?,
            },
            Self::Unjoined | Self::AwaitingApproval(_) | Self::Finished(_) | Self::Stopped => {}
        }
        if let (RunEnd::ByOperator(after), true) = (end, has_models) {
            hospital.event(VaultEvent::EndedByOperator { after });
        }
        hospital.outputs.push_back(VaultOutput::Finished);
        Ok(Step::handled(Self::Finished(Finished { place })))
    }

    /// The session that the vault takes part in, and the T that it has reached.
    fn place(&self, roster: &Roster) -> Option<Resume> {
        match self {
            Self::Unjoined | Self::AwaitingApproval(_) | Self::Stopped => None,
            Self::Joining(joining) => Some(joining.place()),
            Self::KeyExchange(exchange) => Some(exchange.place(roster)),
            Self::AwaitingState(awaiting) => Some(awaiting.place()),
            Self::InSession(session) => Some(session.place()),
            Self::Finished(finished) => finished.place.clone(),
        }
    }
}

/// The run has ended for a vault that was about to go on with it in another session.
fn end_with<J: Journal>(
    carried: Option<(&CheckedManifest, SessionId, &Carried)>,
    end: RunEnd,
    hospital: &mut Hospital<J>,
) -> Result<(), VaultError> {
    let Some((manifest, session, carried)) = carried else {
        return Ok(());
    };
    if let Some(missing) = carried.missing_updates(manifest, end) {
        return Err(VaultError::EndedEarly { missing });
    }
    let ended = carried.chain.ended_run(manifest.run(), session);
    hospital.journal.end_session(Some(&ended))?;
    Ok(())
}

fn place_of(ended: &EndedRun) -> Resume {
    Resume {
        session: ended.session,
        transcript: ended.transcript,
    }
}

impl From<Joining> for Phase {
    fn from(joining: Joining) -> Self {
        Self::Joining(Box::new(joining))
    }
}

impl From<ExchangingKeys> for Phase {
    fn from(exchange: ExchangingKeys) -> Self {
        Self::KeyExchange(Box::new(exchange))
    }
}

impl From<AwaitingState> for Phase {
    fn from(awaiting: AwaitingState) -> Self {
        Self::AwaitingState(Box::new(awaiting))
    }
}

impl From<AfterKeys> for Phase {
    fn from(next: AfterKeys) -> Self {
        match next {
            AfterKeys::InSession(session) => Self::InSession(session),
            AfterKeys::AwaitingState(awaiting) => Self::AwaitingState(awaiting),
        }
    }
}

impl From<InSession> for Phase {
    fn from(session: InSession) -> Self {
        Self::InSession(Box::new(session))
    }
}

impl<P: Into<Self>, N: Into<Self>> From<Next<P, N>> for Phase {
    fn from(next: Next<P, N>) -> Self {
        match next {
            Next::Same(phase) => phase.into(),
            Next::Following(phase) => phase.into(),
        }
    }
}

/// More of what the coordinator says is not for a log.
const MAX_REASON_CHARS: usize = 500;
