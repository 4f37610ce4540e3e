//! The decision for every pair of phase and input, as the machine makes it: brought into each phase by real messages, then offered
//! one input of each kind by hospital 1, as that hospital would send it at that time.

use std::{collections::BTreeSet, fmt::Write as _, num::NonZeroU32, sync::LazyLock};

use crypto::ckks::{Context, Profile, RelinearisationKey, SecretKey, encrypt_symmetric};
use protocol::{
    codec::{Bytes, Id, List},
    manifest::Conditioning,
    message::{EncryptedFeatures, EvaluationKey, FilterRequest, ToCoordinator, features_digest},
    session::state_name,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    cohort::{Cohort, Machine, id, manifest},
    hospital::Act,
};
use crate::machine::{Event, InputKind, Output, PhaseName, Timestamp};

/// A phase, and how a run gets there. Some phases have two rows, where what they own makes a difference.
struct Row {
    phase: PhaseName,
    detail: &'static str,
    reach: fn() -> Cohort,
}

const ROWS: [Row; 11] = [
    Row {
        phase: PhaseName::Gathering,
        detail: "",
        reach: gathering,
    },
    Row {
        phase: PhaseName::KeyExchange,
        detail: ", no group key yet",
        reach: key_exchange,
    },
    Row {
        phase: PhaseName::KeyExchange,
        detail: ", group key known",
        reach: confirming,
    },
    Row {
        phase: PhaseName::HandingOver,
        detail: "",
        reach: handing_over,
    },
    Row {
        phase: PhaseName::Waiting,
        detail: "",
        reach: waiting,
    },
    Row {
        phase: PhaseName::Collecting,
        detail: "",
        reach: collecting,
    },
    Row {
        phase: PhaseName::Unlocking,
        detail: "",
        reach: unlocking,
    },
    Row {
        phase: PhaseName::Publishing,
        detail: "",
        reach: publishing,
    },
    Row {
        phase: PhaseName::Finishing,
        detail: "",
        reach: finishing,
    },
    Row {
        phase: PhaseName::Over,
        detail: ", complete",
        reach: complete,
    },
    Row {
        phase: PhaseName::Over,
        detail: ", failed",
        reach: failed,
    },
];

#[test]
fn every_pair_of_phase_and_input_has_a_decision() {
    let covered: BTreeSet<_> = ROWS.iter().map(|row| row.phase).collect();
    assert_eq!(covered, PhaseName::ALL.iter().copied().collect());
    let mut table = String::new();
    for row in &ROWS {
        let _ = writeln!(table, "{}{}", row.phase, row.detail);
        for &kind in InputKind::ALL {
            let mut cohort = (row.reach)();
            assert_eq!(cohort.phase(), row.phase);
            let decision = offer(&mut cohort, kind);
            let _ = writeln!(table, "  {kind:<17} {decision}");
        }
    }
    insta::assert_snapshot!(table);
}

/// Offers an input and says what becomes of it.
fn offer(cohort: &mut Cohort, kind: InputKind) -> String {
    while cohort.machine.poll_output().is_some() {}
    let (from, now) = (id(1), cohort.now);
    let before = cohort.phase();
    let mut verdict = Ok(());
    match kind {
        InputKind::Connected => cohort.machine.handle_connected(from, now),
        InputKind::Disconnected => cohort.machine.handle_disconnected(from, now),
        InputKind::Timeout => {
            let later = Timestamp(now.0 + 3_600_000);
            cohort.machine.handle_timeout(later);
        }
        InputKind::Progress => cohort.machine.handle_progress(from, now),
        InputKind::UploadOffer => {
            let bytes = cohort.hospital(from).last_upload().len() as u64;
            verdict = cohort.machine.check_upload(from, bytes);
        }
        InputKind::Upload => {
            let bytes = cohort.hospital(from).last_upload();
            verdict = cohort.machine.handle_upload(from, bytes, now);
        }
        _ => {
            let message = message(cohort, kind);
            assert_eq!(InputKind::of(&message), kind);
            cohort.machine.handle_message(from, message, now);
        }
    }
    let mut decision = "handled".to_owned();
    if let Err(error) = verdict {
        decision = format!("rejected: {error}");
    }
    let mut done = Vec::new();
    while let Some(output) = cohort.machine.poll_output() {
        match output {
            Output::Event(Event::Rejected { reason, .. }) => {
                decision = format!("rejected: {reason}");
            }
            Output::Event(Event::Ignored {
                message,
                phase,
                reason,
                ..
            }) => {
                assert_eq!((message, phase), (kind, before));
                decision = format!("ignored: {reason}");
            }
            other => done.push(name(&other)),
        }
    }
    let after = cohort.phase();
    if after != before {
        let _ = write!(decision, " -> {after}");
    }
    if !done.is_empty() {
        let _ = write!(decision, " [{}]", counted(&done));
    }
    decision
}

