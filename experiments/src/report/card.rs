//! The common model as a safetensors file, and the card that says what it is and what it is not.

use std::{collections::BTreeMap, path::Path};

use model::{
    data::Cuts,
    network::{Architecture, Conditioning},
    weights::write_safetensors,
};
use protocol::{
    manifest::{Manifest, Task},
    network::CONDITIONED_WEIGHT,
};
use serde::Serialize;

use crate::simulation::{Plan, Summary, TestSummary};

/// `model.json`.
#[derive(Serialize)]
pub struct ModelCard {
    /// What it is.
    pub name: &'static str,
    /// Hash of the common model: tensors and clips, as in the transcript.
    pub model_hash: String,
    /// The file with the weights.
    pub weights: &'static str,
    /// Trainable values.
    pub parameters: usize,
    /// What it is meant for.
    pub intended_use: &'static str,
    /// What it must not be used for.
    pub notice: &'static str,
    /// What it was trained on.
    pub data: CardData,
    /// How it was trained.
    pub training: CardTraining,
    /// What it reaches on the pooled test sets.
    pub test: TestSummary,
    /// What holds the numbers back.
    pub caveats: Vec<String>,
    /// Of the program that made it.
    pub code_version: &'static str,
}

/// Data and labels.
#[derive(Serialize)]
pub struct CardData {
    /// `phantom`, or the folder's name.
    pub source: String,
    /// Scans of each patient: `flair`, `t1`, `t2`.
    pub contrasts: Vec<&'static str>,
    /// Patients' parts: `patient` or `slice`.
    pub split: &'static str,
    /// Names of the classes in the order of the outputs.
    pub classes: &'static [&'static str],
    /// A class begins above these scores of the EDSS.
    pub edss_cuts: Vec<f64>,
}

/// The run.
#[derive(Serialize)]
pub struct CardTraining {
    /// Number of hospitals.
    pub hospitals: u8,
    /// Learning rounds.
    pub rounds: u32,
    /// Passes over the local training set in a round.
    pub local_epochs: u32,
    /// Samples of a step.
    pub batch_size: u32,
    /// Of AdamW.
    pub learning_rate: f64,
    /// Of AdamW.
    pub weight_decay: f64,
    /// Of W.
    pub conditioning_rate: f64,
    /// How filters were made.
    pub conditioning: String,
    /// `sealed`, or `plain`, which is insecure.
    pub updates: String,
    /// Of everything.
    pub seed: u64,
}

impl ModelCard {
    /// Gathers it.
    pub fn new(plan: &Plan, manifest: &Manifest, summary: &Summary) -> Self {
        let mut caveats = Vec::new();
        if summary.data == "phantom" {
            caveats.push(
                "trained and tested on a phantom: the numbers say nothing about patients"
                    .to_owned(),
            );
        }
        if summary.split == "slice" {
            caveats.push("split by slice: slices of one patient are on both sides, which makes every number too good".to_owned());
        }
        if summary.updates == "plain" {
            caveats.push(
                "INSECURE: updates were averaged in the clear, for comparison only".to_owned(),
            );
        }
        let cuts = Cuts::default();
        let task = participant::hospital_data::model_task(manifest.task);
        Self {
            name: "hybrid CNN, federated",
            model_hash: summary.agreement.model_hash.clone(),
            weights: "model.safetensors",
            parameters: summary.parameters,
            intended_use: "research on federated learning with protected updates and protected clinical features",
            notice: "Not a medical device. Not for diagnosis, prognosis or treatment of anybody.",
            data: CardData {
                source: summary.data.clone(),
                contrasts: summary.contrasts.clone(),
                split: summary.split,
                classes: task.class_names(),
                edss_cuts: match manifest.task {
                    Task::Binary => vec![cuts.binary],
                    Task::Multiclass => cuts.multiclass.to_vec(),
                },
            },
            training: CardTraining {
                hospitals: summary.hospitals,
                rounds: summary.rounds,
                local_epochs: manifest.local_epochs,
                batch_size: manifest.batch_size,
                learning_rate: manifest.learning_rate,
                weight_decay: manifest.weight_decay,
                conditioning_rate: manifest.conditioning_rate,
                conditioning: plan.conditioning.to_string(),
                updates: summary.updates.clone(),
                seed: plan.seed,
            },
            test: summary.test.clone(),
            caveats,
            code_version: summary.code_version,
        }
    }
}

/// Writes the weights, W among them, with the essentials of the card in the header.
///
/// # Errors
/// A file that cannot be written.
pub fn write_model(
    path: &Path,
    manifest: &Manifest,
    values: &[f32],
    card: &ModelCard,
) -> anyhow::Result<()> {
    let metadata = BTreeMap::from([
        ("model_hash".to_owned(), card.model_hash.clone()),
        ("notice".to_owned(), card.notice.to_owned()),
        ("code_version".to_owned(), card.code_version.to_owned()),
        (
            "conditioned_tensor".to_owned(),
            CONDITIONED_WEIGHT.to_owned(),
        ),
    ]);
    // The free variant's layout has every tensor of the common model.
    let layout = Architecture {
        classes: manifest.task.classes(),
        conditioning: Conditioning::Free,
    }
    .layout();
    Ok(write_safetensors(path, &layout, values, &metadata)?)
}
