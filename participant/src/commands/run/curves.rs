//! What every hospital learns of each round, for TensorBoard and MLflow (`participant run --log`). No hospital's own numbers are in it.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use protocol::{
    counters::EvaluationCounters,
    digests::{LearningRound, RunId},
};
use training_log::{Ending, LogError, LogTarget, RunNames, TrainingLog, UnknownTarget, open};

/// Which of the two, as `--log` names them.
#[derive(Clone, Debug, Default)]
pub struct LogTargets(Vec<LogTarget>);

impl FromStr for LogTargets {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        LogTarget::parse_list(text).map(Self)
    }
}

/// The files of the run at hand.
pub struct Curves {
    folder: PathBuf,
    targets: LogTargets,
    run: Option<(RunId, Box<dyn TrainingLog>)>,
    /// A full disk is told once.
    failed: bool,
}

impl Curves {
    /// In `STATE/logs`. Without a target nothing is written.
    pub fn new(state: &Path, targets: LogTargets) -> Self {
        Self {
            folder: state.join("logs"),
            targets,
            run: None,
            failed: false,
        }
    }

    /// The sum of all hospitals' evaluations after a learning round.
    pub fn note(&mut self, run: &RunId, round: LearningRound, evaluation: &EvaluationCounters) {
        if self.targets.0.is_empty() || self.failed {
            return;
        }
        if let Err(error) = self.write(run, round, evaluation) {
            self.failed = true;
            tracing::warn!("no more numbers for TensorBoard and MLflow are written: {error}");
        }
    }

    fn write(
        &mut self,
        run: &RunId,
        round: LearningRound,
        evaluation: &EvaluationCounters,
    ) -> Result<(), LogError> {
        let now = SystemTime::now();
        if self.run.as_ref().is_some_and(|(open, _)| open != run) {
            // Nobody has told how that one ended.
            self.end(Ending::Stopped);
        }
        let (_, log) = match &mut self.run {
            Some(open) => open,
            none => none.insert((*run, self.targets.open(&self.folder, run, now)?)),
        };
        let values = [
            ("training/loss", evaluation.training_loss()),
            ("validation/loss", evaluation.validation_loss()),
            ("validation/accuracy", evaluation.accuracy()),
        ];
        for (name, value) in values {
            // Of no slices there is none.
            if let (true, Ok(name)) = (value.is_finite(), name.parse()) {
                log.scalar(&name, round.get(), value, now)?;
            }
        }
        Ok(())
    }

    /// Says how the run ended here.
    pub fn end(&mut self, ending: Ending) {
        if let Some((_, log)) = self.run.take()
            && let Err(error) = log.finish(ending, SystemTime::now())
        {
            tracing::warn!("the end of the run is not noted for TensorBoard and MLflow: {error}");
        }
    }
}

impl LogTargets {
    /// Another folder at each start: a run that is gone on with has several.
    fn open(
        &self,
        folder: &Path,
        run: &RunId,
        now: SystemTime,
    ) -> Result<Box<dyn TrainingLog>, LogError> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let short: String = hex::encode(run).chars().take(16).collect();
        let name = |text: String| {
            text.parse()
                .unwrap_or_else(|_| unreachable!("digits and letters"))
        };
        let names = RunNames {
            experiment: name("federation".to_owned()),
            run: name(format!("{short}-{since}")),
        };
        open(folder, &self.0, &names, now)
    }
}
