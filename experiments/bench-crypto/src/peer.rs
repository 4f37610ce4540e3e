//! What ours is compared with: a Python process that measures one library, and otherwise does nothing.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A library of Python's, and the script that measures it.
pub struct Library {
    /// As its authors write it.
    pub name: &'static str,
    /// What pip is asked for.
    pub requirement: &'static str,
    /// Says hello with its version, then answers each line of its input with one of JSON; ends with [`CANNOT_IMPORT`] where the
    /// library is not installed.
    pub script: &'static str,
}

/// The cryptography's.
pub const TENSEAL: Library = Library {
    name: "TenSEAL",
    requirement: "tenseal==0.3.18",
    script: include_str!("tenseal.py"),
};

/// A library, if this machine has it.
pub enum Peer {
    /// It runs, and waits for its turn.
    Running(PeerProcess),
    /// It does not.
    Absent(PeerState),
}

/// What to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It was measured.
    Measured {
        /// What it is called.
        name: &'static str,
        /// Its version.
        version: String,
    },
    /// This Python cannot import it.
    NotInstalled {
        /// As it was called.
        python: String,
        /// What pip is to be asked for.
        requirement: &'static str,
    },
    /// There is no Python to ask.
    NoPython {
        /// What pip is to be asked for, once there is.
        requirement: &'static str,
    },
}

/// One that runs.
pub struct PeerProcess {
    name: &'static str,
    process: Child,
    /// Until the process is to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl Peer {
    /// Starts it in the Python that was named, or else in `python3`, with these arguments.
    ///
    /// # Errors
    /// If a Python that was named does not start, or the library does not do its first work.
    pub fn start(
        library: &Library,
        python: Option<&Path>,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let program = python.unwrap_or(Path::new("python3"));
        let process = Command::new(program)
            .args(["-c", library.script])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let requirement = library.requirement;
        match process {
            Ok(process) => PeerProcess::greet(process, library, program),
            Err(_) if python.is_none() => Ok(Self::Absent(PeerState::NoPython { requirement })),
            Err(error) => Err(error).with_context(|| format!("cannot start {}", program.display())),
        }
    }

    /// It, if it is there.
    pub fn as_mut(&mut self) -> Option<&mut PeerProcess> {
        match self {
            Self::Running(process) => Some(process),
            Self::Absent(_) => None,
        }
    }

    /// What to say about it.
    pub fn state(&self) -> PeerState {
        match self {
            Self::Running(process) => PeerState::Measured {
                name: process.name,
                version: process.version.clone(),
            },
            Self::Absent(state) => state.clone(),
        }
    }
}

impl PeerState {
    /// For a person: its version, or how to get it.
    pub fn words(&self) -> String {
        match self {
            Self::Measured { name, version } => format!("{name} {version}"),
            Self::NotInstalled {
                python,
                requirement,
            } => format!("not installed: {python} -m pip install {requirement}"),
            Self::NoPython { requirement } => {
                format!("not installed: get Python 3, then python3 -m pip install {requirement}")
            }
        }
    }
}

impl PeerProcess {
    /// Has it do a job.
    ///
    /// # Errors
    /// If it fails; why is on stderr.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        job: &str,
        argument: impl Serialize,
    ) -> anyhow::Result<T> {
        let mut line = serde_json::to_string(&(job, argument))?;
        line.push('\n');
        let requests = self.requests.as_mut().expect("it is taken when dropped");
        requests
            .write_all(line.as_bytes())
            .with_context(|| format!("{} took no request: {job}", self.name))?;
        self.answer()
            .with_context(|| format!("{} has no answer: {job}", self.name))
    }

    fn greet(mut process: Child, library: &Library, program: &Path) -> anyhow::Result<Peer> {
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("its output is piped"));
        let mut peer = Self {
            name: library.name,
            process,
            requests,
            answers,
            version: String::new(),
        };
        match peer.answer::<Greeting>() {
            Ok(greeting) => {
                peer.version = greeting.version;
                Ok(Peer::Running(peer))
            }
            Err(error) => {
                if peer.process.wait()?.code() == Some(CANNOT_IMPORT) {
                    return Ok(Peer::Absent(PeerState::NotInstalled {
                        python: program.display().to_string(),
                        requirement: library.requirement,
                    }));
                }
                Err(error)
            }
        }
    }

    fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("its process has ended");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for PeerProcess {
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

/// The exit code of a script for that.
pub const CANNOT_IMPORT: i32 = 3;

#[cfg(all(test, unix))]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

    use tempfile::TempDir;

    use super::*;
    use crate::series::Times;

    /// A program that takes no notice of its arguments.
    fn program(folder: &TempDir, text: &str) -> PathBuf {
        let file = folder.path().join("python");
        fs::write(&file, format!("#!/bin/sh\n{text}")).expect("the folder is ours");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
        file
    }

    fn start(text: &str) -> anyhow::Result<Peer> {
        let folder = TempDir::new()?;
        Peer::start(&TENSEAL, Some(&program(&folder, text)), &["wall"])
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
        assert!(Peer::start(&TENSEAL, Some(Path::new("no-such-python")), &[]).is_err());
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
        let times: BTreeMap<String, Times> = tenseal.ask("conditioning", 5)?;
        assert_eq!(times["vector"]["conditioning_job"], 0.25);
        let facts: BTreeMap<String, u32> = tenseal.ask("facts", 7)?;
        assert_eq!(facts["size"], 12);
        let ended: anyhow::Result<Times> = tenseal.ask("update", 7);
        let error = ended
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.ends_with("update"), "{error}");
        Ok(())
    }
}
