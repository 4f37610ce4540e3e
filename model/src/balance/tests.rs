//! What is drawn and made, from outside: counts, parents, and that nothing else has a part in it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{
    Balance, BalanceError, Balanced, NEIGHBOURS, Origin, balanced, balanced_seeds, draw::draw,
};
use crate::train::DatasetError;
use model_data::{
    Cuts, Edss, FEATURES, IMAGE_SIDE, LabelScheme, Patient, Sample, Slice, Split, SplitKind, Task,
    split, standardise,
};

/// Patients of these scores and numbers of slices; no two slices are alike.
pub(super) fn cohort(patients: &[(f64, usize)]) -> Vec<Patient> {
    let slice = |patient: usize, index: usize| {
        let mut rng = ChaCha20Rng::seed_from_u64((patient * 1000 + index) as u64);
        let mut pixels: Box<[f32]> = (0..IMAGE_SIDE * IMAGE_SIDE)
            .map(|_| rng.random::<f32>())
            .collect();
        standardise(&mut pixels);
        Slice {
            axial_index: index as u32,
            pixels,
        }
    };
    let patient = |(number, &(edss, slices)): (usize, &(f64, usize))| Patient {
        id: number.to_string(),
        edss: Edss::new(edss).expect("on the scale"),
        features: vec![None; FEATURES],
        slices: (0..slices).map(|index| slice(number, index)).collect(),
    };
    patients.iter().enumerate().map(patient).collect()
}

fn all_of(patients: &[Patient]) -> Vec<Sample> {
    let slices = |patient: usize| 0..patients[patient].slices.len();
    (0..patients.len())
        .flat_map(|patient| slices(patient).map(move |slice| Sample { patient, slice }))
        .collect()
}

fn binary(patients: &[Patient], balance: Balance, seed: u64) -> Result<Balanced, BalanceError> {
    let training = all_of(patients);
    balanced(
        patients,
        &training,
        Task::Binary,
        Cuts::AS_WRITTEN,
        balance,
        seed,
    )
}

#[test]
fn names_are_read_and_written_alike() {
    let names = Balance::ALL.map(|balance| balance.to_string());
    assert_eq!(names, ["original", "undersample", "oversample", "smote"]);
    for balance in Balance::ALL {
        assert_eq!(balance.to_string().parse(), Ok(balance));
    }
    let error = "SMOTE".parse::<Balance>().expect_err("small letters");
    assert!(error.to_string().contains("oversample or smote"));
}

/// Slices of a few pixels, so that all of the study's can be drawn: SMOTE searches among them.
#[test]
fn the_studys_counts_become_those_of_its_table_1() {
    let rows: [(&[u64], [&[u64]; 4]); 2] = [
        (
            &[3_765, 424],
            [&[3_765, 424], &[424, 424], &[3_765, 3_765], &[3_765, 3_765]],
        ),
        (
            &[2_071, 1_233, 885],
            [
                &[2_071, 1_233, 885],
                &[885, 885, 885],
                &[2_071, 2_071, 2_071],
                &[2_071, 2_071, 2_071],
            ],
        ),
    ];
    let images: Vec<[f32; 3]> = (0..3_765)
        .map(|index| [index as f32, (index * index % 1_009) as f32, 1.0])
        .collect();
    for (before, table) in rows {
        for (balance, after) in Balance::ALL.into_iter().zip(table) {
            assert_eq!(balance.class_counts(before), after, "{balance}");
            for (class, (&found, &wanted)) in before.iter().zip(after).enumerate() {
                let members: Vec<Sample> = (0..found as usize)
                    .map(|slice| Sample {
                        patient: class,
                        slice,
                    })
                    .collect();
                let pixels = |sample: Sample| &images[sample.slice][..];
                let drawn = draw(balance, class, &members, wanted as usize, pixels, 1);
                assert_eq!(drawn.len() as u64, wanted);
                let made = drawn.iter().filter(|origin| origin.is_made()).count() as u64;
                assert_eq!(made, wanted.saturating_sub(found));
                let kept: BTreeSet<Sample> = drawn
                    .iter()
                    .filter(|origin| !origin.is_made())
                    .map(Origin::seed)
                    .collect();
                assert_eq!(kept.len() as u64, found.min(wanted), "none is kept twice");
            }
        }
    }
}

