//! `tables.json`: a row a cell, the mean over its repetitions.

use model::metrics::Interval;
use model_data::Contrast;
use protocol::{
    labels::{LabelScheme, Task},
    training_job::SplitKind,
    vocabulary::ConditioningForm,
};
use serde::Serialize;
use serde_json::Number;

use super::{
    baselines::Reachable,
    configuration::Configuration,
    options::{BalanceName, ModelName},
    reference_comparison::ReferenceComparison,
    results::Results,
    row::{FeaturesRow, Row},
    scored::{Difference, Estimate, Scored},
    study::StudyFigures,
};
use crate::{phantom_name::PhantomName, profile_name::ProfileName};

/// The file.
#[derive(Serialize)]
pub struct Tables<'a> {
    schema: u32,
    rows: Vec<TableRow>,
    data: &'a str,
    /// What a phantom shows; null for other data.
    phantom: Option<PhantomName>,
    contrasts: &'a [Contrast],
    /// What the numbers may be compared with.
    notice: &'a str,
    labels: LabelScheme,
    profile: ProfileName,
    epochs: u32,
    device: &'a str,
    /// How intervals are made.
    intervals: &'static str,
    /// By slice minus by patient.
    leak: Vec<TableDifference>,
    /// Hybrid, or without it its plaintext reference, minus plain.
    conditioning: Vec<TableDifference>,
    /// A logistic regression of the clinical features: a row for each task, training set and split.
    features_alone: Vec<TableFeatures>,
    /// Each network minus the features alone.
    over_features_alone: Vec<TableDifference>,
    /// By patient, the best that any classifier could reach on a phantom; empty for other data.
    reachable_auroc: Vec<TableReachable>,
    /// Hybrid beside its plaintext reference; the key of the file is older than the word.
    #[serde(rename = "oracle")]
    reference: Option<TableReference>,
    code_version: &'a str,
}

/// One row. Numbers are by slice, as the study's are; those of `patient` are of the mean over a patient's slices.
#[derive(Serialize)]
struct TableRow {
    task: Task,
    balance: BalanceName,
    model: ModelName,
    /// What clinical features do to the network; null where they condition nothing.
    form: Option<ConditioningForm>,
    split: SplitKind,
    /// Whether slices of one patient are on both sides, so that every number of the row is too good.
    leaks: bool,
    labels: LabelScheme,
    seeds: u32,
    train_counts: Vec<Number>,
    #[serde(flatten)]
    scores: TableScores,
    precision_micro: Option<f64>,
    precision_micro_ci95: Option<Interval>,
    recall_micro: Option<f64>,
    recall_micro_ci95: Option<Interval>,
    f1_micro: Option<f64>,
    f1_micro_ci95: Option<Interval>,
    majority: f64,
    patient: TableScores,
    study: Option<StudyFigures>,
}

/// One row of the clinical features alone. By slice each slice of a patient has the patient's probabilities.
#[derive(Serialize)]
struct TableFeatures {
    task: Task,
    balance: BalanceName,
    split: SplitKind,
    leaks: bool,
    #[serde(flatten)]
    scores: TableScores,
    majority: f64,
    patient: TableScores,
}

#[derive(Serialize)]
struct TableReachable {
    task: Task,
    images_and_features: Option<f64>,
    images: Option<f64>,
    features: Option<f64>,
}

#[derive(Serialize)]
struct TableScores {
    accuracy: Option<f64>,
    accuracy_ci95: Option<Interval>,
    balanced_accuracy: Option<f64>,
    balanced_accuracy_ci95: Option<Interval>,
    precision_macro: Option<f64>,
    precision_macro_ci95: Option<Interval>,
    recall_macro: Option<f64>,
    recall_macro_ci95: Option<Interval>,
    f1_macro: Option<f64>,
    f1_macro_ci95: Option<Interval>,
    auroc: Option<f64>,
    auroc_ci95: Option<Interval>,
}

#[derive(Serialize)]
struct TableDifference {
    of: String,
    #[serde(flatten)]
    scores: TableScores,
    patient: TableScores,
}

#[derive(Serialize)]
struct TableReference {
    pairs: usize,
    identical: usize,
    same_classes: usize,
    largest_accuracy_difference: f64,
    largest_mean_accuracy_difference: f64,
    values: u64,
    values_that_differ: u64,
    max_abs_error: f64,
}

