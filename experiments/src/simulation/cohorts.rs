//! The patients, and which hospital has which.

use std::{collections::BTreeMap, path::Path, sync::OnceLock};

use anyhow::{Context, bail};
use model::data::{Cohort, Cuts, LoadOptions, Patient, SplitKind, load_cohort};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;

use super::{
    plan::{DataSource, Plan},
    progress::Progress,
    seeds::{partition_seed, phantom_seed},
};
use crate::phantom::{self, PhantomSettings};

/// Every hospital's patients, the first hospital's first.
pub struct Cohorts {
    /// Patients by hospital.
    pub by_hospital: Vec<Vec<Patient>>,
    /// What was left out or is odd about the data, for people.
    pub warnings: Vec<String>,
    /// Rows of the clinical table that have no images.
    pub rows_without_images: usize,
}

/// Makes or reads the patients and deals them.
///
/// # Errors
/// Data that cannot be read, too few patients for the hospitals or the split.
pub fn cohorts(plan: &Plan, progress: &Progress) -> anyhow::Result<Cohorts> {
    let (patients, warnings, rows_without_images) = match &plan.source {
        DataSource::Phantom { patients, slices } => {
            let settings = PhantomSettings {
                patients: *patients,
                slices_per_patient: *slices,
                seed: phantom_seed(plan.seed),
                ..PhantomSettings::default()
            };
            let stage = progress.stage("making phantom patients", *patients);
            let contrasts = &plan.loading.contrasts;
            let patients = phantom::cohort_in(contrasts, &settings, || stage.step());
            (patients, Vec::new(), 0)
        }
        DataSource::Folder(folder) => {
            let cohort = read_folder(folder, &plan.loading, progress)?;
            let rows_without_images = cohort.report.rows_without_images.len();
            let warnings = account(&cohort);
            (cohort.patients, warnings, rows_without_images)
        }
    };
    for warning in &warnings {
        progress.line(format!("data: {warning}"));
    }
    let hospitals = usize::from(plan.hospitals);
    if patients.len() < hospitals {
        bail!(
            "{} patients for {hospitals} hospitals: choose --hospitals {} or fewer",
            patients.len(),
            patients.len().max(2)
        );
    }
    let task = participant::hospital_data::model_task(plan.run.task);
    let classes: Vec<usize> = patients
        .iter()
        .map(|patient| task.class_of(patient.edss, Cuts::default()))
        .collect();
    let scores = patients.iter().map(|patient| patient.edss);
    task.require_every_class(scores, Cuts::default()).context(
        "nothing can learn a class that nobody has: choose the other --task, or more or other patients",
    )?;
    let parts = deal_equally(&classes, hospitals, plan.seed);
    let fewest = parts.iter().map(Vec::len).min().unwrap_or(0);
    if plan.split == SplitKind::Patient && fewest < FEWEST_TO_SPLIT {
        bail!(
            "a hospital with {fewest} patients cannot split by patient, which takes {FEWEST_TO_SPLIT}: use --split slice (slices of \
             one patient can then fall on both sides of the cut), or fewer hospitals"
        );
    }
    let mut patients: BTreeMap<usize, Patient> = patients.into_iter().enumerate().collect();
    let take = |index: &usize| patients.remove(index).expect("every patient is dealt once");
    let by_hospital = parts.iter().map(Vec::as_slice).map({
        let mut take = take;
        move |part| part.iter().map(&mut take).collect()
    });
    Ok(Cohorts {
        by_hospital: by_hospital.collect(),
        warnings,
        rows_without_images,
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
        "{} patients with images and a row; {} rows without images left out",
        cohort.patients.len(),
        cohort.report.rows_without_images.len()
    );
    let report = cohort.report.to_string();
    std::iter::once(found)
        .chain(report.lines().map(str::to_owned))
        .collect()
}

/// The partition `equal`: patients, given by their classes, are shuffled within their class and dealt one by one, class after
/// class, so that hospitals have the same number of patients, and of each class, to within one. Each part is sorted.
pub fn deal_equally(classes: &[usize], hospitals: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut of_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (patient, &class) in classes.iter().enumerate() {
        of_class.entry(class).or_default().push(patient);
    }
    let mut rng = ChaCha20Rng::seed_from_u64(partition_seed(seed));
    let mut parts = vec![Vec::new(); hospitals];
    let mut next = (0..hospitals).cycle();
    for mut patients in of_class.into_values() {
        patients.shuffle(&mut rng);
        for patient in patients {
            parts[next.next().expect("endless")].push(patient);
        }
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    parts
}

/// As the model's split asks.
const FEWEST_TO_SPLIT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hospitals_get_equal_parts_of_every_class() {
        let classes: Vec<usize> = (0..121)
            .map(|patient| usize::from(patient % 7 < 3))
            .collect();
        let parts = deal_equally(&classes, 5, 1);
        let mut all: Vec<usize> = parts.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..121));
        let spread = |counts: Vec<usize>| {
            counts.iter().max().expect("five") - counts.iter().min().expect("five")
        };
        assert!(spread(parts.iter().map(Vec::len).collect()) <= 1);
        for class in 0..2 {
            assert!(
                spread(
                    parts
                        .iter()
                        .map(|part| part
                            .iter()
                            .filter(|&&patient| classes[patient] == class)
                            .count())
                        .collect()
                ) <= 1
            );
        }
        assert!(parts.iter().all(|part| part.is_sorted()));
    }

    #[test]
    fn another_seed_deals_otherwise() {
        let classes = vec![0; 30];
        assert_eq!(deal_equally(&classes, 3, 1), deal_equally(&classes, 3, 1));
        assert_ne!(deal_equally(&classes, 3, 1), deal_equally(&classes, 3, 2));
    }

    #[test]
    fn a_class_that_nobody_has_is_named_with_the_way_out() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: crate::commands::SimulateOptions,
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
