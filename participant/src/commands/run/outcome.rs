//! What a run has led to, as the last line on stdout.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crypto::sealed_sum::HospitalId;
use participant::{settings::Settings, shell::RunCost};
use protocol::digests::{LearningRound, ModelHash, RunId};
use serde_json::json;

/// What a run that ended well has led to, now or before.
pub struct Outcome {
    /// Which run.
    pub run: RunId,
    /// Of the common model.
    pub model_hash: ModelHash,
    /// Its round.
    pub learning_round: LearningRound,
    /// Since this hospital has begun, or begun again, to take part.
    pub cost: RunCost,
    /// The model's file.
    pub model: PathBuf,
    /// Whether it had ended here before this program was started.
    pub ended_before: bool,
    /// Hospitals whose answers for a sum did not belong to those of the others, with their names.
    pub wrong_answers: BTreeMap<HospitalId, String>,
}

impl Outcome {
    /// One JSON object. `report` is the page of the run, if one was written.
    pub fn summary(&self, settings: &Settings, report: Option<&Path>) -> String {
        let wrong_answers: Vec<_> = { self.wrong_answers.iter() }
            .map(|(hospital, name)| json!({"hospital": hospital.get(), "name": name}))
            .collect();
        json!({
            "result": "complete",
            "hospital": settings.hospital.get(),
            "model_hash": hex::encode(self.model_hash),
            "learning_round": self.learning_round,
            "model": self.model,
            "report": report,
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
