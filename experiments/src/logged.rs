//! The numbers of a training for TensorBoard and MLflow (`--log`).

use std::{
    fmt,
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use training_log::{Ending, LogTarget, Name, RunNames, open};

/// Which of the two, as `--log` names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTargets(pub Vec<LogTarget>);

impl FromStr for LogTargets {
    type Err = training_log::UnknownTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        LogTarget::parse_list(text).map(Self)
    }
}

impl fmt::Display for LogTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|target| target.word()).collect();
        f.write_str(&words.join(","))
    }
}

/// One training: its settings, and its numbers step by step.
pub struct Logged<'a> {
    /// Of the experiment, such as `simulate`.
    pub experiment: &'a str,
    /// Of the run in it.
    pub run: String,
    /// Names and values.
    pub settings: Vec<(&'static str, String)>,
    /// When it began.
    pub start: SystemTime,
    /// In their order.
    pub steps: Vec<LoggedStep>,
}

/// What was measured at a step.
pub struct LoggedStep {
    /// Since the start.
    pub seconds: f64,
    /// Its number.
    pub number: u32,
    /// Names and values.
    pub values: Vec<(&'static str, f64)>,
}

impl Logged<'_> {
    /// Writes all of it into a folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path, targets: &LogTargets) -> anyhow::Result<()> {
        if targets.0.is_empty() {
            return Ok(());
        }
        let cannot = || format!("cannot write the log into {}", folder.display());
        let names = RunNames {
            experiment: self.experiment.parse()?,
            run: self.run.parse()?,
        };
        let mut log = open(folder, &targets.0, &names, self.start).with_context(cannot)?;
        for (name, value) in &self.settings {
            log.param(&name.parse::<Name>()?, value, self.start)
                .with_context(cannot)?;
        }
        let mut last = self.start;
        for step in &self.steps {
            last = self.start + Duration::try_from_secs_f64(step.seconds).unwrap_or_default();
            for (name, value) in &step.values {
                log.scalar(&name.parse::<Name>()?, step.number, *value, last)
                    .with_context(cannot)?;
            }
        }
        log.finish(Ending::Complete, last).with_context(cannot)
    }
}
