//! `participant erase`.

use std::{fs, io, path::Path};

use anyhow::{Context as _, anyhow};
use clap::Args;
use host::{failure::Failure, output::say};
use participant::{
    approvals::{shown::short_id, store::Verdict},
    erasure::{Erased, is_same_patient},
    journal::Journal as _,
    settings::Settings,
    state_folder::StateFolder,
    vault::run_of_session,
};

use super::{consent::Which, data_set, report};

/// Leaves a patient out of all later runs, and deletes the prepared slices and the reports of runs, which hold images.
///
/// The participant must not be running. Scans and table are never changed: delete the patient's there yourself. What is deleted, and what
/// cannot be undone, is printed.
#[derive(Args)]
pub struct Erase {
    /// The patient's ID, as `participant data check` shows it.
    #[arg(value_name = "PATIENT")]
    patient: String,

    /// Also a patient who is not found now: whose row is deleted or faulty, or whose scans are missing.
    #[arg(long)]
    absent: bool,

    /// If a run is under way here, leave it and reject it: this hospital does not join it again.
    #[arg(long)]
    leave_run: bool,

    #[command(flatten)]
    which: Which,
}

impl Erase {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = self.which.settings()?;
        let state = StateFolder::open(&settings.state).map_err(Failure::settings)?;
        let mut erased = Erased::read(state.path()).map_err(Failure::settings)?;
        if erased.has(&self.patient) {
            say("this patient was erased before");
            return remove_images(state.path());
        }
        if !self.absent {
            self.find(&settings)?;
        }
        self.leave_run(&state)?;
        erased
            .add(state.path(), &self.patient)
            .map_err(Failure::settings)?;
        remove_images(state.path())?;
        say(format_args!(
            "the patient is left out from now on; {} are ({})",
            erased.len(),
            state.path().join(Erased::FILE).display()
        ));
        say(NOT_UNDONE);
        Ok(())
    }

    /// A slip of the pen would erase nobody.
    fn find(&self, settings: &Settings) -> Result<(), Failure> {
        let inventory = data_set::inventory(settings).map_err(Failure::Settings)?;
        let mut entries = inventory.entries.iter();
        if entries.any(|entry| is_same_patient(&entry.id, &self.patient)) {
            return Ok(());
        }
        Err(Failure::Settings(anyhow!(
            "no patient of {} has this ID; `participant data check` shows the IDs. If the ID is right, and the row is deleted or faulty, or \
             the scans are missing: --absent",
            settings.data.display()
        )))
    }

    /// Another set of patients within a run would show the others what this one has added.
    fn leave_run(&self, state: &StateFolder) -> Result<(), Failure> {
        let mut journal = state.journal().map_err(Failure::settings)?;
        let Some(kept) = journal.kept_session().map_err(Failure::settings)? else {
            return Ok(());
        };
        if !self.leave_run {
            return Err(Failure::Settings(anyhow!(
                "a run is under way here, and its patients stay the same to its end: wait for the end, or leave the run with --leave-run"
            )));
        }
        let run = run_of_session(&kept).ok_or_else(|| {
            Failure::Settings(anyhow!(
                "the run under way here was kept by another release: use that one"
            ))
        })?;
        // First: a run that is left and not rejected would be joined again.
        self.which
            .open()?
            .decide(&run, Verdict::Rejected, "this hospital has left the run")?;
        journal.end_session(None).map_err(Failure::settings)?;
        say(format_args!(
            "left the run {} that was under way, and rejected it",
            short_id(&run)
        ));
        Ok(())
    }
}

/// Slices, and the reports that show some.
fn remove_images(state: &Path) -> Result<(), Failure> {
    remove_slices(state)?;
    let removed = report::remove_all(state)
        .context("cannot delete report.html in a folder of STATE/runs; delete it yourself")
        .map_err(Failure::Run)?;
    if removed > 0 {
        say(
            "deleted report.html of the runs, which may show this patient; `participant report RUN` makes it again",
        );
    }
    Ok(())
}

/// All of them: which are whose is not in their names, and the next start makes those of the others again.
fn remove_slices(state: &Path) -> Result<(), Failure> {
    let slices = state.join(SLICES);
    match fs::remove_dir_all(&slices) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)
            .with_context(|| format!("cannot delete {}; delete it yourself", slices.display()))
            .map_err(Failure::Run),
        _ => {
            say(format_args!("deleted {}", slices.display()));
            Ok(())
        }
    }
}

const SLICES: &str = "slices";
const NOT_UNDONE: &str = "\
What this does not do:
  * The scans and the row of the table are in the data folder still: delete them there, and in your backups.
  * Models that were trained before have learnt from this patient, here and at every other hospital. Only a new training from the
    start, not from a kept model, leaves the patient out of them.
  * Sums that were opened, and what others have recorded of them, stay as they are.
  * Copies of a report (participant report -o FILE), of predictions and of `data check` that were made before are where you put them.
  * Logs may name files of the patient.
  * A run soon after, over the same hospitals, differs from the last one by this patient alone, and its sums can show the others what
    the patient had added. No setting prevents that: wait until records have changed at several hospitals.";