#[test]
fn seeds_are_those_of_the_whole_set_without_an_image() {
    let patients = cohort(&[(0.0, 25), (4.0, 7), (1.0, 3)]);
    let training = all_of(&patients);
    let class_of = |sample: &Sample| usize::from(patients[sample.patient].edss.value() > 2.0);
    for balance in Balance::ALL {
        let set = binary(&patients, balance, 3).expect("seven are enough");
        let seeds = balanced_seeds(
            &patients,
            &training,
            Task::Binary,
            Cuts::AS_WRITTEN,
            balance,
            3,
        );
        let seeds = seeds.expect("seven are enough");
        for (class, mut found) in seeds.into_iter().enumerate() {
            let all = set.origins.iter().map(Origin::seed);
            let mut expected: Vec<Sample> =
                all.filter(|sample| class_of(sample) == class).collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{balance}, class {class}");
        }
    }
}

#[test]
fn every_member_is_the_seed_of_as_many_as_any_other() {
    let patients = cohort(&[(0.0, 25), (4.0, 7)]);
    for balance in [Balance::Oversample, Balance::Smote] {
        let set = binary(&patients, balance, 3).expect("seven are enough");
        let made = set.origins.iter().filter(|origin| origin.is_made());
        let mut times = [0; 7];
        for origin in made {
            assert_eq!(origin.seed().patient, 1);
            times[origin.seed().slice] += 1;
        }
        times.sort_unstable();
        assert_eq!(times, [2, 2, 2, 3, 3, 3, 3]);
    }
}

#[test]
fn the_seed_decides_and_the_number_of_threads_does_not() {
    let patients = cohort(&[(0.0, 150), (0.0, 150), (4.0, 140), (4.0, 7)]);
    let made_by = |threads: usize, balance, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let set = pool
            .expect("threads")
            .install(|| binary(&patients, balance, seed));
        let set = set.expect("enough of both classes");
        let last = set.dataset.len() - 1;
        (set.origins, set.dataset.pixels(last))
    };
    for balance in [Balance::Undersample, Balance::Oversample, Balance::Smote] {
        let alone = made_by(1, balance, 5);
        assert!(alone == made_by(3, balance, 5), "{balance}");
        assert!(alone.0 != made_by(1, balance, 6).0, "{balance}");
    }
}

