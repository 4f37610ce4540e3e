//! Was a patient among those that a model was trained on? One number for each, larger for "yes".
//!
//! What a model says of a patient is its logit of the true class, as a mean over the slices: ln(p / (1 - p)).

use model::metrics::{Share, auroc};

/// How the number is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// The logit itself: members are those that the model is sure of (Yeom et al. 2018).
    Loss,
    /// Against other models of the same kind, half of which have seen the patient: the logarithm of the ratio of two normal
    /// densities around what those say that have, and what those say that have not. With few models there is one variance for all,
    /// which the order does not depend on (LiRA, Carlini et al. 2022, "fixed variance").
    LikelihoodRatio,
}

impl Estimator {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Loss, Self::LikelihoodRatio];

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::LikelihoodRatio => "likelihood ratio",
        }
    }

    /// Of one patient. `seen` and `unseen` are what other models say, those that have seen the patient and those that have not.
    pub fn score(self, logit: f64, seen: &[f64], unseen: &[f64]) -> f64 {
        match self {
            Self::Loss => logit,
            Self::LikelihoodRatio => {
                let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
                (logit - mean(unseen)).powi(2) - (logit - mean(seen)).powi(2)
            }
        }
    }
}

/// Scores, each with whether the patient was a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores(pub Vec<(f64, bool)>);

impl Scores {
    /// The probability that a member scores higher than another patient; `None` without both.
    pub fn area(&self) -> Option<f64> {
        auroc(self.0.iter().map(|&(score, member)| (score as f32, member)))
    }

    /// Of the members, those that score above all but a share of the others.
    pub fn found_at(&self, false_positives: f64) -> Share {
        let of = |wanted: bool| {
            self.0
                .iter()
                .filter(move |(_, member)| *member == wanted)
                .map(|(score, _)| *score)
        };
        let mut others: Vec<f64> = of(false).collect();
        others.sort_by(|a, b| b.total_cmp(a));
        let allowed = (false_positives * others.len() as f64) as usize;
        let above = others.get(allowed).copied().unwrap_or(f64::NEG_INFINITY);
        Share {
            part: of(true).filter(|score| *score > above).count() as u64,
            whole: of(true).count() as u64,
        }
    }

    /// How far from one half the area lies by chance alone: one standard deviation, were all scores independent.
    pub fn chance_deviation(&self) -> f64 {
        let members = self.0.iter().filter(|(_, member)| *member).count() as f64;
        let others = self.0.len() as f64 - members;
        ((members + others + 1.0) / (12.0 * members * others)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_of_whom_all_models_are_sure_is_no_member_for_that() {
        let ratio = Estimator::LikelihoodRatio;
        let easy = ratio.score(5.0, &[6.0, 6.4], &[5.0, 5.2]);
        let hard = ratio.score(0.5, &[0.6, 0.8], &[-3.0, -2.0]);
        assert!(easy < 0.0 && hard > 0.0);
        let loss = Estimator::Loss;
        assert!(loss.score(5.0, &[], &[]) > loss.score(0.5, &[], &[]));
    }

    #[test]
    fn the_ratio_is_that_of_two_normal_densities_up_to_the_variance() {
        let density = |x: f64, mean: f64| -(x - mean).powi(2) / 2.0;
        for x in [-1.0, 0.3, 4.0] {
            let expected = 2.0 * (density(x, 2.0) - density(x, -1.0));
            let ratio = Estimator::LikelihoodRatio.score(x, &[1.5, 2.5], &[-1.0]);
            assert!((ratio - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn members_above_all_but_one_of_twenty_others_are_found() {
        let others = (0..20).map(|place| (f64::from(place), false));
        let members = [18.5, 19.5, 3.0, 18.0].map(|score| (score, true));
        let scores = Scores(others.chain(members).collect());
        // One other may be above: the threshold is 18.
        assert_eq!(scores.found_at(0.05), Share { part: 2, whole: 4 });
        assert_eq!(scores.found_at(0.0), Share { part: 1, whole: 4 });
        let wins: f64 = 19.0 + 20.0 + 3.5 + 18.5;
        assert!((scores.area().expect("both") - wins / 80.0).abs() < 1e-6);
        assert!((scores.chance_deviation() - (25.0_f64 / 960.0).sqrt()).abs() < 1e-12);
    }
}
