use std::{collections::BTreeMap, sync::Arc};

use anyhow::ensure;
use crypto::{
    hash::{Digest, SecretKey32},
    sealed_sum::{
        ClippedTensor, Contribution, FieldFormat, HospitalId, Round, RunningSum, Seed, SumRing,
        SumShape, TagKey, UnlockVector, Weight, add_shares, open, pack, seal, threshold,
    },
};
use protocol::round::contribution::contribution_bytes;
use rand::RngExt;
use serde_json::{Value, json};

use super::{
    Clock,
    series::{Times, median},
};

/// The values of an update, about those of the hybrid network.
pub const PARAMETERS: usize = 4_200_000;

/// A sum among a number of hospitals.
///
/// [`DISTINCT`] of them have updates of their own; the others give the very contributions of these again, which a sum cannot tell
/// from new ones, so that a hundred hospitals need the memory of three.
pub struct SealedSumBench<'a> {
    ring: SumRing,
    joined: Vec<HospitalId>,
    shape: SumShape,
    tag_key: TagKey,
    updates: &'a [Vec<f64>],
}

/// The updates of [`DISTINCT`] hospitals.
pub fn draw_updates() -> Vec<Vec<f64>> {
    let mut rng = rand::rng();
    let mut update = || {
        (0..PARAMETERS)
            .map(|_| rng.random_range(-CLIP..=CLIP))
            .collect()
    };
    (0..DISTINCT).map(|_| update()).collect()
}

impl<'a> SealedSumBench<'a> {
    /// Prepares the ring.
    ///
    /// # Errors
    /// Unless a sum of so many hospitals exists.
    pub fn new(hospitals: u8, updates: &'a [Vec<f64>]) -> anyhow::Result<Self> {
        let joined: Vec<HospitalId> = (1..=hospitals).filter_map(HospitalId::new).collect();
        Ok(Self {
            ring: SumRing::new(),
            shape: SumShape::new(PARAMETERS, &COUNTERS, FieldFormat::TwoBy24, joined.len())?,
            joined,
            tag_key: TagKey::derive(&SecretKey32::from_bytes([1; 32]), &HEADER),
            updates,
        })
    }

    /// The median seconds of a sealing and of an addition, and those of the opening. What was opened is compared with what was
    /// sealed.
    ///
    /// # Errors
    /// If the sum does not open, or is not that of the updates.
    pub fn round(&self, clock: Clock) -> anyhow::Result<Times> {
        let (mut contributions, mut sealing) = (vec![], vec![]);
        for (update, &hospital) in self.updates.iter().zip(&self.joined) {
            let (contribution, seconds) = clock.time(|| self.sealed(update, hospital));
            contributions.push(contribution?);
            sealing.push(seconds);
        }

        let mut sum = RunningSum::new(self.shape.chunks());
        let mut adding = vec![];
        for contribution in contributions.iter().cycle().take(self.joined.len()) {
            let (added, seconds) = clock.time(|| sum.add(&contribution.chunks));
            added?;
            adding.push(seconds);
        }
        let sum = sum.into_bytes();

        let answers = self.answers(&contributions);
        let contributors = self.joined.len();
        let (opened, opening) = clock.time(|| open(&self.sum(), contributors, &sum, &answers));
        let mean = Arc::new(opened?).mean(&self.shape, &CLIPS, 1, contributors as u64)?;
        self.check(&mean.to_vec())?;
        Ok([
            (self.key("seal_seconds"), median(sealing)),
            ("add".to_owned(), median(adding)),
            (self.key("open_seconds"), opening),
        ]
        .into())
    }

    /// Bytes of an upload.
    pub fn facts(&self) -> BTreeMap<String, Value> {
        let bytes = contribution_bytes(self.shape.chunks(), self.joined.len());
        [(self.key("upload_bytes"), json!(bytes))].into()
    }

    fn sealed(&self, update: &[f64], hospital: HospitalId) -> anyhow::Result<Contribution> {
        let (message, _saturation) = pack(&self.shape, update, &CLIPS, EQUAL, &[1, 0])?;
        let seed = Seed::generate();
        Ok(seal(
            &self.sum(),
            &self.joined,
            hospital,
            0,
            &seed,
            &message,
        )?)
    }

    fn sum(&self) -> Round<'_> {
        Round {
            ring: &self.ring,
            header_hash: &HEADER,
            shape: &self.shape,
            threshold: threshold(self.joined.len()),
            tag_key: &self.tag_key,
        }
    }

    fn answers(&self, contributions: &[Contribution]) -> Vec<(HospitalId, UnlockVector)> {
        let held_by = |place: usize| {
            let contributions = contributions.iter().cycle().take(self.joined.len());
            add_shares(contributions.map(|contribution| &contribution.shares[place].1))
        };
        (0..threshold(self.joined.len()))
            .map(|place| (self.joined[place], held_by(place)))
            .collect()
    }

    fn check(&self, mean: &[f64]) -> anyhow::Result<()> {
        let hospitals = self.joined.len();
        let times = |distinct: usize| (distinct..hospitals).step_by(DISTINCT).count() as f64;
        for (index, mean) in mean.iter().enumerate() {
            let updates = self.updates.iter().enumerate();
            let sum: f64 = updates
                .map(|(distinct, update)| times(distinct) * update[index])
                .sum();
            let error = (mean - sum / hospitals as f64).abs();
            ensure!(
                error < WRONG,
                "value {index} of the opened mean is off by {error}: what was timed does not add"
            );
        }
        Ok(())
    }

    fn key(&self, stem: &str) -> String {
        format!("{stem}_n{}", self.joined.len())
    }
}

/// How many hospitals have an update of their own.
const DISTINCT: usize = 3;
/// As in an update of the protocol: "contributions" of three digits, "saturated values" of four.
const COUNTERS: [u8; 2] = [3, 4];
const HEADER: Digest = [7; 32];
const CLIP: f64 = 1.0;
const CLIPS: [ClippedTensor; 1] = [ClippedTensor {
    values: PARAMETERS,
    clip: CLIP,
}];
const EQUAL: Weight = Weight { own: 1, largest: 1 };
/// Above a quantisation step at a hundred hospitals, far below what a wrong sum is off by.
const WRONG: f64 = 1e-4;
