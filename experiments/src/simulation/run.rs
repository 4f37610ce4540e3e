//! The results of a run, with sealed or with plain updates.

use std::collections::BTreeMap;

use coordinator::machine::TranscriptEntry;
use crypto::sealed_sum::HospitalId;
use participant::vault::conditioning::ConditionedWeights;
use protocol::{
    common_model::CommonModel, digests::LearningRound, keeping::BestRound, manifest::Keep,
};

use super::{
    expected_sums::MeanError, federation::Finished, history::RoundRecord, plain_updates::PlainRun,
    seconds::Seconds,
};

/// See the module. What only a sealed run has is none otherwise.
pub struct RunResult {
    /// The common model at the end.
    pub model: CommonModel,
    /// The learning rounds.
    pub history: Vec<RoundRecord>,
    /// The one whose model is kept as the best.
    pub kept_round: Option<LearningRound>,
    /// Its evaluation, where that decides.
    pub best: Option<BestRound>,
    /// The scaled features of each hospital.
    pub features: BTreeMap<HospitalId, Vec<ConditionedWeights>>,
    /// The signed hash chain.
    pub transcript: Vec<TranscriptEntry>,
    /// By phase; the total is not known yet.
    pub seconds: Seconds,
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
}

impl RunResult {
    /// Of a sealed run among so many hospitals; none if no hospital opened anything.
    pub fn of_sealed(finished: Finished, hospitals: usize) -> Option<Self> {
        let Finished {
            observer,
            costs,
            report,
        } = finished;
        let model = observer.model()?.clone();
        let sum =
            |part: fn(&participant::shell::RunCost) -> f64| costs.values().map(part).sum::<f64>();
        let models_equal = observer.models_equal(hospitals) && report.model_hash == model.hash();
        let sums = &observer.sums;
        let worst = sums.errors().values().copied().reduce(MeanError::max);
        Some(Self {
            seconds: Seconds {
                total: 0.0,
                training: sum(|cost| cost.training_secs),
                sealing: sum(|cost| cost.sealing_secs),
                adding: report.spent.adding.as_secs_f64(),
                opening: sum(|cost| cost.opening_secs),
                conditioning: sum(|cost| cost.conditioning_secs)
                    + report.spent.conditioning.as_secs_f64(),
                transport: sum(|cost| cost.transport_secs),
            },
            sent_bytes: Some(costs.values().map(|cost| cost.sent_bytes).sum()),
            received_bytes: Some(costs.values().map(|cost| cost.received_bytes).sum()),
            integers_exact: Some(sums.integers_exact()),
            max_error: worst,
            errors: sums.errors().clone(),
            saturated: Some(sums.saturated().values().sum()),
            saturated_by_round: sums.saturated().clone(),
            models_equal: Some(models_equal),
            largest_product_error: observer.largest_product_error,
            faults: sums.faults().to_vec(),
            features: sums.features().clone(),
            kept_round: observer.kept_round,
            best: observer.best,
            history: observer.history.into_rounds(),
            transcript: observer.transcript,
            model,
        })
    }

    /// Of a run in the clear.
    pub fn of_plain(run: PlainRun, keep: Keep) -> Self {
        let history = run.history.into_rounds();
        let last = history.last().map_or(0, |round| round.round);
        Self {
            model: run.model,
            kept_round: run.standing.kept_round(keep, last.into()),
            best: run.standing.best(),
            history,
            features: run.features,
            transcript: Vec::new(),
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
        }
    }
}
