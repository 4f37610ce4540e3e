//! `summary.json`: the contract with scripts. Keys may be added; none is renamed or dropped.

use std::{collections::BTreeMap, path::Path};

use model::metrics::{Intervals, Metrics};
use model_data::{
    card::{BEST_MODEL_FILE, MODEL_FILE, Scores, TestSummary},
    small_numbers,
};
use protocol::{
    digests::LearningRound,
    manifest::{ConditioningForm, Keep, Manifest},
};
use serde::Serialize;

use super::{
    baselines::Baselines,
    cohorts::Cohorts,
    history::RoundRecord,
    plan::{DataSource, Plan},
    run::RunResult,
    seconds::Seconds,
    test_metrics::TestResult,
};
use crate::{
    made::Made,
    phantom_name::PhantomName,
    reachable::{Evidence, reachable_auroc},
};

/// The content of `summary.json`. What is not defined is null.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Of this layout.
    pub schema: u32,
    /// `--seed`.
    pub seed: u64,
    /// `--hospitals`.
    pub hospitals: u8,
    /// `--rounds`.
    pub rounds: u32,
    /// Trainable values.
    pub parameters: usize,
    /// `phantom`, or the name of the folder.
    pub data: String,
    /// `--contrasts`.
    pub contrasts: Vec<&'static str>,
    /// Which slices of each scan, in words.
    pub slice_choice: String,
    /// `--task`.
    pub task: &'static str,
    /// `--labels`.
    pub labels: &'static str,
    /// `--split`.
    pub split: &'static str,
    /// `--partition`.
    pub partition: String,
    /// Patients of each hospital by class: `[hospital][class]`.
    pub patients_by_hospital: Vec<Vec<usize>>,
    /// `--strategy`.
    pub strategy: String,
    /// `sealed`, or `plain`, which is insecure.
    pub updates: String,
    /// To the coordinator.
    pub upload: Bytes,
    /// From the coordinator.
    pub download: Bytes,
    /// Opened sums against those computed beside the protocol.
    pub sum: Sum,
    /// The filters.
    pub conditioning: ConditioningSummary,
    /// What the hospitals hold at the end.
    pub agreement: Agreement,
    /// Wall seconds, summed over hospitals, but for `total`.
    pub seconds: Seconds,
    /// The last common model on the pooled test sets.
    pub test: TestSummary,
    /// What else could have been done with the same patients; null without `--baselines`.
    pub baselines: Option<Baselines>,
    /// The AUROC by patient that the best classifier would have on patients such as the phantom's, given lesion volume and features
    /// (without `--conditioning none`); null for other data.
    pub reachable_auroc: Option<f64>,
    /// `--phantom`; null for other data.
    pub phantom: Option<PhantomName>,
    /// Why `test` says nothing: too few patients, or a class without one. Null where it does.
    pub small_test: Option<String>,
    /// The learning rounds.
    pub history: Vec<RoundRecord>,
    /// The one whose model each hospital keeps as the best; null before any.
    pub kept_round: Option<u32>,
    /// Why that one; null where `kept_round` is.
    pub best: Option<Best>,
    /// The most memory that the process had.
    pub peak_rss_bytes: Option<u64>,
    /// Rows of a clinical table that have no images.
    pub rows_without_images: usize,
    /// Where the network computed.
    pub device: String,
    /// `--threads`.
    pub threads: usize,
    /// Of this program.
    pub code_version: &'static str,
    /// When, how and where.
    pub made: Made,
}

/// The best learning round.
#[derive(Clone, Debug, Serialize)]
pub struct Best {
    /// Its number, from 1.
    pub round: u32,
    /// `--keep`.
    pub by: Keep,
    /// Its mean validation loss of a slice in nats, or its validation accuracy; null with `last`.
    pub value: Option<f64>,
}

/// Message bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Bytes {
    /// Mean over hospitals and rounds; set-up, statistics, conditioning and evaluation included.
    pub bytes_per_hospital_round: Option<f64>,
    /// Over 4 bytes a parameter.
    pub ratio_to_f32: Option<f64>,
}

