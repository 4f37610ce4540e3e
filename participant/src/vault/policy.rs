//! What runs this hospital takes part in, decided by itself.

use protocol::{manifest::Manifest, network::TensorKind};
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
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_rounds: 1000,
            max_local_epochs: 100,
            max_learning_rate: 0.1,
            max_weight: 16,
            max_first_clip: 100.0,
        }
    }
}

impl Policy {
    /// Accepts the run, or says which bound it breaks.
    ///
    /// # Errors
    /// The setting, its bound and what the manifest asks.
    pub fn check(&self, manifest: &Manifest) -> Result<(), String> {
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
            Some((setting, bound, asked)) => {
                Err(format!("{setting} is {bound}, the run asks for {asked}"))
            }
            None => Ok(()),
        }
    }
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
        assert_eq!(
            strict.check(&manifest()),
            Err("max_rounds is 1, the run asks for 2".into())
        );
    }
}
