//! A patient is erased at a hospital: left out of what is read from then on, also while the scans are still there.

use std::{fs, process::Output, time::Duration};

use system_tests::{Federation, Parties, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(240);

fn at_hospital(federation: &Federation, words: &[&str]) -> Output {
    let mut command = program("participant");
    command.args(words).arg("--config");
    run(command.arg(federation.hospital(1).join("participant.toml")))
}

/// Of hospital 1, in the order of their names.
fn patients(federation: &Federation) -> Vec<String> {
    let mut patients: Vec<_> = fs::read_dir(federation.hospital(1).join("data"))
        .expect("a folder")
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name().into_string().ok()?;
            Some(name.strip_prefix("Patient-")?.to_owned())
        })
        .collect();
    patients.sort();
    patients
}

#[test]
fn an_erased_patient_is_in_no_later_run_and_nowhere_by_name() {
    let federation = Federation::new(2).with_phantom(2, 12, 2);
    let hospital = federation.hospital(1);
    let patients = patients(&federation);
    let erased = patients[0].as_str();
    let all = format!("patients={}", patients.len());
    let before = at_hospital(&federation, &["run", "--dry"]);
    assert!(before.status.success() && stderr(&before).contains(&all));

    let unknown = at_hospital(&federation, &["erase", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).contains("no patient"),
        "{}",
        stderr(&unknown)
    );
    let slices = hospital.join("state/slices");
    fs::create_dir_all(&slices).expect("made");
    fs::write(slices.join("an-image"), "of a patient").expect("written");
    for told in ["What this does not do", "erased before"] {
        let done = at_hospital(&federation, &["erase", erased]);
        assert!(done.status.success(), "{}", stderr(&done));
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(said.contains(told), "{said}");
        assert!(!slices.exists());
    }
    let kept = fs::read_to_string(hospital.join("state/erased.json")).expect("a list");
    assert!(!kept.contains(&format!("\"{erased}\"")), "{kept}");

    let after = at_hospital(&federation, &["run", "--dry"]);
    let left = format!("patients={}", patients.len() - 1);
    for words in [left.as_str(), "left_out=1"] {
        assert!(stderr(&after).contains(words), "{}", stderr(&after));
    }

    let absent = at_hospital(&federation, &["erase", "sub-Gone", "--absent"]);
    assert!(absent.status.success(), "{}", stderr(&absent));
    let again = at_hospital(&federation, &["erase", "gone"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("erased before"));

    // Not while a participant works here.
    let working = Running::start("hospital 1", &mut federation.participant(1));
    working.wait_for("ready hospital", PATIENCE);
    let refused = at_hospital(&federation, &["erase", &patients[1]]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("stop it first"),
        "{}",
        stderr(&refused)
    );
    let status = at_hospital(&federation, &["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status["hospital"]["number"], 1);
    assert_eq!(status["connected"], false);
}

/// Its sums would show the others what the patient had added.
#[test]
fn a_run_does_not_go_on_here_with_a_patient_less() {
    // A split by patient needs four that are left.
    let federation = Federation::new(3).with_phantom(3, 18, 2);
    let hospitals = (1..=3).map(|number| federation.participant(number));
    let mut serve = federation.serve(6, 5);
    serve.args(["--set", "run.local_epochs=4"]);
    let mut parties = Parties::start(&mut serve, hospitals);
    parties
        .hospital(1)
        .wait_for("round 1: the common model has been updated", PATIENCE);
    parties.hospitals.remove(0).kill();
    let patients = patients(&federation);
    let erased = patients[0].as_str();
    let refused = at_hospital(&federation, &["erase", erased]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("--leave-run"),
        "{}",
        stderr(&refused)
    );
    let left = at_hospital(&federation, &["erase", erased, "--leave-run"]);
    assert!(left.status.success(), "{}", stderr(&left));
    let again = run(&mut federation.participant(1));
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("has rejected the run"),
        "{}",
        stderr(&again)
    );
    for hospital in parties.hospitals {
        assert!(hospital.finish(PATIENCE).0);
    }
}
