//! Sessions that follow one another: a run that starts without all hospitals, those that come late or without their keys, and a
//! coordinator that is stopped meanwhile.

use std::num::NonZeroU32;

use protocol::{
    codec::{self, Bytes, Id},
    digests::SessionId,
    manifest::{Manifest, Purpose},
    message::{ToCoordinator, ToVault},
    session::SealedState,
};

use super::{
    cohort::{Cohort, id, manifest},
    hospital::Act,
};
use crate::machine::{Event, PhaseName, Timestamp};

/// A run of four that starts with three, and has opened its statistics; hospital 4 has yet to come.
fn without_the_last(rounds: u32) -> Cohort {
    let manifest = Manifest {
        start_with: NonZeroU32::new(3),
        ..manifest(rounds)
    };
    let mut cohort = Cohort::new(4, &manifest);
    (1..4).for_each(|number| cohort.connect(id(number)));
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 1));
    cohort
}

/// The contributors of each sum of a purpose, as hospital 1 has seen them.
fn seen(cohort: &Cohort, purpose: Purpose) -> Vec<Vec<u8>> {
    let seen = cohort.hospitals[&id(1)].seen.iter();
    let of_purpose = seen.filter(|(found, ..)| *found == purpose);
    let members = of_purpose.map(|(_, members, _)| members.iter().copied().collect());
    members.collect()
}

fn sessions_that_followed(cohort: &Cohort) -> Vec<Vec<u8>> {
    let events = cohort.events.iter();
    let followed = events.filter_map(|event| match event {
        Event::SessionFollows { hospitals } => Some(hospitals.iter().map(|id| id.get()).collect()),
        _ => None,
    });
    followed.collect()
}

fn assert_complete_for_all(cohort: &Cohort, what: &str) {
    let (_, missing) = cohort.completed().unwrap_or_else(|| {
        let events: Vec<_> = cohort.events.iter().rev().take(12).collect();
        panic!("{what}: stuck in {}: {events:#?}", cohort.phase())
    });
    assert!(missing.is_empty(), "{what}: {missing:?} are missing");
    for hospital in cohort.hospitals.values() {
        assert_eq!(hospital.ending, Some(ToVault::Finished), "{what}");
    }
}

#[test]
fn a_hospital_that_comes_late_takes_part_from_the_next_update_on() {
    let mut cohort = without_the_last(3);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.connect(id(4));
    assert!(cohort.until(|cohort| cohort.hospitals[&id(4)].waits_outside));
    cohort.run();
    assert_complete_for_all(&cohort, "late");
    assert_eq!(sessions_that_followed(&cohort), [[4]]);
    assert_eq!(seen(&cohort, Purpose::Stats), [[1, 2, 3]]);
    let updates: [&[u8]; 3] = [&[1, 2, 3], &[1, 2, 3, 4], &[1, 2, 3, 4]];
    assert_eq!(seen(&cohort, Purpose::Update), updates);
    // Another set would single hospital 4 out.
    assert_eq!(seen(&cohort, Purpose::Evaluation), vec![[1, 2, 3]; 3]);
    // It has the state, and what was opened after it.
    assert_eq!(cohort.hospitals[&id(4)].seen.len(), 4);
}

/// Two of four hold nothing up that needs three, and there is no update to wait for: the state is handed over at the end.
#[test]
fn one_that_comes_in_the_last_round_gets_the_model() {
    let mut cohort = without_the_last(1);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 3));
    assert_eq!(cohort.phase(), PhaseName::Publishing);
    cohort.connect(id(4));
    cohort.run();
    assert_complete_for_all(&cohort, "at the end");
    assert!(cohort.hospitals[&id(4)].seen.is_empty());
}

#[test]
fn one_that_comes_after_the_end_is_told_so() {
    let mut cohort = without_the_last(1);
    cohort.run();
    let (_, missing) = cohort.completed().expect("three are enough");
    assert_eq!(missing, [id(4)]);
    cohort.connect(id(4));
    cohort.pump();
    let ending = &cohort.hospitals[&id(4)].ending;
    assert!(
        matches!(ending, Some(ToVault::Refused { reason }) if reason.0.contains("takes part in the next run")),
        "{ending:?}"
    );
}

