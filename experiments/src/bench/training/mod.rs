//! How long one training step takes, beside PyTorch in the same minute, and what encryption adds to it.
//!
//! ```text
//!            a round
//! ours       a few steps of each variant: batch, forward, backward, AdamW
//! PyTorch    a few steps of each variant, as one writes them in Python
//! study      a few conditionings of a batch's patients: encrypt W, multiply, decrypt, clip
//! ```
//!
//! As with the cryptography, ours and theirs take turns and a ratio is the median of those of the rounds.

mod conditioning;
mod result;
mod steps;

use std::path::Path;

use bench_crypto::{
    clock::Clock,
    conditions::Machine,
    peer::{Library, Peer},
};
use crypto::ckks::Profile;
use model::device::Device;
use serde::Serialize;

pub use self::result::TrainingResult;
use self::{conditioning::StudyConditioning, steps::Cohort};

/// What is to be measured, and how often.
#[derive(Clone, Debug)]
pub struct TrainingBench {
    /// Where the networks compute.
    pub device: Device,
    /// Samples of a step.
    pub batch: usize,
    /// CKKS parameters of the study's conditioning.
    pub profile: Profile,
    /// Rounds that count, of five steps each.
    pub rounds: usize,
    /// What time is read from.
    pub clock: Clock,
}

/// What a reader needs to judge the numbers by.
#[derive(Clone, Debug, Serialize)]
struct Conditions {
    device: String,
    threads: u32,
    batch: usize,
    profile: String,
    clock: &'static str,
    rounds: usize,
    repetitions_per_round: usize,
    #[serde(flatten)]
    machine: Machine,
}

/// One of the networks that share every line but the source of the filters, by the stem of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The filters are there, decrypted.
    Hybrid,
    /// The filters are made in plaintext before the step, and W moves after it.
    PlainConditioned,
    /// No conditioning.
    Plain,
}

impl Variant {
    /// All of them, in the order of the table.
    const ALL: [Self; 3] = [Self::Hybrid, Self::PlainConditioned, Self::Plain];

    /// As keys and PyTorch's script spell it.
    fn stem(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::PlainConditioned => "plain_conditioned",
            Self::Plain => "plain",
        }
    }
}

impl TrainingBench {
    /// Starts PyTorch in the Python that is named, or else in `python3` if there is one.
    ///
    /// # Errors
    /// A Python that was named and does not start, or PyTorch does not do its first work.
    pub fn start_pytorch(&self, python: Option<&Path>) -> anyhow::Result<Peer> {
        let arguments = [
            self.clock.name(),
            &self.device.to_string(),
            &self.batch.to_string(),
        ];
        Peer::start(&PYTORCH, python, &arguments)
    }

    /// Measures ours and PyTorch, on one thread.
    ///
    /// # Errors
    /// A device that has too little memory, PyTorch failing half-way, a step or a product that is wrong.
    pub fn measure(&self, pytorch: Peer) -> anyhow::Result<TrainingResult> {
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        single.install(|| self.measure_here(pytorch))
    }

    fn measure_here(&self, mut peer: Peer) -> anyhow::Result<TrainingResult> {
        let device = self.device;
        let mut conditions = Conditions {
            device: device.to_string(),
            threads: 1,
            batch: self.batch,
            profile: self.profile.to_string(),
            clock: self.clock.name(),
            rounds: self.rounds,
            repetitions_per_round: REPETITIONS,
            machine: Machine::at_start(),
        };
        let cohort = Cohort::draw(self.batch)?;
        let mut trainers = Variant::ALL.map(|variant| steps::trainer(variant, device));
        let mut variants = Vec::new();
        for (variant, trainer) in Variant::ALL.into_iter().zip(&mut trainers) {
            variants.push(steps::Steps::begin(variant, trainer, &cohort)?);
        }
        let mut study = StudyConditioning::new(self.profile, cohort.features())?;

        let mut result = TrainingResult::default();
        for round in 0..=self.rounds {
            let mut times = result::Round::default();
            for (variant, steps) in Variant::ALL.into_iter().zip(&mut variants) {
                times.ours(variant, steps.seconds(self.clock, REPETITIONS)?);
                if let Some(pytorch) = peer.as_mut() {
                    times.theirs(variant, pytorch.ask(variant.stem(), REPETITIONS)?);
                }
            }
            times.conditioning(study.seconds(self.clock, REPETITIONS)?);
            // The first round warms up.
            if round > 0 {
                result.push(times);
            }
        }
        conditions.machine.at_end();
        result.describe(conditions, peer.state());
        Ok(result)
    }
}

/// Of each variant within a round, and before the first.
const REPETITIONS: usize = 5;

/// What trains the network as one writes it in Python.
const PYTORCH: Library = Library {
    name: "PyTorch",
    requirement: "torch==2.11.0",
    script: include_str!("pytorch.py"),
};
