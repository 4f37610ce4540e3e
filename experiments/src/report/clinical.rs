//! What a clinician asks of a test first: who is found and who is missed, whether probabilities are what they say, and at which hospitals
//! and scores the model is right.

use std::{collections::BTreeMap, fmt::Write as _};

use ::report::pictures::{Picture, PictureError, UnitSquare, escape};
use model::metrics::{OperatingPoint, Prediction, Share, calibration, precision_recall};

use crate::simulation::{TestPatient, TestResult};

/// Curves of precision against recall and of calibration, by patient, of the class that is looked for: class 1 of two, each of more.
///
/// # Errors
/// What the plotting library says.
pub fn pictures(
    test: &TestResult,
    classes: &[&str],
    leak: &str,
) -> Result<Vec<Picture>, PictureError> {
    let predictions = of_patients(test);
    let mut pictures = vec![];
    for class in looked_for(classes) {
        let name = classes[class];
        let scored = predictions
            .iter()
            .map(|one| (one.probabilities[class], one.label == class));
        if let Some(curve) = precision_recall(scored) {
            let points: Vec<(f64, f64)> = curve
                .points
                .iter()
                .map(|point| (point.recall, point.precision))
                .collect();
            let note = format!("average precision {:.2}", curve.average_precision);
            let title = format!("Precision and recall: {name}{leak}");
            let square = UnitSquare {
                title: &title,
                note: &note,
                axes: ["recall (sensitivity)", "precision (PPV)"],
                points: &points,
                marked: false,
                band: &[],
                reference: (
                    [(0.0, curve.prevalence), (1.0, curve.prevalence)],
                    "guessing",
                ),
            };
            let alt = format!(
                "{title}, by patient. {note}; {:.2} is guessing.",
                curve.prevalence
            );
            pictures.push(square.picture(&format!("precision-recall-{name}"), alt)?);
        }
    }
    if let Some(calibration) = calibration(&predictions, BINS) {
        for class in looked_for(classes) {
            let name = classes[class];
            let points: Vec<(f64, f64)> = calibration.bins[class]
                .iter()
                .map(|bin| (bin.predicted, bin.observed))
                .collect();
            let note = format!("Brier score {:.3} (0 is best)", calibration.brier);
            let title = format!("Calibration: {name}{leak}");
            let square = UnitSquare {
                title: &title,
                note: &note,
                axes: ["predicted probability", "share that has the class"],
                points: &points,
                marked: true,
                band: &[],
                reference: ([(0.0, 0.0), (1.0, 1.0)], "perfect"),
            };
            let alt = format!("{title}, by patient, in {BINS} bins. {note}.");
            pictures.push(square.picture(&format!("calibration-{name}"), alt)?);
        }
    }
    Ok(pictures)
}

/// Tables by patient: sensitivity and its like, hospitals, scores of the EDSS.
pub fn tables(test: &TestResult, classes: &[&str]) -> String {
    operating_points(test, classes) + &by_hospital(test) + &by_score(test)
}

fn of_patients(test: &TestResult) -> Vec<Prediction> {
    let patients = test.patients.iter();
    patients.map(|patient| patient.prediction.clone()).collect()
}

/// Of two classes the second says all.
fn looked_for(classes: &[&str]) -> std::ops::Range<usize> {
    if classes.len() == 2 {
        1..2
    } else {
        0..classes.len()
    }
}

fn operating_points(test: &TestResult, classes: &[&str]) -> String {
    let mut table = "<table><caption>Who is found, and who is missed (by patient)</caption><tr><th>class</th><th>sensitivity</th>\
                     <th>specificity</th><th>PPV</th><th>NPV</th></tr>"
        .to_owned();
    for class in looked_for(classes) {
        // Of more than two classes a patient is called what is most probable, which is no threshold.
        let scored = test.patients.iter().map(|patient| {
            let called = patient.prediction.class() == class;
            (
                f32::from(u8::from(called)),
                patient.prediction.label == class,
            )
        });
        let OperatingPoint {
            sensitivity,
            specificity,
            positive_predictive_value,
            negative_predictive_value,
        } = OperatingPoint::at(THRESHOLD, scored);
        let _ = write!(table, "<tr><th>{}</th>", escape(classes[class]));
        for share in [
            sensitivity,
            specificity,
            positive_predictive_value,
            negative_predictive_value,
        ] {
            let _ = write!(table, "<td>{}</td>", in_words(share));
        }
        table += "</tr>";
    }
    let rule = if classes.len() == 2 {
        "at a threshold of 0.5 on the mean probability of a patient's slices"
    } else {
        "a patient has the class of the highest mean probability"
    };
    let _ = write!(
        table,
        "</table><p class=\"note\">Called so {rule}. In brackets: how many of how many, and Wilson's 95% interval. PPV and NPV hold for \
         the mix of patients in this test, and for no other.</p>"
    );
    table
}