#[test]
fn one_that_has_lost_its_keys_comes_back_with_the_next_session() {
    let mut cohort = super::cohort::connected(4, 3);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.restart_hospital(id(3));
    cohort.run();
    assert_complete_for_all(&cohort, "without its keys");
    assert_eq!(sessions_that_followed(&cohort), [[3]]);
    let updates = seen(&cohort, Purpose::Update);
    assert_eq!(updates.last().map(Vec::as_slice), Some(&[1, 2, 3, 4][..]));
}

/// One of two is not enough to say where the run goes on.
#[test]
fn a_run_ends_when_too_few_have_their_keys() {
    let mut cohort = super::cohort::connected(2, 2);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.restart_hospital(id(2));
    cohort.run();
    assert!(cohort.failed_with("the hospitals [2] have come back without their keys"));
    assert!(cohort.failed_with("run.initial_model"));
}

#[test]
fn a_member_that_is_away_is_not_left_behind_as_long_as_it_is_waited_for() {
    let mut cohort = super::cohort::connected(5, 2);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.restart_hospital(id(3));
    cohort.disconnect(id(2));
    cohort.pump();
    cohort.connect(id(2));
    cohort.run();
    assert_complete_for_all(&cohort, "two away");
    for (number, hospital) in &cohort.hospitals {
        let saw_the_last = hospital
            .seen
            .iter()
            .any(|(purpose, ..)| *purpose == Purpose::Update);
        assert!(saw_the_last, "hospital {number}");
    }
}

#[test]
fn the_coordinator_may_be_stopped_at_any_moment_of_it() {
    let disturbed = |crash: Option<usize>| {
        let mut cohort = without_the_last(2);
        let before = cohort.effects;
        cohort.connect(id(4));
        cohort.crash_after = crash.map(|crash| before + crash).into_iter().collect();
        cohort.run();
        (before, cohort)
    };
    let (before, undisturbed) = disturbed(None);
    assert_complete_for_all(&undisturbed, "not stopped");
    for crash in 1..=undisturbed.effects - before {
        let (_, cohort) = disturbed(Some(crash));
        let what = format!("stopped after effect {crash}");
        assert_complete_for_all(&cohort, &what);
        super::restart::assert_nothing_signed_twice(&cohort, &what);
    }
}

#[test]
fn one_that_is_gone_while_keys_are_exchanged_is_not_waited_for_without_end() {
    let manifest = Manifest {
        start_with: NonZeroU32::new(3),
        ..manifest(1)
    };
    let mut cohort = Cohort::new(4, &manifest);
    cohort.connect_all();
    assert!(cohort.until(|cohort| cohort.hospitals[&id(2)].knows_joins()));
    cohort.disconnect(id(2));
    cohort.pump();
    // The others say that they are there.
    cohort.now = Timestamp(cohort.now.0 + 20_000);
    for number in [1, 3, 4] {
        let heartbeat = ToCoordinator::Heartbeat;
        cohort
            .machine
            .handle_message(id(number), heartbeat, cohort.now);
    }
    cohort.run();
    let (_, missing) = cohort.completed().expect("three are enough");
    assert_eq!(missing, [id(2)]);
}

/// It is away when another is asked for.
#[test]
fn the_state_comes_from_another_hospital_if_one_is_gone() {
    let mut cohort = without_the_last(2);
    cohort.connect(id(4));
    let is_asked = |cohort: &Cohort| {
        cohort.phase() == PhaseName::HandingOver
            && matches!(cohort.next_act(id(1)), Some(Act::Upload { .. }))
    };
    assert!(cohort.until(is_asked));
    cohort.disconnect(id(1));
    assert!(cohort.until(|cohort| cohort.phase() != PhaseName::HandingOver));
    cohort.connect(id(1));
    cohort.run();
    assert_complete_for_all(&cohort, "another seals it");
    let mut events = cohort.events.iter();
    assert!(
        events.any(
            |event| matches!(event, Event::StateHandedOver { hospital } if *hospital == id(2))
        )
    );
}

