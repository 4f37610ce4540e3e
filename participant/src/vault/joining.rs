//! From nothing to a place in a session: a welcome is checked and answered with our Join, the Joins of all begin the key exchange.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    digests::{SessionId, Transcript},
    identity::Signed,
    labels::Labels,
    manifest::{CheckedManifest, Manifest},
    message::{Resume, ToCoordinator, Welcome},
    session::Join,
};

use super::{
    error::VaultError,
    hospital::Hospital,
    input::Input,
    key_exchange::ExchangingKeys,
    keys::{KeyExchange, OwnKeys},
    phase::{Phase, Reaction, Step},
    statistics::ClinicalRecords,
};
use crate::journal::Journal;

/// The run as its manifest says, and this hospital's part in it.
pub(super) struct Run {
    pub(super) manifest: CheckedManifest,
    pub(super) records: ClinicalRecords,
}

/// Our Join is sent.
pub(super) struct Joining {
    run: Run,
    own: OwnKeys,
}

/// What a vault that knows of no run makes of an input.
pub(super) fn on_input_unjoined<J: Journal>(
    input: Input<'_>,
    hospital: &mut Hospital<J>,
) -> Result<Step, VaultError> {
    let kind = input.kind();
    match input {
        Input::Connected => {
            hospital.introduce(None);
            Ok(Step::handled(Phase::Unjoined))
        }
        Input::Welcome(welcome) => {
            let joining = Joining::on_welcome(welcome, hospital)?;
            Ok(Step::handled(Phase::Joining(Box::new(joining))))
        }
        Input::Refused(reason) => Err(VaultError::RefusedByCoordinator(reason.0)),
        Input::Finished => Ok(hospital.finish(None)),
        Input::RoundOpen(header) => {
            Ok(hospital.refuse_header_early(Phase::Unjoined, header.digest()))
        }
        Input::Joins(_)
        | Input::Encapsulation(_)
        | Input::GroupKey(_)
        | Input::Ready(_)
        | Input::Products(_)
        | Input::BoxForward(_)
        | Input::UnlockRequest(_)
        | Input::OutcomeReady(_)
        | Input::Outcome(_)
        | Input::Trained(..)
        | Input::Evaluated(..) => Ok(Step::wrong_phase(Phase::Unjoined, kind)),
    }
}

impl Joining {
    /// Accepts the run, or does not take part at all; then joins.
    fn on_welcome<J>(welcome: Welcome, hospital: &mut Hospital<J>) -> Result<Self, VaultError> {
        check_roster(&welcome, hospital)?;
        let manifest = accepted_manifest(welcome.manifest, hospital)?;
        let records = hospital.source.records(Labels::of(&manifest))?;
        let own = OwnKeys::generate(
            hospital.identity.id,
            welcome.session,
            &hospital.identity.roster,
            &hospital.identity.key,
            &mut hospital.rng,
        );
        hospital.send(ToCoordinator::Join(own.join().clone()));
        let run = Run { manifest, records };
        Ok(Self { run, own })
    }

    pub(super) fn on_input<J: Journal>(
        self: Box<Self>,
        input: Input<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step, VaultError> {
        let kind = input.kind();
        match input {
            Input::Connected => {
                hospital.introduce(Some(self.place()));
                Ok(Step::handled(Phase::Joining(self)))
            }
            Input::Welcome(welcome) => {
                check_same_session(&welcome, self.own.session(), hospital)?;
                hospital.send(ToCoordinator::Join(self.own.join().clone()));
                Ok(Step::handled(Phase::Joining(self)))
            }
            Input::Refused(reason) => Err(VaultError::RefusedByCoordinator(reason.0)),
            Input::Joins(joins) => self.on_joins(&joins, hospital),
            Input::Finished => Ok(hospital.finish(Some(self.place()))),
            Input::RoundOpen(header) => {
                Ok(hospital.refuse_header_early(Phase::Joining(self), header.digest()))
            }
            Input::Encapsulation(_)
            | Input::GroupKey(_)
            | Input::Ready(_)
            | Input::Products(_)
            | Input::BoxForward(_)
            | Input::UnlockRequest(_)
            | Input::OutcomeReady(_)
            | Input::Outcome(_)
            | Input::Trained(..)
            | Input::Evaluated(..) => Ok(Step::wrong_phase(Phase::Joining(self), kind)),
        }
    }

    fn on_joins<J>(
        self,
        joins: &[Signed<Join>],
        hospital: &mut Hospital<J>,
    ) -> Result<Step, VaultError> {
        let identity = &hospital.identity;
        let (keys, opening) = KeyExchange::begin(
            self.own,
            joins,
            &identity.roster,
            &identity.key,
            &mut hospital.rng,
        )?;
        hospital.send_all(opening.messages());
        Ok(Step {
            phase: ExchangingKeys::begin(self.run, keys, hospital),
            reaction: Ok(Reaction::Handled),
        })
    }

    /// T is zero before the Joins are known.
    fn place(&self) -> Resume {
        Resume {
            session: self.own.session(),
            transcript: Transcript::BEFORE_JOINS,
        }
    }
}

/// Both sides go by one roster.
pub(super) fn check_roster<J>(welcome: &Welcome, hospital: &Hospital<J>) -> Result<(), VaultError> {
    if welcome.roster_hash == hospital.roster().hash() {
        Ok(())
    } else {
        Err(VaultError::OtherRoster)
    }
}

/// A welcome on a new connection: the coordinator still goes by our session.
pub(super) fn check_same_session<J>(
    welcome: &Welcome,
    session: SessionId,
    hospital: &Hospital<J>,
) -> Result<(), VaultError> {
    check_roster(welcome, hospital)?;
    if welcome.session == session {
        Ok(())
    } else {
        Err(VaultError::OtherSession)
    }
}

/// The run manifest is "signed by the operator's key, accepted by each hospital's policy by itself" (PROTOCOL.md 3.2).
fn accepted_manifest<J>(
    signed: Signed<Manifest>,
    hospital: &Hospital<J>,
) -> Result<CheckedManifest, VaultError> {
    let manifest = (hospital.check_manifest)(signed, hospital.roster())?;
    hospital.policy.check(&manifest)?;
    Ok(manifest)
}