/// How right the sums were.
#[derive(Clone, Debug, Serialize)]
pub struct Sum {
    /// Whether every hospital opened every integer exactly.
    pub integers_exact: Option<bool>,
    /// The largest difference of an opened mean from the float mean, over its tensor's clip.
    pub max_error_over_clip: Option<f64>,
    /// The same in quantisation steps.
    pub max_error_over_step: Option<f64>,
    /// In quantisation steps, over the values that no clip cut off: what quantising alone costs.
    pub max_error_inside_clip_over_step: Option<f64>,
    /// Values cut off by their clip, over all hospitals and rounds.
    pub saturated_values: Option<u64>,
}

/// How the filters were made.
#[derive(Clone, Debug, Serialize)]
pub struct ConditioningSummary {
    /// `--conditioning`.
    pub mode: String,
    /// `--conditioning-form`; null where nothing is conditioned.
    pub form: Option<ConditioningForm>,
    /// `--profile`.
    pub profile: String,
    /// The largest difference of a decrypted product from the plaintext product, before rounding and clipping.
    pub max_abs_error: Option<f64>,
    /// At the hospital and the coordinator.
    pub milliseconds_per_hospital_round: Option<f64>,
}

/// Whether all ended alike.
#[derive(Clone, Debug, Serialize)]
pub struct Agreement {
    /// Over all hospitals, those that were away included.
    pub model_hashes_equal: Option<bool>,
    /// In hexadecimal.
    pub model_hash: String,
}

impl Summary {
    /// Gathers it.
    pub fn new(
        plan: &Plan,
        manifest: &Manifest,
        run: &RunResult,
        test: &TestResult,
        total_secs: f64,
        cohorts: &Cohorts,
        baselines: Option<Baselines>,
    ) -> Self {
        let parameters = manifest.layout.parameters();
        let phantom = match &plan.source {
            DataSource::Phantom { kind, .. } => Some(*kind),
            DataSource::Folder(_) => None,
        };
        let hospital_rounds = f64::from(plan.hospitals) * run.history.len().max(1) as f64;
        let bytes = |bytes: Option<u64>| {
            let each = bytes.map(|bytes| bytes as f64 / hospital_rounds);
            Bytes {
                bytes_per_hospital_round: each,
                ratio_to_f32: each.map(|each| each / (4.0 * parameters as f64)),
            }
        };
        let encrypted = manifest.conditioning.profile().is_some();
        let conditioning_ms = 1000.0 * run.seconds.conditioning / hospital_rounds;
        Self {
            schema: 1,
            seed: plan.seed,
            hospitals: plan.hospitals,
            rounds: manifest.rounds,
            parameters,
            data: match &plan.source {
                DataSource::Phantom { .. } => "phantom".to_owned(),
                // Not the path: this is made to be shared.
                DataSource::Folder(folder) => name_of(folder),
            },
            contrasts: plan
                .loading
                .contrasts
                .iter()
                .map(|contrast| contrast.name())
                .collect(),
            slice_choice: match &plan.source {
                DataSource::Phantom { slices, .. } => {
                    format!("{slices}, as many as the phantom has")
                }
                DataSource::Folder(_) => plan.loading.slices.to_string(),
            },
            task: plan.task_name(),
            labels: plan.run.label_scheme.as_str(),
            split: plan.split_name(),
            partition: plan.partition.to_string(),
            patients_by_hospital: cohorts.counts.clone(),
            strategy: manifest.strategy.to_string(),
            updates: plan.updates.to_string(),
            upload: bytes(run.sent_bytes),
            download: bytes(run.received_bytes),
            sum: Sum {
                integers_exact: run.integers_exact,
                max_error_over_clip: run.max_error.map(|error| error.over_clip),
                max_error_over_step: run.max_error.map(|error| error.over_step),
                max_error_inside_clip_over_step: run
                    .max_error
                    .map(|error| error.inside_clip_over_step),
                saturated_values: run.saturated,
            },
            conditioning: ConditioningSummary {
                mode: plan.conditioning.to_string(),
                form: manifest
                    .conditioning
                    .uses_features()
                    .then_some(manifest.conditioning_form),
                profile: plan.profile.to_string(),
                max_abs_error: run.largest_product_error.filter(|_| encrypted),
                milliseconds_per_hospital_round: manifest
                    .conditioning
                    .uses_features()
                    .then_some(conditioning_ms),
            },
            agreement: Agreement {
                model_hashes_equal: run.models_equal,
                model_hash: hex::encode(run.model.hash()),
            },
            seconds: Seconds {
                total: total_secs,
                ..run.seconds.clone()
            },
            test: TestSummary {
                slice: scores(&test.slice, &test.slice_intervals, test.majority_slice),
                patient: scores(
                    &test.patient,
                    &test.patient_intervals,
                    test.majority_patient,
                ),
            },
            baselines,
            reachable_auroc: phantom.and_then(|kind| {
                let evidence = Evidence {
                    images: true,
                    features: manifest.conditioning.uses_features(),
                };
                reachable_auroc(kind, plan.labels(), evidence)
            }),
            phantom,
            small_test: small_numbers::warning(
                test.patient.confusion.counts(),
                manifest.task.class_names(),
            ),
            history: run.history.clone(),
            kept_round: run.kept_round.map(LearningRound::get),
            best: run.kept_round.map(|round| Best {
                round: round.get(),
                by: manifest.keep,
                value: run.best.map(|best| best.value),
            }),
            peak_rss_bytes: peak_rss_bytes(),
            rows_without_images: cohorts.rows_without_images,
            device: plan.device.to_string(),
            threads: plan.threads,
            code_version: env!("CARGO_PKG_VERSION"),
            made: Made::now(plan.command_line.clone()),
        }
    }
}

