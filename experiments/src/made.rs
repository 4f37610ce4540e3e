//! When, how and where results were made, for whoever reads them later. No path is in it: results are made to be shared.

use std::{env, path::Path, thread};

use ::report::{page::program_rows, pictures::escape};
use host::moment;
use serde::Serialize;

/// Of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// UTC, as `2026-12-01T13:45:00Z`.
    pub date: String,
    /// The program and its arguments, of each path the last name alone.
    pub command_line: String,
    /// That the program was built from, if its build knew it.
    pub commit: Option<&'static str>,
    /// Processor, its number of threads, and operating system.
    pub machine: String,
}

impl Made {
    /// By this command, now.
    pub fn now(command_line: String) -> Self {
        Self {
            date: moment::now(),
            command_line,
            commit: version::COMMIT,
            machine: machine(),
        }
    }

    /// The section of a page that tells it.
    pub fn section(&self) -> String {
        format!(
            "<h2>How this was made</h2><table class=\"words\"><tr><th>when</th><td>{}</td></tr><tr><th>command</th><td><code>{}</code></td></tr>\
             <tr><th>machine</th><td>{}</td></tr>{}</table>",
            self.date,
            escape(&self.command_line),
            escape(&self.machine),
            program_rows(version::VERSION),
        )
    }
}

/// Of a path the last name; anything else as it is.
pub fn last_name(value: &str) -> String {
    let last = Path::new(value).file_name();
    last.map_or_else(
        || value.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
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
        for (value, told) in [
            ("/srv/site=A/mri/", "mri"),
            ("phantom", "phantom"),
            ("0.3", "0.3"),
            ("..", ".."),
        ] {
            assert_eq!(last_name(value), told);
        }
    }
}
