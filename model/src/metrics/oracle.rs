//! Scores against those that scikit-learn recorded (tests/oracle/make_metrics.py).

use serde::Deserialize;

use super::{Confusion, Metrics, Prediction};

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    classes: usize,
    count: usize,
    confusion: Vec<Vec<u64>>,
    accuracy: f64,
    balanced_accuracy: f64,
    #[serde(rename = "macro")]
    macro_average: [f64; 3],
    micro_f1: f64,
    per_class: Vec<[f64; 4]>,
    auroc: f64,
}

/// The script's formula.
fn predictions(classes: usize, count: usize) -> Vec<Prediction> {
    let prediction = |index: usize| {
        let label = (index * 7 % 11) % classes;
        let raw = |class: usize| {
            let leaning = if class == label && !index.is_multiple_of(3) {
                9
            } else {
                0
            };
            (index * (13 + 5 * class) + class * class) % 17 + leaning + 1
        };
        let total: usize = (0..classes).map(raw).sum();
        let share = |class| (raw(class) as f64 / total as f64) as f32;
        Prediction {
            patient: index,
            label,
            probabilities: (0..classes).map(share).collect(),
        }
    };
    (0..count).map(prediction).collect()
}

#[test]
fn every_score_is_that_of_scikit_learn() {
    let recorded: Recorded = serde_json::from_str(include_str!("../../tests/oracle/metrics.json"))
        .expect("written by the script");
    let close = |ours: f64, theirs: f64, what: &str| {
        assert!(
            (ours - theirs).abs() < 1e-12,
            "{what}: {ours}, recorded {theirs}"
        );
    };
    for case in recorded.cases {
        let Metrics { confusion, auroc } =
            Metrics::of(&predictions(case.classes, case.count), case.classes);
        assert_eq!(confusion.counts(), case.confusion);
        assert_eq!(confusion.total(), case.count as u64);
        close(confusion.accuracy(), case.accuracy, "accuracy");
        close(confusion.accuracy(), case.micro_f1, "micro F1");
        close(
            confusion.balanced_accuracy(),
            case.balanced_accuracy,
            "balanced accuracy",
        );
        let average = confusion.macro_average();
        let ours = [average.precision, average.recall, average.f1];
        for (ours, theirs) in ours.into_iter().zip(case.macro_average) {
            close(ours, theirs, "macro");
        }
        for (class, theirs) in confusion.per_class().iter().zip(case.per_class) {
            let ours = [
                class.precision,
                class.recall,
                class.f1,
                class.support as f64,
            ];
            for (ours, theirs) in ours.into_iter().zip(theirs) {
                close(ours, theirs, "per class");
            }
        }
        close(auroc.expect("every class occurs"), case.auroc, "AUROC");
    }
}

#[test]
fn classes_that_never_occur_do_not_pull_the_averages_down() {
    let confusion = Confusion::new(vec![vec![3, 1, 0], vec![0, 4, 0], vec![0, 0, 0]]);
    let confusion = confusion.expect("square");
    assert_eq!(confusion.balanced_accuracy(), 0.875);
    assert_eq!(confusion.macro_average().recall, 0.875);
    assert_eq!(confusion.accuracy(), 0.875);
    assert_eq!(Confusion::new(vec![vec![1, 2], vec![3]]), None);
    assert_eq!(Confusion::new(vec![]), None);
    let nothing = Confusion::count(2, []);
    assert_eq!(
        (nothing.accuracy(), nothing.balanced_accuracy()),
        (0.0, 0.0)
    );
}
