//! The program `trainer`: `participant run` starts it and speaks to it over its standard streams. People do not start it.
#![forbid(unsafe_code)]

use std::{fs::File, io, process::ExitCode};

use clap::Parser;
use trainer::serve::{Ended, serve};

/// Trains on a hospital's scans for the participant that starts it: messages come on stdin and go to stdout, the log goes to
/// stderr. It holds no key, opens no connection, and ends when stdin closes.
#[derive(Parser)]
#[command(version = version::VERSION)]
struct Arguments {
    /// Serve the participant on the other end of stdin and stdout.
    #[arg(long, required = true)]
    serve: bool,
}

fn main() -> ExitCode {
    model::keep_freed_memory();
    let Arguments { serve: _ } = Arguments::parse();
    // The level comes first in each line, for the participant to read.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
    let output = match pipe_out() {
        Ok(output) => output,
        Err(error) => {
            tracing::error!("cannot keep the pipe apart from stdout: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(io::stdin(), output, end_at_once) {
        Ok(Ended::ByParent | Ended::Unusable) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The pipe that was stdout. From here on stdout is stderr: a library that prints must not break a frame.
fn pipe_out() -> io::Result<File> {
    let pipe = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(pipe))
}

/// Nobody waits for a result any more. A return from `main`, or `exit`, would run libtorch's destructors under its own threads,
/// which crashes; a signal that cannot be caught ends all of them at once.
fn end_at_once() {
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
}
