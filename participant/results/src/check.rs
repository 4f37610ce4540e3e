//! Whether predictions fit together, before anything is written.

use std::collections::BTreeSet;

use crate::predictions::{
    MAX_CLASS_CHARS, MAX_CLASSES, MAX_FLAGS, MAX_PATIENT_BYTES, MAX_PLANES, MAX_SCANS,
    MAX_TEXT_BYTES, PatientPrediction, Predictions, SLICE_PIXELS,
};

/// Why predictions are not written. A fault of the program that made them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PredictionsError {
    /// A field of the whole that is empty, too long or of another form.
    #[error("{field} is {found:?}; it must be {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What stands there, cut where it is long.
        found: String,
        /// What should.
        expected: String,
    },
    /// Two patients of one name.
    #[error("two patients are named {patient:?}; give each a name of its own")]
    TwoPatients {
        /// The name.
        patient: String,
    },
    /// A field of a patient.
    #[error("{field} of patient {patient:?} must be {expected}")]
    Patient {
        /// The patient's name, as the hospital has it.
        patient: String,
        /// Which.
        field: &'static str,
        /// What it should be.
        expected: String,
    },
}

impl Predictions {
    /// Whether every length, index and number is one that can be written.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), PredictionsError> {
        let hash = &self.model.model_hash;
        let hexadecimal = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let is_hash = hash.len() == 64 && hash.chars().all(hexadecimal);
        field(
            "model_hash",
            hash,
            is_hash,
            "64 lower-case hexadecimal digits",
        )?;
        text("conditioning", &self.model.conditioning)?;
        text("made_by", &self.made_by)?;
        let one_line = !self.made_by.contains(|c: char| c.is_control() || c == '\\');
        field(
            "made_by",
            &self.made_by,
            one_line,
            "one line without a backslash",
        )?;
        if let Some(run) = &self.model.run {
            text("run", run)?;
        }
        let dated = self.date.parse::<jiff::Timestamp>().is_ok();
        field(
            "date",
            &self.date,
            dated,
            "ISO 8601, such as 2026-12-01T12:00:00Z",
        )?;
        let count = self.classes.len();
        let expected = format!("2 to {MAX_CLASSES} names");
        field(
            "classes",
            &format!("{count} names"),
            (2..=MAX_CLASSES).contains(&count),
            &expected,
        )?;
        let mut names = BTreeSet::new();
        for name in &self.classes {
            let fits = !name.is_empty()
                && name.chars().count() <= MAX_CLASS_CHARS
                && !name.chars().any(|c| c.is_control() || c == '\\')
                && names.insert(name);
            let expected = format!("1 to {MAX_CLASS_CHARS} characters, and no other's name");
            field("the name of a class", name, fits, &expected)?;
        }
        let mut patients = BTreeSet::new();
        for patient in &self.patients {
            let fits = (1..=MAX_PATIENT_BYTES).contains(&patient.patient.len());
            let expected = format!("1 to {MAX_PATIENT_BYTES} bytes");
            field("the name of a patient", &patient.patient, fits, &expected)?;
            if !patients.insert(&patient.patient) {
                let patient = patient.patient.clone();
                return Err(PredictionsError::TwoPatients { patient });
            }
            patient.check(count)?;
        }
        Ok(())
    }
}

