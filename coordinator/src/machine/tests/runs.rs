//! Whole runs: who is waited for, what is given up, and who is told what.

use std::collections::BTreeSet;

use protocol::{
    codec,
    culprit::Culprit,
    keeping::Verdict,
    manifest::Purpose,
    message::{ToCoordinator, ToVault},
};

use super::{
    cohort::{Cohort, connected, id},
    hospital::{Act, Seen},
};
use crate::machine::{Event, InputKind, MachineError, Output, PhaseName, Timestamp};

pub(super) fn sum(purpose: Purpose, contributors: &[u8]) -> Seen {
    let contributors: BTreeSet<u8> = contributors.iter().copied().collect();
    let word = contributors.iter().copied().map(u64::from).sum();
    (purpose, contributors, word)
}

fn abandoned(cohort: &Cohort) -> Vec<Purpose> {
    let events = cohort.events.iter();
    events
        .filter_map(|event| match event {
            Event::Abandoned { purpose, .. } => Some(*purpose),
            _ => None,
        })
        .collect()
}

#[test]
fn every_hospital_sees_every_sum_and_the_run_completes_without_time_passing() {
    for size in [2, 3, 5, 9] {
        let mut cohort = connected(size, 2);
        cohort.pump();
        let (_, missing) = cohort.completed().expect("nobody was waited for");
        assert!(missing.is_empty());
        let all: Vec<u8> = (1..=size).collect();
        let expected = [
            Purpose::Stats,
            Purpose::Update,
            Purpose::Evaluation,
            Purpose::Update,
            Purpose::Evaluation,
        ]
        .map(|purpose| sum(purpose, &all));
        for hospital in cohort.hospitals.values() {
            assert_eq!(hospital.seen, expected);
            assert_eq!(hospital.ending, Some(ToVault::Finished));
        }
        assert!(
            cohort.disk.blobs.is_empty(),
            "what everybody has is not kept"
        );
        assert_eq!(cohort.machine.poll_timeout(), None);
    }
}

#[test]
fn a_hospital_that_declines_is_not_waited_for_and_its_reason_is_told() {
    let mut cohort = connected(4, 1);
    cohort.hospital(id(3)).declines_updates = true;
    cohort.pump();
    assert!(cohort.completed().is_some(), "without any time passing");
    assert_eq!(
        cohort.hospitals[&id(1)].seen[1],
        sum(Purpose::Update, &[1, 2, 4])
    );
    assert!(cohort.events.iter().any(|event| matches!(
        event,
        Event::Declined { hospital, round, reason, .. } if *hospital == id(3) && round.get() == 2 && reason == "nothing to contribute"
    )));
}

/// The first update is open, and hospital 2 has not contributed.
fn before_the_update_of_hospital_2() -> Cohort {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| {
        let header = cohort.hospitals[&id(2)].header();
        header.is_some_and(|header| header.purpose == Purpose::Update)
            && matches!(cohort.next_act(id(2)), Some(Act::Upload { .. }))
    }));
    cohort
}

#[test]
fn an_update_goes_on_without_a_lost_connection_and_the_evaluation_waits_for_it() {
    let mut cohort = before_the_update_of_hospital_2();
    cohort.disconnect(id(2));
    cohort.pump();
    assert_eq!(
        cohort.hospitals[&id(1)].seen.last(),
        Some(&sum(Purpose::Update, &[1, 3, 4]))
    );
    assert_eq!(
        cohort.phase(),
        PhaseName::Collecting,
        "the evaluation waits"
    );
    cohort.connect(id(2));
    cohort.pump();
    assert!(cohort.completed().is_some());
    assert_eq!(
        cohort.hospitals[&id(2)].seen[1..],
        [
            sum(Purpose::Update, &[1, 3, 4]),
            sum(Purpose::Evaluation, &[1, 2, 3, 4])
        ]
    );
}

#[test]
fn a_silent_hospital_is_waited_for_as_long_as_the_manifest_says() {
    let mut cohort = before_the_update_of_hospital_2();
    // Its connection stands, but nothing comes.
    while let Some(act) = cohort.next_act(id(2)).cloned() {
        assert!(matches!(act, Act::Upload { .. } | Act::Say(_)));
        cohort.forget_act(id(2));
    }
    cohort.pump();
    assert_eq!(cohort.phase(), PhaseName::Collecting);
    let silence_ends = cohort.machine.poll_timeout().expect("it is waited for");
    assert!(silence_ends <= Timestamp(1_000 + 30_000));
    cohort.run();
    assert!(cohort.completed().is_some(), "{:?}", cohort.phase());
    assert_eq!(
        cohort.hospitals[&id(1)].seen[1],
        sum(Purpose::Update, &[1, 3, 4])
    );
}

