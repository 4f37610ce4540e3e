//! The audit as a program: its files, the same numbers from the same seed, and a signal.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

fn audit(out: &Path, seed: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiments"));
    command.args(["audit", "--quick", "--only", "2,3", "--seed", seed, "-o"]);
    command.arg(out);
    command
}

/// The findings that an audit leaves in its folder, after the table on stdout.
fn findings(out: &Path, seed: &str) -> Value {
    let output = audit(out, seed).output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let table = String::from_utf8(output.stdout).expect("text");
    let rows = table.lines().filter(|line| line.contains("| holds |"));
    assert_eq!(rows.count(), 2, "{table}");
    let text = fs::read_to_string(out.join("audit.md")).expect("there");
    assert!(text.contains(table.trim_end()), "{text}");
    let page = fs::read_to_string(out.join("report.html")).expect("there");
    assert_eq!(page.matches("<strong>holds.</strong>").count(), 2, "{page}");
    let json = fs::read_to_string(out.join("audit.json")).expect("there");
    let mut json: Value = serde_json::from_str(&json).expect("JSON");
    json["findings"].take()
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("audit");
    let first = findings(&out, "1");
    assert_eq!(first[0]["number"], 2);
    assert_eq!(first[1]["control_won"], true);
    assert_eq!(first, findings(&out, "1"), "an earlier audit is replaced");
    assert_ne!(first, findings(&folder.path().join("other"), "2"));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_with_exit_code_3_and_leaves_no_audit() {
    use std::io::{BufRead as _, BufReader, Read as _};

    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("audit");
    let child = audit(&out, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program starts");
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    // It listens before it says where the audit goes.
    let mut told = String::new();
    errors.read_line(&mut told).expect("it says something");
    let asked = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(asked.expect("asked").success());
    errors.read_to_string(&mut told).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(3), "{told}");
    assert!(told.contains("stopped before the end"), "{told}");
    assert!(!out.join("audit.json").exists());
}
