//! Messages of the set-up that are not what they should be: they are refused at once, whenever they come, and the right one is taken
//! after them.

use protocol::{
    codec::Id,
    culprit::Culprit,
    identity::{Message, Signed},
    message::ToCoordinator,
    session::{Encapsulation, GroupKey, Ready},
};

use super::{
    cohort::{Cohort, connected, id},
    hospital::FakeHospital,
};
use crate::machine::{Event, MachineError, PhaseName, set_up_check};

/// A message of a hospital, with one thing in it changed.
type Spoilt = (&'static str, ToCoordinator);

fn changed<T: Message>(
    hospital: &FakeHospital,
    signed: &Signed<T>,
    change: impl FnOnce(&mut T),
) -> Signed<T> {
    let mut body = signed.read_unverified().expect("its own form");
    change(&mut body);
    hospital.sign(&body)
}

fn encapsulations(hospital: &FakeHospital) -> Vec<Spoilt> {
    let ToCoordinator::Encapsulation(right) = hospital.encapsulation(id(2)) else {
        unreachable!("an encapsulation");
    };
    let with = |words, change: &dyn Fn(&mut Encapsulation)| {
        let spoilt = changed(hospital, &right, |body| change(body));
        (words, ToCoordinator::Encapsulation(spoilt))
    };
    vec![
        with("another session", &|body| body.session = [9; 16].into()),
        with("another roster", &|body| body.roster_hash = [9; 32].into()),
        with("not a member with a larger number", &|body| {
            body.to = Id(id(1))
        }),
        with("not a member with a larger number", &|body| {
            body.to = Id(id(9))
        }),
        with("speaks for hospital 2", &|body| body.from = Id(id(2))),
    ]
}

fn encapsulations_of_other_joins(hospital: &FakeHospital) -> Vec<Spoilt> {
    let ToCoordinator::Encapsulation(right) = hospital.encapsulation(id(2)) else {
        unreachable!("an encapsulation");
    };
    let with = |words, change: &dyn Fn(&mut Encapsulation)| {
        let spoilt = changed(hospital, &right, |body| change(body));
        (words, ToCoordinator::Encapsulation(spoilt))
    };
    vec![
        with("another Join", &|body| body.from_join = [9; 32].into()),
        with("another Join", &|body| body.to_join = [9; 32].into()),
    ]
}

fn group_keys(hospital: &FakeHospital) -> Vec<Spoilt> {
    let ToCoordinator::GroupKey(right) = hospital.group_key() else {
        unreachable!("a group key");
    };
    let with = |words, change: &dyn Fn(&mut GroupKey)| {
        let spoilt = changed(hospital, &right, |body| change(body));
        (words, ToCoordinator::GroupKey(spoilt))
    };
    vec![
        with("another session", &|body| body.session = [9; 16].into()),
        with("of generation 2", &|body| body.generation = 2),
        with("from round 2 on", &|body| body.first_round = 2.into()),
        with("does not name each", &|body| {
            body.sealed.0.pop();
        }),
        with("does not name each", &|body| {
            let one = body.sealed.0[0].clone();
            body.sealed.0.extend(vec![one; 80_000]);
        }),
    ]
}

fn readies(hospital: &FakeHospital) -> Vec<Spoilt> {
    let ToCoordinator::Ready(right) = hospital.ready() else {
        unreachable!("a Ready");
    };
    let with = |words, change: &dyn Fn(&mut Ready)| {
        let spoilt = changed(hospital, &right, |body| change(body));
        (words, ToCoordinator::Ready(spoilt))
    };
    vec![
        with("another session", &|body| body.session = [9; 16].into()),
        with("does not name each", &|body| {
            body.encapsulations.0.pop();
        }),
        with("does not name each", &|body| {
            let one = body.encapsulations.0[0].clone();
            body.encapsulations.0.extend(vec![one; 80_000]);
        }),
        with("does not name each", &|body| {
            body.encapsulations.0[0].peer = Id(id(1));
        }),
    ]
}

fn readies_that_disagree(hospital: &FakeHospital) -> Vec<Spoilt> {
    let ToCoordinator::Ready(right) = hospital.ready() else {
        unreachable!("a Ready");
    };
    let with = |words, change: &dyn Fn(&mut Ready)| {
        let spoilt = changed(hospital, &right, |body| change(body));
        (words, ToCoordinator::Ready(spoilt))
    };
    vec![
        with("another set of members", &|body| {
            body.joined_set = [9; 32].into()
        }),
        with("another group key", &|body| body.gid = [9; 32].into()),
        with("another encapsulation", &|body| {
            body.encapsulations.0[0].digest = [9; 32].into();
        }),
    ]
}

/// Hospital 1 says all of these, each is refused in its name, and the run goes on as if nothing had been said.
fn are_refused(mut cohort: Cohort, spoilt: Vec<Spoilt>) {
    for (words, message) in spoilt {
        cohort.events.clear();
        cohort.machine.handle_message(id(1), message, cohort.now);
        while let Some(output) = cohort.machine.poll_output() {
            cohort.carry_out(output);
        }
        assert!(
            cohort.rejected_with(id(1), words),
            "{words}: {:?}",
            cohort.events
        );
    }
    cohort.events.clear();
    cohort.run();
    assert!(cohort.completed().is_some());
    let is_rejected = |event: &Event| matches!(event, Event::Rejected { .. });
    assert!(!cohort.events.iter().any(is_rejected));
}

fn until(holds: impl Fn(&Cohort) -> bool) -> Cohort {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(holds));
    cohort
}