impl<'a> Tables<'a> {
    /// Gathers it.
    pub fn new(configuration: &'a Configuration, results: &Results, notice: &'a str) -> Self {
        let differences = |list: &[Difference]| list.iter().map(difference).collect();
        Self {
            schema: 1,
            rows: results
                .rows
                .iter()
                .map(|row| table_row(configuration, row))
                .collect(),
            data: &configuration.data,
            phantom: configuration.phantom,
            contrasts: &configuration.contrasts,
            notice,
            labels: configuration.labels,
            profile: configuration.profile,
            epochs: configuration.epochs,
            device: &configuration.device,
            intervals: INTERVALS,
            leak: differences(&results.leaks),
            conditioning: differences(&results.conditioning),
            features_alone: results.features_alone.iter().map(features_row).collect(),
            over_features_alone: differences(&results.over_features_alone),
            reachable_auroc: results.reachable.iter().map(table_reachable).collect(),
            reference: results.reference.map(table_reference),
            code_version: &configuration.code_version,
        }
    }
}

fn table_row(configuration: &Configuration, row: &Row) -> TableRow {
    let Scored {
        slice,
        patient,
        majority,
        ..
    } = &row.scored;
    let scores = table_scores(slice);
    // For one label a sample every micro average is the accuracy.
    let (micro, micro_ci95) = (scores.accuracy, scores.accuracy_ci95);
    TableRow {
        task: row.key.task,
        balance: row.key.balance,
        model: row.key.model,
        form: (row.key.model != ModelName::Plain).then_some(row.key.form),
        split: row.key.split,
        leaks: row.key.split == SplitKind::Slice,
        labels: configuration.labels,
        seeds: configuration.seeds,
        train_counts: row.train_counts.iter().copied().map(count).collect(),
        scores,
        precision_micro: micro,
        precision_micro_ci95: micro_ci95,
        recall_micro: micro,
        recall_micro_ci95: micro_ci95,
        f1_micro: micro,
        f1_micro_ci95: micro_ci95,
        majority: *majority,
        patient: table_scores(patient),
        study: row.study,
    }
}

fn features_row(row: &FeaturesRow) -> TableFeatures {
    TableFeatures {
        task: row.task,
        balance: row.balance,
        split: row.split,
        leaks: row.split == SplitKind::Slice,
        scores: table_scores(&row.scored.slice),
        majority: row.scored.majority,
        patient: table_scores(&row.scored.patient),
    }
}

fn table_reachable(reachable: &Reachable) -> TableReachable {
    TableReachable {
        task: reachable.task,
        images_and_features: reachable.both,
        images: reachable.images,
        features: reachable.features,
    }
}

fn table_scores(estimate: &Estimate) -> TableScores {
    let scores = estimate.scores;
    let [
        accuracy_ci95,
        balanced_accuracy_ci95,
        precision_macro_ci95,
        recall_macro_ci95,
        f1_macro_ci95,
        auroc_ci95,
    ] = estimate.intervals;
    TableScores {
        accuracy: scores.accuracy,
        accuracy_ci95,
        balanced_accuracy: scores.balanced_accuracy,
        balanced_accuracy_ci95,
        precision_macro: scores.precision_macro,
        precision_macro_ci95,
        recall_macro: scores.recall_macro,
        recall_macro_ci95,
        f1_macro: scores.f1_macro,
        f1_macro_ci95,
        auroc: scores.auroc,
        auroc_ci95,
    }
}

fn difference(difference: &Difference) -> TableDifference {
    TableDifference {
        of: difference.of.clone(),
        scores: table_scores(&difference.estimate),
        patient: table_scores(&difference.patient),
    }
}

fn table_reference(reference: ReferenceComparison) -> TableReference {
    TableReference {
        pairs: reference.pairs,
        identical: reference.identical,
        same_classes: reference.same_classes,
        largest_accuracy_difference: reference.largest_accuracy_difference,
        largest_mean_accuracy_difference: reference.largest_mean_accuracy_difference,
        values: reference.values,
        values_that_differ: reference.values_that_differ,
        max_abs_error: reference.max_abs_error,
    }
}

/// A whole number where the repetitions agree, a mean where they do not.
fn count(mean: f64) -> Number {
    if mean.fract() == 0.0 {
        Number::from(mean as u64)
    } else {
        Number::from_f64(mean).unwrap_or_else(|| Number::from(0))
    }
}

/// How intervals are made, for all files.
pub const INTERVALS: &str = "95%: percentiles of 1,000 draws of a bootstrap over repetitions and patients at once; with one \
                             repetition, over patients alone";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_where_they_can_be() {
        assert_eq!(count(168.0).to_string(), "168");
        assert_eq!(count(168.5).to_string(), "168.5");
    }
}
