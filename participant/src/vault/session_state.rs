//! What a vault has of a session, whatever round it is in: the run, the keys, and how far the chain of opened rounds is.

use std::collections::BTreeSet;

use crypto::{
    hash::labelled_hash,
    sealed_sum::{HospitalId, Reals},
};
use protocol::{
    common_model::CommonModel,
    counters::EvaluationCounters,
    digests::{LearningRound, ModelHash, RoundNumber, RunId, SessionId, Transcript},
    features::letters,
    keeping::{Standing, Verdict},
    kept_model::initial_model_hash,
    manifest::{CheckedManifest, Purpose},
    roster::Roster,
    round::header::{RoundContext, SumKey},
    session::first_transcript,
};

use zeroize::Zeroizing;

use super::{
    error::VaultError,
    hospital::Hospital,
    initial_model::initial_model,
    input::RunEnd,
    kept::ChainRecord,
    keys::SessionKeys,
    statistics::{ClinicalRecords, own_counters},
};
use crate::journal::{EndedRun, Journal, KeptModel, SumOver, SumSubject};

/// The run as its manifest says, and this hospital's part in it.
pub(super) struct Run {
    pub(super) manifest: CheckedManifest,
    pub(super) records: ClinicalRecords,
}

/// The run, the keys, and where the vault is in it.
pub(super) struct Session {
    pub(super) run: Run,
    pub(super) keys: SessionKeys,
    /// T of the round that the session goes on after; none in the first session of the run.
    pub(super) after: Option<Transcript>,
    pub(super) chain: Chain,
}

/// Where the vault is in the session's chain of opened rounds.
pub(super) struct Chain {
    pub(super) model: CommonModel,
    pub(super) model_hash: ModelHash,
    /// T of the last round that was opened; `T_0` before.
    pub(super) transcript: Transcript,
    /// The largest number of a header that was accepted.
    pub(super) last_round: RoundNumber,
    /// That of the last update that was opened.
    pub(super) updates: LearningRound,
    /// U of that update.
    pub(super) contributors: Vec<HospitalId>,
    /// The counters of the last evaluation of the model as it is.
    pub(super) validation: Option<Vec<u64>>,
    /// What the evaluations of the run have come to.
    pub(super) standing: Standing,
    /// U of all evaluations of the run that were opened, each once.
    pub(super) evaluated: Vec<BTreeSet<HospitalId>>,
    /// The model that another hospital has handed over to this one, which came without anything of the run. It may have answered for a
    /// sum on that model and have forgotten it.
    pub(super) given: Option<ModelHash>,
}

impl Session {
    /// The run's first session, whose keys have just been completed.
    pub(super) fn begin<J: Journal>(
        run: Run,
        keys: SessionKeys,
        hospital: &Hospital<J>,
    ) -> Result<Self, VaultError> {
        let roster = hospital.roster();
        let chain = Chain {
            model_hash: initial_model_hash(&run.manifest),
            model: initial_model(&run.manifest, &hospital.journal)?,
            transcript: first_transcript(roster, &keys.session(), &keys.joined_set(), None),
            last_round: RoundNumber::default(),
            updates: LearningRound::default(),
            contributors: Vec::new(),
            validation: None,
            standing: Standing::default(),
            evaluated: Vec::new(),
            given: None,
        };
        Ok(Self {
            run,
            keys,
            after: None,
            chain,
        })
    }

    /// A session that goes on from what was reached in another.
    pub(super) fn following(
        run: Run,
        keys: SessionKeys,
        after: Transcript,
        chain: Chain,
        roster: &Roster,
    ) -> Self {
        let (session, joined_set) = (keys.session(), keys.joined_set());
        let chain = Chain {
            transcript: first_transcript(roster, &session, &joined_set, Some(&after)),
            ..chain
        };
        Self {
            run,
            keys,
            after: Some(after),
            chain,
        }
    }

    /// Whether no round of the session was opened yet.
    pub(super) fn has_opened_nothing(&self, roster: &Roster) -> bool {
        let (session, joined_set) = (self.keys.session(), self.keys.joined_set());
        let origin = first_transcript(roster, &session, &joined_set, self.after.as_ref());
        self.chain.transcript == origin
    }

    /// Whether no round of the session was accepted yet: the common state is the one that it began with.
    pub(super) fn is_at_its_beginning(&self) -> bool {
        self.keys.round() == RoundNumber::default()
    }

    /// Whether the run has to go on. What once was to stop stays so: no further header is accepted.
    pub(super) fn verdict(&self) -> Verdict {
        self.chain.standing.verdict(self.run.manifest.early_stop)
    }

