//! Transforms against torchvision's and SMOTE against imbalanced-learn's: values that
//! tests/oracle/make_balance.py recorded, and imbalanced-learn itself where it is there.

use std::fs;

use serde::Deserialize;

#[path = "../../tests/oracle/python.rs"]
mod python;

use super::{
    Balance, NEIGHBOURS, Origin, Transform, balanced, neighbours::nearest_neighbours, tests::cohort,
};
use crate::script_inputs::scaled;
use model_data::{Cuts, IMAGE_SIDE, Sample, Task};

#[derive(Deserialize)]
struct Recorded {
    background: f32,
    stride: usize,
    transforms: Vec<RecordedTransform>,
    smote: RecordedSmote,
}

#[derive(Deserialize)]
struct RecordedTransform {
    flip: bool,
    degrees: f64,
    shift: [f64; 2],
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct RecordedSmote {
    points: usize,
    length: usize,
    nearest: Vec<Vec<usize>>,
    made: Vec<Vec<f32>>,
    given: Vec<Given>,
}

#[derive(Deserialize)]
struct Given {
    seed: usize,
    neighbour: usize,
    share: f64,
    values: Vec<f32>,
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../tests/oracle/balance.json"))
        .expect("written by the script")
}

#[test]
fn transforms_are_those_of_torchvision() {
    let recorded = recorded();
    let image = scaled("slice", IMAGE_SIDE * IMAGE_SIDE, 3.5, 0.0);
    assert_eq!(recorded.transforms.len(), 5);
    for theirs in recorded.transforms {
        let transform = Transform {
            flip: theirs.flip,
            degrees: theirs.degrees,
            shift_pixels: theirs.shift,
        };
        let ours = transform.resampled(&image, recorded.background);
        let sampled: Vec<f32> = ours.into_iter().step_by(recorded.stride).collect();
        assert_eq!(sampled.len(), theirs.values.len());
        for (place, (a, b)) in sampled.iter().zip(&theirs.values).enumerate() {
            assert!((a - b).abs() < 1e-5, "{transform:?} [{place}]: {a}, {b}");
        }
    }
}

#[test]
fn neighbours_and_segments_are_those_of_imbalanced_learn() {
    let theirs = recorded().smote;
    let points = scaled("points", theirs.points * theirs.length, 2.0, 0.0);
    let points: Vec<&[f32]> = points.chunks(theirs.length).collect();
    let nearest = nearest_neighbours(&points, NEIGHBOURS);
    assert_eq!(nearest, theirs.nearest);
    let place = |slice: usize| Sample { patient: 0, slice };
    let pixels = |sample: Sample| points[sample.slice];
    for given in theirs.given {
        let origin = Origin::Between {
            seed: place(given.seed),
            neighbour: place(given.neighbour),
            share: given.share,
        };
        assert_eq!(*origin.image(pixels), given.values);
    }
    for made in theirs.made {
        let segments = nearest.iter().enumerate().flat_map(|(seed, nearest)| {
            let ends = nearest.iter().map(|&neighbour| points[neighbour]);
            ends.map(move |end| (seed, end))
        });
        let beside = segments.map(|(seed, end)| beside_segment(&made, points[seed], end));
        let least = beside.fold(f64::INFINITY, f64::min);
        assert!(least < 1e-5, "{least} beside every segment");
    }
}

/// Distance of a point from the segment between two others.
fn beside_segment(point: &[f32], start: &[f32], end: &[f32]) -> f64 {
    let less = |a: &[f32], b: &[f32]| -> Vec<f64> {
        let pairs = a.iter().zip(b);
        pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (along, to) = (less(end, start), less(point, start));
    let share = (dot(&to, &along) / dot(&along, &along)).clamp(0.0, 1.0);
    let rest = to.iter().zip(&along).map(|(to, along)| to - share * along);
    rest.map(|rest| rest * rest).sum::<f64>().sqrt()
}

/// Whole slices, one class of many, through the same entry as training.
#[test]
fn imbalanced_learn_makes_the_same_of_whole_slices() {
    let patients = cohort(&[(0.0, 40), (0.0, 35), (4.0, 11), (4.0, 12)]);
    let training: Vec<Sample> = (0..patients.len())
        .flat_map(|patient| {
            let slices = 0..patients[patient].slices.len();
            slices.map(move |slice| Sample { patient, slice })
        })
        .collect();
    let set = balanced(
        &patients,
        &training,
        Task::Binary,
        Cuts::AS_WRITTEN,
        Balance::Smote,
        7,
    )
    .expect("23 of the smaller class");
    let members: Vec<Sample> = training.into_iter().filter(|one| one.patient > 1).collect();
    let pixels = |sample: &Sample| &*patients[sample.patient].slices[sample.slice].pixels;
    let number = |sample| {
        let found = members.iter().position(|&member| member == sample);
        found.expect("of the class that was filled up")
    };
    let (mut seeds, mut neighbours, mut shares, mut made) = (vec![], vec![], vec![], vec![]);
    for (index, origin) in set.origins.iter().enumerate() {
        if let Origin::Between {
            seed,
            neighbour,
            share,
        } = *origin
        {
            seeds.push(number(seed));
            neighbours.push(number(neighbour));
            shares.push(share);
            made.push(set.dataset.pixels(index));
        }
    }
    assert_eq!(made.len(), 75 - 23);
    let slices: Vec<&[f32]> = members.iter().map(pixels).collect();
    let told = serde_json::json!({
        "k": NEIGHBOURS, "length": IMAGE_SIDE * IMAGE_SIDE, "seeds": seeds, "neighbours": neighbours,
        "shares": shares, "nearest": nearest_neighbours(&slices, NEIGHBOURS),
    });
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: Vec<u8>| {
        fs::write(folder.path().join(name), bytes).expect("a disk with room");
    };
    let bytes = |image: &[f32]| -> Vec<u8> { image.iter().flat_map(|p| p.to_le_bytes()).collect() };
    write("smote.json", told.to_string().into_bytes());
    write(
        "slices.f32",
        slices.iter().flat_map(|one| bytes(one)).collect(),
    );
    write("made.f32", made.iter().flat_map(|one| bytes(one)).collect());
    python::ask("check_smote.py", &[folder.path()]);
}