fn in_words(share: Share) -> String {
    let Share { part, whole } = share;
    match (share.value(), share.interval()) {
        (Some(value), Some([low, high])) => {
            format!("{value:.2} ({part} of {whole}; {low:.2} to {high:.2})")
        }
        _ => "nobody".to_owned(),
    }
}

fn by_hospital(test: &TestResult) -> String {
    let counted = right_by(test, |patient| patient.hospital.get());
    let mut table = "<table><caption>By hospital</caption><tr><th>hospital</th><th>test patients</th><th>right</th></tr>".to_owned();
    for (hospital, share) in counted {
        let Share { part, whole } = share;
        let _ = write!(
            table,
            "<tr><th>{hospital}</th><td>{whole}</td><td>{part}</td></tr>"
        );
    }
    table + "</table>"
}

fn by_score(test: &TestResult) -> String {
    // A score is a multiple of a half.
    let counted = right_by(test, |patient| (patient.edss.value() * 2.0).round() as u32);
    let mut table =
        "<table><caption>By EDSS</caption><tr><th>EDSS</th><th>test patients</th><th>right</th></tr>"
            .to_owned();
    for (halves, share) in counted {
        let Share { part, whole } = share;
        let score = f64::from(halves) / 2.0;
        let _ = write!(
            table,
            "<tr><th>{score:.1}</th><td>{whole}</td><td>{part}</td></tr>"
        );
    }
    table + "</table>"
}

fn right_by<K: Ord>(test: &TestResult, key: impl Fn(&TestPatient) -> K) -> BTreeMap<K, Share> {
    let mut counted = BTreeMap::new();
    for patient in &test.patients {
        let share = counted
            .entry(key(patient))
            .or_insert(Share { part: 0, whole: 0 });
        share.whole += 1;
        share.part += u64::from(patient.prediction.class() == patient.prediction.label);
    }
    counted
}

const THRESHOLD: f32 = 0.5;
const BINS: usize = 10;

#[cfg(test)]
mod tests {
    use crypto::sealed_sum::HospitalId;
    use model::metrics::{Level, Metrics, bootstrap};
    use model_data::Edss;

    use super::*;

    /// Twelve patients of two hospitals, of whom one of each class is called wrongly.
    fn test() -> TestResult {
        let patients: Vec<TestPatient> = (0..12)
            .map(|number: usize| {
                let label = number % 2;
                let is_wrong = number < 2;
                let share = if (label == 1) == is_wrong { 0.25 } else { 0.75 };
                let hospital = HospitalId::new(if number < 6 { 1 } else { 2 });
                TestPatient {
                    hospital: hospital.expect("in range"),
                    number,
                    edss: Edss::new(if label == 1 { 4.5 } else { 1.0 }).expect("on the scale"),
                    slices: 1,
                    prediction: Prediction {
                        patient: number,
                        label,
                        probabilities: vec![1.0 - share, share],
                    },
                }
            })
            .collect();
        let slices: Vec<Prediction> = patients
            .iter()
            .map(|patient| patient.prediction.clone())
            .collect();
        let intervals = || bootstrap(&slices, 2, Level::Patient, 50, 1);
        TestResult {
            slice: Metrics::of(&slices, 2),
            patient: Metrics::of(&slices, 2),
            slice_intervals: intervals(),
            patient_intervals: intervals(),
            majority_patient: 0.5,
            majority_slice: 0.5,
            shown: vec![],
            patients,
            slices,
        }
    }

    #[test]
    fn the_tables_say_who_is_found_where_and_at_which_scores() {
        let tables = tables(&test(), &["lower", "higher"]);
        // Wilson's interval of 5 of 6.
        assert!(
            tables.contains("<td>0.83 (5 of 6; 0.44 to 0.97)</td>"),
            "{tables}"
        );
        for row in [
            "<tr><th>1</th><td>6</td><td>4</td></tr>",
            "<tr><th>2</th><td>6</td><td>6</td></tr>",
            "<tr><th>1.0</th><td>6</td><td>5</td></tr>",
            "<tr><th>4.5</th><td>6</td><td>5</td></tr>",
        ] {
            assert!(tables.contains(row), "{row} in {tables}");
        }
    }

    #[test]
    fn the_curves_are_of_the_class_that_is_looked_for() {
        let pictures = pictures(&test(), &["lower", "higher"], "").expect("drawn");
        let names: Vec<&str> = pictures
            .iter()
            .map(|picture| picture.name.as_str())
            .collect();
        assert_eq!(names, ["precision-recall-higher", "calibration-higher"]);
        assert!(
            pictures[1].alt.contains("Brier score"),
            "{}",
            pictures[1].alt
        );
    }
}
