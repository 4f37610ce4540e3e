//! What every phase of the vault works with: who it is, what it may do, its records, disk and randomness, and where its outputs go.

use std::{collections::VecDeque, sync::Arc};

use crypto::sealed_sum::{HospitalId, SumRing};
use protocol::{
    codec::Text,
    digests::HeaderHash,
    identity::{Message, Signed, SigningKey},
    labels::Labels,
    manifest::ManifestCheck,
    message::{Hello, Resume, ToCoordinator, Welcome},
    roster::Roster,
};
use rand_core::CryptoRng;

use super::{
    error::{Refusal, UnusableRecords, VaultError},
    input::InputKind,
    output::{VaultEvent, VaultOutput},
    phase_name::PhaseName,
    policy::Policy,
    statistics::ClinicalRecords,
};
use crate::hospital_data::ClinicalTable;

/// Gives the vault its clinical records once the labels of the run are known.
pub trait RecordSource: Send {
    /// The records for these labels.
    ///
    /// # Errors
    /// Why this hospital's data cannot be used for the run, for people.
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, UnusableRecords>;
}

impl RecordSource for ClinicalTable {
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, UnusableRecords> {
        Self::records(self, labels).map_err(|error| UnusableRecords(error.to_string()))
    }
}

/// Who this vault is, and whom it trusts.
pub struct VaultIdentity {
    /// Its number.
    pub id: HospitalId,
    /// Its signing key.
    pub key: SigningKey,
    /// The federation.
    pub roster: Arc<Roster>,
}

/// The hospital as every phase of its vault needs it.
pub(super) struct Hospital<J> {
    pub(super) identity: VaultIdentity,
    pub(super) policy: Policy,
    pub(super) source: Box<dyn RecordSource>,
    pub(super) journal: J,
    pub(super) ring: Arc<SumRing>,
    pub(super) rng: Box<dyn CryptoRng + Send>,
    pub(super) outputs: VecDeque<VaultOutput>,
    /// Jobs that the trainer was given and has not come back with.
    pub(super) jobs: usize,
    /// Of them, the first ones, those of a session that was left.
    pub(super) stale_jobs: usize,
    pub(super) check_manifest: ManifestCheck,
}

impl<J> Hospital<J> {
    pub(super) fn id(&self) -> HospitalId {
        self.identity.id
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.identity.roster
    }

    pub(super) fn sign<T: Message>(&self, body: &T) -> Signed<T> {
        Signed::sign(body, &self.identity.key)
    }

    pub(super) fn send(&mut self, message: ToCoordinator) {
        self.outputs.push_back(VaultOutput::Send(Box::new(message)));
    }

    pub(super) fn send_all(&mut self, messages: impl IntoIterator<Item = ToCoordinator>) {
        for message in messages {
            self.send(message);
        }
    }

    /// The session is left: what the trainer still comes to is of no use.
    pub(super) fn leave_jobs(&mut self) {
        self.stale_jobs = self.jobs;
    }

    /// The trainer comes back with a job; false if it is of a session that was left.
    pub(super) fn job_is_of_use(&mut self) -> bool {
        self.jobs = self.jobs.saturating_sub(1);
        let is_stale = self.stale_jobs > 0;
        self.stale_jobs = self.stale_jobs.saturating_sub(1);
        !is_stale
    }

    pub(super) fn event(&mut self, event: VaultEvent) {
        self.outputs.push_back(VaultOutput::Event(event));
    }

    /// Introduces the vault on a new connection. What was unanswered is sent again once the coordinator has welcomed it.
    pub(super) fn introduce(&mut self, resume: Option<Resume>) {
        self.send(ToCoordinator::Hello(Hello { resume }));
    }

    /// Both sides go by one roster.
    pub(super) fn check_roster(&self, welcome: &Welcome) -> Result<(), VaultError> {
        if welcome.roster_hash == self.roster().hash() {
            Ok(())
        } else {
            Err(VaultError::OtherRoster)
        }
    }

    /// Refuses a header that came before the session's keys were complete. The coordinator would wait for us: it is told too.
    pub(super) fn refuse_header_early(&mut self, header: HeaderHash, phase: PhaseName) -> Refusal {
        let refusal = Refusal::wrong_phase(InputKind::RoundOpen, phase);
        self.refuse_header(header, refusal.to_string());
        refusal
    }

    /// Tells the coordinator, and not the other hospitals, that this round goes on without us.
    pub(super) fn refuse_header(&mut self, header: HeaderHash, reason: String) {
        self.send(ToCoordinator::HeaderRefused {
            header,
            reason: Text(reason),
        });
    }
}
