//! What a run has taught, round by round, for the report that this hospital makes of it: `runs/RUN/rounds.jsonl` in the state folder, a
//! line for each thing that was learnt. A line that a power cut left half written is passed over.

use std::{
    fs,
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use host::private_folder::{make_private_folder, open_private_file};
use protocol::{
    counters::EvaluationCounters,
    digests::{LearningRound, RunId},
};
use serde::{Deserialize, Serialize};

use crate::{
    journal::run_folder,
    own_results::{OwnEvaluation, OwnResult},
    split_fingerprint::SplitFingerprint,
};

/// Adds to the histories of this state folder.
#[derive(Debug)]
pub struct HistoryWriter {
    state: PathBuf,
}

/// The history of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearningHistory {
    /// The learning rounds that something is known of, in their order.
    pub rounds: Vec<LearntRound>,
    /// What this hospital has last taken part with.
    pub data: Option<OwnData>,
    /// Lines that are damaged, and were passed over.
    pub damaged: usize,
    /// Whether it had taken part in the same run with patients that were split otherwise.
    pub split_changed: bool,
}

/// This hospital's patients, as far as a later look needs to know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnData {
    /// How they were split.
    pub split: SplitFingerprint,
    /// The scanners that their scans are from, as far as files tell, in order.
    pub scanners: Vec<String>,
}

/// One learning round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LearntRound {
    /// Its number, from 1.
    pub learning_round: u32,
    /// Mean loss of the last epoch's batches, at this hospital.
    pub own_training_loss: Option<f64>,
    /// The common model on this hospital's validation slices.
    pub own: Option<OwnEvaluation>,
    /// The common model on those of all hospitals.
    pub common: Option<CommonEvaluation>,
}

/// The sum of all evaluations of a round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommonEvaluation {
    /// How many hospitals are in it.
    pub hospitals: u32,
    /// Mean loss of the last epoch's batches.
    pub training_loss: Option<f64>,
    /// Mean loss of a validation slice.
    pub loss: Option<f64>,
    /// Validation slices that were classified rightly.
    pub right: u64,
    /// Validation slices.
    pub slices: u64,
    /// Classes that these slices have.
    pub classes: u32,
}

impl CommonEvaluation {
    /// Of an opened sum.
    pub fn of(hospitals: usize, counters: &EvaluationCounters) -> Self {
        let known = |value: f64| value.is_finite().then_some(value);
        Self {
            hospitals: u32::try_from(hospitals).unwrap_or(u32::MAX),
            training_loss: known(counters.training_loss()),
            loss: known(counters.validation_loss()),
            right: counters.right(),
            slices: counters.slices(),
            classes: u32::try_from(counters.classes_there()).unwrap_or(u32::MAX),
        }
    }
}

impl HistoryWriter {
    /// Of this state folder.
    pub fn new(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
        }
    }

    /// What this hospital takes part in this run with. A later note takes the place of an earlier one.
    ///
    /// # Errors
    /// The line cannot be written.
    pub fn note_data(&self, run: &RunId, data: OwnData) -> io::Result<()> {
        self.add(run, &Line::Data(data))
    }

    /// What this hospital's own data say; pictures are not kept.
    ///
    /// # Errors
    /// The line cannot be written.
    pub fn note_own(&self, run: &RunId, result: &OwnResult) -> io::Result<()> {
        let line = match result {
            OwnResult::Trained {
                learning_round,
                loss,
            } => Line::Trained {
                round: learning_round.get(),
                loss: loss.is_finite().then_some(*loss),
            },
            OwnResult::Evaluated(own) => Line::Evaluated(OwnLine::of(own)),
            OwnResult::Heated(_) => return Ok(()),
        };
        self.add(run, &line)
    }

    /// What all hospitals' data say.
    ///
    /// # Errors
    /// The line cannot be written.
    pub fn note_common(
        &self,
        run: &RunId,
        learning_round: LearningRound,
        evaluation: CommonEvaluation,
    ) -> io::Result<()> {
        let round = learning_round.get();
        self.add(run, &Line::Common { round, evaluation })
    }

    fn add(&self, run: &RunId, line: &Line) -> io::Result<()> {
        let folder = run_folder(&self.state, run);
        make_private_folder(&folder)?;
        let mut file = open_private_file(&folder.join(LearningHistory::FILE))?;
        let is_empty = file.seek(io::SeekFrom::End(0))? == 0;
        let text = serde_json::to_string(line).map_err(io::Error::other)?;
        // Begun anew after a line that may be half written.
        let start = if is_empty { "" } else { "\n" };
        file.write_all(format!("{start}{text}").as_bytes())
    }
}

impl LearningHistory {
    /// In a run's folder.
    pub const FILE: &str = "rounds.jsonl";

    /// Of a run's folder; empty where nothing was noted.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is too long to be one.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let path = folder.join(Self::FILE);
        let length = match fs::metadata(&path) {
            Ok(about) => about.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        if length > MAX_BYTES {
            return Err(io::Error::other(format!(
                "it has {length} bytes, where at most {MAX_BYTES} are read"
            )));
        }
        let text = fs::read(&path)?;
        let mut history = Self::default();
        let lines = text.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Line>(line) {
                Ok(line) if line.is_possible() => history.take(line),
                _ => history.damaged += 1,
            }
        }
        Ok(history)
    }

    /// Of a round that was repeated the last counts.
    fn take(&mut self, line: Line) {
        match line {
            Line::Data(data) => {
                let before = self.data.as_ref();
                self.split_changed |= before.is_some_and(|before| before.split != data.split);
                self.data = Some(data);
            }
            Line::Trained { round, loss } => self.round(round).own_training_loss = loss,
            Line::Evaluated(own) => self.round(own.round).own = Some(own.evaluation()),
            Line::Common { round, evaluation } => self.round(round).common = Some(evaluation),
        }
    }

    fn round(&mut self, learning_round: u32) -> &mut LearntRound {
        let rounds = &self.rounds;
        let place = rounds.binary_search_by_key(&learning_round, |known| known.learning_round);
        let place = place.unwrap_or_else(|place| {
            let round = LearntRound {
                learning_round,
                ..LearntRound::default()
            };
            self.rounds.insert(place, round);
            place
        });
        &mut self.rounds[place]
    }
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
enum Line {
    Data(OwnData),
    Trained {
        round: u32,
        loss: Option<f64>,
    },
    Evaluated(OwnLine),
    Common {
        round: u32,
        #[serde(flatten)]
        evaluation: CommonEvaluation,
    },
}

