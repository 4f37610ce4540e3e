//! Keeps what a run teaches for its report. A disk that is full costs the report a round, and the run nothing.

use std::{io, path::Path};

use participant::{
    learning_history::{CommonEvaluation, HistoryWriter, OwnData},
    own_results::OwnResult,
};
use protocol::digests::{LearningRound, RunId};

/// Of the run at hand.
pub struct Noted {
    writer: HistoryWriter,
    data: Option<OwnData>,
    data_noted_for: Option<RunId>,
    /// A full disk is told once.
    failed: bool,
}

impl Noted {
    /// Into this state folder.
    pub fn new(state: &Path) -> Self {
        Self {
            writer: HistoryWriter::new(state),
            data: None,
            data_noted_for: None,
            failed: false,
        }
    }

    /// The data were read.
    pub fn begin_with(&mut self, data: OwnData) {
        (self.data, self.data_noted_for) = (Some(data), None);
    }

    /// What this hospital's own data say.
    pub fn own(&mut self, run: &RunId, result: &OwnResult) {
        let written = self
            .note_data(run)
            .and_then(|()| self.writer.note_own(run, result));
        self.look_at(written);
    }

    /// What all hospitals' data say.
    pub fn common(&mut self, run: &RunId, round: LearningRound, evaluation: CommonEvaluation) {
        let written = self.writer.note_common(run, round, evaluation);
        self.look_at(written);
    }

    fn note_data(&mut self, run: &RunId) -> io::Result<()> {
        let Some(data) = self
            .data
            .as_ref()
            .filter(|_| self.data_noted_for != Some(*run))
        else {
            return Ok(());
        };
        self.writer.note_data(run, data.clone())?;
        self.data_noted_for = Some(*run);
        Ok(())
    }

    fn look_at(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && !self.failed
        {
            self.failed = true;
            tracing::warn!(
                "what was learnt in this round cannot be kept for the report of the run: {error}; free disk space"
            );
        }
    }
}
