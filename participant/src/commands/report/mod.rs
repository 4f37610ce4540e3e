//! `participant report`.

mod own;
mod page;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use host::{
    failure::Failure,
    output::{place_to_write, say},
    signals::BetweenWrites,
};
use model_data::card::{BEST_MODEL_FILE, CARD_FILE, ModelCard};
use participant::{
    erasure::Erased,
    journal::run_folder,
    learning_history::LearningHistory,
    predict::{Conditions, KeptModel, ModelPlace, Witnesses},
    settings::Settings,
    state_folder::StateFolder,
};
use protocol::digests::RunId;

use self::{
    own::{Looking, OwnPart},
    page::Page,
};
use super::{
    consent::Which,
    page_file::{PageFile, PageKind},
};

/// Writes the report of a run for this hospital: what all hospitals have learnt together, and how the common model does on this
/// hospital's own test patients.
///
/// `participant run` writes it at the end of a run by itself. This makes it again, for example after patients were erased.
///
/// FOR RESEARCH. Not a medical device, not for diagnosis. The page shows images of patients, and what is said of them: it is for this
/// hospital alone. It names no patient unless --with-ids is given. Nothing leaves this machine.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Report {
    /// The first digits of the run (`participant runs list`). By default the last one that has left a model here.
    #[arg(value_name = "RUN")]
    run: Option<String>,

    #[command(flatten)]
    which: Which,

    /// The file to write. By default report.html in the folder of the run, STATE/runs/RUN. Only an earlier report is replaced.
    #[arg(short, long = "out", value_name = "FILE", value_parser = place_to_write())]
    out: Option<PathBuf>,

    /// Show no slice of a patient, and not where the model looks.
    #[arg(long)]
    no_images: bool,

    /// Name the test patients as this hospital's table does.
    #[arg(long)]
    with_ids: bool,
}

/// What a page shows of the patients.
#[derive(Clone, Copy)]
pub struct Shown {
    /// Slices of some test patients, and where the model looks.
    pub images: bool,
    /// Their names.
    pub ids: bool,
}

impl Report {
    /// Reads, predicts and writes: the path of the page on stdout.
    pub fn execute(self) -> Result<(), Failure> {
        let leaves = match &self.out {
            Some(path) => PageFile::unwritten(path),
            None => "no report is written; an earlier one of this run, if there is one, is kept"
                .to_owned(),
        };
        let signals = BetweenWrites::listen(leaves).map_err(Failure::run)?;
        let settings = self.which.settings()?;
        let run = match &self.run {
            Some(digits) => digits.clone(),
            None => last_run(&settings.state)?,
        };
        let asked = Asked {
            run: &run,
            shown: Shown {
                images: !self.no_images,
                ids: self.with_ids,
            },
            out: self.out.as_deref(),
        };
        // While the participant works here the state folder is its own: then nothing is prepared in it.
        let state = StateFolder::open(&settings.state).ok();
        let path = write(
            &settings,
            self.which.config(),
            &asked,
            state.as_ref(),
            &signals,
        )?;
        say(path.display());
        Ok(())
    }
}

/// The page of a run that has just ended here, in its folder.
///
/// # Errors
/// Data that cannot be read, a trainer that fails, a full disk.
pub fn write_of_run(
    settings: &Settings,
    file: &Path,
    run: &RunId,
    state: &StateFolder,
    signals: &BetweenWrites,
) -> Result<PathBuf, Failure> {
    let asked = Asked {
        run: &hex::encode(run),
        shown: Shown {
            images: true,
            ids: false,
        },
        out: None,
    };
    write(settings, file, &asked, Some(state), signals)
}

/// Where the page of a run is written by default.
pub fn path(settings: &Settings, run: &RunId) -> PathBuf {
    run_folder(&settings.state, run).join(FILE)
}

/// Whether it is there, and was written after the run's last model was kept: one that was asked for in the course of the run is not.
pub fn is_written(settings: &Settings, run: &RunId) -> bool {
    let folder = run_folder(&settings.state, run);
    let written = |name: &str| fs::metadata(folder.join(name))?.modified();
    match (written(FILE), written(CARD_FILE)) {
        (Ok(page), Ok(card)) => page >= card,
        _ => false,
    }
}