    /// The learning round whose model is kept as the best.
    pub(super) fn kept_round(&self) -> Option<LearningRound> {
        let chain = &self.chain;
        chain
            .standing
            .kept_round(self.run.manifest.keep, chain.updates)
    }

    /// An evaluation of the model as it is was opened.
    pub(super) fn record_evaluation(
        &mut self,
        evaluation: &EvaluationCounters,
        members: &BTreeSet<HospitalId>,
    ) {
        let chain = &mut self.chain;
        if !chain.evaluated.contains(members) {
            chain.evaluated.push(members.clone());
        }
        let keep = self.run.manifest.keep;
        // That of the model of the start is nobody's gain.
        if chain.updates > LearningRound::default() {
            chain.standing.take(keep, chain.updates, evaluation);
        }
        chain.validation = Some(evaluation.write());
    }

    /// A sum of this session over these hospitals. Before the sum is opened: the model is that of its header.
    pub(super) fn sum_over(
        &self,
        key: SumKey,
        members: &BTreeSet<HospitalId>,
        roster: &Roster,
    ) -> SumOver {
        let subjects = match key.purpose {
            // An evaluation shows how many patients and slices there are, whatever the model.
            Purpose::Stats | Purpose::Evaluation => own_subjects(&self.run.records),
            // What a hospital makes of a model follows from its values, and from data that rarely change.
            Purpose::Update => {
                let model = &self.chain.model;
                vec![
                    SumSubject(model.start_hash()),
                    SumSubject(model.common_start_hash()),
                ]
            }
        };
        let weighted = members.iter().filter_map(|&id| {
            let weight = match key.purpose {
                Purpose::Update => self.run.manifest.weight(id),
                Purpose::Stats | Purpose::Evaluation => 1,
            };
            Some((roster.member(id)?.signing_key, weight))
        });
        SumOver {
            key,
            subjects,
            weighted: weighted.collect(),
            members: members.clone(),
        }
    }

    /// What a header must agree with.
    pub(super) fn context<'a>(&'a self, roster: &'a Roster) -> RoundContext<'a> {
        RoundContext {
            roster,
            manifest: &self.run.manifest,
            run: self.run.manifest.run(),
            session: self.keys.session(),
            joined_set: self.keys.joined_set(),
            joined: self.keys.joined().len(),
            gid: self.keys.gid(),
            transcript: self.chain.transcript,
            model_hash: self.chain.model_hash,
        }
    }
}

/// The hash of the common model before the first update. Without a null step it is the one that the manifest names.
pub(super) fn hash_before_updates(model: &CommonModel, manifest: &CheckedManifest) -> ModelHash {
    match model.null_steps() {
        0 => initial_model_hash(manifest),
        _ => model.hash(),
    }
}

/// Digests of what this hospital gives to sums of its own data: how many patients it has, slices by class, and each feature by itself.
/// One may stay the same when others have changed. The first no setting of a run can change: labels nest, features follow from others,
/// and the same column may have two names. A feature is known by its name and by how many patients have it, as its sums tell the same in
/// any unit.
fn own_subjects(records: &ClinicalRecords) -> Vec<SumSubject> {
    let counters = own_counters(records);
    let classes = [&[counters.contributions][..], &counters.class_counts].concat();
    let bytes = classes.iter().flat_map(|counter| counter.to_le_bytes());
    let bytes = Zeroizing::new(bytes.collect::<Vec<u8>>());
    let patients = (records.features.len() as u64).to_le_bytes();
    let mut subjects = vec![
        SumSubject(labelled_hash("own-patients", &[&patients])),
        SumSubject(labelled_hash("own-classes", &[&bytes])),
    ];
    let features = records.schema.names().zip(&counters.features);
    subjects.extend(features.map(|(name, sums)| {
        let parts = [
            letters(name).into_bytes(),
            sums.patients.to_le_bytes().to_vec(),
        ];
        SumSubject(labelled_hash("own-feature", &[&parts[0], &parts[1]]))
    }));
    subjects
}

impl Chain {
    /// What is kept of it.
    pub(super) fn record(&self) -> ChainRecord {
        ChainRecord {
            transcript: self.transcript,
            last_round: self.last_round,
            updates: self.updates,
            model_hash: self.model_hash,
            clips: self.model.clips().to_vec(),
            null_steps: self.model.null_steps(),
            contributors: self.contributors.clone(),
            validation: self.validation.clone(),
            standing: self.standing.clone(),
            evaluated: self.evaluated.clone(),
            given: self.given,
        }
    }

