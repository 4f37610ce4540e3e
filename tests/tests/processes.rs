//! Runs of separate processes over real sockets.

use std::time::Duration;

use system_tests::{Federation, Running, text_field};

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
    assert!(
        federation
            .path()
            .join("coordinator/state/transcript.jsonl")
            .exists()
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
