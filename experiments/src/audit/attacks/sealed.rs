//! Sealed sums, as hospitals make and open them.

use anyhow::ensure;
use crypto::{
    hash::{Digest, SecretKey32},
    sealed_sum::{
        ClippedTensor, Contribution, FieldFormat, HospitalId, OpenedSum, Round, RunningSum, Seed,
        SumRing, SumShape, TagKey, Weight, add_shares, open, pack, seal, threshold,
    },
};
use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;

/// What hospitals agree on before a sum.
pub struct SealedSum {
    /// From which the public polynomials follow.
    pub header_hash: Digest,
    /// Of the message of each hospital.
    pub shape: SumShape,
    /// Who has joined.
    pub hospitals: Vec<HospitalId>,
    ring: SumRing,
    tag_key: TagKey,
}

impl SealedSum {
    /// Of so many hospitals, with so many values, and counters of so many digits.
    ///
    /// # Errors
    /// Fewer than two hospitals, or too many of anything.
    pub fn new(
        hospitals: usize,
        values: usize,
        counter_digits: &[u8],
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<Self> {
        let header_hash: Digest = rng.random();
        let group_key = SecretKey32::from_bytes(rng.random());
        Ok(Self {
            shape: SumShape::new(values, counter_digits, FieldFormat::TwoBy24, hospitals)?,
            hospitals: (1..=u8::try_from(hospitals)?)
                .filter_map(HospitalId::new)
                .collect(),
            ring: SumRing::new(),
            tag_key: TagKey::derive(&group_key, &header_hash),
            header_hash,
        })
    }

    /// Answers that open it.
    pub fn threshold(&self) -> usize {
        threshold(self.hospitals.len())
    }

    fn round(&self) -> Round<'_> {
        Round {
            ring: &self.ring,
            header_hash: &self.header_hash,
            shape: &self.shape,
            threshold: self.threshold(),
            tag_key: &self.tag_key,
        }
    }

    /// What the hospital at this place uploads and shares out. All hospitals weigh the same.
    ///
    /// # Errors
    /// Values or counters that do not fit the shape, or a value that the clips cut off.
    pub fn contribution(
        &self,
        place: usize,
        values: &[f64],
        clips: &[ClippedTensor],
        counters: &[u64],
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<Contribution> {
        let equal = Weight { own: 1, largest: 1 };
        let (message, saturated) = pack(&self.shape, values, clips, equal, counters)?;
        ensure!(saturated.values == 0, "a clip has cut off a value");
        let seed = Seed::from_rng(rng);
        let hospital = self.hospitals[place];
        Ok(seal(
            &self.round(),
            &self.hospitals,
            hospital,
            0,
            &seed,
            &message,
        )?)
    }

    /// The sum of contributions, opened with as many answers as it needs.
    ///
    /// # Errors
    /// A sum that does not open.
    pub fn opened(&self, contributions: &[Contribution]) -> anyhow::Result<OpenedSum> {
        let mut sum = RunningSum::new(self.shape.chunks());
        for contribution in contributions {
            sum.add(&contribution.chunks)?;
        }
        let answers: Vec<_> = (0..self.threshold())
            .map(|place| {
                let held = contributions
                    .iter()
                    .map(|contribution| &contribution.shares[place].1);
                (self.hospitals[place], add_shares(held))
            })
            .collect();
        let opened = open(&self.round(), contributions.len(), sum.as_bytes(), &answers);
        Ok(opened.map_err(|error| error.fault)?)
    }
}
