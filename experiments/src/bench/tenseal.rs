use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Clock, comparison::PeerTimes};

/// TenSEAL, if this machine has it.
pub enum Peer {
    /// It runs, and waits for its turn.
    Running(Tenseal),
    /// It does not.
    Absent(PeerState),
}

/// What to say about TenSEAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It was measured.
    Measured {
        /// Its version.
        version: String,
    },
    /// This Python cannot import it.
    NotInstalled {
        /// As it was called.
        python: String,
    },
    /// There is no Python to ask.
    NoPython,
}

/// A Python process that measures TenSEAL, one job at a time, and otherwise does nothing.
pub struct Tenseal {
    process: Child,
    /// Until the process is to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl Peer {
    /// Starts it in the Python that was named, or else in `python3`.
    ///
    /// # Errors
    /// If a Python that was named does not start, or TenSEAL does not do its first work.
    pub fn start(python: Option<&Path>, clock: Clock) -> anyhow::Result<Self> {
        let program = python.unwrap_or(Path::new("python3"));
        let process = Command::new(program)
            .args(["-c", SCRIPT, clock.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(_) if python.is_none() => return Ok(Self::Absent(PeerState::NoPython)),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot start {}", program.display()));
            }
        };
        Tenseal::greet(process, program)
    }

    /// It, if it is there.
    pub fn as_mut(&mut self) -> Option<&mut Tenseal> {
        match self {
            Self::Running(tenseal) => Some(tenseal),
            Self::Absent(_) => None,
        }
    }

    /// What to say about it.
    pub fn state(&self) -> PeerState {
        match self {
            Self::Running(tenseal) => PeerState::Measured {
                version: tenseal.version.clone(),
            },
            Self::Absent(state) => state.clone(),
        }
    }
}

impl PeerState {
    /// For a person: its version, or how to get it.
    pub fn words(&self) -> String {
        match self {
            Self::Measured { version } => format!("TenSEAL {version}"),
            Self::NotInstalled { python } => {
                format!("not installed: {python} -m pip install {REQUIREMENT}")
            }
            Self::NoPython => {
                format!("not installed: get Python 3, then python3 -m pip install {REQUIREMENT}")
            }
        }
    }
}

impl Tenseal {
    /// Its times of a round of the conditioning.
    ///
    /// # Errors
    /// If it fails; why is on stderr.
    pub fn conditioning(&mut self, repetitions: usize) -> anyhow::Result<PeerTimes> {
        self.ask("conditioning", repetitions)
    }

    /// Its times of an update of so many parameters.
    ///
    /// # Errors
    /// If it fails; why is on stderr.
    pub fn update(&mut self, parameters: usize) -> anyhow::Result<PeerTimes> {
        self.ask("update", parameters)
    }

    /// Its sizes and errors, by key.
    ///
    /// # Errors
    /// If it fails; why is on stderr.
    pub fn facts(&mut self, parameters: usize) -> anyhow::Result<BTreeMap<String, Value>> {
        self.ask("facts", parameters)
    }

    fn greet(mut process: Child, program: &Path) -> anyhow::Result<Peer> {
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("its output is piped"));
        let mut tenseal = Self {
            process,
            requests,
            answers,
            version: String::new(),
        };
        match tenseal.answer::<Greeting>() {
            Ok(greeting) => {
                tenseal.version = greeting.version;
                Ok(Peer::Running(tenseal))
            }
            Err(error) => {
                if tenseal.process.wait()?.code() == Some(CANNOT_IMPORT) {
                    let python = program.display().to_string();
                    return Ok(Peer::Absent(PeerState::NotInstalled { python }));
                }
                Err(error)
            }
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, job: &str, argument: usize) -> anyhow::Result<T> {
        let mut line = serde_json::to_string(&(job, argument))?;
        line.push('\n');
        let requests = self.requests.as_mut().expect("it is taken when dropped");
        requests
            .write_all(line.as_bytes())
            .with_context(|| format!("TenSEAL took no request: {job}"))?;
        self.answer()
            .with_context(|| format!("TenSEAL has no answer: {job}"))
    }

    fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("its process has ended");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Tenseal {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}

#[derive(Deserialize)]
struct Greeting {
    version: String,
}

const SCRIPT: &str = include_str!("tenseal.py");
const REQUIREMENT: &str = "tenseal==0.3.18";
/// The exit code of the script for that.
const CANNOT_IMPORT: i32 = 3;

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    use tempfile::TempDir;

    use super::*;

    /// A program that takes no notice of its arguments.
    fn program(folder: &TempDir, text: &str) -> PathBuf {
        let file = folder.path().join("python");
        fs::write(&file, format!("#!/bin/sh\n{text}")).expect("the folder is ours");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
        file
    }

    fn start(text: &str) -> anyhow::Result<Peer> {
        let folder = TempDir::new()?;
        Peer::start(Some(&program(&folder, text)), Clock::Wall)
    }

    #[test]
    fn a_python_that_cannot_import_it_is_told_how_to() {
        let peer = start("exit 3").expect("it is no error");
        let words = peer.state().words();
        assert!(words.starts_with("not installed: "), "{words}");
        assert!(
            words.ends_with("python -m pip install tenseal==0.3.18"),
            "{words}"
        );
    }

    #[test]
    fn a_python_that_was_named_and_does_not_work_is_an_error() {
        assert!(Peer::start(Some(Path::new("no-such-python")), Clock::Wall).is_err());
        assert!(start("exit 1").is_err());
        assert!(start("echo words").is_err());
    }

    #[test]
    fn jobs_are_asked_for_line_by_line() -> anyhow::Result<()> {
        let mut peer = start(
            r#"echo '{"version": "1.2"}'
               read line; [ "$line" = '["conditioning",5]' ] || exit 1
               echo '{"vector": {"conditioning_job": 0.25}, "tensor": {}}'
               read line; [ "$line" = '["facts",7]' ] || exit 1
               echo '{"size": 12}'"#,
        )?;
        assert_eq!(peer.state().words(), "TenSEAL 1.2");
        let tenseal = peer.as_mut().expect("it runs");
        let times = tenseal.conditioning(5)?;
        assert_eq!(times.vector["conditioning_job"], 0.25);
        assert_eq!(tenseal.facts(7)?["size"], 12);
        let error = tenseal.update(7).expect_err("it has ended").to_string();
        assert!(error.ends_with("update"), "{error}");
        Ok(())
    }
}