/// A message as hospital 1 would send it now.
fn message(cohort: &mut Cohort, kind: InputKind) -> ToCoordinator {
    let now = cohort.now;
    let hospital = cohort.hospitals[&id(1)].clone();
    match kind {
        InputKind::Hello => hospital.hello(),
        InputKind::Heartbeat => ToCoordinator::Heartbeat,
        InputKind::Join => hospital.join(),
        InputKind::Encapsulation => hospital.encapsulation(id(2)),
        InputKind::GroupKey => hospital.group_key(),
        InputKind::Ready => hospital.ready(),
        InputKind::EvaluationKey => ToCoordinator::EvaluationKey(ENCRYPTED.key.clone()),
        InputKind::EncryptedFeatures => {
            announce(&mut cohort.machine, false, now);
            ToCoordinator::EncryptedFeatures(ENCRYPTED.features.clone())
        }
        InputKind::FilterRequest => {
            announce(&mut cohort.machine, true, now);
            ToCoordinator::FilterRequest(FilterRequest {
                session: hospital.session(),
                id: Id(id(1)),
                key: 1,
                version: 1,
                features: List(vec![features_digest(&ENCRYPTED.features)]),
                bytes: ENCRYPTED.features.bytes.clone(),
            })
        }
        InputKind::HeaderRefused => hospital.refusal(),
        InputKind::BoxAck => hospital.ack(),
        InputKind::UnlockShare => hospital.last_share(),
        InputKind::RoundClosed => hospital.last_closed(),
        InputKind::RoundFailed => hospital.failed(),
        InputKind::StateTaken => ToCoordinator::StateTaken {
            session: hospital.session(),
        },
        InputKind::StateRefused => ToCoordinator::StateRefused {
            session: hospital.session(),
        },
        InputKind::Connected
        | InputKind::Disconnected
        | InputKind::Timeout
        | InputKind::Progress
        | InputKind::UploadOffer
        | InputKind::Upload => unreachable!("not a message"),
    }
}

/// What comes before a message of the encrypted products.
fn announce(machine: &mut Machine, with_features: bool, now: Timestamp) {
    let key = ToCoordinator::EvaluationKey(ENCRYPTED.key.clone());
    machine.handle_message(id(1), key, now);
    if with_features {
        let features = ToCoordinator::EncryptedFeatures(ENCRYPTED.features.clone());
        machine.handle_message(id(1), features, now);
    }
    while machine.poll_output().is_some() {}
}

pub(super) struct Encrypted {
    pub(super) key: EvaluationKey,
    pub(super) features: EncryptedFeatures,
}

pub(super) static ENCRYPTED: LazyLock<Encrypted> = LazyLock::new(|| {
    let context = Context::new(Profile::Hardened);
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let secret = SecretKey::generate(&context, &mut rng);
    let relinearisation = RelinearisationKey::generate(&secret, &mut rng);
    let plaintext = context.encode(&[0.5; 9]).expect("nine values fit");
    let features = encrypt_symmetric(&secret, &plaintext, &mut rng).expect("of one context");
    Encrypted {
        key: EvaluationKey {
            key: 1,
            bytes: Bytes(relinearisation.to_bytes()),
        },
        features: EncryptedFeatures {
            key: 1,
            block: 0,
            bytes: Bytes(features.to_bytes()),
        },
    }
});

fn name(output: &Output) -> String {
    match output {
        Output::Persist(fact) => format!("Persist({})", fact.kind()),
        Output::Keep { .. } => "Keep".to_owned(),
        Output::Discard { .. } => "Discard".to_owned(),
        Output::Publish { .. } => "Publish".to_owned(),
        Output::Republish { .. } => "Republish".to_owned(),
        Output::Retract { .. } => "Retract".to_owned(),
        Output::Send { message, .. } => format!("Send({})", first_word(message)),
        Output::Event(event) => format!("Event({})", first_word(event)),
    }
}

