//! Certificates that end soon are named in the log of whoever has them, with what to do.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use system_tests::{Federation, Running, run, stderr};
use transport::{
    certificate_requests::{Role, certificate_request},
    certificates::Authority,
};

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Another certificate for the key in a party's folder; of a demonstration nobody has the authority's key.
fn certificate(federation: &Federation, party: &str, role: &Role<'_>, holds: Duration) {
    let keys = federation.path().join(party).join("keys");
    let key = fs::read_to_string(keys.join("tls.key")).expect("a key");
    let (request, _) = certificate_request(&key).expect("a request");
    let authority = Authority::generate("another").expect("an authority");
    let now = SystemTime::now();
    let issued = authority.certify(&request, role, now, now + holds);
    let issued = issued.expect("issued").certificate_pem;
    fs::write(keys.join("tls.crt"), issued).expect("written");
}

#[track_caller]
fn says(said: &str, level: &str, words: &[&str]) {
    let is_meant = |line: &str| {
        let has = |word: &&str| line.contains(word);
        line.contains(level) && words.iter().all(has)
    };
    assert!(said.lines().any(is_meant), "no {words:?} in:\n{said}");
}

#[test]
fn a_hospital_is_told_that_its_certificate_ends_and_could_not_be_renewed() {
    let federation = Federation::new(2);
    let role = Role::Hospital("one");
    certificate(&federation, "hospital-1", &role, 100 * HOUR);
    // There is neither a coordinator that could renew it nor a data set.
    let output = run(&mut federation.participant(1));
    assert_eq!(output.status.code(), Some(2));
    let renew = "participant keys renew --config";
    let words = [
        "this hospital's certificate",
        "ends in 4 days",
        "this week",
        renew,
    ];
    says(&stderr(&output), "WARN", &words);
}

#[test]
fn a_coordinator_says_that_its_certificate_ends_and_goes_on() {
    let federation = Federation::new(2);
    let names = ["localhost".to_owned()];
    certificate(
        &federation,
        "coordinator",
        &Role::Coordinator(&names),
        20 * HOUR,
    );
    let coordinator = Running::start("coordinator", &mut federation.serve(1, 30));
    let ends = "the coordinator's certificate ends in 19 hours";
    coordinator.wait_for(ends, PATIENCE);
    let said = coordinator.said();
    says(
        &said,
        "ERROR",
        &[ends, "renew it today: ask whoever has the authority's key"],
    );
    says(&said, "INFO", &["waiting for all hospitals"]);
}
