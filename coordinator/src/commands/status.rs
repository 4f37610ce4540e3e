//! `coordinator status`.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::anyhow;
use clap::Args;
use coordinator::{
    control::{Answer, HospitalStatus, Request, Status, ask},
    settings::Settings,
};
use host::{
    failure::Failure,
    settings::environment,
    shown::{Shown, Watching},
};
use serde_json::{Value, json};

/// Shows where the run of a coordinator stands that is running on this machine: phase, round, and for each hospital whether it is
/// connected, what the run waits for it to do, and the bytes so far.
#[derive(Args)]
pub struct StatusArguments {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    watching: Watching,
}

/// Which coordinator is meant.
#[derive(Args)]
pub struct Which {
    /// The settings file of the coordinator.
    #[arg(long, value_name = "FILE", default_value = "coordinator.toml")]
    config: PathBuf,

    /// Its state folder, if the settings do not name it.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Which {
    /// Asks it.
    pub fn ask(&self, request: Request) -> Result<Answer, Failure> {
        ask(&self.state()?, request).map_err(Failure::settings)
    }

    /// Its state folder.
    pub fn state(&self) -> Result<PathBuf, Failure> {
        match &self.state {
            Some(state) => Ok(state.clone()),
            None => {
                let settings = Settings::load(&self.config, environment(), &[]);
                Ok(settings.map_err(Failure::settings)?.state)
            }
        }
    }
}

impl StatusArguments {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let ended = "the coordinator has ended; its log says how";
        self.watching.show(|| self.status(), ended)
    }

    fn status(&self) -> Result<Stand, Failure> {
        match self.which.ask(Request::Status)? {
            Answer::Status(status) => Ok(Stand(Some(*status))),
            Answer::Idle { .. } => Ok(Stand(None)),
            Answer::Refused { reason } => Err(Failure::Run(anyhow!(reason))),
            Answer::Done => Err(Failure::Run(anyhow!("the coordinator gave another answer"))),
        }
    }
}

/// Of the run that is under way, if there is one.
struct Stand(Option<Status>);

impl Shown for Stand {
    fn in_words(&self) -> String {
        self.0.as_ref().map_or_else(|| NO_RUN.to_owned(), in_words)
    }

    fn as_json(&self) -> Value {
        match &self.0 {
            Some(status) => json!(status),
            None => json!({"schema": Status::SCHEMA, "run": null}),
        }
    }
}

fn in_words(status: &Status) -> String {
    let mut text = format!(
        "run {:?} ({})\n",
        status.name,
        &status.run[..16.min(status.run.len())]
    );
    let round = match status.learning_round {
        Some(round) => format!("learning round {round} of {}", status.rounds),
        None if status.rounds == 1 => "its learning round is done".to_owned(),
        None => format!("all {} learning rounds are done", status.rounds),
    };
    let limit = status
        .ends_in_secs
        .map(|secs| format!(", {secs} s more at the most"));
    let _ = writeln!(
        text,
        "{round}: {} for {} s{}{}",
        status.phase,
        status.phase_secs,
        limit.unwrap_or_default(),
        match (status.stands_still, status.paused) {
            (true, _) => "; STANDS STILL: something cannot be written, see the log",
            (false, true) => "; PAUSED: `coordinator run resume` has it go on",
            (false, false) => "",
        }
    );
    let _ = writeln!(
        text,
        "{:<4} {:<24} {:<22} {:<16} {:>9} {:>10} {:>10}",
        "no.", "hospital", "connected from", "waited for", "heard", "up", "down"
    );
    for hospital in &status.hospitals {
        let _ = writeln!(text, "{}", line(hospital));
    }
    text.trim_end().to_owned()
}

fn line(hospital: &HospitalStatus) -> String {
    let heard = hospital.last_heard_secs.map(|secs| format!("{secs} s"));
    format!(
        "{:<4} {:<24} {:<22} {:<16} {:>9} {:>10} {:>10}",
        hospital.hospital,
        hospital.name.chars().take(24).collect::<String>(),
        hospital.address.as_deref().unwrap_or("-"),
        hospital.waited_for.as_deref().unwrap_or("-"),
        heard.as_deref().unwrap_or("-"),
        megabytes(hospital.bytes_up),
        megabytes(hospital.bytes_down),
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

const NO_RUN: &str = "no run is under way; `coordinator run start FILE` begins one";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_table_with_what_is_waited_for() {
        let hospital = |number, address: Option<&str>, waited_for: Option<&str>| HospitalStatus {
            hospital: number,
            name: format!("hospital {number}"),
            address: address.map(str::to_owned),
            waited_for: waited_for.map(str::to_owned),
            last_heard_secs: waited_for.map(|_| 2),
            bytes_up: 16_900_000,
            bytes_down: 0,
        };
        let status = Status {
            schema: Status::SCHEMA,
            name: "demo".into(),
            run: "ab".repeat(32),
            rounds: 8,
            phase: "collecting".into(),
            sum: Some(4),
            learning_round: Some(2),
            phase_secs: 45,
            ends_in_secs: Some(555),
            stands_still: false,
            paused: false,
            hospitals: vec![
                hospital(1, Some("127.0.0.1:4000"), None),
                hospital(2, Some("127.0.0.1:4001"), Some("training")),
                hospital(3, None, Some("away")),
            ],
        };
        let text = in_words(&status);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "run \"demo\" (abababababababab)");
        assert_eq!(
            lines[1],
            "learning round 2 of 8: collecting for 45 s, 555 s more at the most"
        );
        assert!(lines[4].contains("127.0.0.1:4001") && lines[4].contains("training"));
        assert!(lines[4].contains("2 s") && lines[4].contains("16.9 MB"));
        assert!(lines[5].contains("away"));
    }
}
