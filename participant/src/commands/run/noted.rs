//! Keeps what a run teaches for its report. A disk that is full costs the report a round, and the run nothing.

use std::{io, path::Path};

use participant::{
    learning_history::{CommonEvaluation, HistoryWriter},
    own_results::OwnResult,
    split_fingerprint::SplitFingerprint,
};
use protocol::digests::{LearningRound, RunId};

/// Of the run at hand.
pub struct Noted {
    writer: HistoryWriter,
    split: Option<SplitFingerprint>,
    split_noted_for: Option<RunId>,
    /// A full disk is told once.
    failed: bool,
}

impl Noted {
    /// Into this state folder.
    pub fn new(state: &Path) -> Self {
        Self {
            writer: HistoryWriter::new(state),
            split: None,
            split_noted_for: None,
            failed: false,
        }
    }

    /// The data were read, and are split so.
    pub fn begin_with(&mut self, split: SplitFingerprint) {
        (self.split, self.split_noted_for) = (Some(split), None);
    }

    /// What this hospital's own data say.
    pub fn own(&mut self, run: &RunId, result: &OwnResult) {
        let written = self
            .note_split(run)
            .and_then(|()| self.writer.note_own(run, result));
        self.look_at(written);
    }

    /// What all hospitals' data say.
    pub fn common(&mut self, run: &RunId, round: LearningRound, evaluation: CommonEvaluation) {
        let written = self.writer.note_common(run, round, evaluation);
        self.look_at(written);
    }

    fn note_split(&mut self, run: &RunId) -> io::Result<()> {
        let Some(split) = self
            .split
            .as_ref()
            .filter(|_| self.split_noted_for != Some(*run))
        else {
            return Ok(());
        };
        self.writer.note_split(run, split.clone())?;
        self.split_noted_for = Some(*run);
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
