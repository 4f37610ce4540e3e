//! Each check of the faulty rounds is shown something that it must not let pass.

use cohort::{Cohort, Ending, Observation, Scenario, Training, Violation, check_notes, id};
use crypto::sealed_sum::{HospitalId, OpenedSum};
use participant::vault::OpenedRound;
use protocol::{
    identity::Signed,
    manifest::Purpose,
    message::{Hello, ToCoordinator, ToVault},
    roster::testing::federation,
    round::unlock::UnlockRequest,
};
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// A run of four hospitals in which nothing goes wrong.
fn undisturbed() -> Scenario {
    let mut scenarios = (0..).map(Scenario::of_seed);
    let mut scenario = scenarios
        .find(|scenario| scenario.size == 4 && scenario.manifest.rounds == 2)
        .expect("one of the next");
    scenario.operations.clear();
    scenario
}

/// What an onlooker of that run sees.
fn notes() -> (Scenario, Vec<Observation>) {
    let scenario = undisturbed();
    let mut cohort = scenario.cohort();
    cohort.keep_notes();
    let report = scenario.play_with(&mut cohort);
    assert_eq!(report.ending, Ending::Complete, "{report:?}");
    (scenario, cohort.take_notes())
}

/// The violations that the checks find in these notes.
fn found_in(scenario: &Scenario, notes: &[Observation]) -> Vec<Violation> {
    check_notes(scenario.size, &scenario.manifest, Training::Drawn, notes)
}

/// What is found when the first note that `change` wants to change is changed.
fn found_after(mut change: impl FnMut(&mut Observation) -> bool) -> Vec<Violation> {
    let (scenario, mut notes) = notes();
    assert!(notes.iter_mut().any(&mut change), "there is such a note");
    found_in(&scenario, &notes)
}

fn opened_by(
    hospital: HospitalId,
    purpose: Purpose,
    change: impl Fn(&mut OpenedRound),
) -> impl FnMut(&mut Observation) -> bool {
    move |note| match note {
        Observation::Opened { by, opened } if *by == hospital && opened.purpose == purpose => {
            change(opened);
            true
        }
        _ => false,
    }
}

/// The first hospital to open an update.
fn first_to_open() -> HospitalId {
    let (_, notes) = notes();
    let first = notes.iter().find_map(|note| match note {
        Observation::Opened { by, opened } if opened.purpose == Purpose::Update => Some(*by),
        _ => None,
    });
    first.expect("updates are opened")
}

fn assert_found(found: &[Violation], is_it: impl Fn(&Violation) -> bool) {
    assert!(found.iter().any(is_it), "{found:?}");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let (scenario, notes) = notes();
    assert_eq!(found_in(&scenario, &notes), []);
}

#[test]
fn an_update_that_is_not_the_trainers_is_found_in_the_sum() {
    let scenario = undisturbed();
    let mut cohort = scenario.cohort();
    cohort.spoil_update = Box::new(|who, update| {
        if who == id(2) {
            update.model[0] += 1e-3;
        }
    });
    let report = scenario.play_with(&mut cohort);
    assert_eq!(report.ending, Ending::Violated);
    assert_found(
        &report.violations,
        |found| matches!(found, Violation::WrongSum { what, .. } if what.starts_with("value 0 ")),
    );
}

#[test]
fn a_sum_that_is_off_by_one_is_found() {
    let found = found_after(opened_by(first_to_open(), Purpose::Update, |opened| {
        let sum = &opened.sum;
        let mut counters = sum.counters.clone();
        counters[0] += 1;
        opened.sum = Arc::new(OpenedSum {
            values: sum.values.clone(),
            counters,
            contributors: sum.contributors,
            largest_noise: sum.largest_noise,
            wrong_answers: Vec::new(),
        });
    }));
    assert_found(
        &found,
        |found| matches!(found, Violation::WrongSum { what, .. } if what.starts_with("counter 0 ")),
    );
}

#[test]
fn a_model_that_does_not_follow_from_its_sum_is_found() {
    let found = found_after(opened_by(first_to_open(), Purpose::Update, |opened| {
        opened.model_hash = [9; 32].into();
    }));
    assert_found(
        &found,
        |found| matches!(found, Violation::WrongSum { what, .. } if what.contains("does not follow")),
    );
}

