//! Scores of one model or two on the same patients, in words and as JSON.

use std::fmt::Write as _;

use model_data::{card::CardOutput, small_numbers};
use model_metrics::{
    Interval, Intervals, Level, Metrics, OperatingPoint, Prediction, Share, bootstrap, calibration,
    per_patient,
};
use participant::predict::{KeptModel, Provenance};
use protocol::counted::counted;
use results::NOTICE;
use serde_json::{Value, json};

use super::unusual::Unusual;
use crate::commands::applied_model::{SCANNERS_NOT_KNOWN, vouched};

/// Scores by patient.
pub struct Scored {
    patients: Vec<Prediction>,
    metrics: Metrics,
    intervals: Intervals,
    brier: f64,
    classes: Vec<String>,
}

impl Scored {
    /// Of the predictions of slices.
    ///
    /// # Errors
    /// There is none.
    pub fn of(slices: Vec<Prediction>, output: &CardOutput) -> anyhow::Result<Self> {
        let count = output.classes.len();
        let patients = per_patient(&slices);
        let calibration = calibration(&patients, BINS);
        let calibration = calibration
            .ok_or_else(|| anyhow::anyhow!("no patient is left to score the model on"))?;
        Ok(Self {
            metrics: Metrics::of(&patients, count),
            intervals: bootstrap(&slices, count, Level::Patient, DRAWS, SEED),
            brier: calibration.brier,
            classes: output.classes.clone(),
            patients,
        })
    }

    fn warning(&self) -> Option<String> {
        let names: Vec<&str> = self.classes.iter().map(String::as_str).collect();
        small_numbers::warning(self.metrics.confusion.counts(), &names)
    }

    /// Of two classes, class 1 being what is looked for.
    fn operating_point(&self) -> Option<OperatingPoint> {
        let scored = self.patients.iter();
        let scored = scored.map(|one| (one.probabilities[1], one.label == 1));
        (self.classes.len() == 2).then(|| OperatingPoint::at(0.5, scored))
    }

    /// Of too few patients the counts alone: a score would be taken for more than it is.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let confusion = &self.metrics.confusion;
        if self.warning().is_some() {
            let counts = confusion.counts();
            let right: u64 = (0..counts.len()).map(|class| counts[class][class]).sum();
            return vec![("right", format!("{right} of {}", confusion.total()))];
        }
        let with = |value: f64, interval: Option<Interval>| match interval {
            Some([low, high]) => format!("{value:.3} ({low:.2} to {high:.2})"),
            None => format!("{value:.3}"),
        };
        let share = |share: Share| match (share.value(), share.interval()) {
            (Some(value), Some([low, high])) => {
                format!(
                    "{value:.3} ({low:.2} to {high:.2}), {} of {}",
                    share.part, share.whole
                )
            }
            _ => "nobody".to_owned(),
        };
        let mut rows = vec![
            (
                "accuracy",
                with(confusion.accuracy(), self.intervals.accuracy),
            ),
            (
                "macro F1",
                with(confusion.macro_average().f1, self.intervals.f1_macro),
            ),
            (
                "AUROC",
                self.metrics.auroc.map_or_else(
                    || "not defined".to_owned(),
                    |area| with(area, self.intervals.auroc),
                ),
            ),
        ];
        if let Some(point) = self.operating_point() {
            rows.extend([
                ("sensitivity", share(point.sensitivity)),
                ("specificity", share(point.specificity)),
                ("PPV", share(point.positive_predictive_value)),
                ("NPV", share(point.negative_predictive_value)),
            ]);
        }
        rows.push(("Brier score", format!("{:.3}", self.brier)));
        rows
    }

    fn json(&self) -> Value {
        let confusion = &self.metrics.confusion;
        let share = |share: Share| json!({"value": share.value(), "part": share.part, "whole": share.whole, "ci95": share.interval()});
        json!({
            "patients": self.patients.len(),
            "confusion": confusion.counts(),
            "accuracy": confusion.accuracy(),
            "accuracy_ci95": self.intervals.accuracy,
            "f1_macro": confusion.macro_average().f1,
            "f1_macro_ci95": self.intervals.f1_macro,
            "auroc": self.metrics.auroc,
            "auroc_ci95": self.intervals.auroc,
            "brier": self.brier,
            "operating_point": self.operating_point().map(|point| json!({
                "threshold": 0.5,
                "sensitivity": share(point.sensitivity),
                "specificity": share(point.specificity),
                "ppv": share(point.positive_predictive_value),
                "npv": share(point.negative_predictive_value),
            })),
            "warning": self.warning(),
        })
    }
}

/// The common model, and one of this hospital's data alone.
pub struct Compared<'a> {
    /// The model that was asked for.
    pub model: &'a KeptModel,
    /// Its scores.
    pub common: Scored,
    /// Of a model trained here alone, on the same patients.
    pub alone: Option<Scored>,
    /// Whether the patients are those that no run has trained on here.
    pub is_unseen: bool,
    /// What is to be known of some of them before the scores are believed.
    pub unusual: Unusual,
    /// Whether a strange scanner would be among that.
    pub knows_scanners: bool,
}

impl Compared<'_> {
    /// For people.
    pub fn text(&self) -> String {
        let card = &self.model.card;
        let mut text = format!("{NOTICE}.\n");
        let hash = hex::encode(card.model_hash);
        let _ = writeln!(
            text,
            "model {} of round {}, {}",
            hash.get(..16).unwrap_or(&hash),
            card.learning_round,
            vouched(self.model.provenance)
        );
        let count = self.common.patients.len();
        let _ = writeln!(
            text,
            "{}, {}\n",
            counted(count, ["patient", "patients"]),
            if self.is_unseen {
                "the test patients of this hospital by its present split: if patients or the seed have changed since the run, some were trained on"
            } else {
                "those of the folder: were any of them trained on, this is too good"
            }
        );
        if let Some(warning) = self.common.warning() {
            let _ = writeln!(text, "{warning}.\n");
        }
        let alone = self.alone.as_ref().map(Scored::rows);
        if alone.is_some() {
            let _ = writeln!(
                text,
                "{:<12} {:<34} own data alone",
                "by patient", "common model"
            );
        } else {
            let _ = writeln!(text, "by patient");
        }
        for (place, (name, value)) in self.common.rows().into_iter().enumerate() {
            match alone.as_ref().and_then(|rows| rows.get(place)) {
                Some((_, other)) => {
                    let _ = writeln!(text, "{name:<12} {value:<34} {other}");
                }
                None => {
                    let _ = writeln!(text, "{name:<12} {value}");
                }
            }
        }
        for (place, line) in self.unusual.lines().iter().enumerate() {
            let name = if place == 0 {
                "\nunlike the training:\n"
            } else {
                ""
            };
            let _ = writeln!(text, "{name}  {line}");
        }
        if !self.knows_scanners {
            let _ = writeln!(text, "\n{SCANNERS_NOT_KNOWN}");
        }
        text += "\nIn brackets 95% intervals: bootstrap over patients, of shares Wilson's.";
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        json!({
            "schema": 1,
            "notice": NOTICE,
            "model_hash": hex::encode(self.model.card.model_hash),
            "classes": self.common.classes,
            "unseen": self.is_unseen,
            "verified": self.model.provenance != Provenance::Unknown,
            "common": self.common.json(),
            "unusual": self.unusual.json(),
            "scanners_known": self.knows_scanners,
            "own": self.alone.as_ref().map(Scored::json),
        })
        .to_string()
    }
}

const BINS: usize = 10;
const DRAWS: usize = 1000;
const SEED: u64 = 1;
