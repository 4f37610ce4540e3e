//! 70 / 15 / 15, stratified by class, by patient or by slice.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use protocol::{
    counted::counted,
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
/// Where the share of a class in the test or in the validation is less than one place, places in both are drawn by chance, as many for
/// each class as its share says on the average. So a class of which each hospital has one or two patients is tested at some hospitals,
/// and over a federation in its proportion, though no hospital knows what the others have. Such a class may have nobody in training here.
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
        "{} with images cannot be split by patient (at least {FEWEST} are needed): \
         take more patients, in a simulation by fewer hospitals, or split by slice (--split slice, or training.split = \"slice\"), \
         which lets slices of one patient fall on both sides",
        counted(*found, ["patient", "patients"])
    )]
    FewPatients {
        /// Patients with at least one slice.
        found: usize,
    },
    /// Too few to give every part a slice and still train.
    #[error("{} cannot be split (at least {FEWEST} are needed)", counted(*found, ["slice", "slices"]))]
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
    let mut chance = ChaCha20Rng::seed_from_u64(salted(seed, units));
    let cells = drawn_sizes(&counts, &mut chance).unwrap_or_else(|| class_sizes(&counts));
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

/// As [`class_sizes`], by chance; none where each class has a share of at least one place in each part, and nothing is left to it.
fn drawn_sizes(counts: &[usize], chance: &mut ChaCha20Rng) -> Option<Vec<[usize; 3]>> {
    let [_, validation, test] = part_sizes(counts.iter().sum());
    let total: usize = counts.iter().sum();
    let is_rare = |count: &&usize| (**count) * validation.min(test) < total;
    counts.iter().find(is_rare)?;
    let tested = draw(counts, test, chance);
    let left: Vec<usize> = counts
        .iter()
        .zip(&tested)
        .map(|(all, taken)| all - taken)
        .collect();
    // In proportion to what is left: on the average that is in proportion to all.
    let validated = draw(&left, validation, chance);
    let cells = left.iter().zip(validated).zip(tested);
    Some(
        cells
            .map(|((left, validation), test)| [left - validation, validation, test])
            .collect(),
    )
}

/// Deals `places` among classes of these sizes: to each its share rounded up or down, and on the average exactly its share (systematic
/// sampling: marks at equal distances, with a first one by chance, over the classes laid end to end).
fn draw(counts: &[usize], places: usize, chance: &mut ChaCha20Rng) -> Vec<usize> {
    let total: usize = counts.iter().sum();
    let first = chance.random_range(0..total);
    // Of the line of `total * places` steps, in which there is a mark every `total` steps.
    let marks_before = |end: usize| match end.checked_sub(first + 1) {
        Some(beyond) => beyond / total + 1,
        None => 0,
    };
    let mut end = 0;
    let of_class = |count: &usize| {
        let begin = end;
        end += count * places;
        marks_before(end) - marks_before(begin)
    };
    counts.iter().map(of_class).collect()
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
    fn over_many_hospitals_each_class_has_its_share_of_every_part() {
        let hospitals = 4000;
        for classes in [
            &[1, 5][..],
            &[5, 1],
            &[3, 3],
            &[2, 10],
            &[2, 2, 2],
            &[4, 1, 1],
            &[1, 19],
        ] {
            let patients = cohort(classes, 4);
            let mut places = vec![[0_usize; 3]; classes.len()];
            for seed in 0..hospitals {
                let split = split(&patients, SplitKind::Patient, seed).expect("enough");
                for (part, samples) in [split.train, split.validation, split.test]
                    .iter()
                    .enumerate()
                {
                    for patient in patients_of(samples) {
                        places[patients[patient].0][part] += 1;
                    }
                }
            }
            let sizes = part_sizes(classes.iter().sum());
            let total: usize = classes.iter().sum();
            for (class, &count) in classes.iter().enumerate() {
                for part in 0..3 {
                    let share = count as f64 * sizes[part] as f64 / total as f64;
                    let got = places[class][part] as f64 / hospitals as f64;
                    // A place or none: the mean of 4000 draws has a standard deviation of at most 0.008.
                    assert!(
                        (got - share).abs() < 0.04,
                        "{classes:?}: class {class}, part {part}: {got}, not {share}"
                    );
                }
            }
        }
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
