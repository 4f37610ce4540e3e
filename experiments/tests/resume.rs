//! Simulations that are killed, and go on: the real program, SIGKILL, and the results beside those of a run that nobody disturbed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Two hospitals of four patients, three slices each, three rounds.
const SMALL: [&str; 12] = [
    "--hospitals",
    "2",
    "--patients",
    "8",
    "--slices",
    "3",
    "--rounds",
    "3",
    "--local-epochs",
    "1",
    "--split",
    "slice",
];

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiments"));
    command.arg("simulate").args(arguments);
    command
}

fn begin(out: &Path, more: &[&str]) -> Command {
    let mut command = command(&[&SMALL[..], more].concat());
    command.arg("--out").arg(out);
    command
}

fn resume(out: &Path, more: &[&str]) -> Command {
    let mut command = command(more);
    command.arg("--resume").arg(out);
    command
}

fn succeeds(mut command: Command) -> String {
    let output = command.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn refusal(mut command: Command) -> String {
    let output: Output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("text")
}

fn unfinished(out: &Path) -> PathBuf {
    let name = out.file_name().expect("named").to_str().expect("text");
    out.with_file_name(format!(".{name}.unfinished"))
}

/// The lines of notes of this kind so far.
fn notes(out: &Path, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(unfinished(out).join("notes.jsonl")).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter_map(|line: Value| line.get(kind).cloned())
        .collect()
}

fn start(mut command: Command) -> Child {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

/// Kills the program as soon as so many notes of this kind are there.
fn kill_after(command: Command, out: &Path, kind: &str, count: usize) {
    let mut child = start(command);
    let began = Instant::now();
    while notes(out, kind).len() < count {
        assert!(
            began.elapsed() < Duration::from_secs(300),
            "no {kind} in time"
        );
        let ended = child.try_wait().expect("asked");
        assert!(
            ended.is_none(),
            "it was too fast to be killed, or has failed"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(!out.exists(), "nothing half-written is found");
}

fn read(out: &Path, name: &str) -> Value {
    let text = fs::read_to_string(out.join(name)).expect("there");
    serde_json::from_str(&text).expect("JSON")
}

/// What does not depend on time, keys and noise.
fn facts(out: &Path) -> Value {
    let summary = read(out, "summary.json");
    let history = summary["history"].as_array().expect("rounds").iter();
    let history = history.map(|round| {
        let mut round = round.clone();
        round.as_object_mut().expect("an object").remove("seconds");
        round
    });
    let transcript = fs::read_to_string(out.join("transcript.jsonl")).expect("there");
    let entries: Vec<Value> = transcript
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let is_a_chain = entries
        .windows(2)
        .all(|pair| pair[0]["transcript"] == pair[1]["transcript_before"]);
    assert!(is_a_chain);
    let settled = entries
        .iter()
        .map(|entry| json!([entry["purpose"], entry["contributors"], entry["model_hash"]]));
    json!({
        "agreement": summary["agreement"],
        "sum": summary["sum"],
        "history": history.collect::<Vec<_>>(),
        "kept_round": summary["kept_round"],
        "best": summary["best"],
        "test": summary["test"],
        "patients": summary["patients_by_hospital"],
        "transcript": settled.collect::<Vec<_>>(),
        "best model": out.join("model-best.safetensors").exists(),
    })
}

#[test]
fn a_run_that_was_killed_twice_ends_with_the_results_of_one_that_was_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    succeeds(begin(&whole, &[]));

    // One of two hospitals has trained in the first round, or has opened the first update; then in mid-round again.
    kill_after(begin(&killed, &[]), &killed, "trained", 1);
    let again = refusal(begin(&killed, &[]));
    assert!(
        again.contains("--resume") && again.contains("remove"),
        "{again}"
    );
    let other = refusal(resume(&killed, &["--rounds", "4"]));
    assert!(other.contains("--rounds was 3, now 4"), "{other}");
    let default = refusal(resume(&killed, &["--local-epochs", "2"]));
    assert!(default.contains("--local-epochs was 1, now 2"), "{default}");

    kill_after(resume(&killed, &[]), &killed, "opened", 7);
    let before = notes(&killed, "opened").len();
    assert!(before < 14, "it had come to the end");

    let mut child = start(resume(&killed, &[]));
    while notes(&killed, "began").len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().expect("asked").is_none());
    }
    let busy = refusal(resume(&killed, &[]));
    assert!(busy.contains("another process"), "{busy}");
    assert!(child.wait().expect("it ends").success());

    assert_eq!(facts(&killed), facts(&whole));
    let summary = read(&killed, "summary.json");
    assert_eq!(summary["sum"]["integers_exact"], true);
    assert_eq!(summary["agreement"]["model_hashes_equal"], true);
    assert!(!unfinished(&killed).exists());
    let finished = refusal(resume(&killed, &[]));
    assert!(finished.contains("finished"), "{finished}");
}

#[test]
fn a_run_that_was_killed_after_its_last_round_is_tested_and_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name| folder.path().join(name);
    let options = ["--conditioning", "none", "--strategy", "fedadam"];
    succeeds(begin(&path("whole"), &options));
    // Statistics, and an update and an evaluation a round, at each of two hospitals: the last may not have settled its last one.
    for (kind, count) in [("opened", 14), ("ended", 1)] {
        let killed = path(kind);
        kill_after(begin(&killed, &options), &killed, kind, count);
        succeeds(resume(&killed, &["--strategy", "fedadam"]));
        assert_eq!(facts(&killed), facts(&path("whole")), "{kind}");
    }
}