#[test]
fn contributors_that_are_not_those_of_the_sum_are_found() {
    let found = found_after(opened_by(first_to_open(), Purpose::Update, |opened| {
        opened.contributors.pop();
    }));
    assert_found(
        &found,
        |found| matches!(found, Violation::WrongSum { what, .. } if what == "the contributors are not U"),
    );
}

/// A coordinator that puts a contribution of an earlier round into a later one.
#[test]
fn a_contribution_in_another_round_is_found() {
    let (scenario, mut notes) = notes();
    let mut earlier = None;
    for note in &mut notes {
        let Observation::Requested { contributors, .. } = note else {
            continue;
        };
        match earlier {
            None => earlier = Some(contributors[0]),
            Some(contributor) => contributors[0] = contributor,
        }
    }
    assert_found(
        &found_in(&scenario, &notes),
        |found| matches!(found, Violation::WrongSum { what, .. } if what.contains("has made no such contribution")),
    );
}

/// The same updates under a second header: what is opened twice for one model gives away the difference.
#[test]
fn a_second_opened_sum_on_one_model_is_found() {
    let (scenario, mut notes) = notes();
    let is_update = |note: &Observation| match note {
        Observation::HeaderOpened { header, .. } => header.purpose == Purpose::Update,
        _ => false,
    };
    let mut header = notes
        .iter()
        .find(|note| is_update(note))
        .cloned()
        .expect("updates");
    let first = first_to_open();
    let opening = notes.iter().find(|note| {
        matches!(note, Observation::Opened { by, opened } if *by == first && opened.purpose == Purpose::Update)
    });
    let mut opening = opening.cloned().expect("updates are opened");
    if let (Observation::HeaderOpened { hash, header }, Observation::Opened { opened, .. }) =
        (&mut header, &mut opening)
    {
        *hash = [9; 32].into();
        header.round = (header.round.get() + 100).into();
        opened.round = header.round;
    }
    notes.extend([header, opening]);
    assert_found(&found_in(&scenario, &notes), |found| {
        matches!(
            found,
            Violation::OpenedTwice {
                purpose: Purpose::Update
            }
        )
    });
}

#[test]
fn two_vaults_that_make_different_things_of_a_round_are_found() {
    let first = first_to_open();
    let other = if first == id(1) { id(2) } else { id(1) };
    let found = found_after(opened_by(other, Purpose::Update, |opened| {
        opened.transcript = [9; 32].into();
    }));
    assert_found(
        &found,
        |found| matches!(found, Violation::Disagreement { by, .. } if *by == other),
    );
}

#[test]
fn a_hospital_that_ends_with_another_model_is_found() {
    let found = found_after(|note| match note {
        Observation::Completed { model, .. } => {
            *model = [9; 32].into();
            true
        }
        _ => false,
    });
    assert_found(&found, |found| matches!(found, Violation::WrongEnd { .. }));
}

/// A coordinator that asks hospital 1 for a second set of contributors, and what hospital 1 answers.
fn asked_for_two_sets(forgets: bool) -> Vec<Violation> {
    let key = federation(4).coordinator_key;
    let scenario = undisturbed();
    let mut run = Cohort::immediate(4, &scenario.manifest);
    run.check_invariants(&scenario.manifest);
    if forgets {
        run.make_forgetful(id(1));
    }
    let asked: Rc<RefCell<Option<UnlockRequest>>> = Rc::default();
    let seen = asked.clone();
    run.interference = Box::new(move |to, message| {
        if let (ToVault::UnlockRequest(request), true) = (&message, to == id(1)) {
            let request = request.read_unverified().expect("the coordinator's");
            seen.borrow_mut().get_or_insert(request);
        }
        (to == id(1) || !matches!(message, ToVault::UnlockRequest(_))).then_some(message)
    });
    run.connect_all();
    let mut fewer = asked.borrow().clone().expect("asked once");
    fewer.contributors.0.pop();
    run.deliver(id(1), &ToVault::UnlockRequest(Signed::sign(&fewer, &key)));
    run.violations().to_vec()
}

#[test]
fn a_vault_that_answers_for_two_sets_is_found_and_its_journal_is_what_prevents_it() {
    assert_eq!(asked_for_two_sets(false), []);
    assert_found(
        &asked_for_two_sets(true),
        |found| matches!(found, Violation::SecondAnswer { by, purpose: Purpose::Stats } if *by == id(1)),
    );
}

