//! `predictions.csv` and `slices.csv`: one row a patient, one row a slice.
//!
//! The last column, `notice`, says in each row that this is not for diagnosis: a program reads it as one more column, and a person
//! sees it also in a part of the table that was copied. What a spreadsheet would take for a formula has an apostrophe in front; a
//! program takes one leading apostrophe of `patient` and `flags` away.

use crate::{NOTICE, PatientPrediction, Predictions, ResultsError, safe_name::cell};

/// `patient, class, p_CLASS.., p_low, p_high, flags, notice`; flags are joined by `; `.
pub(crate) fn predictions(predictions: &Predictions) -> Result<Vec<u8>, ResultsError> {
    let mut header = vec!["patient".to_owned(), "class".to_owned()];
    header.extend(class_columns(predictions));
    header.extend(["p_low", "p_high", "flags", "notice"].map(str::to_owned));
    table(
        header,
        predictions.patients.iter().map(|patient| {
            let mut row = vec![
                cell(&patient.patient).into_owned(),
                cell(&predictions.classes[patient.class]).into_owned(),
            ];
            row.extend(patient.probabilities.iter().map(f32::to_string));
            row.extend([patient.low.to_string(), patient.high.to_string()]);
            row.push(cell(&patient.flags.join("; ")).into_owned());
            row
        }),
    )
}

/// `patient, scan, contrast, slice, p_CLASS.., notice`; a scan is named as in the names of its pictures, slices
/// count from 0 at the feet.
pub(crate) fn slices(predictions: &Predictions) -> Result<Vec<u8>, ResultsError> {
    let mut header = ["patient", "scan", "contrast", "slice"]
        .map(str::to_owned)
        .to_vec();
    header.extend(class_columns(predictions));
    header.push("notice".to_owned());
    let of_patient = |patient: &'_ PatientPrediction| {
        let names = patient.scan_names();
        let row = |slice: &crate::SlicePrediction| {
            let mut row = vec![
                cell(&patient.patient).into_owned(),
                names[slice.scan].clone(),
                patient.scans[slice.scan].contrast.name().to_owned(),
                slice.index.to_string(),
            ];
            row.extend(slice.probabilities.iter().map(f32::to_string));
            row
        };
        patient.slices.iter().map(row).collect::<Vec<_>>()
    };
    table(header, predictions.patients.iter().flat_map(of_patient))
}

fn class_columns(predictions: &Predictions) -> impl Iterator<Item = String> {
    predictions.classes.iter().map(|class| format!("p_{class}"))
}

/// The notice is added to each row.
fn table(
    header: Vec<String>,
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<Vec<u8>, ResultsError> {
    let mut writer = csv::Writer::from_writer(vec![]);
    let write = || {
        writer.write_record(&header)?;
        for mut row in rows {
            row.push(NOTICE.to_owned());
            writer.write_record(&row)?;
        }
        writer.flush().map_err(csv::Error::from)
    };
    write().map_err(|error| ResultsError::encode("a table")(error.into()))?;
    writer
        .into_inner()
        .map_err(|error| ResultsError::encode("a table")(error.to_string().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::example;

    #[test]
    fn one_row_a_patient_and_no_formula() {
        let mut example = example();
        example.patients[0].patient = "=1+1,\"x\"".into();
        example.patients[0].flags = vec!["Few slices.".into(), "Tilted.".into()];
        let table = String::from_utf8(predictions(&example).expect("made")).expect("UTF-8");
        let mut lines = table.lines();
        assert_eq!(
            lines.next(),
            Some("patient,class,p_lower,p_higher,p_low,p_high,flags,notice")
        );
        assert_eq!(
            lines.next(),
            Some(
                "\"'=1+1,\"\"x\"\"\",higher,0.25,0.75,0.5,0.875,Few slices.; Tilted.,Not for diagnosis"
            )
        );
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn one_row_a_slice() {
        let table = String::from_utf8(slices(&example()).expect("made")).expect("UTF-8");
        assert_eq!(
            table.lines().next(),
            Some("patient,scan,contrast,slice,p_lower,p_higher,notice")
        );
        assert_eq!(
            table.lines().nth(1),
            Some("P 1,flair,flair,2,0.25,0.75,Not for diagnosis")
        );
        assert_eq!(table.lines().count(), 3);
    }
}
