//! Patients that a model is scored on although they differ from those that it was trained on: strange scanners, features far from the mean.

use std::collections::BTreeMap;

use protocol::counted::counted;
use results::PatientPrediction;
use serde_json::{Value, json};

/// What was remarked about patients, as `participant predict` remarks it.
pub struct Unusual {
    patients: Vec<(String, Vec<String>)>,
    scored: usize,
}

impl Unusual {
    /// Of those that were predicted.
    pub fn of(said: &[Option<PatientPrediction>]) -> Self {
        let scored = || said.iter().flatten();
        let flagged = scored().filter(|patient| !patient.flags.is_empty());
        Self {
            patients: flagged
                .map(|patient| (patient.patient.clone(), patient.flags.clone()))
                .collect(),
            scored: scored().count(),
        }
    }

    /// For people: a line for each remark, with the patients that it is about.
    pub fn lines(&self) -> Vec<String> {
        let mut remarks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (patient, flags) in &self.patients {
            for flag in flags {
                remarks.entry(flag).or_default().push(patient);
            }
        }
        let line = |(remark, patients): (&str, Vec<&str>)| {
            let named = patients.iter().take(MAX_NAMED).copied();
            let named = named.collect::<Vec<_>>().join(", ");
            let more = match patients.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let count = patients.len();
            let of = counted(self.scored, ["patient", "patients"]);
            format!("{count} of {of}: {remark} ({named}{more})")
        };
        remarks.into_iter().map(line).collect()
    }

    /// For programs: a patient with its remarks.
    pub fn json(&self) -> Value {
        let patients = self.patients.iter();
        patients
            .map(|(patient, flags)| json!({"patient": patient, "flags": flags}))
            .collect()
    }
}

const MAX_NAMED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(patient: &str, flags: &[&str]) -> Option<PatientPrediction> {
        Some(PatientPrediction {
            patient: patient.to_owned(),
            class: 0,
            probabilities: vec![0.75, 0.25],
            low: 0.7,
            high: 0.8,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            slices: vec![],
            scans: vec![],
        })
    }

    #[test]
    fn a_remark_is_told_once_with_the_patients_that_it_is_about() {
        let far = "age is far from the average";
        let mut said: Vec<_> = (1..=10)
            .map(|number| predicted(&format!("A{number}"), &[far]))
            .collect();
        said.extend([
            None,
            predicted("B1", &[]),
            predicted("B2", &["scanner X", far]),
        ]);
        let unusual = Unusual::of(&said);
        assert_eq!(
            unusual.lines(),
            [
                "11 of 12 patients: age is far from the average (A1, A2, A3, A4, A5, A6, A7, A8 and 3 more)",
                "1 of 12 patients: scanner X (B2)",
            ]
        );
        let json = unusual.json();
        assert_eq!(json.as_array().map(Vec::len), Some(11));
        assert_eq!(
            json[10],
            json!({"patient": "B2", "flags": ["scanner X", far]})
        );
        assert!(Unusual::of(&[predicted("C", &[])]).lines().is_empty());
    }
}
