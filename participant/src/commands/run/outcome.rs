//! What a run has led to, as the last line on stdout.

use std::{collections::BTreeMap, path::Path};

use crypto::sealed_sum::HospitalId;
use participant::{journal::EndedRun, settings::Settings, shell::RunCost};
use protocol::digests::{LearningRound, ModelHash};
use serde_json::json;

/// What a run that ended well has led to.
pub struct Outcome<'a> {
    /// Of the common model.
    pub model_hash: &'a ModelHash,
    /// Its round.
    pub learning_round: LearningRound,
    /// Since this hospital has begun, or begun again, to take part.
    pub cost: &'a RunCost,
    /// The model's file.
    pub model: &'a Path,
}

impl<'a> Outcome<'a> {
    /// Of a run that had ended here before.
    pub fn of_ended_run(ended: &'a EndedRun, cost: &'a RunCost, model: &'a Path) -> Self {
        Self {
            model_hash: &ended.model_hash,
            learning_round: ended.learning_round,
            cost,
            model,
        }
    }

    /// One JSON object.
    pub fn summary(
        &self,
        settings: &Settings,
        wrong_answers: &BTreeMap<HospitalId, String>,
    ) -> String {
        let wrong_answers: Vec<_> = wrong_answers
            .iter()
            .map(|(hospital, name)| json!({"hospital": hospital.get(), "name": name}))
            .collect();
        json!({
            "result": "complete",
            "hospital": settings.hospital.get(),
            "model_hash": hex::encode(self.model_hash),
            "learning_round": self.learning_round,
            "model": self.model,
            "seconds": {
                "training": self.cost.training_secs,
                "sealing": self.cost.sealing_secs,
                "opening": self.cost.opening_secs,
                "conditioning": self.cost.conditioning_secs,
                "transport": self.cost.transport_secs,
            },
            "bytes": {"up": self.cost.sent_bytes, "down": self.cost.received_bytes},
            // What QUIC counts for the same: with its own and TLS's framing, and what was sent again.
            "datagram_bytes": {
                "up": self.cost.wire.datagram_bytes_sent,
                "down": self.cost.wire.datagram_bytes_received,
            },
            "wrong_answers": wrong_answers,
        })
        .to_string()
    }
}
