//! From a gradient back to images (Geiping et al. 2020, *Inverting Gradients*): what somebody could do who saw a single update.
//!
//! No hospital calls it. It is here because it needs the network as training sees it, and the gradient of a gradient.

use tch::{Kind, TchError, Tensor};
use torch_ffi::{AdamWSettings, FusedAdamW};

use super::{
    Dataset, TrainError, Trainer,
    dataset::patient_table,
    trainer::{check_inputs, single_threaded},
    training::weighted_loss,
};
use crate::network::{DENSE, LengthMismatch, Mode, Network, is_weight, sides};
use model_data::IMAGE_SIDE;
use protocol::training_job::PatientValues;

/// Pixels of an image.
const PIXELS: usize = IMAGE_SIDE * IMAGE_SIDE;

/// A gradient that was seen, with all else that whoever looks for its images knows or guesses.
pub struct SeenGradient<'a> {
    /// The model that it is of.
    pub model: &'a [f32],
    /// In the order of the model. What stands in the places of running statistics is not looked at.
    pub gradient: &'a [f32],
    /// The class of each image that is looked for.
    pub labels: &'a [usize],
    /// What is given of the patient of each, where the network takes it.
    pub inputs: Option<&'a PatientValues>,
    /// Weight of each class in the loss.
    pub class_weights: &'a [f64],
    /// By what dropout has multiplied each output of the dense layer: 512 values an image.
    pub dropout: &'a [f32],
}

/// How the images are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Steps of Adam, each by the sign of the objective's gradient.
    pub steps: usize,
    /// Its step size, in deviations of an image; a tenth of it after 3/8, 5/8 and 7/8 of the steps.
    pub rate: f64,
    /// Weight of the mean difference of neighbouring pixels, beside the distance of the gradients.
    pub smoothness: f64,
    /// No pixel is below or above.
    pub range: [f32; 2],
}

/// What was found.
pub struct FoundImages {
    /// [128 * 128] each, row by row.
    pub images: Vec<Box<[f32]>>,
    /// Cosine between the gradient seen and that of these images.
    pub cosine: f64,
}