#[test]
fn too_few_contributions_are_tried_again_more_and_more_rarely_and_then_the_run_fails() {
    let mut cohort = connected(4, 1);
    for number in [1, 2] {
        cohort.hospital(id(number)).declines_updates = true;
    }
    cohort.run();
    assert_eq!(abandoned(&cohort), vec![Purpose::Update; 7]);
    assert!(cohort.failed_with("has failed, like 7 before it: 2 usable contributions where 3"));
    // 2, 4, 8, 16 seconds and then the 30 of the manifest.
    assert_eq!(
        cohort.now,
        Timestamp(1_000 + (2 + 4 + 8 + 16 + 3 * 30) * 1000)
    );
    cohort.connect(id(3));
    cohort.pump();
    assert!(
        matches!(&cohort.hospitals[&id(3)].ending, Some(ToVault::Refused { reason }) if reason.0.contains("has failed")),
        "whoever comes is told why"
    );
}

#[test]
fn a_round_that_too_many_cannot_open_ends_the_run() {
    let mut cohort = connected(4, 1);
    for number in [2, 3] {
        cohort.hospital(id(number)).fails = true;
    }
    cohort.run();
    assert!(cohort.failed_with("round 1 does not open"));
    assert!(cohort.failed_with("[1, 2, 3, 4]"), "contributors are named");
}

#[test]
fn a_hospital_that_comes_late_gets_the_last_outcome_after_the_end() {
    let mut cohort = connected(4, 1);
    assert!(
        cohort.until(|cohort| cohort.phase() == PhaseName::Publishing
            && cohort.hospitals[&id(1)].seen.len() == 2)
    );
    cohort.disconnect(id(4));
    cohort.run();
    let (_, missing) = cohort.completed().expect("the others go on");
    assert_eq!(missing, [id(4)]);
    let seen = cohort.hospitals[&id(4)].seen.len();
    cohort.connect(id(4));
    cohort.pump();
    assert!(cohort.hospitals[&id(4)].seen.len() >= seen);
    assert_eq!(cohort.hospitals[&id(4)].seen, cohort.hospitals[&id(1)].seen);
    assert_eq!(cohort.hospitals[&id(4)].ending, Some(ToVault::Finished));
    assert!(cohort.disk.blobs.is_empty(), "now everybody has everything");
}

#[test]
fn operators_are_told_once_how_many_hospitals_are_missing() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Publishing));
    for number in [1, 2, 3] {
        assert!(cohort.until(|cohort| matches!(
            cohort.next_act(id(number)),
            Some(Act::Say(ToCoordinator::RoundClosed(_)))
        )));
    }
    for number in [1, 2, 3] {
        cohort.act_for(id(number));
        if number < 3 {
            cohort.disconnect(id(number));
        }
    }
    cohort.pump();
    for _ in 0..3 {
        cohort.wait();
    }
    let told = cohort.events.iter().filter_map(|event| match event {
        Event::Waiting { present, needed } => Some((*present, *needed)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(1, 3), (2, 3)]);
}

#[test]
fn errors_name_the_hospital_at_fault_where_one_is() {
    let mut cohort = connected(3, 1);
    let stranger = id(9);
    assert_eq!(
        cohort.machine.check_upload(stranger, 1),
        Err(MachineError::NotOnRoster { from: stranger })
    );
    let early = cohort.machine.check_upload(id(1), 1).expect_err("no round");
    assert_eq!(
        early,
        MachineError::WrongPhase {
            phase: PhaseName::Gathering,
            message: InputKind::UploadOffer,
            from: id(1)
        }
    );
    assert_eq!(
        early.culprit(),
        Culprit::Unknown,
        "it may have been overtaken"
    );
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Collecting));
    let wrong = cohort
        .machine
        .check_upload(id(1), 1)
        .expect_err("the length is fixed");
    assert_eq!(wrong.culprit(), Culprit::Hospital(id(1)));
    let garbage = cohort
        .machine
        .handle_upload(id(1), b"garbage".to_vec(), cohort.now)
        .expect_err("no contribution");
    assert_eq!(garbage.culprit(), Culprit::Hospital(id(1)));
    cohort
        .machine
        .handle_message(stranger, ToCoordinator::Heartbeat, cohort.now);
    cohort.pump();
    assert!(cohort.rejected_with(stranger, "not on the roster"));
}

