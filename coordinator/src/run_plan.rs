//! What a run will cost, before anybody starts it: bytes, seconds, disk and memory, of a hospital and of the coordinator.
//!
//! Bytes are counted from the forms of the protocol (PROTOCOL.md 3) and from ciphertexts that are made for it; messages of less than a
//! kilobyte are left out. Seconds, disk and memory follow from [`Assumed`] and from what was measured (docs/BENCHMARKS.md). It is a run
//! in which every hospital takes part, nobody drops out and nothing is sent twice.

use crypto::{
    ckks::{Context, Evaluator, Profile, RelinearisationKey, SecretKey, encrypt_symmetric},
    sealed_sum::{CHUNK_BYTES, SumError, UNLOCK_BYTES},
};
use getrandom::SysRng;
use protocol::{
    manifest::{Manifest, Purpose},
    message::most_blocks,
    round::contribution::{BOX_BYTES, contribution_bytes},
};
use rand_core::UnwrapErr;

use crate::needs;

/// What a manifest does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumed {
    /// Hospitals that take part.
    pub hospitals: usize,
    /// Patients of a hospital, training, validation and test together.
    pub patients: u32,
    /// Slices that are trained with, of a patient.
    pub slices: u32,
    /// What a hospital's line carries, each way, in megabits a second.
    pub megabits: f64,
    /// A training step of one batch at a hospital, in milliseconds.
    pub step_millis: f64,
}

/// What a run costs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    /// Learning rounds.
    pub rounds: u32,
    /// Message bytes that a hospital sends.
    pub up: Traffic,
    /// The same that it receives.
    pub down: Traffic,
    /// Of one round.
    pub seconds: Seconds,
    /// Seconds of the whole run.
    pub run_secs: f64,
    /// For a hospital, its prepared slices among it.
    pub hospital: Needs,
    /// For the coordinator.
    pub coordinator: Needs,
}

/// Message bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Of a learning round after the first.
    pub round: u64,
    /// Of the whole run.
    pub run: u64,
}

/// Seconds of a learning round after the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds {
    /// At a hospital: all hospitals train at the same time.
    pub training: f64,
    /// Of what a hospital sends and receives, at the rate of its line.
    pub transfer: f64,
    /// Sealing, adding, opening, encrypted products.
    pub cryptography: f64,
}

impl Seconds {
    /// Of the round.
    pub fn total(&self) -> f64 {
        self.training + self.transfer + self.cryptography
    }
}

/// Bytes that a machine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// On disk, in the state folder.
    pub disk: u64,
    /// In memory, of all its processes.
    pub memory: u64,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// So many hospitals or values cannot be summed.
    #[error("no sum fits so many hospitals and this run: {0}")]
    Sum(#[from] SumError),
    /// Their products would not fit one frame.
    #[error(
        "{patients} patients are more than the {most} that a hospital can encrypt the features of with {profile}"
    )]
    Patients {
        /// Asked for.
        patients: u32,
        /// At the most.
        most: usize,
        /// The CKKS parameters.
        profile: Profile,
    },
}

