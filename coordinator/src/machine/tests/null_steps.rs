//! Sums that open at no hospital: an update is settled by a null step and tried again, an evaluation is left out (PROTOCOL.md 3.6).

use std::collections::BTreeSet;

use protocol::{manifest::Purpose, message::ToVault};

use super::{
    cohort::{Cohort, connected, id},
    restart::assert_nothing_signed_twice,
};
use crate::machine::{Event, Fact, FactKind, PhaseName, Timestamp};

/// A run in which sums of this purpose do not open when this hospital contributes to them.
fn spoilt(size: u8, rounds: u32, purpose: Purpose, by: u8) -> Cohort {
    let mut cohort = connected(size, rounds);
    for hospital in cohort.hospitals.values_mut() {
        hospital.spoilt = Some((purpose, id(by)));
    }
    cohort
}

/// One in which the first two tries of the first update do not open.
fn spoilt_twice(size: u8) -> Cohort {
    let mut cohort = connected(size, 2);
    for hospital in cohort.hospitals.values_mut() {
        hospital.spoilt_updates = 2;
    }
    cohort
}

fn contributors(cohort: &Cohort, purpose: Purpose) -> Vec<BTreeSet<u8>> {
    let seen = cohort.hospitals[&id(1)].seen.iter();
    let of_purpose = seen.filter(|(seen, ..)| *seen == purpose);
    of_purpose.map(|(_, members, _)| members.clone()).collect()
}

/// U of every update that did not open.
fn not_opened(cohort: &Cohort) -> Vec<Vec<u8>> {
    let events = cohort.events.iter().filter_map(|event| match event {
        Event::DidNotOpen { contributors, .. } => Some(contributors),
        _ => None,
    });
    let numbers = events.map(|ids| ids.iter().map(|id| id.get()).collect());
    numbers.collect()
}

fn facts(cohort: &Cohort, kind: FactKind) -> usize {
    let facts = cohort.disk.facts.iter();
    let kinds = facts.map(|bytes| Fact::from_bytes(bytes).expect("a fact").kind());
    kinds.filter(|found| *found == kind).count()
}

fn assert_complete(cohort: &Cohort, what: &str) {
    let events = cohort.events.iter().rev().take(12);
    let (_, missing) = cohort.completed().unwrap_or_else(|| {
        let events: Vec<_> = events.collect();
        panic!("{what}: stuck in {}: {events:#?}", cohort.phase())
    });
    assert!(missing.is_empty(), "{what}: {missing:?}");
}

