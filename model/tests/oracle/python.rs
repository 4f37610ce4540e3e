//! A Python that has the libraries of a list of requirements, for tests that ask them while they run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs a script of the package's `tests/oracle` in the environment that CI makes: [`Environment::ask`].
pub fn ask(script: &str, arguments: &[&Path]) {
    ORACLES.ask(script, arguments);
}

/// A virtual environment, and how it is found.
pub struct Environment {
    /// The variable that names its Python, where it is not in `folder`.
    pub python: &'static str,
    /// Within the workspace's folder.
    pub folder: &'static str,
    /// How it is made, for people, in the workspace's folder.
    pub install: &'static str,
    /// The variable without which a missing Python is a test that is skipped.
    pub required: &'static str,
}

/// The one that CI makes.
const ORACLES: Environment = Environment {
    python: "MYELIN_ORACLES_PYTHON",
    folder: "target/oracles",
    install: "python3 -m venv target/oracles && target/oracles/bin/python -m pip install --requirement model/tests/oracle/requirements.txt",
    required: "MYELIN_REQUIRE_ORACLES",
};

impl Environment {
    /// Runs a script of the package's `tests/oracle`, which says by its exit code whether the other library agrees.
    ///
    /// Without such a Python the test is skipped and says so, unless it is required.
    ///
    /// # Panics
    /// If it does not agree, or is required and missing.
    pub fn ask(&self, script: &str, arguments: &[&Path]) {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = package
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").exists())
            .expect("a workspace has a lock file");
        let (folder, install) = (self.folder, self.install);
        let python = env::var_os(self.python)
            .map_or_else(|| workspace.join(folder).join("bin/python"), PathBuf::from);
        if !python.exists() {
            let required = env::var_os(self.required).is_some();
            assert!(!required, "there is no {}: {install}", python.display());
            eprintln!("skipped: {script} needs {install}");
            return;
        }
        let path = package.join("tests/oracle").join(script);
        let output = Command::new(python)
            .arg(path)
            .args(arguments)
            .output()
            .expect("Python starts");
        let (told, error) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{script}: {told}{error}");
        eprint!("{told}");
    }
}
