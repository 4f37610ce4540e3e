//! The results of a run, with sealed or with plain updates.

use std::collections::BTreeMap;

use anyhow::Context;
use coordinator::machine::TranscriptEntry;
use crypto::sealed_sum::HospitalId;
use participant::vault::{conditioning::weights::ScaledFeatures, statistics::Statistics};
use protocol::{
    common_model::CommonModel,
    digests::{LearningRound, ModelHash},
    keeping::BestRound,
    manifest::Keep,
};

use super::{
    expected_sums::MeanError, history::RoundRecord, observer::Observer, plain_updates::PlainRun,
    seconds::Seconds, steps::Step,
};

/// The results of a run. What only a sealed run has is none otherwise.
pub struct RunResult {
    /// The common model at the end.
    pub model: CommonModel,
    /// That of the round that is kept as the best, if it is another one.
    pub best_model: Option<CommonModel>,
    /// The learning rounds.
    pub history: Vec<RoundRecord>,
    /// The one whose model is kept as the best.
    pub kept_round: Option<LearningRound>,
    /// Its evaluation, where that decides.
    pub best: Option<BestRound>,
    /// The federation's statistics, by which features are scaled.
    pub statistics: Option<Statistics>,
    /// The scaled features of each hospital.
    pub features: BTreeMap<HospitalId, Vec<ScaledFeatures>>,
    /// The signed hash chain.
    pub transcript: Vec<TranscriptEntry>,
    /// The file of the roster whose hospitals have signed it.
    pub roster: Option<String>,
    /// By phase; the total is not known yet.
    pub seconds: Seconds,
    /// What processes that were stopped before the end have taken.
    pub seconds_before: f64,
    /// By all hospitals.
    pub sent_bytes: Option<u64>,
    /// By all hospitals.
    pub received_bytes: Option<u64>,
    /// Whether every integer was opened as it should.
    pub integers_exact: Option<bool>,
    /// Of all rounds the largest.
    pub max_error: Option<MeanError>,
    /// Of each learning round.
    pub errors: BTreeMap<u32, MeanError>,
    /// Values cut off by their clip.
    pub saturated: Option<u64>,
    /// Of each learning round.
    pub saturated_by_round: BTreeMap<u32, u64>,
    /// Whether all hospitals hold the same model.
    pub models_equal: Option<bool>,
    /// Of decrypted products.
    pub largest_product_error: Option<f64>,
    /// What the check of the sums found wrong.
    pub faults: Vec<String>,
    /// What the parties did when, in this process.
    pub steps: Vec<Step>,
}

impl RunResult {
    /// Of a sealed run among so many hospitals, whose coordinator has named this hash of the common model if it was there to the end.
    ///
    /// # Errors
    /// No hospital has come to the end; what was kept cannot be read.
    pub fn of_sealed(
        observer: &mut Observer,
        hospitals: usize,
        transcript: Vec<TranscriptEntry>,
        named: Option<ModelHash>,
    ) -> anyhow::Result<Self> {
        let model = observer.last_model().context("the last common model")?;
        let model = model.context("the run has ended before its last round")?;
        let hash = model.hash();
        let opened = observer.sums.last_opened();
        let models_equal = opened.len() == hospitals
            && opened.values().all(|(_, of_hospital)| *of_hospital == hash)
            && named.is_none_or(|named| named == hash);
        observer.sums.look_for_unseen(&transcript);
        let best_model = observer.best_model().context("the best common model")?;
        let costs = observer.costs.total();
        let hospitals = costs.hospitals;
        let sums = &observer.sums;
        let worst = sums.errors().values().copied().reduce(MeanError::max);
        Ok(Self {
            seconds: Seconds {
                total: 0.0,
                training: hospitals.training_secs,
                sealing: hospitals.sealing_secs,
                adding: costs.adding,
                opening: hospitals.opening_secs,
                conditioning: hospitals.conditioning_secs + costs.conditioning,
                transport: hospitals.transport_secs,
            },
            seconds_before: observer.seconds_before(),
            sent_bytes: Some(hospitals.sent_bytes),
            received_bytes: Some(hospitals.received_bytes),
            integers_exact: Some(sums.integers_exact()),
            max_error: worst,
            errors: sums.errors().clone(),
            saturated: Some(sums.saturated().values().sum()),
            saturated_by_round: sums.saturated().clone(),
            models_equal: Some(models_equal),
            largest_product_error: observer.largest_product_error,
            faults: sums.faults().to_vec(),
            steps: Vec::new(),
            statistics: sums.statistics().cloned(),
            features: sums.features().clone(),
            kept_round: observer.kept_round,
            best: observer.best,
            history: observer.history.clone().into_rounds(),
            transcript,
            roster: None,
            best_model,
            model,
        })
    }

    /// Of a plaintext run.
    pub fn of_plain(run: PlainRun, keep: Keep) -> Self {
        let history = run.history.into_rounds();
        let last = history.last().map_or(0, |round| round.round);
        let best = run.standing.best();
        Self {
            model: run.model,
            best_model: run
                .best_model
                .filter(|_| best.is_some_and(|best| best.round.get() != last)),
            seconds_before: 0.0,
            kept_round: run.standing.kept_round(keep, last.into()),
            best,
            history,
            statistics: Some(run.statistics),
            features: run.features,
            transcript: Vec::new(),
            roster: None,
            seconds: Seconds {
                training: run.training_secs,
                ..Seconds::default()
            },
            sent_bytes: None,
            received_bytes: None,
            integers_exact: None,
            max_error: None,
            errors: BTreeMap::new(),
            saturated: None,
            saturated_by_round: BTreeMap::new(),
            models_equal: None,
            largest_product_error: None,
            faults: Vec::new(),
            steps: Vec::new(),
        }
    }
}
