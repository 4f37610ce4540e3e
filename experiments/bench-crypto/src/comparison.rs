use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    conditions::Conditions,
    operations::{OPERATIONS, Operation},
    peer::PeerState,
    series::{Series, Times},
};

/// TenSEAL's times of one round.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PeerTimes {
    /// With `ckks_vector`.
    pub vector: Times,
    /// With `ckks_tensor` and its defaults: a ciphertext for each value.
    pub tensor: Times,
}

/// Everything that was measured, round by round.
#[derive(Default)]
pub struct Comparison {
    ours: Series,
    vector: Series,
    tensor: Series,
    facts: BTreeMap<String, Value>,
    described: Option<(Conditions, PeerState)>,
}

impl Comparison {
    /// Adds a round of ours.
    pub fn ours(&mut self, times: Times) {
        self.ours.push(times);
    }

    /// Adds the round of TenSEAL's that was measured beside it.
    pub fn theirs(&mut self, times: PeerTimes) {
        self.vector.push(times.vector);
        self.tensor.push(times.tensor);
    }

    /// Adds what is not a time: sizes and errors, by key.
    pub fn facts(&mut self, facts: BTreeMap<String, Value>) {
        self.facts.extend(facts);
    }

    /// Says how it was measured.
    pub fn describe(&mut self, conditions: Conditions, peer: PeerState) {
        self.described = Some((conditions, peer));
    }

    /// How it was measured, once that is known.
    pub fn description(&self) -> Option<(&Conditions, &PeerState)> {
        self.described
            .as_ref()
            .map(|(conditions, peer)| (conditions, peer))
    }

    /// What is not a time.
    pub fn fact(&self, key: &str) -> Option<&Value> {
        self.facts.get(key)
    }

    /// Our median, in seconds.
    pub fn our_median(&self, operation: &Operation) -> Option<f64> {
        self.ours.median(operation.stem)
    }

    /// `ckks_vector`'s median, in seconds.
    pub fn vector_median(&self, operation: &Operation) -> Option<f64> {
        self.vector.median(operation.stem)
    }

    /// `ckks_tensor`'s median, in seconds.
    pub fn tensor_median(&self, operation: &Operation) -> Option<f64> {
        self.tensor.median(operation.stem)
    }

    /// How many times faster than `ckks_vector`: the median of the rounds' ratios.
    pub fn vector_ratio(&self, operation: &Operation) -> Option<f64> {
        self.vector.ratio(&self.ours, operation.stem)
    }

    /// How many times faster than `ckks_tensor`: the median of the rounds' ratios.
    pub fn tensor_ratio(&self, operation: &Operation) -> Option<f64> {
        self.tensor.ratio(&self.ours, operation.stem)
    }

    /// The contents of the file. What was not measured is absent.
    pub fn to_json(&self) -> Value {
        let mut entries: Map<String, Value> = self.facts.clone().into_iter().collect();
        for operation in &OPERATIONS {
            let key = operation.key();
            let times = [
                (String::new(), self.our_median(operation)),
                ("tenseal_vector_".to_owned(), self.vector_median(operation)),
                ("tenseal_tensor_".to_owned(), self.tensor_median(operation)),
            ];
            for (prefix, seconds) in times {
                if let Some(seconds) = seconds {
                    let number = operation.unit.of_seconds(seconds);
                    entries.insert(format!("{prefix}{key}"), json!(number));
                }
            }
            let ratios = [
                ("ratio_vector_", self.vector_ratio(operation)),
                ("ratio_tensor_", self.tensor_ratio(operation)),
            ];
            for (prefix, ratio) in ratios {
                if let Some(ratio) = ratio {
                    entries.insert(format!("{prefix}{}", operation.stem), json!(ratio));
                }
            }
        }
        if let Some((conditions, peer)) = &self.described {
            entries.insert("conditions".into(), json!(conditions));
            entries.insert("tenseal".into(), json!(peer.words()));
        }
        entries.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(stem: &str, seconds: f64) -> Times {
        [(stem.to_owned(), seconds)].into()
    }

    /// The machine was three times slower in the last round: the ratio does not see it, medians of the columns do.
    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut comparison = Comparison::default();
        for (ours, vector) in [(0.25, 2.0), (0.25, 1.5), (0.75, 5.25)] {
            comparison.ours(times("conditioning_job", ours));
            comparison.theirs(PeerTimes {
                vector: times("conditioning_job", vector),
                tensor: Times::new(),
            });
        }
        let json = comparison.to_json();
        assert_eq!(json["conditioning_job_us"], json!(250_000.0));
        assert_eq!(json["tenseal_vector_conditioning_job_us"], json!(2e6));
        assert_eq!(json["ratio_vector_conditioning_job"], json!(7.0));
        assert_eq!(json.get("ratio_tensor_conditioning_job"), None);
        assert_eq!(json.get("add_ms"), None);
    }
}