fn set(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<u8> {
    numbers.into_iter().collect()
}

/// What was wrong has passed when the update is tried again.
#[test]
fn an_update_that_does_not_open_is_tried_again_with_all() {
    let mut cohort = spoilt_twice(4);
    cohort.run();
    assert_complete(&cohort, "spoilt twice");
    assert_eq!(not_opened(&cohort), vec![vec![1, 2, 3, 4]; 2]);
    assert_eq!(contributors(&cohort, Purpose::Update), vec![set(1..=4); 2]);
    for hospital in cohort.hospitals.values() {
        assert_eq!(hospital.seen, cohort.hospitals[&id(1)].seen);
        assert_eq!(hospital.ending, Some(ToVault::Finished));
    }
    assert!(cohort.disk.blobs.is_empty(), "bytes were left over");
    assert_eq!(facts(&cohort, FactKind::NullStep), 2);
    let lines = cohort.events.iter().filter_map(|event| match event {
        Event::Settled(entry) if !entry.failed.is_empty() => Some(entry),
        _ => None,
    });
    for line in lines {
        assert_eq!(line.sum_root, "00".repeat(32));
        assert!(line.failed.len() >= 3 && line.closed.len() >= 3);
    }
}

#[test]
fn stopped_after_any_effect_such_a_run_ends_alike() {
    type Begin = fn() -> Cohort;
    let runs: [(&str, Begin); 2] = [
        ("update", || spoilt_twice(4)),
        ("evaluation", || spoilt(4, 2, Purpose::Evaluation, 1)),
    ];
    for (what, begin) in runs {
        let mut undisturbed = begin();
        undisturbed.run();
        assert_complete(&undisturbed, what);
        let expected = undisturbed.hospitals[&id(2)].seen.clone();
        for crash in (1..=undisturbed.effects).step_by(2) {
            let mut cohort = begin();
            cohort.crash_after = vec![crash];
            cohort.run();
            let what = format!("{what}, stopped after effect {crash}");
            assert_complete(&cohort, &what);
            for hospital in cohort.hospitals.values() {
                assert_eq!(hospital.seen, expected, "{what}");
            }
            assert!(cohort.disk.blobs.is_empty(), "{what}: bytes were left over");
            assert_nothing_signed_twice(&cohort, &what);
        }
    }
}

#[test]
fn a_hospital_that_was_away_takes_the_null_step_when_it_returns() {
    let mut cohort = spoilt_twice(7);
    // The statistics are seen, and the first update is published.
    let reached = cohort.until(|cohort| {
        cohort.phase() == PhaseName::Publishing
            && cohort.hospitals[&id(1)].seen.len() == 1
            && facts(cohort, FactKind::Outcome) == 2
    });
    assert!(reached);
    cohort.disconnect(id(3));
    cohort.pump();
    cohort.connect(id(3));
    cohort.run();
    assert_complete(&cohort, "one was away");
    assert_eq!(
        cohort.hospitals[&id(3)].seen,
        cohort.hospitals[&id(1)].seen,
        "it is where the others are"
    );
    assert_eq!(not_opened(&cohort).len(), 2);
}

/// Nobody can be spared of two, and what is wrong stays wrong.
#[test]
fn an_update_that_never_opens_is_not_tried_for_ever() {
    let mut cohort = spoilt(2, 1, Purpose::Update, 1);
    cohort.run();
    assert_eq!(not_opened(&cohort), vec![vec![1, 2]; 64]);
    assert!(cohort.failed_with("does not open"), "{:?}", cohort.events);
}

#[test]
fn statistics_that_do_not_open_end_the_run() {
    let mut cohort = spoilt(4, 1, Purpose::Stats, 1);
    cohort.run();
    assert!(cohort.failed_with("round 1 does not open"));
    assert_eq!(facts(&cohort, FactKind::NullStep), 0);
}

#[test]
fn evaluations_that_do_not_open_are_left_out() {
    let mut cohort = spoilt(4, 2, Purpose::Evaluation, 3);
    cohort.run();
    assert!(cohort.completed().is_some(), "{:?}", cohort.events);
    assert_eq!(
        contributors(&cohort, Purpose::Update),
        [set(1..=4), set(1..=4)]
    );
    assert!(contributors(&cohort, Purpose::Evaluation).is_empty());
    assert_eq!(facts(&cohort, FactKind::LeftOut), 2);
}

#[test]
fn a_null_step_that_too_many_do_not_follow_ends_the_run_and_one_is_done_without() {
    let refusing = |numbers: &[u8]| {
        let mut cohort = spoilt_twice(4);
        for number in numbers {
            cohort.hospital(id(*number)).refuses_null_steps = true;
        }
        cohort.run();
        cohort
    };
    let cohort = refusing(&[3, 4]);
    assert!(
        cohort.failed_with("policy.max_null_steps"),
        "{:?}",
        cohort.events
    );
    // The last one says so when the others have gone on.
    for number in 1..=4 {
        let cohort = refusing(&[number]);
        let (_, missing) = cohort.completed().expect("three are enough");
        assert_eq!(missing, [id(number)]);
        // Nobody waits for it in a round, only for whether it comes to fetch the last outcome.
        assert!(cohort.now <= Timestamp(1_000 + 40_000), "{:?}", cohort.now);
    }
}

/// Five of seven settle a round, and six have to contribute to the next.
#[test]
fn a_run_whose_hospitals_stay_behind_ends_when_too_few_are_left() {
    let mut cohort = spoilt_twice(7);
    for number in [6, 7] {
        cohort.hospital(id(number)).refuses_null_steps = true;
    }
    cohort.run();
    assert!(
        cohort.failed_with("the hospitals [6, 7] follow no further update"),
        "{:?}",
        cohort.events
    );
}

/// All have the same bytes: who says that a sum opens which t could not open, lies, and ends nothing.
#[test]
fn one_hospital_cannot_prevent_a_null_step() {
    let mut cohort = spoilt_twice(4);
    cohort.hospital(id(1)).spoilt_updates = 0;
    cohort.run();
    let (_, missing) = cohort.completed().expect("the others go on");
    assert_eq!(missing, [id(1)]);
    assert_eq!(not_opened(&cohort)[0], [1, 2, 3, 4]);
}

#[test]
fn words_on_an_evaluation_that_was_left_out_are_nobodys_fault() {
    let mut cohort = spoilt(4, 1, Purpose::Evaluation, 1);
    cohort.run();
    let rejected = |event: &&Event| matches!(event, Event::Rejected { .. });
    let rejected: Vec<_> = cohort.events.iter().filter(rejected).collect();
    assert!(rejected.is_empty(), "{rejected:?}");
}
