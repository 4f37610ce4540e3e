//! Compares what every hospital opened with the sums computed beside the protocol.
//!
//! A hospital's opening is checked before the hospital settles it, and the result is a note on disk: no opening goes unchecked when the
//! process is ended in between, and one that was checked by an earlier process counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use coordinator::machine::TranscriptEntry;
use crypto::sealed_sum::{HospitalId, Reals as _};
use participant::vault::{
    OpenedRound,
    conditioning::weights::ScaledFeatures,
    statistics::{ClinicalRecords, Statistics, own_counters},
    training_seed,
};
use protocol::{
    common_model::CommonModel,
    digests::{LearningRound, ModelHash, RoundNumber},
    manifest::{Manifest, Purpose},
};

use super::{
    expected_sums::{ExpectedUpdate, MeanError, add_counters, write_change},
    notes::{CheckedSum, Exact},
    recorder::Recordings,
};

/// The check of a whole run.
pub struct SumCheck {
    manifest: Arc<Manifest>,
    recordings: Recordings,
    records: BTreeMap<HospitalId, ClinicalRecords>,
    /// Of the federation; none before they are known.
    statistics: Option<Statistics>,
    /// Scaled, by hospital; known once the statistics are.
    features: BTreeMap<HospitalId, Vec<ScaledFeatures>>,
    /// The common models after a learning round that updates may still be checked against, and that at the beginning.
    models: BTreeMap<LearningRound, CommonModel>,
    /// Sums that not all hospitals have opened yet, as they should be.
    expected: BTreeMap<RoundNumber, Expected>,
    /// All sums that were opened.
    seen: BTreeMap<RoundNumber, SeenSum>,
    /// Of each learning round.
    errors: BTreeMap<u32, MeanError>,
    saturated: BTreeMap<u32, u64>,
    faults: Vec<String>,
}

struct Expected {
    counters: Option<Vec<u64>>,
    update: Option<ExpectedUpdate>,
}

/// A sum as the first hospital opened it, and who has.
struct SeenSum {
    counters: Vec<u64>,
    model_hash: ModelHash,
    by: BTreeSet<HospitalId>,
}

