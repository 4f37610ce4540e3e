//! Runs of separate processes over real sockets.

use std::{fs, path::Path, time::Duration};

use system_tests::{Federation, Running, program, run, stderr, text_field};

const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn a_coordinator_and_three_participants_complete_a_run_as_four_processes() {
    let federation = Federation::new(3).with_phantom(3, 12, 2);
    // Started before its coordinator: it waits and says so.
    let early = Running::start("hospital 1", &mut federation.participant(1));
    early.wait_for("waiting for the coordinator", PATIENCE);
    let coordinator = Running::start("coordinator", &mut federation.serve(1, 30));
    let others = [2, 3].map(|number| {
        Running::start(
            format!("hospital {number}"),
            &mut federation.participant(number),
        )
    });

    let (succeeded, summary) = coordinator.finish(PATIENCE);
    assert!(succeeded);
    let model_hash =
        text_field(&summary, "model_hash").expect("the coordinator's last line names the model");
    for participant in std::iter::once(early).chain(others) {
        let (succeeded, line) = participant.finish(PATIENCE);
        assert!(succeeded);
        assert_eq!(text_field(&line, "model_hash").as_ref(), Some(&model_hash));
    }
    for number in 1..=3 {
        assert!(
            federation
                .hospital(number)
                .join("state/model.safetensors")
                .exists()
        );
    }
    the_transcript_holds_and_every_change_of_it_is_named(&federation);
}

/// A real transcript of three rounds, checked by both programs; then with a digit changed, a line lost, and beside another one.
fn the_transcript_holds_and_every_change_of_it_is_named(federation: &Federation) {
    let path = federation.path().join("coordinator/state/transcript.jsonl");
    let text = fs::read_to_string(&path).expect("a transcript");
    let verify = |name: &str, files: &[&Path]| {
        let mut command = program(name);
        command.args(["transcript", "verify", "--roster"]);
        command.arg(federation.path().join("coordinator/roster.json"));
        run(command.args(files))
    };
    for name in ["coordinator", "participant"] {
        let output = verify(name, &[&path]);
        assert!(output.status.success(), "{}", stderr(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("3 rounds in 1 session hold"), "{said}");
    }
    let altered = federation.path().join("altered.jsonl");
    let refused = |changed: String, words: &str| {
        fs::write(&altered, changed).expect("written");
        let output = verify("coordinator", &[&altered]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{words:?} is not in {said}");
    };
    let lines: Vec<_> = text.lines().collect();
    let model = text_field(lines[1], "model_hash").expect("a hash");
    let flipped = model.replace(&model[..1], if &model[..1] == "0" { "1" } else { "0" });
    refused(text.replacen(&model, &flipped, 2), "line ");
    refused(lines[1..].join("\n"), "line 1 (round 2)");
    refused(format!("{}\n{}\n", lines[0], lines[2]), "line 2 (round 3)");
    // One that was shown less of it, and both beside each other.
    fs::write(&altered, format!("{}\n", lines[..2].join("\n"))).expect("written");
    let output = verify("coordinator", &[&path, &altered]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("first 2 of the 3 rounds"),
        "{said}"
    );
}

#[test]
fn killing_one_of_five_participants_does_not_stop_the_others() {
    let federation = Federation::new(5).with_phantom(5, 20, 1);
    let coordinator = Running::start("coordinator", &mut federation.serve(2, 5));
    let mut hospitals: Vec<_> = (1..=5)
        .map(|number| {
            Running::start(
                format!("hospital {number}"),
                &mut federation.participant(number),
            )
        })
        .collect();
    hospitals[3].wait_for("round 1", PATIENCE);
    hospitals.remove(3).kill();

    let (succeeded, summary) = coordinator.finish(PATIENCE);
    assert!(succeeded);
    let model_hash = text_field(&summary, "model_hash");
    assert!(
        model_hash.is_some() && summary.contains("\"missing\":[4]"),
        "{summary}"
    );
    for participant in hospitals {
        let (succeeded, line) = participant.finish(PATIENCE);
        assert!(succeeded);
        assert_eq!(text_field(&line, "model_hash"), model_hash);
    }
}
