//! Runs in which the disk of one party is full for a while.
#![cfg(target_os = "linux")]

use std::time::Duration;

use system_tests::{Federation, Parties, program, run, small_disk::SmallDisk, stderr};

const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn a_hospital_with_a_full_disk_waits_and_goes_on_when_there_is_room() {
    let federation = Federation::new(3).with_phantom(3, 12, 2);
    let state = federation.hospital(1).join("state");
    let Some(disk) = SmallDisk::over(&state, HOSPITAL_MIB) else {
        return;
    };
    let hospitals = (1..=3).map(|number| match number {
        1 => disk.seen_by(&federation.participant(1)),
        _ => federation.participant(number),
    });
    let parties = Parties::start(&mut federation.serve(3, 30), hospitals);
    let hospital = parties.hospital(1);
    hospital.wait_for("training: step 1 of", PATIENCE);
    disk.fill();
    hospital.wait_for("nothing is lost meanwhile", PATIENCE);
    disk.free();
    hospital.wait_for("the journal can be written again", PATIENCE);
    parties.finish(PATIENCE);
    assert!(disk.path().join("model.safetensors").exists());
}

#[test]
fn a_coordinator_with_a_full_disk_stands_still_and_goes_on_when_there_is_room() {
    let federation = Federation::new(3).with_phantom(3, 12, 2);
    let state = federation.path().join("coordinator/state");
    let Some(disk) = SmallDisk::over(&state, COORDINATOR_MIB) else {
        return;
    };
    let hospitals = (1..=3).map(|number| federation.participant(number));
    let mut serve = disk.seen_by(&federation.serve(3, 30));
    let parties = Parties::start(&mut serve, hospitals);
    let coordinator = &parties.coordinator;
    parties
        .hospital(1)
        .wait_for("training: step 1 of", PATIENCE);
    disk.fill();
    coordinator.wait_for("the run stands still until this can be written", PATIENCE);
    let config = federation.path().join("coordinator/coordinator.toml");
    let ask = |words: &[&str]| {
        let mut command = program("coordinator");
        run(&mut disk.seen_by(command.args(words).arg("--config").arg(&config)))
    };
    let status = ask(&["status"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("STANDS STILL"), "{said}{}", stderr(&status));
    let without = ask(&["run", "without", "3"]);
    assert!(
        stderr(&without).contains("cannot be written"),
        "{}",
        stderr(&without)
    );
    disk.free();
    coordinator.wait_for("the run goes on after a standstill", PATIENCE);
    parties.finish(PATIENCE);
    assert!(disk.path().join("transcript.jsonl").exists());
}

/// A run takes 79 at a hospital: the model as it is and as it is to be, the best one, a sealed update and what of the journal is
/// being replaced.
const HOSPITAL_MIB: u32 = 90;
/// It takes 17, when nobody is away: an outcome.
const COORDINATOR_MIB: u32 = 20;
