//! Which model of a run is kept as the best, and when a run ends before its last round (PROTOCOL.md 3.7).
//!
//! Both follow from the opened evaluations alone. All vaults open the same ones in the same order, so all come to the same word, and
//! to the same again after a restart.

use std::num::NonZeroU32;

use crate::{
    codec::{Decode, Encode, one_byte},
    counters::EvaluationCounters,
    digests::LearningRound,
    vocabulary::Keep,
};

/// A vault's word on whether the run has to go on, as its evaluations and the manifest's rule say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The next round of the manifest follows, if there is one.
    #[default]
    GoOn,
    /// No further round: the last `early_stop` evaluations brought no gain.
    Stop,
}

one_byte!(Verdict { GoOn = 0, Stop = 1 });

/// The best evaluation of a run so far.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub struct BestRound {
    /// Whose model it was of.
    pub round: LearningRound,
    /// Mean loss of a validation slice in nats, or share of the slices seen right: what [`Keep`] names. Finite.
    pub value: f64,
}

/// What the evaluations of a run have come to.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Standing {
    best: Option<BestRound>,
    /// Evaluations in a row that were not better than `best`.
    without_gain: u32,
}

impl Standing {
    /// One more evaluation was opened, of the model of `round`. Only what is strictly better is a gain; what is not defined, as
    /// without validation slices, is none. Rounds whose evaluation was left out count for nothing.
    pub fn take(&mut self, keep: Keep, round: LearningRound, evaluation: &EvaluationCounters) {
        let found = match keep {
            Keep::BestLoss => evaluation.validation_loss(),
            Keep::BestAccuracy => evaluation.accuracy(),
            Keep::Last => return,
        };
        let is_gain = |best: f64| match keep {
            Keep::BestLoss => found < best,
            Keep::BestAccuracy | Keep::Last => found > best,
        };
        if found.is_finite() && self.best.is_none_or(|best| is_gain(best.value)) {
            let value = found;
            self.best = Some(BestRound { round, value });
            self.without_gain = 0;
        } else {
            self.without_gain = self.without_gain.saturating_add(1);
        }
    }

    /// The best evaluation so far; none before the first, and with [`Keep::Last`].
    pub fn best(&self) -> Option<BestRound> {
        self.best
    }

    /// The learning round whose model is kept as the best, when the model at hand is that of `last`. None before there is one.
    pub fn kept_round(&self, keep: Keep, last: LearningRound) -> Option<LearningRound> {
        match keep {
            Keep::Last => Some(last).filter(|last| *last > LearningRound::default()),
            Keep::BestLoss | Keep::BestAccuracy => self.best.map(|best| best.round),
        }
    }

