//! A journal that forgets with its process: for simulations, and for tests of the vault. Its clones are one journal, as a disk is one
//! whatever process writes to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crypto::sealed_sum::{DealerAnswer, HospitalId, Seed};
use protocol::{
    common_model::CommonModel,
    digests::{ClipCommit, ContributionDigest, HeaderHash, ModelHash, RunId, WeightsHash},
    kept_model::weights_hash,
    manifest::{Manifest, Purpose},
    network::ModelLayout,
    round::{header::SumKey, unlock::WeightedMembers},
};
use zeroize::Zeroizing;

use super::{
    EndedRun, InitialModelMissing, Journal, JournalError, KeptBox, KeptContribution, KeptModel,
    KeptSession, RecordedAnswer, SumOver, SumSubject,
};

/// A journal in memory, with a limit on its writes for tests.
#[derive(Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    /// How often something was written.
    writes: u64,
    /// How many writes are left before all fail, as if the process ended there.
    writes_left: Option<u64>,
    has_stopped: bool,
    session: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    seeds: BTreeMap<(HeaderHash, u8), Zeroizing<[u8; 32]>>,
    blobs: BTreeMap<HeaderHash, KeptContribution>,
    boxes: BTreeMap<(HeaderHash, HospitalId), HeldBox>,
    answers: BTreeMap<SumKey, RecordedAnswer>,
    spent: BTreeSet<SumKey>,
    sums: Vec<SumOver>,
    /// The model before and the one that is staged.
    models: Vec<(ModelHash, CommonModel)>,
    ended: Vec<EndedRun>,
    of_other_runs: Vec<Vec<f32>>,
}

struct HeldBox {
    digest: ContributionDigest,
    commit: ClipCommit,
    answer: DealerAnswer,
    share: Option<Zeroizing<Vec<u8>>>,
}

impl MemoryJournal {
    /// After so many writes the next one fails, and all after it: for tests of a process that ends there.
    pub fn stop_after(&self, writes: u64) {
        self.memory().writes_left = Some(writes);
    }

    /// Whether a write has failed because of [`Self::stop_after`].
    pub fn has_stopped(&self) -> bool {
        self.memory().has_stopped
    }

    /// Writes succeed again.
    pub fn go_on(&self) {
        let mut memory = self.memory();
        (memory.writes_left, memory.has_stopped) = (None, false);
    }

    /// Keeps a model of another run, for one that starts from it.
    pub fn give_model(&self, values: Vec<f32>) {
        self.memory().of_other_runs.push(values);
    }

    /// How often something was written.
    pub fn writes(&self) -> u64 {
        self.memory().writes
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> Result<MutexGuard<'_, Memory>, JournalError> {
        let mut memory = self.memory();
        match &mut memory.writes_left {
            Some(0) => {
                memory.has_stopped = true;
                return Err(JournalError {
                    place: "in memory".into(),
                    reason: "it takes no more".into(),
                    may_pass: true,
                });
            }
            Some(left) => *left -= 1,
            None => {}
        }
        memory.writes += 1;
        Ok(memory)
    }
}

impl Memory {
    fn keep_sum(&mut self, sum: &SumOver) {
        if !self.sums.contains(sum) {
            self.sums.push(sum.clone());
        }
    }

    fn keep_box(&mut self, header: &HeaderHash, opened: &KeptBox) {
        let held = HeldBox {
            digest: opened.digest,
            commit: opened.commit,
            answer: opened.answer,
            share: opened.share.clone(),
        };
        self.boxes.insert((*header, opened.from), held);
    }

    /// Of all headers but this one.
    fn erase_rounds(&mut self, but: Option<&HeaderHash>) {
        let is_other = |header: &HeaderHash| Some(header) != but;
        self.seeds.retain(|(header, _), _| !is_other(header));
        self.blobs.retain(|header, _| !is_other(header));
        self.boxes.retain(|(header, _), _| !is_other(header));
    }
}

impl Journal for MemoryJournal {
    fn kept_session(&self) -> Result<Option<KeptSession>, JournalError> {
        let memory = self.memory();
        let kept = memory.session.as_ref();
        Ok(kept.map(|(set_up, position)| KeptSession {
            set_up: set_up.clone(),
            position: position.clone(),
        }))
    }

    fn begin_session(&mut self, session: &KeptSession) -> Result<(), JournalError> {
        let mut memory = self.write()?;
        memory.session = Some((session.set_up.clone(), session.position.clone()));
        memory.erase_rounds(None);
        Ok(())
    }

    fn keep_position(&mut self, header: &HeaderHash, position: &[u8]) -> Result<(), JournalError> {
        let mut memory = self.write()?;
        memory.erase_rounds(Some(header));
        if let Some((_, kept)) = &mut memory.session {
            *kept = Zeroizing::new(position.to_vec());
        }
        Ok(())
    }

    fn next_attempt(&self, header: &HeaderHash) -> Result<u8, JournalError> {
        let memory = self.memory();
        let attempts = memory.seeds.keys().filter(|(of, _)| of == header);
        Ok(attempts.map(|(_, attempt)| attempt + 1).max().unwrap_or(0))
    }

    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError> {
        let seed = Zeroizing::new(*seed.as_bytes());
        self.write()?.seeds.insert((*header, attempt), seed);
        Ok(())
    }

