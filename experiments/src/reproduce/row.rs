//! Rows of the tables, and what their repetitions come to.

use model::metrics::{CrossedBootstrap, Prediction};
use protocol::{labels::Task, training_job::SplitKind, vocabulary::ConditioningForm};

use super::{
    baselines::FeaturesAlone,
    cell::{Cell, CellKey},
    options::BalanceName,
    scored::Scored,
    study::{self, StudyFigures},
};

/// A network: the repetitions of one cell.
pub struct Row {
    /// Which; the seed is that of the first repetition.
    pub key: CellKey,
    /// Samples trained on, by class: the mean.
    pub train_counts: Vec<f64>,
    /// How good it is.
    pub scored: Scored,
    /// What the study has.
    pub study: Option<StudyFigures>,
}

/// The clinical features alone.
pub struct FeaturesRow {
    /// What is told apart.
    pub task: Task,
    /// How the training set was balanced.
    pub balance: BalanceName,
    /// How the patients were cut.
    pub split: SplitKind,
    /// How good they are.
    pub scored: Scored,
}

impl Row {
    /// From the repetitions, in the order of their seeds.
    pub fn new(key: CellKey, cells: &[&Cell], bootstrap: &CrossedBootstrap) -> Self {
        let classes = key.task.classes();
        let runs: Vec<Vec<Prediction>> = cells.iter().map(|cell| cell.predictions()).collect();
        let mut train_counts = vec![0.0; classes];
        for cell in cells {
            for (mean, &count) in train_counts.iter_mut().zip(&cell.train_counts) {
                *mean += count as f64 / cells.len() as f64;
            }
        }
        Self {
            key,
            train_counts,
            scored: Scored::new(&runs, classes, bootstrap),
            study: study::figures(key.task, key.balance, key.model)
                .filter(|_| key.form == ConditioningForm::Study),
        }
    }
}

impl FeaturesRow {
    /// From what a logistic regression says.
    pub fn new(alone: &FeaturesAlone, bootstrap: &CrossedBootstrap) -> Self {
        let &FeaturesAlone {
            task,
            balance,
            split,
            ref runs,
        } = alone;
        Self {
            task,
            balance,
            split,
            scored: Scored::new(runs, task.classes(), bootstrap),
        }
    }

    /// Whether they were trained and tested on what this network was.
    pub fn is_beside(&self, key: &CellKey) -> bool {
        (self.task, self.balance, self.split) == (key.task, key.balance, key.split)
    }
}