impl Trainer {
    /// Looks for images whose gradient points where the one seen does, from `start` on, [128 * 128] values an image. The batch
    /// norms have the statistics of the images themselves, as in training.
    ///
    /// `progress` is told (steps done, steps in all) after each step.
    ///
    /// # Errors
    /// A model, a gradient, a class or inputs that do not fit the architecture; too little memory.
    ///
    /// # Panics
    /// If `labels`, `dropout` and `start` are not of equally many images, or `class_weights` not of all classes.
    pub fn invert(
        &mut self,
        seen: &SeenGradient<'_>,
        start: &[f32],
        search: Search,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<FoundImages, TrainError> {
        single_threaded();
        let objective = Objective::new(self, seen, search.smoothness)?;
        assert_eq!(
            start.len(),
            seen.labels.len() * PIXELS,
            "an image of each label"
        );
        let side = IMAGE_SIDE as i64;
        let mut images = Tensor::from_slice(start)
            .f_view([-1, 1, side, side])?
            .f_to(self.device.0)?
            .f_set_requires_grad(true)?;
        let settings = AdamWSettings {
            learning_rate: search.rate,
            weight_decay: 0.0,
            ..AdamWSettings::default()
        };
        let mut adam = FusedAdamW::new([images.shallow_clone()], settings)?;
        let [lowest, highest] = search.range.map(f64::from);
        for step in 0..search.steps {
            adam.set_learning_rate(search.rate * share_of_rate(step, search.steps));
            let (value, _) = objective.at(&self.network, &images)?;
            let slope = Tensor::f_run_backward(&[value], &[&images], false, false)?;
            adam.step(&[slope[0].f_sign()?])?;
            let _ = tch::no_grad(|| images.f_clamp_(lowest, highest))?;
            progress(step + 1, search.steps);
        }
        let (_, distance) = objective.at(&self.network, &images)?;
        let mut flat = vec![0.0; images.numel()];
        images
            .f_detach()?
            .to_device(tch::Device::Cpu)
            .f_copy_data(&mut flat, start.len())?;
        Ok(FoundImages {
            images: flat.chunks(PIXELS).map(Into::into).collect(),
            cosine: 1.0 - distance.f_double_value(&[])?,
        })
    }

    /// What the dense layer is given of each of these samples when `model` trains on them as one batch: 8192 values each.
    ///
    /// # Errors
    /// A model or inputs that do not fit the architecture; too little memory.
    pub fn dense_inputs(
        &mut self,
        dataset: &Dataset,
        samples: &[usize],
        model: &[f32],
        inputs: Option<&PatientValues>,
    ) -> Result<Vec<Box<[f32]>>, TrainError> {
        single_threaded();
        self.check(dataset, inputs)?;
        self.network.load(model)?;
        let batch = dataset.batch(samples, self.device)?;
        let inputs = inputs
            .map(|inputs| patient_table(inputs, self.device)?.f_index_select(0, &batch.patients));
        let inputs = inputs.transpose()?;
        // Dropout comes after the dense layer.
        let mask = Tensor::f_ones([samples.len() as i64, DENSE], (Kind::Float, self.device.0))?;
        let mode = Mode::Training {
            dropout_mask: &mask,
        };
        let maps = tch::no_grad(|| {
            self.network
                .feature_maps(&batch.images, inputs.as_ref(), &mode)
        })?;
        let maps = maps.f_flatten(1, -1)?.f_to(tch::Device::Cpu)?;
        let mut flat = vec![0.0; maps.numel()];
        maps.f_copy_data(&mut flat, maps.numel())?;
        let width = flat.len() / samples.len().max(1);
        Ok(flat.chunks(width.max(1)).map(Into::into).collect())
    }
}

/// How far images are from explaining a gradient.
struct Objective {
    /// Of each weight of the network.
    gradient: Vec<Tensor>,
    /// Length of the whole.
    length: f64,
    labels: Tensor,
    inputs: Option<Tensor>,
    class_weights: Tensor,
    dropout: Tensor,
    smoothness: f64,
}

impl Objective {
    /// Loads the model into the trainer's network.
    fn new(
        trainer: &mut Trainer,
        seen: &SeenGradient<'_>,
        smoothness: f64,
    ) -> Result<Self, TrainError> {
        let architecture = trainer.architecture();
        let classes = architecture.classes;
        if let Some(&class) = seen.labels.iter().find(|&&class| class >= classes) {
            return Err(TrainError::Class { class, classes });
        }
        if let Some(inputs) = seen.inputs {
            check_inputs(inputs, architecture.form, classes)?;
        }
        let count = seen.labels.len();
        assert_eq!(
            seen.dropout.len(),
            count * DENSE as usize,
            "a mask of each label"
        );
        assert_eq!(seen.class_weights.len(), classes, "a weight of each class");
        trainer.network.load(seen.model)?;
        let device = trainer.device.0;
        let gradient = by_weight(&trainer.network, seen.gradient)?;
        let gradient: Vec<Tensor> = gradient
            .iter()
            .map(|part| part.f_to(device))
            .collect::<Result<_, _>>()?;
        let mut squares = 0.0;
        for part in &gradient {
            squares += part.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        }
        let labels: Vec<i64> = seen.labels.iter().map(|&class| class as i64).collect();
        let class_weights: Vec<f32> = seen
            .class_weights
            .iter()
            .map(|&weight| weight as f32)
            .collect();
        let table = seen
            .inputs
            .map(|inputs| patient_table(inputs, trainer.device));
        Ok(Self {
            gradient,
            length: squares.sqrt().max(f64::MIN_POSITIVE),
            labels: Tensor::from_slice(&labels).f_to(device)?,
            inputs: table.transpose()?,
            class_weights: Tensor::from_slice(&class_weights).f_to(device)?,
            dropout: Tensor::from_slice(seen.dropout)
                .f_view([-1, DENSE])?
                .f_to(device)?,
            smoothness,
        })
    }

