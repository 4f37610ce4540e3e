//! How this hospital's patients were split, so that a later look can tell whether its test patients are still those of the run. It stays
//! in the state folder: a hash of the patients' IDs is not for anybody else.

use crypto::hash::labelled_hash;
use protocol::training_job::{SplitKind, SplitPlan};
use serde::{Deserialize, Serialize};

/// Of the patients that a run was taken part in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitFingerprint {
    /// How many.
    pub patients: usize,
    /// In hexadecimal, of all that a split depends on.
    hash: String,
}

impl SplitFingerprint {
    /// Of patients in the order of the data set, each with its ID, score and number of slices; those without slices left out.
    pub fn of<'a>(
        plan: SplitPlan,
        patients: impl IntoIterator<Item = (&'a str, f64, usize)>,
    ) -> Self {
        let kind = match plan.kind {
            SplitKind::Patient => [0],
            SplitKind::Slice => [1],
        };
        let mut bytes = vec![];
        let mut count = 0;
        for (id, score, slices) in patients.into_iter().filter(|(_, _, slices)| *slices > 0) {
            count += 1;
            bytes.extend((id.len() as u64).to_le_bytes());
            bytes.extend(id.as_bytes());
            bytes.extend(score.to_le_bytes());
            bytes.extend((slices as u64).to_le_bytes());
        }
        let hash = labelled_hash(LABEL, &[&kind, &plan.seed.to_le_bytes(), &bytes]);
        Self {
            patients: count,
            hash: hex::encode(hash),
        }
    }
}

const LABEL: &str = "own-split";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_split_depends_on_changes_it_and_a_patient_without_slices_does_not() {
        let plan = |kind, seed| SplitPlan { kind, seed };
        let by_patient = plan(SplitKind::Patient, 1);
        let patients = [("one", 2.0, 16), ("two", 4.5, 16)];
        let first = SplitFingerprint::of(by_patient, patients);
        assert_eq!(first.patients, 2);
        let with_empty = [patients[0], ("three", 1.0, 0), patients[1]];
        assert_eq!(first, SplitFingerprint::of(by_patient, with_empty));
        for (plan, patients) in [
            (plan(SplitKind::Slice, 1), patients),
            (plan(SplitKind::Patient, 2), patients),
            (by_patient, [("on", 2.0, 16), ("etwo", 4.5, 16)]),
            (by_patient, [("one", 2.5, 16), patients[1]]),
            (by_patient, [("one", 2.0, 15), patients[1]]),
            (by_patient, [patients[1], patients[0]]),
        ] {
            assert_ne!(first, SplitFingerprint::of(plan, patients));
        }
    }
}