#[test]
fn an_answer_under_a_header_that_is_not_the_last_accepted_is_found() {
    let mut earlier = None;
    let found = found_after(|note| match note {
        Observation::Answered { by, header, .. } if *by == id(3) => match earlier {
            None => {
                earlier = Some(*header);
                false
            }
            Some(earlier) => {
                *header = earlier;
                true
            }
        },
        _ => false,
    });
    assert_found(
        &found,
        |found| matches!(found, Violation::NotItsHeader { by, what: "answered" } if *by == id(3)),
    );
}

#[test]
fn a_header_that_was_accepted_out_of_turn_is_found() {
    let (scenario, mut notes) = notes();
    let first = notes
        .iter()
        .find(|note| matches!(note, Observation::HeaderAccepted { .. }))
        .cloned()
        .expect("headers are accepted");
    notes.push(first);
    assert_found(&found_in(&scenario, &notes), |found| {
        matches!(found, Violation::WrongHeader { .. })
    });
}

#[test]
fn a_message_to_somebody_else_is_found() {
    let stranger = found_after(|note| match note {
        Observation::Said { to, .. } => {
            *to = id(99);
            true
        }
        _ => false,
    });
    assert_found(
        &stranger,
        |found| matches!(found, Violation::Misaddressed { to } if *to == id(99)),
    );
    let absent = found_after(|note| match note {
        Observation::Said { connected, .. } => {
            *connected = false;
            true
        }
        _ => false,
    });
    assert_found(&absent, |found| {
        matches!(found, Violation::Misaddressed { .. })
    });
    let mixed_up = found_after(|note| match note {
        Observation::Said {
            meant_for: Some(meant_for),
            ..
        } => {
            *meant_for = id(1);
            true
        }
        _ => false,
    });
    assert_found(&mixed_up, |found| {
        matches!(found, Violation::Misaddressed { .. })
    });
}

#[test]
fn somebody_who_is_blamed_is_found() {
    let scenario = undisturbed();
    let mut cohort = scenario.cohort();
    cohort.spoil_outcome = Box::new(|outcome| outcome.sum.0[1] ^= 0x10);
    let report = scenario.play_with(&mut cohort);
    assert_found(&report.violations, |found| {
        matches!(found, Violation::HonestBlamed { .. })
    });
}

#[test]
fn a_vault_that_stops_is_found() {
    let scenario = undisturbed();
    let mut cohort = scenario.cohort();
    cohort.interference = Box::new(|to, message| match message {
        ToVault::RoundOpen(_) if to == id(4) => Some(ToVault::Refused {
            reason: "for no reason".into(),
        }),
        other => Some(other),
    });
    let report = scenario.play_with(&mut cohort);
    assert_found(
        &report.violations,
        |found| matches!(found, Violation::Stopped { by, .. } if *by == id(4)),
    );
}

/// A vault that introduces itself whenever it should join.
#[test]
fn two_parties_that_answer_each_other_for_ever_are_found() {
    let scenario = undisturbed();
    let mut cohort = scenario.cohort();
    cohort.lie = Box::new(|who, _, output| match &output {
        participant::vault::VaultOutput::Send(message)
            if who == id(2) && matches!(**message, ToCoordinator::Join(_)) =>
        {
            let hello = ToCoordinator::Hello(Hello { resume: None });
            participant::vault::VaultOutput::Send(Box::new(hello))
        }
        _ => output,
    });
    let report = scenario.play_with(&mut cohort);
    assert_found(&report.violations, |found| {
        matches!(found, Violation::Livelock { .. })
    });
}

#[test]
fn a_run_that_waits_for_no_reason_is_found() {
    let scenario = undisturbed();
    let mut cohort = scenario.cohort();
    cohort.interference =
        Box::new(|_, message| (!matches!(message, ToVault::UnlockRequest(_))).then_some(message));
    let report = scenario.play_with(&mut cohort);
    assert_found(&report.violations, |found| {
        matches!(found, Violation::Unexplained { .. })
    });
}

#[test]
fn a_timer_that_spins_is_found() {
    let (scenario, mut notes) = notes();
    notes.push(Observation::TimerSpins);
    assert_eq!(found_in(&scenario, &notes), [Violation::TimerSpins]);
}
