//! `doctor` on both sides: what is well, what is weak, and what stands in the way is named, with what to do; nothing is changed by it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use system_tests::{Federation, Parties, Running, program, run, stderr};
use transport::{
    certificate_requests::{Role, certificate_request, new_key},
    certificates::Authority,
};

const PATIENCE: Duration = Duration::from_secs(180);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn doctor(federation: &Federation, number: u8) -> Command {
    let mut command = program("participant");
    command.args(["doctor", "--config"]);
    command.arg(federation.hospital(number).join("participant.toml"));
    command
}

fn coordinator_doctor(federation: &Federation) -> Command {
    let mut command = program("coordinator");
    command.args(["doctor", "--config"]);
    command.arg(federation.path().join("coordinator/coordinator.toml"));
    command
}

/// Result, what was found and the remedy of the checks of this name.
fn checks(output: &Output, name: &str) -> Vec<(String, String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["schema"], 1);
    let all = report["checks"].as_array().expect("a list").iter();
    let failed = all.clone().filter(|check| check["result"] == "failed");
    assert_eq!(report["failed"], failed.count());
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    all.filter(|check| check["check"] == name)
        .map(|check| {
            (
                text(check, "result"),
                text(check, "found"),
                text(check, "remedy"),
            )
        })
        .collect()
}

#[track_caller]
fn finds(output: &Output, name: &str, result: &str, words: &[&str]) {
    let found = checks(output, name);
    let is_meant = |(what, found, remedy): &(String, String, String)| {
        let has = |word: &&str| found.contains(word) || remedy.contains(word);
        what == result && words.iter().all(has)
    };
    assert!(
        found.iter().any(is_meant),
        "no {name} that is {result} with {words:?}: {found:?}\n{}",
        stderr(output)
    );
}

fn in_json(command: &mut Command) -> Output {
    run(command.args(["--format", "json"]))
}

