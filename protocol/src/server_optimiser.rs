//! The step from the mean of the updates to the weights of the next common model, by the strategy of the run (PROTOCOL.md 3.7).
//!
//! Every vault takes it by itself, so its bits may not depend on the machine: a fixed order of additions, multiplications, divisions and
//! square roots in f64, each of which IEEE 754 rounds in one way only (Rust neither reorders nor fuses them); moments and weights are
//! then rounded to f32. No other function of a mathematical library is called.
//!
//! With d the mean of a weight's updates, everything element by element:
//!
//! ```text
//! FedAvg, FedProx                                                   w <- w + d
//! FedAvgM   m <- beta m + d                                         w <- w + rate m
//! FedAdam   m <- beta1 m + (1 - beta1) d                            w <- w + rate m / (sqrt(v) + tau)
//!           v <- beta2 v + (1 - beta2) d^2
//! FedYogi   m as FedAdam                                            w as FedAdam
//!           v <- v - (1 - beta2) d^2 sign(v - d^2)
//! ```
//!
//! m begins at 0 and v at tau^2. There is no correction of the moments' bias, as in Reddi et al. 2021, algorithm 2.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use crate::strategy::{Adaptive, Momentum, Strategy};

/// The optimiser and its moments: one of each kind for every value of the model. Those of values that it does not move stay as they
/// began.
#[derive(Clone)]
pub(crate) enum ServerOptimiser {
    /// The mean as it is.
    Mean,
    /// m.
    Momentum(Momentum, Arc<Vec<f32>>),
    /// m and v.
    Adam(Adaptive, [Arc<Vec<f32>>; 2]),
    /// m and v.
    Yogi(Adaptive, [Arc<Vec<f32>>; 2]),
}

impl ServerOptimiser {
    /// Before the first update of a model of so many values.
    pub(crate) fn initial(strategy: Strategy, values: usize) -> Self {
        let all = |begin: f32| Arc::new(vec![begin; values]);
        let both = |numbers: Adaptive| [all(0.0), all((numbers.tau * numbers.tau) as f32)];
        match strategy {
            Strategy::FedAvg | Strategy::FedProx { .. } => Self::Mean,
            Strategy::FedAvgM(numbers) => Self::Momentum(numbers, all(0.0)),
            Strategy::FedAdam(numbers) => Self::Adam(numbers, both(numbers)),
            Strategy::FedYogi(numbers) => Self::Yogi(numbers, both(numbers)),
        }
    }

    /// With moments that were kept; none when they are not this strategy's, or not of a model of so many values.
    pub(crate) fn restored(
        strategy: Strategy,
        values: usize,
        moments: Vec<Vec<f32>>,
    ) -> Option<Self> {
        if moments.iter().any(|moment| moment.len() != values) {
            return None;
        }
        let mut moments: Vec<_> = moments.into_iter().map(Arc::new).collect();
        let second = moments.pop();
        match (strategy, moments.pop(), second) {
            _ if !moments.is_empty() => None,
            (Strategy::FedAvg | Strategy::FedProx { .. }, None, None) => Some(Self::Mean),
            (Strategy::FedAvgM(numbers), None, Some(m)) => Some(Self::Momentum(numbers, m)),
            (Strategy::FedAdam(numbers), Some(m), Some(v)) => Some(Self::Adam(numbers, [m, v])),
            (Strategy::FedYogi(numbers), Some(m), Some(v)) => Some(Self::Yogi(numbers, [m, v])),
            _ => None,
        }
    }

    /// m, then v, as far as there are any.
    pub(crate) fn moments(&self) -> Vec<&[f32]> {
        match self {
            Self::Mean => vec![],
            Self::Momentum(_, m) => vec![m],
            Self::Adam(_, [m, v]) | Self::Yogi(_, [m, v]) => vec![m, v],
        }
    }

    /// Moves `weights`, which lie at `range` of the model, by the mean of their updates.
    pub(crate) fn step(&mut self, range: Range<usize>, weights: &mut [f32], mean: &[f64]) {
        match self {
            Self::Mean => {
                for (weight, &mean) in weights.iter_mut().zip(mean) {
                    *weight = plain(*weight, mean);
                }
            }
            Self::Momentum(numbers, m) => {
                let m = &mut Arc::make_mut(m)[range];
                for ((weight, m), &mean) in weights.iter_mut().zip(m).zip(mean) {
                    *m = (numbers.beta * f64::from(*m) + mean) as f32;
                    *weight = plain(*weight, numbers.rate * f64::from(*m));
                }
            }
            Self::Adam(numbers, moments) => adapt(weights, moments, range, mean, *numbers, adam),
            Self::Yogi(numbers, moments) => adapt(weights, moments, range, mean, *numbers, yogi),
        }
    }
}

/// Federated averaging of one value.
pub(crate) fn plain(value: f32, mean: f64) -> f32 {
    (f64::from(value) + mean) as f32
}

