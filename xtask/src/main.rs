//! `cargo xtask`: the few commands that take a fresh machine to a running project.
//!
//! It gets libtorch where the environment names none, and starts cargo with it. Progress and messages go to stderr;
//! stdout carries only what was asked for. Exit codes: that of the program started, 1 for a failure of our own,
//! 2 for a command line that cannot be read.

#![forbid(unsafe_code)]

mod cargo;
mod fetch;
mod libtorch;
mod prerequisites;
mod task;
mod tenseal;
mod wheels;

use std::env;
use std::process::ExitCode;

use crate::task::{HELP, Task};

fn main() -> ExitCode {
    let task = match Task::parse(env::args_os().skip(1)) {
        Ok(task) => task,
        Err(misuse) => {
            eprintln!("error: {misuse}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match task.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
