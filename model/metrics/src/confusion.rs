//! The confusion matrix and everything that follows from it.

/// Counts by truth and prediction. Matrices of hospitals add up to that of the federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<Vec<u64>>,
}

/// Scores of one class against the rest; 0 where nothing was to be divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScores {
    /// Share of the predictions of the class that are right.
    pub precision: f64,
    /// Share of the class that is found.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// How many there are of the class.
    pub support: u64,
}

impl Confusion {
    /// `counts[truth][prediction]`; `None` unless square and of at least one class.
    pub fn new(counts: Vec<Vec<u64>>) -> Option<Self> {
        let square = counts.iter().all(|row| row.len() == counts.len());
        (square && !counts.is_empty()).then_some(Self { counts })
    }

    /// Counts pairs of (truth, prediction), both below `classes`.
    ///
    /// # Panics
    /// If a class is not below `classes`.
    pub fn count(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (truth, prediction) in pairs {
            counts[truth][prediction] += 1;
        }
        Self { counts }
    }

    /// `counts()[truth][prediction]`.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Samples counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Share on the diagonal; 0 of nothing.
    pub fn accuracy(&self) -> f64 {
        let right = (0..self.counts.len()).map(|class| self.counts[class][class]);
        ratio(right.sum(), self.total())
    }

    /// Mean recall of the classes that occur.
    pub fn balanced_accuracy(&self) -> f64 {
        let occurring = self
            .per_class()
            .into_iter()
            .filter(|class| class.support > 0);
        mean(occurring.map(|class| class.recall))
    }

    /// Scores of each class.
    pub fn per_class(&self) -> Vec<ClassScores> {
        let of_class = |class: usize| {
            let right = self.counts[class][class];
            let support = self.counts[class].iter().sum();
            let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
            ClassScores {
                precision: ratio(right, predicted),
                recall: ratio(right, support),
                f1: ratio(2 * right, predicted + support),
                support,
            }
        };
        (0..self.counts.len()).map(of_class).collect()
    }

    /// Precision, recall and F1 of all samples together: with one label a sample, each of them is
    /// the accuracy.
    pub fn micro_average(&self) -> ClassScores {
        let accuracy = self.accuracy();
        ClassScores {
            precision: accuracy,
            recall: accuracy,
            f1: accuracy,
            support: self.total(),
        }
    }

    /// Unweighted mean of precision, recall and F1 over the classes that occur or are predicted,
    /// as scikit-learn averages.
    pub fn macro_average(&self) -> ClassScores {
        let predicted = |class: usize| self.counts.iter().any(|row| row[class] > 0);
        let classes = self.per_class().into_iter().enumerate();
        let met: Vec<ClassScores> = classes
            .filter(|(class, scores)| scores.support > 0 || predicted(*class))
            .map(|(_, scores)| scores)
            .collect();
        let average = |of: fn(&ClassScores) -> f64| mean(met.iter().map(of));
        ClassScores {
            precision: average(|class| class.precision),
            recall: average(|class| class.recall),
            f1: average(|class| class.f1),
            support: self.total(),
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 {
        0.0
    } else {
        sum / f64::from(count)
    }
}
