//! What a run says that it waits for, in every phase.

use protocol::{manifest::Purpose, message::ToCoordinator};

use super::{
    cohort::{Cohort, id, manifest},
    hospital::Act,
};
use crate::machine::{Event, Part, PhaseName, Timestamp, WaitState, WaitedFor, WaitingReport};

fn connected() -> Cohort {
    let mut cohort = Cohort::new(4, &manifest(1));
    cohort.connect_all();
    cohort
}

/// All that can happen, while hospitals do not do what is unwanted.
fn pump_without(cohort: &mut Cohort, unwanted: impl Fn(u8, &Act) -> bool) {
    loop {
        for number in 1..=4 {
            while cohort
                .next_act(id(number))
                .is_some_and(|act| unwanted(number, act))
            {
                cohort.forget_act(id(number));
            }
        }
        if !cohort.step() {
            return;
        }
    }
}

fn report(cohort: &Cohort) -> WaitingReport {
    let report = cohort.machine.waiting(cohort.now);
    let report = report.expect("the run is not over");
    assert_eq!(report.phase, cohort.phase());
    report
}

/// Those that are there, by what they have to do.
fn busy(report: &WaitingReport) -> Vec<(u8, Part)> {
    let part = |waited_for: &WaitedFor| match waited_for.state {
        WaitState::Busy(part) => (waited_for.hospital.get(), part),
        other => panic!("{other:?}"),
    };
    report.hospitals.iter().map(part).collect()
}

fn states(report: &WaitingReport) -> Vec<(u8, WaitState)> {
    let state = |waited_for: &WaitedFor| (waited_for.hospital.get(), waited_for.state);
    report.hospitals.iter().map(state).collect()
}

#[test]
fn gathering_waits_for_those_that_have_not_joined() {
    let mut cohort = Cohort::new(4, &manifest(1));
    for number in [1, 2, 3] {
        cohort.connect(id(number));
    }
    pump_without(&mut cohort, |number, act| {
        number == 3 && matches!(act, Act::Say(ToCoordinator::Join(_)))
    });
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::Gathering);
    assert_eq!(found.round, None);
    assert_eq!(
        states(&found),
        [
            (3, WaitState::Busy(Part::Join)),
            (4, WaitState::NotConnected)
        ]
    );
    assert_eq!(
        found.to_string(),
        "the run waits for hospital 3: joining, last heard 0 s ago; hospital 4: not connected yet (1 s so far)"
    );
}

#[test]
fn the_key_exchange_waits_for_those_that_are_not_ready() {
    let mut cohort = connected();
    pump_without(&mut cohort, |number, act| {
        number == 2 && matches!(act, Act::Say(ToCoordinator::Ready(_)))
    });
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::KeyExchange);
    assert_eq!(busy(&found), [(2, Part::ExchangeKeys)]);

    let mut cohort = connected();
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::KeyExchange));
    assert_eq!(
        busy(&report(&cohort)).len(),
        4,
        "of all, before there is a group key"
    );
}

#[test]
fn collecting_waits_for_contributions_then_for_acknowledgements() {
    let mut cohort = connected();
    pump_without(&mut cohort, |number, act| {
        number == 3 && matches!(act, Act::Upload { .. })
    });
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::Collecting);
    assert_eq!(found.round.map(|round| round.get()), Some(1));
    assert_eq!(busy(&found), [(3, Part::Count)]);
    cohort.now = Timestamp(cohort.now.0 + 12_000);
    let found = report(&cohort);
    assert_eq!(
        (found.waited_secs, found.hospitals[0].last_heard_secs),
        (12, Some(12))
    );
    assert_eq!(states(&found), [(3, WaitState::Silent)]);
    assert_eq!(
        found.to_string(),
        "round 1 waits for hospital 3: silent 12 s (12 s so far, 588 s more at the most)"
    );
    cohort.disconnect(id(3));
    // A sum of statistics waits for a lost connection, too.
    assert_eq!(states(&report(&cohort)), [(3, WaitState::Away)]);

    let mut cohort = connected();
    pump_without(&mut cohort, |number, act| {
        number == 3 && matches!(act, Act::Say(ToCoordinator::BoxAck(_)))
    });
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::Collecting);
    assert_eq!(busy(&found), [(3, Part::Acknowledge)]);
    assert_eq!(found.ends_in_secs, Some(30));
}

#[test]
fn unlocking_and_publishing_wait_for_those_that_have_said_nothing() {
    let mut cohort = connected();
    pump_without(&mut cohort, |number, act| {
        number > 2 && matches!(act, Act::Say(ToCoordinator::UnlockShare(_)))
    });
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::Unlocking);
    assert_eq!(busy(&found), [(3, Part::Answer), (4, Part::Answer)]);

    let mut cohort = connected();
    pump_without(&mut cohort, |number, act| {
        number > 2 && matches!(act, Act::Fetch { .. })
    });
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::Publishing);
    assert_eq!(found.round.map(|round| round.get()), Some(1));
    assert_eq!(busy(&found), [(3, Part::Open), (4, Part::Open)]);
}

