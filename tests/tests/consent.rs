//! A hospital decides about each run: it waits until somebody there agrees, and says no with a reason. Its policy decides before.

use std::{fs, process::Output, time::Duration};

use serde_json::Value;
use system_tests::{Federation, Parties, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(240);
const WAITS: &str = "waits for this hospital's approval";

/// Three hospitals, of which the third asks somebody.
fn federation() -> Federation {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let settings = federation.hospital(3).join("participant.toml");
    federation.edit(&settings, "approval = \"automatic\"", "approval = \"ask\"");
    federation
}

fn hospitals(federation: &Federation) -> impl Iterator<Item = std::process::Command> {
    (1..=3).map(|number| federation.participant(number))
}

/// A command at a hospital, beside its program.
fn at(federation: &Federation, hospital: u8, words: &[&str]) -> Output {
    let mut command = program("participant");
    command.args(words).arg("--config");
    run(command.arg(federation.hospital(hospital).join("participant.toml")))
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// What hospital 3 was offered.
fn runs(federation: &Federation) -> Vec<Value> {
    let listed = said(&at(federation, 3, &["runs", "ls", "--format", "json"]));
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["schema"], 1);
    listed["runs"].as_array().expect("a list").clone()
}

fn id(run: &Value) -> String {
    run["run"].as_str().expect("an ID").to_owned()
}

#[test]
fn a_run_waits_for_a_yes_and_the_next_one_is_asked_about_again_and_gets_a_no() {
    let federation = federation();
    has(
        &said(&at(&federation, 3, &["runs", "list"])),
        &["no run was offered"],
    );
    let mut serve = federation.serve(2, 30);
    serve.args(["--set", "run.name=first", "--set", "run.local_epochs=10"]);
    let mut parties = Parties::start(&mut serve, hospitals(&federation));
    parties.hospital(3).wait_for(WAITS, PATIENCE);
    let offered = runs(&federation);
    assert_eq!(offered.len(), 1);
    assert_eq!(
        (&offered[0]["state"], &offered[0]["name"]),
        (&"waiting".into(), &"first".into())
    );
    let first = id(&offered[0]);
    has(parties.hospital(3).said().as_str(), &[&first[..12]]);
    let list = said(&at(&federation, 3, &["runs", "list"]));
    has(&list, &[&first[..12], "first: waits for approval"]);
    let shown = said(&at(&federation, 3, &["runs", "show", &first[..6]]));
    has(
        &shown,
        &[
            first.as_str(),
            "encrypted-hardened",
            "hospital 2",
            "this hospital",
            "What would leave this hospital",
            "at least 2 of the 3 hospitals",
            "129 bits",
            "when one is missing",
        ],
    );
    // Nothing has begun, anywhere.
    for hospital in &parties.hospitals {
        assert!(!hospital.said().contains("agreed on their keys"));
    }
    let approved = said(&at(&federation, 3, &["approve", &first[..6]]));
    has(&approved, &["approved run", "first"]);
    parties
        .hospital(3)
        .wait_for("the run is approved", PATIENCE);
    parties
        .hospital(3)
        .wait_for("training: step 1 of", PATIENCE);
    parties.replace_hospital(3, &mut federation.participant(3));
    parties
        .hospital(3)
        .wait_for("going on in the run", PATIENCE);
    assert!(!parties.hospital(3).said().contains(WAITS));
    parties.finish(PATIENCE);
    let decided = said(&at(&federation, 3, &["runs", "list"]));
    has(&decided, &["first: approved by"]);

    // The same settings signed again are another run.
    let mut again = federation.serve(1, 30);
    again.args(["--set", "run.name=second"]);
    // The two that are left have to agree to that: the difference of the two runs is about hospital 3.
    let allowing = hospitals(&federation).map(|mut hospital| {
        hospital.args(["--set", "policy.repeated_sums=allow"]);
        hospital
    });
    let mut parties = Parties::start(&mut again, allowing);
    parties.hospital(3).wait_for(WAITS, PATIENCE);
    let second = id(&runs(&federation)[1]);
    assert_ne!(first, second);
    let wrong = at(&federation, 3, &["reject", &second, "--reason", "a\nb"]);
    assert_eq!(wrong.status.code(), Some(2));
    let reason = "not before the committee has met";
    let rejected = at(&federation, 3, &["reject", &second, "--reason", reason]);
    has(&said(&rejected), &["rejected run", "second"]);
    let mut third = parties.hospitals.pop().expect("three");
    assert_eq!(third.exit_status(PATIENCE).code(), Some(2));
    third.wait_for(reason, PATIENCE);
    parties.coordinator.wait_for(reason, PATIENCE);
    assert_eq!(runs(&federation)[1]["state"], "rejected");
    let list = said(&at(&federation, 3, &["runs", "list"]));
    has(&list, &["second: rejected by", reason]);
    // Started again it is told at once.
    let again = run(&mut federation.participant(3));
    assert_eq!(again.status.code(), Some(2));
    has(&stderr(&again), &["has rejected the run", reason]);
    let mut without = program("coordinator");
    without.args(["run", "without", "3", "--config"]);
    let without = run(without.arg(federation.path().join("coordinator/coordinator.toml")));
    assert!(without.status.success(), "{}", stderr(&without));
    parties.finish(PATIENCE);
}

#[test]
fn a_run_begins_without_a_hospital_that_waits_and_lets_it_in_once_it_agrees() {
    let federation = federation();
    let mut serve = federation.serve(12, 5);
    serve.args(["--set", "run.start_with=2", "--set", "run.local_epochs=4"]);
    // First the one that waits: were it to come after the others have begun, they would join anew for it once.
    let mut parties = Parties::start(&mut serve, []);
    let third = Running::start("hospital 3", &mut federation.participant(3));
    third.wait_for(WAITS, PATIENCE);
    for (name, number) in [("hospital 1", 1), ("hospital 2", 2)] {
        let hospital = Running::start(name, &mut federation.participant(number));
        parties.hospitals.push(hospital);
    }
    parties.hospitals.push(third);
    let first = "round 2: the common model has been updated";
    parties.hospital(1).wait_for(first, PATIENCE);
    // It is connected all the time, and nobody joins anew for it again and again.
    let joined_anew = parties.hospital(1).said();
    let sessions = joined_anew.matches("agreed on their keys").count();
    assert_eq!(sessions, 1, "{joined_anew}");
    let offered = id(&runs(&federation)[0]);
    said(&at(&federation, 3, &["approve", &offered]));
    let handed_over = "has handed over the common model";
    parties.hospital(3).wait_for(handed_over, PATIENCE);
    parties.finish(PATIENCE);
}

#[test]
fn weaker_parameters_are_refused_by_default_and_nobody_can_approve_them() {
    let federation = federation();
    let mut serve = federation.serve(1, 30);
    serve.args(["--set", "run.profile=study"]);
    let coordinator = Running::start("coordinator", &mut serve);
    // Those that ask nobody too.
    for number in [1, 3] {
        let output = run(&mut federation.participant(number));
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let words = ["policy.profiles allows hardened", "`study`", "run.profile"];
        has(&stderr(&output), &words);
    }
    coordinator.wait_for("policy.profiles allows hardened", PATIENCE);
    let offered = runs(&federation);
    assert_eq!(offered[0]["state"], "refused");
    let list = said(&at(&federation, 3, &["runs", "list"]));
    has(&list, &["refused: policy.profiles"]);
    let approved = at(&federation, 3, &["approve", &id(&offered[0])]);
    assert_eq!(approved.status.code(), Some(2));
    has(
        &stderr(&approved),
        &["cannot be approved", "policy.profiles"],
    );

    let policy = said(&at(&federation, 3, &["policy", "show"]));
    has(&policy, &["policy.profiles", "[\"hardened\"]"]);
    assert!(!policy.contains("default:"), "{policy}");
    let of_the_demo = said(&at(&federation, 1, &["policy", "show"]));
    has(&of_the_demo, &["\"automatic\"   (default: \"ask\")"]);
    let record = federation.hospital(3).join("state/approvals.sqlite");
    assert!(fs::metadata(record).expect("kept").len() > 0);
}

#[test]
fn a_run_that_starts_from_a_model_that_is_not_here_is_not_approved_and_says_what_to_do() {
    let federation = federation();
    let mut serve = federation.serve(1, 30);
    let hash = "0f".repeat(32);
    serve.args(["--set", &format!("run.initial_model={hash}")]);
    let mut parties = Parties::start(&mut serve, [federation.participant(3)]);
    let [hospital] = &mut parties.hospitals[..] else {
        panic!("one is there")
    };
    hospital.wait_for(WAITS, PATIENCE);
    let run = id(&runs(&federation)[0]);
    let initial = federation.hospital(3).join("state/initial");
    let remedy = format!("Copy its .safetensors file into {}", initial.display());
    let shown = said(&at(&federation, 3, &["runs", "show", &run[..8]]));
    has(&shown, &["it cannot be joined yet", &hash, &remedy]);
    let refused = at(&federation, 3, &["approve", &run[..8]]);
    assert_eq!(refused.status.code(), Some(2));
    has(&stderr(&refused), &["cannot be approved yet", &remedy]);
    // It is still offered, and waits.
    assert_eq!(runs(&federation)[0]["state"], "waiting");
    hospital.signal("TERM");
    assert_eq!(hospital.exit_status(PATIENCE).code(), Some(3));
}
