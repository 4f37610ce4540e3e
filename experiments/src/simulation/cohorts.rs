//! The patients, and which hospital has which.

use std::{collections::BTreeMap, path::Path, sync::OnceLock};

use anyhow::{Context, bail};
use model_data::{Cohort, LoadOptions, Patient, ScanSource, SplitKind, load_cohort};
use phantom::PhantomSettings;
use protocol::counted::counted;

use crate::cohort_fingerprint::cohort_fingerprint;

use super::{
    partition::Dealing,
    plan::{DataSource, Plan},
    progress::Progress,
    seeds::phantom_seed,
};

/// Every hospital's patients, the first hospital's first.
pub struct Cohorts {
    /// Patients by hospital.
    pub by_hospital: Vec<Vec<DealtPatient>>,
    /// How many each hospital has of each class: `[hospital][class]`.
    pub counts: Vec<Vec<usize>>,
    /// What was left out or is odd about the data, for people.
    pub warnings: Vec<String>,
    /// How much was left out of what was read, by kind: for the report, which names no patient and no file.
    pub left_out: Vec<String>,
    /// Rows of the clinical table that have no images.
    pub rows_without_images: usize,
    /// [`cohort_fingerprint`] of all patients.
    pub fingerprint: String,
}

/// A patient, and where its scans are if they are files.
pub struct DealtPatient {
    /// Who was dealt.
    pub patient: Patient,
    /// None of a phantom.
    pub scans: Vec<ScanSource>,
}

/// Makes or reads the patients and deals them.
///
/// # Errors
/// Data that cannot be read, too few patients for the hospitals or the split.
pub fn cohorts(plan: &Plan, progress: &Progress) -> anyhow::Result<Cohorts> {
    let mut left_out = vec![];
    let (patients, scans, mut warnings, rows_without_images) = match &plan.source {
        DataSource::Phantom {
            patients,
            slices,
            kind,
        } => {
            let settings = PhantomSettings {
                patients: *patients,
                slices_per_patient: *slices,
                kind: kind.kind(),
                seed: phantom_seed(plan.seed),
            };
            let stage = progress.stage("making phantom patients", *patients);
            let contrasts = &plan.loading.contrasts;
            let patients = phantom::cohort_in(contrasts, &settings, || stage.step());
            let scans = vec![Vec::new(); patients.len()];
            (patients, scans, Vec::new(), 0)
        }
        DataSource::Folder(folder) => {
            let cohort = read_folder(folder, &plan.loading, progress)?;
            let rows_without_images = cohort.report.rows_without_images.len();
            let warnings = account(&cohort);
            left_out = cohort.report.counts();
            (cohort.patients, cohort.scans, warnings, rows_without_images)
        }
    };
    for warning in &warnings {
        progress.line(format!("data: {warning}"));
    }
    let hospitals = usize::from(plan.hospitals);
    if patients.len() < hospitals {
        bail!(
            "{} for {hospitals} hospitals: choose --hospitals {} or fewer",
            counted(patients.len(), ["patient", "patients"]),
            patients.len().max(2)
        );
    }
    let fingerprint = cohort_fingerprint(&patients);
    let task = plan.run.task;
    let classes: Vec<usize> = patients
        .iter()
        .map(|patient| plan.labels().class_of(patient.edss))
        .collect();
    let scores = patients.iter().map(|patient| patient.edss);
    task.require_every_class(scores, plan.labels().scheme.cuts()).context(
        "no model can learn a class without patients: choose another --task or --labels, or more or other patients",
    )?;
    let scanners: Option<Vec<usize>> = match &plan.source {
        DataSource::Phantom { .. } => Some((0..patients.len()).map(phantom::scanner).collect()),
        DataSource::Folder(_) => None,
    };
    let dealt = plan.partition.deal(&Dealing {
        classes: &classes,
        scanners: scanners.as_deref(),
        hospitals,
        fewest: fewest_to_split(&patients, plan.split),
        seed: plan.seed,
    })?;
    if dealt.moved > 0 {
        let remark = format!(
            "--partition {}: {} of the largest hospitals went to others, which would have had too few to train on",
            plan.partition,
            counted(dealt.moved, ["patient", "patients"])
        );
        progress.line(&remark);
        left_out.push(remark.clone());
        warnings.push(remark);
    }
    let parts = dealt.parts;
    let counts = parts.iter().map(|part| {
        let of_class = |class| {
            part.iter()
                .filter(|&&index| classes[index] == class)
                .count()
        };
        (0..task.classes()).map(of_class).collect()
    });
    let counts = counts.collect();
    let dealt = patients.into_iter().zip(scans);
    let dealt = dealt.map(|(patient, scans)| DealtPatient { patient, scans });
    let mut patients: BTreeMap<usize, DealtPatient> = dealt.enumerate().collect();
    let take = |index: &usize| patients.remove(index).expect("every patient is dealt once");
    let by_hospital = parts.iter().map(Vec::as_slice).map({
        let mut take = take;
        move |part| part.iter().map(&mut take).collect()
    });
    Ok(Cohorts {
        by_hospital: by_hospital.collect(),
        counts,
        warnings,
        left_out,
        rows_without_images,
        fingerprint,
    })
}

/// Reads the patients of a folder, a step for every scan.
///
/// # Errors
/// Data that cannot be read.
pub fn read_folder(
    folder: &Path,
    options: &LoadOptions,
    progress: &Progress,
) -> anyhow::Result<Cohort> {
    progress.line(format!("reading {}", folder.display()));
    let stage = OnceLock::new();
    load_cohort(folder, options, |at| {
        let stage = stage.get_or_init(|| progress.stage("reading scans", at.scans));
        if at.done > 0 {
            stage.step();
        }
    })
    .with_context(|| format!("--data {}", folder.display()))
}

/// What was read and what was left out, a line each.
pub fn account(cohort: &Cohort) -> Vec<String> {
    let found = format!(
        "{} with images and a row; {} without images left out",
        counted(cohort.patients.len(), ["patient", "patients"]),
        counted(cohort.report.rows_without_images.len(), ["row", "rows"])
    );
    let report = cohort.report.to_string();
    std::iter::once(found)
        .chain(report.lines().map(str::to_owned))
        .collect()
}

/// Patients that give a hospital's split what it asks for.
fn fewest_to_split(patients: &[Patient], split: SplitKind) -> usize {
    match split {
        SplitKind::Patient => FEWEST_TO_SPLIT,
        SplitKind::Slice => {
            let slices = patients.iter().map(|patient| patient.slices.len()).min();
            FEWEST_TO_SPLIT.div_ceil(slices.unwrap_or(1).max(1))
        }
    }
}

/// Patients or slices, as the model's split asks.
const FEWEST_TO_SPLIT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_nobody_has_is_named_with_the_way_out() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: crate::simulation::options::SimulateOptions,
        }
        let line = [
            "simulate",
            "--patients",
            "3",
            "--slices",
            "1",
            "--task",
            "multiclass",
        ];
        let line = <Line as clap::Parser>::parse_from(line);
        let plan = Plan::new(&line.options).expect("playable");
        let Err(error) = cohorts(&plan, &Progress::new()) else {
            panic!("three patients of this seed have three classes");
        };
        let error = format!("{error:#}");
        assert!(
            error.contains("no patient is of class") && error.contains("--task"),
            "{error}"
        );
    }
}
