//! What a run has to come to, computed in plaintext from the specification: every contribution's whole numbers (PROTOCOL.md 3.4),
//! their sums, the mean, and the model after it. Only the sums of the vaults are compared with it; nothing here comes from them.

use std::{collections::BTreeMap, sync::Arc};

use crypto::sealed_sum::HospitalId;
use participant::vault::{
    conditioning::release::release_tap,
    statistics::{ClinicalRecords, Statistics, own_counters},
};
use protocol::{
    common_model::CommonModel,
    digests::{LearningRound, ModelHash},
    manifest::{ConditioningForm, Keep, Manifest, Purpose},
    round::header::RoundOpen,
};

use crate::{
    records::records,
    training::{BATCHES, Training, input_gradient},
};

/// One contribution, or a sum of them, before anything is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plaintext {
    /// u of every real value.
    pub(crate) values: Vec<u64>,
    /// In the manifest's order.
    pub(crate) counters: Vec<u64>,
}

/// Loss and batches of a hospital's last training, which its next evaluation reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TrainingRecord {
    pub(crate) loss: f64,
    pub(crate) batches: u32,
}

/// Computes in plaintext what a run has to come to.
pub(crate) struct Reference {
    manifest: Arc<Manifest>,
    training: Training,
    /// Every common model of the run so far.
    models: BTreeMap<ModelHash, (LearningRound, CommonModel)>,
    statistics: Option<Statistics>,
    /// The counters of every evaluation so far, in order.
    evaluations: Vec<Vec<u64>>,
}

impl Reference {
    pub(crate) fn new(manifest: Arc<Manifest>, training: Training) -> Self {
        let initial = CommonModel::initial(&manifest);
        Self {
            models: BTreeMap::from([(initial.hash(), (LearningRound::default(), initial))]),
            manifest,
            training,
            statistics: None,
            evaluations: Vec::new(),
        }
    }

    /// What this hospital contributes under this header; none when the header names a model that the run does not have.
    pub(crate) fn plaintext(
        &self,
        hospital: HospitalId,
        header: &RoundOpen,
        record: TrainingRecord,
    ) -> Option<Plaintext> {
        match header.purpose {
            Purpose::Stats => {
                let records = self.records(hospital);
                let counters = own_counters(&records).write();
                Some(Plaintext {
                    values: Vec::new(),
                    counters,
                })
            }
            Purpose::Update => {
                let (before, model) = self.models.get(&header.model_hash)?;
                let change = self.change(hospital, model, &header.model_hash, before.next())?;
                Some(self.quantised(hospital, model, &change, header))
            }
            Purpose::Evaluation => {
                let classes = self.manifest.task.classes();
                let counts = self.training.counts(hospital, header.round, classes);
                let mut counters = vec![1];
                counters.extend(counts.confusion.iter().flatten());
                let steps = f64::from(record.batches);
                counters.push(in_65536ths(counts.loss_sum));
                counters.push(in_65536ths(record.loss * steps));
                counters.push(u64::from(record.batches));
                Some(Plaintext {
                    values: Vec::new(),
                    counters,
                })
            }
        }
    }

    /// The sum of an opened round is known: the statistics, or the next model and its hash.
    pub(crate) fn settle(
        &mut self,
        header: &RoundOpen,
        contributors: &[HospitalId],
        sum: &Plaintext,
    ) -> Option<ModelHash> {
        match header.purpose {
            Purpose::Stats => {
                self.statistics = self
                    .manifest
                    .read_stats(&sum.counters)
                    .ok()
                    .map(|sums| Statistics::from(&sums));
            }
            Purpose::Update => {
                let (before, mut model) = self.models.get(&header.model_hash)?.clone();
                let round = before.next();
                let mean = self.mean(&model, contributors, &sum.values, header);
                model.apply_mean(&mean, contributors.len(), round);
                let hash = model.hash();
                self.models.insert(hash, (round, model));
                return Some(hash);
            }
            Purpose::Evaluation => self.evaluations.push(sum.counters.clone()),
        }
        Some(header.model_hash)
    }

    /// Whether the last `early_stop` evaluations were all no better than the best one before them.
    pub(crate) fn has_to_stop(&self) -> bool {
        let Some(limit) = self.manifest.early_stop else {
            return false;
        };
        let scores: Vec<_> = self
            .evaluations
            .iter()
            .map(|counters| self.score(counters))
            .collect();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = scores.iter().position(|score| *score == best);
        first.is_some_and(|first| scores.len() - 1 - first >= limit.get() as usize)
    }

    /// How good an evaluation is, by what the manifest keeps: the larger, the better.
    fn score(&self, counters: &[u64]) -> f64 {
        let classes = self.manifest.task.classes();
        let cells = &counters[1..=classes * classes];
        let slices = cells.iter().sum::<u64>() as f64;
        match self.manifest.keep {
            Keep::BestAccuracy => {
                let right = cells.iter().step_by(classes + 1).sum::<u64>();
                right as f64 / slices
            }
            Keep::BestLoss | Keep::Last => -(counters[1 + classes * classes] as f64) / slices,
        }
    }