/// Removes the pages of all runs from a state folder: they show patients. Gives how many there were.
///
/// # Errors
/// One that cannot be removed.
pub fn remove_all(state: &Path) -> io::Result<usize> {
    let entries = |folder: &Path| match fs::read_dir(folder) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(vec![])
        }
        entries => entries?.collect::<io::Result<Vec<_>>>(),
    };
    let mut removed = 0;
    for run in entries(&state.join("runs"))? {
        for file in entries(&run.path())? {
            // Also one that was being written when its program was ended.
            if file.file_name().to_string_lossy().starts_with(FILE) {
                fs::remove_file(file.path())?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// What is asked for.
struct Asked<'a> {
    /// First digits of the run.
    run: &'a str,
    shown: Shown,
    /// By default in the folder of the run.
    out: Option<&'a Path>,
}

/// Nobody is shown who was erased while the page was made.
fn write(
    settings: &Settings,
    file: &Path,
    asked: &Asked<'_>,
    state: Option<&StateFolder>,
    signals: &BetweenWrites,
) -> Result<PathBuf, Failure> {
    let erased = || Erased::read(&settings.state).map_err(Failure::settings);
    let before = erased()?.len();
    let place = ModelPlace::of_run(asked.run, &settings.state, false);
    let place = place.map_err(Failure::settings)?;
    let folder = place.weights.parent().unwrap_or(&settings.state).to_owned();
    // Before the scans are read, which takes long.
    let path = { asked.out }.map_or_else(|| folder.join(FILE), Path::to_path_buf);
    let page_file = PageFile::at(&path, PageKind::Report)?;
    let html = html(settings, file, asked, &place, &folder, state.is_some())?;
    if erased()?.len() != before {
        return Err(Failure::Settings(anyhow!(
            "a patient was erased while the report was made: ask for it again"
        )));
    }
    page_file.write(&html, signals)?;
    Ok(path)
}

/// `folder` is that of the run; `may_prepare`: slices may be kept in the state folder for the next time.
fn html(
    settings: &Settings,
    file: &Path,
    asked: &Asked<'_>,
    place: &ModelPlace,
    folder: &Path,
    may_prepare: bool,
) -> Result<String, Failure> {
    let witnesses = Witnesses {
        transcript: None,
        rosters: vec![],
        optional: true,
    };
    let model = KeptModel::open(place, &witnesses).map_err(Failure::settings)?;
    let conditions = Conditions::of(&model, settings.policy.release_levels);
    let conditions = conditions.map_err(|reason| Failure::settings(anyhow!(reason)))?;
    let history = LearningHistory::read(folder);
    if let Err(error) = &history {
        let path = folder.join(LearningHistory::FILE);
        tracing::warn!(
            "{} cannot be used: {error}; the report is made without it",
            path.display()
        );
    }
    let looking = Looking {
        settings,
        file,
        place,
        shown: asked.shown,
        may_prepare,
    };
    let own = OwnPart::look(&looking, &model, &conditions)?;
    // The card of the best round is not written again at the end.
    let last = read_card(&folder.join(CARD_FILE))?;
    let page = Page {
        hospital: settings.hospital,
        model: &model,
        is_best: place.weights.ends_with(BEST_MODEL_FILE),
        is_over: last.run_complete,
        history: history.as_ref().ok(),
        own: &own,
        shown: asked.shown,
    };
    page.html().map_err(Failure::run)
}

fn last_run(state: &Path) -> Result<String, Failure> {
    let none = || {
        Failure::settings(anyhow!(
            "no run has left a model in {} yet; `participant runs list` shows the runs",
            state.display()
        ))
    };
    let path = state.join(CARD_FILE);
    if !path.exists() {
        return Err(none());
    }
    read_card(&path)?.run.map(hex::encode).ok_or_else(none)
}

fn read_card(path: &Path) -> Result<ModelCard, Failure> {
    let read = || {
        let text = fs::read_to_string(path).context("cannot be read")?;
        serde_json::from_str(&text).context("is not the card of a model")
    };
    let card: anyhow::Result<ModelCard> = read();
    card.with_context(|| path.display().to_string())
        .map_err(Failure::Settings)
}

const FILE: &str = "report.html";

const HELP: &str = "\
Examples:
  the report of the last run
    participant report --config hospital/participant.toml
  of an earlier one, without images, to be shown in a meeting
    participant report 1f2e3d --no-images -o meeting.html

Exit codes:
  0  written
  1  the trainer failed, or the file cannot be written
  2  a flag, setting, model or data set is wrong
  3  a signal stopped the program";
