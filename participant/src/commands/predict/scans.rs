//! Which scans there are, and the trainer that has read them: a place in its list for each scan.

use std::{
    collections::BTreeSet,
    path::{self, Path, PathBuf},
};

use anyhow::anyhow;
use host::failure::Failure;
use model_data::{Entry, LoadOptions, LoadReport, ToPredict};
use participant::{
    settings::Settings,
    trainer_program::{TrainerCommand, TrainerProgram},
};
use protocol::{
    codec::List,
    training_job::{DataSet, DeviceChoice, FilePath, PatientScans, SplitKind, SplitPlan},
};
use results::ScanOrigin;

use crate::commands::{
    data_set::{kept_out, trainer_command, unusable},
    progress::Counted,
};

/// The patients that were found.
pub struct Scans {
    patients: Vec<Entry>,
}

impl Scans {
    /// Looks into every path.
    ///
    /// # Errors
    /// A path that holds no scan; two patients of one name.
    pub fn find(
        paths: &[PathBuf],
        clinical: Option<&Path>,
        patient: Option<&str>,
        options: &LoadOptions,
    ) -> Result<Self, Failure> {
        if patient.is_some() && paths.len() > 1 {
            return Err(Failure::settings(anyhow!(
                "--patient names one patient, and {} paths are given: predict them one by one",
                paths.len()
            )));
        }
        let mut patients = vec![];
        let mut names = BTreeSet::new();
        for path in paths {
            let asked = ToPredict {
                path,
                clinical,
                patient,
            };
            let found = asked.inventory(options).map_err(Failure::settings)?;
            tell(&found.report);
            if found.entries.is_empty() {
                return Err(Failure::settings(anyhow!(
                    "{} holds no scan of the contrasts {}: see --contrasts",
                    path.display(),
                    options
                        .contrasts
                        .iter()
                        .map(|contrast| contrast.name())
                        .collect::<Vec<_>>()
                        .join(", ")
                )));
            }
            for entry in found.entries {
                if !names.insert(entry.id.clone()) {
                    return Err(Failure::settings(anyhow!(
                        "two patients are called {:?}: predict them one by one, with --patient",
                        entry.id
                    )));
                }
                patients.push(entry);
            }
        }
        Ok(Self { patients })
    }

    /// In the order in which they were found.
    pub fn patients(&self) -> &[Entry] {
        &self.patients
    }

    /// Starts the trainer on all scans.
    ///
    /// # Errors
    /// It cannot be started, or cannot read them.
    pub fn open(
        &self,
        options: &LoadOptions,
        device: DeviceChoice,
        settings: Option<&(Settings, PathBuf)>,
        clinical: Option<&Path>,
    ) -> Result<TrainerProgram, Failure> {
        let scans = self.patients.iter().flat_map(|entry| &entry.scans);
        let patients = scans.map(|scan| PatientScans {
            edss: None,
            scans: List(vec![(&scan.files).into()]),
        });
        let mut closed = match settings {
            Some((settings, file)) => kept_out(settings, file).map_err(Failure::Settings)?,
            None => List::default(),
        };
        if let Some(table) = clinical {
            let whole = path::absolute(table).map_err(Failure::settings)?;
            closed.0.push(FilePath(whole));
        }
        let data_set = DataSet {
            patients: patients.collect(),
            slices: options.slices,
            memory_limit_mib: options.memory_limit_mib,
            cache: None,
            split: SplitPlan {
                kind: SplitKind::Patient,
                seed: 0,
            },
            device,
            confine: settings.is_none_or(|(settings, _)| settings.trainer.confine),
            kept_out: closed,
        };
        let command = match settings {
            Some((settings, _)) => trainer_command(settings),
            None => TrainerCommand::beside_this_program(vec![]),
        };
        let restarts = settings.map_or(0, |(settings, _)| settings.trainer.restarts);
        let progress = Counted::new("reading", "scans");
        let opened = TrainerProgram::open(
            command.map_err(Failure::settings)?,
            restarts,
            data_set,
            |at| {
                progress.show(at.done, at.scans);
            },
        );
        drop(progress);
        let trainer = opened.map_err(|error| unusable(error.into()))?;
        let account = trainer.account();
        for scan in account.unreadable.iter() {
            tracing::warn!("left out: {}: {}", scan.path.0.display(), scan.reason.0);
        }
        for warning in account.warnings.iter() {
            tracing::warn!("{}", warning.0);
        }
        Ok(trainer)
    }
}

/// Where the slices of each scan lie. A scan that cannot be placed has no heat volume, and the trainer says what is wrong with it.
pub fn origins(entry: &Entry) -> anyhow::Result<Vec<ScanOrigin>> {
    let origins = entry.scans.iter().map(|scan| {
        ScanOrigin::of(scan).unwrap_or_else(|_| ScanOrigin {
            contrast: scan.contrast,
            files: scan.files.clone(),
            grid: None,
        })
    });
    Ok(origins.collect())
}

fn tell(report: &LoadReport) {
    for file in &report.bad_files {
        tracing::warn!("left out: {file}");
    }
    for row in &report.bad_rows {
        tracing::warn!("left out: {row}");
    }
    for id in &report.rows_without_images {
        tracing::warn!("left out: the table has a row for {id:?}, and there is no scan");
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
}