impl SumCheck {
    /// A check of a run by this manifest.
    pub fn new(
        manifest: Arc<Manifest>,
        recordings: Recordings,
        records: BTreeMap<HospitalId, ClinicalRecords>,
    ) -> Self {
        let initial = CommonModel::initial(&manifest);
        Self {
            models: [(LearningRound::default(), initial)].into(),
            manifest,
            recordings,
            records,
            statistics: None,
            features: BTreeMap::new(),
            expected: BTreeMap::new(),
            seen: BTreeMap::new(),
            errors: BTreeMap::new(),
            saturated: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// The common model that a hospital goes on from: the next update changes it.
    pub fn learn_model(&mut self, after: LearningRound, model: &CommonModel) {
        self.models.entry(after).or_insert_with(|| model.clone());
    }

    /// A hospital has opened a sum: what there is to note of it. None if an earlier process has checked it, and the hospital has only now
    /// come to settle it.
    pub fn check(
        &mut self,
        hospital: HospitalId,
        opened: &OpenedRound,
        seconds: f64,
    ) -> Option<CheckedSum> {
        // Also of one that was checked before: the next update is checked against it.
        if opened.purpose == Purpose::Update {
            self.learn_model(opened.learning_round, &opened.model);
        }
        let known = self.seen.get(&opened.round);
        let again = known.filter(|seen| seen.by.contains(&hospital));
        let is_same = |seen: &SeenSum| {
            seen.counters == opened.sum.counters && seen.model_hash == opened.model_hash
        };
        if again.is_some_and(is_same) {
            return None;
        }
        let name = format!("round {}, hospital {hospital}", opened.round);
        let mut checked = CheckedSum::of(hospital, opened, seconds);
        if again.is_some() {
            let fault = format!("{name}: another sum than it had opened before");
            checked.faults.push(fault);
            return Some(checked);
        }
        if !self.expected.contains_key(&opened.round) {
            let expected = self.expect(opened);
            self.expected.insert(opened.round, expected);
        }
        let expected = &self.expected[&opened.round];
        match &expected.counters {
            Some(counters) if *counters == opened.sum.counters => {}
            Some(_) => checked.faults.push(format!(
                "{name}: the counters are not the sum of the hospitals'"
            )),
            None => checked.faults.push(format!(
                "{name}: a contribution that nobody was seen to make"
            )),
        }
        if let Some(update) = &expected.update {
            let differing = update
                .values
                .iter()
                .zip(&opened.sum.values)
                .filter(|(expected, found)| expected != found)
                .count();
            if differing > 0 || update.values.len() != opened.sum.values.len() {
                checked.faults.push(format!(
                    "{name}: {differing} integers are not the sum of the hospitals'"
                ));
            }
            match &opened.mean {
                Some(mean) if mean.count() == update.values.len() => {
                    let MeanError {
                        over_clip,
                        over_step,
                        inside_clip_over_step,
                    } = update.largest_error(mean);
                    checked.error = Some([over_clip, over_step, inside_clip_over_step].map(Exact));
                }
                _ => checked
                    .faults
                    .push(format!("{name}: a mean of another length")),
            }
            checked.saturated = Some(update.saturated);
        }
        Some(checked)
    }

    /// What was noted counts. True for the first note of a sum.
    pub fn take(&mut self, checked: &CheckedSum) -> bool {
        let is_first = !self.seen.contains_key(&checked.round);
        if is_first && checked.purpose == Purpose::Stats {
            self.scale_features(&checked.counters);
        }
        let round = checked.learning_round.get();
        if let Some([over_clip, over_step, inside_clip_over_step]) = checked.error {
            let largest = self.errors.entry(round).or_default();
            *largest = largest.max(MeanError {
                over_clip: over_clip.0,
                over_step: over_step.0,
                inside_clip_over_step: inside_clip_over_step.0,
            });
        }
        if let Some(saturated) = checked.saturated {
            self.saturated.insert(round, saturated);
        }
        self.faults.extend(checked.faults.iter().cloned());
        let seen = self.seen.entry(checked.round).or_insert_with(|| SeenSum {
            counters: checked.counters.clone(),
            model_hash: checked.model_hash,
            by: BTreeSet::new(),
        });
        seen.by.extend(HospitalId::new(checked.hospital));
        if seen.by.len() == self.records.len() {
            self.expected.remove(&checked.round);
            if checked.purpose == Purpose::Update {
                self.models
                    .retain(|after, _| *after >= checked.learning_round);
                let seeds = self.seeds(checked.learning_round);
                self.recordings.remove_updates(seeds);
            }
        }
        is_first
    }

    /// Whether every hospital opened every sum exactly, and there was one.
    pub fn integers_exact(&self) -> bool {
        !self.seen.is_empty() && self.faults.is_empty()
    }

    /// Whether any sum was opened.
    pub fn has_seen_any(&self) -> bool {
        !self.seen.is_empty()
    }

    /// What was wrong.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// At the end: what the hospitals have agreed on and some of them were not seen to open, although they hold the result.
    pub fn look_for_unseen(&mut self, transcript: &[TranscriptEntry]) {
        for entry in transcript {
            let by = self.seen.get(&entry.round).map(|seen| &seen.by);
            let unseen = |id: &&HospitalId| by.is_none_or(|by| !by.contains(*id));
            let unseen = self.records.keys().filter(unseen);
            let faults = unseen.map(|id| {
                format!(
                    "round {}, hospital {id}: nobody has seen it open the sum",
                    entry.round
                )
            });
            self.faults.extend(faults);
        }
    }

    /// The last sum that each hospital has opened, and the hash of its model then.
    pub fn last_opened(&self) -> BTreeMap<HospitalId, (RoundNumber, ModelHash)> {
        let openings = self.seen.iter().flat_map(|(&round, seen)| {
            let of = move |&id: &HospitalId| (id, (round, seen.model_hash));
            seen.by.iter().map(of)
        });
        // Later ones replace earlier ones.
        openings.collect()
    }

    /// The largest error of an opened mean, by learning round.
    pub fn errors(&self) -> &BTreeMap<u32, MeanError> {
        &self.errors
    }

    /// Values that were cut off by their clip, over all contributors, by learning round.
    pub fn saturated(&self) -> &BTreeMap<u32, u64> {
        &self.saturated
    }

    /// The federation's statistics, once they are known.
    pub fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }

    /// The scaled features of each hospital, once the statistics are known.
    pub fn features(&self) -> &BTreeMap<HospitalId, Vec<ScaledFeatures>> {
        &self.features
    }

    fn expect(&mut self, opened: &OpenedRound) -> Expected {
        let mut contributors = opened.contributors.clone();
        // Sums of floats depend on the order.
        contributors.sort_unstable();
        let (counters, update) = match opened.purpose {
            Purpose::Stats => (
                add_counters(
                    contributors
                        .iter()
                        .map(|id| Some(own_counters(self.records.get(id)?).write())),
                ),
                None,
            ),
            Purpose::Evaluation => (
                add_counters(
                    contributors
                        .iter()
                        .map(|&id| self.recordings.evaluation(id, opened.round)),
                ),
                None,
            ),
            Purpose::Update => {
                let update = self.expected_update(opened.learning_round, &contributors);
                let counters = update
                    .as_ref()
                    .map(|update| vec![contributors.len() as u64, update.saturated]);
                (counters, update)
            }
        };
        Expected { counters, update }
    }

    fn expected_update(
        &mut self,
        learning_round: LearningRound,
        contributors: &[HospitalId],
    ) -> Option<ExpectedUpdate> {
        let before = LearningRound::new(learning_round.get().checked_sub(1)?);
        let model = self.models.get(&before)?;
        let seed = |id| training_seed(&self.manifest, id, learning_round);
        let mut expected = ExpectedUpdate::new(model, self.records.len());
        let mut change = Vec::new();
        for id in contributors {
            let update = self.recordings.update(*id, &seed(*id))?;
            let features = self.features.get(id).map_or(&[][..], Vec::as_slice);
            let manifest = &self.manifest;
            write_change(
                manifest,
                model,
                &update,
                features,
                learning_round,
                &mut change,
            );
            if change.len() != expected.values.len() {
                return None;
            }
            expected.add(&change);
        }
        Some(expected)
    }

    /// Of the trainings of a learning round.
    fn seeds(&self, round: LearningRound) -> Vec<(HospitalId, [u8; 32])> {
        let seed = |&id: &HospitalId| (id, training_seed(&self.manifest, id, round));
        self.records.keys().map(seed).collect()
    }

    /// The counters that each contributor put into the sum of an evaluation.
    pub fn evaluations(&self, checked: &CheckedSum) -> Vec<(HospitalId, Vec<u64>)> {
        let own = checked
            .contributors
            .iter()
            .copied()
            .filter_map(HospitalId::new);
        own.filter_map(|id| Some((id, self.recordings.evaluation(id, checked.round)?)))
            .collect()
    }

    fn scale_features(&mut self, counters: &[u64]) {
        // The vault that opened them has read them.
        if let Ok(sums) = self.manifest.read_stats(counters) {
            let statistics = Statistics::from(&sums);
            let form = self.manifest.conditioning_form;
            let scaled =
                |(&id, records): (_, &ClinicalRecords)| (id, records.scaled(&statistics, form));
            self.features = self.records.iter().map(scaled).collect();
            self.statistics = Some(statistics);
        }
    }
}

impl CheckedSum {
    /// Nothing is wrong yet.
    fn of(hospital: HospitalId, opened: &OpenedRound, seconds: f64) -> Self {
        let mut contributors: Vec<u8> = opened.contributors.iter().map(|id| id.get()).collect();
        contributors.sort_unstable();
        Self {
            hospital: hospital.get(),
            round: opened.round,
            purpose: opened.purpose,
            learning_round: opened.learning_round,
            contributors,
            counters: opened.sum.counters.clone(),
            model_hash: opened.model_hash,
            kept_round: opened.kept_round,
            best: opened.best.map(|best| (best.round, Exact(best.value))),
            error: None,
            saturated: None,
            faults: Vec::new(),
            seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::notes::Notes, *};
    use crypto::sealed_sum::{Mean, OpenedSum};
    use protocol::{
        keeping::Verdict,
        labels::Labels,
        manifest::{Conditioning, ConditioningForm},
        network::ModelLayout,
        training_job::{PatientValues, TrainedUpdate},
    };
    use tempfile::TempDir;

    const HOSPITALS: u8 = 3;

    fn manifest() -> Manifest {
        let mut manifest = coordinator::settings::RunSettings {
            local_steps: 1,
            ..Default::default()
        }
        .manifest();
        manifest.conditioning = Conditioning::None;
        manifest.layout = ModelLayout {
            tensors: manifest.layout.tensors[..3].iter().cloned().collect(),
        };
        manifest
    }

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("in range")
    }