#[test]
fn what_one_outside_the_session_says_is_refused() {
    let mut cohort = without_the_last(2);
    let insider = cohort.hospitals[&id(1)].clone();
    cohort.connect(id(4));
    cohort.act_for(id(4));
    for message in [insider.join(), insider.ack(), insider.last_closed()] {
        let kind = crate::machine::InputKind::of(&message);
        cohort.machine.handle_message(id(4), message, cohort.now);
        while let Some(output) = cohort.machine.poll_output() {
            cohort.carry_out(output);
        }
        let words = format!("hospital 4 sent {kind}, and takes no part in this session");
        assert!(cohort.rejected_with(id(4), &words), "{words}");
    }
    let bytes = insider.last_upload();
    assert!(
        cohort
            .machine
            .check_upload(id(4), bytes.len() as u64)
            .is_err()
    );
    assert!(
        cohort
            .machine
            .handle_upload(id(4), bytes, cohort.now)
            .is_err()
    );
    let heartbeat = ToCoordinator::Heartbeat;
    cohort.machine.handle_message(id(4), heartbeat, cohort.now);
    cohort.run();
    assert_complete_for_all(&cohort, "after words of an outsider");
}

/// What a hospital hands over is not what the others have signed: another is asked, in the next session.
#[test]
fn a_state_that_is_refused_comes_from_another_hospital() {
    let mut cohort = without_the_last(2);
    cohort.connect(id(4));
    let uploads = |cohort: &Cohort| matches!(cohort.next_act(id(1)), Some(Act::Upload { .. }));
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::HandingOver && uploads(cohort)));
    let session = cohort.machine.session();
    cohort.forget_act(id(1));
    // A contribution is not taken for it, nor a state in the name of another.
    let others = [
        cohort.hospitals[&id(1)].last_upload().to_vec(),
        sealed(session, 2, &[1; 32]),
    ];
    for bytes in others {
        assert!(
            cohort
                .machine
                .handle_upload(id(1), bytes, cohort.now)
                .is_err()
        );
    }
    let wrong = sealed(session, 1, &[1; 32]);
    assert!(
        cohort
            .machine
            .handle_upload(id(1), wrong, cohort.now)
            .is_ok()
    );
    cohort.run();
    assert_complete_for_all(&cohort, "another's state");
    let handed_over = cohort.events.iter().filter_map(|event| match event {
        Event::StateHandedOver { hospital } => Some(hospital.get()),
        _ => None,
    });
    assert_eq!(handed_over.collect::<Vec<_>>(), [1, 2]);
}

fn sealed(session: SessionId, sealer: u8, state: &[u8]) -> Vec<u8> {
    codec::encode(&SealedState {
        session,
        sealer: Id(id(sealer)),
        digest: [0; 32],
        sealed: Bytes(state.to_vec()),
    })
}

/// A run of seven that starts with six and has seen its statistics; hospital 7 has come, and is to be let in.
fn six_and_a_late_one() -> Cohort {
    let mut cohort = six_and_nobody_else();
    cohort.connect(id(7));
    cohort.act_for(id(7));
    cohort
}

/// A run of seven that starts with six and has seen its statistics.
fn six_and_nobody_else() -> Cohort {
    let manifest = Manifest {
        start_with: NonZeroU32::new(6),
        ..manifest(2)
    };
    let mut cohort = Cohort::new(7, &manifest);
    (1..7).for_each(|number| cohort.connect(id(number)));
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 1));
    cohort
}

