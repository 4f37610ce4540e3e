//! `coordinator run show`, `coordinator run logs`: what was written down of a run.

use anyhow::{Context as _, anyhow};
use clap::Args;
use coordinator::store::{HistoryEntry, HistoryEvent, ListedRun, Store};
use host::{
    failure::Failure,
    moment::rfc3339,
    output::{printable, say},
    shown::Format,
};
use serde_json::{Value, json};

use super::status::Which;

/// Shows a run: what its operator has signed, how far it is or how it ended, and each sum with its seconds. The coordinator need not be
/// running.
#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    of: OfRun,
}

/// Shows what happened in a run, a line each, the earliest first: sums, connections, refusals.
///
/// It is what the records of the state folder keep; the log of the program says more.
#[derive(Args)]
pub struct Logs {
    #[command(flatten)]
    of: OfRun,
}

/// Which run, and how it is shown.
#[derive(Args)]
struct OfRun {
    /// The run, as `coordinator run list` shows it: its first digits are enough.
    run: String,

    /// For people, or JSON: an object for `show`, one a line for `logs`.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    which: Which,
}

impl OfRun {
    fn find(&self) -> Result<(Store, ListedRun), Failure> {
        let database = self.which.state()?.join("coordinator.sqlite");
        if !database.exists() {
            return Err(Failure::Settings(anyhow!("no run was begun here yet")));
        }
        let store = Store::look(&database).map_err(Failure::settings)?;
        let runs = store.runs().map_err(Failure::settings)?;
        let mut meant: Vec<_> = runs
            .into_iter()
            .filter(|run| run.run.starts_with(&self.run))
            .collect();
        // Of one that was begun more than once, the last.
        meant.dedup_by(|earlier, last| earlier.run == last.run);
        let mut meant = meant.into_iter();
        match (meant.next(), meant.next()) {
            (Some(run), None) => Ok((store, run)),
            (Some(_), Some(_)) => Err(Failure::Settings(anyhow!(
                "{} is the beginning of more than one run: give more digits",
                self.run
            ))),
            (None, _) => Err(Failure::Settings(anyhow!(
                "no run here begins with {}: see `coordinator run list`",
                self.run
            ))),
        }
    }
}

impl Show {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let (store, run) = self.of.find()?;
        let history = store.history(&run).map_err(Failure::settings)?;
        let signed = store.manifest_of(&run).map_err(Failure::settings)?;
        let manifest = signed.and_then(|signed| signed.read_unverified().ok());
        let settings = manifest.map(|manifest| manifest.in_words());
        let sums = sums(&history);
        if self.of.format == Format::Json {
            let mut whole = serde_json::to_value(&run)
                .context("cannot write the run")
                .map_err(Failure::Run)?;
            let settings = settings.into_iter().flatten();
            whole["schema"] = 1.into();
            whole["settings"] = settings
                .map(|(key, value)| (key.to_owned(), Value::from(value)))
                .collect();
            whole["sums"] = sums.iter().map(Sum::as_json).collect();
            say(whole);
            return Ok(());
        }
        say(format_args!("run {}", run.run));
        let result = run.result.as_deref().unwrap_or("under way");
        let reason = run.reason.as_deref().map(|reason| format!(": {reason}"));
        say(format_args!(
            "begun {}; learning rounds done: {}, {result}{}",
            clock(run.begun_unix_ms),
            run.learning_rounds,
            printable(&reason.unwrap_or_default())
        ));
        for (key, value) in settings.into_iter().flatten() {
            say(format_args!("  {key:<21} {}", printable(&value)));
        }
        say(format_args!(
            "{:<5} {:<12} {:>6} {:>12} {:>12}  hospitals",
            "sum", "of", "round", "collecting", "closing"
        ));
        for sum in &sums {
            say(sum.line());
        }
        Ok(())
    }
}

impl Logs {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let (store, run) = self.of.find()?;
        for entry in store.history(&run).map_err(Failure::settings)? {
            match self.of.format {
                Format::Text => say(format_args!(
                    "{}  {}",
                    clock(entry.unix_ms),
                    printable(&in_words(&entry.event))
                )),
                Format::Json => {
                    let line = serde_json::to_string(&entry).context("cannot write the entry");
                    say(line.map_err(Failure::Run)?);
                }
            }
        }
        Ok(())
    }
}

/// One sum of a run, with the moments of its phases.
struct Sum {
    number: u32,
    purpose: String,
    learning_round: u32,
    abandoned: Option<String>,
    opened: i64,
    outcome: Option<i64>,
    settled: Option<i64>,
    contributors: String,
}

fn sums(history: &[HistoryEntry]) -> Vec<Sum> {
    let mut sums: Vec<Sum> = Vec::new();
    for entry in history {
        match &entry.event {
            HistoryEvent::Opened {
                sum,
                purpose,
                learning_round,
                abandoned,
            } => sums.push(Sum {
                number: *sum,
                purpose: purpose.clone(),
                learning_round: *learning_round,
                abandoned: abandoned.clone(),
                opened: entry.unix_ms,
                outcome: None,
                settled: None,
                contributors: String::new(),
            }),
            HistoryEvent::OutcomeOut { sum, contributors } => {
                if let Some(sum) = numbered(&mut sums, *sum) {
                    sum.outcome = Some(entry.unix_ms);
                    sum.contributors.clone_from(contributors);
                }
            }
            HistoryEvent::Settled { sum, .. } => {
                if let Some(sum) = numbered(&mut sums, *sum) {
                    sum.settled = Some(entry.unix_ms);
                }
            }
            _ => {}
        }
    }
    sums
}