    fn records(number: u8) -> ClinicalRecords {
        ClinicalRecords {
            schema: model_data::FeatureSchema::study(),
            features: vec![vec![Some(f64::from(number)); 9]],
            in_training: vec![true],
            class_counts: vec![2, u64::from(number)],
            validation_patients: 1,
        }
    }

    /// Of nothing yet, with the folder that holds what comes.
    fn recordings() -> (TempDir, Recordings) {
        let folder = tempfile::tempdir().expect("a folder");
        let recordings = Recordings::in_folder(folder.path(), Notes::default(), &[]);
        (folder, recordings.expect("an empty folder"))
    }

    /// A run whose first update has been trained: hospital k moves value v by k(v + 1) quarters of a step.
    fn trained() -> (TempDir, SumCheck, OpenedRound) {
        let manifest = Arc::new(manifest());
        let (folder, recordings) = recordings();
        let model = CommonModel::initial(&manifest);
        let steps: Vec<f64> = model
            .layout()
            .tensors
            .iter()
            .zip(model.clips())
            .flat_map(|(tensor, clip)| vec![clip / 2_097_151.0; tensor.values()])
            .collect();
        let mut sums = vec![0_u32; steps.len()];
        for number in 1..=HOSPITALS {
            let trained: Vec<f32> = model
                .values()
                .iter()
                .zip(&steps)
                .enumerate()
                .map(|(index, (value, step))| {
                    value + (f64::from(number) * (index as f64 + 1.0) * 1000.0 * step) as f32
                })
                .collect();
            for (index, (before, after)) in model.values().iter().zip(&trained).enumerate() {
                let change = f64::from(*after) - f64::from(*before);
                let rounded = (change / steps[index]).round_ties_even();
                sums[index] += (2_097_152 + rounded as i64) as u32;
            }
            let update = TrainedUpdate {
                model: trained,
                input_gradients: PatientValues::default(),
                batches: 1,
                loss: 0.5,
            };
            let seed = training_seed(&manifest, id(number), LearningRound::new(1));
            let kept = recordings.keep_update(id(number), seed, &update);
            kept.expect("written");
        }
        let sum = Arc::new(OpenedSum {
            values: sums,
            contributors: 3,
            counters: vec![3, 0],
            largest_noise: 0,
            wrong_answers: vec![],
        });
        let opened = OpenedRound {
            run: [0; 32].into(),
            round: RoundNumber::new(2),
            labels: Labels::of(&manifest),
            conditioning: manifest.conditioning,
            form: ConditioningForm::Study,
            features: manifest.features.clone(),
            purpose: Purpose::Update,
            learning_round: LearningRound::new(1),
            contributors: (1..=HOSPITALS).map(id).collect(),
            mean: Some(Arc::new(mean_of(&sum, &manifest))),
            sum,
            clips: model.clips().to_vec(),
            kept_round: None,
            best: None,
            verdict: Verdict::GoOn,
            model_hash: model.hash(),
            model,
            transcript: [0; 32].into(),
        };
        let records = (1..=HOSPITALS)
            .map(|number| (id(number), records(number)))
            .collect();
        (folder, SumCheck::new(manifest, recordings, records), opened)
    }

