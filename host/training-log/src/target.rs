//! Which tools a log is for, and the words for them on a command line.

use std::{collections::BTreeSet, str::FromStr};

/// A tool that shows the numbers of trainings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogTarget {
    /// A file of events.
    TensorBoard,
    /// A file store (`mlruns`).
    MlFlow,
}

impl LogTarget {
    /// Every target.
    pub const ALL: [Self; 2] = [Self::TensorBoard, Self::MlFlow];

    /// Its word: `tensorboard` or `mlflow`.
    pub fn word(self) -> &'static str {
        match self {
            Self::TensorBoard => "tensorboard",
            Self::MlFlow => "mlflow",
        }
    }

    /// Reads words with commas between them, such as `tensorboard,mlflow`. A target that is named twice is there once.
    ///
    /// # Errors
    /// A word that is no target, also where there is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UnknownTarget> {
        let targets: BTreeSet<Self> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(targets.into_iter().collect())
    }
}

impl FromStr for LogTarget {
    type Err = UnknownTarget;

    fn from_str(word: &str) -> Result<Self, UnknownTarget> {
        let word = word.trim();
        let known = Self::ALL.into_iter().find(|target| target.word() == word);
        known.ok_or_else(|| UnknownTarget { word: word.into() })
    }
}

/// A word that is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no log for `{word}`; there are tensorboard and mlflow, with a comma between them"
)]
pub struct UnknownTarget {
    /// The word.
    pub word: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_from_words_with_commas() {
        let all = LogTarget::parse_list("mlflow, tensorboard,mlflow");
        assert_eq!(all.as_deref(), Ok(LogTarget::ALL.as_slice()));
        for target in LogTarget::ALL {
            assert_eq!(LogTarget::parse_list(target.word()), Ok(vec![target]));
        }
        for (text, word) in [("", ""), ("mlflow,", ""), ("mlflow,wandb", "wandb")] {
            let error = LogTarget::parse_list(text).expect_err("no target");
            assert_eq!(error.word, word);
        }
    }
}
