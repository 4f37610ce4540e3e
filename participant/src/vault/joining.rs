//! From a welcome to a place in a session: it is checked and answered with our Join, the Joins of all begin the key exchange.
#![deny(clippy::wildcard_enum_match_arm)]

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{RunId, SessionId, Transcript},
    identity::Signed,
    manifest::{CheckedManifest, Manifest},
    message::{Resume, ToCoordinator, Welcome},
    session::{Join, SessionError},
};

use super::{
    common_state::Carried,
    error::{Refusal, VaultError},
    hospital::Hospital,
    initial_model::initial_model,
    input::PhaseInput,
    key_exchange::{AfterKeys, ExchangingKeys},
    keys::{KeyExchange, OwnKeys},
    phase_name::PhaseName,
    session_state::Run,
    step::{Next, Step},
};
use crate::journal::Journal;

/// Our Join is sent.
pub(super) struct Joining {
    run: Run,
    own: OwnKeys,
    /// T of the round that the session goes on after.
    after: Option<Transcript>,
    /// What this vault brings of the run.
    carried: Option<Box<Carried>>,
}

/// After the Joins of all: the keys are exchanged, or are there at once where nobody else has joined.
type AfterJoins = Next<ExchangingKeys, AfterKeys>;

impl Joining {
    /// Joins a run that is accepted and agreed to, with what this vault has of it from another session.
    pub(super) fn begin<J: Journal>(
        manifest: CheckedManifest,
        welcome: &Welcome,
        carried: Option<Box<Carried>>,
        hospital: &mut Hospital<J>,
    ) -> Result<Self, VaultError> {
        if manifest.initial_model.is_some() && welcome.after.is_none() {
            // Before it joins: once the keys stand all others would have to do without this hospital.
            initial_model(&manifest, &hospital.journal)?;
        }
        let records = hospital.records_for(&manifest)?;
        let own = OwnKeys::generate(
            hospital.identity.id,
            welcome.session,
            &hospital.identity.roster,
            &hospital.identity.key,
            &mut hospital.rng,
        );
        hospital.send(ToCoordinator::Join(own.join().clone()));
        let run = Run { manifest, records };
        Ok(Self {
            run,
            own,
            after: welcome.after,
            carried,
        })
    }

    /// What this vault brings of its run, with that and the session's number.
    pub(super) fn carried(&self) -> Option<(&CheckedManifest, SessionId, &Carried)> {
        let carried = self.carried.as_deref()?;
        Some((&self.run.manifest, self.own.session(), carried))
    }

    /// What this vault brings of its run, for another session.
    pub(super) fn into_carried(self) -> (RunId, Option<Box<Carried>>) {
        (self.run.manifest.run(), self.carried)
    }

    pub(super) fn on_input<J: Journal>(
        self,
        input: PhaseInput<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Next<Self, AfterJoins>>, VaultError> {
        if let PhaseInput::Joins(joins) = input {
            if let Some(id) = self.of_another_session(&joins) {
                let refusal = SessionError::OtherSession { id }.into();
                return Ok(Step::refused(Next::Same(self), refusal));
            }
            let after = self.on_joins(&joins, hospital)?;
            return Ok(Step::handled(Next::Following(after)));
        }
        let refusal = refused_before_joining(&input, PhaseName::Joining, hospital);
        Ok(Step::refused(Next::Same(self), refusal))
    }

    /// Whose Join is of another session, if any is: the list was on its way, or is said again.
    fn of_another_session(&self, joins: &[Signed<Join>]) -> Option<HospitalId> {
        let bodies = joins.iter().filter_map(|join| join.read_unverified().ok());
        let mut others = bodies.filter(|join| join.session != self.own.session());
        others.next().map(|join| join.id.0)
    }

    /// Our Join, as the identical bytes, on a new connection.
    pub(super) fn repeat<J>(&self, hospital: &mut Hospital<J>) {
        hospital.send(ToCoordinator::Join(self.own.join().clone()));
    }

    fn on_joins<J: Journal>(
        self,
        joins: &[Signed<Join>],
        hospital: &mut Hospital<J>,
    ) -> Result<AfterJoins, VaultError> {
        let identity = &hospital.identity;
        let (keys, opening) = KeyExchange::begin(
            self.own,
            joins,
            &identity.roster,
            &identity.key,
            &mut hospital.rng,
        )?;
        hospital.send_all(opening.messages());
        ExchangingKeys::begin(self.run, keys, self.after, self.carried, hospital)
    }

    /// T is zero before the Joins are known.
    pub(super) fn place(&self) -> Resume {
        Resume {
            session: self.own.session(),
            transcript: Transcript::BEFORE_JOINS,
        }
    }
}

/// Before the Joins are known nothing else can be used. A header is refused aloud: the coordinator would wait for us.
pub(super) fn refused_before_joining<J>(
    input: &PhaseInput<'_>,
    phase: PhaseName,
    hospital: &mut Hospital<J>,
) -> Refusal {
    match input {
        PhaseInput::RoundOpen(header) => hospital.refuse_header_early(header.digest(), phase),
        PhaseInput::Joins(_)
        | PhaseInput::Encapsulation(_)
        | PhaseInput::GroupKey(_)
        | PhaseInput::Ready(_)
        | PhaseInput::Products(_)
        | PhaseInput::BoxForward(_)
        | PhaseInput::UnlockRequest(_)
        | PhaseInput::OutcomeReady(_)
        | PhaseInput::NullStep(_)
        | PhaseInput::Outcome(_)
        | PhaseInput::StateWanted(_)
        | PhaseInput::StateReady(_)
        | PhaseInput::Trained(..)
        | PhaseInput::Evaluated(..) => Refusal::wrong_phase(input.kind(), phase),
    }
}

/// The run manifest is "signed by the operator's key, accepted by each hospital's policy by itself" (PROTOCOL.md 3.2).
pub(super) fn accepted_manifest<J>(
    signed: Signed<Manifest>,
    hospital: &mut Hospital<J>,
) -> Result<CheckedManifest, VaultError> {
    let manifest = (hospital.check_manifest)(signed, hospital.roster())?;
    hospital
        .consent
        .check(&manifest, &hospital.identity.roster)?;
    Ok(manifest)
}
