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

use crypto::ckks::Profile;

use self::{ckks::CkksBench, conditions::Conditions, peer::Peer, sealed_sum::SealedSumBench};
pub use self::{clock::Clock, comparison::Comparison, table::table};

/// What is to be measured, and how often.
#[derive(Clone, Debug)]
pub struct CryptoBench {
    /// Our parameters; TenSEAL always has the study's.
    pub profile: Profile,
    /// Rounds of the operations of the conditioning.
    pub rounds: usize,
    /// Rounds of a whole sealed sum.
    pub sums: usize,
    /// What time is read from.
    pub clock: Clock,
}

impl CryptoBench {
    /// Measures ours and TenSEAL, on one thread.
    ///
    /// # Errors
    /// TenSEAL fails half-way, or a measured operation gives a wrong result.
    pub fn measure(&self, peer: Peer) -> anyhow::Result<Comparison> {
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        single.install(|| self.measure_here(peer))
    }

    fn measure_here(&self, mut peer: Peer) -> anyhow::Result<Comparison> {
        let mut conditions = Conditions::at_start(self);
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

/// Of each operation within a round.
const REPETITIONS: usize = 5;
/// The federations whose sums are measured.
const HOSPITALS: [u8; 2] = [10, 100];
