//! What a user can set right ends with exit code 2, a failure of the work itself with 1. (A signal, 3, is in `resume.rs` and `audit.rs`.)

use std::{fs, path::Path, process::Command};

/// The exit code, and stderr.
fn end(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_experiments"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    (output.status.code(), errors)
}

#[test]
fn what_a_user_can_set_right_is_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("taken").join("hospital-1").join("data");
    fs::create_dir_all(&data).expect("made");
    fs::write(data.join("table.xlsx"), "mine").expect("written");
    for (arguments, part) in [
        (&["simulate", "--colour"][..], "--colour"),
        (&["simulate", "--log-level", "host=loud"], "--log-level"),
        (&["simulate", "--log-level", "inof"], "warn, info, debug"),
        (&["simulate", "--hospitals", "1"], "from 2 to 100"),
        (&["simulate", "--patients", "3"], "--task"),
        (&["simulate", "--data", "nowhere"], "--data nowhere"),
        (&["simulate", "--out", "taken"], "not empty"),
        (&["simulate", "--out", "-"], "not written to stdout"),
        (&["reproduce", "--out", "-"], "not written to stdout"),
        (&["simulate", "--resume", "nothing"], "no unfinished"),
        (&["simulate", "--device", "cuda:4096"], "--device"),
        (&["reproduce", "--patients", "2"], "from 4"),
        (&["reproduce", "--data", "nowhere"], "--data nowhere"),
        (&["reproduce", "--out", "taken"], "not empty"),
        (&["reproduce", "--out", "nothing", "--resume"], "no run in"),
        (&["reproduce", "--shard", "3/2"], "2/8"),
        (
            &["reproduce", "--shard", "1/2", "--out", "taken"],
            "something else",
        ),
        (
            &["reproduce", "--shard", "1/2", "--resume", "--out", "none"],
            "no run in",
        ),
        (&["reproduce", "--shard", "1/2", "--log", "mlflow"], "--log"),
        (
            &["reproduce", "--tables-only", "--out", "none"],
            "no run in",
        ),
        (&["reproduce", "--tables-only", "--list"], "--list"),
        (
            &[
                "reproduce",
                "--model",
                "plain",
                "--conditioning-form",
                "late",
            ],
            "--conditioning-form late",
        ),
        (&["reproduce", "--list", "--patients", "2"], "from 4"),
        (&["reproduce", "--shards", "2"], "--slurm-script"),
        (
            &[
                "reproduce",
                "--slurm-script",
                "-",
                "--seeds",
                "1",
                "--shards",
                "49",
            ],
            "there are 48 trainings",
        ),
        (
            &[
                "reproduce",
                "--slurm-script",
                "taken/hospital-1/data/table.xlsx",
            ],
            "not overwritten",
        ),
        (
            &["reproduce", "--slurm-script", "-", "--out", "a\nb"],
            "rename",
        ),
        (
            &["reproduce", "--slurm-script", "-", "--device", "cuda:1"],
            "give --device cuda",
        ),
        (
            &[
                "simulate",
                "--slurm-script",
                "-",
                "--out",
                "s",
                "--sweep",
                "seed=1..2",
                "--device",
                "auto",
            ],
            "--device auto",
        ),
        (&["simulate", "--sweep", "seed=1..3"], "--slurm-script"),
        (
            &["simulate", "--slurm-script", "-", "--out", "s"],
            "--sweep",
        ),
        (
            &[
                "simulate",
                "--slurm-script",
                "-",
                "--out",
                "s",
                "--sweep",
                "hospitals=2,1",
            ],
            "from 2 to 100",
        ),
        (&["phantom", "new", "--patients", "2"], "fewer"),
        (
            &["phantom", "taken", "--hospitals", "2"],
            "already has data",
        ),
        (&["audit", "--only", "9"], "--only"),
        (&["audit", "--out", "-"], "not written to stdout"),
        (&["audit", "--quick", "--out", "taken"], "something else"),
        (&["bench", "crypto", "--tenseal", "no-python"], "no-python"),
        (
            &["bench", "crypto", "--json", "no/where"],
            "--json no/where",
        ),
        (&["bench", "training", "--python", "no-python"], "no-python"),
        (&["bench", "training", "--device", "cuda:4096"], "--device"),
    ] {
        let (code, errors) = end(folder.path(), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
}

#[cfg(unix)]
#[test]
fn a_failure_on_the_way_is_1() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let python = folder.path().join("python");
    fs::write(&python, "#!/bin/sh\necho '{\"version\": \"0\"}'\n").expect("written");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let python = python.to_str().expect("text");
    let arguments = ["bench", "crypto", "--rounds", "1", "--tenseal", python];
    let (code, errors) = end(folder.path(), &arguments);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("TenSEAL"), "{errors}");
}

#[test]
fn the_version_is_told_with_what_the_build_knew() {
    let output = Command::new(env!("CARGO_BIN_EXE_experiments"))
        .arg("--version")
        .output()
        .expect("the program starts");
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(told, format!("experiments {}\n", version::VERSION));
    assert_eq!(output.status.code(), Some(0));
}