fn numbered(sums: &mut [Sum], number: u32) -> Option<&mut Sum> {
    sums.iter_mut().find(|sum| sum.number == number)
}

impl Sum {
    /// From the opening until the sum is out, and from then until it is settled.
    fn seconds(&self) -> (Option<f64>, Option<f64>) {
        let seconds = |from: i64, to: i64| (to - from) as f64 / 1000.0;
        let collecting = self.outcome.map(|outcome| seconds(self.opened, outcome));
        let closing = self.outcome.zip(self.settled);
        (collecting, closing.map(|(from, to)| seconds(from, to)))
    }

    fn line(&self) -> String {
        let (collecting, closing) = self.seconds();
        let seconds =
            |seconds: Option<f64>| seconds.map_or("-".to_owned(), |s| format!("{s:.1} s"));
        let given_up = self.abandoned.as_deref();
        let given_up = given_up.map(|why| format!("given up: {}", printable(why)));
        format!(
            "{:<5} {:<12} {:>6} {:>12} {:>12}  {}",
            self.number,
            self.purpose,
            self.learning_round,
            seconds(collecting),
            seconds(closing),
            given_up.as_ref().unwrap_or(&self.contributors)
        )
    }

    fn as_json(&self) -> Value {
        let (collecting, closing) = self.seconds();
        json!({
            "sum": self.number,
            "purpose": self.purpose,
            "learning_round": self.learning_round,
            "abandoned": self.abandoned,
            "contributors": self.contributors,
            "collecting_secs": collecting,
            "closing_secs": closing,
        })
    }
}

fn in_words(event: &HistoryEvent) -> String {
    match event {
        HistoryEvent::Begun => "the run has begun".to_owned(),
        HistoryEvent::Connected { hospital, address } => {
            format!("hospital {hospital} has connected from {address}")
        }
        HistoryEvent::Disconnected {
            hospital,
            reason,
            bytes_up,
            bytes_down,
        } => {
            let moved = bytes_up.zip(*bytes_down).map(|(up, down)| {
                let (up, down) = (up as f64 / 1e6, down as f64 / 1e6);
                format!(" ({up:.1} MB up, {down:.1} MB down)")
            });
            format!(
                "hospital {hospital} is gone: {reason}{}",
                moved.unwrap_or_default()
            )
        }
        HistoryEvent::Refused { hospital, reason } => match hospital {
            Some(hospital) => format!("refused something of hospital {hospital}: {reason}"),
            None => format!("turned somebody away: {reason}"),
        },
        HistoryEvent::Opened {
            sum,
            purpose,
            learning_round,
            abandoned,
        } => {
            let given_up = abandoned.as_ref();
            let given_up = given_up.map(|why| format!("; later given up: {why}"));
            format!(
                "sum {sum} is open ({purpose} of learning round {learning_round}){}",
                given_up.unwrap_or_default()
            )
        }
        HistoryEvent::OutcomeOut { sum, contributors } => {
            format!("sum {sum} is complete, of hospitals {contributors}")
        }
        HistoryEvent::Settled { sum, model_hash } => format!(
            "sum {sum} is settled; model {}",
            model_hash.get(..16).unwrap_or(model_hash)
        ),
        HistoryEvent::Ended { result, reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}"));
            format!("the run has ended, {result}{}", reason.unwrap_or_default())
        }
    }
}

/// A moment in UTC, to the second.
fn clock(unix_ms: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1000))
        .ok()
        .map(rfc3339)
        .unwrap_or_else(|| unix_ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_the_seconds_of_their_phases() {
        let at = |unix_ms, event| HistoryEntry { unix_ms, event };
        let opened = |sum, abandoned: Option<&str>| HistoryEvent::Opened {
            sum,
            purpose: "update".into(),
            learning_round: 1,
            abandoned: abandoned.map(str::to_owned),
        };
        let history = [
            at(1_000, opened(2, None)),
            at(
                3_500,
                HistoryEvent::OutcomeOut {
                    sum: 2,
                    contributors: "1,3".into(),
                },
            ),
            at(
                4_000,
                HistoryEvent::Settled {
                    sum: 2,
                    model_hash: "ab".repeat(32),
                },
            ),
            at(5_000, opened(3, Some("too few"))),
        ];
        let sums = sums(&history);
        assert_eq!(sums[0].seconds(), (Some(2.5), Some(0.5)));
        assert_eq!(sums[0].contributors, "1,3");
        assert_eq!(sums[1].seconds(), (None, None));
        assert!(sums[1].line().ends_with("given up: too few"));
        assert_eq!(clock(1_780_000_000_999), "2026-05-28T20:26:40Z");
    }
}