    fn mean_of(sum: &Arc<OpenedSum>, manifest: &Manifest) -> Mean {
        let shape = manifest.shape(Purpose::Update, usize::from(HOSPITALS));
        let clips = CommonModel::initial(manifest).clipped_tensors();
        let mean = sum.mean(&shape.expect("a shape"), &clips, 1, u64::from(HOSPITALS));
        mean.expect("of this shape")
    }

    fn open(check: &mut SumCheck, number: u8, opened: &OpenedRound) {
        if let Some(checked) = check.check(id(number), opened, 0.0) {
            check.take(&checked);
        }
    }

    fn altered(opened: &OpenedRound, alter: impl FnOnce(&mut OpenedSum)) -> OpenedRound {
        let mut sum = OpenedSum {
            values: opened.sum.values.clone(),
            contributors: opened.sum.contributors,
            counters: opened.sum.counters.clone(),
            largest_noise: 0,
            wrong_answers: vec![],
        };
        alter(&mut sum);
        OpenedRound {
            sum: Arc::new(sum),
            ..opened.clone()
        }
    }

    #[test]
    fn a_right_sum_passes_at_every_hospital() {
        let (_folder, mut check, opened) = trained();
        assert!(!check.integers_exact(), "nothing opened is nothing shown");
        for number in 1..=HOSPITALS {
            open(&mut check, number, &opened);
        }
        assert_eq!(check.faults(), [""; 0]);
        assert!(check.integers_exact());
        let error = check.errors()[&1];
        assert!(error.over_step > 0.0 && error.over_step <= 0.5, "{error:?}");
        assert!(check.expected.is_empty(), "what all have opened is let go");
    }

    #[test]
    fn one_altered_integer_or_counter_at_one_hospital_fails() {
        let (_folder, mut check, opened) = trained();
        open(&mut check, 1, &opened);
        open(&mut check, 2, &altered(&opened, |sum| sum.values[17] += 1));
        assert!(!check.integers_exact());
        assert!(
            check.faults()[0].contains("hospital 2") && check.faults()[0].contains("1 integers")
        );

        let (_folder, mut check, opened) = trained();
        open(&mut check, 3, &altered(&opened, |sum| sum.counters[1] = 1));
        assert!(!check.integers_exact());
    }

