//! Trainers as programs of their own: the same models as in one process, also when one is killed.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;
use system_tests::{Federation, Running, program, run, stderr, text_field};

const PATIENCE: Duration = Duration::from_secs(240);

/// Runs both hospitals to the end; the model's hash, and what hospital 1 said. `disturb` gets hospital 1 when it is at work.
fn complete_run(federation: &Federation, disturb: impl FnOnce(&Running)) -> (String, String) {
    let mut serve = federation.serve(1, 30);
    serve.args(["--set", "run.local_epochs=12"]);
    let coordinator = Running::start("coordinator", &mut serve);
    let [first, second] = [1, 2].map(|number| {
        Running::start(
            format!("hospital {number}"),
            &mut federation.participant(number),
        )
    });
    disturb(&first);
    let (succeeded, summary) = coordinator.finish(PATIENCE);
    assert!(succeeded);
    let hash = text_field(&summary, "model_hash").expect("the last line names the model");
    first.wait_for("the common model has been updated", PATIENCE);
    let said = first.said();
    for participant in [first, second] {
        let (succeeded, line) = participant.finish(PATIENCE);
        assert!(succeeded);
        assert_eq!(text_field(&line, "model_hash").as_ref(), Some(&hash));
    }
    (hash, said)
}

/// The number after `process=`.
fn process_of_trainer(said: &str) -> String {
    let (_, after) = said.split_once("process=").expect("the log names it");
    after.chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn a_trainer_killed_in_mid_round_is_started_again_and_the_model_is_the_same() {
    let federation = Federation::new(2).with_phantom(2, 16, 8);
    let (undisturbed, said) = complete_run(&federation, |_| ());
    assert!(!said.contains("the trainer is lost"), "{said}");
    let (hash, said) = complete_run(&federation, |hospital| {
        hospital.wait_for("training: step 1 of", PATIENCE);
        let id = process_of_trainer(&hospital.said());
        let killed = run(Command::new("kill").args(["-9", &id]));
        assert!(killed.status.success(), "{}", stderr(&killed));
    });
    for words in ["the trainer is lost", "signal 9", "is started again"] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
    assert_eq!(said.matches("the trainer has started").count(), 2, "{said}");
    assert_eq!(hash, undisturbed);
}

#[test]
fn ctrl_c_ends_a_hospital_whose_trainer_answers_no_more() {
    let federation = Federation::new(2).with_phantom(2, 16, 8);
    let mut serve = federation.serve(1, 30);
    serve.args(["--set", "run.local_epochs=100"]);
    let _coordinator = Running::start("coordinator", &mut serve);
    let [first, _second] = [1, 2].map(|number| {
        Running::start(
            format!("hospital {number}"),
            &mut federation.participant(number),
        )
    });
    first.wait_for("training: step 1 of", PATIENCE);
    let trainer = process_of_trainer(&first.said());
    for (signal, process) in [("-STOP", trainer.clone()), ("-INT", first.id().to_string())] {
        let sent = run(Command::new("kill").args([signal, &process]));
        assert!(sent.status.success(), "{}", stderr(&sent));
    }
    let (succeeded, _) = first.finish(Duration::from_secs(60));
    assert!(!succeeded, "it was stopped before its run had ended");
    let left = run(Command::new("kill").args(["-0", &trainer]));
    assert!(!left.status.success(), "its trainer lives on");
}

#[test]
fn a_simulation_gives_the_same_model_with_trainers_in_programs_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut phantom = program("experiments");
    phantom.arg("phantom").arg(folder.path());
    phantom.args(["--hospitals", "1", "--patients", "12", "--slices", "3"]);
    let output = run(&mut phantom);
    assert!(output.status.success(), "{}", stderr(&output));
    let data = folder.path().join("hospital-1/data");
    let simulate = |out: &Path, more: &[&Path]| {
        let mut command = program("experiments");
        command.args([
            "simulate",
            "--hospitals",
            "2",
            "--rounds",
            "2",
            "--split",
            "slice",
        ]);
        command
            .args(["--local-epochs", "1", "--no-cache", "--data"])
            .arg(&data);
        command.arg("--out").arg(out).args(more);
        let output = run(&mut command);
        assert!(output.status.success(), "{}", stderr(&output));
        let summary = fs::read_to_string(out.join("summary.json")).expect("a summary");
        let summary: Value = serde_json::from_str(&summary).expect("JSON");
        summary["agreement"]["model_hash"]
            .as_str()
            .expect("a hash")
            .to_owned()
    };
    let trainer = program("trainer").get_program().to_owned();
    let here = simulate(&folder.path().join("here"), &[]);
    let more = [Path::new("--trainer-program"), Path::new(&trainer)];
    let apart = simulate(&folder.path().join("apart"), &more);
    assert_eq!(here, apart);
}