/// It is asked for nothing and given nothing: it has said that it has the state as soon as it had the keys of all.
#[test]
fn one_that_was_given_the_state_has_it_in_the_session_that_follows() {
    // Another session is due before the first round of this one. Of six, five have to help; 6 is the last to say that it has closed the
    // statistics, when the session has begun.
    for loses_its_keys in [5, 6] {
        let mut cohort = six_and_a_late_one();
        let takes_it = |cohort: &Cohort| {
            let next = cohort.next_act(id(7));
            matches!(next, Some(Act::Say(ToCoordinator::StateTaken { .. })))
        };
        assert!(cohort.until(takes_it));
        cohort.restart_hospital(id(loses_its_keys));
        cohort.act_for(id(loses_its_keys));
        cohort.run();
        let what = format!("without the keys of {loses_its_keys}");
        assert_complete_for_all(&cohort, &what);
        assert_eq!(sessions_that_followed(&cohort), [[7]], "{what}");
        let updates = seen(&cohort, Purpose::Update);
        assert_eq!(updates, vec![[1, 2, 3, 4, 5, 6, 7]; 2], "{what}");
    }
}

/// A session follows once t have closed the last round. Others that have say so when it has begun, and can bring the state all the same.
#[test]
fn a_last_word_on_the_session_before_counts() {
    for stopped in [false, true] {
        let mut cohort = six_and_a_late_one();
        assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Gathering));
        let says_so = |cohort: &Cohort| {
            let next = cohort.next_act(id(6));
            matches!(next, Some(Act::Say(ToCoordinator::RoundClosed(_))))
        };
        assert!(says_so(&cohort));
        cohort.act_for(id(6));
        if stopped {
            cohort.pump_outputs();
            cohort.restart();
        }
        cohort.disconnect(id(5));
        cohort.run();
        let (_, missing) = cohort.completed().expect("six are enough");
        assert_eq!(missing, [id(5)], "stopped: {stopped}");
    }
}

/// It says nothing any more: its Hello names the round that it has closed.
#[test]
fn one_that_was_cut_off_before_its_last_word_can_bring_the_state() {
    let mut cohort = six_and_a_late_one();
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Gathering));
    cohort.disconnect(id(6));
    cohort.disconnect(id(5));
    cohort.connect(id(6));
    cohort.run();
    let (_, missing) = cohort.completed().expect("six are enough");
    assert_eq!(missing, [id(5)]);
}

#[test]
fn a_run_that_the_operator_began_without_one_can_be_taken_up() {
    let starts = [None, NonZeroU32::new(4)];
    for start_with in starts {
        let manifest = Manifest {
            start_with,
            ..manifest(2)
        };
        let mut cohort = Cohort::new(4, &manifest);
        (1..4).for_each(|number| cohort.connect(id(number)));
        cohort.pump();
        let now = cohort.now;
        assert_eq!(cohort.machine.go_on_without(id(4), now), Ok(()));
        assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
        cohort.restart();
        cohort.run();
        // The word was for as long as that process ran.
        assert_complete_for_all(&cohort, "taken up");
        let updates = seen(&cohort, Purpose::Update);
        let expected: [&[u8]; 2] = [&[1, 2, 3], &[1, 2, 3, 4]];
        assert_eq!(updates, expected, "{start_with:?}");
    }
}

/// To the end of the run: all that are connected say so.
fn run_with_heartbeats(cohort: &mut Cohort) {
    run_with_heartbeats_until(cohort, |cohort| cohort.machine.is_over());
    cohort.pump();
}

/// Until something holds, or two hundred heartbeats have gone by.
fn run_with_heartbeats_until(cohort: &mut Cohort, holds: impl Fn(&Cohort) -> bool) {
    for _ in 0..200 {
        if cohort.until(&holds) {
            break;
        }
        cohort.now = Timestamp(cohort.now.0 + 2_000);
        let (ids, now): (Vec<_>, _) = (cohort.hospitals.keys().copied().collect(), cohort.now);
        for id in ids {
            let heartbeat = ToCoordinator::Heartbeat;
            cohort.machine.handle_message(id, heartbeat, now);
        }
        cohort.machine.handle_timeout(now);
    }
}

