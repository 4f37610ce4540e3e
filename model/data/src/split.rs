//! 70 / 15 / 15, stratified by class, by patient or by slice.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use protocol::{
    labels::{Edss, Labels},
    training_job::SplitPlan,
};
use rand::{RngExt as _, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;

use super::SplitKind;

/// Percent of training, validation and test.
const SHARES: [usize; 3] = [70, 15, 15];
/// Fewest units (patients or slices) that can be split.
const FEWEST: usize = 4;

/// One slice of one patient of a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sample {
    /// Index of the patient.
    pub patient: usize,
    /// Index among the patient's slices.
    pub slice: usize,
}

/// Three disjoint parts that together are everything; each is sorted and none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// About 70%.
    pub train: Vec<Sample>,
    /// About 15%.
    pub validation: Vec<Sample>,
    /// About 15%.
    pub test: Vec<Sample>,
}

/// Splits patients, each given as (score, number of slices), by the classes of a run. Vault and trainer of a hospital both do so,
/// each from what it has, and get the same.
///
/// # Errors
/// As [`split`].
pub fn split_by_labels(
    patients: &[(Edss, usize)],
    labels: Labels,
    plan: SplitPlan,
) -> Result<Split, SplitError> {
    let units: Vec<_> = patients
        .iter()
        .map(|&(edss, slices)| (labels.class_of(edss), slices))
        .collect();
    split(&units, plan.kind, plan.seed)
}

/// Splits patients, each given as (class, number of slices).
///
/// Sizes are exact over all classes (largest remainder: 40 patients give 28, 6 and 6), and each
/// class is dealt as near to 70 / 15 / 15 as those sizes allow. The same seed gives the same split.
///
/// A class that is so rare that its share of the test, or of the validation, is less than one place and would be rounded to none gets a
/// place by chance, as often as its share says. So a class of which each hospital has one or two patients is tested at some hospitals,
/// and over a federation in its proportion, though no hospital knows what the others have.
///
/// # Errors
/// Fewer than 4 patients, or by slice, fewer than 4 slices.
pub fn split(patients: &[(usize, usize)], kind: SplitKind, seed: u64) -> Result<Split, SplitError> {
    let everyone = patients.iter().enumerate();
    let units: Vec<Unit> = match kind {
        SplitKind::Patient => everyone
            .filter(|(_, (_, slices))| *slices > 0)
            .map(|(patient, &(class, slices))| Unit {
                class,
                patient,
                slices: 0..slices,
            })
            .collect(),
        SplitKind::Slice => everyone
            .flat_map(|(patient, &(class, slices))| {
                (0..slices).map(move |slice| Unit {
                    class,
                    patient,
                    slices: slice..slice + 1,
                })
            })
            .collect(),
    };
    if units.len() < FEWEST {
        return Err(match kind {
            SplitKind::Patient => SplitError::FewPatients { found: units.len() },
            SplitKind::Slice => SplitError::FewSlices { found: units.len() },
        });
    }
    let mut parts = [vec![], vec![], vec![]];
    let dealt = deal(&units, seed);
    for (
        Unit {
            patient, slices, ..
        },
        part,
    ) in units.into_iter().zip(dealt)
    {
        parts[part].extend(slices.map(|slice| Sample { patient, slice }));
    }
    let [train, validation, test] = parts;
    Ok(Split {
        train,
        validation,
        test,
    })
}

/// Why a hospital's patients cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Too few to give every part a patient and still train.
    #[error(
        "{found} patients with images cannot be split by patient (at least 4 are needed): \
         use fewer hospitals, or --split slice, which lets slices of one patient fall on both sides"
    )]
    FewPatients {
        /// Patients with at least one slice.
        found: usize,
    },
    /// Too few to give every part a slice and still train.
    #[error("{found} slices cannot be split (at least 4 are needed)")]
    FewSlices {
        /// Slices in all.
        found: usize,
    },
}

/// What stays together.
struct Unit {
    class: usize,
    patient: usize,
    slices: Range<usize>,
}

/// The part (0 train, 1 validation, 2 test) of each unit.
fn deal(units: &[Unit], seed: u64) -> Vec<usize> {
    let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (unit, Unit { class, .. }) in units.iter().enumerate() {
        classes.entry(*class).or_default().push(unit);
    }
    let counts: Vec<usize> = classes.values().map(Vec::len).collect();
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut part_of = vec![0; units.len()];
    let mut cells = class_sizes(&counts);
    seat_rare_classes(
        &mut cells,
        &mut ChaCha20Rng::seed_from_u64(salted(seed, units)),
    );
    for (members, sizes) in classes.values_mut().zip(cells) {
        members.shuffle(&mut rng);
        let parts = (0..3).flat_map(|part| std::iter::repeat_n(part, sizes[part]));
        for (&unit, part) in members.iter().zip(parts) {
            part_of[unit] = part;
        }
    }
    part_of
}

