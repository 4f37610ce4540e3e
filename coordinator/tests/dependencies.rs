//! What the coordinator is built without.

use std::{collections::BTreeSet, process::Command};

/// It names no type that can hold a hospital's secret, because it does not depend on the crates that have them; and it installs
/// without libtorch.
#[test]
fn the_coordinator_depends_on_no_hospitals_secrets_and_not_on_libtorch() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "coordinator",
            "--edges",
            "normal,build",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let packages: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(packages.contains("protocol"), "{packages:?}");
    for absent in ["participant", "model", "experiments", "tch", "torch-sys"] {
        assert!(!packages.contains(absent), "{absent}");
    }
}