impl RunPlan {
    /// Of this run under these assumptions.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn of(manifest: &Manifest, assumed: &Assumed) -> Result<Self, PlanError> {
        let rounds = u64::from(manifest.rounds);
        let statistics = Sum::of(manifest, Purpose::Stats, assumed.hospitals)?;
        let update = Sum::of(manifest, Purpose::Update, assumed.hospitals)?;
        let evaluation = Sum::of(manifest, Purpose::Evaluation, assumed.hospitals)?;
        let filters = match manifest.conditioning.profile() {
            Some(profile) => Filters::of(manifest, profile, assumed.patients)?,
            None => Filters::default(),
        };
        let traffic = |of_sum: fn(&Sum) -> u64, once: u64, filter: u64| {
            let round = of_sum(&update) + of_sum(&evaluation) + filter;
            // A request for each version of the weights that meet the features, that of the start among them.
            let requests = u64::from(manifest.conditioning_versions()) * filter;
            let sums = of_sum(&update) + of_sum(&evaluation);
            let run = of_sum(&statistics) + once + requests + rounds * sums;
            Traffic { round, run }
        };
        let up = traffic(|sum| sum.up, filters.once, filters.request);
        let down = traffic(|sum| sum.down, 0, filters.products);
        let seconds = Seconds {
            training: training_secs(manifest, assumed),
            transfer: 8.0 * (up.round + down.round) as f64 / (1e6 * assumed.megabits),
            cryptography: needs::CRYPTOGRAPHY_SECS_A_ROUND,
        };
        let slices = u64::from(assumed.patients) * u64::from(assumed.slices) * needs::SLICE_BYTES;
        Ok(Self {
            rounds: manifest.rounds,
            up,
            down,
            seconds,
            run_secs: f64::from(manifest.rounds) * seconds.total(),
            hospital: Needs {
                disk: needs::hospital_disk(update.up) + slices,
                memory: needs::TRAINING_MEMORY + slices,
            },
            coordinator: Needs {
                disk: needs::coordinator_disk(assumed.hospitals, update.up),
                memory: needs::coordinator_memory(assumed.hospitals),
            },
        })
    }
}

fn training_secs(manifest: &Manifest, assumed: &Assumed) -> f64 {
    let slices = f64::from(assumed.patients) * f64::from(assumed.slices) * TRAINING_SHARE;
    let steps = (slices / f64::from(manifest.batch_size.max(1))).ceil();
    f64::from(manifest.local_epochs) * steps * assumed.step_millis / 1000.0
}

/// Bytes of one sum, at a hospital.
struct Sum {
    up: u64,
    down: u64,
}

impl Sum {
    fn of(manifest: &Manifest, purpose: Purpose, hospitals: usize) -> Result<Self, PlanError> {
        let chunks = manifest.shape(purpose, hospitals)?.chunks();
        let shares = hospitals * UNLOCK_BYTES;
        let boxes = hospitals.saturating_sub(1) * BOX_BYTES;
        Ok(Self {
            up: (contribution_bytes(chunks, hospitals) + UNLOCK_BYTES) as u64,
            down: (chunks * CHUNK_BYTES + shares + boxes) as u64,
        })
    }
}

/// Bytes of the encrypted conditioning of one hospital.
#[derive(Default)]
struct Filters {
    /// Key and features of all patients.
    once: u64,
    /// One filter.
    request: u64,
    /// The products of one.
    products: u64,
}

impl Filters {
    fn of(manifest: &Manifest, profile: Profile, patients: u32) -> Result<Self, PlanError> {
        let patients_of_block = manifest
            .conditioning_form
            .patients_per_block(manifest.task.classes(), manifest.features.count());
        let most = most_blocks(profile) as usize * patients_of_block;
        if patients as usize > most {
            return Err(PlanError::Patients {
                patients,
                most,
                profile,
            });
        }
        let blocks = u64::from(patients).div_ceil(patients_of_block as u64);
        let context = Context::new(profile);
        let rng = &mut UnwrapErr(SysRng);
        let secret = SecretKey::generate(&context, rng);
        let one = context
            .encode(&[1.0])
            .and_then(|one| encrypt_symmetric(&secret, &one, rng))
            .expect("one is encoded in any context, and the key is of this one");
        let key = RelinearisationKey::generate(&secret, rng);
        let sent = one.to_bytes().len() as u64;
        let read = one.expand();
        let product = Evaluator::new(&context)
            .multiply_relinearise_rescale(&read, &read, &key)
            .expect("two fresh ciphertexts have room for a product");
        Ok(Self {
            once: RelinearisationKey::seeded_bytes(&context) as u64 + blocks * sent,
            request: sent,
            products: blocks * product.to_bytes().len() as u64,
        })
    }
}

/// Of the slices of a hospital, as docs/MODEL.md splits them.
const TRAINING_SHARE: f64 = 0.7;
