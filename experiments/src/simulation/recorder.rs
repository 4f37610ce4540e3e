//! A trainer that keeps what it hands to the vault: the simulation alone may see every update, to check the sums. It is on disk before
//! the vault has it: what a vault gives away can always be checked.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crypto::sealed_sum::HospitalId;
use host::private_folder::make_private_folder;
use model_data::whole_file::write_whole;
use protocol::{
    codec,
    digests::RoundNumber,
    training_job::{
        EvaluateRequest, EvaluatedCounts, JobWatcher, LocalTrainer, TrainRequest, TrainedUpdate,
        TrainerFailure,
    },
};

use super::notes::{Exact, Note, Notes};

/// What all hospitals have trained and evaluated and nobody has checked yet. Clones share it.
#[derive(Clone)]
pub struct Recordings {
    kept: Arc<Mutex<Kept>>,
    /// Of updates, a file each.
    folder: PathBuf,
    notes: Notes,
}

#[derive(Default)]
struct Kept {
    /// What a hospital puts into the sum of this number.
    evaluations: BTreeMap<(HospitalId, RoundNumber), Vec<u64>>,
    /// Loss and steps of each hospital's last training.
    trainings: BTreeMap<HospitalId, (f64, u32)>,
}

impl Recordings {
    /// Keeps updates as files in `folder`, and the rest in `notes`, which hold `before` already.
    ///
    /// # Errors
    /// What the system says.
    pub fn in_folder(folder: &Path, notes: Notes, before: &[Note]) -> io::Result<Self> {
        make_private_folder(folder)?;
        let mut kept = Kept::default();
        for note in before {
            match note {
                Note::Trained {
                    hospital,
                    loss,
                    batches,
                } => {
                    let id = HospitalId::new(*hospital);
                    kept.trainings.extend(id.map(|id| (id, (loss.0, *batches))));
                }
                Note::Evaluated {
                    hospital,
                    round,
                    counters,
                } => {
                    let id = HospitalId::new(*hospital);
                    kept.evaluations
                        .extend(id.map(|id| ((id, *round), counters.clone())));
                }
                _ => {}
            }
        }
        Ok(Self {
            kept: Arc::new(Mutex::new(kept)),
            folder: folder.to_owned(),
            notes,
        })
    }

    /// The update of a hospital's training with this seed, which is one for every learning round.
    pub fn update(&self, hospital: HospitalId, seed: &[u8; 32]) -> Option<TrainedUpdate> {
        let bytes = fs::read(self.path(hospital, seed)).ok()?;
        codec::decode(&bytes).ok()
    }

    /// Removes these updates: every hospital's sum of them was checked. What cannot be removed goes at the end of the simulation.
    pub fn remove_updates(&self, of: impl IntoIterator<Item = (HospitalId, [u8; 32])>) {
        for (hospital, seed) in of {
            let _ = fs::remove_file(self.path(hospital, &seed));
        }
    }

    /// The counters of a hospital's evaluation for the sum of this number.
    pub fn evaluation(&self, hospital: HospitalId, round: RoundNumber) -> Option<Vec<u64>> {
        self.kept().evaluations.get(&(hospital, round)).cloned()
    }

    /// Keeps an update.
    ///
    /// # Errors
    /// What the system says; then it is not kept.
    pub fn keep_update(
        &self,
        hospital: HospitalId,
        seed: [u8; 32],
        update: &TrainedUpdate,
    ) -> io::Result<()> {
        write_whole(&self.path(hospital, &seed), &codec::encode(update))?;
        let training = (update.loss, update.batches);
        self.notes.keep(&Note::Trained {
            hospital: hospital.get(),
            loss: Exact(training.0),
            batches: training.1,
        })?;
        self.kept().trainings.insert(hospital, training);
        Ok(())
    }

    /// Keeps an evaluation, with the hospital's last training, which its counters report too.
    fn keep_evaluation(
        &self,
        hospital: HospitalId,
        round: RoundNumber,
        counts: &EvaluatedCounts,
    ) -> io::Result<()> {
        let training = self.kept().trainings.get(&hospital).copied();
        let counters = counts.counters(training.unwrap_or_default()).write();
        self.notes.keep(&Note::Evaluated {
            hospital: hospital.get(),
            round,
            counters: counters.clone(),
        })?;
        self.kept().evaluations.insert((hospital, round), counters);
        Ok(())
    }

    fn path(&self, hospital: HospitalId, seed: &[u8; 32]) -> PathBuf {
        let name = format!("hospital-{hospital}-{}", hex::encode(&seed[..8]));
        self.folder.join(name)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trainer that writes each update to disk before it returns it.
pub struct RecordingTrainer {
    hospital: HospitalId,
    trainer: Box<dyn LocalTrainer>,
    recordings: Recordings,
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
        let kept = self.recordings.keep_update(self.hospital, seed, &update);
        kept.map_err(unwritten)?;
        Ok(update)
    }

    fn evaluate(
        &mut self,
        request: EvaluateRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<EvaluatedCounts, TrainerFailure> {
        let round = request.round;
        let counts = self.trainer.evaluate(request, watcher)?;
        let kept = self
            .recordings
            .keep_evaluation(self.hospital, round, &counts);
        kept.map_err(unwritten)?;
        Ok(counts)
    }
}

fn unwritten(error: io::Error) -> TrainerFailure {
    TrainerFailure(format!(
        "what was trained cannot be kept for the check of the sums: {error}; free disk space"
    ))
}

#[cfg(test)]
mod tests {
    use protocol::training_job::PatientValues;

    use super::*;

    #[test]
    fn what_was_recorded_is_there_for_another_process_until_it_was_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let id = HospitalId::new(2).expect("in range");
        let path = folder.path().join("notes.jsonl");
        let open = || {
            let (notes, before) = Notes::open(&path).expect("opened");
            Recordings::in_folder(&folder.path().join("updates"), notes, &before).expect("opened")
        };
        let update = TrainedUpdate {
            model: vec![0.1, -2.5],
            input_gradients: PatientValues::default(),
            batches: 7,
            loss: 0.1 + 0.2,
        };
        let before = open();
        let kept = before.keep_update(id, [9; 32], &update);
        kept.expect("written");
        drop(before);
        let counts = EvaluatedCounts {
            confusion: vec![vec![3, 1], vec![0, 4]],
            loss_sum: 4.5,
        };
        let after = open();
        assert!(
            after
                .update(id, &[9; 32])
                .is_some_and(|kept| kept == update)
        );
        assert!(after.update(id, &[8; 32]).is_none());
        let kept = after.keep_evaluation(id, RoundNumber::new(5), &counts);
        kept.expect("written");
        let expected = counts.counters((update.loss, 7)).write();
        let again = open();
        assert_eq!(again.evaluation(id, RoundNumber::new(5)), Some(expected));
        again.remove_updates([(id, [9; 32])]);
        assert!(again.update(id, &[9; 32]).is_none());
    }
}