    /// As it was kept, with the model that it names, which must be the one on disk.
    pub(super) fn restored(
        record: ChainRecord,
        manifest: &CheckedManifest,
        journal: &impl Journal,
    ) -> Result<Self, VaultError> {
        let missing = VaultError::KeptModelMissing {
            model: record.model_hash,
        };
        let model = if record.updates == LearningRound::default() {
            let model = initial_model(manifest, journal)?.with_null_steps(record.null_steps);
            if record.model_hash != hash_before_updates(&model, manifest) {
                return Err(missing);
            }
            model
        } else {
            let kept = journal.model(&manifest.run(), manifest, &record.model_hash)?;
            kept.and_then(|KeptModel { values, moments }| {
                let (clips, null_steps) = (record.clips, record.null_steps);
                CommonModel::restored(manifest, values, moments, clips, null_steps)
            })
            .filter(|model| model.hash() == record.model_hash)
            .ok_or(missing)?
        };
        Ok(Self {
            model,
            model_hash: record.model_hash,
            transcript: record.transcript,
            last_round: record.last_round,
            updates: record.updates,
            contributors: record.contributors,
            validation: record.validation,
            standing: record.standing,
            evaluated: record.evaluated,
            given: record.given,
        })
    }

    /// How many updates of a run that ends there were not opened; none when all were, or when the evaluations say that no more follow.
    pub(super) fn missing_updates(&self, manifest: &CheckedManifest, end: RunEnd) -> Option<u32> {
        if self.standing.verdict(manifest.early_stop) == Verdict::Stop {
            return None;
        }
        let missing = end.updates(manifest.rounds).checked_sub(self.updates.get());
        missing.filter(|missing| *missing > 0)
    }

    /// The run, once it has ended here.
    pub(super) fn ended_run(&self, run: RunId, session: SessionId) -> EndedRun {
        EndedRun {
            run,
            session,
            transcript: self.transcript,
            model_hash: self.model_hash,
            learning_round: self.updates,
        }
    }

    /// The learning round that a sum of this purpose belongs to.
    pub(super) fn learning_round(&self, purpose: Purpose) -> LearningRound {
        match purpose {
            Purpose::Stats => LearningRound::default(),
            Purpose::Update => self.updates.next(),
            Purpose::Evaluation => self.updates,
        }
    }

    /// An update over these hospitals did not open: the tensors stay.
    pub(super) fn take_null_step(&mut self) {
        self.model.take_null_step();
        self.model_hash = self.model.hash();
    }

    /// The common model moves by the mean of an update.
    pub(super) fn apply_update(
        &mut self,
        mean: &(impl Reals + ?Sized),
        contributors: &BTreeSet<HospitalId>,
    ) {
        self.updates = self.updates.next();
        self.model
            .apply_mean(mean, contributors.len(), self.updates);
        self.contributors = contributors.iter().copied().collect();
        self.validation = None;
        self.model_hash = self.model.hash();
    }
}

#[cfg(test)]
mod tests {
    use model_data::FeatureSchema;

    use super::*;

    /// The number of patients is common to all of them; counts of classes and each feature only where they are the same.
    #[test]
    fn runs_over_the_same_patients_are_about_the_same_whatever_they_ask() {
        let subjects = |patients: usize, features: &[&str], class_counts: [u64; 2]| {
            let count = features.len();
            own_subjects(&ClinicalRecords {
                features: vec![vec![Some(1.0); count]; patients],
                schema: FeatureSchema::parse(features).expect("features"),
                in_training: vec![true; patients],
                class_counts: class_counts.to_vec(),
                validation_patients: 0,
            })
        };
        let all = subjects(2, &["sex", "age", "T2 lesions: 0..100"], [3, 4]);
        assert_eq!(all.len(), 5);
        let common = |other: &[SumSubject]| all.iter().filter(|one| other.contains(one)).count();
        assert_eq!(common(&subjects(2, &["t2-lesions: 0..50"], [1, 6])), 2);
        assert_eq!(
            common(&subjects(2, &["Age: 0..120", "smoker: flag"], [1, 6])),
            2
        );
        assert_eq!(common(&subjects(2, &["smoker: flag"], [1, 6])), 1);
        assert_eq!(common(&subjects(2, &["smoker: flag"], [3, 4])), 2);
        assert_eq!(common(&subjects(3, &["smoker: flag"], [1, 6])), 0);
    }
}