/// The step of FedAdam and FedYogi, which differ in the second moment: a function of v, d^2 and beta2.
fn adapt(
    weights: &mut [f32],
    [m, v]: &mut [Arc<Vec<f32>>; 2],
    range: Range<usize>,
    mean: &[f64],
    numbers: Adaptive,
    second: impl Fn(f64, f64, f64) -> f64,
) {
    let Adaptive {
        rate,
        beta1,
        beta2,
        tau,
    } = numbers;
    let m = &mut Arc::make_mut(m)[range.clone()];
    let v = &mut Arc::make_mut(v)[range];
    let moments = m.iter_mut().zip(v);
    for ((weight, (m, v)), &mean) in weights.iter_mut().zip(moments).zip(mean) {
        *m = (beta1 * f64::from(*m) + (1.0 - beta1) * mean) as f32;
        *v = second(f64::from(*v), mean * mean, beta2) as f32;
        let step = rate * f64::from(*m) / (f64::from(*v).sqrt() + tau);
        *weight = plain(*weight, step);
    }
}

fn adam(v: f64, square: f64, beta2: f64) -> f64 {
    beta2 * v + (1.0 - beta2) * square
}

fn yogi(v: f64, square: f64, beta2: f64) -> f64 {
    let change = (1.0 - beta2) * square;
    match v.partial_cmp(&square) {
        Some(Ordering::Greater) => v - change,
        Some(Ordering::Less) => v + change,
        // The sign of 0 is 0.
        Some(Ordering::Equal) | None => v,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        start: Vec<String>,
        means: Vec<Vec<String>>,
        strategies: Vec<Expected>,
    }

    /// In hexadecimal, most significant digit first.
    #[derive(Deserialize)]
    struct Expected {
        strategy: String,
        rounds: Vec<Round>,
    }

    #[derive(Deserialize)]
    struct Round {
        weights: Vec<String>,
        moments: Vec<Vec<String>>,
    }

    fn singles(words: &[String]) -> Vec<f32> {
        let single = |word: &String| f32::from_bits(u32::from_str_radix(word, 16).expect("hex"));
        words.iter().map(single).collect()
    }

    fn doubles(words: &[String]) -> Vec<f64> {
        let double = |word: &String| f64::from_bits(u64::from_str_radix(word, 16).expect("hex"));
        words.iter().map(double).collect()
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../vectors/strategies.json"))
            .expect("written by the script")
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// protocol/vectors/make_strategies.py computes them with numpy.
    #[test]
    fn every_round_is_that_of_an_independent_program_bit_for_bit() {
        let vectors = vectors();
        assert_eq!(vectors.strategies.len(), 4);
        for expected in vectors.strategies {
            let strategy: Strategy = expected.strategy.parse().expect("a strategy");
            let mut weights = singles(&vectors.start);
            let mut optimiser = ServerOptimiser::initial(strategy, weights.len());
            for (mean, round) in vectors.means.iter().zip(expected.rounds) {
                let all = 0..weights.len();
                optimiser.step(all, &mut weights, &doubles(mean));
                assert_eq!(bits(&weights), bits(&singles(&round.weights)), "{strategy}");
                let moments: Vec<_> = optimiser.moments().into_iter().map(bits).collect();
                let theirs: Vec<_> = round
                    .moments
                    .iter()
                    .map(|words| bits(&singles(words)))
                    .collect();
                assert_eq!(moments, theirs, "{strategy}");
            }
        }
    }

    #[test]
    fn tensors_one_after_another_move_as_all_at_once() {
        let vectors = vectors();
        let mean = doubles(&vectors.means[0]);
        for strategy in crate::strategy::testing::EACH {
            let mut whole = singles(&vectors.start);
            let mut parts = whole.clone();
            let (length, cut) = (whole.len(), whole.len() / 3);
            let mut optimiser = ServerOptimiser::initial(strategy, length);
            let mut by_parts = optimiser.clone();
            optimiser.step(0..length, &mut whole, &mean);
            by_parts.step(cut..length, &mut parts[cut..], &mean[cut..]);
            by_parts.step(0..cut, &mut parts[..cut], &mean[..cut]);
            assert_eq!(bits(&whole), bits(&parts));
            assert_eq!(optimiser.moments(), by_parts.moments());
        }
    }

    #[test]
    fn moments_that_were_kept_are_taken_only_by_their_strategy() {
        for strategy in crate::strategy::testing::EACH {
            let initial = ServerOptimiser::initial(strategy, 3);
            let kept: Vec<Vec<f32>> = initial.moments().into_iter().map(<[f32]>::to_vec).collect();
            assert_eq!(kept.len(), strategy.moments().len());
            let restored = ServerOptimiser::restored(strategy, 3, kept.clone());
            assert_eq!(restored.expect("its own").moments(), initial.moments());
            let one_more = [kept.clone(), vec![vec![0.0; 3]]].concat();
            assert!(ServerOptimiser::restored(strategy, 3, one_more).is_none());
            if let Some((_, fewer)) = kept.split_last() {
                assert!(ServerOptimiser::restored(strategy, 3, fewer.to_vec()).is_none());
                assert!(ServerOptimiser::restored(strategy, 4, kept).is_none());
            }
        }
    }
}
