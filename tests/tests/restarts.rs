//! Runs in which processes are killed at any moment and started again, as systemd would.

use std::{process::Command, time::Duration};

use system_tests::{Federation, Running, text_field};

const PATIENCE: Duration = Duration::from_secs(240);

/// The parties of a run, each started again with the command that it was started with.
struct Parties<'a> {
    federation: &'a Federation,
    coordinator: Running,
    hospitals: Vec<Running>,
}

impl<'a> Parties<'a> {
    fn start(federation: &'a Federation, hospitals: u8) -> Self {
        Self {
            federation,
            coordinator: Running::start("coordinator", &mut serve(federation)),
            hospitals: (1..=hospitals)
                .map(|number| hospital(federation, number))
                .collect(),
        }
    }

    /// `kill -9` once it has said these words since it was started, and another process at once.
    fn kill_coordinator_after(&mut self, words: &str) {
        self.coordinator.wait_for(words, PATIENCE);
        let again = || Running::start("coordinator", &mut serve(self.federation));
        let killed = std::mem::replace(&mut self.coordinator, Running::nothing());
        killed.kill();
        self.coordinator = again();
    }

    fn kill_hospital_after(&mut self, number: u8, words: &str) {
        let place = usize::from(number) - 1;
        self.hospitals[place].wait_for(words, PATIENCE);
        let killed = std::mem::replace(&mut self.hospitals[place], Running::nothing());
        killed.kill();
        self.hospitals[place] = hospital(self.federation, number);
    }

    /// The model's hash, alike at all parties.
    fn finish(self) -> String {
        let (succeeded, summary) = self.coordinator.finish(PATIENCE);
        assert!(succeeded);
        let hash = text_field(&summary, "model_hash").expect("the last line names the model");
        for hospital in self.hospitals {
            let (succeeded, line) = hospital.finish(PATIENCE);
            assert!(succeeded);
            assert_eq!(text_field(&line, "model_hash").as_ref(), Some(&hash));
        }
        hash
    }
}

fn serve(federation: &Federation) -> Command {
    let mut serve = federation.serve(3, 30);
    serve.args(["--set", "run.local_epochs=3"]);
    serve
}

fn hospital(federation: &Federation, number: u8) -> Running {
    Running::start(
        format!("hospital {number}"),
        &mut federation.participant(number),
    )
}

#[test]
fn a_coordinator_killed_while_it_collects_and_while_it_unlocks_leads_to_the_same_model() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let undisturbed = Parties::start(&federation, 3).finish();

    let mut parties = Parties::start(&federation, 3);
    parties.hospitals[0].wait_for("training: step 1 of", PATIENCE);
    parties.kill_coordinator_after("opened a round");
    parties.kill_coordinator_after("the sum is complete");
    assert_eq!(parties.finish(), undisturbed);
}

#[test]
fn hospitals_and_coordinator_killed_in_mid_round_go_on_and_hold_one_model() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut parties = Parties::start(&federation, 3);
    parties.kill_hospital_after(1, "training: step 1 of");
    parties.kill_coordinator_after("opened a round");
    parties.kill_hospital_after(2, "the contribution has been sealed");
    parties.kill_hospital_after(3, "the common model has been updated");
    parties.kill_hospital_after(1, "the common model has been updated");
    parties.finish();
}

#[test]
fn a_hospital_killed_while_others_join_just_joins_again() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut parties = Parties {
        federation: &federation,
        coordinator: Running::start("coordinator", &mut serve(&federation)),
        hospitals: vec![hospital(&federation, 1), hospital(&federation, 2)],
    };
    parties
        .coordinator
        .wait_for("a hospital has joined hospital=1", PATIENCE);
    let killed = std::mem::replace(&mut parties.hospitals[0], Running::nothing());
    killed.kill();
    parties.hospitals[0] = hospital(&federation, 1);
    parties.hospitals.push(hospital(&federation, 3));
    parties.finish();
}