impl PatientPrediction {
    fn check(&self, classes: usize) -> Result<(), PredictionsError> {
        let must = |holds: bool, field, expected: String| {
            if holds {
                return Ok(());
            }
            Err(PredictionsError::Patient {
                patient: self.patient.clone(),
                field,
                expected,
            })
        };
        let share = |share: &f32| (0.0..=1.0).contains(share);
        let shares = |of: &[f32]| of.len() == classes && of.iter().all(share);
        let each = format!("{classes} numbers from 0 to 1");
        must(self.class < classes, "class", format!("below {classes}"))?;
        must(shares(&self.probabilities), "probabilities", each.clone())?;
        let ordered = share(&self.low) && share(&self.high) && self.low <= self.high;
        must(ordered, "the interval", "from 0 to 1, low first".into())?;
        let short = |text: &String| (1..=MAX_TEXT_BYTES).contains(&text.len());
        let flags = self.flags.len() <= MAX_FLAGS && self.flags.iter().all(short);
        let expected = format!("at most {MAX_FLAGS} texts of 1 to {MAX_TEXT_BYTES} bytes");
        must(flags, "flags", expected)?;
        let scans = self.scans.len();
        must(scans <= MAX_SCANS, "scans", format!("at most {MAX_SCANS}"))?;
        let mut places = BTreeSet::new();
        for slice in &self.slices {
            must(
                slice.scan < scans,
                "the scan of a slice",
                format!("below {scans}"),
            )?;
            let grid = self.scans[slice.scan].grid.as_ref();
            let planes = grid.map_or(MAX_PLANES, |grid| grid.planes.min(MAX_PLANES));
            let fits = (slice.index as usize) < planes;
            must(fits, "the index of a slice", format!("below {planes}"))?;
            let first = places.insert((slice.scan, slice.index));
            must(first, "the index of a slice", "told once in a scan".into())?;
            must(
                shares(&slice.probabilities),
                "probabilities of a slice",
                each.clone(),
            )?;
            if let Some(picture) = &slice.picture {
                let fits = picture.pixels.len() == SLICE_PIXELS
                    && picture.heat.len() == SLICE_PIXELS
                    && picture.heat.iter().all(share);
                let expected = format!("{SLICE_PIXELS} pixels, and as many numbers from 0 to 1");
                must(fits, "the picture of a slice", expected)?;
            }
        }
        Ok(())
    }
}

fn text(name: &'static str, found: &str) -> Result<(), PredictionsError> {
    let fits = (1..=MAX_TEXT_BYTES).contains(&found.len());
    field(name, found, fits, &format!("1 to {MAX_TEXT_BYTES} bytes"))
}

fn field(
    name: &'static str,
    found: &str,
    fits: bool,
    expected: &str,
) -> Result<(), PredictionsError> {
    if fits {
        return Ok(());
    }
    Err(PredictionsError::Field {
        field: name,
        found: found.chars().take(80).collect(),
        expected: expected.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::example;

    #[test]
    fn an_example_passes_and_each_fault_is_named() {
        type Change = fn(&mut Predictions);
        let changed = |change: Change| {
            let mut predictions = example();
            change(&mut predictions);
            let error = predictions.check().expect_err("a fault");
            error.to_string()
        };
        assert_eq!(example().check(), Ok(()));
        let faults: [(Change, &str); 11] = [
            (|p| p.model.model_hash.truncate(63), "model_hash"),
            (|p| p.date = "yesterday".into(), "date"),
            (
                |p| p.classes[1] = p.classes[0].clone(),
                "the name of a class",
            ),
            (|p| p.patients[0].class = 2, "class"),
            (
                |p| p.patients[0].probabilities[0] = f32::NAN,
                "probabilities",
            ),
            (|p| p.patients[0].low = 0.99, "the interval"),
            (|p| p.patients[0].flags = vec![String::new()], "flags"),
            (|p| p.patients[0].slices[0].scan = 7, "the scan of a slice"),
            (
                |p| p.patients[0].slices[0].index = 9,
                "the index of a slice",
            ),
            (
                |p| {
                    let picture = p.patients[0].slices[0].picture.as_mut();
                    picture.expect("there").heat[3] = 1.5;
                },
                "the picture of a slice",
            ),
            (
                |p| {
                    let twin = p.patients[0].clone();
                    p.patients.push(twin);
                },
                "two patients",
            ),
        ];
        for (change, named) in faults {
            let error = changed(change);
            assert!(error.contains(named), "{error} does not name {named}");
        }
    }
}
