//! Logs read by the tools that they are for: TensorBoard's reader of events, MLflow's client.

#[path = "../../../model/tests/oracle/python.rs"]
mod python;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::{Duration, SystemTime},
};

use serde_json::json;
use training_log::{
    Ending, LogError, LogTarget, MAX_PARAM_CHARS, Name, RunNames, TrainingLog, open,
};

/// 2027-01-15, half a second after a full one.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_500)
}

fn after(seconds: u64) -> SystemTime {
    start() + Duration::from_secs(seconds)
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn names() -> RunNames {
    RunNames {
        experiment: name("phantom"),
        // As a number, a date or a truth value it would not be this run.
        run: name("1e5"),
    }
}

/// Says everything but the end.
fn told(folder: &Path) -> Box<dyn TrainingLog> {
    let mut log = open(folder, &LogTarget::ALL, &names(), start()).expect("made");
    log.param(&name("learning_rate"), "0.001", start())
        .expect("written");
    log.param(&name("strategy"), "fedavg", start())
        .expect("written");
    log.param(&name("strategy"), "yes: \"no\"\n# ä", start())
        .expect("written");
    for step in 1..=3 {
        let at = after(u64::from(step));
        let loss = 1.0 / f64::from(step);
        log.scalar(&name("validation/loss"), step, loss, at)
            .expect("written");
        log.scalar(&name("accuracy"), step, 1e-300, at)
            .expect("written");
    }
    log.scalar(&name("diverged"), 3, f64::NAN, after(3))
        .expect("written");
    log.text(&name("notice"), 3, "Not for *diagnosis*.\n", after(3))
        .expect("written");
    log
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                [files(&path), vec![path]].concat()
            } else {
                vec![path]
            }
        })
        .collect()
}

fn event_file(folder: &Path) -> PathBuf {
    let mut found = files(&folder.join("tensorboard"));
    found.retain(|path| path.is_file());
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// `ending`: of TensorBoard's text and MLflow's status, where there was one. `losses`: as far as TensorBoard has them.
fn ask(folder: &Path, ending: Option<(&str, &str)>, losses: usize) {
    let losses: Vec<f64> = (1..=losses).map(|step| 1.0 / step as f64).collect();
    let expected = json!({
        "run": "1e5",
        "experiment": "phantom",
        "losses": losses,
        "start": 1_800_000_000_500_u64,
        "ending": ending.map(|(text, _)| text),
        "status": ending.map_or("RUNNING", |(_, status)| status),
        "strategy": "yes: \"no\"\n# ä",
    });
    fs::write(folder.join("expected.json"), expected.to_string()).expect("written");
    python::ask("check_tensorboard.py", &[folder]);
    python::ask("check_mlflow.py", &[folder]);
}

#[test]
fn both_tools_show_what_was_told() {
    for (ending, text, status) in [
        (Ending::Complete, "complete", "FINISHED"),
        (Ending::Failed, "failed", "FAILED"),
        (Ending::Stopped, "stopped", "KILLED"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        told(folder.path())
            .finish(ending, after(9))
            .expect("written");
        ask(folder.path(), Some((text, status)), 3);
    }
}

#[test]
fn what_a_killed_process_leaves_is_read_up_to_the_last_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let this = env::current_exe().expect("this program");
    let child = Command::new(this)
        .args(["--ignored", "--exact", "dies_in_the_middle"])
        .env(DIES_HERE, folder.path())
        .output()
        .expect("it starts");
    assert!(child.status.code().is_none(), "{child:?}");
    ask(folder.path(), None, 3);
    // The disk was full, or the machine lost its power: the last records are missing, the one before is cut.
    let path = event_file(folder.path());
    let bytes = fs::read(&path).expect("there");
    let third = bytes
        .windows(15)
        .rposition(|part| part == b"validation/loss");
    fs::write(&path, &bytes[..third.expect("there") + 4]).expect("written");
    ask(folder.path(), None, 2);
}

#[test]
#[ignore = "another test starts it"]
fn dies_in_the_middle() {
    if let Some(folder) = env::var_os(DIES_HERE) {
        let _log = told(Path::new(&folder));
        process::abort();
    }
}

/// The variable with the folder of the process that dies.
const DIES_HERE: &str = "TRAINING_LOG_DIES_HERE";

#[test]
fn a_second_run_of_a_name_stands_beside_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..3 {
        told(folder.path())
            .finish(Ending::Complete, after(9))
            .expect("written");
    }
    let runs = |below: &str| {
        let entries = fs::read_dir(folder.path().join(below)).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(runs("tensorboard"), ["1e5", "1e5-2", "1e5-3"]);
    let experiments = runs("mlruns");
    assert_eq!(experiments.len(), 1);
    // And the file about the experiment.
    assert_eq!(runs(&format!("mlruns/{}", experiments[0])).len(), 3 + 1);
}

#[cfg(unix)]
#[test]
fn a_log_is_for_its_owner_alone_and_leaves_nothing_unfinished() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    told(folder.path())
        .finish(Ending::Complete, after(9))
        .expect("written");
    let found = files(folder.path());
    assert!(found.len() > 10, "{found:?}");
    for path in found {
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", path.display());
        assert!(!path.ends_with(".unfinished"), "{}", path.display());
    }
}

#[test]
fn what_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = told(folder.path());
    let long = "ä".repeat(MAX_PARAM_CHARS);
    log.param(&name("long"), &long, start())
        .expect("as long as may be");
    let error = log.param(&name("long"), &(long + "ä"), start());
    assert!(
        matches!(error, Err(LogError::LongParam { chars: 6001, .. })),
        "{error:?}"
    );
    // `validation` is a folder of numbers in MLflow; TensorBoard would not mind.
    let error = log
        .scalar(&name("validation"), 1, 0.5, start())
        .expect_err("a folder");
    assert!(error.to_string().contains("metrics/validation"), "{error}");

    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    for target in LogTarget::ALL {
        let error = open(&file, &[target], &names(), start()).err();
        assert!(matches!(error, Some(LogError::Io { .. })), "{error:?}");
    }
    open(&file, &[], &names(), start()).expect("nothing to write");
}
