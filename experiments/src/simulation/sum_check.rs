//! Compares what every hospital opened with the sums computed beside the protocol.

use std::{collections::BTreeMap, sync::Arc};

use crypto::sealed_sum::HospitalId;
use participant::vault::{
    OpenedRound,
    conditioning::ConditionedWeights,
    statistics::{ClinicalRecords, Statistics, own_counters},
    training_seed,
};
use protocol::{
    common_model::CommonModel,
    counters::StatsCounters,
    digests::{LearningRound, RoundNumber},
    manifest::{Manifest, Purpose},
};

use super::{
    expected_sums::{ExpectedUpdate, MeanError, add_counters, change},
    recorder::Recordings,
};

/// The check of a whole run.
pub struct SumCheck {
    manifest: Arc<Manifest>,
    recordings: Recordings,
    records: BTreeMap<HospitalId, ClinicalRecords>,
    /// Scaled, by hospital; known once the statistics are.
    features: BTreeMap<HospitalId, Vec<ConditionedWeights>>,
    /// The common model that the next update changes.
    model: CommonModel,
    /// Sums that not all hospitals have opened yet, by number.
    expected: BTreeMap<RoundNumber, Expected>,
    /// Of each learning round.
    errors: BTreeMap<u32, MeanError>,
    saturated: BTreeMap<u32, u64>,
    faults: Vec<String>,
    opened: usize,
}

struct Expected {
    counters: Option<Vec<u64>>,
    update: Option<ExpectedUpdate>,
    /// The model before.
    model: CommonModel,
    /// Hospitals that have not opened it.
    waiting: usize,
}

impl SumCheck {
    /// A check of a run by this manifest.
    pub fn new(
        manifest: Arc<Manifest>,
        recordings: Recordings,
        records: BTreeMap<HospitalId, ClinicalRecords>,
    ) -> Self {
        Self {
            model: CommonModel::initial(&manifest),
            manifest,
            recordings,
            records,
            features: BTreeMap::new(),
            expected: BTreeMap::new(),
            errors: BTreeMap::new(),
            saturated: BTreeMap::new(),
            faults: Vec::new(),
            opened: 0,
        }
    }