#[test]
fn before_all_have_joined() {
    let cohort = until(|cohort| cohort.hospitals[&id(1)].is_welcomed());
    assert_eq!(cohort.phase(), PhaseName::Gathering);
    let hospital = cohort.hospitals[&id(1)].clone();
    // Who takes part is not known yet: that one is left out is found later.
    let leaves_one_out = |message: &ToCoordinator| match message {
        ToCoordinator::GroupKey(message) => {
            message
                .read_unverified()
                .expect("its own form")
                .sealed
                .len()
                < 3
        }
        ToCoordinator::Ready(message) => {
            let body = message.read_unverified().expect("its own form");
            body.encapsulations.len() < 3
        }
        _ => false,
    };
    let mut spoilt = [
        encapsulations(&hospital),
        group_keys(&hospital),
        readies(&hospital),
    ]
    .concat();
    spoilt.retain(|(_, message)| !leaves_one_out(message));
    are_refused(cohort, spoilt);
}

#[test]
fn while_keys_are_exchanged() {
    let cohort = until(|cohort| cohort.hospitals[&id(1)].knows_joins());
    let hospital = cohort.hospitals[&id(1)].clone();
    let spoilt = [
        encapsulations(&hospital),
        encapsulations_of_other_joins(&hospital),
        group_keys(&hospital),
        readies(&hospital),
    ];
    are_refused(cohort, spoilt.concat());
}

#[test]
fn a_ready_for_other_keys_than_were_relayed() {
    let cohort = until(|cohort| cohort.hospitals[&id(1)].knows_group_key());
    let hospital = cohort.hospitals[&id(1)].clone();
    are_refused(
        cohort,
        [readies(&hospital), readies_that_disagree(&hospital)].concat(),
    );
}

#[test]
fn what_another_has_signed_is_not_held() {
    let cohort = until(|cohort| cohort.hospitals[&id(1)].is_welcomed());
    let other = cohort.hospitals[&id(1)].clone();
    let mut cohort = cohort;
    for message in [other.encapsulation(id(2)), other.group_key(), other.ready()] {
        cohort.machine.handle_message(id(3), message, cohort.now);
    }
    cohort.run();
    assert!(cohort.rejected_with(id(3), "the signature"));
    assert!(cohort.completed().is_some());
}

#[test]
fn what_is_refused_names_its_signer() {
    let cohort = until(|cohort| cohort.hospitals[&id(1)].is_welcomed());
    let hospital = &cohort.hospitals[&id(1)];
    let (_, message) = readies(hospital).remove(1);
    let ToCoordinator::Ready(message) = message else {
        unreachable!("a Ready");
    };
    let members = (1..=4).map(id).collect();
    let error = set_up_check::ready(&cohort.machine.context, id(1), &message, Some(&members));
    let error: MachineError = error.expect_err("one is missing");
    assert_eq!(error.culprit(), Culprit::Hospital(id(1)));
}

/// A Ready that names what was not repeated yet is held, the last one of each hospital, until it can be compared.
#[test]
fn a_ready_that_comes_before_what_it_names_waits_for_it() {
    let mut cohort = until(|cohort| cohort.hospitals[&id(4)].knows_joins());
    let last = cohort.hospitals[&id(4)].clone();
    let ToCoordinator::Ready(right) = last.ready() else {
        unreachable!("a Ready");
    };
    let stale = changed(&last, &right, |body| body.gid = [9; 32].into());
    for message in [&stale, &stale] {
        let message = ToCoordinator::Ready(message.clone());
        cohort.machine.handle_message(id(4), message, cohort.now);
    }
    assert_eq!(cohort.phase(), PhaseName::KeyExchange);
    cohort.run();
    assert!(cohort.completed().is_some());
    let repeats = cohort
        .events
        .iter()
        .filter(|event| matches!(event, Event::Ignored { hospital, .. } if *hospital == id(4)));
    assert!(repeats.count() >= 1, "the second was a repeat");
}
