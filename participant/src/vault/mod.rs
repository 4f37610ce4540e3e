//! The hospital's side of a run as a state machine without I/O: every key, the clinical features, and the checks of PROTOCOL.md 3.
//!
//! Inputs come in through `handle_*`, what is to be done leaves through [`Vault::poll_output`]. The vault reads no clock and opens
//! nothing: disk ([`Journal`]), randomness and records are given to it. What has to be on disk is written before anything that depends
//! on it leaves.
//!
//! ```text
//! Unjoined --Welcome--> [AwaitingApproval] --> Joining --Joins--> KeyExchange --Ready of all--> InSession --Finished--> Finished
//!                                                        '--> AwaitingState --^  in a session that goes on from what this vault
//!                                                                                does not have
//!
//! InSession, before the statistics are known and then while learning, one round after another:
//!
//!   Idle --RoundOpen--> [AwaitingFilters] --> [Training | Evaluating] --> Contributed --UnlockRequest--> Answered --Outcome--> Idle
//!                                   '---- nothing usable, or too late ---> NotContributing ----'
//! ```
//!
//! A vault whose process was ended goes on where it was ([`Vault::resume`], `kept`): in a round whose work it had not finished it is
//! Interrupted until the coordinator repeats the header. A coordinator that has begun another session is joined anew in any phase.
//!
//! Each phase is a type that owns its data, in a file of its own, and knows of the others only the one that follows it; `phase` holds
//! them all. Each decides about every input that does not mean the same in all: it acts, or says why there is nothing to do
//! ([`VaultEvent::Ignored`]), or refuses it with the phase and the input in the error ([`VaultEvent::Refused`]). The test `decisions`
//! lists all pairs.

pub mod aead;
mod awaiting_approval;
mod awaiting_state;
mod change;
mod common_state;
pub mod conditioning;
pub mod consent;
pub mod error;
mod finished;
mod hospital;
mod initial_model;
mod input;
mod joining;
mod kept;
mod key_exchange;
mod keys;
mod learning;
mod output;
mod phase;
mod phase_name;
pub mod policy;
mod round;
pub mod self_test;
mod session;
mod session_state;
pub mod statistics;
mod step;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod witness;

use std::{collections::VecDeque, sync::Arc};

use crypto::sealed_sum::SumRing;
use getrandom::SysRng;
use protocol::{
    digests::{ModelHash, RoundNumber},
    manifest::CheckedManifest,
    message::ToVault,
    roster::Roster,
    training_job::{EvaluatedCounts, TrainedUpdate, TrainerFailure},
};
use rand_core::{CryptoRng, UnwrapErr};

use self::{
    consent::Consent,
    hospital::Hospital,
    input::{Input, InputKind, PhaseInput},
    phase::Phase,
    step::{Reaction, Step},
};
pub use self::{
    error::{UnusableRecords, VaultError},
    hospital::{RecordSource, VaultIdentity, records_of},
    kept::run_of_session,
    learning::training_seed,
    output::{OpenedRound, ResumedRun, VaultEvent, VaultOutput},
    phase_name::PhaseName,
    witness::Witness,
};
use crate::journal::Journal;

/// The vault of one hospital.
pub struct Vault<J> {
    hospital: Hospital<J>,
    phase: Phase,
}

impl<J: Journal> Vault<J> {
    /// A vault that knows nothing yet of a run, with the operating system's randomness.
    pub fn new(
        identity: VaultIdentity,
        consent: Consent,
        source: Box<dyn RecordSource>,
        journal: J,
        ring: Arc<SumRing>,
    ) -> Self {
        Self::with_randomness(
            identity,
            consent,
            source,
            journal,
            ring,
            Box::new(UnwrapErr(SysRng)),
        )
    }

    /// The same with other randomness: for simulations, and for tests of what a vault does with its own. Key pairs of the set-up are
    /// made by `aws-lc-rs`, which takes no other than the operating system's.
    pub fn with_randomness(
        identity: VaultIdentity,
        consent: Consent,
        source: Box<dyn RecordSource>,
        journal: J,
        ring: Arc<SumRing>,
        rng: Box<dyn CryptoRng + Send>,
    ) -> Self {
        Self {
            hospital: Hospital {
                identity,
                consent,
                source,
                journal,
                ring,
                rng,
                outputs: VecDeque::new(),
                jobs: 0,
                stale_jobs: 0,
                check_manifest: CheckedManifest::check,
                witness: None,
            },
            phase: Phase::Unjoined,
        }
    }

    /// Tells `witness` of every sum before it is settled.
    pub fn witnessed_by(mut self, witness: Box<dyn Witness>) -> Self {
        self.hospital.witness = Some(witness);
        self
    }

