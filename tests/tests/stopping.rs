//! Signals in mid-round: what a program does first, and that nothing is lost by it.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use system_tests::{Federation, Parties, Running};

const PATIENCE: Duration = Duration::from_secs(240);
/// As the README promises.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

fn start(federation: &Federation) -> Parties {
    let hospitals = (1..=3).map(|number| federation.participant(number));
    Parties::start(&mut serve(federation), hospitals)
}

/// With a round that takes seconds.
fn serve(federation: &Federation) -> Command {
    let mut serve = federation.serve(2, 30);
    serve.args(["--set", "run.local_epochs=20"]);
    serve
}

/// It ends with the exit code of a program that was stopped.
fn assert_stopped(running: &mut Running) {
    let began = Instant::now();
    let status = running.exit_status(PATIENCE);
    let took = began.elapsed();
    assert_eq!(status.code(), Some(3), "{}", running.said());
    assert!(took < STOPPED_WITHIN, "{took:?}:\n{}", running.said());
}

#[test]
fn a_hospital_stopped_in_mid_round_goes_on_when_it_is_started_again() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut parties = start(&federation);
    let [hospital, ..] = &mut parties.hospitals[..] else {
        panic!("three are there")
    };
    hospital.wait_for("training: step 1 of", PATIENCE);
    hospital.signal("TERM");
    assert_stopped(hospital);
    *hospital = Running::start("hospital 1", &mut federation.participant(1));
    hospital.wait_for("going on in the run", PATIENCE);
    parties.finish(PATIENCE);
}

#[test]
fn a_coordinator_stopped_in_mid_round_goes_on_when_it_is_started_again() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut parties = start(&federation);
    parties
        .hospital(1)
        .wait_for("training: step 1 of", PATIENCE);
    parties.coordinator.signal("TERM");
    assert_stopped(&mut parties.coordinator);
    parties.coordinator = Running::start("coordinator", &mut serve(&federation));
    parties
        .coordinator
        .wait_for("taking the unfinished run", PATIENCE);
    parties.finish(PATIENCE);
}

#[test]
fn a_hangup_changes_nothing() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let parties = start(&federation);
    parties
        .hospital(1)
        .wait_for("training: step 1 of", PATIENCE);
    for running in parties.hospitals.iter().chain([&parties.coordinator]) {
        running.signal("HUP");
        running.wait_for("SIGHUP, which changes nothing", PATIENCE);
    }
    let asked_anew = [parties.hospital(1), &parties.coordinator]
        .map(|running| running.said().contains("going on in the run"));
    assert_eq!(asked_anew, [false; 2]);
    parties.finish(PATIENCE);
}

#[test]
fn a_second_signal_ends_a_program_that_still_says_goodbye() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut parties = start(&federation);
    parties
        .hospital(1)
        .wait_for("training: step 1 of", PATIENCE);
    // They do not close their connections: a coordinator that is stopped waits for that, for some seconds.
    for hospital in &parties.hospitals {
        hospital.signal("STOP");
    }
    let coordinator = &mut parties.coordinator;
    coordinator.signal("TERM");
    coordinator.wait_for("stopping: telling the hospitals", PATIENCE);
    coordinator.signal("TERM");
    assert_stopped(coordinator);
    // Its last words are read after its end.
    coordinator.wait_for("stopping at once", PATIENCE);
}
