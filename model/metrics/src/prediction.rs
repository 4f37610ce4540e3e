//! Predictions, and the table of scores made from them.

use std::collections::BTreeMap;

use super::{Confusion, auroc};

/// What the network says of one sample, and what is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Whose sample it is: any number that is the patient's alone.
    pub patient: usize,
    /// The class it has.
    pub label: usize,
    /// Probability of each class; none is NaN.
    pub probabilities: Vec<f32>,
}

impl Prediction {
    /// The most probable class; of equal ones the lowest.
    pub fn class(&self) -> usize {
        let mut best = 0;
        for (class, probability) in self.probabilities.iter().enumerate() {
            if *probability > self.probabilities[best] {
                best = class;
            }
        }
        best
    }
}

/// One prediction per patient: the mean of the probabilities of the patient's slices.
///
/// A patient's label is that of the first slice; all of them have the same.
pub fn per_patient(slices: &[Prediction]) -> Vec<Prediction> {
    let mut patients: BTreeMap<usize, Vec<&Prediction>> = BTreeMap::new();
    for slice in slices {
        patients.entry(slice.patient).or_default().push(slice);
    }
    let mean = |slices: &[&Prediction], class: usize| {
        let sum: f64 = slices
            .iter()
            .map(|slice| f64::from(slice.probabilities[class]))
            .sum();
        (sum / slices.len() as f64) as f32
    };
    patients
        .into_iter()
        .map(|(patient, slices)| Prediction {
            patient,
            label: slices[0].label,
            probabilities: (0..slices[0].probabilities.len())
                .map(|class| mean(&slices, class))
                .collect(),
        })
        .collect()
}

/// Scores of a set of predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// All that follows from counts.
    pub confusion: Confusion,
    /// Of class 1 for two classes, the mean of one class against the rest for more; `None` where
    /// a class does not occur, or nothing else does.
    pub auroc: Option<f64>,
    /// Of each class against the rest; `None` where it does not occur, or nothing else does.
    pub auroc_of_class: Vec<Option<f64>>,
}

impl Metrics {
    /// Scores `predictions` of a classifier of `classes` classes.
    ///
    /// # Panics
    /// If a label or a number of probabilities does not fit `classes`.
    pub fn of(predictions: &[Prediction], classes: usize) -> Self {
        Self::of_all(predictions.iter(), classes)
    }

    /// As [`Metrics::of`], of any collection that can be gone through several times.
    pub(super) fn of_all<'a>(
        predictions: impl Iterator<Item = &'a Prediction> + Clone,
        classes: usize,
    ) -> Self {
        let pairs = predictions.clone().map(|one| (one.label, one.class()));
        let against_rest = |class: usize| {
            auroc(
                predictions
                    .clone()
                    .map(|one| (one.probabilities[class], one.label == class)),
            )
        };
        let auroc_of_class: Vec<Option<f64>> = (0..classes).map(against_rest).collect();
        let auroc = if classes == 2 {
            auroc_of_class[1]
        } else {
            let each: Option<Vec<f64>> = auroc_of_class.iter().copied().collect();
            each.map(|each| each.iter().sum::<f64>() / classes as f64)
        };
        Self {
            confusion: Confusion::count(classes, pairs),
            auroc,
            auroc_of_class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(patient: usize, label: usize, probabilities: &[f32]) -> Prediction {
        Prediction {
            patient,
            label,
            probabilities: probabilities.to_vec(),
        }
    }

    #[test]
    fn a_patient_is_the_mean_of_its_slices() {
        let slices = [
            prediction(7, 1, &[0.9, 0.1]),
            prediction(2, 0, &[0.75, 0.25]),
            prediction(7, 1, &[0.0, 1.0]),
        ];
        let patients = per_patient(&slices);
        assert_eq!(patients[0], slices[1]);
        assert_eq!((patients[1].patient, patients[1].class()), (7, 1));
        assert!((patients[1].probabilities[1] - 0.55).abs() < 1e-6);
    }

    #[test]
    fn of_equal_probabilities_the_lowest_class_is_predicted() {
        assert_eq!(prediction(0, 0, &[0.2, 0.4, 0.4]).class(), 1);
    }

    #[test]
    fn auroc_is_undefined_where_a_class_is_absent() {
        let one_class = [prediction(0, 1, &[0.5, 0.5]), prediction(1, 1, &[0.1, 0.9])];
        assert_eq!(Metrics::of(&one_class, 2).auroc, None);
        let two_of_three = [
            prediction(0, 0, &[0.5, 0.3, 0.2]),
            prediction(1, 1, &[0.1, 0.8, 0.1]),
        ];
        let metrics = Metrics::of(&two_of_three, 3);
        assert_eq!(metrics.auroc, None);
        assert_eq!(metrics.auroc_of_class, [Some(1.0), Some(1.0), None]);
    }
}
