//! Runs in which processes are killed at any moment and started again, as systemd would.

use std::{process::Command, time::Duration};

use system_tests::{Federation, Parties, Running};

const PATIENCE: Duration = Duration::from_secs(240);

/// The parties of a run, each started again with the command that it was started with.
struct Restarted<'a> {
    federation: &'a Federation,
    parties: Parties,
}

impl<'a> Restarted<'a> {
    fn start(federation: &'a Federation, hospitals: u8) -> Self {
        let commands = (1..=hospitals).map(|number| federation.participant(number));
        let parties = Parties::start(&mut serve(federation), commands);
        Self {
            federation,
            parties,
        }
    }

    /// `kill -9` once it has said these words since it was started, and another process at once.
    fn kill_coordinator_after(&mut self, words: &str) {
        self.parties.coordinator.wait_for(words, PATIENCE);
        let mut again = serve(self.federation);
        self.parties.replace_coordinator(&mut again);
    }

    fn kill_hospital_after(&mut self, number: u8, words: &str) {
        self.parties.hospital(number).wait_for(words, PATIENCE);
        let mut again = self.federation.participant(number);
        self.parties.replace_hospital(number, &mut again);
    }

    /// The model's hash, alike at all parties.
    fn finish(self) -> String {
        self.parties.finish(PATIENCE)
    }
}

fn serve(federation: &Federation) -> Command {
    let mut serve = federation.serve(3, 30);
    serve.args(["--set", "run.local_epochs=3"]);
    serve
}

#[test]
fn a_coordinator_killed_while_it_collects_and_while_it_unlocks_leads_to_the_same_model() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let undisturbed = Restarted::start(&federation, 3).finish();

    let mut run = Restarted::start(&federation, 3);
    run.parties
        .hospital(1)
        .wait_for("training: step 1 of", PATIENCE);
    run.kill_coordinator_after("opened a round");
    run.kill_coordinator_after("the sum is complete");
    assert_eq!(run.finish(), undisturbed);
}

#[test]
fn hospitals_and_coordinator_killed_in_mid_round_go_on_and_hold_one_model() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut run = Restarted::start(&federation, 3);
    run.kill_hospital_after(1, "training: step 1 of");
    run.kill_coordinator_after("opened a round");
    run.kill_hospital_after(2, "the contribution has been sealed");
    run.kill_hospital_after(3, "the common model has been updated");
    run.kill_hospital_after(1, "the common model has been updated");
    run.finish();
}

#[test]
fn a_hospital_killed_while_others_join_just_joins_again() {
    let federation = Federation::new(3).with_phantom(3, 12, 4);
    let mut run = Restarted::start(&federation, 2);
    let coordinator = &run.parties.coordinator;
    coordinator.wait_for("a hospital has joined hospital=1", PATIENCE);
    let mut again = federation.participant(1);
    run.parties.replace_hospital(1, &mut again);
    let last = Running::start("hospital 3", &mut federation.participant(3));
    run.parties.hospitals.push(last);
    run.finish();
}
