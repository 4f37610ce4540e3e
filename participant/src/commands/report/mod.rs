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
    failure::Failure, output::say, replaced_file::replace, settings::environment,
    signals::BetweenWrites,
};
use model_data::card::{CARD_FILE, ModelCard};
use participant::{
    journal::run_folder,
    learning_history::LearningHistory,
    predict::{Conditions, KeptModel, ModelPlace, Witnesses},
    settings::Settings,
};
use protocol::digests::RunId;

use self::{own::OwnPart, page::Page};

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

    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "participant.toml")]
    config: PathBuf,

    /// The file to write. By default report.html in the folder of the run, STATE/runs/RUN.
    #[arg(short, long = "out", value_name = "FILE")]
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
        let signals = BetweenWrites::listen().map_err(Failure::run)?;
        let settings =
            Settings::load(&self.config, environment(), &[]).map_err(Failure::settings)?;
        let run = match &self.run {
            Some(digits) => digits.clone(),
            None => last_run(&settings.state)?,
        };
        let shown = Shown {
            images: !self.no_images,
            ids: self.with_ids,
        };
        let report = ReportOf::read(&settings, &self.config, &run, shown)?;
        let path = report.path(self.out);
        signals.write(|| report.write(&path))?;
        say(path.display());
        Ok(())
    }
}

/// The page of a run that has just ended here, in its folder.
///
/// # Errors
/// Data that cannot be read, a trainer that fails, a full disk.
pub fn write_of_run(settings: &Settings, file: &Path, run: &RunId) -> Result<PathBuf, Failure> {
    let shown = Shown {
        images: true,
        ids: false,
    };
    let report = ReportOf::read(settings, file, &hex::encode(run), shown)?;
    let path = report.path(None);
    report.write(&path)?;
    Ok(path)
}

/// Where the page of a run is written by default.
pub fn path(settings: &Settings, run: &RunId) -> PathBuf {
    run_folder(&settings.state, run).join(FILE)
}

/// Whether it is there.
pub fn is_written(settings: &Settings, run: &RunId) -> bool {
    path(settings, run).is_file()
}

/// Removes the pages of all runs from a state folder: they show patients. Gives how many there were.
///
/// # Errors
/// One that cannot be removed.
pub fn remove_all(state: &Path) -> io::Result<usize> {
    let mut removed = 0;
    let runs = match fs::read_dir(state.join("runs")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        runs => runs?,
    };
    for run in runs {
        match fs::remove_file(run?.path().join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => {
                done?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// All that a page tells.
struct ReportOf {
    folder: PathBuf,
    html: String,
}

impl ReportOf {
    fn read(settings: &Settings, file: &Path, run: &str, shown: Shown) -> Result<Self, Failure> {
        let place = ModelPlace::find(Path::new(run), Some(&settings.state), false);
        let place = place.map_err(Failure::settings)?;
        let folder = place.weights.parent().unwrap_or(&settings.state).to_owned();
        let witnesses = Witnesses {
            transcript: None,
            rosters: vec![],
            optional: true,
        };
        let model = KeptModel::open(&place, &witnesses).map_err(Failure::settings)?;
        let conditions = Conditions::of(&model);
        let conditions = conditions.map_err(|reason| Failure::settings(anyhow!(reason)))?;
        let history = LearningHistory::read(&folder).with_context(|| {
            format!(
                "cannot read {}",
                folder.join(LearningHistory::FILE).display()
            )
        });
        let history = history.map_err(Failure::Run)?;
        let own = OwnPart::look(settings, file, &place, &model, &conditions, shown)?;
        let page = Page {
            hospital: settings.hospital,
            model: &model,
            history: &history,
            own: &own,
            shown,
        };
        let html = page.html().map_err(Failure::run)?;
        Ok(Self { folder, html })
    }

    fn path(&self, asked: Option<PathBuf>) -> PathBuf {
        asked.unwrap_or_else(|| self.folder.join(FILE))
    }

    fn write(&self, path: &Path) -> Result<(), Failure> {
        let written = replace(path, self.html.as_bytes());
        let written = written.with_context(|| format!("cannot write {}", path.display()));
        written.map_err(Failure::Run)
    }
}

fn last_run(state: &Path) -> Result<String, Failure> {
    let path = state.join(CARD_FILE);
    let none = || {
        Failure::settings(anyhow!(
            "no run has left a model in {} yet; `participant runs list` shows the runs",
            state.display()
        ))
    };
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => none(),
        _ => Failure::settings(anyhow!("cannot read {}: {error}", path.display())),
    })?;
    let card: ModelCard = serde_json::from_str(&text)
        .with_context(|| format!("{} is not the card of a model", path.display()))
        .map_err(Failure::Settings)?;
    card.run.map(hex::encode).ok_or_else(none)
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
