//! The common model as a safetensors file, and the card that says what it is and what it is not.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use crypto::hash::{Digest, sha256};
use model_data::{Feature, weights::write_safetensors};
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
    /// Number of trainable values.
    pub parameters: usize,
    /// What it is meant for.
    pub intended_use: &'static str,
    /// What it must not be used for.
    pub notice: &'static str,
    /// SHA-256 of the file with the weights.
    pub weights_sha256: String,
    /// What goes in.
    pub input: CardInput,
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

/// What the network takes, and where to read how.
#[derive(Serialize)]
pub struct CardInput {
    /// What the input images are.
    pub slices: &'static str,
    /// Clinical features in their order; none where nothing conditions the network.
    pub features: Option<Vec<&'static str>>,
    /// How the features become numbers.
    pub feature_scaling: Option<&'static str>,
    /// How to load the file outside this project.
    pub example: &'static str,
}

/// Data and labels.
#[derive(Serialize)]
pub struct CardData {
    /// `phantom`, or the folder's name.
    pub source: String,
    /// Scans of each patient: `flair`, `t1`, `t2`.
    pub contrasts: Vec<&'static str>,
    /// Over all hospitals, those for validation and test included.
    pub patients: usize,
    /// Which hospital had which: `equal`, `zipf`, `dirichlet:ALPHA` or `scanner`.
    pub partition: String,
    /// What stayed on one side of the cut into training, validation and test: `patient` or `slice`.
    pub split: &'static str,
    /// The scheme by which EDSS becomes a class.
    pub labels: &'static str,
    /// Names of the classes in the order of the outputs.
    pub classes: &'static [&'static str],
    /// A class begins above these scores of the EDSS.
    pub edss_cuts: Vec<f64>,
}

/// The settings of the run.
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
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// How far W follows its gradient in a round.
    pub conditioning_rate: f64,
    /// How filters were made.
    pub conditioning: String,
    /// `sealed`, or `plain`, which is insecure.
    pub updates: String,
    /// The seed of all randomness in the run.
    pub seed: u64,
}

impl ModelCard {
    /// Gathers it; `weights_sha256` is of the file as [`write_model`] wrote it.
    pub fn new(
        plan: &Plan,
        manifest: &Manifest,
        summary: &Summary,
        weights_sha256: Digest,
    ) -> Self {
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
                "INSECURE: updates were averaged without encryption, for comparison only"
                    .to_owned(),
            );
        }
        let cuts = plan.labels().scheme.cuts();
        let conditioned = manifest.conditioning.uses_filters();
        let task = manifest.task;
        Self {
            name: "hybrid CNN, federated",
            model_hash: summary.agreement.model_hash.clone(),
            weights: "model.safetensors",
            parameters: summary.parameters,
            intended_use: "research on federated learning with protected updates and protected clinical features",
            notice: NOTICE,
            weights_sha256: hex::encode(weights_sha256),
            input: CardInput {
                slices: "float32 [batch, 1, 128, 128]: axial slices, the front of the head first, the patient's right on the left, \
                         each with zero mean and unit variance",
                features: conditioned.then(|| Feature::ALL.map(Feature::name).to_vec()),
                feature_scaling: conditioned
                    .then_some("to [0, 1]: years over 100, flags as they are; a missing value is the mean of the federation"),
                example: "docs/load_model.py",
            },
            data: CardData {
                source: summary.data.clone(),
                contrasts: summary.contrasts.clone(),
                patients: summary.patients_by_hospital.iter().flatten().sum(),
                partition: summary.partition.clone(),
                split: summary.split,
                labels: summary.labels,
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

/// Writes the weights, W among them, with the essentials of the card in the header. Gives the SHA-256 of the file.
///
/// # Errors
/// A file that cannot be written.
pub fn write_model(
    path: &Path,
    manifest: &Manifest,
    values: &[f32],
    summary: &Summary,
) -> anyhow::Result<Digest> {
    let metadata = BTreeMap::from([
        (
            "model_hash".to_owned(),
            summary.agreement.model_hash.clone(),
        ),
        ("notice".to_owned(), NOTICE.to_owned()),
        ("code_version".to_owned(), summary.code_version.to_owned()),
        (
            "conditioned_tensor".to_owned(),
            CONDITIONED_WEIGHT.to_owned(),
        ),
    ]);
    write_safetensors(path, &manifest.layout.tensors, values, &metadata)?;
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(sha256(&file))
}

const NOTICE: &str = "Not a medical device. Not for diagnosis, prognosis or treatment of anybody.";
