//! How long the cryptography takes, beside what others use in the same minute: TenSEAL. What measures something else in the same way,
//! as `experiments` does a training step beside PyTorch, finds here a [`clock`], a [`peer`] process and the machine's
//! [`conditions`].
//!
//! ```text
//!            rounds of the conditioning            rounds of an update
//! ours       a few of every operation, medians     pack + seal, add, open
//! TenSEAL    a few of every operation, medians     a sample of the encryption of an update, as NVFlare does it
//! ```
//!
//! Ours and theirs take turns, a tenth of a second each, and what is compared is their ratio within a round: a machine that is
//! busy for some seconds slows both. Everything runs on one thread. A time includes the release of what was made, which for a
//! secret is to overwrite it.

#![forbid(unsafe_code)]

mod ckks;
pub mod clock;
mod comparison;
pub mod conditions;
mod operations;
pub mod peer;
mod sealed_sum;
pub mod series;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use crypto::ckks::Profile;
use serde_json::Value;

pub use self::clock::Clock;
use self::{
    ckks::CkksBench,
    comparison::Comparison,
    conditions::Conditions,
    peer::{Peer, TENSEAL},
    sealed_sum::SealedSumBench,
};

/// What is to be measured, and how often.
#[derive(Clone, Debug)]
pub struct CryptoBench {
    /// Our parameters; TenSEAL always has the study's.
    pub profile: Profile,
    /// The Python to look for TenSEAL in; without one, `python3` if there is one.
    pub python: Option<PathBuf>,
    /// Rounds of the operations of the conditioning.
    pub rounds: usize,
    /// Rounds of a whole sealed sum.
    pub sums: usize,
    /// What time is read from.
    pub clock: Clock,
}

impl CryptoBench {
    /// Measures, prints the table, and writes the file if one is named.
    ///
    /// # Errors
    /// If a Python that was named does not start, TenSEAL fails half-way, a measured operation gives a wrong result, or the file
    /// cannot be written.
    #[expect(
        clippy::print_stdout,
        reason = "the table is what the command is asked for"
    )]
    pub fn execute(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let comparison = single.install(|| self.measure())?;
        print!("{}", table::table(&comparison));
        write_numbers(json, &comparison.to_json())
    }

    fn measure(&self) -> anyhow::Result<Comparison> {
        let mut conditions = Conditions::at_start(self);
        let mut peer = Peer::start(&TENSEAL, self.python.as_deref(), &[self.clock.name()])?;
        let mut comparison = Comparison::default();

        let ckks = CkksBench::new(self.profile)?;
        for _ in 0..self.rounds {
            comparison.ours(ckks.round(self.clock, REPETITIONS)?);
            if let Some(tenseal) = peer.as_mut() {
                comparison.theirs(tenseal.ask("conditioning", REPETITIONS)?);
            }
        }
        comparison.facts(ckks.facts()?);
        drop(ckks);

        let updates = sealed_sum::draw_updates();
        let sums = HOSPITALS.map(|hospitals| SealedSumBench::new(hospitals, &updates));
        let sums = sums.into_iter().collect::<Result<Vec<_>, _>>()?;
        for _ in 0..self.sums {
            for sum in &sums {
                comparison.ours(sum.round(self.clock)?);
            }
            if let Some(tenseal) = peer.as_mut() {
                comparison.theirs(tenseal.ask("update", sealed_sum::PARAMETERS)?);
            }
        }
        for sum in &sums {
            comparison.facts(sum.facts());
        }

        if let Some(tenseal) = peer.as_mut() {
            comparison.facts(tenseal.ask("facts", sealed_sum::PARAMETERS)?);
        }
        conditions.at_end();
        comparison.describe(conditions, peer.state());
        Ok(comparison)
    }
}

/// Writes the file if one is named, and says so.
///
/// # Errors
/// If it cannot be written.
#[expect(
    clippy::print_stdout,
    reason = "where the numbers are belongs to the table"
)]
pub fn write_numbers(file: Option<&Path>, numbers: &Value) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut text = serde_json::to_string_pretty(numbers)?;
    text.push('\n');
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("numbers in {}", file.display());
    Ok(())
}

/// Of each operation within a round.
const REPETITIONS: usize = 5;
/// The federations whose sums are measured.
const HOSPITALS: [u8; 2] = [10, 100];
