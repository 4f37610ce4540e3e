//! A hospital that is restarted before the first header just joins again.

use protocol::message::{ToCoordinator, ToVault};

use super::{
    cohort::{Cohort, connected, id, manifest},
    hospital::Act,
    restart::{assert_ended_well, assert_nothing_signed_twice, cohort},
};
use crate::machine::{Event, Fact, FactKind, PhaseName, ResumeError};

/// How often all hospitals have joined anew, and on whose account.
fn begun_anew(cohort: &Cohort) -> Vec<u8> {
    let events = cohort.events.iter();
    let hospitals = events.filter_map(|event| match event {
        Event::SetUpAgain { hospital } => Some(hospital.get()),
        _ => None,
    });
    hospitals.collect()
}

fn sessions_on_disk(cohort: &Cohort) -> usize {
    let facts = cohort.disk.facts.iter();
    let kinds = facts.map(|bytes| Fact::from_bytes(bytes).expect("ours").kind());
    kinds.filter(|kind| *kind == FactKind::Begun).count()
}

fn is_before_the_first_header(cohort: &Cohort) -> bool {
    matches!(
        cohort.phase(),
        PhaseName::Gathering | PhaseName::KeyExchange
    )
}

#[test]
fn a_hospital_that_restarts_while_others_join_just_joins_again() {
    let mut cohort = Cohort::new(4, &manifest(2));
    for number in [1, 2, 3] {
        cohort.connect(id(number));
    }
    cohort.pump();
    cohort.restart_hospital(id(2));
    cohort.pump();
    cohort.connect(id(4));
    cohort.run();
    assert_ended_well(&cohort, "restarted while gathering");
    assert!(begun_anew(&cohort).is_empty(), "no keys were relayed");
    assert_eq!(sessions_on_disk(&cohort), 1);
}

#[test]
fn while_hospitals_join_the_last_join_counts() {
    let mut cohort = Cohort::new(3, &manifest(1));
    cohort.connect(id(1));
    cohort.pump();
    let first = cohort.hospitals[&id(1)].clone();
    cohort.hospital(id(1)).restart();
    let welcome = ToVault::Welcome(cohort.machine.context.welcome());
    // On the same connection, without a Hello.
    for act in cohort.hospital(id(1)).hear(welcome) {
        cohort.push_act(id(1), act);
    }
    cohort.pump();
    cohort
        .machine
        .handle_message(id(1), first.join(), cohort.now);
    let last = cohort.hospitals[&id(1)].join();
    cohort.machine.handle_message(id(1), last, cohort.now);
    cohort.connect(id(2));
    cohort.connect(id(3));
    cohort.run();
    assert!(cohort.completed().is_some(), "{:?}", cohort.events);
    assert!(begun_anew(&cohort).is_empty());
}

#[test]
fn a_hospital_that_restarts_while_keys_are_exchanged_makes_all_join_anew() {
    for number in 1..=4 {
        for steps in 0.. {
            let mut cohort = cohort();
            assert!(cohort.until(|cohort| cohort.phase() == PhaseName::KeyExchange));
            let exchanging =
                (0..steps).all(|_| cohort.step() && is_before_the_first_header(&cohort));
            if !exchanging {
                assert!(steps > 40, "{steps} steps");
                break;
            }
            cohort.restart_hospital(id(number));
            // Before the others have gone on to the first header without it.
            cohort.act_for(id(number));
            cohort.run();
            let what = format!("hospital {number} restarted after {steps} steps");
            assert_ended_well(&cohort, &what);
            assert_nothing_signed_twice(&cohort, &what);
            assert_eq!(begun_anew(&cohort), [number], "{what}");
            assert_eq!(sessions_on_disk(&cohort), 2, "{what}");
        }
    }
}

#[test]
fn another_join_on_a_standing_connection_makes_all_join_anew_too() {
    let mut cohort = cohort();
    assert!(cohort.until(|cohort| cohort.hospitals[&id(3)].knows_joins()));
    let mut other = cohort.hospitals[&id(3)].clone();
    other.restart();
    other.hear(ToVault::Welcome(cohort.machine.context.welcome()));
    cohort
        .machine
        .handle_message(id(3), other.join(), cohort.now);
    cohort.run();
    assert_eq!(begun_anew(&cohort), [3]);
    assert_ended_well(&cohort, "another Join");
    // In another's name it does nothing.
    let mut cohort = self::cohort();
    assert!(cohort.until(|cohort| cohort.hospitals[&id(3)].knows_joins()));
    cohort
        .machine
        .handle_message(id(2), other.join(), cohort.now);
    cohort.run();
    assert!(begun_anew(&cohort).is_empty());
    assert!(cohort.completed().is_some());
}

#[test]
fn a_hospital_without_keys_joins_anew_as_long_as_no_header_is_out() {
    let mut cohort = cohort();
    let ready = |cohort: &Cohort| {
        let last = cohort.disk.facts.last();
        last.is_some_and(|bytes| Fact::from_bytes(bytes).expect("ours").kind() == FactKind::Ready)
    };
    assert!(cohort.until(ready));
    cohort.hospital(id(4)).restart();
    cohort.restart();
    assert_eq!(cohort.phase(), PhaseName::Waiting);
    cohort.run();
    assert_eq!(begun_anew(&cohort), [4]);
    assert_ended_well(&cohort, "restarted before the first header");
}