#[test]
fn a_fact_leaves_before_the_message_that_depends_on_it() {
    let mut cohort = connected(3, 1);
    let mut facts = BTreeSet::new();
    loop {
        while let Some(output) = cohort.machine.poll_output() {
            let needs = match &output {
                Output::Persist(fact) => {
                    facts.insert(fact.kind().to_string());
                    None
                }
                Output::Send { message, .. } => match message.as_ref() {
                    ToVault::Welcome(_) => Some("begun"),
                    ToVault::RoundOpen(_) => Some("header"),
                    ToVault::UnlockRequest(_) => Some("fixed"),
                    ToVault::OutcomeReady { .. } => Some("outcome"),
                    _ => None,
                },
                Output::Event(Event::Settled(_)) => Some("closed"),
                Output::Event(Event::SessionReady) => Some("ready"),
                _ => None,
            };
            assert!(needs.is_none_or(|fact| facts.contains(fact)), "{output:?}");
            cohort.carry_out(output);
        }
        if !cohort.step() {
            break;
        }
    }
    assert_eq!(facts.len(), 6);
    assert!(cohort.completed().is_some());
}

#[test]
fn the_largest_set_up_is_a_fact_that_can_be_read_back() {
    let mut cohort = connected(5, 1);
    cohort.pump();
    let largest = cohort.disk.facts.iter().map(Vec::len).max();
    let bytes = largest.expect("facts were written");
    // 5 Joins, 10 Encapsulations, 5 Readies and a group key of about 1.2 KB each at most.
    assert!(bytes < 32 << 10, "{bytes}");
    assert!(bytes < codec::MAX_MESSAGE_BYTES);
}

#[test]
fn the_run_ends_when_enough_hospitals_say_so_after_an_evaluation() {
    let mut cohort = connected(4, 5);
    for number in 1..=3 {
        cohort.hospital(id(number)).stops_after = Some(2);
    }
    cohort.run();
    let (_, missing) = cohort.completed().expect("t of the hospitals agree");
    let mut events = cohort.events.iter();
    assert!(events.any(|event| matches!(event, Event::EndedEarly { rounds_left: 3 })));
    assert!(missing.is_empty());
    for hospital in cohort.hospitals.values() {
        let updates = hospital
            .seen
            .iter()
            .filter(|seen| seen.0 == Purpose::Update);
        assert_eq!(updates.count(), 2);
        assert_eq!(hospital.ending, Some(ToVault::Finished));
    }
}

#[test]
fn fewer_than_t_do_not_end_a_run_and_no_t_alike_end_it_as_a_failure() {
    let mut cohort = connected(4, 2);
    cohort.hospital(id(1)).stops_after = Some(1);
    cohort.run();
    assert!(cohort.completed().is_some());
    assert_eq!(cohort.hospitals[&id(1)].seen.len(), 5);

    let mut cohort = connected(4, 2);
    for number in 1..=2 {
        cohort.hospital(id(number)).stops_after = Some(1);
    }
    cohort.run();
    assert!(cohort.completed().is_none());
    assert!(
        cohort
            .events
            .iter()
            .any(|event| matches!(event, Event::Failed { .. })),
        "two of four against two: {:?}",
        cohort.events
    );
}

#[test]
fn only_an_evaluation_ends_a_run() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| {
        let next = cohort.next_act(id(1));
        matches!(next, Some(Act::Say(ToCoordinator::RoundClosed(_))))
    }));
    let ToCoordinator::RoundClosed(word) = cohort.hospitals[&id(1)].last_closed() else {
        unreachable!("it has opened the statistics");
    };
    let mut body = word.read_unverified().expect("its own form");
    body.verdict = Verdict::Stop;
    let stop = ToCoordinator::RoundClosed(cohort.hospitals[&id(1)].sign(&body));
    cohort.machine.handle_message(id(1), stop, cohort.now);
    cohort.pump();
    assert!(cohort.rejected_with(id(1), "ends the run with round 1, which is no evaluation"));
    assert!(cohort.completed().is_some());
}
