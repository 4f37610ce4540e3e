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

use std::path::{Path, PathBuf};

use anyhow::ensure;
use bench_crypto::{
    clock::Clock,
    conditions::Machine,
    peer::{Library, Peer},
    write_numbers,
};
use crypto::ckks::Profile;
use model::device::Device;
use protocol::training_job::DeviceChoice;
use serde::Serialize;

use self::{conditioning::StudyConditioning, result::TrainingResult, steps::Cohort};

/// What is to be measured, and how often.
#[derive(Clone, Debug)]
pub struct TrainingBench {
    /// Where the networks compute.
    pub device: DeviceChoice,
    /// Samples of a step.
    pub batch: usize,
    /// CKKS parameters of the study's conditioning.
    pub profile: Profile,
    /// The Python to look for PyTorch in; without one, `python3` if there is one.
    pub python: Option<PathBuf>,
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
    /// The filters are made in the clear before the step, and W moves after it.
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
    /// Measures, prints the table, and writes the file if one is named.
    ///
    /// # Errors
    /// A device that is not there or has too little memory, a Python that was named and does not start, PyTorch failing half-way,
    /// a step or a product that is wrong, or a file that cannot be written.
    #[expect(
        clippy::print_stdout,
        reason = "the table is what the command is asked for"
    )]
    pub fn execute(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let device = Device::find(self.device)?;
        ensure!(
            self.clock == Clock::Wall || device == Device::CPU,
            "--clock processor does not measure the work of a GPU: leave it out"
        );
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let result = single.install(|| self.measure(device))?;
        print!("{}", result.table());
        write_numbers(json, &result.to_json())
    }

    fn measure(&self, device: Device) -> anyhow::Result<TrainingResult> {
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
        let arguments = [
            self.clock.name(),
            &device.to_string(),
            &self.batch.to_string(),
        ];
        let mut peer = Peer::start(&PYTORCH, self.python.as_deref(), &arguments)?;
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
