//! Where libtorch comes from: the environment's, else the one kept in the user's cache folder.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::fetch::Cache;
use crate::prerequisites::{Tool, python};
use crate::wheels::{Build, LIBTORCH_VERSION};

/// The origin of libtorch, decided before anything is fetched.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// `LIBTORCH_USE_PYTORCH`: the PyTorch that Python finds.
    PyTorch,
    /// `LIBTORCH`: a folder with `lib/` and `include/`.
    Given(PathBuf),
    /// Ours, fetched once.
    Cache(Cache),
}

/// A libtorch that is there.
pub struct Libtorch {
    /// The folder that holds `lib/` and `include/`.
    pub folder: PathBuf,
    /// Whether torch-sys must be told; otherwise the environment already does.
    ours: bool,
}

impl Source {
    /// Reads the environment; where it names no libtorch, it is this build of ours.
    ///
    /// # Errors
    ///
    /// When it names no libtorch and ours cannot serve: another platform, or no cache folder.
    pub fn of_environment(build: Build) -> Result<Self> {
        let ours_runs_here = cfg!(all(
            target_os = "linux",
            target_arch = "x86_64",
            target_env = "gnu"
        ));
        Self::choose(|name| env::var_os(name), ours_runs_here, build)
    }

    /// The tools without which [`Self::obtain`] cannot do its work.
    pub fn tools(&self) -> &'static [Tool] {
        match self {
            Self::PyTorch => &[Tool::Python],
            Self::Cache(cache) if !cache.is_complete() => &[Tool::Python, Tool::Pip],
            Self::Given(_) | Self::Cache(_) => &[],
        }
    }

    /// Makes sure that it is there, fetching it if it is ours to fetch.
    ///
    /// # Errors
    ///
    /// What is wrong with the named folder or Python, or why the fetch failed.
    pub fn obtain(self) -> Result<Libtorch> {
        match self {
            Self::PyTorch => Ok(Libtorch {
                folder: folder_of_pytorch()?,
                ours: false,
            }),
            Self::Given(folder) => {
                ensure!(
                    folder.join("lib").is_dir() || env::var_os("LIBTORCH_LIB").is_some(),
                    "LIBTORCH is {}, which has no lib folder: set it to the folder that holds lib/ and include/ \
                     of libtorch {LIBTORCH_VERSION}, or unset it to have one fetched",
                    folder.display()
                );
                Ok(Libtorch {
                    folder,
                    ours: false,
                })
            }
            Self::Cache(cache) => {
                cache.fill()?;
                Ok(Libtorch {
                    folder: cache.libtorch(),
                    ours: true,
                })
            }
        }
    }

    /// In the order in which torch-sys looks.
    fn choose(
        variable: impl Fn(&str) -> Option<OsString>,
        ours_runs_here: bool,
        build: Build,
    ) -> Result<Self> {
        let path = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if variable("LIBTORCH_USE_PYTORCH").is_some() {
            return Ok(Self::PyTorch);
        }
        if let Some(folder) = path("LIBTORCH") {
            return Ok(Self::Given(folder));
        }
        if !ours_runs_here {
            bail!(
                "libtorch can be fetched for 64-bit x86 Linux with glibc only: install PyTorch {LIBTORCH_VERSION} and \
                 set LIBTORCH_USE_PYTORCH=1, or set LIBTORCH to a folder that holds lib/ and include/ of libtorch \
                 {LIBTORCH_VERSION}"
            );
        }
        // The XDG base directory specification: a path that is not absolute is to be ignored.
        let cache_home = path("XDG_CACHE_HOME")
            .filter(|folder| folder.is_absolute())
            .or_else(|| path("HOME").map(|home| home.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME names a folder to keep libtorch in: set one of them")?;
        Ok(Self::Cache(Cache::within(
            &cache_home.join("myelin"),
            build,
        )))
    }
}

impl Libtorch {
    /// Sees whether it can compute on a GPU.
    ///
    /// # Errors
    ///
    /// It cannot; how to get one that can.
    pub fn check_cuda(&self) -> Result<()> {
        ensure!(
            self.folder.join("lib").join("libtorch_cuda.so").exists(),
            "the libtorch that the environment names, in {}, is without CUDA: unset LIBTORCH and LIBTORCH_USE_PYTORCH to \
             have one with CUDA fetched",
            self.folder.display()
        );
        Ok(())
    }

    /// Lets a build started by this command bind it.
    pub fn add_to(&self, command: &mut Command) {
        if self.ours {
            command.env("LIBTORCH", &self.folder);
        }
    }
}

fn folder_of_pytorch() -> Result<PathBuf> {
    // Finding the module does not load it, which would take seconds.
    const SCRIPT: &str = "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('torch').origin))";
    let output = Command::new(python())
        .args(["-c", SCRIPT])
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", python()))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        output.status.success() && !folder.is_empty(),
        "LIBTORCH_USE_PYTORCH is set, but {} finds no torch: install it (pip install torch=={LIBTORCH_VERSION}), or \
         unset the variable to have libtorch fetched",
        python()
    );
    Ok(folder.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn choose(variables: &[(&str, &str)], ours_runs_here: bool) -> Result<Source> {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        };
        Source::choose(variable, ours_runs_here, Build::Cpu)
    }

    #[test]
    fn the_environment_decides_before_the_cache() -> Result<()> {
        let home = ("HOME", "/users/someone");
        let given = ("LIBTORCH", "/opt/libtorch");
        assert_eq!(
            choose(&[home, given], true)?,
            Source::Given("/opt/libtorch".into())
        );
        assert_eq!(
            choose(&[home, given, ("LIBTORCH_USE_PYTORCH", "1")], true)?,
            Source::PyTorch
        );
        assert_eq!(
            choose(&[given], false)?,
            Source::Given("/opt/libtorch".into())
        );
        Ok(())
    }

    #[test]
    fn the_cache_lies_where_the_user_keeps_caches() -> Result<()> {
        let in_folder = |folder: &str| Source::Cache(Cache::within(Path::new(folder), Build::Cpu));
        let home = ("HOME", "/users/someone");
        assert_eq!(
            choose(&[home], true)?,
            in_folder("/users/someone/.cache/myelin")
        );
        assert_eq!(
            choose(&[home, ("LIBTORCH", "")], true)?,
            in_folder("/users/someone/.cache/myelin")
        );
        assert_eq!(
            choose(&[home, ("XDG_CACHE_HOME", "/caches")], true)?,
            in_folder("/caches/myelin")
        );
        assert_eq!(
            choose(&[home, ("XDG_CACHE_HOME", "c")], true)?,
            in_folder("/users/someone/.cache/myelin")
        );
        Ok(())
    }

    #[test]
    fn where_ours_cannot_serve_the_way_out_is_named() {
        let message = choose(&[("HOME", "/users/someone")], false)
            .expect_err("nothing serves here")
            .to_string();
        assert!(
            message.contains("LIBTORCH_USE_PYTORCH=1") && message.contains("set LIBTORCH"),
            "{message}"
        );
        let message = choose(&[], true)
            .expect_err("there is no cache folder")
            .to_string();
        assert!(message.contains("HOME"), "{message}");
    }
}
