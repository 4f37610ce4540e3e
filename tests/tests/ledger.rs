//! What left a hospital, told by its program before, during and after a run of separate processes.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use system_tests::{Federation, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(240);

/// What a command of hospital 2 says, if it ends well.
fn said(federation: &Federation, words: &[&str]) -> String {
    let output = run(&mut asked(federation, words));
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn asked(federation: &Federation, words: &[&str]) -> Command {
    let mut command = program("participant");
    command.args(words);
    command
        .arg("--config")
        .arg(federation.hospital(2).join("participant.toml"));
    command
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = names
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn what_a_run_sends_is_foretold_and_is_in_the_ledger_byte_for_byte() {
    let federation = Federation::new(3).with_phantom(3, 12, 2);
    let hospital = federation.hospital(2);
    let before = files(&hospital);
    let dry = json(&said(&federation, &["run", "--dry", "--format", "json"]));
    assert_eq!(files(&hospital), before, "no trace is left");
    let none = run(&mut asked(&federation, &["ledger"]));
    assert_eq!(none.status.code(), Some(2));
    assert!(
        stderr(&none).contains("nothing has left this hospital"),
        "{}",
        stderr(&none)
    );

    let coordinator = Running::start("coordinator", &mut federation.serve(1, 30));
    let start = |number: u8| {
        Running::start(
            format!("hospital {number}"),
            &mut federation.participant(number),
        )
    };
    let [first, second, third] = [1, 2, 3].map(start);
    second.wait_for("training: step 1 of", PATIENCE);
    let meanwhile = json(&said(&federation, &["ledger", "--format", "json"]));
    let (succeeded, line) = second.finish(PATIENCE);
    assert!(succeeded);
    for other in [coordinator, first, third] {
        assert!(other.finish(PATIENCE).0);
    }

    let ledger = json(&said(&federation, &["ledger", "--format", "json"]));
    assert_eq!(
        ledger["bytes"],
        json(&line)["bytes"]["up"],
        "every message byte"
    );
    let bytes = |ledger: &Value| ledger["bytes"].as_u64().expect("a number");
    assert!(0 < bytes(&meanwhile) && bytes(&meanwhile) < bytes(&ledger));
    // As many rounds were foretold as an operator asks for who changes nothing; here it was one.
    let stages = dry["stages"].as_array().expect("a list");
    let lines = |stage: &Value| stage["lines"].as_array().expect("a list").clone();
    let foretold: Vec<Value> = stages[..2].iter().flat_map(lines).collect();
    let rows = ledger["rows"].as_array().expect("a list");
    let of_kind = |rows: &[Value], kind: &str| -> u64 {
        let rows = rows.iter().filter(|row| row["kind"] == kind);
        rows.map(bytes).sum()
    };
    // One acknowledgement may stand for some.
    let acknowledged = of_kind(rows, "box-ack");
    let most = of_kind(&foretold, "box-ack");
    assert!(
        (1..=most).contains(&acknowledged),
        "{acknowledged} of {most}"
    );
    assert_eq!(
        bytes(&ledger) - of_kind(rows, "heartbeat") - acknowledged,
        foretold.iter().map(bytes).sum::<u64>() - most
    );

    let held = said(&federation, &["ledger", "verify"]);
    let head = ledger["head"].as_str().expect("a hash");
    assert!(
        held.contains("entries hold") && held.ends_with(head),
        "{held}"
    );
    said(&federation, &["ledger", "verify", "--head", head]);
    let other = run(&mut asked(
        &federation,
        &["ledger", "verify", "--head", &"ab".repeat(32)],
    ));
    assert_eq!(other.status.code(), Some(1), "{}", stderr(&other));
    the_export_has_every_entry_and_overwrites_nothing(&federation, &ledger);
}

fn the_export_has_every_entry_and_overwrites_nothing(federation: &Federation, ledger: &Value) {
    let file = federation.path().join("ledger.csv");
    let name = file.to_str().expect("a plain path");
    said(federation, &["ledger", "export", name]);
    let text = fs::read_to_string(&file).expect("a file");
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next().expect("names").split(',').collect();
    let place = |name: &str| {
        columns
            .iter()
            .position(|column| *column == name)
            .expect("a column")
    };
    let entries = ledger["entries"].as_u64().expect("a number");
    let last: Vec<_> = lines
        .clone()
        .next_back()
        .expect("an entry")
        .split(',')
        .collect();
    assert_eq!(last[place("number")], entries.to_string());
    let listed = said(federation, &["ledger", "list", "--format", "json"]);
    let listed: Vec<_> = listed.lines().map(json).collect();
    assert_eq!(
        (lines.count() as u64, listed.len() as u64),
        (entries, entries)
    );
    let upload = listed
        .iter()
        .find(|entry| entry["purpose"] == "sealed contribution to learning round 1");
    let upload = upload.expect("the update");
    assert_eq!(upload["bytes"], upload["object_bytes"]);
    assert_eq!(
        upload["protection"],
        "sealed: only the sum can be opened, by 2 hospitals"
    );

    let again = run(&mut asked(federation, &["ledger", "export", name]));
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("not overwritten"),
        "{}",
        stderr(&again)
    );
    assert_eq!(fs::read_to_string(&file).expect("a file"), text);
}
