//! The program as a person meets it: what it says, where, and with which exit code.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use coordinator::demo::{Demo, Place};
use tempfile::TempDir;

fn participant(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_participant"))
        .args(arguments)
        .output()
        .expect("it can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// What `coordinator init --demo 2` writes, with a hospital's folder that still has no data set.
fn federation() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Demo::generate(2, Place::default()).expect("two hospitals");
    demo.write(folder.path()).expect("written");
    folder
}

/// The message of a refusal: exit code 2, nothing on stdout, and no state folder.
fn refusal(folder: &TempDir, more: &[&str]) -> String {
    let hospital = folder.path().join("hospital-1");
    let settings = hospital.join("participant.toml");
    let output = participant(&[&["run", "--config", path(&settings)], more].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    assert!(!hospital.join("state").exists());
    text(&output.stderr)
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_started() {
    let folder = federation();
    let said = refusal(&folder, &["--set", "training.sed=3"]);
    assert!(
        said.contains("`training.sed` in --set training.sed") && said.contains("training.seed"),
        "{said}"
    );
    let said = refusal(&folder, &["--set", "training.seed=one"]);
    assert!(said.contains("--set training.seed"), "{said}");
    let said = refusal(&folder, &["--device", "gpu"]);
    assert!(
        said.contains("training.device") && said.contains("cuda:N"),
        "{said}"
    );
    let said = refusal(&folder, &["--set", "hospital=2"]);
    assert!(said.contains("belongs to hospital 1"), "{said}");
    let said = refusal(&folder, &["--data", "nowhere"]);
    assert!(
        said.contains("nowhere") && said.contains("setting `data`"),
        "{said}"
    );
    let said = refusal(&folder, &[]);
    assert!(
        said.contains("hospital-1/data") && said.contains("clinical.csv"),
        "{said}"
    );
    fs::remove_file(folder.path().join("hospital-1/keys/tls.key")).expect("it is there");
    let said = refusal(&folder, &[]);
    assert!(
        said.contains("keys/tls.key") && said.contains("`keys.tls_key`"),
        "{said}"
    );
}

#[test]
fn a_settings_file_that_is_not_there_is_named() {
    let output = participant(&["run", "--config", "nowhere/participant.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("nowhere/participant.toml") && said.contains("--config"),
        "{said}"
    );
}

#[test]
fn a_level_that_is_none_is_refused_and_a_filter_of_modules_is_taken() {
    let level =
        |level: &str| participant(&["runs", "list", "--config", "no", "--log-level", level]);
    for wrong in ["x", "info,loud"] {
        let output = level(wrong);
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(
            said.contains("off, error, warn, info, debug or trace"),
            "{said}"
        );
    }
    // What is wrong now is the settings file.
    for right in ["info,quinn=warn", "myelin_participant=debug"] {
        let said = text(&level(right).stderr);
        assert!(said.contains("settings file no"), "{said}");
    }
}

#[test]
fn a_dash_is_no_file_to_write() {
    let here = tempfile::tempdir().expect("a folder");
    for words in [
        &["predict", "model", "scans", "-o", "-"][..],
        &["export", "model", "-o", "-"],
        &["report", "-o", "-"],
        &["data", "check", ".", "--html", "-"],
        &["join", "token", "-"],
        &["man", "-"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_participant"));
        let output = command.args(words).current_dir(here.path()).output();
        let output = output.expect("it can be started");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let said = text(&output.stderr);
        assert!(said.contains("not written to stdout"), "{words:?}: {said}");
    }
    assert_eq!(fs::read_dir(here.path()).expect("there").count(), 0);
}

#[test]
fn a_path_of_set_starts_at_the_current_folder_as_that_of_a_flag_does() {
    let folder = federation();
    let settings = folder.path().join("hospital-1/participant.toml");
    for flag in [&["--set", "data=mine/mri"][..], &["--data", "mine/mri"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_participant"));
        command
            .args(["run", "--config", path(&settings)])
            .args(flag);
        let output = command.current_dir(folder.path()).output();
        let output = output.expect("it can be started");
        assert_eq!(output.status.code(), Some(2));
        let here = folder
            .path()
            .canonicalize()
            .expect("there")
            .join("mine/mri");
        let said = text(&output.stderr);
        assert!(said.contains(path(&here)), "{flag:?}: {said}");
    }
}

#[test]
fn the_help_teaches() {
    let output = participant(&["--help"]);
    assert!(output.status.success());
    let said = text(&output.stdout);
    for word in [
        "coordinator init --demo 3",
        "Exit codes",
        "model.safetensors",
    ] {
        assert!(said.contains(word), "{word}");
    }
    let said = text(&participant(&["run", "--help"]).stdout);
    assert!(
        said.contains("started before the coordinator") && said.contains("--data"),
        "{said}"
    );
}