/// Of hospital 1, which must not be well.
fn failing(federation: &Federation) -> Output {
    let output = in_json(&mut doctor(federation, 1));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    output
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_demonstration_is_well_its_weak_points_are_named_and_its_run_is_not_disturbed() {
    let federation = Federation::new(2).with_phantom(2, 8, 1);
    let output = in_json(&mut coordinator_doctor(&federation));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    finds(&output, "udp", "ok", &["is free", "UDP", "TCP is not"]);
    finds(&output, "keys.operator_key", "warning", &["demonstration"]);
    assert!(!federation.path().join("coordinator/state").exists());

    let coordinator = Running::start("coordinator", &mut federation.serve(1, 30));
    coordinator.wait_for("waiting for all hospitals", PATIENCE);
    let before = files(&federation.hospital(1));
    let output = in_json(&mut doctor(&federation, 1));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["clock", "roster", "keys.tls_certificate", "membership"] {
        finds(&output, name, "ok", &[]);
    }
    finds(&output, "udp", "ok", &["answers", " ms"]);
    finds(&output, "mtu", "ok", &["bytes arrive"]);
    finds(&output, "coordinator", "ok", &["lets this hospital in"]);
    finds(&output, "trainer", "ok", &["starts with libtorch"]);
    finds(&output, "data", "ok", &["4 patients with 4 scans"]);
    let approval = ["automatic", "approval = \"ask\""];
    finds(&output, "policy.approval", "warning", &approval);
    finds(&output, "policy.min_members", "warning", &["2"]);
    assert_eq!(files(&federation.hospital(1)), before);
    coordinator.wait_for("looked whether it gets here", PATIENCE);

    // While the participant of the same hospital is connected, and in the middle of the run.
    let mut hospitals = vec![Running::start("hospital 1", &mut federation.participant(1))];
    coordinator.wait_for("a hospital has connected", PATIENCE);
    let output = run(&mut doctor(&federation, 1));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("lets this hospital in"), "{said}");
    assert!(said.contains("-> unless that is meant"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    let output = in_json(&mut coordinator_doctor(&federation));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    finds(&output, "udp", "ok", &["a coordinator runs here"]);
    finds(&output, "records", "ok", &["unfinished"]);
    hospitals.push(Running::start("hospital 2", &mut federation.participant(2)));
    let refused = "refused a second connection";
    assert!(!coordinator.said().contains(refused));
    assert!(!coordinator.said().contains("turned a peer away"));
    Parties {
        coordinator,
        hospitals,
    }
    .finish(PATIENCE);
}

#[test]
fn without_a_coordinator_there_is_a_request_for_the_network_people() {
    let federation = Federation::new(2).with_phantom(2, 8, 1);
    let output = failing(&federation);
    let port = format!("port {}", federation.address().port());
    let words = ["UDP packets out", &port, "RFC 9000", "coordinator serve"];
    finds(&output, "udp", "failed", &words);
    assert!(checks(&output, "coordinator").is_empty());

    let mut elsewhere = doctor(&federation, 1);
    elsewhere.args(["--set", "coordinator.address=nowhere.invalid:7443"]);
    let output = in_json(&mut elsewhere);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    finds(
        &output,
        "dns",
        "failed",
        &["nowhere.invalid", "name server"],
    );
    assert!(checks(&output, "udp").is_empty());

    let mut gpu = doctor(&federation, 1);
    gpu.args(["--set", "training.device=cuda:4096"]);
    let output = in_json(&mut gpu);
    let words = ["cuda:4096", "nvidia-smi"];
    finds(&output, "trainer", "failed", &words);
}

#[test]
fn files_of_others_expired_or_open_ones_are_named() {
    let (federation, other) = (Federation::new(2), Federation::new(2));
    let hospital = federation.hospital(1);
    let key = hospital.join("keys/signing.key");
    let mode = |mode: &str| {
        let done = run(Command::new("chmod").arg(mode).arg(&key));
        assert!(done.status.success(), "{}", stderr(&done));
    };
    mode("644");
    let output = failing(&federation);
    let words = ["signing.key", "0644", "chmod 600"];
    finds(&output, "keys.signing_key", "failed", &words);
    // There is no data set either.
    finds(&output, "data", "failed", &["participant data check"]);
    mode("600");

    for file in ["keys/tls.crt", "keys/tls.key"] {
        fs::copy(other.hospital(1).join(file), hospital.join(file)).expect("copied");
    }
    let output = failing(&federation);
    finds(&output, "membership", "failed", &["tls.crt", "roster"]);
    finds(&output, "keys.tls_certificate", "ok", &[]);

    let authority = Authority::generate("another").expect("an authority");
    let tls_key = new_key().expect("a key");
    let (request, _) = certificate_request(&tls_key).expect("a request");
    let now = SystemTime::now();
    let role = Role::Hospital("one");
    let expired = authority.certify(&request, &role, now - 3 * DAY, now - DAY);
    let expired = expired.expect("issued").certificate_pem;
    fs::write(hospital.join("keys/tls.crt"), expired).expect("written");
    fs::write(hospital.join("keys/tls.key"), tls_key.as_bytes()).expect("written");
    let output = failing(&federation);
    let words = ["has expired", "participant keys renew"];
    finds(&output, "keys.tls_certificate", "failed", &words);

    let settings = hospital.join("participant.toml");
    federation.edit(&settings, "hospital = 1", "hospital = 200");
    let output = failing(&federation);
    finds(&output, "settings", "failed", &["`hospital`", "1 to 127"]);
    finds(&output, "clock", "ok", &[]);
}

#[test]
fn a_coordinator_that_hospitals_cannot_reach_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let federation = folder.path().join("coordinator");
    let mut init = program("coordinator");
    init.args(["init", "--name", "MS study", "--listen", "127.0.0.1:7443"]);
    let made = run(init.args(["--public", "127.0.0.1:7443"]).arg(&federation));
    assert!(made.status.success(), "{}", stderr(&made));
    let before = files(&federation.join("state"));
    let mut command = program("coordinator");
    command.args(["doctor", "--config"]);
    command.arg(federation.join("coordinator.toml"));
    // Another test, or program, may have the usual port.
    command.args(["--set", "listen=127.0.0.1:0"]);
    let output = in_json(&mut command);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    finds(&output, "public", "warning", &["elsewhere cannot reach"]);
    finds(&output, "roster", "warning", &["roster draft"]);
    finds(&output, "members", "ok", &["no members yet"]);
    finds(&output, "keys.authority_key", "ok", &[]);
    assert_eq!(files(&federation.join("state")), before);
}