    #[test]
    fn what_an_earlier_process_has_checked_counts_and_is_not_checked_again() {
        let (_folder, mut earlier, opened) = trained();
        let notes: Vec<_> = [1, 2]
            .map(|number| {
                earlier
                    .check(id(number), &opened, 0.0)
                    .expect("not seen before")
            })
            .into();
        let (_other_folder, mut check, _) = trained();
        let (_empty, nothing) = recordings();
        check.recordings = nothing;
        for note in &notes {
            check.take(note);
        }
        assert!(!check.models.contains_key(&LearningRound::new(1)));
        assert!(check.check(id(2), &opened, 0.0).is_none());
        assert!(check.integers_exact());
        // Nobody who settles it only now may be missed by the next update.
        assert!(check.models.contains_key(&LearningRound::new(1)));
        let other = altered(&opened, |sum| sum.counters[1] = 1);
        let checked = check.check(id(1), &other, 0.0).expect("another sum");
        assert!(checked.faults[0].contains("another sum"));
        // What nobody has recorded any more is never exact.
        open(&mut check, 3, &opened);
        assert!(!check.integers_exact());
    }

    #[test]
    fn a_settled_sum_that_a_hospital_was_not_seen_to_open_is_a_fault() {
        let (_folder, mut check, opened) = trained();
        let entry = TranscriptEntry {
            round: opened.round,
            purpose: "update".into(),
            contributors: vec![1, 2, 3],
            transcript_before: String::new(),
            header_hash: String::new(),
            contributors_hash: String::new(),
            sum_root: String::new(),
            model_hash: String::new(),
            failed: BTreeMap::new(),
            transcript: String::new(),
            header: String::new(),
            request: String::new(),
            closed: BTreeMap::new(),
        };
        open(&mut check, 1, &opened);
        open(&mut check, 3, &opened);
        assert!(check.integers_exact());
        check.look_for_unseen(&[entry]);
        assert_eq!(check.faults().len(), 1);
        assert!(check.faults()[0].contains("hospital 2"));
    }

    #[test]
    fn a_mean_that_is_off_shows_in_the_error() {
        let (_folder, mut check, mut opened) = trained();
        let manifest = Arc::clone(&check.manifest);
        let three_quarters = 3 * 2_097_151 / 4;
        let off = altered(&opened, |sum| sum.values[0] += three_quarters);
        opened.mean = Some(Arc::new(mean_of(&off.sum, &manifest)));
        open(&mut check, 1, &opened);
        assert!((check.errors()[&1].over_clip - 0.25).abs() < 1e-3);
    }

    #[test]
    fn an_update_without_a_mean_or_with_one_of_another_length_is_a_fault() {
        let (_folder, mut check, mut opened) = trained();
        opened.mean = None;
        open(&mut check, 1, &opened);
        assert!(check.faults()[0].contains("a mean of another length"));
    }

    #[test]
    fn a_contributor_who_never_trained_is_a_fault() {
        let (_folder, mut check, mut opened) = trained();
        opened.learning_round = LearningRound::new(2);
        check.learn_model(LearningRound::new(1), &opened.model.clone());
        open(&mut check, 1, &opened);
        assert!(check.faults()[0].contains("nobody was seen"));
    }

    #[test]
    fn the_statistics_are_the_sum_of_the_hospitals_counters() {
        let (_folder, mut check, update) = trained();
        // Features are summed where they are used.
        Arc::make_mut(&mut check.manifest).conditioning = Conditioning::Plain;
        let own: Vec<Vec<u64>> = (1..=HOSPITALS)
            .map(|number| own_counters(&records(number)).write())
            .collect();
        let counters: Vec<u64> = (0..own[0].len())
            .map(|place| own.iter().map(|list| list[place]).sum())
            .collect();
        let opened = OpenedRound {
            round: RoundNumber::new(1),
            purpose: Purpose::Stats,
            learning_round: LearningRound::default(),
            mean: None,
            ..update
        };
        let opened = altered(&opened, |sum| {
            (sum.values, sum.counters) = (vec![], counters)
        });
        open(&mut check, 1, &opened);
        assert!(check.integers_exact(), "{:?}", check.faults());
        assert_eq!(check.features().len(), 3);
        assert!((check.features()[&id(3)][0][1] - 0.03).abs() < 1e-12);
    }
}