impl Line {
    /// Of a round that a run can have, with counts that fit together.
    fn is_possible(&self) -> bool {
        let of_a_run = |round: u32| (1..=MAX_ROUNDS).contains(&round);
        match self {
            Self::Data(_) => true,
            Self::Trained { round, .. } => of_a_run(*round),
            Self::Evaluated(own) => of_a_run(own.round),
            Self::Common { round, evaluation } => {
                of_a_run(*round) && evaluation.right <= evaluation.slices
            }
        }
    }
}

/// JSON has no NaN.
#[derive(Serialize, Deserialize)]
struct OwnLine {
    round: u32,
    loss: Option<f64>,
    accuracy: Option<f64>,
    slices: u64,
    patients: usize,
    classes: usize,
}

impl OwnLine {
    fn of(own: &OwnEvaluation) -> Self {
        let known = |value: f64| value.is_finite().then_some(value);
        Self {
            round: own.learning_round.get(),
            loss: known(own.loss),
            accuracy: known(own.accuracy),
            slices: own.slices,
            patients: own.patients,
            classes: own.classes,
        }
    }

    fn evaluation(&self) -> OwnEvaluation {
        OwnEvaluation {
            learning_round: LearningRound::new(self.round),
            loss: self.loss.unwrap_or(f64::NAN),
            accuracy: self.accuracy.unwrap_or(f64::NAN),
            slices: self.slices,
            patients: self.patients,
            classes: self.classes,
        }
    }
}

/// No run has so many.
const MAX_ROUNDS: u32 = 100_000;
/// Some 300 bytes a round, of as many rounds as a manifest may have.
const MAX_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        [7; 32].into()
    }

    fn evaluation(learning_round: u32, accuracy: f64) -> OwnEvaluation {
        OwnEvaluation {
            learning_round: LearningRound::new(learning_round),
            loss: 0.5,
            accuracy,
            slices: 48,
            patients: 3,
            classes: 2,
        }
    }

    fn trained(learning_round: u32, loss: f64) -> OwnResult {
        OwnResult::Trained {
            learning_round: LearningRound::new(learning_round),
            loss,
        }
    }

    #[test]
    fn what_was_noted_of_each_round_is_read_back_and_a_repeated_round_counts_once() {
        let state = tempfile::tempdir().expect("a folder");
        let writer = HistoryWriter::new(state.path());
        let counters = EvaluationCounters::read(&[2, 30, 10, 5, 55, 6_553_600, 0, 0]);
        let common = CommonEvaluation::of(2, &counters.expect("counters"));
        assert_eq!((common.right, common.slices, common.classes), (85, 100, 2));
        let note = |result: OwnResult| writer.note_own(&run(), &result).expect("written");
        note(trained(2, 0.6));
        note(trained(1, 0.9));
        note(trained(2, 0.7));
        note(OwnResult::Evaluated(evaluation(2, 0.75)));
        let round = LearningRound::new(2);
        writer.note_common(&run(), round, common).expect("written");
        let history = LearningHistory::read(&run_folder(state.path(), &run())).expect("read");
        let known: Vec<u32> = { history.rounds.iter() }
            .map(|round| round.learning_round)
            .collect();
        assert_eq!(known, [1, 2]);
        assert_eq!(
            history.rounds[1],
            LearntRound {
                learning_round: 2,
                own_training_loss: Some(0.7),
                own: Some(evaluation(2, 0.75)),
                common: Some(common),
            }
        );
    }

    #[test]
    fn a_half_written_line_costs_only_itself_and_numbers_that_are_none_are_none() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = run_folder(state.path(), &run());
        let writer = HistoryWriter::new(state.path());
        let note = |result: OwnResult| writer.note_own(&run(), &result).expect("written");
        note(trained(1, 0.5));
        let path = folder.join(LearningHistory::FILE);
        let whole = fs::read(&path).expect("written");
        let half = [whole.as_slice(), b"\n{\"of\":\"trai"].concat();
        fs::write(&path, half).expect("written");
        note(trained(2, f64::NAN));
        note(OwnResult::Evaluated(evaluation(2, f64::NAN)));
        let history = LearningHistory::read(&folder).expect("read");
        assert_eq!(history.rounds[0].own_training_loss, Some(0.5));
        assert_eq!(history.rounds[1].own_training_loss, None);
        assert!(
            history.rounds[1]
                .own
                .is_some_and(|own| own.accuracy.is_nan())
        );
        let nowhere = LearningHistory::read(state.path()).expect("nothing there");
        assert_eq!(nowhere, LearningHistory::default());
        assert_eq!(history.damaged, 1);
        fs::write(
            &path,
            "\n\u{1}\n{}\n{\"of\":\"trained\",\"round\":4000000000,\"loss\":1}",
        )
        .expect("written");
        let history = LearningHistory::read(&folder).expect("read");
        assert_eq!((history.rounds.len(), history.damaged), (0, 3));
    }
}