#[test]
fn a_sum_that_nobody_is_known_to_have_checked_is_not_called_exact() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    // Statistics and an update at two hospitals each; the fifth is of an evaluation, so that the update is settled.
    kill_after(begin(&out, &[]), &out, "opened", 5);
    // As a damaged disk might: that they opened the update is not noted any more.
    let path = unfinished(&out).join("notes.jsonl");
    let text = fs::read_to_string(&path).expect("there");
    let is_of_update = |line: &&str| line.contains("\"opened\"") && line.contains("\"update\"");
    let kept = text.lines().filter(|line| !is_of_update(line));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    assert!(kept.len() < text.len());
    fs::write(&path, kept).expect("written");
    let error = refusal_with_results(resume(&out, &[]));
    assert!(error.contains("nobody has seen it open the sum"), "{error}");
    assert_eq!(read(&out, "summary.json")["sum"]["integers_exact"], false);
}

/// A run that ends, and whose check fails: the results are there to look at.
fn refusal_with_results(mut command: Command) -> String {
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).expect("text")
}

#[cfg(unix)]
#[test]
fn one_ctrl_c_ends_a_run_in_time_and_says_how_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    succeeds(begin(&whole, &[]));
    let child = begin(&stopped, &[])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    while notes(&stopped, "opened").len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let asked = Instant::now();
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.expect("asked").success());
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(asked.elapsed() < Duration::from_secs(15));
    let way = format!(
        "to go on: experiments simulate --resume {}",
        stopped.display()
    );
    assert_eq!(errors.lines().last(), Some(way.as_str()), "{errors}");
    succeeds(resume(&stopped, &[]));
    assert_eq!(facts(&stopped), facts(&whole));
}

#[cfg(unix)]
#[test]
fn a_phantom_that_is_stopped_leaves_nothing_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("phantom");
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiments"));
    command
        .arg("phantom")
        .arg(&root)
        .args(["--patients", "2000"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    let began = Instant::now();
    // The hidden folder in which it begins.
    while !fs::read_dir(&root).is_ok_and(|mut found| found.next().is_some()) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it has not begun"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let asked = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(asked.expect("asked").success());
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("stopped before the end: what was begun is removed"),
        "{errors}"
    );
    assert!(!root.exists(), "nothing is left");
}

#[test]
fn a_plain_run_does_not_go_on_and_leaves_room_for_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let options = ["--updates", "plain", "--patients", "40", "--slices", "16"];
    let options: Vec<&str> = SMALL
        .chunks(2)
        .filter(|pair| !options.contains(&pair[0]))
        .flatten()
        .copied()
        .chain(options)
        .collect();
    let run = || {
        let mut command = command(&options);
        command.arg("--out").arg(&out);
        command
    };
    let mut child = start(run());
    while !unfinished(&out).join("options.json").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let refused = refusal(resume(&out, &[]));
    assert!(refused.contains("--updates plain"), "{refused}");
    succeeds(run());
    assert!(out.join("summary.json").exists() && !unfinished(&out).exists());
}
