//! A Python that has the libraries of requirements.txt, for tests that ask them while they run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs a script of the package's `tests/oracle`, which says by its exit code whether the other library agrees.
///
/// Without such a Python the test is skipped and says so, unless `MYELIN_REQUIRE_ORACLES` is set.
///
/// # Panics
/// If it does not agree, or is required and missing.
pub fn ask(script: &str, arguments: &[&Path]) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists())
        .expect("a workspace has a lock file");
    let python = env::var_os("MYELIN_ORACLES_PYTHON").map_or_else(
        || workspace.join("target/oracles/bin/python"),
        PathBuf::from,
    );
    if !python.exists() {
        let required = env::var_os("MYELIN_REQUIRE_ORACLES").is_some();
        assert!(!required, "there is no {}", python.display());
        eprintln!(
            "skipped: {script} needs a virtual environment target/oracles with model/tests/oracle/requirements.txt"
        );
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