/// Five of seven open a sum, and six contribute to it.
#[test]
fn two_without_their_keys_hold_nobody_up() {
    let lose_their_keys = |when: fn(&Cohort) -> bool| {
        let mut cohort = super::cohort::connected(7, 2);
        assert!(cohort.until(when));
        for number in [6, 7] {
            cohort.restart_hospital(id(number));
            cohort.act_for(id(number));
        }
        run_with_heartbeats(&mut cohort);
        cohort
    };
    // The first evaluation comes next, and is left out: others are let in before an update.
    let cohort = lose_their_keys(|cohort| cohort.hospitals[&id(1)].seen.len() == 2);
    assert_complete_for_all(&cohort, "after an update");
    let updates = seen(&cohort, Purpose::Update);
    assert_eq!(updates, vec![[1, 2, 3, 4, 5, 6, 7]; 2]);
    // Where nothing is settled no other session can go on.
    let cohort = lose_their_keys(|cohort| cohort.phase() == PhaseName::Collecting);
    assert!(
        cohort.failed_with("before anything was settled"),
        "{:?}",
        cohort.events
    );
}

/// It has the keys of its session and an older state, and gets the newer one in the next. It knows what it has answered: unlike one that
/// came with nothing, it helps to open sums on it.
#[test]
fn one_that_was_away_for_a_session_helps_to_open_sums_on_what_it_is_given() {
    let mut cohort = six_and_nobody_else();
    let has_uploaded_an_update = |cohort: &Cohort| {
        let header = cohort.hospitals[&id(6)].header();
        let uploads = matches!(cohort.next_act(id(6)), Some(Act::Upload { .. }));
        uploads && header.is_some_and(|header| header.purpose == Purpose::Update)
    };
    assert!(cohort.until(has_uploaded_an_update));
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    // 6 has contributed to the update and not seen its outcome; the evaluation would wait for it, but 7 waits outside.
    assert_eq!(cohort.hospitals[&id(6)].seen.len(), 1);
    cohort.disconnect(id(6));
    cohort.connect(id(7));
    cohort.act_for(id(7));
    run_with_heartbeats_until(&mut cohort, |cohort| cohort.phase() == PhaseName::Gathering);
    cohort.connect(id(6));
    let takes_it = |cohort: &Cohort, number: u8| {
        let next = cohort.next_act(id(number));
        matches!(next, Some(Act::Say(ToCoordinator::StateTaken { .. })))
    };
    assert!(cohort.until(|cohort| takes_it(cohort, 6) && takes_it(cohort, 7)));
    cohort.restart_hospital(id(5));
    cohort.act_for(id(5));
    run_with_heartbeats(&mut cohort);
    assert_complete_for_all(&cohort, "1, 2, 3, 4 and 6 help");
    let updates = seen(&cohort, Purpose::Update);
    assert_eq!(updates.last().map(Vec::len), Some(7));
}

/// Of six that an evaluation needs, one follows no null step, and one has lost its keys.
#[test]
fn an_evaluation_waits_for_nobody_that_stays_behind() {
    let mut cohort = super::cohort::connected(7, 2);
    for hospital in cohort.hospitals.values_mut() {
        hospital.spoilt_updates = 1;
    }
    cohort.hospital(id(7)).refuses_null_steps = true;
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    cohort.restart_hospital(id(6));
    cohort.act_for(id(6));
    run_with_heartbeats(&mut cohort);
    assert!(cohort.completed().is_some(), "{:?}", cohort.events);
    assert_eq!(seen(&cohort, Purpose::Update).len(), 2);
}

/// It is let in by another session; what this one began with is behind it.
#[test]
fn once_rounds_have_gone_on_the_operator_may_do_without_one_of_those_it_began_with() {
    let mut cohort = without_the_last(3);
    cohort.connect(id(4));
    assert!(cohort.until(|cohort| {
        seen(cohort, Purpose::Update).len() == 2 && cohort.phase() != PhaseName::Publishing
    }));
    let now = cohort.now;
    assert_eq!(cohort.machine.go_on_without(id(1), now), Ok(()));
    cohort.run();
    let (_, missing) = cohort.completed().expect("three are enough");
    assert_eq!(missing, [id(1)]);
}