#[test]
fn between_two_rounds_those_are_waited_for_that_are_not_here() {
    let mut cohort = connected();
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Publishing));
    pump_without(&mut cohort, |number, act| {
        number > 1 && matches!(act, Act::Say(ToCoordinator::RoundClosed(_)))
    });
    // Two of them close it before they are cut off, and the round is settled.
    for number in [2, 3] {
        let closed = cohort.hospital(id(number)).last_closed();
        let now = cohort.now;
        if number == 3 {
            cohort.disconnect(id(2));
        }
        cohort.machine.handle_message(id(number), closed, now);
    }
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::Waiting, "{found}");
    assert_eq!(
        states(&found),
        [(2, WaitState::Away), (4, WaitState::Busy(Part::CatchUp))]
    );
    assert!(
        found.to_string().starts_with("the next round waits for"),
        "{found}"
    );
}

#[test]
fn the_last_outcomes_are_kept_for_who_is_away_as_long_as_is_set() {
    let mut cohort = connected();
    cohort.machine = cohort.machine.serving_outcomes_for(600);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.disconnect(id(4));
    cohort.pump();
    for _ in 0..10 {
        if cohort.phase() != PhaseName::Finishing {
            cohort.wait();
        }
    }
    let found = report(&cohort);
    assert_eq!(found.phase, PhaseName::Finishing);
    assert_eq!(states(&found), [(4, WaitState::Away)]);
    assert_eq!(found.ends_in_secs, Some(600));
    let began = cohort.now;
    cohort.now = Timestamp(began.0 + 599_000);
    cohort.machine.handle_timeout(cohort.now);
    assert_eq!(
        cohort.phase(),
        PhaseName::Finishing,
        "also long after it is given up for rounds"
    );
    cohort.connect(id(4));
    cohort.pump();
    let (_, missing) = cohort.completed().expect("all have it");
    assert!(missing.is_empty());
    assert_eq!(cohort.machine.waiting(cohort.now), None);

    let mut cohort = connected();
    cohort.machine = cohort.machine.serving_outcomes_for(600);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.disconnect(id(4));
    cohort.run();
    let (_, missing) = cohort.completed().expect("the limit has passed");
    assert_eq!(missing, [id(4)]);
    assert!(cohort.now >= Timestamp(600_000));
}

#[test]
fn a_paused_run_opens_no_further_sum_until_it_goes_on() {
    let mut cohort = connected();
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Collecting));
    cohort
        .machine
        .pause(true, cohort.now)
        .expect("it is under way");
    // The sum at hand is finished.
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 1));
    cohort.pump();
    for _ in 0..20 {
        cohort.wait();
        cohort.pump();
    }
    assert_eq!(cohort.phase(), PhaseName::Waiting);
    assert!(cohort.machine.is_paused());
    assert_eq!(cohort.hospitals[&id(1)].seen.len(), 1);
    cohort
        .machine
        .pause(false, cohort.now)
        .expect("it is under way");
    cohort.run();
    assert!(cohort.completed().is_some());
    let over = cohort.machine.pause(true, cohort.now);
    assert!(over.is_err());
}

/// A hospital that is gone for long means that the others go on without its evaluation, but not while nothing goes on.
#[test]
fn while_a_run_is_paused_no_evaluation_is_given_up() {
    let mut cohort = Cohort::new(4, &manifest(2));
    cohort.connect_all();
    let evaluated = |cohort: &Cohort| {
        let seen = cohort.hospitals[&id(1)].seen.iter();
        let evaluations = seen.filter(|(purpose, ..)| *purpose == Purpose::Evaluation);
        (evaluations.count(), cohort.hospitals[&id(1)].seen.len())
    };
    // The statistics, the first round with its evaluation, and the second update.
    assert!(cohort.until(|cohort| evaluated(cohort) == (1, 4)));
    cohort
        .machine
        .pause(true, cohort.now)
        .expect("it is under way");
    cohort.disconnect(id(4));
    cohort.pump();
    for _ in 0..50 {
        cohort.wait();
        cohort.now = Timestamp(cohort.now.0 + 60_000);
        cohort.machine.handle_timeout(cohort.now);
        cohort.pump();
    }
    assert_eq!(cohort.phase(), PhaseName::Waiting);
    let given_up = |event: &Event| matches!(event, Event::Abandoned { .. });
    assert!(!cohort.events.iter().any(given_up));
    cohort.connect(id(4));
    cohort.pump();
    cohort
        .machine
        .pause(false, cohort.now)
        .expect("it is under way");
    cohort.run();
    assert_eq!(evaluated(&cohort), (2, 5));
}
