//! Reads the hospital's data set and says what was found and what was left out: counts and file names, no clinical value.

use anyhow::Context as _;
use model_data::{
    Cohort, FEATURES, FeatureColumns, LabelScheme, Layout, LoadReport, Task, load_cohort,
};
use participant::{
    hospital_data::{ClinicalTable, ImageSet, Labels, SplitPlan, separate},
    settings::Settings,
};
use protocol::manifest;

use super::progress::ReadingProgress;

/// The vault's and the trainer's halves.
pub fn read(settings: &Settings) -> anyhow::Result<(ClinicalTable, ImageSet)> {
    let training = &settings.training;
    let progress = ReadingProgress::default();
    let cohort = load_cohort(&settings.data, &settings.load_options(), |at| {
        progress.show(at);
    })
    .context("the data set (setting `data`) cannot be used")?;
    drop(progress);
    log(&cohort.report);
    let slices: usize = cohort
        .patients
        .iter()
        .map(|patient| patient.slices.len())
        .sum();
    tracing::info!(
        patients = cohort.patients.len(),
        slices,
        "the data set has been read"
    );
    warn_of_what_cannot_be_learnt(&cohort);
    let plan = SplitPlan {
        kind: training.split,
        seed: training.seed,
    };
    let (mut table, images) = separate(cohort.patients, plan);
    if let FeatureColumns::Named(_) = settings.reading.feature_columns {
        table = table.in_percent_of(&settings.reading.feature_columns.ranges());
    }
    // Whether the patients can be split does not depend on the labels, which only the coordinator will tell.
    images.split(Labels {
        task: manifest::Task::Binary,
        scheme: manifest::LabelScheme::AsWritten,
    })?;
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
        tracing::warn!(
            "left out: {}: the table has no row for it",
            folder.display()
        );
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(
        layout = report.layout.map(Layout::name),
        rows = report.rows,
        rows_without_images = report.rows_without_images.len(),
        bad_rows = report.bad_rows.len(),
        bad_files = report.bad_files.len(),
        scans_from_cache = report.cached,
        damaged_cache_entries = report.damaged_cache_entries,
        "the clinical table has been read"
    );
}

/// Another hospital may have what is missing here, so that none of this is an error.
fn warn_of_what_cannot_be_learnt(Cohort { patients, report }: &Cohort) {
    for task in [Task::Binary, Task::Multiclass] {
        let scores = patients.iter().map(|patient| patient.edss);
        for scheme in LabelScheme::ALL {
            if let Err(empty) = task.require_every_class(scores.clone(), scheme.cuts()) {
                tracing::warn!(
                    "labels {scheme}: {empty}: the model can learn this class only from other hospitals"
                );
            }
        }
    }
    for place in 0..FEATURES {
        if patients
            .iter()
            .all(|patient| patient.features[place].is_none())
        {
            let name = report.feature_name(place);
            tracing::warn!(
                "no patient has a value of the feature {name}: the mean over the federation is used"
            );
        }
    }
}
