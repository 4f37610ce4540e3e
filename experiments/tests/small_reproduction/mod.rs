//! A reproduction that takes seconds, and what tests ask of it.
#![allow(dead_code, reason = "no test asks for all of it")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

/// Sixteen patients of three slices: a second or two a training.
pub const SMALL: [&str; 14] = [
    "--patients",
    "16",
    "--slices",
    "3",
    "--task",
    "binary",
    "--balance",
    "original",
    "--seeds",
    "2",
    "--epochs",
    "2",
    "--profile",
    "hardened",
];

/// `experiments reproduce ARGUMENTS --out OUT`.
pub fn command(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiments"));
    command
        .arg("reproduce")
        .args(arguments)
        .arg("--out")
        .arg(out);
    command
}

pub fn run(out: &Path, arguments: &[&str]) -> Output {
    command(out, arguments)
        .output()
        .expect("the program starts")
}

/// What it says where it refuses to start.
pub fn refusal(out: &Path, arguments: &[&str]) -> String {
    let output = run(out, arguments);
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    errors
}

/// What it prints and what it tells of its way.
pub fn succeeds(output: Output) -> (String, String) {
    let [printed, told] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    assert!(output.status.success(), "{told}");
    (printed, told)
}

pub fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], more].concat()
}

pub fn tables(out: &Path) -> (Vec<u8>, Vec<u8>) {
    let read = |name| fs::read(out.join(name)).expect("there");
    (read("tables.json"), read("tables.md"))
}

/// Finished trainings.
pub fn cells_done(out: &Path) -> usize {
    let files = fs::read_dir(out.join("cells"))
        .into_iter()
        .flatten()
        .flatten();
    let whole = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
    whole.count()
}

pub fn wait_for_cells(out: &Path, count: usize) {
    wait_until("no cell in time", || cells_done(out) >= count);
}

/// Or panics with these words after five minutes.
pub fn wait_until(or: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(300), "{or}");
        thread::sleep(Duration::from_millis(20));
    }
}
