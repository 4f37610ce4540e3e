//! Grad-CAM of some validation slices, for people at the hospital.
//!
//! It has a network of its own, on the processor and for the moment: what the other one holds, and how much memory of a GPU it has,
//! stays as it is.

use model::{
    device::Device,
    metrics::Prediction,
    network::Architecture,
    train::{Dataset, Trainer},
};
use protocol::{
    codec::List,
    training_job::{
        HeatRequest, HeatedSlice, HeatedSlices, MAX_HEATED_SLICES, TrainerFailure, TrainingPlan,
    },
};

use crate::{grey, image_set::ImageSet, shown_slices::shown_slices};

/// The slices that are shown, and the network that looks at them.
pub(crate) struct Looking {
    trainer: Trainer,
    slices: Dataset,
}

impl Looking {
    /// # Errors
    /// No split of these patients.
    pub(crate) fn prepare(images: &ImageSet, plan: &TrainingPlan) -> Result<Self, TrainerFailure> {
        let labels = plan.labels;
        let split = images.split(labels).map_err(TrainerFailure::from_error)?;
        let class_of = |patient: usize| labels.class_of(images.patients()[patient].edss);
        let seed = images.split_seed();
        let shown = shown_slices(&split.validation, class_of, seed, MAX_HEATED_SLICES);
        let slices = images.dataset(&shown, labels);
        let architecture = Architecture::of(labels.task, plan.conditioning, plan.form);
        Ok(Self {
            trainer: Trainer::new(architecture, Device::CPU),
            slices: slices.map_err(TrainerFailure::from_error)?,
        })
    }

    /// # Errors
    /// A model or inputs that do not fit; too little memory.
    pub(crate) fn look(&mut self, request: &HeatRequest) -> Result<HeatedSlices, TrainerFailure> {
        let inputs = request.inputs.as_deref();
        let evaluation = self
            .trainer
            .evaluate(&self.slices, &request.model, inputs, &mut |_, _| ())
            .map_err(TrainerFailure::from_error)?;
        let predictions = evaluation.predictions(&self.slices, 0);
        let asked: Vec<(usize, usize)> = predictions
            .iter()
            .map(Prediction::class)
            .enumerate()
            .collect();
        let maps = self
            .trainer
            .grad_cam(&self.slices, &asked, &request.model, inputs)
            .map_err(TrainerFailure::from_error)?;
        let heated = predictions.iter().zip(&asked).zip(maps);
        let heated = heated.map(|((prediction, &(slice, class)), map)| HeatedSlice {
            truth: small(prediction.label),
            prediction: small(class),
            per_mille: in_steps(prediction.probabilities[class], 1000),
            pixels: grey::of_pixels(&self.slices.pixels(slice)),
            heat: grey::of_shares(&map.pixels),
        });
        Ok(HeatedSlices(List(heated.collect())))
    }
}

fn small(class: usize) -> u32 {
    u32::try_from(class).unwrap_or(u32::MAX)
}

/// A share of 0 to 1 in so many steps.
fn in_steps(share: f32, steps: u16) -> u32 {
    (share.clamp(0.0, 1.0) * f32::from(steps)).round() as u32
}