/// How many of each class go to each part: rows sum to the classes, columns to [`part_sizes`].
///
/// Every cell starts at the floor of its proportional share; what is left is handed out in the
/// order of the remainders.
fn class_sizes(counts: &[usize]) -> Vec<[usize; 3]> {
    let total: usize = counts.iter().sum();
    let mut columns = part_sizes(total);
    let mut rows = counts.to_vec();
    let mut cells = vec![[0; 3]; counts.len()];
    let mut remainders = vec![];
    let sizes = columns;
    for (class, &count) in counts.iter().enumerate() {
        for part in 0..3 {
            let (floor, remainder) = (count * sizes[part] / total, count * sizes[part] % total);
            cells[class][part] = floor;
            rows[class] -= floor;
            columns[part] -= floor;
            remainders.push((remainder, class, part));
        }
    }
    remainders.sort_by_key(|&(remainder, class, part)| (Reverse(remainder), class, part));
    while rows.iter().any(|&left| left > 0) {
        for &(_, class, part) in &remainders {
            if rows[class] > 0 && columns[part] > 0 {
                cells[class][part] += 1;
                rows[class] -= 1;
                columns[part] -= 1;
            }
        }
    }
    cells
}

/// Test, then validation: a class without a place takes one by chance from the class that has the most, which gets one of its places in
/// training back.
fn seat_rare_classes(cells: &mut [[usize; 3]], rng: &mut ChaCha20Rng) {
    let counts: Vec<usize> = cells.iter().map(|row| row.iter().sum()).collect();
    let total: usize = counts.iter().sum();
    for part in [2, 1] {
        let size: usize = cells.iter().map(|row| row[part]).sum();
        for class in 0..cells.len() {
            let is_left_out = cells[class][part] == 0 && cells[class][0] > 0;
            // The share is below one, as a floor of one would have been given.
            if !is_left_out || rng.random_range(0..total) >= counts[class] * size {
                continue;
            }
            let most = (0..cells.len()).max_by_key(|&other| (cells[other][part], Reverse(other)));
            if let Some(most) = most.filter(|&most| most != class) {
                cells[class][part] += 1;
                cells[class][0] -= 1;
                cells[most][part] -= 1;
                cells[most][0] += 1;
            }
        }
    }
}

/// Hospitals that all keep the default seed draw differently, as their patients differ.
fn salted(seed: u64, units: &[Unit]) -> u64 {
    let fields = units
        .iter()
        .flat_map(|unit| [unit.class, unit.slices.len()]);
    fields.fold(seed ^ FNV_OFFSET, |hash, field| {
        (hash ^ field as u64).wrapping_mul(FNV_PRIME)
    })
}

