//! When, how and where results were made, for whoever reads them later. No path is in it: results are made to be shared.

use std::{env, path::Path, thread};

use host::moment;
use serde::Serialize;

/// Of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// UTC, as `2026-12-01T13:45:00Z`.
    pub date: String,
    /// The program and its arguments, of each path the last name alone.
    pub command_line: String,
    /// Processor, its number of threads, and operating system.
    pub machine: String,
}

impl Made {
    /// By this process, now.
    pub fn now() -> Self {
        let arguments = env::args_os().map(|argument| argument.to_string_lossy().into_owned());
        Self {
            date: moment::now(),
            command_line: without_paths(arguments),
            machine: machine(),
        }
    }
}

fn without_paths(arguments: impl Iterator<Item = String>) -> String {
    let short = arguments.map(|argument| {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (format!("{flag}="), value.to_owned()),
            None => (String::new(), argument),
        };
        let last = Path::new(&value).file_name();
        let last = last.map(|name| name.to_string_lossy().into_owned());
        format!("{flag}{}", last.unwrap_or(value))
    });
    short.collect::<Vec<_>>().join(" ")
}

fn machine() -> String {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| env::consts::ARCH.to_owned());
    format!("{model}, {threads} threads, {}", env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_only_the_last_name_is_told() {
        let given = [
            "/home/a/target/release/experiments",
            "simulate",
            "--data",
            "/srv/mri/",
            "--out=/tmp/x/run",
            "--seed",
            "3",
        ];
        let line = without_paths(given.into_iter().map(str::to_owned));
        assert_eq!(line, "experiments simulate --data mri --out=run --seed 3");
    }
}
