//! A model of this hospital's own data alone, to compare the common one with: trained as in a run of one hospital, and sent to nobody.

use model_data::FeatureSchema;
use protocol::{
    labels::Labels,
    training_job::{
        EvaluateRequest, LocalTrainer, PatientValues, TrainRequest, TrainedUpdate, TrainerFailure,
        TrainingPlan, Unwatched,
    },
};

use super::KeptModel;
use crate::vault::{
    conditioning::{
        release::ReleaseLevels,
        weights::{ScaledFeatures, weight_change},
    },
    statistics::{ClinicalRecords, Statistics, own_counters},
};

/// How long it is trained, and from where.
#[derive(Clone, Debug, PartialEq)]
pub struct AloneSettings {
    /// Rounds, after each of which it is evaluated on the validation patients.
    pub rounds: u32,
    /// Of AdamW and the epochs of a round.
    pub plan: TrainingPlan,
    /// How far what a vault keeps follows its gradient in a round.
    pub conditioning_rate: f64,
    /// How finely shifts of logits are released.
    pub levels: ReleaseLevels,
    /// Of the initial values, the shuffles and dropout.
    pub seed: u64,
}

/// Trains, and gives the model of the round with the lowest validation loss. `told` hears of each round: its number and the validation
/// loss of a slice in nats.
///
/// # Errors
/// The trainer cannot do it, or hands back a model of another size.
pub fn train_alone(
    like: &KeptModel,
    records: &ClinicalRecords,
    settings: &AloneSettings,
    trainer: &mut dyn LocalTrainer,
    mut told: impl FnMut(u32, f64),
) -> Result<KeptModel, TrainerFailure> {
    let statistics = Statistics::from(&own_counters(records));
    let features = records.scaled(&statistics, like.form);
    let card = Some(statistics.for_card(&records.schema)).filter(|told| !told.is_empty());
    let layout = like.layout();
    let mut model = like.with_values(layout.initial_values(&seed(settings.seed, 0)), card.clone());
    let mut best: Option<(f64, KeptModel)> = None;
    for round in 1..=settings.rounds {
        let request = TrainRequest {
            round: round.into(),
            model: model.for_trainer(),
            inputs: inputs(&model, &features, settings.levels).map(Into::into),
            class_weights: statistics.class_weights(),
            seed: seed(settings.seed, round),
            plan: settings.plan.clone(),
        };
        let update = trainer.train(request, &mut Unwatched)?;
        let values = moved(&model, &update, &features, settings.conditioning_rate)?;
        model = like.with_values(values, card.clone());
        let request = EvaluateRequest {
            round: round.into(),
            model: model.for_trainer(),
            inputs: inputs(&model, &features, settings.levels).map(Into::into),
            plan: settings.plan.clone(),
        };
        let counts = trainer.evaluate(request, &mut Unwatched)?;
        let slices: u64 = counts.confusion.iter().flatten().sum();
        let loss = counts.loss_sum / slices.max(1) as f64;
        told(round, loss);
        if loss.is_finite() && best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
            best = Some((
                loss,
                like.with_values(model.values().to_vec(), card.clone()),
            ));
        }
    }
    let best = best.map(|(_, best)| best);
    best.ok_or_else(|| {
        TrainerFailure("no round of the training on own data had a validation loss".into())
    })
}

fn inputs(
    model: &KeptModel,
    features: &[ScaledFeatures],
    levels: ReleaseLevels,
) -> Option<PatientValues> {
    let weights = model.conditioning_weights()?;
    Some(weights.local_inputs(features, levels))
}

/// What the trainer has made of the values, and what a vault keeps moved by its gradient.
fn moved(
    model: &KeptModel,
    update: &TrainedUpdate,
    features: &[ScaledFeatures],
    rate: f64,
) -> Result<Vec<f32>, TrainerFailure> {
    let of_another_size = || TrainerFailure("the trainer returned a model of another size".into());
    let kept = model.conditioning.kept_by_vault(model.form);
    let gradients = &update.input_gradients;
    let width = model.form.values_per_patient(model.output.task.classes());
    let shape = (gradients.per_patient(), gradients.len());
    if !kept.is_empty() && shape != (width, features.len()) {
        return Err(of_another_size());
    }
    let change = weight_change(
        model.form,
        features,
        &update.input_gradients,
        update.batches,
        rate,
    );
    let mut of_kept = change.iter().copied();
    let mut trained = update.model.iter().copied();
    let mut values = Vec::with_capacity(model.values().len());
    for tensor in model.layout().tensors.iter() {
        let range = values.len()..values.len() + tensor.values();
        if kept.contains(&tensor.name.0.as_str()) {
            let before = model.values()[range.clone()].iter();
            let pairs = before.zip(of_kept.by_ref());
            values.extend(pairs.map(|(weight, change)| (f64::from(*weight) + change) as f32));
        } else {
            values.extend(trained.by_ref().take(tensor.values()));
        }
        if values.len() != range.end {
            return Err(of_another_size());
        }
    }
    match trained.next() {
        None => Ok(values),
        Some(_) => Err(of_another_size()),
    }
}

/// A stream for each round; 0 is that of the initial values.
fn seed(seed: u64, round: u32) -> [u8; 32] {
    let parts: [&[u8]; 2] = [&seed.to_le_bytes(), &round.to_le_bytes()];
    *crypto::hash::derive_key(&[0; 32], "trained-alone", &parts).as_bytes()
}

/// As in a run with the usual settings.
impl AloneSettings {
    /// So many rounds for a model with these labels.
    pub fn usual(rounds: u32, labels: Labels, like: &KeptModel, seed: u64) -> Self {
        let manifest = crate::forecast::usual_manifest(FeatureSchema::study());
        Self {
            rounds,
            plan: TrainingPlan {
                labels,
                conditioning: like.conditioning,
                form: like.form,
                ..TrainingPlan::of(&manifest)
            },
            conditioning_rate: like.form.usual_rate(),
            levels: ReleaseLevels::FINEST,
            seed,
        }
    }
}