    /// The objective, and within it the distance of the gradients: one less their cosine.
    fn at(&self, network: &Network, images: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let mode = Mode::Training {
            dropout_mask: &self.dropout,
        };
        let logits = network.forward(images, self.inputs.as_ref(), &mode)?;
        let loss = weighted_loss(&logits, &self.labels, &self.class_weights)?;
        let weights: Vec<&Tensor> = network.weights().map(|(_, weight)| weight).collect();
        // With a graph of its own: the gradient is to be differentiated.
        let own = Tensor::f_run_backward(&[loss], &weights, true, true)?;
        let device = images.device();
        let zero = || Tensor::f_zeros([0_i64; 0], (Kind::Float, device));
        let (mut along, mut squares) = (zero()?, zero()?);
        for (own, seen) in own.iter().zip(&self.gradient) {
            along = along.f_add(&own.f_mul(seen)?.f_sum(Kind::Float)?)?;
            squares = squares.f_add(&own.f_square()?.f_sum(Kind::Float)?)?;
        }
        let length = squares.f_sqrt()?.f_mul_scalar(self.length)?;
        let distance = along.f_div(&length)?.f_neg()?.f_add_scalar(1.0)?;
        let rough = total_variation(images)?.f_mul_scalar(self.smoothness)?;
        Ok((distance.f_add(&rough)?, distance))
    }
}

/// The parts of a flat vector that belong to the network's weights, in their order and shapes.
fn by_weight(network: &Network, flat: &[f32]) -> Result<Vec<Tensor>, TrainError> {
    let expected = network.architecture().values();
    if flat.len() != expected {
        let found = flat.len();
        return Err(LengthMismatch { expected, found }.into());
    }
    let mut parts = Vec::new();
    let mut rest = flat;
    for spec in network.layout() {
        let (values, after) = rest.split_at(spec.values());
        rest = after;
        if is_weight(spec) {
            parts.push(Tensor::from_slice(values).f_view(sides(spec).as_slice())?);
        }
    }
    Ok(parts)
}

/// Mean difference between a pixel and the next one, along rows and along columns.
fn total_variation(images: &Tensor) -> Result<Tensor, TchError> {
    let along = |dimension: i64| {
        let rest = IMAGE_SIDE as i64 - 1;
        let next = images.f_narrow(dimension, 1, rest)?;
        let own = images.f_narrow(dimension, 0, rest)?;
        next.f_sub(&own)?.f_abs()?.f_mean(Kind::Float)
    };
    along(2)?.f_add(&along(3)?)
}

/// Of the first step size, that of a step.
fn share_of_rate(step: usize, steps: usize) -> f64 {
    let eighths = 8 * step / steps.max(1);
    match eighths {
        0..3 => 1.0,
        3..5 => 0.1,
        5..7 => 0.01,
        _ => 0.001,
    }
}

#[cfg(test)]
mod tests {
    use protocol::{codec::List, network::ModelLayout, vocabulary::ConditioningForm};

    use super::*;
    use crate::{
        device::Device,
        network::{Architecture, Conditioning, DROPOUT},
        train::{
            TrainingSettings,
            tests::{dataset, model},
        },
    };

    fn trainer(conditioning: Conditioning) -> Trainer {
        let architecture = Architecture {
            classes: 2,
            form: ConditioningForm::Study,
            conditioning,
        };
        Trainer::new(architecture, Device::CPU)
    }

    fn filters(patients: usize) -> PatientValues {
        vec![[0.25, 0.5, -0.25, 0.125, 1.0, -1.0, 0.0, 0.5, -0.5]; patients].into()
    }

    /// The gradient of one sample as training has it, and by what dropout has multiplied: found where the gradient of a bias is zero.
    fn gradient_of(trainer: &mut Trainer, index: usize) -> (Vec<f32>, Vec<f32>) {
        let start = model(trainer.architecture());
        let inputs =
            (trainer.architecture().conditioning == Conditioning::Supplied).then(|| filters(4));
        let settings = TrainingSettings::new(vec![1.0, 1.0], [3; 32]);
        let data = dataset(&[0, 1, 2, 3]);
        let mut training = trainer
            .begin(&data, &start, inputs.as_ref(), &settings)
            .expect("fits");
        let gradient = training.gradient(&[index]).expect("computes");
        let layout = ModelLayout {
            tensors: List(trainer.architecture().layout()),
        };
        let bias = layout.range("dense.bias").expect("a dense layer");
        let kept = |bias: &f32| {
            if *bias == 0.0 {
                0.0
            } else {
                (1.0 / (1.0 - DROPOUT)) as f32
            }
        };
        let dropout = gradient[bias].iter().map(kept).collect();
        (gradient, dropout)
    }