    /// Goes on in the session that the journal has kept, if there is one: the process before this one was ended in it. To be called before
    /// anything else. True when there is a session.
    ///
    /// # Errors
    /// [`VaultError`] when what was kept cannot be used: it is damaged, or of another roster, or the policy or the data refuse its run now.
    pub fn resume(&mut self) -> Result<bool, VaultError> {
        let Some(kept) = self.hospital.journal.kept_session()? else {
            return Ok(false);
        };
        if kept::SessionRecord::is_of_earlier_roster(&kept, self.hospital.roster()) {
            // Its run is over: the hospitals are members of another roster by now.
            self.hospital.event(VaultEvent::LeftEarlierRoster);
            self.hospital.journal.end_session(None)?;
            return Ok(false);
        }
        match Phase::of_kept(&kept, &mut self.hospital) {
            Ok(phase) => self.phase = phase,
            // Another run may be on offer by now; if it is this one still, its welcome is declined, with a word.
            Err(VaultError::Policy(_) | VaultError::Rejected { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<VaultOutput> {
        let output = self.hospital.outputs.pop_front();
        if let Some(VaultOutput::Train { .. } | VaultOutput::Evaluate { .. }) = &output {
            self.hospital.jobs += 1;
        }
        output
    }

    /// The members of the federation.
    pub fn roster(&self) -> &Roster {
        self.hospital.roster()
    }

    /// The phase that the vault is in.
    pub fn phase(&self) -> PhaseName {
        self.phase.name()
    }

    /// A connection to the coordinator was made: introduces itself. What was unanswered is sent again once the coordinator has
    /// welcomed it.
    pub fn handle_connected(&mut self) {
        if let Err(error) = self.handle(Input::Connected) {
            // The journal cannot be read: the next input meets a vault that has stopped, and says so.
            self.hospital.event(VaultEvent::Refused {
                reason: error.to_string(),
            });
        }
    }

    /// A message of the coordinator. One that cannot be accepted is refused with an event; the run goes on.
    ///
    /// # Errors
    /// [`VaultError`] when the vault cannot go on at all.
    pub fn handle_message(&mut self, message: ToVault) -> Result<(), VaultError> {
        self.handle(message.into())
    }

    /// An outcome, or the sealed state of the session, has been downloaded.
    ///
    /// # Errors
    /// [`VaultError`] when the vault cannot go on; an outcome that cannot be accepted is refused with an event, one that does not open
    /// is reported to the coordinator.
    pub fn handle_outcome(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        self.handle(Input::ForPhase(PhaseInput::Outcome(bytes)))
    }

    /// The trainer has trained from this model. The update is used for the round at hand if that is on the same model, whatever round
    /// it was asked for.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn handle_trained(
        &mut self,
        model_hash: ModelHash,
        update: TrainedUpdate,
    ) -> Result<(), VaultError> {
        if !self.hospital.job_is_of_use() {
            return self.ignore_stale_job(InputKind::Trained);
        }
        self.handle(Input::ForPhase(PhaseInput::Trained(model_hash, update)))
    }

    /// The trainer has evaluated for `round`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn handle_evaluated(
        &mut self,
        round: RoundNumber,
        counts: &EvaluatedCounts,
    ) -> Result<(), VaultError> {
        if !self.hospital.job_is_of_use() {
            return self.ignore_stale_job(InputKind::Evaluated);
        }
        self.handle(Input::ForPhase(PhaseInput::Evaluated(round, counts)))
    }

    /// Somebody may have decided about the run that [`VaultEvent::AwaitingApproval`] has told of. To be called every few seconds then;
    /// at any other time it changes nothing.
    ///
    /// # Errors
    /// [`VaultError::Rejected`], or as for the welcome of the run.
    pub fn handle_reconsider(&mut self) -> Result<(), VaultError> {
        self.handle(Input::Reconsider)
    }

    /// The trainer comes back without a result.
    ///
    /// # Errors
    /// [`VaultError::Trainer`], if one was needed: the vault cannot go on without its trainer.
    pub fn handle_job_failed(&mut self, failure: TrainerFailure) -> Result<(), VaultError> {
        if self.hospital.job_is_of_use() {
            self.phase = Phase::Stopped;
            return Err(VaultError::Trainer(failure));
        }
        Ok(())
    }

    fn ignore_stale_job(&mut self, kind: InputKind) -> Result<(), VaultError> {
        let phase = self.phase.name();
        self.hospital.event(VaultEvent::Ignored {
            input: kind.name(),
            phase,
            reason: "the session, or the round, went on without it",
        });
        Ok(())
    }

    /// Gives the input to the phase at hand and reports what it made of it. After an error the vault has stopped.
    fn handle(&mut self, input: Input<'_>) -> Result<(), VaultError> {
        let kind = input.kind();
        let hospital = &mut self.hospital;
        let before = std::mem::replace(&mut self.phase, Phase::Stopped);
        let in_phase = before.name();
        let Step { phase, reaction } = before.on_input(input, hospital)?;
        self.phase = phase;
        match reaction {
            Ok(Reaction::Handled) => {}
            Ok(Reaction::Ignored(reason)) => hospital.event(VaultEvent::Ignored {
                input: kind.name(),
                phase: in_phase,
                reason,
            }),
            Err(refusal) => hospital.event(VaultEvent::Refused {
                reason: refusal.to_string(),
            }),
        }
        Ok(())
    }
}
