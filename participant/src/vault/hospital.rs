//! What every phase of the vault works with: who it is, what it may do, its records, disk and randomness, and where its outputs go.

use std::{collections::VecDeque, sync::Arc};

use crypto::sealed_sum::{HospitalId, SumRing};
use protocol::{
    codec::Text,
    digests::HeaderHash,
    identity::{Message, Signed, SigningKey},
    labels::Labels,
    manifest::{Manifest, ManifestCheck},
    message::{Hello, RefusedPart, Resume, ToCoordinator, Welcome},
    roster::Roster,
};
use rand_core::CryptoRng;

use super::{
    conditioning::EncryptedProducts,
    consent::Consent,
    error::{Refusal, UnusableRecords, VaultError},
    input::InputKind,
    output::{VaultEvent, VaultOutput},
    phase_name::PhaseName,
    statistics::ClinicalRecords,
    witness::Witness,
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
    pub(super) consent: Consent,
    pub(super) source: Box<dyn RecordSource>,
    pub(super) journal: J,
    pub(super) ring: Arc<SumRing>,
    pub(super) rng: Box<dyn CryptoRng + Send>,
    pub(super) outputs: VecDeque<VaultOutput>,
    /// Jobs that the trainer was given and has not come back with.
    pub(super) jobs: usize,
    /// Of them, the first ones, those whose results are of no use any more.
    pub(super) stale_jobs: usize,
    pub(super) check_manifest: ManifestCheck,
    pub(super) witness: Option<Box<dyn Witness>>,
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

    /// The session is left, or the model has moved on: what the trainer still comes to is of no use. True if it is at something.
    pub(super) fn leave_jobs(&mut self) -> bool {
        let are_there = self.jobs > self.stale_jobs;
        self.stale_jobs = self.jobs;
        if are_there {
            self.outputs.push_back(VaultOutput::LeaveJobs);
        }
        are_there
    }

    /// The trainer comes back with a job; false if that was left.
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

    /// This hospital's records, for a run that can take them all.
    pub(super) fn records_for(
        &self,
        manifest: &Manifest,
    ) -> Result<ClinicalRecords, UnusableRecords> {
        let records = records_of(&*self.source, manifest)?;
        if let Some(products) = EncryptedProducts::of(manifest) {
            // The coordinator would refuse what is beyond, and the round would wait for it.
            check_patients(records.features.len(), products)?;
        }
        Ok(records)
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
        self.refuse_part(header, RefusedPart::Header, refusal.to_string());
        refusal
    }

    /// Tells the coordinator, and not the other hospitals, what this round has to go on without: it would wait for us.
    pub(super) fn refuse_part(&mut self, header: HeaderHash, part: RefusedPart, reason: String) {
        self.send(ToCoordinator::HeaderRefused {
            header,
            part,
            reason: Text(reason),
        });
    }
}

/// Records of the features that a run names.
///
/// # Errors
/// Data that cannot be used for the run.
pub fn records_of(
    source: &dyn RecordSource,
    manifest: &Manifest,
) -> Result<ClinicalRecords, UnusableRecords> {
    let records = source.records(Labels::of(manifest))?;
    let features = manifest.used_features();
    let of_run = records.of_run(&features);
    of_run.map_err(|missing| {
        UnusableRecords(format!(
            "reading.feature_columns does not name the feature \"{missing}\""
        ))
    })
}

fn check_patients(patients: usize, products: EncryptedProducts) -> Result<(), UnusableRecords> {
    let most = products.most_patients();
    if patients <= most {
        return Ok(());
    }
    Err(UnusableRecords(format!(
        "its {patients} patients are more than the {most} whose features can be encrypted with the CKKS parameters `{}`; leave some \
         out of the clinical table, or ask the operator for a run with other parameters or with plain conditioning",
        products.profile
    )))
}

#[cfg(test)]
mod tests {
    use crypto::ckks::Profile;

    use super::*;

    #[test]
    fn more_patients_than_the_coordinator_takes_are_refused_with_the_number() {
        for (profile, slots_per_patient, most) in [
            (Profile::Hardened, 9, 14_105),
            (Profile::Study, 9, 6_825),
            (Profile::Hardened, 18, 7_037),
        ] {
            let products = EncryptedProducts {
                profile,
                slots_per_patient,
            };
            assert_eq!(check_patients(most, products), Ok(()));
            let error = check_patients(most + 1, products).expect_err("too many");
            assert!(
                error.0.contains(&format!("more than the {most} whose")),
                "{error}"
            );
        }
    }
}
