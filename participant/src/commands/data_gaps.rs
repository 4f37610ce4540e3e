//! What this hospital's data cannot teach in a run: classes without a patient here, features without a value.
//!
//! What concerns a run depends on its labels and its conditioning, so that it is told once the run is known.

use model_data::{FeatureSchema, ReadEntry, Task};
use protocol::{
    features::letters,
    labels::{Edss, EmptyClass, LabelScheme, Labels},
};

/// The gaps for every run that there may be. Another hospital may have what is missing here, so that none of this is an error.
#[derive(Debug, Default)]
pub struct DataGaps {
    empty_classes: Vec<(Labels, EmptyClass)>,
    /// Names of features that no patient has a value of.
    features: Vec<String>,
}

impl DataGaps {
    /// Of the patients that were read.
    pub fn of(patients: &[ReadEntry], schema: &FeatureSchema) -> Self {
        let scores = patients.iter().filter_map(|patient| patient.entry.edss);
        let scores: Vec<_> = scores.collect();
        let has_none = |place: &usize| {
            let mut patients = patients.iter();
            patients.all(|patient| patient.entry.features[*place].is_none())
        };
        let names = schema.names().enumerate();
        let without = names.filter(|(place, _)| has_none(place));
        Self::with(&scores, without.map(|(_, name)| name.to_owned()).collect())
    }

    fn with(scores: &[Edss], features: Vec<String>) -> Self {
        let all = Task::ALL.iter().flat_map(|&task| {
            let schemes = LabelScheme::ALL.iter();
            schemes.map(move |&scheme| Labels { task, scheme })
        });
        let empty_classes = all.filter_map(|labels| {
            let (task, cuts) = (labels.task, labels.scheme.cuts());
            let every = task.require_every_class(scores.iter().copied(), cuts);
            every.err().map(|empty| (labels, empty))
        });
        Self {
            empty_classes: empty_classes.collect(),
            features,
        }
    }

    /// A line for each gap that concerns a run with these labels that uses these features.
    pub fn in_run(&self, labels: Labels, used: &FeatureSchema) -> Vec<String> {
        let of_labels = self.empty_classes.iter();
        let of_labels = of_labels.filter(|(of, _)| *of == labels);
        let classes = of_labels.map(|(labels, empty)| {
            format!(
                "labels {}: {empty}: the model can learn this class only from other hospitals",
                labels.scheme
            )
        });
        let is_used = |name: &&String| used.names().any(|used| letters(used) == letters(name));
        let features = self.features.iter().filter(is_used);
        let features = features.map(|name| {
            format!(
                "no patient has a value of the feature {name}: the mean over the federation is used"
            )
        });
        classes.chain(features).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_of_the_gaps_in_its_own_labels_and_features_alone() {
        let score = Edss::new(3.0).expect("on the scale");
        let gaps = DataGaps::with(&[score], vec!["age".to_owned()]);
        assert_eq!(gaps.empty_classes.len(), 4);
        let labels = |task, scheme| Labels { task, scheme };
        let written = labels(Task::Binary, LabelScheme::AsWritten);
        let lines = gaps.in_run(written, &FeatureSchema::none());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("labels as-written: "), "{lines:?}");
        let counted = labels(Task::Multiclass, LabelScheme::AsCounted);
        let lesions = FeatureSchema::parse(&["T2 lesions: 0..100"]).expect("a column");
        assert_eq!(gaps.in_run(written, &lesions), lines);
        let lines = gaps.in_run(counted, &FeatureSchema::study());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("labels as-counted: "), "{lines:?}");
        assert!(lines[1].contains("the feature age"), "{lines:?}");
    }

    #[test]
    fn data_with_patients_of_every_class_have_no_gap() {
        let scores = [1.0, 3.0, 6.5].map(|score| Edss::new(score).expect("on the scale"));
        let gaps = DataGaps::with(&scores, Vec::new());
        for &task in Task::ALL {
            for &scheme in LabelScheme::ALL {
                let lines = gaps.in_run(Labels { task, scheme }, &FeatureSchema::study());
                assert!(lines.is_empty(), "{lines:?}");
            }
        }
    }
}