/// One's answer would be wrong, and of the six others two have come back without their keys.
#[test]
fn a_sum_that_too_few_can_help_to_open_is_given_up() {
    let mut cohort = super::cohort::connected(7, 1);
    cohort.hospital(id(1)).deviates = true;
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Unlocking));
    for number in [6, 7] {
        cohort.restart_hospital(id(number));
        cohort.act_for(id(number));
    }
    cohort.run();
    assert!(cohort.failed_with("too few can"), "{:?}", cohort.events);
    assert!(cohort.failed_with("hospital 1: the dealer check speaks against this vault"));
    assert!(cohort.failed_with("hospital 6: it has come back without its keys"));
}

/// What hospital 1 says from the first message of this kind on is on its way as long as anything else happens.
fn hold_back(cohort: &mut Cohort, from: impl Fn(&ToCoordinator) -> bool) -> Vec<Act> {
    let mut held: Vec<Act> = Vec::new();
    loop {
        let next = cohort.next_act(id(1)).cloned();
        match next {
            Some(act) if !held.is_empty() || matches!(&act, Act::Say(message) if from(message)) => {
                held.push(act);
                cohort.forget_act(id(1));
            }
            _ if cohort.step() => {}
            _ => return held,
        }
    }
}

/// It has heard the Ready of each hospital; the coordinator, started again, has yet to hear one of them once more.
#[test]
fn what_a_vault_says_before_the_coordinator_has_the_whole_set_up_counts() {
    for waits_in in [PhaseName::KeyExchange, PhaseName::Gathering] {
        let mut cohort = without_the_last(2);
        cohort.connect(id(4));
        let is_ready = |cohort: &Cohort| {
            let next = cohort.next_act(id(2));
            matches!(next, Some(Act::Say(ToCoordinator::Ready(_))))
        };
        assert!(cohort.until(is_ready));
        cohort.forget_act(id(2));
        assert!(cohort.until(|cohort| {
            let hospital = &cohort.hospitals[&id(2)];
            [1, 3, 4]
                .map(id)
                .iter()
                .all(|&id| hospital.has_heard_ready_of(id))
        }));
        cohort.restart();
        let mut held = hold_back(&mut cohort, |message| {
            matches!(message, ToCoordinator::Ready(_))
        });
        if waits_in == PhaseName::Gathering {
            cohort.restart();
            held = hold_back(&mut cohort, |message| {
                matches!(message, ToCoordinator::Join(_))
            });
        }
        assert_eq!(cohort.phase(), waits_in);
        assert!(cohort.hospitals[&id(2)].has_heard_ready_of(id(2)));
        held.into_iter().for_each(|act| cohort.push_act(id(1), act));
        cohort.run();
        assert_complete_for_all(&cohort, &waits_in.to_string());
        let updates = seen(&cohort, Purpose::Update);
        assert_eq!(updates, vec![[1, 2, 3, 4]; 2]);
    }
}

/// It has the wrong folder for a moment: nothing is lost by it.
#[test]
fn one_that_finds_its_keys_again_is_a_member_again() {
    let mut cohort = super::cohort::connected(3, 2);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 2));
    let with_keys = cohort.hospitals[&id(3)].clone();
    cohort.restart_hospital(id(3));
    cohort.act_for(id(3));
    assert_eq!(cohort.machine.members(), Some([1, 2].map(id).to_vec()));
    cohort.disconnect(id(3));
    *cohort.hospital(id(3)) = with_keys;
    cohort.connect(id(3));
    cohort.act_for(id(3));
    assert_eq!(cohort.machine.members(), Some([1, 2, 3].map(id).to_vec()));
    cohort.run();
    assert_complete_for_all(&cohort, "with its keys");
}

