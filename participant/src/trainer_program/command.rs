//! Which program trains, and what stands in front of it.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{GpuMemoryShare, TrainerError};

/// How the trainer is started: `launcher .. program --serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainerCommand {
    launcher: Vec<String>,
    program: PathBuf,
    gpu_memory: GpuMemoryShare,
}

impl TrainerCommand {
    /// The program `trainer` in the folder of the running program, behind `launcher`, such as `["srun", "--gres=gpu:1"]`.
    ///
    /// # Errors
    /// [`TrainerError::Missing`].
    pub fn beside_this_program(launcher: Vec<String>) -> Result<Self, TrainerError> {
        let own = env::current_exe().map_err(|source| TrainerError::Start {
            command: NAME.to_owned(),
            source,
        })?;
        let program = own.with_file_name(format!("{NAME}{}", env::consts::EXE_SUFFIX));
        Self::of(program, launcher)
    }

    /// This program, behind `launcher`.
    ///
    /// # Errors
    /// [`TrainerError::Missing`].
    pub fn of(program: PathBuf, launcher: Vec<String>) -> Result<Self, TrainerError> {
        if !program.is_file() {
            return Err(TrainerError::Missing { program });
        }
        Ok(Self {
            launcher,
            program,
            gpu_memory: GpuMemoryShare::default(),
        })
    }

    /// The same that takes at most this share of a GPU's memory.
    #[must_use]
    pub fn with_gpu_memory(self, gpu_memory: GpuMemoryShare) -> Self {
        Self { gpu_memory, ..self }
    }

    /// The program's file.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it, all three streams piped.
    pub(super) fn start(&self) -> Result<Child, TrainerError> {
        let mut command = match self.launcher.split_first() {
            None => Command::new(&self.program),
            Some((launcher, arguments)) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg(&self.program);
                command
            }
        };
        command
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Settings of the vault, where the keys are among them.
        let of_settings =
            |name: &std::ffi::OsString| name.to_string_lossy().starts_with("MYELIN__");
        for (name, _) in env::vars_os().filter(|(name, _)| of_settings(name)) {
            command.env_remove(name);
        }
        if let Some((name, value)) = self.gpu_memory.variable() {
            command.env(name, value);
            // Where it is set, libtorch may not look at the other.
            command.env_remove("PYTORCH_HIP_ALLOC_CONF");
        }
        // Ctrl-c goes to every program of the terminal's group. The trainer ends when the participant says so, and not as one that
        // has crashed.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().map_err(|source| self.not_started(source))
    }

    fn not_started(&self, source: io::Error) -> TrainerError {
        let first = self.launcher.first().cloned();
        TrainerError::Start {
            command: first.unwrap_or_else(|| self.program.display().to_string()),
            source,
        }
    }
}

const NAME: &str = "trainer";
