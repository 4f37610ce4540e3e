//! The program `experiments`: see `experiments --help`.

use std::process::ExitCode;

use clap::Parser as _;
use experiments::{commands::Experiments, memory, simulation::Steps};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::prepare();
    let arguments = Experiments::parse();
    let steps = Steps::begin();
    let _log = arguments.log.start_beside(steps.layer());
    match arguments.execute(&steps) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
