//! The phantom cohort, the simulation and its reports, from the command line.

use std::process::ExitCode;

use clap::Parser;
use experiments::commands::Experiments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Experiments::parse().execute()
}
