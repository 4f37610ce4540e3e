//! What a kept model says of scans whose class nobody has told. The answer goes from the trainer to the participant beside it, which
//! writes it into files of this hospital.

use super::{HEAT_SIDE, PatientInputs};
use crate::{
    codec::{Decode, Encode, List},
    labels::Task,
    manifest::{Conditioning, ConditioningForm},
};

/// More slices of one patient of the list are not asked about, and not taken from a trainer.
pub const MAX_PREDICTED_SLICES: usize = 1024;

/// All slices of one patient of the [`DataSet`](super::DataSet), and where the model looks in them.
#[derive(PartialEq, Encode, Decode)]
pub struct PredictRequest {
    /// Place in the list of patients, from 0.
    pub patient: u32,
    /// As in [`EvaluateRequest::model`](super::EvaluateRequest::model).
    pub model: Vec<f32>,
    /// What the model's form of conditioning takes of this patient alone, where the model is conditioned.
    pub inputs: Option<PatientInputs>,
    /// How many classes there are.
    pub task: Task,
    /// Whether the model is conditioned.
    pub conditioning: Conditioning,
    /// How.
    pub form: ConditioningForm,
    /// Whether to show where the model looks.
    pub with_heat: bool,
}

/// What the model says of one slice.
#[derive(Clone, PartialEq, Encode, Decode)]
pub struct PredictedSlice {
    /// Height in the volume it was cut from, counted from the feet.
    pub axial_index: u32,
    /// Of each class, 0 to 1; together 1.
    pub probabilities: Vec<f32>,
    /// The slice and the heat for the class that is predicted for it, where that was asked for.
    pub picture: Option<SlicePicture>,
}

/// A slice as a picture, and where the model looks in it.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct SlicePicture {
    /// As [`HeatedSlice::pixels`](super::HeatedSlice::pixels).
    pub pixels: Vec<u8>,
    /// As [`HeatedSlice::heat`](super::HeatedSlice::heat).
    pub heat: Vec<u8>,
}

impl PredictedSlice {
    fn fits(&self, request: &PredictRequest) -> bool {
        let pixels = HEAT_SIDE * HEAT_SIDE;
        let is_share = |share: &f32| (0.0..=1.0).contains(share);
        let picture_fits = match &self.picture {
            Some(picture) => {
                request.with_heat && picture.pixels.len() == pixels && picture.heat.len() == pixels
            }
            None => !request.with_heat,
        };
        self.probabilities.len() == request.task.classes()
            && self.probabilities.iter().all(is_share)
            && picture_fits
    }
}

/// The slices of one patient of the list, in their order.
#[derive(Clone, Default, PartialEq, Encode, Decode)]
pub struct PredictedSlices(pub List<PredictedSlice>);

impl PredictedSlices {
    /// Whether they can be the answer to a request about a patient with so many slices.
    pub fn fit(&self, request: &PredictRequest, slices: u32) -> bool {
        self.0.len() == slices as usize && self.0.iter().all(|slice| slice.fits(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training_job::PatientValues;

    fn request(with_heat: bool) -> PredictRequest {
        PredictRequest {
            patient: 3,
            model: vec![0.5; 4],
            inputs: Some(PatientValues::from(vec![[0.25; 9]]).into()),
            task: Task::Binary,
            conditioning: Conditioning::EncryptedHardened,
            form: ConditioningForm::Study,
            with_heat,
        }
    }

    fn slice(with_heat: bool) -> PredictedSlice {
        let pixels = vec![7; HEAT_SIDE * HEAT_SIDE];
        PredictedSlice {
            axial_index: 9,
            probabilities: vec![0.25, 0.75],
            picture: with_heat.then(|| SlicePicture {
                heat: pixels.clone(),
                pixels,
            }),
        }
    }

    #[test]
    fn an_answer_has_the_slices_classes_and_pictures_that_were_asked_for() {
        for with_heat in [true, false] {
            let answer = PredictedSlices(List(vec![slice(with_heat); 2]));
            assert!(answer.fit(&request(with_heat), 2));
            assert!(!answer.fit(&request(with_heat), 3));
            assert!(!answer.fit(&request(!with_heat), 2));
        }
        let spoilt: [fn(&mut PredictedSlice); 5] = [
            |slice| slice.probabilities.push(0.0),
            |slice| slice.probabilities[0] = f32::NAN,
            |slice| slice.probabilities[0] = 1.5,
            |slice| slice.picture.as_mut().expect("there").heat.clear(),
            |slice| slice.picture.as_mut().expect("there").pixels.push(1),
        ];
        for spoil in spoilt {
            let mut other = slice(true);
            spoil(&mut other);
            let answer = PredictedSlices(List(vec![slice(true), other]));
            assert!(!answer.fit(&request(true), 2));
        }
    }

    #[test]
    fn the_longest_answer_fits_into_a_frame() {
        let longest = PredictedSlices(List(vec![slice(true); MAX_PREDICTED_SLICES]));
        assert!(crate::codec::encode(&longest).len() < crate::codec::MAX_MESSAGE_BYTES);
    }
}
