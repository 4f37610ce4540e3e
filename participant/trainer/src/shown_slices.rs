//! Which validation slices people here are shown: the middle slice of each patient, the classes in turn, until there are enough.
//!
//! The same scans, classes and seed give the same slices in every round, so that one can see how the model's view of them changes.

use std::collections::BTreeMap;

use model_data::Sample;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;

/// Up to `most` of `samples`, one a patient. Their order is drawn: it says nothing of the patients' place in a table, nor of their names.
pub fn shown_slices(
    samples: &[Sample],
    class_of: impl Fn(usize) -> usize,
    seed: u64,
    most: usize,
) -> Vec<Sample> {
    let mut patients: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for sample in samples {
        patients
            .entry(sample.patient)
            .or_default()
            .push(sample.slice);
    }
    let mut classes: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
    for (patient, mut slices) in patients {
        slices.sort_unstable();
        let slice = slices[slices.len() / 2];
        let of_class = classes.entry(class_of(patient)).or_default();
        of_class.push(Sample { patient, slice });
    }
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    // The split has drawn from the first.
    rng.set_stream(OF_SHOWN_SLICES);
    for of_class in classes.values_mut() {
        of_class.shuffle(&mut rng);
    }
    let turns = classes.values().map(Vec::len).max().unwrap_or(0);
    let in_turn = |turn: usize| classes.values().filter_map(move |class| class.get(turn));
    (0..turns).flat_map(in_turn).copied().take(most).collect()
}

const OF_SHOWN_SLICES: u64 = 1;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// So many patients with five slices each, of which the first is not among the samples.
    fn samples(patients: usize) -> Vec<Sample> {
        let slices = |patient| (1..5).map(move |slice| Sample { patient, slice });
        (0..patients).flat_map(slices).collect()
    }

    #[test]
    fn each_patient_is_shown_once_with_the_middle_slice() {
        let mut samples = samples(5);
        samples.reverse();
        let shown = shown_slices(&samples, |_| 0, 1, 8);
        let patients: BTreeSet<usize> = shown.iter().map(|sample| sample.patient).collect();
        assert_eq!((shown.len(), patients.len()), (5, 5));
        assert!(shown.iter().all(|sample| sample.slice == 3), "{shown:?}");
    }

    #[test]
    fn classes_take_turns_and_one_that_runs_out_leaves_its_turns_to_the_others() {
        // Three patients of class 1 among twenty.
        let class_of = |patient: usize| usize::from(patient.is_multiple_of(8));
        let shown = shown_slices(&samples(20), class_of, 1, 8);
        let classes: Vec<usize> = shown
            .iter()
            .map(|sample| class_of(sample.patient))
            .collect();
        assert_eq!(classes, [0, 1, 0, 1, 0, 1, 0, 0]);
    }

    #[test]
    fn the_choice_is_the_same_each_time_and_its_order_is_not_that_of_the_table() {
        let samples = samples(40);
        let shown = shown_slices(&samples, |_| 0, 1, 8);
        assert_eq!(shown, shown_slices(&samples, |_| 0, 1, 8));
        assert_ne!(shown, shown_slices(&samples, |_| 0, 2, 8));
        assert!(!shown.is_sorted(), "{shown:?}");
        assert_eq!(shown_slices(&[], |_| 0, 1, 8), []);
    }
}
