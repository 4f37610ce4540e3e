//! Reads the hospital's data set and says what was found and what was left out: counts and file names, no clinical value.

use anyhow::Context as _;
use model::data::{Cuts, LoadOptions, LoadReport, load_cohort};
use participant::{
    hospital_data::{ClinicalTable, ImageSet, SplitPlan, separate},
    settings::Settings,
};
use protocol::manifest::Task;

/// The vault's and the trainer's halves.
pub fn read(settings: &Settings) -> anyhow::Result<(ClinicalTable, ImageSet)> {
    let training = &settings.training;
    let options = LoadOptions {
        slices: training.slices,
        strict: settings.strict_data,
        ..LoadOptions::default()
    };
    let cohort = load_cohort(&settings.data, &options, |_| ())
        .context("the data set (setting `data`) cannot be used")?;
    log(&cohort.report);
    let slices: usize = cohort
        .patients
        .iter()
        .map(|patient| patient.slices.len())
        .sum();
    tracing::info!(
        patients = cohort.patients.len(),
        slices,
        "the data set is read"
    );
    let plan = SplitPlan {
        kind: training.split,
        seed: training.seed,
        // The classes are the federation's: no hospital cuts them for itself.
        cuts: Cuts::AS_WRITTEN,
    };
    let (table, images) = separate(cohort.patients, plan);
    // Whether the patients can be split does not depend on the task, which only the coordinator will tell.
    images.split(Task::Binary)?;
    Ok((table, images))
}

fn log(report: &LoadReport) {
    for file in &report.bad_files {
        tracing::warn!("left out: {file}");
    }
    for row in &report.bad_rows {
        tracing::warn!("left out: {row}");
    }
    for folder in &report.images_without_row {
        tracing::warn!("left out: {}: no row in the table", folder.display());
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(
        rows = report.rows,
        rows_without_images = report.rows_without_images.len(),
        bad_rows = report.bad_rows.len(),
        bad_files = report.bad_files.len(),
        "the clinical table is read"
    );
}