    fn record_contribution(
        &mut self,
        header: &HeaderHash,
        contribution: &KeptContribution,
        own: &KeptBox,
    ) -> Result<(), JournalError> {
        let mut memory = self.write()?;
        memory.blobs.insert(*header, contribution.clone());
        memory.keep_box(header, own);
        Ok(())
    }

    fn contribution(&self, header: &HeaderHash) -> Result<Option<KeptContribution>, JournalError> {
        Ok(self.memory().blobs.get(header).cloned())
    }

    fn record_box(&mut self, header: &HeaderHash, opened: &KeptBox) -> Result<(), JournalError> {
        self.write()?.keep_box(header, opened);
        Ok(())
    }

    fn boxes(&self, header: &HeaderHash) -> Result<Vec<KeptBox>, JournalError> {
        let memory = self.memory();
        let boxes = memory.boxes.iter().filter(|((of, _), _)| of == header);
        let boxes = boxes.map(|((_, from), held)| KeptBox {
            from: *from,
            digest: held.digest,
            commit: held.commit,
            answer: held.answer,
            share: held.share.clone(),
        });
        Ok(boxes.collect())
    }

    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError> {
        Ok(self.memory().answers.get(key).cloned())
    }

    fn record_answer(
        &mut self,
        sum: &SumOver,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError> {
        let mut memory = self.write()?;
        if memory.answers.get(&sum.key) == Some(answer) && memory.sums.contains(sum) {
            return Ok(());
        }
        if memory.answers.contains_key(&sum.key) {
            return Err(JournalError {
                place: "in memory".into(),
                reason: "a second answer for one sum".into(),
                may_pass: false,
            });
        }
        memory.answers.insert(sum.key, answer.clone());
        for ((_, from), held) in &mut memory.boxes {
            if !sum.members.contains(from) {
                held.share = None;
            }
        }
        memory.keep_sum(sum);
        Ok(())
    }

    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError> {
        Ok(self.memory().spent.contains(key))
    }

    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError> {
        let memory = self.memory();
        let is_evaluation =
            |sum: &&SumOver| sum.key.run == *run && sum.key.purpose == Purpose::Evaluation;
        let evaluations = memory.sums.iter().filter(is_evaluation);
        Ok(evaluations.map(|sum| sum.members.clone()).collect())
    }

    fn same_sums_of_other_runs(
        &self,
        key: &SumKey,
        subjects: &[SumSubject],
    ) -> Result<Vec<WeightedMembers>, JournalError> {
        let memory = self.memory();
        let is_same = |sum: &&SumOver| {
            let mut known = sum.subjects.iter();
            sum.key.run != key.run
                && sum.key.purpose == key.purpose
                && known.any(|subject| subjects.contains(subject))
        };
        let same = memory.sums.iter().filter(is_same);
        Ok(same.map(|sum| sum.weighted.clone()).collect())
    }

    fn record_failed_opening(&mut self, sum: &SumOver) -> Result<(), JournalError> {
        self.write()?.keep_sum(sum);
        Ok(())
    }

    fn stage_model(
        &mut self,
        _: &RunId,
        model: &CommonModel,
        hash: &ModelHash,
    ) -> Result<(), JournalError> {
        let mut memory = self.write()?;
        memory.models.push((*hash, model.clone()));
        let older = memory.models.len().saturating_sub(2);
        memory.models.drain(..older);
        Ok(())
    }

    fn model(
        &self,
        _: &RunId,
        _: &Manifest,
        hash: &ModelHash,
    ) -> Result<Option<KeptModel>, JournalError> {
        let memory = self.memory();
        let kept = memory.models.iter().find(|(kept, _)| kept == hash);
        let kept = kept.map(|(_, model)| KeptModel {
            values: model.values().to_vec(),
            moments: model.moments().into_iter().map(<[f32]>::to_vec).collect(),
        });
        Ok(kept)
    }

    fn initial_model(
        &self,
        layout: &ModelLayout,
        weights: &WeightsHash,
    ) -> Result<Vec<f32>, InitialModelMissing> {
        let memory = self.memory();
        let mut of_others = memory.of_other_runs.iter();
        let found = of_others.find(|values| weights_hash(layout, values) == *weights);
        found.cloned().ok_or_else(|| InitialModelMissing {
            weights: *weights,
            folder: "memory".into(),
            models: memory.of_other_runs.len(),
            unusable: Vec::new(),
        })
    }

    fn settle(&mut self, sum: &SumOver, position: &[u8]) -> Result<(), JournalError> {
        let mut memory = self.write()?;
        memory.keep_sum(sum);
        memory.spent.insert(sum.key);
        memory.erase_rounds(None);
        if let Some((_, kept)) = &mut memory.session {
            *kept = Zeroizing::new(position.to_vec());
        }
        Ok(())
    }

    fn end_session(&mut self, ended: Option<&EndedRun>) -> Result<(), JournalError> {
        let mut memory = self.write()?;
        memory.session = None;
        memory.erase_rounds(None);
        memory.models.clear();
        if let Some(ended) = ended {
            memory.ended.push(ended.clone());
        }
        Ok(())
    }

    fn ended_run(&self, run: &RunId) -> Result<Option<EndedRun>, JournalError> {
        let memory = self.memory();
        let mut latest = memory.ended.iter().rev();
        Ok(latest.find(|ended| ended.run == *run).cloned())
    }

    fn last_ended_run(&self) -> Result<Option<EndedRun>, JournalError> {
        Ok(self.memory().ended.last().cloned())
    }
}
