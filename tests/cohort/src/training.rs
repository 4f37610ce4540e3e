//! Training without a network: what a hospital's update is follows from its number and the common model, so that a test can say what
//! every sum has to be.

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{ModelHash, RoundNumber},
    training_job::{EvaluateRequest, EvaluatedCounts, PatientValues, TrainRequest, TrainedUpdate},
};

/// How the hospitals of a cohort train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Training {
    /// Value `index` moves by [`small_change`], whatever the model is.
    Small,
    /// Every hospital moves every value of every model differently; one value in a thousand beyond the first clip.
    Drawn,
}

/// The change of [`Training::Small`]: another one at every hospital, below the first clip.
pub fn small_change(hospital: HospitalId, index: usize) -> f32 {
    ((index * usize::from(hospital.get())) % 101) as f32 * 1e-4 - 5e-3
}

/// Batches of every training.
pub(crate) const BATCHES: u32 = 3;

impl Training {
    /// What value number `index` of the trainer's model moves by.
    pub(crate) fn change(self, hospital: HospitalId, model: &ModelHash, index: usize) -> f32 {
        if self == Self::Small {
            return small_change(hospital, index);
        }
        let [a, b, c, d, e, f, g, h, ..] = *model.as_bytes();
        let of_model = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let word = mixed(mixed(of_model ^ u64::from(hospital.get())) ^ index as u64);
        let unit = (word >> 40) as f32 / (1 << 24) as f32 - 0.5;
        let scale = if word.is_multiple_of(1000) { 0.5 } else { 0.05 };
        unit * scale
    }

    /// Mean loss of the training of a hospital.
    pub(crate) fn loss(self, hospital: HospitalId) -> f64 {
        match self {
            Self::Small => 0.5,
            Self::Drawn => 0.5 + f64::from(hospital.get()) / 64.0,
        }
    }

    /// Answers a request for training.
    pub(crate) fn train(
        self,
        hospital: HospitalId,
        model: &ModelHash,
        request: &TrainRequest,
    ) -> TrainedUpdate {
        let moved = |(index, value): (usize, &f32)| value + self.change(hospital, model, index);
        let gradients = request.inputs.as_ref().map(|inputs| {
            let rows = inputs.flat().iter().map(|value| input_gradient(*value));
            PatientValues::new(inputs.per_patient(), rows.collect())
        });
        TrainedUpdate {
            model: request.model.iter().enumerate().map(moved).collect(),
            input_gradients: gradients.unwrap_or_default(),
            batches: BATCHES,
            loss: self.loss(hospital),
        }
    }

    /// Answers a request for an evaluation.
    pub(crate) fn evaluate(
        self,
        hospital: HospitalId,
        request: &EvaluateRequest,
    ) -> EvaluatedCounts {
        self.counts(hospital, request.round, request.plan.labels.task.classes())
    }

    /// The counts of the evaluation that is round `round`.
    pub(crate) fn counts(
        self,
        hospital: HospitalId,
        round: RoundNumber,
        classes: usize,
    ) -> EvaluatedCounts {
        let number = u64::from(hospital.get());
        let confusion = if self == Self::Small && classes == 2 {
            vec![vec![4, 1], vec![2, number]]
        } else {
            let cell = |truth: usize, seen: usize| {
                (number + u64::from(round.get()) + 3 * truth as u64 + seen as u64) % 11
            };
            let row = |truth| (0..classes).map(|seen| cell(truth, seen)).collect();
            (0..classes).map(row).collect()
        };
        EvaluatedCounts {
            confusion,
            loss_sum: 1.5,
        }
    }
}

/// The gradient that the trainer reports for what it was given of a patient.
pub(crate) fn input_gradient(value: f32) -> f32 {
    value * 0.5
}

/// SplitMix64: spreads every bit of its argument over the result.
fn mixed(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