    /// A hospital has opened a sum.
    pub fn opened(&mut self, hospital: HospitalId, opened: &OpenedRound) {
        self.opened += 1;
        if !self.expected.contains_key(&opened.round) {
            let expected = self.expect(opened);
            self.expected.insert(opened.round, expected);
            self.move_on(opened);
        }
        let (joined, names) = (
            self.records.len(),
            format!("round {}, hospital {hospital}", opened.round),
        );
        let expected = self
            .expected
            .get_mut(&opened.round)
            .expect("inserted above");
        expected.waiting -= 1;
        match &expected.counters {
            Some(counters) if *counters == opened.sum.counters => {}
            Some(_) => self.faults.push(format!(
                "{names}: the counters are not the sum of the hospitals'"
            )),
            None => self.faults.push(format!(
                "{names}: a contribution that nobody was seen to make"
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
                self.faults.push(format!(
                    "{names}: {differing} integers are not the sum of the hospitals'"
                ));
            }
            let error = update.largest_error(&expected.model, &opened.mean, joined);
            let largest = self.errors.entry(opened.learning_round.get()).or_default();
            *largest = largest.max(error);
        }
        if expected.waiting == 0 {
            self.expected.remove(&opened.round);
        }
    }

    /// Whether every hospital opened every sum exactly, and there was one.
    pub fn integers_exact(&self) -> bool {
        self.opened > 0 && self.faults.is_empty()
    }

    /// What was wrong.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The largest error of an opened mean, by learning round.
    pub fn errors(&self) -> &BTreeMap<u32, MeanError> {
        &self.errors
    }

    /// Values that were cut off by their clip, over all contributors, by learning round.
    pub fn saturated(&self) -> &BTreeMap<u32, u64> {
        &self.saturated
    }

    /// The scaled features of each hospital, once the statistics are known.
    pub fn features(&self) -> &BTreeMap<HospitalId, Vec<ConditionedWeights>> {
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
                        .map(|&id| self.evaluation_counters(id, opened.round)),
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
        Expected {
            counters,
            update,
            model: self.model.clone(),
            waiting: self.records.len(),
        }
    }

    fn expected_update(
        &mut self,
        learning_round: LearningRound,
        contributors: &[HospitalId],
    ) -> Option<ExpectedUpdate> {
        let seed = |id| training_seed(&self.manifest, id, learning_round);
        let updates: Option<Vec<_>> = contributors
            .iter()
            .map(|&id| Some((id, self.recordings.update(id, &seed(id))?)))
            .collect();
        let changes = updates?.into_iter().map(|(id, update)| {
            let features = self.features.get(&id).map_or(&[][..], Vec::as_slice);
            change(&self.manifest, &self.model, &update, features)
        });
        let expected = ExpectedUpdate::new(&self.model, changes, self.records.len());
        self.recordings.forget_updates(
            self.records
                .keys()
                .map(|&id| (id, seed(id)))
                .collect::<Vec<_>>(),
        );
        self.saturated
            .insert(learning_round.get(), expected.saturated);
        Some(expected)
    }

    /// The counters that each contributor put into the sum of an evaluation.
    pub fn evaluations(&self, opened: &OpenedRound) -> Vec<(HospitalId, Vec<u64>)> {
        let mut contributors = opened.contributors.clone();
        contributors.sort_unstable();
        let own = contributors.into_iter();
        own.filter_map(|id| Some((id, self.evaluation_counters(id, opened.round)?)))
            .collect()
    }

    fn evaluation_counters(&self, id: HospitalId, round: RoundNumber) -> Option<Vec<u64>> {
        let recorded = self.recordings.evaluation(id, round)?;
        Some(recorded.counts.counters(recorded.training).write())
    }

    fn move_on(&mut self, opened: &OpenedRound) {
        match opened.purpose {
            Purpose::Stats => {
                let sums = StatsCounters::read(self.manifest.task, &opened.sum.counters)
                    .expect("the vault that opened it has read them");
                let statistics = Statistics::from(&sums);
                self.features = self
                    .records
                    .iter()
                    .map(|(&id, records)| (id, records.scaled(&statistics)))
                    .collect();
            }
            Purpose::Update => self.model = opened.model.clone(),
            Purpose::Evaluation => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::sealed_sum::OpenedSum;
    use protocol::training_job::TrainedUpdate;
    use protocol::{keeping::Verdict, manifest::Conditioning, network::ModelLayout};

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
            ranges: model_data::Feature::RANGES,
            features: vec![[Some(f64::from(number)); 9]],
            in_training: vec![true],
            class_counts: vec![2, u64::from(number)],
        }
    }

    /// A run whose first update has been trained: hospital k moves value v by k(v + 1) quarters of a step.
    fn trained() -> (SumCheck, OpenedRound) {
        let manifest = Arc::new(manifest());
        let recordings = Recordings::default();
        let model = CommonModel::initial(&manifest);
        let steps: Vec<f64> = model
            .layout()
            .tensors
            .iter()
            .zip(model.clips())
            .flat_map(|(tensor, clip)| vec![clip / 2_097_151.0; tensor.values()])
            .collect();
        let mut sums = vec![0_u64; steps.len()];
        let mut mean = vec![0.0; steps.len()];
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
                sums[index] += (2_097_152 + rounded as i64) as u64;
                mean[index] += rounded * steps[index] / f64::from(HOSPITALS);
            }
            let update = TrainedUpdate {
                model: trained,
                filter_gradients: vec![],
                batches: 1,
                loss: 0.5,
            };
            recordings.keep_update(
                id(number),
                training_seed(&manifest, id(number), LearningRound::new(1)),
                update,
            );
        }
        let opened = OpenedRound {
            run: [0; 32].into(),
            round: RoundNumber::new(2),
            purpose: Purpose::Update,
            learning_round: LearningRound::new(1),
            contributors: (1..=HOSPITALS).map(id).collect(),
            sum: Arc::new(OpenedSum {
                values: sums,
                contributors: 3,
                counters: vec![3, 0],
                largest_noise: 0,
                wrong_answers: vec![],
            }),
            mean: Arc::new(mean),
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
        (SumCheck::new(manifest, recordings, records), opened)
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
        let (mut check, opened) = trained();
        assert!(!check.integers_exact(), "nothing opened is nothing shown");
        for number in 1..=HOSPITALS {
            check.opened(id(number), &opened);
        }
        assert_eq!(check.faults(), [""; 0]);
        assert!(check.integers_exact());
        let error = check.errors()[&1];
        assert!(error.over_step > 0.0 && error.over_step <= 0.5, "{error:?}");
        assert!(check.expected.is_empty(), "what all have opened is let go");
    }

    #[test]
    fn one_altered_integer_or_counter_at_one_hospital_fails() {
        let (mut check, opened) = trained();
        check.opened(id(1), &opened);
        check.opened(id(2), &altered(&opened, |sum| sum.values[17] += 1));
        assert!(!check.integers_exact());
        assert!(
            check.faults()[0].contains("hospital 2") && check.faults()[0].contains("1 integers")
        );

        let (mut check, opened) = trained();
        check.opened(id(3), &altered(&opened, |sum| sum.counters[1] = 1));
        assert!(!check.integers_exact());
    }

    #[test]
    fn a_mean_that_is_off_shows_in_the_error() {
        let (mut check, mut opened) = trained();
        let clip = opened.clips[0];
        Arc::make_mut(&mut opened.mean)[0] += 0.25 * clip;
        check.opened(id(1), &opened);
        assert!((check.errors()[&1].over_clip - 0.25).abs() < 1e-3);
    }

    #[test]
    fn a_contributor_who_never_trained_is_a_fault() {
        let (mut check, mut opened) = trained();
        opened.learning_round = LearningRound::new(2);
        check.opened(id(1), &opened);
        assert!(check.faults()[0].contains("nobody was seen"));
    }

    #[test]
    fn the_statistics_are_the_sum_of_the_hospitals_counters() {
        let (mut check, update) = trained();
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
            mean: Arc::default(),
            ..update
        };
        let opened = altered(&opened, |sum| {
            (sum.values, sum.counters) = (vec![], counters)
        });
        check.opened(id(1), &opened);
        assert!(check.integers_exact(), "{:?}", check.faults());
        assert_eq!(check.features().len(), 3);
        assert!((check.features()[&id(3)][0][1] - 0.03).abs() < 1e-12);
    }
}
