//! `participant status`.

use std::fmt::Write as _;

use clap::Args;
use host::{
    failure::Failure,
    shown::{Shown, Watching},
};
use participant::standing::ask;
use protocol::counted::counted;
use serde_json::Value;

use super::consent::Which;

/// Shows where this hospital stands, while its `participant run` is running on this machine: what it does, its run and round, the common
/// model's last evaluation, runs that wait for a decision, and how much has left.
#[derive(Args)]
pub struct StatusArguments {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    watching: Watching,
}

impl StatusArguments {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let state = self.which.settings()?.state;
        let look = || ask(&state).map(Stand).map_err(Failure::settings);
        self.watching
            .show(look, "the participant has ended; its log says how")
    }
}

/// As the participant tells it.
struct Stand(Value);

impl Shown for Stand {
    fn in_words(&self) -> String {
        in_words(&self.0)
    }

    fn as_json(&self) -> Value {
        self.0.clone()
    }
}

fn in_words(status: &Value) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let hospital = &status["hospital"];
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "hospital {} ({}) {}",
        hospital["number"],
        word(&hospital["name"]),
        word(&status["phase"])
    );
    for (what, done) in [("training", "done"), ("uploading", "sent")] {
        let progress = &status[what];
        if let (Some(done), Some(total)) = (progress[done].as_u64(), progress["total"].as_u64()) {
            let _ = write!(text, ": {} %", 100 * done / total.max(1));
        }
    }
    if status["connected"] != true {
        let _ = write!(text, "; not connected to the coordinator");
    }
    let run = &status["run"];
    if !run.is_null() {
        let last = status["rounds"].as_array().and_then(|rounds| rounds.last());
        let last = last.unwrap_or(&Value::Null);
        let round = last["learning_round"].as_u64().unwrap_or(0);
        let id: String = word(&run["run"]).chars().take(16).collect();
        let _ = write!(
            text,
            "\nrun {:?} ({id}): {round} of {} learning rounds opened",
            word(&run["name"]),
            run["rounds"]
        );
        let validation = &last["validation"];
        if let (Some(loss), Some(accuracy)) =
            (validation["loss"].as_f64(), validation["accuracy"].as_f64())
        {
            let _ = write!(
                text,
                "; validation loss {loss:.3}, accuracy {accuracy:.3} over all hospitals"
            );
        }
    }
    let offered = status["offered"].as_array().into_iter().flatten();
    for run in offered.filter(|run| run["state"] == "waiting") {
        let id: String = word(&run["run"]).chars().take(12).collect();
        let name = word(&run["name"]);
        let _ = write!(
            text,
            "\nwaits for a decision: {name:?}; participant runs show {id}"
        );
    }
    if let Some(fault) = status["offered_fault"].as_str() {
        let _ = write!(text, "\n{fault}");
    }
    let ledger = &status["ledger"];
    let _ = write!(
        text,
        "\nhas left this hospital: {:.1} MB in {} of the ledger",
        ledger["bytes"].as_f64().unwrap_or(0.0) / 1e6,
        counted(
            ledger["entries"].as_u64().unwrap_or(0),
            ["entry", "entries"]
        )
    );
    if let Some(fault) = ledger["fault"].as_str() {
        let _ = write!(text, "\nTHE LEDGER DOES NOT HOLD: {fault}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_says_what_is_done_and_what_waits() {
        let status = json!({
            "hospital": {"number": 3, "name": "North"},
            "phase": "trains", "connected": true,
            "training": {"done": 3, "total": 4}, "uploading": null,
            "run": {"run": "ab".repeat(32), "name": "first", "rounds": 8},
            "rounds": [{"learning_round": 2, "validation": {"loss": 0.5, "accuracy": 0.75}}],
            "offered": [{"run": "cd".repeat(32), "name": "second", "state": "waiting"}],
            "ledger": {"entries": 12, "bytes": 17_200_000, "fault": null},
        });
        let text = in_words(&status);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "hospital 3 (North) trains: 75 %");
        assert!(lines[1].contains("2 of 8 learning rounds") && lines[1].contains("loss 0.500"));
        assert!(lines[2].contains("runs show cdcdcdcdcdcd"));
        assert!(lines[3].contains("17.2 MB in 12 entries"));
        assert!(in_words(&json!({})).contains("not connected"));
    }
}
