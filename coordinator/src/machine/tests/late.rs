//! What comes too late, a second time, or after a restart that cut it off: nobody is harmed by it who kept the rules.

use protocol::{
    manifest::{Conditioning, Purpose},
    message::{Hello, ToCoordinator, ToVault},
    round::{
        RoundError,
        outcome::{RoundClosed, RoundFailed},
    },
};

use super::{
    cohort::{Cohort, connected, id, manifest},
    hospital::Act,
    runs::sum,
    table::ENCRYPTED,
};
use crate::machine::{Event, InputKind, MachineError, Output, PhaseName, Timestamp};

fn is_at(purpose: Purpose) -> impl Fn(&Cohort) -> bool {
    move |cohort| {
        let header = cohort.hospitals[&id(1)].header();
        header.is_some_and(|header| header.purpose == purpose)
            && matches!(cohort.next_act(id(1)), Some(Act::Upload { .. }))
    }
}

fn drain(cohort: &mut Cohort) {
    while let Some(output) = cohort.machine.poll_output() {
        cohort.carry_out(output);
    }
}

fn ignored(cohort: &Cohort, kind: InputKind, why: &str) -> bool {
    let mut events = cohort.events.iter();
    events.any(|event| {
        matches!(event, Event::Ignored { message, reason, .. } if *message == kind && *reason == why)
    })
}

#[test]
fn an_upload_of_a_replaced_header_does_not_excuse_from_the_new_one() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 1));
    let of_the_last_round = cohort.hospitals[&id(1)].last_upload();
    assert!(cohort.until(is_at(Purpose::Evaluation)));
    let late = cohort
        .machine
        .handle_upload(id(1), of_the_last_round, cohort.now);
    assert!(
        matches!(
            late,
            Err(MachineError::Round {
                fault: RoundError::OtherRound { .. },
                ..
            })
        ),
        "{late:?}"
    );
    cohort.pump();
    assert_eq!(
        cohort.hospitals[&id(1)].seen.last(),
        Some(&sum(Purpose::Evaluation, &[1, 2, 3, 4]))
    );
}

#[test]
fn a_contribution_is_not_left_out_because_all_are_cut_off_before_they_acknowledge_it() {
    for purpose in [Purpose::Stats, Purpose::Update, Purpose::Evaluation] {
        let mut cohort = connected(4, 1);
        let uploads_next = |cohort: &Cohort| {
            (1..=4).all(|number| matches!(cohort.next_act(id(number)), Some(Act::Upload { .. })))
        };
        assert!(cohort.until(|cohort| is_at(purpose)(cohort) && uploads_next(cohort)));
        (1..=4).for_each(|number| cohort.act_for(id(number)));
        (1..=4).for_each(|number| cohort.disconnect(id(number)));
        assert_eq!(cohort.phase(), PhaseName::Collecting, "{purpose:?}");
        cohort.connect_all();
        cohort.run();
        let mut seen = cohort.hospitals[&id(4)].seen.iter();
        let all = sum(purpose, &[1, 2, 3, 4]);
        assert!(seen.any(|seen| *seen == all), "{purpose:?}");
    }
}

#[test]
fn an_evaluation_that_ends_late_does_not_excuse_from_the_next_update() {
    let mut cohort = Cohort::new(4, &large(2));
    cohort.connect_all();
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 3));
    let of_the_evaluation = cohort.hospitals[&id(1)].last_upload();
    assert!(cohort.until(is_at(Purpose::Update)));
    let late = cohort
        .machine
        .handle_upload(id(1), of_the_evaluation, cohort.now);
    assert!(
        matches!(
            late,
            Err(MachineError::Round {
                fault: RoundError::WrongLength { .. },
                ..
            })
        ),
        "{late:?}"
    );
    cohort.pump();
    assert_eq!(
        cohort.hospitals[&id(1)].seen[3],
        sum(Purpose::Update, &[1, 2, 3, 4])
    );
}

/// A run whose updates are longer than its evaluations.
fn large(rounds: u32) -> protocol::manifest::Manifest {
    let mut manifest = manifest(rounds);
    manifest.layout.tensors.0[0].shape.0 = vec![100, 100];
    manifest
}

#[test]
fn an_acknowledgement_or_refusal_of_a_round_with_an_outcome_was_overtaken() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].has_answered()));
    let hospital = cohort.hospitals[&id(1)].clone();
    assert!(cohort.until(is_at(Purpose::Update)));
    for late in [hospital.ack(), hospital.refusal(), hospital.last_share()] {
        cohort.machine.handle_message(id(1), late, cohort.now);
    }
    drain(&mut cohort);
    let overtaken = "its round has its outcome already";
    for kind in [
        InputKind::BoxAck,
        InputKind::HeaderRefused,
        InputKind::UnlockShare,
    ] {
        assert!(ignored(&cohort, kind, overtaken), "{kind}");
    }
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Unlocking));
    let late = hospital.last_share();
    cohort.machine.handle_message(id(1), late, cohort.now);
    cohort.run();
    assert!(!cohort.rejected_with(id(1), ""), "{:?}", cohort.events);
    assert!(cohort.completed().is_some());
}

