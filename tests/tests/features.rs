//! A run of other clinical features than the study's: what a hospital does not allow is refused, what it allows is used, in training and
//! afterwards.

use std::{fs, process::Command, time::Duration};

use serde_json::Value;
use system_tests::{Federation, Parties, Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(240);

/// One of the study by its name, and two that are read as columns, in an order of the run's own.
const OF_THE_RUN: &str = "Age of onset: 0..800; sex; Age: 0..1000";
/// What hospitals allow: more, and in another order.
const ALLOWED: &str = "sex; Age: 0..1000; co-morbidity; age of onset: 0..800";

fn reading(federation: &Federation, hospital: u8, features: &str) -> Command {
    let mut command = federation.participant(hospital);
    command.arg("--set");
    command.arg(format!("reading.feature_columns={features}"));
    command
}

fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_run_uses_the_features_that_it_names_and_that_every_hospital_allows() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let serve = || {
        let mut serve = federation.serve(1, 30);
        serve.args(["--set", "run.conditioning_form=late", "--set"]);
        serve.arg(format!("run.features={OF_THE_RUN}"));
        serve
    };
    let three_without_late = run(federation
        .serve(1, 30)
        .arg("--set")
        .arg(format!("run.features={OF_THE_RUN}")));
    assert_eq!(three_without_late.status.code(), Some(2));
    let said = stderr(&three_without_late);
    assert!(
        said.contains("run.features") && said.contains("late"),
        "{said}"
    );

    // A hospital that reads the study's features says no, and which one it is about.
    let coordinator = Running::start("coordinator", &mut serve());
    let refuses = run(&mut federation.participant(1));
    assert_eq!(refuses.status.code(), Some(2), "{}", stderr(&refuses));
    let said = stderr(&refuses);
    let asked = "asks for the feature \"Age of onset: 0..800\"";
    assert!(
        said.contains("reading.feature_columns") && said.contains(asked),
        "{said}"
    );
    // So does one that has the column in another range.
    let other = OF_THE_RUN.replace("0..1000", "0..100");
    let refuses = run(&mut reading(&federation, 2, &other));
    let said = stderr(&refuses);
    assert!(
        said.contains("asks for the feature \"Age: 0..1000\""),
        "{said}"
    );
    drop(coordinator);

    let mut again = serve();
    let hospitals = (1..=3).map(|number| reading(&federation, number, ALLOWED));
    let parties = Parties::start(again.arg("--new-run"), hospitals);
    parties.finish(PATIENCE);

    let state = federation.hospital(1).join("state");
    let card = fs::read_to_string(state.join("model.json")).expect("a card");
    let card: Value = serde_json::from_str(&card).expect("JSON");
    let features = &card["input"]["feature_statistics"];
    let told = |key: &str| -> Vec<Value> {
        let features = features.as_array().expect("a list");
        features
            .iter()
            .map(|feature| feature[key].clone())
            .collect()
    };
    assert_eq!(told("name"), ["Age of onset", "sex", "Age"]);
    assert_eq!(told("kind"), ["number", "flag", "number"]);
    // Of adults, in years: percents of their ranges would be a tenth or an eighth.
    for mean in [0, 2].map(|place| told("mean")[place].as_f64().expect("a number")) {
        assert!((18.0..60.0).contains(&mean), "{mean}");
    }

    // The model is applied to patients with what the card says is read.
    let config = federation.hospital(1).join("participant.toml");
    let mut evaluate = program("participant");
    evaluate
        .args(["evaluate", "--format", "json", "--config"])
        .arg(&config);
    evaluate
        .arg(&state)
        .arg(federation.hospital(2).join("data"));
    let scores: Value = serde_json::from_str(&succeeds(&mut evaluate)).expect("JSON");
    assert!(scores["common"]["accuracy"].is_number(), "{scores}");
    let exported = federation.path().join("exported");
    let mut export = program("participant");
    export
        .args(["export", "--format", "monai", "--config"])
        .arg(&config)
        .arg(&state);
    succeeds(export.arg("-o").arg(&exported));
    let bundle = fs::read_to_string(exported.join("monai/configs/inference.json"));
    let bundle: Value = serde_json::from_str(&bundle.expect("written")).expect("JSON");
    assert_eq!(bundle["network_def"]["features"], 3);
}