    #[test]
    fn the_images_of_a_gradient_explain_it_and_a_search_comes_nearer_to_them() {
        for conditioning in [Conditioning::Supplied, Conditioning::Free] {
            let mut trainer = trainer(conditioning);
            let start = model(trainer.architecture());
            let (mut gradient, dropout) = gradient_of(&mut trainer, 0);
            // What stands in the places of running statistics is not looked at.
            let mut rest = &mut gradient[..];
            for spec in trainer.architecture().layout() {
                let (values, after) = rest.split_at_mut(spec.values());
                rest = after;
                if !is_weight(&spec) {
                    values.fill(1e3);
                }
            }
            let truth = dataset(&[0]).pixels(0);
            let inputs = (conditioning == Conditioning::Supplied).then(|| filters(1));
            let seen = SeenGradient {
                model: &start,
                gradient: &gradient,
                labels: &[0],
                inputs: inputs.as_ref(),
                class_weights: &[1.0, 1.0],
                dropout: &dropout,
            };
            let search = |steps| Search {
                steps,
                rate: 0.1,
                smoothness: 0.0,
                range: [-4.0, 4.0],
            };
            let mut look = |from: &[f32], steps| {
                let found = trainer.invert(&seen, from, search(steps), &mut |_, _| ());
                found.expect("computes")
            };
            assert!(
                look(&truth, 0).cosine > 0.999,
                "{conditioning:?}: the truth itself"
            );
            let from = dataset(&[1]).pixels(0);
            let (before, after) = (look(&from, 0), look(&from, 12));
            assert!(
                before.cosine < 0.98 && after.cosine > before.cosine + 0.01,
                "{} {}",
                before.cosine,
                after.cosine
            );
            assert_eq!(after.images.len(), 1);
            assert!(
                after.images[0]
                    .iter()
                    .all(|pixel| (-4.0..=4.0).contains(pixel))
            );
        }
    }

    #[test]
    fn the_gradient_of_the_distance_is_its_slope() {
        let mut trainer = trainer(Conditioning::Free);
        let start = model(trainer.architecture());
        let (gradient, dropout) = gradient_of(&mut trainer, 0);
        let seen = SeenGradient {
            model: &start,
            gradient: &gradient,
            labels: &[0],
            inputs: None,
            class_weights: &[1.0, 1.0],
            dropout: &dropout,
        };
        let objective = Objective::new(&mut trainer, &seen, 0.5).expect("fits");
        let at = |image: &Tensor| objective.at(&trainer.network, image).expect("computes").0;
        let other = dataset(&[1]).pixels(0);
        let from = Tensor::from_slice(&other)
            .view([1, 1, 128, 128])
            .set_requires_grad(true);
        let slope = Tensor::run_backward(&[at(&from)], &[&from], false, false);
        let slope = slope[0].shallow_clone();
        let length = slope.square().sum(Kind::Double).double_value(&[]).sqrt();
        // On a longer way units turn on or off, where the distance bends.
        let small = 1e-4;
        let along =
            |sign: f64| at(&(from.detach() + &slope * (sign * small / length))).double_value(&[]);
        let measured = (along(1.0) - along(-1.0)) / (2.0 * small);
        assert!(
            (measured - length).abs() < 0.1 * length,
            "{measured} for {length}"
        );
    }

    #[test]
    fn total_variation_is_the_mean_step_between_neighbours() {
        let ramp = Tensor::arange(128, (Kind::Float, tch::Device::Cpu)) * 0.5;
        let images = ramp.view([1, 1, 1, 128]).expand([1, 1, 128, 128], false);
        let rough = total_variation(&images)
            .expect("computes")
            .double_value(&[]);
        assert!((rough - 0.5).abs() < 1e-6, "{rough}");
    }

    #[test]
    fn what_the_dense_layer_is_given_is_not_negative_and_differs_by_sample() {
        let mut trainer = trainer(Conditioning::Supplied);
        let start = model(trainer.architecture());
        let data = dataset(&[0, 1]);
        let inputs = filters(4);
        let given = trainer
            .dense_inputs(&data, &[0, 3], &start, Some(&inputs))
            .expect("computes");
        assert_eq!((given.len(), given[0].len()), (2, 8192));
        assert!(given.iter().flatten().all(|value| *value >= 0.0));
        assert!(given[0] != given[1]);
    }

    #[test]
    fn a_gradient_of_another_network_is_refused() {
        let mut trainer = trainer(Conditioning::Free);
        let start = model(trainer.architecture());
        let seen = SeenGradient {
            model: &start,
            gradient: &start[1..],
            labels: &[0],
            inputs: None,
            class_weights: &[1.0, 1.0],
            dropout: &[1.0; DENSE as usize],
        };
        let search = Search {
            steps: 1,
            rate: 0.1,
            smoothness: 0.0,
            range: [-4.0, 4.0],
        };
        let refused = trainer.invert(&seen, &[0.0; PIXELS], search, &mut |_, _| ());
        assert!(matches!(refused, Err(TrainError::Model(_))));
    }
}
