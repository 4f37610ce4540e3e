//! A folder on a disk of its own, which can be full: a tmpfs that only the programs see that are started on it.
//!
//! It lies in a mount namespace, which an ordinary user may make on most machines. It ends with the process that holds it, and that
//! one with the test, however the test ends.

use std::{
    env,
    fs::{self, DirBuilder, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// A small disk in the place of a folder.
pub struct SmallDisk {
    folder: PathBuf,
    keeper: Child,
    /// The keeper ends when it is closed.
    _life: ChildStdin,
}

impl SmallDisk {
    /// Lays a disk of this size over a folder, which is made. None where that is not allowed: the test says that it is skipped then,
    /// unless `MYELIN_REQUIRE_TMPFS` is set.
    ///
    /// # Panics
    /// If it is required and not allowed.
    pub fn over(folder: &Path, mib: u32) -> Option<Self> {
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(folder).expect("a folder");
        let script =
            r#"mount -t tmpfs -o size="$1"m,mode=700 tmpfs "$2" && echo mounted && exec cat"#;
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(mib.to_string()).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let made = command.spawn().and_then(|mut keeper| {
            let mut line = String::new();
            let stdout = keeper.stdout.take().expect("piped");
            BufReader::new(stdout).read_line(&mut line)?;
            let life = keeper.stdin.take().expect("piped");
            if line.trim() != "mounted" {
                keeper.wait()?;
                return Err(io::Error::other("its last words are above"));
            }
            Ok((keeper, life))
        });
        match made {
            Ok((keeper, life)) => Some(Self {
                folder: folder.to_owned(),
                keeper,
                _life: life,
            }),
            Err(error) => {
                let required = env::var_os("MYELIN_REQUIRE_TMPFS").is_some();
                assert!(!required, "no tmpfs in a mount namespace: {error}");
                eprintln!(
                    "skipped: `unshare --map-root-user --mount` and a tmpfs are not allowed here: {error}"
                );
                None
            }
        }
    }

    /// The same command, of a program that sees the disk.
    pub fn seen_by(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["--target", &self.keeper.id().to_string()]);
        inside.args(["--user", "--mount", "--preserve-credentials"]);
        inside.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(key, value),
                None => inside.env_remove(key),
            };
        }
        inside
    }

    /// The folder, as the test finds it.
    pub fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(self.folder.strip_prefix("/").unwrap_or(&self.folder))
    }

    /// Writes until nothing more can be written.
    ///
    /// # Panics
    /// If something else than a full disk is in the way.
    pub fn fill(&self) {
        let mut file = File::create(self.path().join(FILLER)).expect("a file");
        for piece in [1 << 20, 4096, 1] {
            let zeros = vec![0; piece];
            let error = loop {
                if let Err(error) = file.write_all(&zeros) {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        }
    }

    /// Takes that away again.
    ///
    /// # Panics
    /// If it was not there.
    pub fn free(&self) {
        fs::remove_file(self.path().join(FILLER)).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

const FILLER: &str = "filler";
