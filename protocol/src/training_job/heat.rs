//! Where the common model looks in slices of this hospital's own (Grad-CAM): pictures for people here. They are of patients, go from
//! the trainer to the participant beside it, and no further than its page.

use super::{EvaluateRequest, PatientInputs, TrainingPlan};
use crate::codec::{Decode, Encode, List};

/// Pixels along a side of a slice, and of its heat.
pub const HEAT_SIDE: usize = 128;
/// More slices are not shown, and not taken from a trainer.
pub const MAX_HEATED_SLICES: usize = 8;

/// Some validation slices, and where the common model looks in them.
#[derive(PartialEq, Encode, Decode)]
pub struct HeatRequest {
    /// As in [`EvaluateRequest::model`].
    pub model: Vec<f32>,
    /// As in [`EvaluateRequest::inputs`].
    pub inputs: Option<PatientInputs>,
    /// The run.
    pub plan: TrainingPlan,
}

impl HeatRequest {
    /// About the model of an evaluation.
    pub fn about(evaluation: &EvaluateRequest) -> Self {
        let inputs = evaluation.inputs.as_deref();
        Self {
            model: evaluation.model.clone(),
            inputs: inputs.map(|inputs| inputs.clone().into()),
            plan: evaluation.plan.clone(),
        }
    }
}

/// A slice of a patient, and where the model looks in it.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct HeatedSlice {
    /// The class that the patient's score has.
    pub truth: u32,
    /// The class that the model predicts for the slice. The heat speaks for this one.
    pub prediction: u32,
    /// Of the predicted class, in thousandths.
    pub per_mille: u32,
    /// The slice, [`HEAT_SIDE`] squared, row by row, the front of the head first: 0 the darkest pixel, 255 the brightest.
    pub pixels: Vec<u8>,
    /// The heat of each pixel: 255 at the hottest, 0 throughout where nothing speaks for the class.
    pub heat: Vec<u8>,
}

impl HeatedSlice {
    fn fits(&self, classes: usize) -> bool {
        let pixels = HEAT_SIDE * HEAT_SIDE;
        let is_class = |class: u32| usize::try_from(class).is_ok_and(|class| class < classes);
        is_class(self.truth)
            && is_class(self.prediction)
            && self.per_mille <= 1000
            && self.pixels.len() == pixels
            && self.heat.len() == pixels
    }
}

/// One slice a patient, in an order that says nothing of who they are.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct HeatedSlices(pub List<HeatedSlice>);

impl HeatedSlices {
    /// Whether they can be the answer to a request: few enough, of the size of a slice, and of classes that there are.
    pub fn fit(&self, request: &HeatRequest) -> bool {
        let classes = request.plan.labels.task.classes();
        self.0.len() <= MAX_HEATED_SLICES && self.0.iter().all(|slice| slice.fits(classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digests::RoundNumber, manifest::testing::manifest, training_job::PatientValues};

    fn evaluation() -> EvaluateRequest {
        EvaluateRequest {
            round: RoundNumber::new(3),
            model: vec![0.5; 4],
            inputs: Some(PatientValues::from(vec![[0.25; 9], [0.5; 9]]).into()),
            plan: TrainingPlan::of(&manifest()),
        }
    }

    fn slice() -> HeatedSlice {
        let pixels = vec![7; HEAT_SIDE * HEAT_SIDE];
        HeatedSlice {
            truth: 0,
            prediction: 1,
            per_mille: 1000,
            heat: pixels.clone(),
            pixels,
        }
    }

    #[test]
    fn pictures_are_asked_of_the_model_and_the_inputs_of_the_evaluation() {
        let evaluation = evaluation();
        let request = HeatRequest::about(&evaluation);
        assert!(request.model == evaluation.model && request.plan == evaluation.plan);
        assert!(request.inputs == evaluation.inputs);
    }

    #[test]
    fn pictures_of_another_size_number_or_class_are_no_answer() {
        let request = HeatRequest::about(&evaluation());
        let fit = |slices: Vec<HeatedSlice>| HeatedSlices(List(slices)).fit(&request);
        assert!(fit(Vec::new()) && fit(vec![slice(); MAX_HEATED_SLICES]));
        assert!(!fit(vec![slice(); MAX_HEATED_SLICES + 1]));
        let spoilt: [fn(&mut HeatedSlice); 5] = [
            |slice| slice.truth = 2,
            |slice| slice.prediction = u32::MAX,
            |slice| slice.per_mille = 1001,
            |slice| slice.pixels.push(0),
            |slice| slice.heat.clear(),
        ];
        for spoil in spoilt {
            let mut other = slice();
            spoil(&mut other);
            assert!(!fit(vec![slice(), other]));
        }
    }
}