    /// Whether the run has to go on, by the manifest's `early_stop`.
    pub fn verdict(&self, early_stop: Option<NonZeroU32>) -> Verdict {
        match early_stop {
            Some(limit) if self.without_gain >= limit.get() => Verdict::Stop,
            _ => Verdict::GoOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{CodecError, decode, encode};

    /// An evaluation of this mean loss and so many of 100 slices seen right.
    fn evaluation(loss: f64, right: u64) -> EvaluationCounters {
        let confusion = vec![vec![right, 100 - right], vec![0, 0]];
        EvaluationCounters::of_one(confusion, 100.0 * loss, (0.0, 0))
    }

    fn undefined() -> EvaluationCounters {
        EvaluationCounters::of_one(vec![vec![0; 2]; 2], 0.0, (0.0, 0))
    }

    fn after(keep: Keep, evaluations: &[EvaluationCounters]) -> Standing {
        let mut standing = Standing::default();
        for (round, evaluation) in (1..).zip(evaluations) {
            standing.take(keep, LearningRound::new(round), evaluation);
        }
        standing
    }

    fn best(round: u32, value: f64) -> Option<BestRound> {
        let round = LearningRound::new(round);
        Some(BestRound { round, value })
    }

    #[test]
    fn only_what_is_strictly_better_is_a_gain() {
        let evaluations = [
            evaluation(0.5, 60),
            evaluation(0.25, 50),
            evaluation(0.25, 60),
            evaluation(0.75, 75),
        ];
        let by_loss = after(Keep::BestLoss, &evaluations);
        assert_eq!(by_loss.best(), best(2, 0.25));
        assert_eq!(by_loss.without_gain, 2);
        let by_accuracy = after(Keep::BestAccuracy, &evaluations);
        assert_eq!(by_accuracy.best(), best(4, 0.75));
        assert_eq!(
            after(Keep::BestAccuracy, &evaluations[..3]).best(),
            best(1, 0.6)
        );
        assert_eq!(after(Keep::Last, &evaluations), Standing::default());
    }

    #[test]
    fn an_evaluation_of_nothing_is_no_gain() {
        for keep in [Keep::BestLoss, Keep::BestAccuracy] {
            let none = after(keep, &[undefined(), undefined()]);
            assert_eq!((none.best(), none.without_gain), (None, 2));
            let later = after(keep, &[undefined(), evaluation(9.0, 0)]);
            assert_eq!(later.best().map(|best| best.round.get()), Some(2));
        }
    }

    #[test]
    fn a_run_stops_after_so_many_evaluations_without_gain_and_never_without_a_limit() {
        let evaluations = [1, 2, 2, 2].map(|loss| evaluation(f64::from(loss), 50));
        let limit = NonZeroU32::new(2);
        for (taken, verdict) in [
            (1, Verdict::GoOn),
            (2, Verdict::GoOn),
            (3, Verdict::Stop),
            (4, Verdict::Stop),
        ] {
            let standing = after(Keep::BestLoss, &evaluations[..taken]);
            assert_eq!(standing.verdict(limit), verdict, "{taken}");
            assert_eq!(standing.verdict(None), Verdict::GoOn);
        }
    }

    #[test]
    fn the_kept_round_is_the_best_or_the_last() {
        let standing = after(Keep::BestLoss, &[evaluation(0.25, 50), evaluation(0.5, 50)]);
        let (first, second) = (LearningRound::new(1), LearningRound::new(2));
        assert_eq!(standing.kept_round(Keep::BestLoss, second), Some(first));
        assert_eq!(standing.kept_round(Keep::Last, second), Some(second));
        let fresh = Standing::default();
        assert_eq!(fresh.kept_round(Keep::BestLoss, second), None);
        assert_eq!(fresh.kept_round(Keep::Last, LearningRound::default()), None);
    }

    #[test]
    fn a_verdict_is_one_byte() {
        assert_eq!(encode(&Verdict::GoOn), [0]);
        assert_eq!(encode(&Verdict::Stop), [1]);
        assert!(matches!(
            decode::<Verdict>(&[2]),
            Err(CodecError::Malformed { .. })
        ));
    }

    #[test]
    fn the_literal_bytes_of_a_standing() {
        let standing = Standing {
            best: best(3, 0.5),
            without_gain: 2,
        };
        let bytes = [1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 2, 0, 0, 0];
        assert_eq!(encode(&standing), bytes);
        assert_eq!(decode(&bytes), Ok(standing));
    }

    proptest! {
        #[test]
        fn the_best_is_the_first_of_the_best_and_survives_its_bytes(
            rights in prop::collection::vec(0_u64..=100, 1..30),
        ) {
            let evaluations: Vec<_> = rights.iter().map(|&right| evaluation(1.0, right)).collect();
            let standing = after(Keep::BestAccuracy, &evaluations);
            let most = rights.iter().max().copied().unwrap_or_default();
            let first = rights.iter().position(|&right| right == most).unwrap_or_default();
            prop_assert_eq!(standing.best(), best(first as u32 + 1, most as f64 / 100.0));
            prop_assert_eq!(standing.without_gain as usize, rights.len() - 1 - first);
            prop_assert_eq!(decode(&encode(&standing)), Ok(standing));
        }
    }
}