/// Of the hash FNV-1a of 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// `total` by the largest remainder method, with at least one in every part.
fn part_sizes(total: usize) -> [usize; 3] {
    let exact = SHARES.map(|percent| total * percent);
    let mut sizes = exact.map(|hundredths| hundredths / 100);
    let mut order = [0, 1, 2];
    order.sort_by_key(|&part| (Reverse(exact[part] % 100), part));
    let left = total - sizes.iter().sum::<usize>();
    for &part in &order[..left] {
        sizes[part] += 1;
    }
    for part in 1..3 {
        if sizes[part] == 0 {
            sizes[part] = 1;
            sizes[0] -= 1;
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cohort(classes: &[usize], slices: usize) -> Vec<(usize, usize)> {
        let patients = classes.iter().enumerate();
        patients
            .flat_map(|(class, &count)| std::iter::repeat_n((class, slices), count))
            .collect()
    }

    fn patients_of(samples: &[Sample]) -> Vec<usize> {
        let mut patients: Vec<usize> = samples.iter().map(|sample| sample.patient).collect();
        patients.dedup();
        patients
    }

    #[test]
    fn forty_patients_give_28_6_and_6_with_the_classes_spread() {
        let patients = cohort(&[22, 18], 16);
        let split = split(&patients, SplitKind::Patient, 1).expect("enough patients");
        let first_class = |samples: &[Sample]| {
            let members = patients_of(samples);
            (
                members.len(),
                members.iter().filter(|&&patient| patient < 22).count(),
            )
        };
        assert_eq!(first_class(&split.train), (28, 16));
        assert_eq!(first_class(&split.validation), (6, 3));
        assert_eq!(first_class(&split.test), (6, 3));
    }

    #[test]
    fn the_smallest_cohort_leaves_no_part_empty() {
        assert_eq!(part_sizes(4), [2, 1, 1]);
        assert_eq!(part_sizes(7), [5, 1, 1]);
        assert_eq!(part_sizes(60), [42, 9, 9]);
    }

    #[test]
    fn too_few_patients_are_told_the_way_out() {
        let error = split(&cohort(&[2, 1], 30), SplitKind::Patient, 1).expect_err("three");
        assert!(error.to_string().contains("--split slice"));
        assert!(split(&cohort(&[2, 1], 30), SplitKind::Slice, 1).is_ok());
        assert_eq!(
            split(&cohort(&[1, 1], 1), SplitKind::Slice, 1),
            Err(SplitError::FewSlices { found: 2 })
        );
        let without_slices = [(0, 0), (0, 3), (1, 3), (1, 3)];
        assert_eq!(
            split(&without_slices, SplitKind::Patient, 1),
            Err(SplitError::FewPatients { found: 3 })
        );
    }

    #[test]
    fn a_class_that_every_hospital_has_one_of_is_tested_over_the_federation_in_its_share() {
        let hospitals = 400;
        let mut tested = [0, 0];
        for hospital in 0..hospitals {
            // One of six, as the twelfth part of a federation that has few of a class; each at another place of its table.
            let mut patients = cohort(&[6], 4);
            patients[hospital % 6].0 = 1;
            patients[(hospital / 6) % 6].1 = 5;
            let split = split(&patients, SplitKind::Patient, hospital as u64).expect("enough");
            for patient in patients_of(&split.test) {
                tested[patients[patient].0] += 1;
            }
        }
        assert_eq!(tested[0] + tested[1], hospitals);
        // 67 are expected of 400, with a standard deviation of 7.
        assert!((40..=95).contains(&tested[1]), "{tested:?}");
    }

    #[test]
    fn hospitals_with_the_same_seed_draw_differently() {
        let tests_the_rare_class = |slices: usize| {
            let mut patients = cohort(&[5, 1], 4);
            patients[0].1 = slices;
            let split = split(&patients, SplitKind::Patient, 1).expect("enough");
            patients_of(&split.test) == [5]
        };
        let tested = (1..=60)
            .filter(|&slices| tests_the_rare_class(slices))
            .count();
        assert!((2..=25).contains(&tested), "{tested}");
    }

    #[test]
    fn another_seed_deals_otherwise() {
        let patients = cohort(&[20, 20], 2);
        let by_seed = |seed| split(&patients, SplitKind::Patient, seed);
        assert_eq!(by_seed(7), by_seed(7));
        assert_ne!(by_seed(7), by_seed(8));
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_complete_and_stratified(
            patients in prop::collection::vec((0_usize..3, 1_usize..5), 4..60),
            by_patient: bool,
            seed: u64,
        ) {
            let kind = if by_patient { SplitKind::Patient } else { SplitKind::Slice };
            let split = split(&patients, kind, seed).expect("at least four units");
            let parts = [&split.train, &split.validation, &split.test];
            let mut all: Vec<Sample> = parts.into_iter().flatten().copied().collect();
            all.sort();
            let expected: Vec<Sample> = (0..patients.len())
                .flat_map(|patient| (0..patients[patient].1).map(move |slice| Sample { patient, slice }))
                .collect();
            prop_assert_eq!(all, expected);
            prop_assert!(parts.iter().all(|part| !part.is_empty() && part.is_sorted()));
            let count = |part: &[Sample], class| {
                let members: Vec<usize> = if by_patient {
                    patients_of(part)
                } else {
                    part.iter().map(|sample| sample.patient).collect()
                };
                members.into_iter().filter(|&patient| patients[patient].0 == class).count()
            };
            if by_patient {
                let members = parts.map(|part| patients_of(part));
                for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                    prop_assert!(members[a].iter().all(|patient| !members[b].contains(patient)));
                }
            }
            let total = |part: &[Sample]| (0..3).map(|class| count(part, class)).sum::<usize>();
            let units: usize = parts.into_iter().map(|part| total(part)).sum();
            for class in 0..3 {
                let of_class: usize = parts.into_iter().map(|part| count(part, class)).sum();
                for part in parts {
                    let share = of_class as f64 * total(part) as f64 / units as f64;
                    prop_assert!((count(part, class) as f64 - share).abs() <= 2.0);
                }
            }
        }
    }
}
