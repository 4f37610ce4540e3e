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
    counted::counted,
    training_job::{
        DataSet, DeviceChoice, FilePath, PatientScans, SliceCacheFolder, SplitKind, SplitPlan,
    },
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

    /// These patients.
    pub fn of(patients: Vec<Entry>) -> Self {
        Self { patients }
    }

    /// In the order in which they were found.
    pub fn patients(&self) -> &[Entry] {
        &self.patients
    }

    /// Starts the trainer on all scans; `unread` are files that it must not read: the model, which holds W, and clinical tables.
    ///
    /// # Errors
    /// It cannot be started, or cannot read them.
    pub fn open(
        &self,
        options: &LoadOptions,
        device: DeviceChoice,
        settings: Option<&(Settings, PathBuf)>,
        unread: &[&Path],
    ) -> Result<TrainerProgram, Failure> {
        let scans = self.patients.iter().flat_map(|entry| &entry.scans);
        let patients = scans.map(|scan| PatientScans {
            edss: None,
            scans: List(vec![(&scan.files).into()]),
        });
        let mut closed = match settings {
            // The data of this hospital need not be there for a prediction.
            Some((settings, file)) if settings.data.is_dir() => {
                kept_out(settings, file).map_err(Failure::Settings)?
            }
            _ => List::default(),
        };
        let state = settings.map(|(settings, _)| settings.state.as_path());
        let others = unread.iter().copied().chain(state);
        for path in others {
            let whole = path::absolute(path).map_err(Failure::settings)?;
            closed.0.push(FilePath(whole));
        }
        let data_set = DataSet {
            patients: patients.collect(),
            slices: options.slices,
            memory_limit_mib: options.memory_limit_mib,
            cache: { options.cache.as_ref() }.map(|cache| SliceCacheFolder {
                folder: FilePath(cache.folder.clone()),
                forget_others: cache.forget_others,
            }),
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
        let scans = self.patients.iter().map(|entry| entry.scans.len());
        let listed = scans.sum::<usize>();
        let slices: u64 = account.slices.iter().map(|&slices| u64::from(slices)).sum();
        if account.slices.len() != listed || slices > MAX_SLICES {
            return Err(Failure::run(anyhow!(
                "the trainer tells of {} with {}, where {listed} were listed",
                counted(account.slices.len(), ["scan", "scans"]),
                counted(slices, ["slice", "slices"])
            )));
        }
        let unreadable = account.unreadable.iter();
        warn_of(unreadable.map(|scan| {
            let path = scan.path.0.display();
            format!("left out: {path}: {}", scan.reason.0)
        }));
        warn_of(account.warnings.iter().map(|warning| warning.0.clone()));
        Ok(trainer)
    }
}

/// Where the slices of each scan lie. A scan that cannot be placed has no heat volume, and the trainer says what is wrong with it.
pub fn origins(entry: &Entry) -> Vec<ScanOrigin> {
    let origins = entry.scans.iter().map(|scan| {
        ScanOrigin::of(scan).unwrap_or_else(|_| ScanOrigin {
            contrast: scan.contrast,
            files: scan.files.clone(),
            grid: None,
        })
    });
    origins.collect()
}

pub fn tell(report: &LoadReport) {
    let rows = { report.rows_without_images.iter() }
        .map(|id| format!("left out: the table has a row for {id:?}, and there is no scan"));
    let folders = { report.images_without_row.iter() }.map(|folder| {
        format!(
            "left out: {}: the table has no row for it",
            folder.display()
        )
    });
    let files = report
        .bad_files
        .iter()
        .map(|file| format!("left out: {file}"));
    let bad_rows = report.bad_rows.iter().map(|row| format!("left out: {row}"));
    let doubts = report
        .doubts
        .iter()
        .map(|doubt| format!("in doubt: {doubt}"));
    warn_of(files);
    warn_of(bad_rows);
    warn_of(rows);
    warn_of(folders);
    warn_of(doubts);
    warn_of(report.warnings.iter().cloned());
}

/// The first of many lines of a kind.
fn warn_of(lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    for line in lines.iter().take(SHOWN) {
        tracing::warn!("{line}");
    }
    if lines.len() > SHOWN {
        tracing::warn!("and {} more of this kind", lines.len() - SHOWN);
    }
}

const SHOWN: usize = 5;
/// More than a machine could hold.
const MAX_SLICES: u64 = 1 << 22;
