//! An operator's day: a run is signed away from the coordinator, looked at while it waits, and goes on without a hospital that does not
//! come.

use std::{fs, process::Output, time::Duration};

use system_tests::{Federation, Parties, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(240);

fn words(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_run_is_signed_elsewhere_watched_and_goes_on_without_a_hospital_that_does_not_come() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let coordinator = federation.path().join("coordinator");
    let config = coordinator.join("coordinator.toml");
    // The operator takes the key home.
    let home = tempfile::tempdir().expect("a folder");
    let key = home.path().join("operator.key");
    fs::rename(coordinator.join("keys/operator.key"), &key).expect("it was there");
    let settings = home.path().join("run.toml");
    let text = "[run]\nname = \"night\"\nrounds = 1\nlocal_epochs = 1\nround_timeout_secs = 20\n";
    fs::write(&settings, text).expect("written");
    let mut sign = program("coordinator");
    sign.args(["run", "sign"])
        .arg(&settings)
        .arg("--key")
        .arg(&key);
    let signed = words(&run(sign
        .arg("--roster")
        .arg(coordinator.join("roster.json"))));
    assert!(signed.contains("night"), "{signed}");

    let ask = |what: &[&str]| {
        let mut command = program("coordinator");
        command.args(what).arg("--config").arg(&config);
        run(&mut command)
    };
    let nobody = ask(&["status"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(
        stderr(&nobody).contains("no coordinator runs"),
        "{}",
        stderr(&nobody)
    );

    let serve = || {
        let mut serve = program("coordinator");
        serve.arg("serve").arg("--config").arg(&config);
        serve.args(["--set", "serve_outcomes_secs=2", "--run"]);
        serve.arg(home.path().join("run.signed.json"));
        serve
    };
    let first = (1..=2).map(|number| federation.participant(number));
    let parties = Parties::start(&mut serve(), first);
    parties.coordinator.wait_for("missing=1", PATIENCE);
    let status = words(&ask(&["status", "--format", "json"]));
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["name"], "night");
    assert_eq!(status["phase"], "gathering");
    let third = &status["hospitals"][2];
    assert_eq!(
        (&third["hospital"], &third["waited_for"]),
        (&3.into(), &"not-connected".into())
    );
    assert_eq!(third["address"], serde_json::Value::Null);
    assert!(words(&ask(&["status"])).contains("not-connected"));

    let too_many = ask(&["run", "without", "4"]);
    assert_eq!(too_many.status.code(), Some(1));
    assert!(
        stderr(&too_many).contains("no hospital 4"),
        "{}",
        stderr(&too_many)
    );
    assert!(words(&ask(&["run", "without", "3"])).contains("goes on without hospital 3"));
    let too_few = ask(&["run", "without", "2"]);
    assert_eq!(too_few.status.code(), Some(1));
    assert!(
        stderr(&too_few).contains("too few would be left"),
        "{}",
        stderr(&too_few)
    );
    parties.finish(PATIENCE);
    assert!(!coordinator.join("state/control.sock").exists());

    let again = run(&mut serve());
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("has ended (complete)"),
        "{}",
        stderr(&again)
    );
    assert!(!coordinator.join("keys/operator.key").exists());
}
