//! `participant runs`.

use clap::{Args, Subcommand};
use host::{
    failure::Failure,
    output::{printable, say},
    shown::Format,
};
use participant::approvals::{
    shown::{as_json, name_of, short_id},
    store::{KeptDecision, OfferedRun},
};
use serde_json::{Value, json};

use super::consent::{Hospital, Which};

/// Looks at the runs that were offered to this hospital, and at what was decided about them.
///
/// Nothing is sent. The participant may be running or not.
#[derive(Args)]
pub struct Runs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Subcommand)]
enum RunsCommand {
    #[command(visible_alias = "ls")]
    List(List),
    Show(Show),
}

/// Lists the runs, the newest last, each with what was decided about it, by whom and when.
#[derive(Args)]
struct List {
    #[command(flatten)]
    which: Which,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Shows all that a run asks for, who takes part, what would leave this hospital and how it is protected, and warnings.
#[derive(Args)]
struct Show {
    /// The run's ID, or the beginning of it.
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    which: Which,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Runs {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            RunsCommand::List(list) => list.execute(),
            RunsCommand::Show(show) => show.execute(),
        }
    }
}

impl List {
    fn execute(self) -> Result<(), Failure> {
        let runs = self.which.open()?.runs()?;
        match self.format {
            Format::Json => {
                let runs: Vec<_> = runs.iter().map(as_json).collect();
                say(json!({"schema": SCHEMA, "runs": runs}));
            }
            Format::Text if runs.is_empty() => {
                say("no run was offered to this hospital yet: participant run waits for one");
            }
            Format::Text => {
                for run in &runs {
                    say(format_args!(
                        "{}  {}  {}: {}",
                        short_id(&run.run),
                        run.offered_at,
                        name_of(run),
                        state_in_words(run)
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Show {
    fn execute(self) -> Result<(), Failure> {
        let hospital = self.which.open()?;
        let run = hospital.run(&self.id)?;
        match self.format {
            Format::Text => show(&hospital, &run),
            Format::Json => {
                let mut whole = as_json(&run);
                whole["schema"] = SCHEMA.into();
                let terms = hospital.terms(&run)?.into_json();
                if let (Value::Object(whole), Value::Object(terms)) = (&mut whole, terms) {
                    whole.extend(terms);
                }
                say(whole);
                Ok(())
            }
        }
    }
}

fn show(hospital: &Hospital, run: &OfferedRun) -> Result<(), Failure> {
    let terms = hospital.terms(run)?;
    say(format_args!("run {}", hex::encode(run.run)));
    say(format_args!(
        "offered first {}; {}",
        run.offered_at,
        state_in_words(run)
    ));
    say("\nWhat the operator has signed:");
    for (key, value) in terms.settings {
        say(format_args!("  {key:<21} {}", printable(&value)));
    }
    let roster = &hospital.roster;
    say(format_args!(
        "\nWho takes part ({}, of whom {} open a sum; the operator's key begins with {}):",
        roster.size(),
        roster.threshold(),
        hex::encode(&roster.operator_key().0[..8])
    ));
    for member in terms.members {
        say(format_args!("  {member}"));
    }
    say("\nWhat would leave this hospital:");
    for line in terms.leaves {
        say(format_args!("  * {line}"));
    }
    say("\nMind:");
    for line in terms.warnings {
        say(format_args!("  * {line}"));
    }
    if !run.decisions.is_empty() {
        say("\nDecided:");
    }
    for decision in &run.decisions {
        say(format_args!("  {}", decision_in_words(decision)));
    }
    Ok(())
}

/// Whether the policy refuses it, else what was decided last.
fn state_in_words(run: &OfferedRun) -> String {
    match (&run.refusal, run.decisions.last()) {
        (Some(refusal), _) => format!("refused: {}", printable(refusal)),
        (None, None) => "waits for approval".to_owned(),
        (None, Some(last)) => decision_in_words(last),
    }
}

fn decision_in_words(decision: &KeptDecision) -> String {
    let (verdict, by) = (decision.verdict.as_str(), printable(&decision.by));
    let reason = match decision.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", printable(reason)),
    };
    format!("{verdict} by {by} {}{reason}", decision.at)
}

/// Rises when a key changes its meaning or goes.
const SCHEMA: u32 = 1;
