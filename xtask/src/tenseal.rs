//! TenSEAL for the benchmark and the tests, in a virtual environment of its own under the target folder.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::prerequisites::python;

/// The release that benchmark and tests are written for.
pub const TENSEAL_VERSION: &str = "0.3.18";

/// A Python that can import TenSEAL, installed now if it was not.
///
/// None where that does not work out: benchmark and tests run without, too. Why, and what goes `without`, is told on stderr.
pub fn python_with_tenseal(without: &str) -> Option<PathBuf> {
    match provide(&target_folder().join(format!("tenseal-{TENSEAL_VERSION}"))) {
        Ok(python) => Some(python),
        Err(error) => {
            eprintln!("{without}: {error:#}");
            None
        }
    }
}

/// Where cargo puts what it builds.
pub fn target_folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the workspace's folder");
    let chosen = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    // Cargo takes a relative one from where it was started; so does joining it to the folder we were started in.
    match (chosen, env::current_dir()) {
        (Some(chosen), Ok(here)) => here.join(chosen),
        (Some(chosen), Err(_)) => chosen.into(),
        (None, _) => workspace.join("target"),
    }
}

fn provide(folder: &Path) -> Result<PathBuf> {
    let inside = folder.join("bin").join("python");
    if has_tenseal(&inside) {
        return Ok(inside);
    }
    eprintln!(
        "installing TenSEAL {TENSEAL_VERSION} into {}",
        folder.display()
    );
    run(Command::new(python()).args(["-m", "venv"]).arg(folder))?;
    run(Command::new(&inside).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &format!("tenseal=={TENSEAL_VERSION}"),
    ]))?;
    ensure!(
        has_tenseal(&inside),
        "pip has installed tenseal, but {} does not find it",
        inside.display()
    );
    Ok(inside)
}

fn has_tenseal(python: &Path) -> bool {
    // Asking the metadata does not load the library.
    let script = format!(
        "import importlib.metadata, sys; sys.exit(importlib.metadata.version('tenseal') != '{TENSEAL_VERSION}')"
    );
    let mut command = Command::new(python);
    command
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    // Our stdout is for what was asked for.
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr).trim_end(),
    );
    Ok(())
}
