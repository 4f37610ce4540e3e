//! `--updates plain`: the same training with the means of plaintext floats and no coordinator. INSECURE: it exists to be
//! compared with. Production code has no path that sends an update in plaintext, so it is here and not there.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anyhow::{Context, anyhow};
use crypto::sealed_sum::HospitalId;
use participant::{
    compute::ComputeSlots,
    vault::{
        conditioning::{
            release::ReleaseLevels,
            weights::{ConditioningWeights, ScaledFeatures},
        },
        statistics::{ClinicalRecords, Statistics, own_counters},
        training_seed,
    },
};
use protocol::{
    common_model::CommonModel,
    counters::{EvaluationCounters, StatsCounters},
    digests::{LearningRound, RoundNumber},
    keeping::{Standing, Verdict},
    manifest::Manifest,
    network::ModelLayout,
    training_job::{
        EvaluateRequest, JobProgress, LocalTrainer, PatientValues, TrainRequest, TrainerFailure,
        TrainingPlan, Unwatched,
    },
};
use trainer::{CnnTrainer, ImageSet};

use super::{
    expected_sums,
    history::History,
    observer::round_line,
    plan::Plan,
    progress::{Phase, Progress},
};

/// A finished run.
pub struct PlainRun {
    /// The common model.
    pub model: CommonModel,
    /// The learning rounds.
    pub history: History,
    /// Which of them is the best.
    pub standing: Standing,
    /// The common model of that one.
    pub best_model: Option<CommonModel>,
    /// The federation's statistics.
    pub statistics: Statistics,
    /// The scaled features of each hospital.
    pub features: BTreeMap<HospitalId, Vec<ScaledFeatures>>,
    /// Wall seconds of training and evaluation, summed over hospitals.
    pub training_secs: f64,
}

/// What the hospitals have computed in a round: what the protocol hides, for who checks what can be learnt without it.
pub struct RoundAsGiven<'a> {
    /// Of the common model.
    pub layout: &'a ModelLayout,
    /// What each hospital's training has changed in the common model, whether or not it is in the sum.
    pub changes: &'a [(HospitalId, Vec<f64>)],
    /// Those whose change is in the sum.
    pub contributors: &'a [HospitalId],
    /// The evaluation of the next common model, by each hospital.
    pub counters: &'a [(HospitalId, Vec<u64>)],
}

struct PlainHospital {
    id: HospitalId,
    trainer: CnnTrainer,
    features: Vec<ScaledFeatures>,
    /// Loss and steps of the last training.
    training: (f64, u32),
    training_secs: f64,
}

/// Trains without protection.
///
/// # Errors
/// A hospital that cannot train.
pub fn run(
    plan: &Plan,
    manifest: &Arc<Manifest>,
    images: Vec<(HospitalId, ImageSet)>,
    records: &BTreeMap<HospitalId, ClinicalRecords>,
    progress: &Progress,
) -> anyhow::Result<PlainRun> {
    run_and_show(plan, manifest, images, records, progress, &mut |_| {})
}