#[test]
fn a_second_different_word_on_an_outcome_is_refused() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| {
        let next = cohort.next_act(id(1));
        matches!(next, Some(Act::Say(ToCoordinator::RoundClosed(_))))
    }));
    cohort.act_for(id(1));
    let ToCoordinator::RoundClosed(first) = cohort.hospitals[&id(1)].last_closed() else {
        unreachable!("it has closed the round");
    };
    let mut body: RoundClosed = first.read_unverified().expect("its own form");
    body.result_commit = [9; 32].into();
    let second = cohort.hospitals[&id(1)].sign(&body);
    for (word, repeats) in [(first, true), (second, false)] {
        cohort.events.clear();
        let word = ToCoordinator::RoundClosed(word);
        cohort.machine.handle_message(id(1), word, cohort.now);
        drain(&mut cohort);
        let known = ignored(&cohort, InputKind::RoundClosed, "it repeats what is known");
        assert_eq!(known, repeats);
        let refused = cohort.rejected_with(id(1), "closes round 1 in another way");
        assert_eq!(refused, !repeats);
    }
    cohort.run();
    assert!(cohort.completed().is_some());
}

#[test]
fn a_failure_of_another_u_is_not_one_of_this_round() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 1));
    let hospital = cohort.hospitals[&id(1)].clone();
    let ToCoordinator::RoundFailed(right) = hospital.failed() else {
        unreachable!("a failure");
    };
    let mut body: RoundFailed = right.read_unverified().expect("its own form");
    body.contributors = [9; 32].into();
    let message = ToCoordinator::RoundFailed(hospital.sign(&body));
    cohort.machine.handle_message(id(1), message, cohort.now);
    drain(&mut cohort);
    assert!(cohort.rejected_with(id(1), "has no outcome here"));
}

#[test]
fn a_key_or_features_under_a_number_that_is_known_are_repeats_or_refused() {
    let encrypted = protocol::manifest::Manifest {
        conditioning: Conditioning::EncryptedHardened,
        ..manifest(1)
    };
    let mut cohort = Cohort::new(4, &encrypted);
    cohort.connect_all();
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Collecting));
    let mut other_key = ENCRYPTED.key.clone();
    other_key.bytes.0[0] ^= 1;
    let mut other_features = ENCRYPTED.features.clone();
    other_features.bytes.0[0] ^= 1;
    for message in [
        ToCoordinator::EvaluationKey(ENCRYPTED.key.clone()),
        ToCoordinator::EvaluationKey(ENCRYPTED.key.clone()),
        ToCoordinator::EvaluationKey(other_key),
        ToCoordinator::EncryptedFeatures(ENCRYPTED.features.clone()),
        ToCoordinator::EncryptedFeatures(ENCRYPTED.features.clone()),
        ToCoordinator::EncryptedFeatures(other_features),
    ] {
        cohort.machine.handle_message(id(1), message, cohort.now);
    }
    drain(&mut cohort);
    let repeated = "it repeats what is known";
    assert!(ignored(&cohort, InputKind::EvaluationKey, repeated));
    assert!(ignored(&cohort, InputKind::EncryptedFeatures, repeated));
    assert!(cohort.rejected_with(id(1), "a second, different CKKS key of number 1"));
    assert!(cohort.rejected_with(id(1), "second, different features of block 0"));
}

/// Its participant is started again and again without the keys of the session, and refused each time.
#[test]
fn a_hospital_that_is_refused_again_and_again_is_waited_for_like_one_that_is_gone() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(is_at(Purpose::Stats)));
    cohort.disconnect(id(4));
    cohort.pump();
    assert_eq!(cohort.phase(), PhaseName::Collecting, "statistics wait");
    let gone_since = cohort.now;
    while cohort.phase() == PhaseName::Collecting {
        cohort.now = Timestamp(cohort.now.0 + 10_000);
        assert!(
            cohort.now.0 <= gone_since.0 + 40_000,
            "it is waited for still"
        );
        cohort.machine.handle_connected(id(4), cohort.now);
        let hello = ToCoordinator::Hello(Hello { resume: None });
        cohort.machine.handle_message(id(4), hello, cohort.now);
        cohort.machine.handle_disconnected(id(4), cohort.now);
        cohort.machine.handle_timeout(cohort.now);
        cohort.pump();
    }
    assert_eq!(
        cohort.hospitals[&id(1)].seen[0],
        sum(Purpose::Stats, &[1, 2, 3])
    );
    cohort.run();
    assert!(cohort.completed().is_some());
}

