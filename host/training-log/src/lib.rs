//! The numbers of a training as they come, in files that TensorBoard and MLflow show.
//!
//! ```text
//!  FOLDER/tensorboard/RUN/events.out.tfevents.SECONDS.myelin      tensorboard --logdir FOLDER/tensorboard
//!  FOLDER/mlruns/EXPERIMENT/RUN/{meta.yaml, metrics, params, …}   mlflow ui --backend-store-uri FOLDER/mlruns
//! ```
//!
//! Every record is in its file when the call returns, so a process that is killed leaves files that can be read, up to the last
//! record. They are for their owner alone (0600, folders 0700). This crate reads no clock and opens no socket; it asks nobody what may
//! be written: who calls it passes no clinical value.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use training_log::{Ending, LogTarget, Name, RunNames, open};
//!
//! let folder = tempfile::tempdir()?;
//! let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
//! let names = RunNames { experiment: "phantom".parse()?, run: "seed-1".parse()? };
//! let targets = LogTarget::parse_list("tensorboard,mlflow")?;
//! let mut log = open(folder.path(), &targets, &names, start)?;
//! log.param(&"learning_rate".parse()?, "0.001", start)?;
//! log.scalar(&"validation/loss".parse()?, 1, 0.636, start)?;
//! log.finish(Ending::Complete, start + Duration::from_secs(9))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod mlflow;
mod name;
mod private_file;
mod target;
mod tensorboard;
mod together;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use name::{BadName, Name};
pub use target::{LogTarget, UnknownTarget};

/// Where the numbers of one training go.
pub trait TrainingLog: Send {
    /// A number of this step, such as a loss; steps rise.
    ///
    /// # Errors
    /// The file cannot be written.
    fn scalar(&mut self, tag: &Name, step: u32, value: f64, at: SystemTime)
    -> Result<(), LogError>;

    /// A text of this step, in Markdown.
    ///
    /// # Errors
    /// The file cannot be written.
    fn text(&mut self, tag: &Name, step: u32, text: &str, at: SystemTime) -> Result<(), LogError>;

    /// A setting of the training. Of one that is told twice, the later value counts.
    ///
    /// # Errors
    /// The value is longer than [`MAX_PARAM_CHARS`], or the file cannot be written.
    fn param(&mut self, name: &Name, value: &str, at: SystemTime) -> Result<(), LogError>;

    /// Says how the training ended. Without it, the tools show one that is still running.
    ///
    /// # Errors
    /// The file cannot be written.
    fn finish(self: Box<Self>, ending: Ending, at: SystemTime) -> Result<(), LogError>;
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All its rounds are done.
    Complete,
    /// It could not go on.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

/// What a training is called in the tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunNames {
    /// What it is one of several runs of. TensorBoard has no word for it.
    pub experiment: Name,
    /// The run. Where a log of this name is there already, TensorBoard's folder gets a number behind it.
    pub run: Name,
}

/// Begins the log of a training in each of `targets`, within `folder`, which is made where it is missing. Without a target nothing is
/// written.
///
/// # Errors
/// A folder or file cannot be made.
pub fn open(
    folder: &Path,
    targets: &[LogTarget],
    names: &RunNames,
    start: SystemTime,
) -> Result<Box<dyn TrainingLog>, LogError> {
    let open_one = |target: &LogTarget| -> Result<Box<dyn TrainingLog>, LogError> {
        Ok(match target {
            LogTarget::TensorBoard => {
                let parent = folder.join("tensorboard");
                Box::new(tensorboard::EventFile::create(&parent, &names.run, start)?)
            }
            LogTarget::MlFlow => {
                Box::new(mlflow::Run::create(&folder.join("mlruns"), names, start)?)
            }
        })
    };
    let logs = targets.iter().map(open_one).collect::<Result<_, _>>()?;
    Ok(Box::new(together::Together(logs)))
}

/// Characters of a setting's value, by MLflow's limit.
pub const MAX_PARAM_CHARS: usize = 6000;

/// Why something is not in the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file or folder cannot be made or written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A setting of more than [`MAX_PARAM_CHARS`].
    #[error("the setting {name} has {chars} characters, more than {MAX_PARAM_CHARS}")]
    LongParam {
        /// Which.
        name: Name,
        /// Of its value.
        chars: usize,
    },
}

/// Turns what the system says into an error that names the path.
fn at(path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { path, source }
}

fn check_param(name: &Name, value: &str) -> Result<(), LogError> {
    let chars = value.chars().count();
    if chars > MAX_PARAM_CHARS {
        let name = name.clone();
        return Err(LogError::LongParam { name, chars });
    }
    Ok(())
}

/// Since 1970; before, none.
fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}
