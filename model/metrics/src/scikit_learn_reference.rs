//! Scores against those that scikit-learn recorded (tests/oracle/make_metrics.py).

use serde::Deserialize;

use super::{
    Confusion, Metrics, Prediction, calibration, per_patient, precision_recall, roc_curve,
};

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    classes: usize,
    count: usize,
    slices: usize,
    by_slice: Table,
    by_patient: Table,
}

#[derive(Deserialize)]
struct Table {
    confusion: Vec<Vec<u64>>,
    accuracy: f64,
    balanced_accuracy: f64,
    #[serde(rename = "macro")]
    macro_average: [f64; 3],
    #[serde(rename = "micro")]
    micro_average: [f64; 3],
    per_class: Vec<[f64; 4]>,
    auroc: f64,
    auroc_of_class: Vec<f64>,
    roc: Vec<Vec<[f64; 3]>>,
    average_precision: Vec<f64>,
    precision_recall: Vec<Vec<[f64; 3]>>,
    brier: f64,
    calibration: Vec<Vec<[f64; 2]>>,
}

/// The script's formula.
fn predictions(case: &Case) -> Vec<Prediction> {
    let classes = case.classes;
    let prediction = |index: usize| {
        let patient = index / case.slices;
        let label = (patient * 7 % 11) % classes;
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
            patient,
            label,
            probabilities: (0..classes).map(share).collect(),
        }
    };
    (0..case.count).map(prediction).collect()
}

fn assert_all_close(ours: &[f64], theirs: &[f64], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        let close = (ours - theirs).abs() < 1e-12;
        assert!(close, "{what}: {ours}, recorded {theirs}");
    }
}

fn assert_table(predictions: &[Prediction], table: &Table) {
    let classes = table.confusion.len();
    let Metrics {
        confusion,
        auroc,
        auroc_of_class,
    } = Metrics::of(predictions, classes);
    assert_eq!(confusion.counts(), table.confusion);
    assert_eq!(confusion.total(), predictions.len() as u64);
    for (ours, theirs, what) in [
        (confusion.accuracy(), table.accuracy, "accuracy"),
        (
            confusion.balanced_accuracy(),
            table.balanced_accuracy,
            "balanced accuracy",
        ),
        (auroc.expect("every class occurs"), table.auroc, "AUROC"),
    ] {
        assert_all_close(&[ours], &[theirs], what);
    }
    for (average, theirs, what) in [
        (confusion.macro_average(), table.macro_average, "macro"),
        (confusion.micro_average(), table.micro_average, "micro"),
    ] {
        let ours = [average.precision, average.recall, average.f1];
        assert_all_close(&ours, &theirs, what);
    }
    for (class, theirs) in table.per_class.iter().enumerate() {
        let scores = confusion.per_class()[class];
        let support = scores.support as f64;
        let ours = [scores.precision, scores.recall, scores.f1, support];
        assert_all_close(&ours, theirs, "per class");
        let area = auroc_of_class[class].expect("every class occurs");
        assert_all_close(&[area], &[table.auroc_of_class[class]], "AUROC of a class");
        let scored = predictions
            .iter()
            .map(|one| (one.probabilities[class], one.label == class));
        let curve = roc_curve(scored).expect("every class occurs");
        let start = (curve[0].false_positive_rate, curve[0].true_positive_rate);
        assert_eq!((start, curve[0].threshold), ((0.0, 0.0), f32::INFINITY));
        let ours: Vec<[f64; 3]> = curve[1..]
            .iter()
            .map(|point| {
                let threshold = f64::from(point.threshold);
                [
                    point.false_positive_rate,
                    point.true_positive_rate,
                    threshold,
                ]
            })
            .collect();
        let theirs = table.roc[class].as_flattened();
        assert_all_close(ours.as_flattened(), theirs, "ROC");
        assert_precision_recall(predictions, table, class);
    }
    let calibration = calibration(predictions, 10).expect("predictions");
    assert_all_close(&[calibration.brier], &[table.brier], "Brier score");
    for (bins, theirs) in calibration.bins.iter().zip(&table.calibration) {
        let ours: Vec<[f64; 2]> = bins
            .iter()
            .map(|bin| [bin.predicted, bin.observed])
            .collect();
        assert_all_close(ours.as_flattened(), theirs.as_flattened(), "calibration");
        let count: usize = bins.iter().map(|bin| bin.count).sum();
        assert_eq!(count, predictions.len());
    }
}

fn assert_precision_recall(predictions: &[Prediction], table: &Table, class: usize) {
    let scored = predictions
        .iter()
        .map(|one| (one.probabilities[class], one.label == class));
    let curve = precision_recall(scored).expect("the class occurs");
    let area = curve.average_precision;
    assert_all_close(
        &[area],
        &[table.average_precision[class]],
        "average precision",
    );
    // The first of theirs has no threshold: nothing is called positive there.
    let ours: Vec<[f64; 3]> = curve
        .points
        .iter()
        .map(|point| [point.precision, point.recall, f64::from(point.threshold)])
        .collect();
    let theirs = &table.precision_recall[class];
    assert_all_close(
        ours.as_flattened(),
        theirs.as_flattened(),
        "precision and recall",
    );
}

#[test]
fn every_score_is_that_of_scikit_learn() {
    let recorded: Recorded = serde_json::from_str(include_str!("../tests/oracle/metrics.json"))
        .expect("written by the script");
    assert_eq!(recorded.cases.len(), 5);
    for case in recorded.cases {
        let slices = predictions(&case);
        assert_table(&slices, &case.by_slice);
        assert_table(&per_patient(&slices), &case.by_patient);
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
