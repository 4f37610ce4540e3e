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
        said.contains("`run.round` in --set run.round") && said.contains("run.rounds"),
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

#[test]
fn a_model_to_start_from_that_is_not_there_is_told_before_a_run_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("federation");
    assert!(
        coordinator(&["init", "--demo", "2", path(&directory)])
            .status
            .success()
    );
    let settings = directory.join("coordinator/coordinator.toml");
    let missing = folder.path().join("kept.safetensors");
    let flag = format!("run.initial_model={}", missing.display());
    for command in ["plan", "sign"] {
        let said = refusal(&["run", command, path(&settings), "--set", &flag]);
        for part in ["`run.initial_model`", path(&missing), "weights_hash"] {
            assert!(said.contains(part), "{command}: {part} in {said}");
        }
    }
    assert!(!settings.with_extension("signed.json").exists());
}

#[test]
fn a_level_that_is_none_is_refused_and_a_dash_is_no_file() {
    let said = refusal(&["run", "list", "--log-level", "x"]);
    assert!(
        said.contains("off, error, warn, info, debug or trace"),
        "{said}"
    );
    for words in [
        &["run", "sign", "run.toml", "-o", "-"][..],
        &["init", "--demo", "3", "-"],
    ] {
        let said = refusal(words);
        assert!(said.contains("not written to stdout"), "{words:?}: {said}");
    }
}

#[test]
fn serve_names_a_state_folder_that_cannot_be_written_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("federation");
    assert!(
        coordinator(&["init", "--demo", "2", path(&directory)])
            .status
            .success()
    );
    let settings = directory.join("coordinator/coordinator.toml");
    let file = folder.path().join("state");
    fs::write(&file, "a file").expect("written");
    let said = refusal(&[
        "serve",
        "--config",
        path(&settings),
        "--listen",
        "127.0.0.1:0",
        "--state",
        path(&file),
    ]);
    assert!(
        said.contains(path(&file)) && said.contains("setting `state`"),
        "{said}"
    );
}

#[cfg(unix)]
mod signals {
    use std::{
        io::{BufRead as _, BufReader},
        path::PathBuf,
        process::{Child, ChildStderr, Stdio},
        thread,
        time::{Duration, Instant},
    };

    use tempfile::TempDir;

    use super::*;

    struct Serving {
        _folder: TempDir,
        settings: PathBuf,
        child: Child,
        log: BufReader<ChildStderr>,
    }

    impl Serving {
        fn start() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let directory = folder.path().join("federation");
            let made = coordinator(&["init", "--demo", "2", path(&directory)]);
            assert!(made.status.success());
            let settings = directory.join("coordinator/coordinator.toml");
            let (child, log) = Self::spawn(&settings);
            Self {
                _folder: folder,
                settings,
                child,
                log,
            }
        }

        fn spawn(settings: &Path) -> (Child, BufReader<ChildStderr>) {
            let mut child = Command::new(env!("CARGO_BIN_EXE_coordinator"))
                .args(["serve", "--config", path(settings)])
                .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
                .stderr(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("it can be started");
            let log = BufReader::new(child.stderr.take().expect("piped"));
            (child, log)
        }

        fn start_again(&mut self) {
            (self.child, self.log) = Self::spawn(&self.settings);
        }

        /// The next line that contains these words.
        fn line_with(&mut self, words: &str) -> String {
            loop {
                let mut line = String::new();
                let bytes = self.log.read_line(&mut line).expect("text");
                assert!(bytes > 0, "the log has ended without {words:?}");
                if line.contains(words) {
                    return line;
                }
            }
        }

        fn signal(&self, name: &str) {
            let status = Command::new("kill")
                .args([&format!("-{name}"), &self.child.id().to_string()])
                .status();
            assert!(status.expect("kill").success());
        }

        fn exit_code(&mut self) -> Option<i32> {
            self.child.wait().expect("it ends").code()
        }
    }

    impl Drop for Serving {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn serve_ends_with_3_when_it_is_told_to_stop_and_goes_on_when_it_is_started_again() {
        let mut serving = Serving::start();
        let line = serving.line_with("waiting for all hospitals");
        assert!(
            serde_json::from_str::<serde_json::Value>(&line).is_ok(),
            "{line}"
        );
        serving.signal("HUP");
        serving.line_with("SIGHUP");
        serving.signal("TERM");
        serving.line_with("stopped before the end");
        assert_eq!(serving.exit_code(), Some(3));

        serving.start_again();
        let line = serving.line_with("taking the unfinished run");
        assert!(
            line.contains("session") && line.contains("gathering"),
            "{line}"
        );
        serving.line_with("waiting for the hospitals to come back");
        serving.signal("INT");
        assert_eq!(serving.exit_code(), Some(3));
    }

    #[test]
    fn a_log_that_nobody_reads_any_more_ends_nothing() {
        let mut serving = Serving::start();
        serving.line_with("waiting for all hospitals");
        // The reading end of the pipe is closed.
        serving.log = {
            let mut other = Command::new("true")
                .stderr(Stdio::piped())
                .spawn()
                .expect("started");
            let log = BufReader::new(other.stderr.take().expect("piped"));
            other.wait().expect("it ends");
            log
        };
        serving.signal("HUP");
        thread::sleep(Duration::from_millis(300));
        assert!(serving.child.try_wait().expect("ours").is_none());
        let told = Instant::now();
        serving.signal("TERM");
        assert_eq!(serving.exit_code(), Some(3), "and no panic");
        assert!(told.elapsed() < Duration::from_secs(10));
    }
}

/// The operator's key is made and used apart from the coordinator's folder, which then has no such key.
#[test]
fn a_run_is_signed_elsewhere_and_only_the_operators_key_of_the_roster_will_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("federation");
    assert!(
        coordinator(&["init", "--demo", "2", path(&directory)])
            .status
            .success()
    );
    let keys = directory.join("coordinator/keys");
    let (key, roster) = (
        folder.path().join("operator.key"),
        directory.join("coordinator/roster.json"),
    );
    fs::rename(keys.join("operator.key"), &key).expect("moved");

    let run = folder.path().join("run.toml");
    fs::write(&run, "[run]\nname = \"first\"\nrounds = 3\n").expect("written");
    let signed = folder.path().join("run.signed.json");
    let sign = |key: &Path| {
        let files = ["--key", path(key), "--roster", path(&roster)];
        coordinator(&[&["run", "sign", path(&run)], &files[..]].concat())
    };
    let output = sign(&key);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("name                  first"), "{said}");
    assert!(said.contains("rounds                3"), "{said}");
    assert!(said.contains(path(&signed)), "{said}");
    let output = sign(&key);
    assert_eq!(
        output.status.code(),
        Some(2),
        "a signed run is not replaced"
    );

    let other = folder.path().join("other");
    let output = coordinator(&["operator", "init", path(&other)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let public = fs::read_to_string(other.join("operator.pub")).expect("a file");
    assert!(text(&output.stdout).contains(public.trim()));
    assert_eq!(
        coordinator(&["operator", "init", path(&other)])
            .status
            .code(),
        Some(2)
    );
    fs::remove_file(&signed).expect("it is there");
    let output = sign(&other.join("operator.key"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not the operator's key"));
    assert!(!signed.exists());
}
