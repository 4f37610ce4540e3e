//! Plays faulty rounds of seeds that the tests do not play, for as long as is wanted: `cargo xtask soak -- --minutes 60`.
//!
//! Each seed is one run of vaults and a coordinator on a virtual clock, with lost connections, crashes and stops; after it every
//! invariant is looked at. A failure is shortened to what it needs and printed with the command that plays it again. Exit code 1 if
//! there was one.

#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use cohort::campaign::{Tally, play_seeds};

/// Play faulty rounds of the protocol, and look at every invariant after each.
#[derive(Parser)]
struct Arguments {
    /// The first seed. Each seed is another run; the tests play the first 640.
    #[arg(long, default_value_t = 640)]
    first: u64,

    /// How many seeds, if that is done before the time is up.
    #[arg(long, default_value_t = u64::MAX)]
    seeds: u64,

    /// How long. What has been begun is played to its end.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
}

/// Those between two lines on the way.
const AT_ONCE: u64 = 100;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let limit = Duration::from_secs(arguments.minutes.saturating_mul(60));
    let end = arguments.first.saturating_add(arguments.seeds);
    let mut all = Tally::default();
    let mut next = arguments.first;
    while next < end && began.elapsed() < limit {
        let some = next..end.min(next.saturating_add(AT_ONCE));
        next = some.end;
        let tally = play_seeds(some);
        for failure in &tally.failures {
            println!("{failure}\n");
        }
        all.join(tally);
        eprintln!(
            "seeds {}..{next}, {} s: {} rounds, {} failures",
            arguments.first,
            began.elapsed().as_secs(),
            all.faults.rounds(),
            all.failures.len()
        );
    }
    println!(
        "seeds {}..{next} in {:.0} s: endings {:?}\n{}",
        arguments.first,
        began.elapsed().as_secs_f64(),
        all.endings,
        all.faults
    );
    println!("{} of {} runs failed", all.failures.len(), all.runs);
    ExitCode::from(u8::from(!all.failures.is_empty()))
}
