//! A manifest for people: for the operator who signs it, and for the hospitals that have to agree to it.

use std::num::NonZeroU32;

use super::{ADAPTIVE_CLIPS, Manifest};

impl Manifest {
    /// All that it says, by the keys of `[run]` where there is one. The layout follows from the task, and the nonce says nothing to
    /// people: both are left out.
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        let number = |number: Option<NonZeroU32>| number.map_or(0, NonZeroU32::get).to_string();
        let weights: Vec<_> = self
            .weights
            .iter()
            .map(|entry| format!("hospital {} counts {} times", entry.id.0, entry.weight))
            .collect();
        let initial_model = self.initial_model.map(hex::encode);
        let clips = match self.clip_rule {
            ADAPTIVE_CLIPS => "adaptive",
            _ => "fixed",
        };
        vec![
            ("name", self.name.0.clone()),
            ("task", self.task.to_string()),
            ("labels", self.label_scheme.to_string()),
            ("conditioning", self.conditioning.to_string()),
            ("conditioning_form", self.conditioning_form.to_string()),
            ("conditioning_every", self.conditioning_every.to_string()),
            ("features", self.features.to_string()),
            ("rounds", self.rounds.to_string()),
            ("local_epochs", self.local_epochs.to_string()),
            ("batch_size", self.batch_size.to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("weight_decay", self.weight_decay.to_string()),
            ("conditioning_rate", self.conditioning_rate.to_string()),
            ("strategy", self.strategy.to_string()),
            ("local_steps", self.local_steps.to_string()),
            (
                "weights",
                or(&weights.join(", "), "all hospitals count alike"),
            ),
            ("clips", clips.to_owned()),
            ("start_with", number(self.start_with)),
            ("round_timeout_secs", self.silence_secs.to_string()),
            (
                "straggler_floor_secs",
                self.straggler_floor_secs.to_string(),
            ),
            ("straggler_factor", self.straggler_factor.to_string()),
            ("keep", self.keep.to_string()),
            ("early_stop", number(self.early_stop)),
            (
                "initial_model",
                initial_model.unwrap_or_else(|| "none".into()),
            ),
            ("init_seed", hex::encode(self.init_seed)),
        ]
    }
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use crypto::sealed_sum::HospitalId;

    use super::*;
    use crate::{
        codec::Id,
        features::STUDY,
        manifest::{Conditioning, MemberWeight, testing::manifest},
    };

    #[test]
    fn every_setting_is_there_with_its_value() {
        let id = Id(HospitalId::new(2).expect("in range"));
        let mut heavy = Manifest {
            conditioning: Conditioning::EncryptedStudy,
            early_stop: NonZeroU32::new(3),
            initial_model: Some([7; 32].into()),
            ..manifest()
        };
        heavy.weights.0.push(MemberWeight { id, weight: 4 });
        let value = |of: &Manifest, key: &str| {
            let mut words = of.in_words().into_iter();
            words
                .find(|(found, _)| *found == key)
                .map(|(_, value)| value)
        };
        let hash = "07".repeat(32);
        let study = STUDY.map(|(name, _)| name).join("; ");
        for (key, usual, other) in [
            ("conditioning", "plain", "encrypted-study"),
            ("conditioning_form", "study", "study"),
            ("conditioning_every", "1", "1"),
            ("features", study.as_str(), study.as_str()),
            ("early_stop", "0", "3"),
            ("initial_model", "none", hash.as_str()),
            (
                "weights",
                "all hospitals count alike",
                "hospital 2 counts 4 times",
            ),
            ("rounds", "2", "2"),
            ("clips", "fixed", "fixed"),
        ] {
            assert_eq!(value(&manifest(), key).as_deref(), Some(usual), "{key}");
            assert_eq!(value(&heavy, key).as_deref(), Some(other), "{key}");
        }
    }
}
