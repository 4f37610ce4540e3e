//! Asks which commit is built, and says when to ask again.

use std::{
    env,
    path::{Path, PathBuf},
};

#[path = "src/commit.rs"]
mod commit;

use commit::{Commit, WorkTree};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    for name in [COMMIT, DATE] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let given = Commit::given(env::var(COMMIT).ok(), env::var(DATE).ok());
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = match given {
        Err(error) => return println!("cargo::error={error}"),
        Ok(Some(commit)) => Some(commit),
        // Asked for all builds, whoever develops would compile all programs and tests anew after each commit.
        Ok(None) if env::var("PROFILE").as_deref() != Ok("release") => {
            println!("cargo::rustc-env=BUILT_VERSION={version} (debug build)");
            return;
        }
        Ok(None) => of_clone(),
    };
    match commit {
        Some(commit) => {
            println!("cargo::rustc-env=BUILT_VERSION={version} ({commit})");
            println!("cargo::rustc-env=BUILT_COMMIT={}", commit.hash);
        }
        None => println!("cargo::rustc-env=BUILT_VERSION={version}"),
    }
}

fn of_clone() -> Option<Commit> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let clone = WorkTree::at(here.parent().and_then(Path::parent)?)?;
    for path in clone.what_it_depends_on() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    clone.commit()
}

/// For whoever builds without git: the commit, at least its first 7 digits, and its date.
const COMMIT: &str = "MYELIN_COMMIT";
const DATE: &str = "MYELIN_COMMIT_DATE";
