//! The operator ends a run well, before its last round.

use std::num::NonZeroU32;

use protocol::{
    digests::LearningRound,
    manifest::{Manifest, Purpose},
    message::ToVault,
};

use super::cohort::{Cohort, connected, id, manifest};
use crate::machine::{Event, Fact, FactKind, PhaseName};

const ROUNDS: u32 = 4;

/// Up to a phase of the sum of this purpose in this learning round.
fn at(purpose: Purpose, learning_round: u32, phase: PhaseName) -> Cohort {
    let mut cohort = connected(4, ROUNDS);
    let is_there = |cohort: &Cohort| {
        let opened = cohort.events.iter().rev().find_map(|event| match event {
            Event::Opened {
                purpose,
                learning_round,
                ..
            } => Some((*purpose, learning_round.get())),
            _ => None,
        });
        cohort.phase() == phase && opened == Some((purpose, learning_round))
    };
    assert!(
        cohort.until(is_there),
        "{purpose:?} {learning_round} {phase}"
    );
    cohort
}

fn end(cohort: &mut Cohort) -> Result<(), String> {
    cohort.machine.end_after_this_round(cohort.now)
}

fn assert_ended_after(cohort: &Cohort, round: u32, what: &str) {
    let (_, missing) = cohort.completed().unwrap_or_else(|| panic!("{what}"));
    assert!(missing.is_empty(), "{what}");
    let after = LearningRound::new(round);
    let why = format!("its operator has ended it after learning round {round} of {ROUNDS}");
    assert_eq!(cohort.machine.early_end(), Some(why), "{what}");
    for hospital in cohort.hospitals.values() {
        let sums = |purpose| hospital.seen.iter().filter(move |seen| seen.0 == purpose);
        let counts = [Purpose::Update, Purpose::Evaluation].map(|purpose| sums(purpose).count());
        assert_eq!(counts, [round as usize; 2], "{what}");
        let told = ToVault::EndedByOperator { after };
        assert_eq!(hospital.ending, Some(told), "{what}");
    }
}

#[test]
fn the_round_at_hand_is_the_last_and_is_evaluated() {
    let moments = [
        (Purpose::Update, PhaseName::Collecting),
        (Purpose::Update, PhaseName::Unlocking),
        (Purpose::Update, PhaseName::Publishing),
        (Purpose::Evaluation, PhaseName::Collecting),
        (Purpose::Evaluation, PhaseName::Publishing),
    ];
    for (purpose, phase) in moments {
        let what = format!("{purpose:?} {phase}");
        let mut cohort = at(purpose, 2, phase);
        end(&mut cohort).expect("there is a round");
        assert_eq!(cohort.machine.learning_rounds(), 2);
        cohort.run();
        assert_ended_after(&cohort, 2, &what);
        assert!(end(&mut cohort).is_err(), "it is over");
    }
}

/// Before an update, with the round before; where an evaluation is outstanding, with that.
#[test]
fn a_pause_does_not_hold_up_the_end() {
    for (purpose, round, phase) in [
        (Purpose::Evaluation, 1, PhaseName::Collecting),
        (Purpose::Update, 2, PhaseName::Collecting),
        (Purpose::Update, 2, PhaseName::Publishing),
    ] {
        let mut cohort = at(purpose, round, phase);
        let paused = cohort.machine.pause(true, cohort.now);
        paused.expect("a sum comes");
        cohort.run();
        assert_eq!(cohort.phase(), PhaseName::Waiting);
        end(&mut cohort).expect("a round is done");
        cohort.run();
        assert_ended_after(&cohort, round, &format!("paused in {purpose:?} {phase}"));
    }
}

#[test]
fn hospitals_that_end_by_themselves_are_told_so() {
    for stops in [1, 2] {
        let mut cohort = at(Purpose::Update, 1, PhaseName::Collecting);
        for number in 1..=4 {
            cohort.hospital(id(number)).stops_after = Some(1);
        }
        if stops == 2 {
            assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Unlocking));
        }
        end(&mut cohort).expect("there is a round");
        end(&mut cohort).expect("said twice, it is the same");
        cohort.run();
        assert!(cohort.completed().is_some());
        for hospital in cohort.hospitals.values() {
            assert_eq!(hospital.ending, Some(ToVault::Finished));
        }
    }
}