/// The sum of a round that collected when the coordinator was stopped is opened again, under a header of another number.
#[test]
fn a_round_that_collected_before_a_restart_gets_another_header() {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(is_at(Purpose::Update)));
    cohort.act_for(id(1));
    drain(&mut cohort);
    let before = cohort.hospitals[&id(1)].header().expect("open").clone();
    cohort.restart();
    assert_eq!(cohort.phase(), PhaseName::Waiting);
    assert!(cohort.until(|cohort| {
        let header = cohort.hospitals[&id(1)].header();
        header.is_some_and(|header| header.round > before.round)
    }));
    let after = cohort.hospitals[&id(1)].header().expect("open").clone();
    assert_eq!(after.round, before.round.next());
    assert_eq!(after.purpose, before.purpose);
    assert_eq!(after.model_hash, before.model_hash);
    cohort.run();
    let told = |event: &Event| matches!(event, Event::Abandoned { round, reason, .. } if *round == before.round && reason.contains("started again"));
    assert_eq!(cohort.events.iter().filter(|event| told(event)).count(), 1);
    assert_eq!(
        cohort.hospitals[&id(1)].seen[1],
        sum(Purpose::Update, &[1, 2, 3, 4])
    );
    assert!(cohort.completed().is_some());
}

/// Hospital 4 has opened an outcome, says so only in its Hello, and is gone when the last other hospital closes the round.
#[test]
fn an_outcome_is_served_until_every_hospital_has_signed_that_it_has_it() {
    let mut cohort = connected(4, 1);
    let about_to_close = |number: u8| {
        move |cohort: &Cohort| {
            let next = cohort.next_act(id(number));
            matches!(next, Some(Act::Say(ToCoordinator::RoundClosed(_))))
        }
    };
    assert!(cohort.until(|cohort| (1..=4).all(|number| about_to_close(number)(cohort))));
    // Its word is lost, and so is all that it says after its Hello. Two others settle the round with hospital 1.
    cohort.forget_act(id(4));
    for number in [1, 2] {
        cohort.act_for(id(number));
    }
    let hello = cohort.hospitals[&id(4)].hello();
    cohort.disconnect(id(4));
    cohort.machine.handle_connected(id(4), cohort.now);
    cohort.machine.handle_message(id(4), hello, cohort.now);
    cohort.act_for(id(3));
    let retracts = |cohort: &mut Cohort| {
        let mut found = false;
        while let Some(output) = cohort.machine.poll_output() {
            found |= matches!(output, Output::Retract { .. });
            cohort.carry_out(output);
        }
        found
    };
    assert!(cohort.phase() != PhaseName::Publishing, "it is settled");
    // In its Hello hospital 4 has named the T that follows, but its signed word is missing.
    assert!(!retracts(&mut cohort));
    // The disk has what a coordinator that is started again serves.
    cohort.restart();
    cohort.run();
    assert!(cohort.completed().is_some());
    assert!(cohort.disk.blobs.is_empty(), "now everybody has everything");
}

#[test]
fn a_run_that_has_failed_says_so_again_after_a_restart() {
    let mut cohort = connected(4, 1);
    for number in [1, 2, 3] {
        cohort.hospital(id(number)).sees_another_model = Some(number);
    }
    cohort.run();
    assert!(cohort.failed_with("round 2 does not open"));
    cohort.events.clear();
    cohort.restart();
    cohort.run();
    assert!(cohort.failed_with("round 2 does not open"));
    assert!(matches!(
        cohort.hospitals[&id(4)].ending,
        Some(ToVault::Refused { .. })
    ));
}

/// A vault that had not got a box when the coordinator was stopped gets it from the next one: its answer may be the one that is needed.
#[test]
fn boxes_that_were_not_acknowledged_are_forwarded_after_a_restart_too() {
    let mut cohort = connected(4, 1);
    let is_about_to_upload = |cohort: &Cohort| {
        let header = cohort.hospitals[&id(4)].header();
        header.is_some_and(|header| header.purpose == Purpose::Update)
            && matches!(cohort.next_act(id(4)), Some(Act::Upload { .. }))
    };
    assert!(cohort.until(is_about_to_upload));
    cohort.act_for(id(4));
    drain(&mut cohort);
    cohort.disconnect(id(4));
    let held_before = cohort.hospitals[&id(4)].boxes();
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Unlocking));
    drain(&mut cohort);
    cohort.restart();
    assert_eq!(cohort.phase(), PhaseName::Unlocking);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(4)].has_answered()));
    assert!(held_before < 4);
    assert_eq!(cohort.hospitals[&id(4)].boxes(), 4, "its own included");
    cohort.run();
    assert!(cohort.completed().is_some());
}
