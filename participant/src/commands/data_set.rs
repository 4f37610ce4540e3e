//! Lists the hospital's data set, has the trainer read it, and says what was found and what was left out: counts and file names, no
//! clinical value.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{self, Path, PathBuf},
};

use anyhow::Context as _;
use host::failure::Failure;
use model_data::{
    DataError, Inventory, LabelScheme, Layout, LoadReport, ReadEntry, Task, scanner_of,
};
use participant::{
    erasure::Erased,
    hospital_data::ClinicalTable,
    learning_history::OwnData,
    settings::Settings,
    split_fingerprint::SplitFingerprint,
    trainer_program::{TrainerCommand, TrainerError, TrainerProgram},
};
use protocol::{
    codec::List,
    labels::Labels,
    training_job::{DataSet, FilePath, PatientScans, ReadingAccount, SliceCacheFolder, SplitPlan},
};

use super::{data_gaps::DataGaps, progress::Counted};

/// A trainer that crashes is no matter of settings.
pub fn unusable(error: anyhow::Error) -> Failure {
    match error.downcast_ref() {
        Some(TrainerError::Lost(_)) => Failure::Run(error),
        _ => Failure::Settings(error),
    }
}

/// How the trainer is started here.
///
/// # Errors
/// [`TrainerError::Missing`].
pub fn trainer_command(settings: &Settings) -> Result<TrainerCommand, TrainerError> {
    let command = TrainerCommand::beside_this_program(settings.trainer.command.clone())?;
    Ok(command.with_gpu_memory(settings.allowance.gpu_memory))
}

/// A data set that a run can be taken part in with.
pub struct ReadDataSet {
    /// The vault's half.
    pub table: ClinicalTable,
    /// The trainer, with its own.
    pub trainer: TrainerProgram,
    /// What a run is to be told of, once it is known.
    pub gaps: DataGaps,
    /// What a later look at the run needs to know of them.
    pub data: OwnData,
}

/// Reads both halves. `file` is where the settings are from.
pub fn read(settings: &Settings, file: &Path) -> anyhow::Result<ReadDataSet> {
    let plan = SplitPlan {
        kind: settings.training.split,
        seed: settings.training.seed,
    };
    let inventory = list(settings)?;
    let command = trainer_command(settings)?;
    let progress = Counted::new("reading", "scans");
    let data_set = data_set(settings, file, &inventory, plan)?;
    let opened = TrainerProgram::open(command, settings.trainer.restarts, data_set, |at| {
        progress.show(at.done, at.scans);
    });
    drop(progress);
    let trainer = opened.map_err(with_setting)?;
    let account = trainer.account().clone();
    let (patients, report) = inventory
        .complete(account, &settings.data, settings.strict_data)
        .context(UNUSABLE)?;
    log(&report);
    let slices: usize = patients.iter().map(|patient| patient.slices).sum();
    tracing::info!(patients = patients.len(), slices, "the data set is read");
    let gaps = DataGaps::of(&patients, &settings.reading.feature_columns);
    let mut split = Vec::with_capacity(patients.len());
    for ReadEntry { entry, slices } in &patients {
        split.push((entry.id.as_str(), entry.score()?.value(), *slices));
    }
    let scans = patients.iter().flat_map(|patient| &patient.entry.scans);
    let scanners: BTreeSet<String> = scans.filter_map(|scan| scanner_of(&scan.files)).collect();
    let data = OwnData {
        split: SplitFingerprint::of(plan, split),
        scanners: scanners.into_iter().collect(),
    };
    let of_table = patients
        .into_iter()
        .map(|ReadEntry { entry, slices }| Ok((entry.score()?, entry.features, slices)));
    let of_table: Vec<_> = of_table.collect::<Result<_, DataError>>()?;
    let table = ClinicalTable::new(settings.reading.feature_columns.clone(), of_table, plan);
    // Whether the patients can be split does not depend on the labels, which only the coordinator will tell.
    table.records(Labels {
        task: Task::Binary,
        scheme: LabelScheme::AsWritten,
    })?;
    Ok(ReadDataSet {
        table,
        trainer,
        gaps,
        data,
    })
}