/// The name of a variant, from its debug form.
fn first_word(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let is_name = |sign: &char| sign.is_alphanumeric();
    text.chars().take_while(is_name).collect()
}

fn counted(names: &[String]) -> String {
    let mut runs: Vec<(&String, usize)> = Vec::new();
    for name in names {
        match runs.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => runs.push((name, 1)),
        }
    }
    let runs = runs.iter().map(|(name, count)| match count {
        1 => (*name).clone(),
        count => format!("{count} x {name}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

fn four_hospitals() -> Cohort {
    let manifest = protocol::manifest::Manifest {
        conditioning: Conditioning::EncryptedHardened,
        ..manifest(1)
    };
    let mut cohort = Cohort::new(4, &manifest);
    cohort.connect_all();
    cohort
}

fn reach(holds: impl Fn(&Cohort) -> bool) -> Cohort {
    let mut cohort = four_hospitals();
    assert!(cohort.until(holds));
    cohort
}

/// Hospital 1 is welcomed, and about to join.
fn gathering() -> Cohort {
    reach(|cohort| cohort.hospitals[&id(1)].is_welcomed())
}

/// Hospital 1 has the Joins of all, and is about to encapsulate.
fn key_exchange() -> Cohort {
    reach(|cohort| cohort.hospitals[&id(1)].knows_joins())
}

/// Hospital 1 has the group key, and is about to confirm it.
fn confirming() -> Cohort {
    reach(|cohort| cohort.hospitals[&id(1)].knows_group_key())
}

/// Hospital 4 comes after the first update, and hospital 1 is asked for the state.
fn handing_over() -> Cohort {
    let mut cohort = late(4);
    cohort.connect(id(4));
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::HandingOver));
    assert!(cohort.until(|cohort| matches!(
        cohort.next_act(id(1)),
        Some(Act::Upload { name, .. }) if *name == <[u8; 32]>::from(state_name(&cohort.machine.session(), id(1)))
    )));
    cohort
}

/// A run of four hospitals that starts with three and is in the first update; the last one has yet to come.
fn late(size: u8) -> Cohort {
    let manifest = protocol::manifest::Manifest {
        conditioning: Conditioning::EncryptedHardened,
        start_with: NonZeroU32::new(u32::from(size) - 1),
        ..manifest(2)
    };
    let mut cohort = Cohort::new(size, &manifest);
    (1..size).for_each(|number| cohort.connect(id(number)));
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 1));
    cohort
}

/// Hospital 1 is about to contribute to the first sum.
fn collecting() -> Cohort {
    reach(|cohort| cohort.hospitals[&id(1)].header().is_some())
}

/// Hospital 1 is about to answer.
fn unlocking() -> Cohort {
    reach(|cohort| cohort.hospitals[&id(1)].has_answered())
}

/// All hospitals are about to close the round of so many that they have seen.
fn about_to_close(rounds: usize) -> Cohort {
    reach(|cohort| {
        let mut hospitals = cohort.hospitals.values();
        cohort.phase() == PhaseName::Publishing
            && hospitals.all(|hospital| hospital.seen.len() == rounds)
    })
}

fn publishing() -> Cohort {
    about_to_close(1)
}

/// Three of four have closed the first sum, but two hospitals are here where three are needed.
fn waiting() -> Cohort {
    let mut cohort = about_to_close(1);
    for gone in [3, 4] {
        cohort.act_for(id(gone));
        cohort.disconnect(id(gone));
    }
    cohort.act_for(id(2));
    cohort
}

/// All but hospital 1 have closed the last sum.
fn finishing() -> Cohort {
    let mut cohort = about_to_close(3);
    for other in [2, 3, 4] {
        cohort.act_for(id(other));
    }
    cohort
}

/// Hospital 1 was not waited for any longer.
fn complete() -> Cohort {
    let mut cohort = finishing();
    cohort.now = Timestamp(cohort.now.0 + 3_600_000);
    cohort.machine.handle_timeout(cohort.now);
    cohort
}

/// The first sum does not open.
fn failed() -> Cohort {
    let mut cohort = four_hospitals();
    for hospital in cohort.hospitals.values_mut() {
        hospital.fails = true;
    }
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Over));
    cohort
}
