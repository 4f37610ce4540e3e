//! A sealed sum of three hospitals, of which one drops out: the two others open the mean, and nobody opens an update.
//!
//! ```sh
//! cargo run --release --package crypto --example sealed_sum_of_three
//! ```

#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::{error::Error, sync::Arc};

use crypto::hash::SecretKey32;
use crypto::sealed_sum::{
    ClippedTensor, Contribution, FieldFormat, HospitalId, Round, RunningSum, Seed, SumRing,
    SumShape, TagKey, Weight, add_shares, open, pack, seal, threshold,
};

/// When the third hospital is no longer there.
#[derive(Clone, Copy, PartialEq)]
enum DropsOut {
    /// It has handed out its shares, but its update never arrives: the sum is that of the two others.
    BeforeUpload,
    /// Its update has arrived: it is in the sum, which the two others open without it.
    AfterUpload,
}

fn main() -> Result<(), Box<dyn Error>> {
    let updates = [[0.5, -0.25], [0.25, 0.0], [0.0, 0.25]];
    let without_the_third = mean(&updates, DropsOut::BeforeUpload)?;
    println!("the third drops out before its upload: the mean of two is {without_the_third:?}");
    let with_the_third = mean(&updates, DropsOut::AfterUpload)?;
    println!("the third drops out after its upload: the mean of three is {with_the_third:?}");

    let close = |found: &[f64], expected: [f64; 2]| {
        found.len() == 2
            && found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6)
    };
    if close(&without_the_third, [0.375, -0.125]) && close(&with_the_third, [0.25, 0.0]) {
        Ok(())
    } else {
        Err("a mean is not that of the updates".into())
    }
}

/// What the two hospitals that stay learn: the mean of the updates that arrived.
fn mean(updates: &[[f64; 2]; 3], drops_out: DropsOut) -> Result<Vec<f64>, Box<dyn Error>> {
    // What all have agreed on: who takes part, how many must answer, the shape of an update and the bound of its values.
    let joined: Vec<HospitalId> = (1..=3).filter_map(HospitalId::new).collect();
    let (ring, header_hash) = (SumRing::new(), [7; 32]);
    let shape = SumShape::new(2, &[3], FieldFormat::TwoBy24, joined.len())?;
    let clips = [ClippedTensor {
        values: 2,
        clip: 1.0,
    }];
    // Derived from a key that the hospitals share and the coordinator does not have.
    let tag_key = TagKey::derive(&SecretKey32::from_bytes([1; 32]), &header_hash);
    let round = Round {
        ring: &ring,
        header_hash: &header_hash,
        shape: &shape,
        threshold: threshold(joined.len()),
        tag_key: &tag_key,
    };

    // Each hospital quantises its update, masks it under a fresh secret, and shares the secret out among all.
    let mut contributions: Vec<Contribution> = vec![];
    for (&hospital, update) in joined.iter().zip(updates) {
        let equal = Weight { own: 1, largest: 1 };
        let (message, _saturation) = pack(&shape, update, &clips, equal, &[1])?;
        let seed = Seed::generate();
        contributions.push(seal(&round, &joined, hospital, 0, &seed, &message)?);
    }

    // The coordinator adds what has arrived and can read neither it nor the sum.
    if drops_out == DropsOut::BeforeUpload {
        contributions.truncate(2);
    }
    let mut sum = RunningSum::new(shape.chunks());
    for contribution in &contributions {
        sum.add(&contribution.chunks)?;
    }

    // The two hospitals that are left answer with the sums of the shares that they hold of the contributors' secrets.
    let answers = [0, 1].map(|place| {
        let held = contributions.iter().map(|one| &one.shares[place].1);
        (joined[place], add_shares(held))
    });

    // With the answers of two the sum opens, and nothing but the sum.
    let contributors = contributions.len();
    let opened = open(&round, contributors, sum.as_bytes(), &answers)?;
    Ok(Arc::new(opened)
        .mean(&shape, &clips, 1, contributors as u64)?
        .to_vec())
}