/// [`run`], which shows every round as it was given.
///
/// # Errors
/// As [`run`].
pub fn run_and_show(
    plan: &Plan,
    manifest: &Arc<Manifest>,
    images: Vec<(HospitalId, ImageSet)>,
    records: &BTreeMap<HospitalId, ClinicalRecords>,
    progress: &Progress,
    show: &mut dyn FnMut(&RoundAsGiven<'_>),
) -> anyhow::Result<PlainRun> {
    let began = Instant::now();
    let statistics = statistics(manifest, records)?;
    let mut hospitals: Vec<PlainHospital> = images
        .into_iter()
        .map(|(id, images)| PlainHospital {
            id,
            trainer: CnnTrainer::new(images, plan.device),
            features: records
                .get(&id)
                .map(|records| records.scaled(&statistics, manifest.conditioning_form))
                .unwrap_or_default(),
            training: (0.0, 0),
            training_secs: 0.0,
        })
        .collect();
    let mut model = CommonModel::initial(manifest);
    let mut history = History::default();
    let mut standing = Standing::default();
    let mut best_model = None;
    let slots = ComputeSlots::new(plan.threads);
    progress.begin_run(plan.hospital_ids(), manifest.rounds, 0);
    for round in 1..=manifest.rounds {
        let class_weights = statistics.class_weights();
        let changes = in_parallel(&mut hospitals, &slots, |hospital| {
            hospital.train(manifest, &model, round, &class_weights, progress)
        })?;
        let contributing = changes
            .iter()
            .filter(|(id, _)| plan.faults.contributes(*id, round));
        let (contributors, summed): (Vec<HospitalId>, Vec<&[f64]>) =
            contributing.map(|(id, change)| (*id, &change[..])).unzip();
        model.apply_mean(
            &expected_sums::mean(&summed),
            contributors.len(),
            LearningRound::new(round),
        );
        history.updated(
            round,
            contributors.iter().map(|id| id.get()).collect(),
            began.elapsed().as_secs_f64(),
        );
        let counters = in_parallel(&mut hospitals, &slots, |hospital| {
            hospital.evaluate(manifest, &model)
        })?;
        show(&RoundAsGiven {
            layout: model.layout(),
            changes: &changes,
            contributors: &contributors,
            counters: &counters,
        });
        let lists = counters.iter().map(|(_, counters)| Some(counters.clone()));
        let sum = expected_sums::add_counters(lists).unwrap_or_default();
        history.evaluated(
            round,
            manifest.task,
            &sum,
            &counters,
            began.elapsed().as_secs_f64(),
        );
        if let Some(record) = history.round(round) {
            progress.line(round_line(record, manifest.rounds));
            progress.rounds_done(round);
        }
        if let Ok(evaluation) = EvaluationCounters::read(&sum) {
            standing.take(manifest.keep, LearningRound::new(round), &evaluation);
            if standing
                .best()
                .is_some_and(|best| best.round.get() == round)
            {
                best_model = Some(model.clone());
            }
        }
        if standing.verdict(manifest.early_stop) == Verdict::Stop {
            break;
        }
    }
    Ok(PlainRun {
        statistics,
        model,
        history,
        standing,
        best_model,
        training_secs: hospitals
            .iter()
            .map(|hospital| hospital.training_secs)
            .sum(),
        features: hospitals
            .into_iter()
            .map(|hospital| (hospital.id, hospital.features))
            .collect(),
    })
}

impl PlainHospital {
    fn train(
        &mut self,
        manifest: &Arc<Manifest>,
        model: &CommonModel,
        round: u32,
        class_weights: &[f64],
        progress: &Progress,
    ) -> Result<Vec<f64>, TrainerFailure> {
        let began = Instant::now();
        let request = TrainRequest {
            round: RoundNumber::new(round),
            model: model.for_trainer(),
            inputs: self.inputs(manifest, model).map(Into::into),
            class_weights: class_weights.to_vec(),
            seed: training_seed(manifest, self.id, LearningRound::new(round)),
            plan: TrainingPlan::of(manifest),
        };
        let id = self.id;
        let update = self.trainer.train(request, &mut |at: JobProgress| {
            if let JobProgress::Training { done, total } = at {
                progress.hospital(id, Phase::Training { done, total });
            }
        })?;
        progress.hospital(id, Phase::Waiting);
        self.training = (update.loss, update.batches);
        self.training_secs += began.elapsed().as_secs_f64();
        let (features, round) = (&self.features, LearningRound::new(round));
        let mut change = Vec::new();
        expected_sums::write_change(manifest, model, &update, features, round, &mut change);
        Ok(change)
    }

    /// The counters of the manifest's evaluation.
    fn evaluate(
        &mut self,
        manifest: &Arc<Manifest>,
        model: &CommonModel,
    ) -> Result<Vec<u64>, TrainerFailure> {
        let began = Instant::now();
        let inputs = self.inputs(manifest, model);
        let request = EvaluateRequest {
            round: RoundNumber::default(),
            model: model.for_trainer(),
            inputs: inputs.map(Into::into),
            plan: TrainingPlan::of(manifest),
        };
        let counts = self.trainer.evaluate(request, &mut Unwatched)?;
        self.training_secs += began.elapsed().as_secs_f64();
        Ok(counts.counters(self.training).write())
    }

    fn inputs(&self, manifest: &Manifest, model: &CommonModel) -> Option<PatientValues> {
        local_inputs(manifest, model, &self.features)
    }
}

/// What a trainer gets of patients with these features, computed in plaintext.
pub fn local_inputs(
    manifest: &Manifest,
    model: &CommonModel,
    features: &[ScaledFeatures],
) -> Option<PatientValues> {
    let form = manifest.conditioning_form;
    let used = manifest.conditioning.uses_features();
    let weights = used.then(|| ConditioningWeights::of(form, model.layout(), model.values()))?;
    Some(weights.local_inputs(features, ReleaseLevels::FINEST))
}

/// All hospitals at once, as many as there are slots; the results in the hospitals' order.
fn in_parallel<T: Send>(
    hospitals: &mut [PlainHospital],
    slots: &ComputeSlots,
    job: impl Fn(&mut PlainHospital) -> Result<T, TrainerFailure> + Sync,
) -> anyhow::Result<Vec<(HospitalId, T)>> {
    std::thread::scope(|scope| {
        let job = &job;
        let running: Vec<_> = hospitals
            .iter_mut()
            .map(|hospital| {
                (
                    hospital.id,
                    scope.spawn(move || slots.run(|| job(hospital))),
                )
            })
            .collect();
        running
            .into_iter()
            .map(|(id, thread)| {
                let result = thread
                    .join()
                    .map_err(|_| anyhow!("the thread of hospital {id} has stopped unexpectedly"))?;
                Ok((id, result.with_context(|| format!("hospital {id} failed"))?))
            })
            .collect()
    })
}

fn statistics(
    manifest: &Manifest,
    records: &BTreeMap<HospitalId, ClinicalRecords>,
) -> anyhow::Result<Statistics> {
    let own = records.values();
    let sums = expected_sums::add_counters(own.map(|records| Some(own_counters(records).write())))
        .context("there is no hospital")?;
    Ok(Statistics::from(&StatsCounters::read(
        manifest.task,
        records.values().next().map_or(0, |one| one.schema.count()),
        &sums,
    )?))
}
