//! What a clinician asks of a test first: who is found and who is missed, whether probabilities are what they say, and at which hospitals
//! and scores the model is right.

use std::{collections::BTreeMap, fmt::Write as _};

use model_metrics::{OperatingPoint, Prediction, Share, calibration, precision_recall};

use crate::pictures::{Picture, PictureError, UnitSquare, escape};

/// A test patient whose score is known.
#[derive(Clone, Debug)]
pub struct ScoredPatient {
    /// Whose; none where all are of one hospital.
    pub hospital: Option<u8>,
    /// On the scale of the EDSS, from 0 to 10 in steps of a half.
    pub edss: f64,
    /// By the mean of the patient's slices.
    pub prediction: Prediction,
}

/// Curves of precision against recall and of calibration, by patient, of the class that is looked for: class 1 of two, each of more.
/// `leak` is added to each title.
///
/// # Errors
/// What the plotting library says.
pub fn pictures(
    patients: &[ScoredPatient],
    classes: &[&str],
    leak: &str,
) -> Result<Vec<Picture>, PictureError> {
    let predictions: Vec<Prediction> = { patients.iter() }
        .map(|patient| patient.prediction.clone())
        .collect();
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
pub fn tables(patients: &[ScoredPatient], classes: &[&str]) -> String {
    operating_points(patients, classes) + &by_hospital(patients) + &by_score(patients)
}

/// The classes that curves are drawn for: of two the second says all.
pub fn looked_for(classes: &[&str]) -> std::ops::Range<usize> {
    if classes.len() == 2 {
        1..2
    } else {
        0..classes.len()
    }
}

fn operating_points(patients: &[ScoredPatient], classes: &[&str]) -> String {
    let mut table = "<table><caption>Who is found, and who is missed (by patient)</caption><tr><th>class</th><th>sensitivity</th>\
                     <th>specificity</th><th>PPV</th><th>NPV</th></tr>"
        .to_owned();
    for class in looked_for(classes) {
        // Of more than two classes a patient is called what is most probable, which is no threshold.
        let scored = patients.iter().map(|patient| {
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

fn by_hospital(patients: &[ScoredPatient]) -> String {
    let counted = right_by(patients, |patient| patient.hospital);
    if counted.keys().all(Option::is_none) {
        return String::new();
    }
    let mut table = "<table><caption>By hospital</caption><tr><th>hospital</th><th>test patients</th><th>right</th></tr>".to_owned();
    for (hospital, share) in counted {
        let Share { part, whole } = share;
        let hospital =
            hospital.map_or_else(|| "unknown".to_owned(), |hospital| hospital.to_string());
        let _ = write!(
            table,
            "<tr><th>{hospital}</th><td>{whole}</td><td>{part}</td></tr>"
        );
    }
    table + "</table>"
}

fn by_score(patients: &[ScoredPatient]) -> String {
    // A score is a multiple of a half.
    let counted = right_by(patients, |patient| (patient.edss * 2.0).round() as u32);
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

fn right_by<K: Ord>(
    patients: &[ScoredPatient],
    key: impl Fn(&ScoredPatient) -> K,
) -> BTreeMap<K, Share> {
    let mut counted = BTreeMap::new();
    for patient in patients {
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
    use super::*;

    /// Twelve patients of two hospitals, of whom one of each class is called wrongly.
    fn patients() -> Vec<ScoredPatient> {
        let patient = |number: usize| {
            let label = number % 2;
            let is_wrong = number < 2;
            let share = if (label == 1) == is_wrong { 0.25 } else { 0.75 };
            ScoredPatient {
                hospital: Some(if number < 6 { 1 } else { 2 }),
                edss: if label == 1 { 4.5 } else { 1.0 },
                prediction: Prediction {
                    patient: number,
                    label,
                    probabilities: vec![1.0 - share, share],
                },
            }
        };
        (0..12).map(patient).collect()
    }

    #[test]
    fn the_tables_say_who_is_found_where_and_at_which_scores() {
        let tables = tables(&patients(), &["lower", "higher"]);
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
    fn of_one_hospital_there_is_no_table_of_hospitals() {
        let mut patients = patients();
        for patient in &mut patients {
            patient.hospital = None;
        }
        let tables = tables(&patients, &["lower", "higher"]);
        assert!(!tables.contains("By hospital") && tables.contains("By EDSS"));
    }

    #[test]
    fn the_curves_are_of_the_class_that_is_looked_for() {
        let pictures = pictures(&patients(), &["lower", "higher"], "").expect("drawn");
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
