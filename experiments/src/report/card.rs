//! The common model as a safetensors file, and the card that says what it is and what it is not.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use crypto::hash::{Digest, sha256};
use model_data::{
    SliceChoice,
    card::{BEST_MODEL_FILE, CardData, CardInput, CardTraining, CardValidation, ModelCard, NOTICE},
    weights::write_safetensors,
};
use participant::vault::statistics::Statistics;
use protocol::{
    common_model::CommonModel,
    kept_model::weights_hash,
    labels::Labels,
    manifest::{Manifest, Task},
};

use crate::simulation::{Plan, Summary, Validation};

/// The card of a simulation's model; `weights_sha256` is of the file as [`write_model`] wrote it.
pub fn model_card(
    plan: &Plan,
    manifest: &Manifest,
    model: &CommonModel,
    summary: &Summary,
    statistics: Option<&Statistics>,
    weights_sha256: Digest,
) -> ModelCard {
    let features = statistics.map(|statistics| statistics.for_card(&plan.loading.features));
    let bare = ModelCard::new(&manifest.layout, model.hash());
    let card = bare.of_run(
        Labels::of(manifest),
        manifest.conditioning,
        manifest.conditioning_form,
        features,
    );
    let is_whole = model.moments().is_empty();
    let last = summary.history.last();
    let validation = last.and_then(|round| round.validation.as_ref());
    ModelCard {
        weights_sha256: Some(hex::encode(weights_sha256)),
        weights_hash: Some(weights_hash(&manifest.layout, model.values())),
        learning_round: last.map_or(0, |round| round.round).into(),
        run_complete: true,
        data: Some(data(plan, manifest, summary)),
        strategy: Some(summary.strategy.clone()),
        training: Some(CardTraining {
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
        }),
        validation: validation.map(|validation| card_validation(validation, plan)),
        test: Some(summary.test.clone()),
        caveats: caveats(summary),
        clips: is_whole.then(|| model.clips().to_vec()),
        null_steps: is_whole.then(|| model.null_steps()),
        commit: summary.made.commit.map(str::to_owned),
        date: Some(summary.made.date.clone()),
        command_line: Some(summary.made.command_line.clone()),
        input: CardInput {
            contrasts: Some(plan.loading.contrasts.clone()),
            slices_per_scan: Some(match plan.loading.slices {
                SliceChoice::All { .. } => 0,
                SliceChoice::Evenly { count, .. } => u32::try_from(count).unwrap_or(u32::MAX),
            }),
            ..card.input
        },
        ..card
    }
}

/// The card of the model of the best round, where that is not the last one. Nobody has tested it: a test says which model is best only
/// once.
pub fn best_model_card(
    plan: &Plan,
    manifest: &Manifest,
    model: &CommonModel,
    summary: &Summary,
    statistics: Option<&Statistics>,
    weights_sha256: Digest,
) -> ModelCard {
    let round = summary.kept_round.unwrap_or_default();
    let record = summary.history.iter().find(|record| record.round == round);
    let validation = record.and_then(|record| record.validation.as_ref());
    ModelCard {
        model: BEST_MODEL_FILE.into(),
        weights: BEST_MODEL_FILE.into(),
        learning_round: round.into(),
        validation: validation.map(|validation| card_validation(validation, plan)),
        test: None,
        ..model_card(plan, manifest, model, summary, statistics, weights_sha256)
    }
}

fn card_validation(validation: &Validation, plan: &Plan) -> CardValidation {
    CardValidation::new(
        validation.accuracy,
        validation.loss,
        validation.confusion.clone(),
        plan.split,
    )
}

fn data(plan: &Plan, manifest: &Manifest, summary: &Summary) -> CardData {
    let task = manifest.task;
    let cuts = plan.labels().scheme.cuts();
    CardData {
        source: summary.data.clone(),
        contrasts: plan.loading.contrasts.clone(),
        patients: summary.patients_by_hospital.iter().flatten().sum(),
        partition: summary.partition.clone(),
        split: plan.split,
        labels: plan.run.label_scheme,
        classes: task
            .class_names()
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
        edss_cuts: match task {
            Task::Binary => vec![cuts.binary],
            Task::Multiclass => cuts.multiclass.to_vec(),
        },
    }
}

fn caveats(summary: &Summary) -> Vec<String> {
    let caveats = [
        (
            summary.data == "phantom",
            "trained and tested on a phantom: the numbers say nothing about patients",
        ),
        (
            summary.split == "slice",
            "split by slice: slices of one patient are on both sides, which makes every number too good",
        ),
        (
            summary.updates == "plain",
            "INSECURE: updates were averaged without encryption, for comparison only",
        ),
    ];
    caveats
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, caveat)| caveat.to_owned())
        .chain(summary.small_test.clone())
        .collect()
}

/// Writes the weights, W among them, with the essentials of the card in the header. Gives the SHA-256 of the file.
///
/// # Errors
/// A file that cannot be written.
pub fn write_model(
    path: &Path,
    manifest: &Manifest,
    model: &CommonModel,
    summary: &Summary,
) -> anyhow::Result<Digest> {
    let metadata = BTreeMap::from([
        ("model_hash".to_owned(), hex::encode(model.hash())),
        ("notice".to_owned(), NOTICE.to_owned()),
        ("code_version".to_owned(), summary.code_version.to_owned()),
        (
            "conditioned_tensor".to_owned(),
            manifest.conditioning_form.factors().to_owned(),
        ),
    ]);
    write_safetensors(path, &manifest.layout.tensors, model.values(), &metadata)?;
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(sha256(&file))
}