/// Both processes are started again: the coordinator does not know any more whose Joins it has relayed, but the others do.
#[test]
fn a_hospital_that_restarts_together_with_the_coordinator_makes_all_join_anew() {
    for number in 1..=4 {
        for steps in 0..60 {
            let mut cohort = cohort();
            assert!(cohort.until(|cohort| cohort.phase() == PhaseName::KeyExchange));
            let exchanging =
                (0..steps).all(|_| cohort.step() && is_before_the_first_header(&cohort));
            if !exchanging {
                break;
            }
            let others_know = cohort.hospitals.iter().any(|(&other, hospital)| {
                other != id(number) && hospital.is_welcomed() && hospital.knows_joins()
            });
            cohort.hospital(id(number)).restart();
            cohort.restart();
            cohort.run();
            let what =
                format!("hospital {number} and the coordinator restarted after {steps} steps");
            assert_ended_well(&cohort, &what);
            let expected: &[u8] = if others_know { &[number] } else { &[] };
            assert_eq!(begun_anew(&cohort), expected, "{what}");
        }
    }
}

#[test]
fn a_coordinator_stopped_after_any_effect_of_a_set_up_begun_anew_goes_on() {
    let disturbed = |crash: Option<usize>| {
        let mut cohort = cohort();
        assert!(cohort.until(|cohort| cohort.hospitals[&id(3)].knows_joins()));
        let before = cohort.effects;
        cohort.restart_hospital(id(2));
        cohort.crash_after = crash.map(|crash| before + crash).into_iter().collect();
        cohort.run();
        (before, cohort)
    };
    let (before, undisturbed) = disturbed(None);
    assert_ended_well(&undisturbed, "not stopped");
    for crash in 1..=(undisturbed.effects - before).min(120) {
        let (_, cohort) = disturbed(Some(crash));
        let what = format!("stopped after effect {crash}");
        assert_ended_well(&cohort, &what);
        assert_nothing_signed_twice(&cohort, &what);
    }
}

#[test]
fn a_hospital_that_loses_its_keys_again_and_again_ends_the_run_with_its_name() {
    let mut cohort = connected(4, 1);
    for _ in 0..11 {
        assert!(cohort.until(|cohort| cohort.phase() == PhaseName::KeyExchange));
        cohort.restart_hospital(id(3));
        cohort.act_for(id(3));
    }
    cohort.pump();
    assert_eq!(begun_anew(&cohort), [3; 10]);
    assert!(cohort.failed_with("hospital 3 has lost its keys once more"));
    assert!(cohort.failed_with("start a new run"));
    assert!(matches!(
        &cohort.hospitals[&id(3)].ending,
        Some(ToVault::Refused { reason }) if reason.0.contains("find out from its participant's log")
    ));
}

#[test]
fn a_session_that_begins_in_mid_round_is_damage() {
    for phase in [
        PhaseName::Collecting,
        PhaseName::Unlocking,
        PhaseName::Publishing,
    ] {
        let mut cohort = cohort();
        assert!(cohort.until(|cohort| cohort.phase() == phase));
        while let Some(output) = cohort.machine.poll_output() {
            cohort.carry_out(output);
        }
        let mut disk = cohort.disk.clone();
        let begun = disk.facts[0].clone();
        disk.facts.push(begun);
        let resumed = cohort.federation.resume(&disk, cohort.now, 9);
        let fact = FactKind::Begun;
        // A round without contributors that are fixed may be left, but not before anything is settled.
        let phase = match phase {
            PhaseName::Collecting => PhaseName::Waiting,
            other => other,
        };
        assert_eq!(resumed.err(), Some(ResumeError::OutOfOrder { fact, phase }));
    }
}

/// What was on its way when the set-up began anew is nobody's fault.
#[test]
fn messages_of_a_set_up_that_was_given_up_are_ignored() {
    let mut cohort = cohort();
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].knows_joins()));
    let late: Vec<ToCoordinator> = {
        let hospital = &cohort.hospitals[&id(1)];
        vec![
            hospital.join(),
            hospital.encapsulation(id(2)),
            hospital.group_key(),
            hospital.ready(),
        ]
    };
    cohort.restart_hospital(id(2));
    cohort.act_for(id(2));
    assert_eq!(cohort.phase(), PhaseName::Gathering);
    for message in late {
        cohort.machine.handle_message(id(1), message, cohort.now);
    }
    cohort.run();
    let given_up = "it is of a session before this one";
    let ignored = cohort
        .events
        .iter()
        .filter(|event| matches!(event, Event::Ignored { reason, .. } if *reason == given_up));
    assert!(ignored.count() >= 4);
    assert_ended_well(&cohort, "late messages");
}

/// All hospitals hold each other's keys, but two are gone, and no round can be opened.
fn wait_for_the_first_header(cohort: &mut Cohort) {
    let about_to_confirm = |cohort: &Cohort| {
        let next = cohort.next_act(id(4));
        matches!(next, Some(Act::Say(ToCoordinator::Ready(_))))
    };
    assert!(cohort.until(about_to_confirm));
    let ready = cohort.next_act(id(4)).cloned().expect("just seen");
    cohort.forget_act(id(4));
    cohort.pump();
    assert_eq!(cohort.phase(), PhaseName::KeyExchange);
    for gone in [1, 2] {
        cohort.disconnect(id(gone));
    }
    cohort.push_act(id(4), ready);
    cohort.act_for(id(4));
    cohort.pump();
    assert_eq!(cohort.phase(), PhaseName::Waiting);
}

#[test]
fn one_that_loses_its_keys_too_often_is_left_behind_where_the_others_have_theirs() {
    let mut cohort = connected(4, 1);
    for _ in 0..11 {
        wait_for_the_first_header(&mut cohort);
        cohort.restart_hospital(id(4));
        cohort.pump();
        for back in [1, 2] {
            cohort.connect(id(back));
        }
    }
    cohort.run();
    assert_eq!(begun_anew(&cohort), [4; 10]);
    assert!(cohort.rejected_with(id(4), "the others have joined anew 10 times"));
    let (_, missing) = cohort.completed().expect("three are enough");
    assert_eq!(missing, [id(4)]);
}
