//! A trainer that keeps what it hands to the vault: the simulation alone may see every update, to check the sums.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crypto::sealed_sum::HospitalId;
use protocol::digests::RoundNumber;
use protocol::training_job::{
    EvaluateRequest, EvaluatedCounts, JobWatcher, LocalTrainer, TrainRequest, TrainedUpdate,
    TrainerFailure,
};

/// What all hospitals have trained and evaluated and nobody has checked yet. Clones share it.
#[derive(Clone, Default)]
pub struct Recordings(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// By hospital and the seed of its training, which is one for every learning round.
    updates: BTreeMap<(HospitalId, [u8; 32]), Arc<TrainedUpdate>>,
    /// By hospital and number of the sum.
    evaluations: BTreeMap<(HospitalId, RoundNumber), RecordedEvaluation>,
}

/// An evaluation, and the training that its counters report with it.
#[derive(Clone)]
pub struct RecordedEvaluation {
    /// The counts.
    pub counts: EvaluatedCounts,
    /// Loss and steps of the hospital's last training.
    pub training: (f64, u32),
}

impl Recordings {
    /// The update of a hospital's training with this seed.
    pub fn update(&self, hospital: HospitalId, seed: &[u8; 32]) -> Option<Arc<TrainedUpdate>> {
        self.kept().updates.get(&(hospital, *seed)).cloned()
    }

    /// Forgets the updates with these seeds: 17 MB each.
    pub fn forget_updates(&self, seeds: impl IntoIterator<Item = (HospitalId, [u8; 32])>) {
        let mut kept = self.kept();
        for key in seeds {
            kept.updates.remove(&key);
        }
    }

    /// A hospital's evaluation for the sum of this number.
    pub fn evaluation(
        &self,
        hospital: HospitalId,
        round: RoundNumber,
    ) -> Option<RecordedEvaluation> {
        self.kept().evaluations.get(&(hospital, round)).cloned()
    }

    /// Keeps an update.
    pub fn keep_update(&self, hospital: HospitalId, seed: [u8; 32], update: TrainedUpdate) {
        self.kept()
            .updates
            .insert((hospital, seed), Arc::new(update));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub struct RecordingTrainer {
    hospital: HospitalId,
    trainer: Box<dyn LocalTrainer>,
    recordings: Recordings,
    last_training: (f64, u32),
}

impl RecordingTrainer {
    /// Keeps what `trainer` hands over under the hospital's number.
    pub fn new(
        hospital: HospitalId,
        trainer: Box<dyn LocalTrainer>,
        recordings: Recordings,
    ) -> Self {
        Self {
            hospital,
            trainer,
            recordings,
            last_training: (0.0, 0),
        }
    }
}

impl LocalTrainer for RecordingTrainer {
    fn train(
        &mut self,
        request: TrainRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<TrainedUpdate, TrainerFailure> {
        let seed = request.seed;
        let update = self.trainer.train(request, watcher)?;
        self.last_training = (update.loss, update.batches);
        self.recordings
            .keep_update(self.hospital, seed, update.clone());
        Ok(update)
    }

    fn evaluate(
        &mut self,
        request: EvaluateRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<EvaluatedCounts, TrainerFailure> {
        let round = request.round;
        let counts = self.trainer.evaluate(request, watcher)?;
        let recorded = RecordedEvaluation {
            counts: counts.clone(),
            training: self.last_training,
        };
        self.recordings
            .kept()
            .evaluations
            .insert((self.hospital, round), recorded);
        Ok(counts)
    }
}
