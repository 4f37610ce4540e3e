//! The files that people read, made from the files of the trainings and the patients alone: tables, report, pictures, logs.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use host::{output::say, shown::Format};
use model_data::Patient;
use protocol::labels::Task;

use super::{
    baselines::Baselines, cell::Cell, configuration::Configuration, findings, folder::Folder,
    illustrations, options::ReproduceOptions, report, results::Results, side_by_side,
    tables::Tables,
};
use crate::logged::{LogTargets, Logged, LoggedStep};

/// A run whose trainings are all done.
pub struct Trained<'a> {
    /// Its folder's name, as it was given.
    pub out: &'a Path,
    /// Its folder.
    pub folder: &'a Folder,
    /// What it is.
    pub configuration: &'a Configuration,
    /// Slices of each class over the cohort, by task.
    pub cohort: &'a [(Task, Vec<u64>)],
    /// Made or read.
    pub patients: &'a [Patient],
}

/// Writes them, and says so on stdout.
///
/// # Errors
/// A training that cannot be read back, a file that cannot be written.
pub fn write(of: &Trained<'_>, options: &ReproduceOptions) -> anyhow::Result<()> {
    let &Trained {
        out,
        folder,
        configuration,
        cohort,
        patients,
    } = of;
    let finished: Vec<Cell> = configuration
        .cells()
        .iter()
        .map(|key| {
            let mut reason = String::from("it is gone");
            let cell = folder.cell(key, |damage| reason = damage);
            cell.with_context(|| format!("cannot read back {key}: {reason}"))
        })
        .collect::<anyhow::Result<_>>()?;
    if let Some(targets) = &options.log {
        write_logs(&out.join("logs"), targets, configuration, &finished)?;
    }
    let baselines = Baselines::new(patients, configuration)?;
    let results = Results::new(configuration, &finished, &baselines, patients.len());
    let notice = findings::notice(configuration);
    let tables = Tables::new(configuration, &results, &notice);
    folder.write_json("tables.json", &tables)?;
    let mut document = side_by_side::document(configuration, &results, cohort);
    let pictures = illustrations::illustrations(patients, configuration, &finished, folder)?;
    document.blocks.extend(pictures);
    folder.write("tables.md", document.markdown().as_bytes())?;
    for picture in document.pictures() {
        folder.write_picture(&picture.name, &picture.png()?)?;
    }
    folder.write(
        "report.html",
        report::html(&document, configuration)?.as_bytes(),
    )?;
    folder.tidy();
    match options.format {
        Format::Json => say(serde_json::to_string(&tables)?),
        Format::Text => {
            let seconds: f64 = finished.iter().map(|cell| cell.seconds).sum();
            say(format_args!(
                "{notice}\n{} trainings, {:.0} s each on the average; {} has report.html, tables.md, tables.json and pictures",
                finished.len(),
                seconds / finished.len() as f64,
                out.display()
            ));
        }
    }
    Ok(())
}

/// For TensorBoard and MLflow: a run for each training, a step for each epoch. What an earlier run of this folder left is replaced.
fn write_logs(
    folder: &Path,
    targets: &LogTargets,
    configuration: &Configuration,
    cells: &[Cell],
) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    for cell in cells {
        let each = cell.seconds / cell.epochs.len().max(1) as f64;
        let steps = (1..).zip(&cell.epochs).map(|(number, epoch)| {
            let values = [
                ("training/loss", epoch.train_loss),
                ("validation/loss", epoch.validation_loss),
                ("learning_rate", epoch.learning_rate),
            ];
            LoggedStep {
                seconds: f64::from(number) * each,
                number,
                values: values.to_vec(),
            }
        });
        let total = Duration::try_from_secs_f64(cell.seconds).unwrap_or_default();
        let logged = Logged {
            experiment: "reproduce",
            run: cell.key.stem(),
            settings: vec![
                ("training", cell.key.to_string()),
                ("profile", configuration.profile.to_string()),
                ("best_epoch", cell.best_epoch.to_string()),
            ],
            start: SystemTime::now()
                .checked_sub(total)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            steps: steps.collect(),
        };
        logged.write(folder, targets)?;
    }
    Ok(())
}