/// Hospitals that have come late are let in between two rounds. What they are given is the end then.
#[test]
fn an_end_while_a_session_is_set_up_is_one_for_those_that_came_late_too() {
    for phase in [
        PhaseName::Gathering,
        PhaseName::KeyExchange,
        PhaseName::HandingOver,
    ] {
        let manifest = Manifest {
            start_with: NonZeroU32::new(3),
            ..manifest(ROUNDS)
        };
        let mut cohort = Cohort::new(4, &manifest);
        (1..4).for_each(|number| cohort.connect(id(number)));
        assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
        cohort.connect(id(4));
        let follows = |event: &Event| matches!(event, Event::SessionFollows { .. });
        assert!(
            cohort.until(|cohort| cohort.events.iter().any(follows) && cohort.phase() == phase)
        );
        end(&mut cohort).expect("a round is done");
        cohort.run();
        let (_, missing) = cohort.completed().unwrap_or_else(|| panic!("{phase}"));
        assert!(missing.is_empty(), "{phase}: {missing:?}");
        let after = LearningRound::new(1);
        for hospital in cohort.hospitals.values() {
            let told = ToVault::EndedByOperator { after };
            assert_eq!(hospital.ending, Some(told), "{phase}");
        }
    }
}

/// Nobody gives those that came late the state any more: the run is over for the others.
#[test]
fn an_end_does_not_wait_for_a_state_that_does_not_come() {
    let manifest = Manifest {
        start_with: NonZeroU32::new(3),
        ..manifest(ROUNDS)
    };
    let mut cohort = Cohort::new(4, &manifest);
    (1..4).for_each(|number| cohort.connect(id(number)));
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.connect(id(4));
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::HandingOver));
    end(&mut cohort).expect("a round is done");
    (1..4).for_each(|number| cohort.disconnect(id(number)));
    cohort.run();
    let (_, missing) = cohort.completed().expect("nobody is waited for");
    assert_eq!(missing, [id(1), id(2), id(3), id(4)]);
    cohort.connect(id(1));
    cohort.pump();
    let after = LearningRound::new(1);
    let told = ToVault::EndedByOperator { after };
    assert_eq!(cohort.hospitals[&id(1)].ending, Some(told));
}

#[test]
fn an_update_that_does_not_open_is_tried_again_before_the_end() {
    let mut cohort = at(Purpose::Update, 2, PhaseName::Collecting);
    (1..=4).for_each(|number| cohort.hospital(id(number)).spoilt_updates = 1);
    end(&mut cohort).expect("there is a round");
    cohort.run();
    assert_ended_after(&cohort, 2, "with a null step");
}

#[test]
fn a_run_without_a_model_does_not_end_well() {
    for phase in [
        PhaseName::Collecting,
        PhaseName::Unlocking,
        PhaseName::Publishing,
    ] {
        let mut cohort = at(Purpose::Stats, 0, phase);
        let refused = end(&mut cohort).expect_err("there is no model");
        assert!(refused.contains("--keep-best"), "{refused}");
    }
    let refused = end(&mut connected(4, ROUNDS)).expect_err("nobody has joined");
    assert!(refused.contains("no model"), "{refused}");
}

#[test]
fn in_its_last_round_it_ends_as_planned() {
    let mut cohort = at(Purpose::Update, ROUNDS, PhaseName::Collecting);
    end(&mut cohort).expect("it ends anyway");
    cohort.run();
    for hospital in cohort.hospitals.values() {
        assert_eq!(hospital.ending, Some(ToVault::Finished));
    }
}

#[test]
fn a_coordinator_that_is_started_again_goes_by_it() {
    let facts = |cohort: &Cohort| {
        let facts = cohort.disk.facts.iter();
        let kinds = facts.map(|bytes| Fact::from_bytes(bytes).expect("a fact").kind());
        kinds.filter(|kind| *kind == FactKind::EndsAfter).count()
    };
    let mut undisturbed = at(Purpose::Update, 2, PhaseName::Collecting);
    end(&mut undisturbed).expect("there is a round");
    assert!(undisturbed.until(|cohort| facts(cohort) == 1));
    let written = undisturbed.effects;
    undisturbed.run();
    assert_eq!(facts(&undisturbed), 1);
    for crash in written..=undisturbed.effects {
        let mut cohort = at(Purpose::Update, 2, PhaseName::Collecting);
        cohort.crash_after = vec![crash];
        end(&mut cohort).expect("there is a round");
        cohort.run();
        assert_ended_after(&cohort, 2, &format!("stopped after effect {crash}"));
    }
}

#[test]
fn who_was_away_is_told_the_same() {
    let mut cohort = at(Purpose::Update, 2, PhaseName::Unlocking);
    cohort.disconnect(id(4));
    end(&mut cohort).expect("there is a round");
    cohort.pump();
    cohort.connect(id(4));
    cohort.run();
    assert_ended_after(&cohort, 2, "one was away");
}
