//! The program `experiments`: see `experiments --help`.

use std::process::ExitCode;

use clap::Parser as _;
use experiments::commands::Experiments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Experiments::parse();
    let _log = arguments.log.start();
    match arguments.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
