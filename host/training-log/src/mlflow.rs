//! A run in a file store of MLflow (`mlruns`).
//!
//! ```text
//!  mlruns/EXPERIMENT/meta.yaml                 the experiment: a number, its name, where its runs are
//!                    RUN/meta.yaml             the run: name, beginning, end, how it stands
//!                        metrics/TAG           a line for each step: milliseconds, value, step
//!                        params/NAME           a setting
//!                        tags/mlflow.runName   its name
//!                        artifacts/TAG/STEP.md texts
//! ```
//!
//! MLflow calls its file store legacy and reads it where `MLFLOW_ALLOW_FILE_STORE=true` is set; `mlflow migrate-filestore` puts it into a
//! database. Its database's own schema changes with its releases, which this store's has not done since its first.

use std::{
    collections::BTreeMap,
    env::current_dir,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use crate::{
    Ending, LogError, Name, RunNames, TrainingLog, at, check_param,
    private_file::{make_folder, make_new_folder, put},
    since_epoch,
};

/// A run, and what is written of it.
pub struct Run {
    folder: PathBuf,
    about: AboutRun,
    /// Of each tag.
    metrics: BTreeMap<String, File>,
}

impl Run {
    /// A new run of the experiment, which is made where the store does not have it.
    pub fn create(store: &Path, names: &RunNames, start: SystemTime) -> Result<Self, LogError> {
        let here = current_dir().map_err(at(store))?;
        let milliseconds = milliseconds(start);
        let experiment = AboutExperiment::of(&here.join(store), &names.experiment, milliseconds);
        let of_experiment = store.join(&experiment.experiment_id);
        // The time in nanoseconds names the run, and the next number where two begin at once.
        let first = since_epoch(start).as_nanos();
        let ids = (first..).map(|number| format!("{number:032x}"));
        let folder = make_new_folder(&of_experiment, ids)?;
        let known = of_experiment.join(META);
        if !known.exists() {
            // From the run's own folder: another run may begin at the same moment.
            let text = yaml(&experiment);
            put(&known, &folder.join(UNFINISHED), text.as_bytes())?;
        }
        let run_id = folder.file_name().unwrap_or_default().to_string_lossy();
        let about = AboutRun::of(&experiment, &run_id, &names.run);
        for part in ["metrics", "params", "tags", "artifacts"] {
            make_folder(&folder.join(part))?;
        }
        let mut run = Self {
            folder,
            about,
            metrics: BTreeMap::new(),
        };
        run.write("tags/mlflow.runName", names.run.as_str().as_bytes())?;
        run.write_about()?;
        Ok(run)
    }

    /// A file of the run, in the place of one that may be there. MLflow takes every file in its folders for a whole one, so an
    /// unfinished one lies elsewhere.
    fn write(&mut self, name: &str, content: &[u8]) -> Result<File, LogError> {
        put(
            &self.folder.join(name),
            &self.folder.join(UNFINISHED),
            content,
        )
    }

    fn write_about(&mut self) -> Result<(), LogError> {
        let text = yaml(&self.about);
        self.write(META, text.as_bytes()).map(|_| ())
    }
}

impl TrainingLog for Run {
    fn scalar(
        &mut self,
        tag: &Name,
        step: u32,
        value: f64,
        at_time: SystemTime,
    ) -> Result<(), LogError> {
        let line = format!("{} {value:?} {step}\n", milliseconds(at_time));
        if let Some(file) = self.metrics.get_mut(tag.as_str()) {
            let written = file.write_all(line.as_bytes());
            return written.map_err(at(&self.folder.join(format!("metrics/{tag}"))));
        }
        // An empty file would keep MLflow from reading the run: the first line comes with the file.
        let file = self.write(&format!("metrics/{tag}"), line.as_bytes())?;
        self.metrics.insert(tag.as_str().to_owned(), file);
        Ok(())
    }

    fn text(&mut self, tag: &Name, step: u32, text: &str, _: SystemTime) -> Result<(), LogError> {
        let name = format!("artifacts/{tag}/{step}.md");
        self.write(&name, text.as_bytes()).map(|_| ())
    }

    fn param(&mut self, name: &Name, value: &str, _: SystemTime) -> Result<(), LogError> {
        check_param(name, value)?;
        self.write(&format!("params/{name}"), value.as_bytes())
            .map(|_| ())
    }

    fn finish(mut self: Box<Self>, ending: Ending, at: SystemTime) -> Result<(), LogError> {
        self.about.end_time = Some(milliseconds(at));
        self.about.status = match ending {
            Ending::Complete => FINISHED,
            Ending::Failed => FAILED,
            Ending::Stopped => KILLED,
        };
        self.write_about()
    }
}

/// `meta.yaml` of an experiment.
#[derive(Serialize)]
struct AboutExperiment {
    artifact_location: String,
    creation_time: u64,
    experiment_id: String,
    last_update_time: u64,
    lifecycle_stage: &'static str,
    name: String,
}

impl AboutExperiment {
    /// `store` is an absolute path. An experiment has the same number in every store: it follows from its name.
    fn of(store: &Path, name: &Name, milliseconds: u64) -> Self {
        // A database that the store is put into takes numbers alone, and 0 is MLflow's own experiment.
        let number = u64::from(crc32c::crc32c(name.as_str().as_bytes())) + 1;
        Self {
            artifact_location: file_uri(&store.join(number.to_string())),
            creation_time: milliseconds,
            experiment_id: number.to_string(),
            last_update_time: milliseconds,
            lifecycle_stage: ACTIVE,
            name: name.as_str().into(),
        }
    }
}

/// `meta.yaml` of a run.
#[derive(Serialize)]
struct AboutRun {
    artifact_uri: String,
    end_time: Option<u64>,
    entry_point_name: &'static str,
    experiment_id: String,
    lifecycle_stage: &'static str,
    run_id: String,
    run_name: String,
    run_uuid: String,
    source_name: &'static str,
    source_type: u32,
    source_version: &'static str,
    start_time: u64,
    status: u32,
    tags: [(); 0],
    user_id: &'static str,
}

impl AboutRun {
    fn of(experiment: &AboutExperiment, run_id: &str, name: &Name) -> Self {
        Self {
            artifact_uri: format!("{}/{run_id}/artifacts", experiment.artifact_location),
            end_time: None,
            entry_point_name: "",
            experiment_id: experiment.experiment_id.clone(),
            lifecycle_stage: ACTIVE,
            run_id: run_id.into(),
            run_name: name.as_str().into(),
            run_uuid: run_id.into(),
            source_name: "",
            source_type: LOCAL,
            source_version: "",
            start_time: experiment.last_update_time,
            status: RUNNING,
            tags: [],
            user_id: "",
        }
    }
}

/// All texts in quotes: a run's number in hexadecimal may look like another number.
fn yaml(about: &impl Serialize) -> String {
    let options = serde_saphyr::ser_options! { quote_all: true };
    let text = serde_saphyr::to_string_with_options(about, options);
    text.expect("texts and numbers are YAML")
}

/// The address of a file: what is not plain is given by its number.
fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push((*byte).into());
            }
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}

fn milliseconds(at: SystemTime) -> u64 {
    u64::try_from(since_epoch(at).as_millis()).unwrap_or(u64::MAX)
}

const META: &str = "meta.yaml";
/// In the folder of the run, where MLflow looks for nothing of this name.
const UNFINISHED: &str = ".unfinished";
const ACTIVE: &str = "active";
/// `mlflow.entities.SourceType`.
const LOCAL: u32 = 4;
/// `mlflow.entities.RunStatus`.
const RUNNING: u32 = 1;
const FINISHED: u32 = 3;
const FAILED: u32 = 4;
const KILLED: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_plain_signs_alone() {
        let uri = file_uri(Path::new("/data/dr ä/a%b?c#/mlruns"));
        assert_eq!(uri, "file:///data/dr%20%C3%A4/a%25b%3Fc%23/mlruns");
    }
}
