//! Mistakes that people make: each is named, with what to do, and nothing is started.

use std::{fs, time::Duration};

use system_tests::{Federation, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(120);

/// Runs hospital 1 and gives what it says; it must fail.
fn participant_fails(federation: &Federation) -> String {
    let output = run(&mut federation.participant(1));
    assert!(!output.status.success(), "must not succeed");
    stderr(&output)
}

#[track_caller]
fn names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

#[test]
fn an_unknown_settings_key_is_named() {
    let federation = Federation::new(2);
    let settings = federation.hospital(1).join("participant.toml");
    federation.edit(&settings, "hospital = 1", "colour = \"blue\"\nhospital = 1");
    names(
        &participant_fails(&federation),
        &["unknown key `colour`", "participant.toml"],
    );

    federation.edit(
        &federation.path().join("coordinator/coordinator.toml"),
        "rounds =",
        "ronds =",
    );
    let output = run(&mut federation.serve(1, 5));
    assert!(!output.status.success());
    names(&stderr(&output), &["unknown key `run.ronds`", "rounds"]);
}

#[test]
fn two_hospitals_with_one_number_are_named() {
    let federation = Federation::new(3);
    let roster = federation.path().join("coordinator/roster.json");
    federation.edit(&roster, "\"id\": 3", "\"id\": 2");
    let output = run(&mut federation.serve(1, 5));
    assert!(!output.status.success());
    names(
        &stderr(&output),
        &["two hospitals have the number 2", "roster.json"],
    );
}

#[test]
fn a_certificate_of_another_authority_is_refused_with_the_file_to_look_at() {
    let federation = Federation::new(2).with_phantom(2, 8, 1);
    let other = Federation::new(2);
    let coordinator = Running::start("coordinator", &mut federation.serve(1, 5));
    coordinator.wait_for("waiting for all hospitals", PATIENCE);
    // A roster that pins the foreign certificate would be signed by nobody: the files of a hospital belong together.
    for file in ["keys/tls.crt", "keys/tls.key"] {
        fs::copy(
            other.hospital(1).join(file),
            federation.hospital(1).join(file),
        )
        .expect("copied");
    }
    names(&participant_fails(&federation), &["tls.crt", "roster"]);
    // A foreign authority makes the coordinator's own certificate untrusted.
    fs::copy(
        other.hospital(2).join("ca.crt"),
        federation.hospital(2).join("ca.crt"),
    )
    .expect("copied");
    let output = run(&mut federation.participant(2));
    assert!(!output.status.success());
    names(&stderr(&output), &["cannot be trusted", "ca_certificate"]);
}

#[test]
fn data_that_cannot_be_used_is_named() {
    let federation = Federation::new(2).with_phantom(2, 8, 1);
    let data = federation.hospital(1).join("data");
    let table = data.join("Supplementary Table 1 for patient info .xlsx");
    let kept = fs::read(&table).expect("the phantom wrote it");
    fs::write(&table, b"this is not a spreadsheet").expect("written");
    names(&participant_fails(&federation), &["Supplementary Table 1"]);
    fs::write(&table, kept).expect("written");
    let scan = fs::read_dir(&data)
        .expect("readable")
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_dir(entry.path()).ok())
        .flatten()
        .filter_map(Result::ok)
        .map(|file| file.path())
        // T1, T2 and the masks lie beside it and are not read.
        .find(|path| {
            let name = path.to_string_lossy();
            name.ends_with("-Flair.nii") && !name.contains("LesionSeg")
        })
        .expect("the phantom has scans");
    fs::write(&scan, b"this is not a scan").expect("written");
    let settings = federation.hospital(1).join("participant.toml");
    federation.edit(&settings, "strict_data = false", "strict_data = true");
    let name = scan.file_name().expect("a file").to_string_lossy();
    names(&participant_fails(&federation), &[&name]);
    fs::remove_dir_all(&data).expect("removed");
    names(&participant_fails(&federation), &["data"]);
}

#[test]
fn a_demo_is_not_written_over_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("thesis.txt"), "years of work").expect("written");
    let output = run(program("coordinator")
        .args(["init", "--demo", "3"])
        .arg(folder.path()));
    assert!(!output.status.success());
    names(&stderr(&output), &[&folder.path().display().to_string()]);
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
}