#[test]
fn what_cannot_be_balanced_is_told_the_way_out() {
    let few = cohort(&[(0.0, 9), (4.0, 5)]);
    let error = binary(&few, Balance::Smote, 1).err();
    let expected = BalanceError::FewSamples {
        class: "higher",
        found: NEIGHBOURS,
    };
    assert_eq!(error, Some(expected.clone()));
    let message = expected.to_string();
    for part in [
        "higher",
        "5 neighbours",
        "needs 6",
        "has 5",
        "use oversample",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(binary(&few, Balance::Oversample, 1).is_ok());
    let six = cohort(&[(0.0, 9), (4.0, 6)]);
    assert!(binary(&six, Balance::Smote, 1).is_ok());
    let equal = cohort(&[(0.0, 2), (4.0, 2)]);
    let nothing_to_make = binary(&equal, Balance::Smote, 1).expect("equal already");
    assert_eq!(nothing_to_make.counts, [2, 2]);

    let one_class = cohort(&[(0.0, 9)]);
    for balance in [Balance::Undersample, Balance::Oversample, Balance::Smote] {
        let class = "higher";
        let error = binary(&one_class, balance, 1).err();
        assert_eq!(error, Some(BalanceError::EmptyClass { class, balance }));
    }
    let as_it_is = binary(&one_class, Balance::Original, 1).expect("nothing to balance");
    assert_eq!(as_it_is.counts, [9, 0]);

    let mut odd = cohort(&[(0.0, 9), (4.0, 9)]);
    odd[1].slices[3].pixels = vec![0.0; 7].into();
    let sample = Sample {
        patient: 1,
        slice: 3,
    };
    let wrong_size = DatasetError::Size { sample, pixels: 7 };
    let error = binary(&odd, Balance::Smote, 1).err();
    assert_eq!(error, Some(BalanceError::Dataset(wrong_size)));
    odd[1].slices.truncate(3);
    let absent = balanced(
        &odd,
        &[sample],
        Task::Binary,
        Cuts::AS_WRITTEN,
        Balance::Original,
        1,
    );
    let error = BalanceError::Dataset(DatasetError::Absent { sample });
    assert_eq!(absent.err(), Some(error));
    let nothing = balanced(
        &odd,
        &[],
        Task::Binary,
        Cuts::AS_WRITTEN,
        Balance::Original,
        1,
    );
    assert_eq!(
        nothing.err(),
        Some(BalanceError::Dataset(DatasetError::Empty))
    );
}

/// Makes every slice that is not for training poisonous: whatever is computed from a pixel that
/// is not a number is no number either.
fn poison(patients: &mut [Patient], split: &Split) {
    for sample in split.validation.iter().chain(&split.test) {
        patients[sample.patient].slices[sample.slice]
            .pixels
            .fill(f32::NAN);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_of_validation_or_test_enters_training(
        scores in prop::collection::vec((0_u8..=12, 1_usize..5), 6..16),
        kind in prop::sample::select(vec![SplitKind::Patient, SplitKind::Slice]),
        task in prop::sample::select(vec![Task::Binary, Task::Multiclass]),
        labels in prop::sample::select(LabelScheme::ALL.to_vec()),
        balance in prop::sample::select(Balance::ALL.to_vec()),
        seed: u64,
    ) {
        let scores: Vec<(f64, usize)> = scores
            .into_iter()
            .map(|(half_points, slices)| (f64::from(half_points) / 2.0, slices))
            .collect();
        let mut patients = cohort(&scores);
        let class_of = |patient: &Patient| task.class_of(patient.edss, labels.cuts());
        let units: Vec<(usize, usize)> = patients
            .iter()
            .map(|patient| (class_of(patient), patient.slices.len()))
            .collect();
        let parts = split(&units, kind, seed).expect("six patients");
        poison(&mut patients, &parts);
        let mut before = vec![0; task.classes()];
        for sample in &parts.train {
            before[units[sample.patient].0] += 1;
        }
        let most = before.iter().max().copied().expect("two classes or three");
        let set = balanced(&patients, &parts.train, task, labels.cuts(), balance, seed);
        let set = match set {
            Ok(set) => set,
            Err(BalanceError::EmptyClass { .. }) => {
                prop_assert!(balance != Balance::Original && before.contains(&0));
                return Ok(());
            }
            Err(BalanceError::FewSamples { found, .. }) => {
                let few = found as u64;
                prop_assert!(balance == Balance::Smote && before.contains(&few));
                prop_assert!(few < most && found <= NEIGHBOURS);
                return Ok(());
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        prop_assert_eq!(&set.counts_before, &before);
        prop_assert_eq!(&set.counts, &balance.class_counts(&before));
        let mut found = vec![0; task.classes()];
        let samples = set.dataset.labels().zip(set.dataset.patients());
        let pixels = |sample: Sample| &*patients[sample.patient].slices[sample.slice].pixels;
        for (index, ((label, &patient), origin)) in samples.zip(&set.origins).enumerate() {
            found[label] += 1;
            let seed = origin.seed();
            prop_assert_eq!(patient, seed.patient);
            prop_assert_eq!(label, units[patient].0);
            prop_assert!(parts.train.contains(&seed));
            if let Origin::Between { neighbour, .. } = *origin {
                prop_assert!(parts.train.contains(&neighbour) && neighbour != seed);
                prop_assert_eq!(label, units[neighbour.patient].0);
            }
            let image = set.dataset.pixels(index);
            prop_assert!(image.iter().all(|pixel| pixel.is_finite()), "{:?}", origin);
            prop_assert!(*image == *origin.image(pixels));
        }
        prop_assert_eq!(found, set.counts);
    }
}