impl Summary {
    /// Whether the evaluations have ended the run before its last round.
    pub fn ended_early(&self) -> bool {
        self.history.len() < self.rounds as usize
    }

    /// Which file has the model of the best round: "model-best.safetensors (model.safetensors is the last one)".
    pub fn where_best_is(&self) -> String {
        let last = self.history.last().map(|record| record.round);
        if self.kept_round == last {
            format!("the last one, {MODEL_FILE}")
        } else {
            format!("{BEST_MODEL_FILE} ({MODEL_FILE} is the last one)")
        }
    }
}

impl Best {
    /// "round 3, the lowest validation loss, 0.502".
    pub fn in_words(&self) -> String {
        let why = match self.by {
            Keep::BestLoss => ", the lowest validation loss",
            Keep::BestAccuracy => ", the highest validation accuracy",
            Keep::Last => ", the last",
        };
        let value = self.value.map(|value| format!(", {value:.3}"));
        format!("round {}{why}{}", self.round, value.unwrap_or_default())
    }
}

fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    match name.to_string_lossy().into_owned() {
        // Not to be taken for ours.
        name if name == "phantom" => "phantom (a folder)".to_owned(),
        name => name,
    }
}

fn scores(metrics: &Metrics, intervals: &Intervals, majority: f64) -> Scores {
    Scores {
        accuracy: metrics.confusion.accuracy(),
        f1_macro: metrics.confusion.macro_average().f1,
        auroc: metrics.auroc,
        accuracy_ci95: intervals.accuracy,
        f1_macro_ci95: intervals.f1_macro,
        auroc_ci95: intervals.auroc,
        majority,
        count: metrics.confusion.total(),
        confusion: metrics.confusion.counts().to_vec(),
    }
}

/// A line of `metrics.jsonl`: the round, and how right its sum was.
#[derive(Serialize)]
pub struct MetricsLine<'a> {
    /// The round.
    #[serde(flatten)]
    pub round: &'a RoundRecord,
    /// As in [`Sum`], of this round.
    pub max_error_over_clip: Option<f64>,
    /// As in [`Sum`], of this round.
    pub max_error_over_step: Option<f64>,
    /// As in [`Sum`], of this round.
    pub max_error_inside_clip_over_step: Option<f64>,
    /// As in [`Sum`], of this round.
    pub saturated_values: Option<u64>,
}

/// `VmHWM` of Linux; elsewhere nobody knows.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The lines of `metrics.jsonl`.
pub fn metrics_lines(run: &RunResult) -> Vec<MetricsLine<'_>> {
    let of =
        |map: &BTreeMap<u32, super::expected_sums::MeanError>, round: u32| map.get(&round).copied();
    run.history
        .iter()
        .map(|round| {
            let error = of(&run.errors, round.round);
            MetricsLine {
                round,
                max_error_over_clip: error.map(|error| error.over_clip),
                max_error_over_step: error.map(|error| error.over_step),
                max_error_inside_clip_over_step: error.map(|error| error.inside_clip_over_step),
                saturated_values: run.saturated_by_round.get(&round.round).copied(),
            }
        })
        .collect()
}
