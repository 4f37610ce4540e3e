//! Runs that begin without all hospitals, and hospitals that come back without what they had.

use std::{fs, time::Duration};

use system_tests::{Federation, Parties, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(240);

/// The chain goes on from one session to the next, as anybody with the roster can see.
fn assert_transcript_holds(federation: &Federation) {
    let folder = federation.path().join("coordinator");
    let transcript = folder.join("state/transcript.jsonl");
    let mut verify = program("coordinator");
    verify.args(["transcript", "verify"]).arg(transcript);
    let verified = run(verify.arg("--roster").arg(folder.join("roster.json")));
    assert!(verified.status.success(), "{}", stderr(&verified));
    let words = String::from_utf8_lossy(&verified.stdout);
    assert!(words.contains("2 sessions"), "{words}");
}

#[test]
fn a_run_starts_with_two_of_three_and_the_third_comes_in_the_midst_of_it() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut serve = federation.serve(4, 30);
    serve.args(["--set", "run.start_with=2"]);
    let first = (1..=2).map(|number| federation.participant(number));
    let mut parties = Parties::start(&mut serve, first);
    let updated = "round 1: the common model has been updated";
    parties.hospital(1).wait_for(updated, PATIENCE);
    let third = Running::start("hospital 3", &mut federation.participant(3));
    third.wait_for("this hospital takes part later", PATIENCE);
    third.wait_for("has handed over the common model", PATIENCE);
    third.wait_for("the contribution has been sealed", PATIENCE);
    parties.hospitals.push(third);
    parties.finish(PATIENCE);
    assert_transcript_holds(&federation);
}

#[test]
fn a_hospital_that_has_lost_its_state_folder_gets_what_the_others_have_reached() {
    let federation = Federation::new(4).with_phantom(4, 16, 4);
    let hospitals = (1..=4).map(|number| federation.participant(number));
    let mut parties = Parties::start(&mut federation.serve(4, 30), hospitals);
    let updated = "round 1: the common model has been updated";
    parties.hospital(2).wait_for(updated, PATIENCE);
    let lost = std::mem::replace(&mut parties.hospitals[1], Running::nothing());
    lost.kill();
    fs::remove_dir_all(federation.hospital(2).join("state")).expect("it was there");
    parties.hospitals[1] = Running::start("hospital 2", &mut federation.participant(2));
    parties.finish(PATIENCE);
    assert_transcript_holds(&federation);
}
