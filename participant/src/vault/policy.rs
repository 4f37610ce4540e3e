//! What runs this hospital takes part in, decided by itself.

use protocol::{manifest::Manifest, network::TensorKind, round::null_step::USUAL_NULL_STEPS};
use serde::{Deserialize, Serialize};

/// The bounds of a run that this hospital accepts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Learning rounds at most.
    pub max_rounds: u32,
    /// Passes over the local training set in a round at most.
    pub max_local_epochs: u32,
    /// Learning rate at most.
    pub max_learning_rate: f64,
    /// The largest weight of one hospital in the mean, where the least is 1: a much larger one would drown out the others until the
    /// sum shows its update alone.
    pub max_weight: u32,
    /// The largest first clip of a weight: bounds what one hospital can move in the first round.
    pub max_first_clip: f64,
    /// Whether this hospital helps to open a sum that, subtracted from one of another run, would show what a few hospitals gave.
    pub repeated_sums: RepeatedSums,
    /// Whether a run may start from a model of an earlier one (THREATS.md 6).
    pub allow_initial_model: bool,
    /// After how many updates that did not open this hospital goes on in a run: each lets whoever spoilt one compare two sums on the same
    /// weights (THREATS.md 6).
    pub max_null_steps: u32,
}

/// What to do about a sum that is about the same as one of another run, over almost the same hospitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepeatedSums {
    /// It is not answered for.
    Refuse,
    /// It is answered for: somebody has decided that the hospitals concerned agree.
    Allow,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_rounds: 1000,
            max_local_epochs: 100,
            max_learning_rate: 0.1,
            max_weight: 16,
            max_first_clip: 100.0,
            repeated_sums: RepeatedSums::Refuse,
            allow_initial_model: true,
            max_null_steps: USUAL_NULL_STEPS,
        }
    }
}

impl Policy {
    /// Accepts the run, or says which bound it breaks.
    ///
    /// # Errors
    /// [`PolicyViolation`] names the first.
    pub fn check(&self, manifest: &Manifest) -> Result<(), PolicyViolation> {
        let asked = [
            (
                "max_rounds",
                f64::from(self.max_rounds),
                f64::from(manifest.rounds),
            ),
            (
                "max_local_epochs",
                f64::from(self.max_local_epochs),
                f64::from(manifest.local_epochs),
            ),
            (
                "max_learning_rate",
                self.max_learning_rate,
                manifest.learning_rate,
            ),
            (
                "max_weight",
                f64::from(self.max_weight),
                f64::from(manifest.largest_weight()),
            ),
            (
                "max_first_clip",
                self.max_first_clip,
                manifest.first_clip(TensorKind::Weight),
            ),
        ];
        match asked.into_iter().find(|(_, bound, asked)| asked > bound) {
            Some((setting, bound, asked)) => Err(PolicyViolation::Bound {
                setting,
                bound,
                asked,
            }),
            None if manifest.initial_model.is_some() && !self.allow_initial_model => {
                Err(PolicyViolation::InitialModel)
            }
            None => Ok(()),
        }
    }
}

/// A run that asks for more than this hospital's policy allows.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PolicyViolation {
    /// More than a bound.
    #[error("{setting} is {bound}, the run asks for {asked}")]
    Bound {
        /// The setting in `[policy]`.
        setting: &'static str,
        /// What it allows at most.
        bound: f64,
        /// What the manifest asks for.
        asked: f64,
    },
    /// It starts from a kept model.
    #[error("allow_initial_model is false, the run starts from a model of an earlier one")]
    InitialModel,
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::manifest::testing::manifest;

    #[test]
    fn a_broken_bound_is_named() {
        assert_eq!(Policy::default().check(&manifest()), Ok(()));
        let strict = Policy {
            max_rounds: 1,
            ..Policy::default()
        };
        let violation = strict.check(&manifest()).expect_err("one round too many");
        assert_eq!(violation.to_string(), "max_rounds is 1, the run asks for 2");
    }

    #[test]
    fn a_run_from_a_kept_model_is_accepted_unless_the_hospital_forbids_it() {
        let from_kept = Manifest {
            initial_model: Some([1; 32].into()),
            ..manifest()
        };
        assert_eq!(Policy::default().check(&from_kept), Ok(()));
        let strict = Policy {
            allow_initial_model: false,
            ..Policy::default()
        };
        assert_eq!(strict.check(&manifest()), Ok(()));
        let violation = strict.check(&from_kept).expect_err("a kept model");
        assert!(violation.to_string().contains("allow_initial_model"));
    }
}
