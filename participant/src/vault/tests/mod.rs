//! A vault by itself, for tests of single steps. Whole runs, and hospitals that lie, are in the package `cohort`.

mod decisions;
mod known_hashes;
mod moments;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crypto::sealed_sum::{HospitalId, SumRing};
use protocol::{
    codec::{self, Bytes},
    identity::{Signed, SigningKey},
    labels::Labels,
    manifest::{CheckedManifest, Conditioning, Manifest, Purpose},
    message::{ToCoordinator, ToVault},
    roster::testing::{TestFederation, federation},
    round::header::RoundOpen,
    training_job::TrainRequest,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    EvaluatedCounts, RecordSource, TrainedUpdate, UnusableRecords, Vault, VaultEvent,
    VaultIdentity, VaultOutput, consent::Consent, policy::Policy, statistics::ClinicalRecords,
};
use crate::{
    approvals::{Approvals, ApprovalsError, Decision},
    journal::memory::MemoryJournal,
};

/// What was decided about every run, as the test changes it.
#[derive(Clone)]
struct Decided(Arc<Mutex<Decision>>);

impl Decided {
    fn of(decision: Decision) -> Self {
        Self(Arc::new(Mutex::new(decision)))
    }

    fn change(&self, decision: Decision) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = decision;
    }

    fn consent(&self) -> Consent {
        Consent::new(Policy::default(), Box::new(self.clone()))
    }
}

impl Approvals for Decided {
    fn of_offered(&mut self, _: &CheckedManifest) -> Result<Decision, ApprovalsError> {
        let decision = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(decision.clone())
    }

    /// Nobody is asked again.
    fn of_begun(&mut self, run: &CheckedManifest) -> Result<Decision, ApprovalsError> {
        self.of_offered(run).map(|decision| match decision {
            Decision::Awaited => Decision::Approved,
            decided => decided,
        })
    }

    fn note_refusal(&mut self, _: &CheckedManifest, _: &str) -> Result<(), ApprovalsError> {
        Ok(())
    }
}

struct Records(HospitalId);

impl RecordSource for Records {
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, UnusableRecords> {
        let base = f64::from(self.0.get());
        Ok(ClinicalRecords {
            schema: model_data::FeatureSchema::study(),
            features: (0..3)
                .map(|patient| {
                    vec![
                        Some(1.0),
                        Some(20.0 + base + f64::from(patient)),
                        None,
                        Some(3.0),
                        None,
                        Some(1.0),
                        None,
                        Some(0.0),
                        None,
                    ]
                })
                .collect(),
            in_training: vec![true, true, false],
            class_counts: (0..labels.task.classes() as u64)
                .map(|class| 10 + class)
                .collect(),
            validation_patients: 1,
        })
    }
}

fn id(number: u8) -> HospitalId {
    HospitalId::new(number).expect("in range")
}

fn manifest(rounds: u32, conditioning: Conditioning) -> Manifest {
    Manifest {
        rounds,
        conditioning,
        ..protocol::manifest::testing::manifest()
    }
}

/// A change that every hospital makes differently, small enough for the first clip.
fn change(hospital: HospitalId, index: usize) -> f32 {
    ((index * usize::from(hospital.get())) % 101) as f32 * 1e-4 - 5e-3
}

fn train(hospital: HospitalId, request: &TrainRequest) -> TrainedUpdate {
    let model = request
        .model
        .iter()
        .enumerate()
        .map(|(index, value)| value + change(hospital, index))
        .collect();
    let halved = request.inputs.as_ref().map(|inputs| {
        let values = inputs.flat().iter().map(|value| value * 0.5);
        protocol::training_job::PatientValues::new(inputs.per_patient(), values.collect())
    });
    TrainedUpdate {
        model,
        input_gradients: halved.unwrap_or_default(),
        batches: 2,
        loss: 0.5,
    }
}