    /// What the hospital's training moves each value by; what the vault keeps by its gradient.
    fn change(
        &self,
        hospital: HospitalId,
        model: &CommonModel,
        hash: &ModelHash,
        round: LearningRound,
    ) -> Option<Vec<f64>> {
        let kept = self.manifest.kept_by_vault();
        let mut of_kept = match kept {
            [] => Vec::new(),
            _ => self.change_of_kept(hospital, model, round)?,
        }
        .into_iter();
        let mut change = Vec::with_capacity(model.values().len());
        let mut trained = 0;
        for tensor in model.layout().tensors.iter() {
            let range = change.len()..change.len() + tensor.values();
            if kept.contains(&tensor.name.0.as_str()) {
                change.extend(of_kept.by_ref().take(tensor.values()));
                continue;
            }
            for &before in &model.values()[range] {
                let after = before + self.training.change(hospital, hash, trained);
                change.push(f64::from(after) - f64::from(before));
                trained += 1;
            }
        }
        Some(change)
    }

    fn records(&self, hospital: HospitalId) -> ClinicalRecords {
        let all = records(hospital, self.manifest.task.classes());
        let features = self.manifest.used_features();
        let of_run = all.of_run(&features);
        of_run.expect("a run of what the hospitals read")
    }

    /// By the definition of each form (MODEL.md, "Forms of conditioning"), the tensors by name.
    fn change_of_kept(
        &self,
        hospital: HospitalId,
        model: &CommonModel,
        round: LearningRound,
    ) -> Option<Vec<f64>> {
        let statistics = self.statistics.as_ref()?;
        let form = self.manifest.conditioning_form;
        let records = self.records(hospital);
        let (features, width) = (
            records.scaled(statistics, form),
            self.manifest.features.count(),
        );
        let tensor = |name: &str| {
            let range = model.layout().range(name)?;
            Some(&model.values()[range])
        };
        let factors = tensor(form.factors())?;
        let mut of_factors = vec![0.0; factors.len()];
        let mut of_base = vec![0.0; 9];
        for features in &features {
            let product = |place: usize| f64::from(factors[place]) * features[place % width];
            match form {
                ConditioningForm::Study | ConditioningForm::Additive => {
                    for entry in 0..9 {
                        let base = match form {
                            ConditioningForm::Additive => {
                                f64::from(tensor("conditioned.weight")?[entry])
                            }
                            _ => 0.0,
                        };
                        let tap = release_tap(base + product(entry));
                        let gradient = f64::from(input_gradient(tap));
                        of_factors[entry] += gradient * features[entry];
                        of_base[entry] += gradient;
                    }
                }
                ConditioningForm::Late => {
                    for (class, sums) in of_factors.chunks_mut(width).enumerate() {
                        let sum: f64 = (0..width).map(|entry| product(width * class + entry)).sum();
                        let multiple = (sum * 4096.0 - 43.0 / (127.0 * 256.0)).round_ties_even();
                        let shift = (multiple / 4096.0).clamp(-8.0, 8.0) as f32;
                        let gradient = f64::from(input_gradient(shift));
                        for (sum, feature) in sums.iter_mut().zip(features.iter()) {
                            *sum += gradient * feature;
                        }
                    }
                }
            }
        }
        if form == ConditioningForm::Additive {
            of_factors.extend(of_base);
        }
        let rate = self.manifest.conditioning_rate;
        let change = |sum: f64| -rate * sum / f64::from(BATCHES);
        let moves = self.manifest.conditioning_moves_in(round);
        let change = of_factors
            .into_iter()
            .map(|sum| if moves { change(sum) } else { 0.0 });
        Some(change.collect())
    }

    /// `u = clamp(round_half_even((omega / omega_max) x / step)) + 2^(B-1)`, and how many values the clamp cut off.
    fn quantised(
        &self,
        hospital: HospitalId,
        model: &CommonModel,
        change: &[f64],
        header: &RoundOpen,
    ) -> Plaintext {
        let share =
            f64::from(self.manifest.weight(hospital)) / f64::from(self.manifest.largest_weight());
        let half = 1_i64 << (header.value_bits - 1);
        let largest = (half - 1) as f64;
        let mut saturated = 0;
        let mut values = Vec::with_capacity(change.len());
        for (clip, change) in clip_of_each_value(model).zip(change) {
            let steps = (share * change / (clip / largest)).round_ties_even();
            saturated += u64::from(steps.abs() > largest);
            values.push((steps.clamp(-largest, largest) as i64 + half) as u64);
        }
        Plaintext {
            values,
            counters: vec![1, saturated],
        }
    }

    /// `step (sum of u - |U| 2^(B-1)) omega_max / (sum of omega over U)`.
    fn mean(
        &self,
        model: &CommonModel,
        contributors: &[HospitalId],
        sums: &[u64],
        header: &RoundOpen,
    ) -> Vec<f64> {
        let half = 1_i64 << (header.value_bits - 1);
        let offset = contributors.len() as i64 * half;
        let weights = contributors
            .iter()
            .map(|&id| u64::from(self.manifest.weight(id)))
            .sum::<u64>();
        let (factor, divisor) = (f64::from(header.largest_weight), weights as f64);
        let mean = |(clip, sum): (f64, &u64)| {
            let step = clip / (half - 1) as f64;
            step * (*sum as i64 - offset) as f64 * factor / divisor
        };
        clip_of_each_value(model).zip(sums).map(mean).collect()
    }
}

fn clip_of_each_value(model: &CommonModel) -> impl Iterator<Item = f64> {
    let tensors = model.layout().tensors.iter().zip(model.clips());
    tensors.flat_map(|(tensor, &clip)| std::iter::repeat_n(clip, tensor.values()))
}

fn in_65536ths(value: f64) -> u64 {
    (value * 65_536.0).round() as u64
}
