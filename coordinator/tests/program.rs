//! The program as a person meets it: what it says, where, and with which exit code.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn coordinator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args(arguments)
        .output()
        .expect("it can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The message of a refusal with exit code 2 and nothing on stdout.
fn refusal(arguments: &[&str]) -> String {
    let output = coordinator(arguments);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    text(&output.stderr)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn init_says_what_to_do_next_and_refuses_a_second_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("federation");
    let arguments = ["init", "--demo", "2", path(&directory)];
    let output = coordinator(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("coordinator serve") && said.contains("hospital-2/participant.toml"),
        "{said}"
    );
    assert!(refusal(&arguments).contains(path(&directory)));
    assert!(
        refusal(&["init", "--demo", "1", path(&folder.path().join("new"))]).contains("2 to 127")
    );
    assert!(!folder.path().join("new").exists());
}

#[test]
fn trial_is_another_name_of_demo() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("federation");
    let output = coordinator(&["init", "--trial", "3", path(&directory)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(directory.join("hospital-3/participant.toml").is_file());
}

#[test]
fn serve_names_what_is_wrong_and_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("federation");
    assert!(
        coordinator(&["init", "--demo", "2", path(&directory)])
            .status
            .success()
    );
    let settings = directory.join("coordinator/coordinator.toml");
    let serve = |more: &[&str]| refusal(&[&["serve", "--config", path(&settings)], more].concat());

    let said = serve(&["--set", "run.round=3"]);
    assert!(
        said.contains("`run.round`") && said.contains("run.rounds"),
        "{said}"
    );
    let said = serve(&["--rounds", "0"]);
    assert!(
        said.contains("run.rounds") && said.contains("from 1"),
        "{said}"
    );
    let taken = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    let address = taken.local_addr().expect("an address").to_string();
    let said = serve(&["--listen", &address]);
    assert!(
        said.contains(&address) && said.contains("another coordinator"),
        "{said}"
    );
    let key = directory.join("coordinator/keys/signing.key");
    fs::remove_file(&key).expect("it is there");
    let said = serve(&[]);
    assert!(
        said.contains("keys/signing.key") && said.contains("init --demo"),
        "{said}"
    );
    let said = refusal(&["serve", "--config", path(&folder.path().join("none.toml"))]);
    assert!(said.contains("none.toml"), "{said}");
    assert!(!directory.join("coordinator/state").exists());
}

#[cfg(unix)]
#[test]
fn serve_ends_with_3_when_it_is_told_to_stop() {
    use std::{
        io::{BufRead as _, BufReader},
        process::Stdio,
    };

    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("federation");
    assert!(
        coordinator(&["init", "--demo", "2", path(&directory)])
            .status
            .success()
    );
    let settings = directory.join("coordinator/coordinator.toml");
    let mut child = Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args([
            "serve",
            "--config",
            path(&settings),
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let waiting = |line: &String| line.contains("waiting for all hospitals");
    let line = log
        .by_ref()
        .map_while(Result::ok)
        .find(waiting)
        .expect("it says that it waits");
    assert!(
        serde_json::from_str::<serde_json::Value>(&line).is_ok(),
        "{line}"
    );
    let terminated = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .expect("kill");
    assert!(terminated.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
    let last = log.map_while(Result::ok).last().expect("a last word");
    assert!(last.contains("stopped before the end"), "{last}");
}