/// Reads the clinical table and finds the scans of all patients, also of those that were erased.
pub fn inventory(settings: &Settings) -> anyhow::Result<Inventory> {
    let options = settings.load_options();
    let listed = Layout::recognise(&settings.data)
        .and_then(|layout| layout.inventory(&settings.data, &options));
    listed.context(UNUSABLE)
}

/// Without those that were erased; no trainer is started for a folder without any.
fn list(settings: &Settings) -> anyhow::Result<Inventory> {
    let mut inventory = inventory(settings)?;
    let erased = Erased::read(&settings.state)?;
    let all = inventory.entries.len();
    inventory.entries.retain(|entry| !erased.has(&entry.id));
    match all - inventory.entries.len() {
        0 => {}
        left_out => tracing::info!(left_out, "patients that were erased here are left out"),
    }
    if inventory.entries.is_empty() {
        let nothing = ReadingAccount::default();
        inventory
            .clone()
            .complete(nothing, &settings.data, settings.strict_data)
            .context(UNUSABLE)?;
    }
    Ok(inventory)
}

/// What the trainer is told: files and scores, no name and no clinical feature.
fn data_set(
    settings: &Settings,
    file: &Path,
    inventory: &Inventory,
    split: SplitPlan,
) -> anyhow::Result<DataSet> {
    let options = settings.load_options();
    let patients = inventory.entries.iter().map(|entry| PatientScans {
        edss: entry.edss,
        scans: entry
            .scans
            .iter()
            .map(|scan| (&scan.files).into())
            .collect(),
    });
    Ok(DataSet {
        patients: patients.collect(),
        slices: options.slices,
        memory_limit_mib: options.memory_limit_mib,
        cache: options.cache.map(|cache| SliceCacheFolder {
            folder: FilePath(cache.folder),
            forget_others: cache.forget_others,
        }),
        split,
        device: settings.training.device,
        confine: settings.trainer.confine,
        kept_out: kept_out(settings, file)?,
    })
}

/// What the trainer's confinement must not open, wherever it lies. The scans of the data folder have rules of their own; the clinical
/// table beside them is not for the trainer.
pub fn kept_out(settings: &Settings, file: &Path) -> anyhow::Result<List<FilePath>> {
    let keys = &settings.keys;
    let tables = tables(&settings.data).with_context(|| {
        let folder = settings.data.display();
        format!("cannot read the folder {folder} (setting `data`)")
    })?;
    let of_the_vault: [&PathBuf; 5] = [
        &settings.data,
        &settings.state,
        &keys.signing_key,
        &keys.tls_key,
        &keys.tls_certificate,
    ];
    let paths = of_the_vault.into_iter().chain(&tables);
    let paths = paths.map(PathBuf::as_path).chain([file]);
    paths
        .map(|path| {
            let whole = path::absolute(path)
                .with_context(|| format!("where is the current folder, for {}?", path.display()))?;
            Ok(FilePath(whole))
        })
        .collect()
}

/// The tables of the data folder: each may be a link to a file that lies elsewhere.
fn tables(data: &Path) -> io::Result<Vec<PathBuf>> {
    let is_table = |path: &PathBuf| {
        let end = path.extension().and_then(|end| end.to_str());
        end.is_some_and(|end| {
            let known = ["xlsx", "csv", "tsv"];
            known.iter().any(|known| end.eq_ignore_ascii_case(known))
        })
    };
    let paths = fs::read_dir(data)?.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<_> = paths.collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(is_table).collect())
}

/// Names the setting to look at.
fn with_setting(error: TrainerError) -> anyhow::Error {
    use protocol::training_job::pipe::Unusable;
    let about_scans = matches!(error, TrainerError::Unusable(Unusable::Scans(_)));
    let error = anyhow::Error::from(error);
    if about_scans {
        error.context(UNUSABLE)
    } else {
        error
    }
}

const UNUSABLE: &str = "the data set (setting `data`) cannot be used";

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
    for doubt in &report.doubts {
        tracing::warn!("in doubt: {doubt}");
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
