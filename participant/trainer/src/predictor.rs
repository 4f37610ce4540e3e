//! A kept model on scans whose class nobody has told.

use model::{
    device::Device,
    metrics::Prediction,
    network::Architecture,
    train::{Dataset, Trainer},
};
use model_data::Slice;
use protocol::{
    codec::List,
    training_job::{
        EvaluateRequest, EvaluatedCounts, JobProgress, JobWatcher, LocalTrainer,
        MAX_PREDICTED_SLICES, PredictRequest, PredictedSlice, PredictedSlices, SlicePicture,
        TrainRequest, TrainedUpdate, TrainerFailure,
    },
};

use crate::grey;

/// The slices of each listed patient, and the network that was asked about last.
pub struct Predictor {
    patients: Vec<Vec<Slice>>,
    device: Device,
    trainer: Option<Trainer>,
}

impl Predictor {
    /// Of patients without scores, in the order of the list; one may have no slices.
    pub fn new(patients: Vec<Vec<Slice>>, device: Device) -> Self {
        Self {
            patients,
            device,
            trainer: None,
        }
    }

    fn trainer(&mut self, architecture: Architecture) -> &mut Trainer {
        let device = self.device;
        let of_another = |trainer: &mut Trainer| trainer.architecture() != architecture;
        self.trainer.take_if(of_another);
        self.trainer
            .get_or_insert_with(|| Trainer::new(architecture, device))
    }
}

impl LocalTrainer for Predictor {
    fn train(
        &mut self,
        _: TrainRequest,
        _: &mut dyn JobWatcher,
    ) -> Result<TrainedUpdate, TrainerFailure> {
        Err(without_scores())
    }

    fn evaluate(
        &mut self,
        _: EvaluateRequest,
        _: &mut dyn JobWatcher,
    ) -> Result<EvaluatedCounts, TrainerFailure> {
        Err(without_scores())
    }

    fn predict(
        &mut self,
        request: PredictRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<PredictedSlices, TrainerFailure> {
        let patient = request.patient;
        let slices = usize::try_from(patient)
            .ok()
            .and_then(|place| self.patients.get_mut(place))
            .map(std::mem::take);
        let Some(slices) = slices else {
            let reason = format!("there is no patient {patient} in the list");
            return Err(TrainerFailure(reason));
        };
        let predicted = self.predicted(&slices, &request, watcher);
        self.patients[patient as usize] = slices;
        predicted
    }
}

impl Predictor {
    fn predicted(
        &mut self,
        slices: &[Slice],
        request: &PredictRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<PredictedSlices, TrainerFailure> {
        if slices.len() > MAX_PREDICTED_SLICES {
            return Err(TrainerFailure(format!(
                "{} slices of one scan, where at most {MAX_PREDICTED_SLICES} are taken: ask for fewer (--slices-per-patient)",
                slices.len()
            )));
        }
        if slices.is_empty() {
            return Ok(PredictedSlices::default());
        }
        let dataset = Dataset::unlabelled(slices).map_err(TrainerFailure::from_error)?;
        let trainer = self.trainer(Architecture::of(
            request.task,
            request.conditioning,
            request.form,
        ));
        let inputs = request.inputs.as_deref();
        let evaluation = trainer
            .evaluate(&dataset, &request.model, inputs, &mut |done, total| {
                watcher.moved(JobProgress::Evaluating { done, total });
            })
            .map_err(TrainerFailure::from_error)?;
        let heat = if request.with_heat {
            let predictions = evaluation.predictions(&dataset, 0);
            let asked: Vec<_> = predictions
                .iter()
                .map(Prediction::class)
                .enumerate()
                .collect();
            trainer
                .grad_cam(&dataset, &asked, &request.model, inputs)
                .map_err(TrainerFailure::from_error)?
        } else {
            vec![]
        };
        let mut heat = heat.into_iter();
        let predicted = slices.iter().zip(evaluation.probabilities);
        let predicted = predicted.map(|(slice, probabilities)| PredictedSlice {
            axial_index: slice.axial_index,
            probabilities,
            picture: heat.next().map(|map| SlicePicture {
                pixels: grey::of_pixels(&slice.pixels),
                heat: grey::of_shares(&map.pixels),
            }),
        });
        Ok(PredictedSlices(List(predicted.collect())))
    }
}

fn without_scores() -> TrainerFailure {
    TrainerFailure(
        "the scans were listed without scores: nothing can be trained or evaluated on them".into(),
    )
}