/// To the end of the run: all say that they are there, and nothing else that this one says arrives.
fn run_without_the_words_of(cohort: &mut Cohort, number: u8) {
    for _ in 0..2_000 {
        if cohort.machine.is_over() {
            break;
        }
        while cohort.next_act(id(number)).is_some() {
            cohort.forget_act(id(number));
        }
        if cohort.step() {
            continue;
        }
        cohort.now = Timestamp(cohort.now.0 + 2_000);
        for number in 1..=4 {
            let heartbeat = ToCoordinator::Heartbeat;
            cohort
                .machine
                .handle_message(id(number), heartbeat, cohort.now);
        }
    }
    cohort.pump();
}

/// It says that it is there, and nothing else.
#[test]
fn one_that_only_heartbeats_holds_nobody_up() {
    for silent_in in [PhaseName::Gathering, PhaseName::KeyExchange] {
        let mut cohort = without_the_last(2);
        cohort.connect(id(4));
        assert!(cohort.until(|cohort| cohort.phase() == silent_in));
        run_without_the_words_of(&mut cohort, 4);
        let (_, missing) = cohort.completed().unwrap_or_else(|| panic!("{silent_in}"));
        assert_eq!(missing, [id(4)], "{silent_in}");
    }
}

/// Somebody there has yet to agree to the run: no further session is begun on its account before it says that it wants to join, to
/// whichever session.
#[test]
fn one_that_waits_for_a_yes_is_let_in_once_it_joins() {
    let mut cohort = without_the_last(4);
    cohort.connect(id(4));
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Gathering));
    let mut join = None;
    for _ in 0..2_000 {
        if seen(&cohort, Purpose::Update).len() == 2 {
            break;
        }
        while let Some(act) = cohort.next_act(id(4)) {
            if let Act::Say(message @ ToCoordinator::Join(_)) = act {
                join = Some(message.clone());
            }
            cohort.forget_act(id(4));
        }
        if !cohort.step() {
            cohort.now = Timestamp(cohort.now.0 + 2_000);
            for number in 1..=4 {
                let heartbeat = ToCoordinator::Heartbeat;
                let now = cohort.now;
                cohort.machine.handle_message(id(number), heartbeat, now);
            }
        }
    }
    assert_eq!(sessions_that_followed(&cohort), [[4]]);
    let (join, now) = (join.expect("it was welcomed"), cohort.now);
    cohort.machine.handle_message(id(4), join, now);
    cohort.run();
    assert_complete_for_all(&cohort, "after a yes");
    assert_eq!(sessions_that_followed(&cohort), [[4], [4]]);
    let updates = seen(&cohort, Purpose::Update);
    assert_eq!(updates.last().map(Vec::as_slice), Some(&[1, 2, 3, 4][..]));
}

/// Nor the end of a run whose rounds are done: those that have the model are told so.
#[test]
fn one_that_stalls_at_the_end_does_not_keep_the_run_from_its_end() {
    let mut cohort = without_the_last(1);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 3));
    cohort.connect(id(4));
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::KeyExchange));
    run_without_the_words_of(&mut cohort, 2);
    assert!(cohort.completed().is_some());
    for number in [1, 3] {
        let ending = &cohort.hospitals[&id(number)].ending;
        assert_eq!(*ending, Some(ToVault::Finished), "hospital {number}");
    }
}

/// It comes and goes: each time all others exchange keys again, but not without end.
#[test]
fn one_that_loses_its_keys_again_and_again_is_let_in_ten_times() {
    let mut cohort = super::cohort::connected(4, 30);
    for _ in 0..12 {
        let seen = cohort.hospitals[&id(1)].seen.len();
        if !cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() > seen + 1) {
            break;
        }
        cohort.restart_hospital(id(4));
    }
    cohort.run();
    assert_eq!(sessions_that_followed(&cohort), vec![[4]; 10]);
    let (_, missing) = cohort.completed().expect("three are enough");
    assert_eq!(missing, [id(4)]);
    assert!(matches!(
        &cohort.hospitals[&id(4)].ending,
        Some(ToVault::Refused { reason }) if reason.0.contains("joined anew 10 times")
    ));
}
