//! How much one coordinator bears: `cargo run --release -p system-tests --example load -- --hospitals 100`.
//!
//! Prints a JSON object. Hospitals beyond one machine's reach are played by this program, which needs 34 MB for each.

mod generator;

use std::{io, time::Duration};

use clap::{Parser, ValueEnum};

use self::generator::{Last, Load, bear};

/// Plays so many hospitals to a real coordinator, and prints what it took.
#[derive(Parser)]
struct Arguments {
    /// From 2 to 100.
    #[arg(long, default_value_t = 10)]
    hospitals: u8,
    /// Learning rounds.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// What the last hospital does once the first update is uploaded.
    #[arg(long, value_enum, default_value = "takes-part")]
    last: Last,
    /// The processors of the coordinator, for example 0.
    #[arg(long)]
    processors: Option<String>,
    /// A hospital that has been silent for so many seconds is no longer waited for.
    #[arg(long, default_value_t = 60)]
    silence: u32,
    /// Print the coordinator's log as well.
    #[arg(long)]
    log: bool,
}

impl ValueEnum for Last {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::TakesPart,
            Self::Dies,
            Self::OnlyLives,
            Self::RepeatsHello,
            Self::RepeatsRequests,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let name = match self {
            Self::TakesPart => "takes-part",
            Self::Dies => "dies",
            Self::OnlyLives => "only-lives",
            Self::RepeatsHello => "repeats-hello",
            Self::RepeatsRequests => "repeats-requests",
        };
        Some(name.into())
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let report = bear(&Load {
        hospitals: arguments.hospitals,
        rounds: arguments.rounds,
        last: arguments.last,
        processors: arguments.processors,
        silence_secs: arguments.silence,
        patience: Duration::from_secs(1800),
    });
    if arguments.log {
        eprintln!("{}", report.log);
    }
    serde_json::to_writer_pretty(io::stdout(), &report.figures)?;
    Ok(())
}
