//! Programs of Debian that look at DICOM objects.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// A program and the package that has it. None where it is not installed and `MYELIN_REQUIRE_DICOM_TOOLS` does not ask for it.
///
/// # Panics
/// If it is asked for and missing.
pub fn tool(name: &str, package: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Orthanc lies where only root's path leads.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        let required = env::var_os("MYELIN_REQUIRE_DICOM_TOOLS").is_some();
        assert!(
            !required,
            "there is no {name} on this machine: apt-get install {package}"
        );
        eprintln!("skipped: {name} is missing; apt-get install {package}");
    }
    found
}

/// All that a program says of a file, and whether it ended well.
pub fn told(program: &Path, options: &[&str], file: &Path) -> (String, bool) {
    // PixelMed's templates are more than a Java of today evaluates without being told so.
    let java =
        "-Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathTotalOpLimit=0 -Djdk.xml.xpathExprGrpLimit=0";
    let output = Command::new(program)
        .env("JAVA_TOOL_OPTIONS", java)
        .args(options)
        .arg(file)
        .output()
        .expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&text).into_owned(),
        output.status.success(),
    )
}
