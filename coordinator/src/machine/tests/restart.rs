//! The coordinator is stopped after every effect of a whole run and goes on from what was on disk.

use std::{collections::BTreeSet, thread};

use protocol::{
    manifest::Purpose,
    message::{RefusedPart, ToCoordinator, ToVault},
};

use super::{
    cohort::{Cohort, connected, id},
    hospital::Seen,
};
use crate::machine::{Event, Fact, FactKind, Output, PhaseName, ResumeError};

const HOSPITALS: u8 = 4;
const ROUNDS: u32 = 2;

pub(super) fn cohort() -> Cohort {
    connected(HOSPITALS, ROUNDS)
}

/// Every sum over all hospitals: 1 + 2 + 3 + 4.
fn all_sums() -> Vec<Seen> {
    let all: BTreeSet<_> = (1..=HOSPITALS).collect();
    let sums = [
        Purpose::Stats,
        Purpose::Update,
        Purpose::Evaluation,
        Purpose::Update,
        Purpose::Evaluation,
    ];
    sums.map(|purpose| (purpose, all.clone(), 10)).to_vec()
}

pub(super) fn assert_ended_well(cohort: &Cohort, what: &str) {
    // Uploads of a round that was open when the coordinator was stopped are sent again, and it has another header then.
    let is_expected = |event: &&Event| match event {
        Event::Rejected { reason, .. } => reason.contains("for another round"),
        Event::Abandoned { reason, .. } => reason.contains("started again"),
        _ => true,
    };
    let events = cohort.events.iter();
    let unexpected: Vec<_> = events.filter(|event| !is_expected(event)).collect();
    assert!(unexpected.is_empty(), "{what}: {unexpected:?}");
    assert!(cohort.disk.blobs.is_empty(), "{what}: bytes were left over");
    let (_, missing) = cohort
        .completed()
        .unwrap_or_else(|| panic!("{what}: stuck in {}", cohort.phase()));
    assert!(missing.is_empty(), "{what}: {missing:?}");
    for hospital in cohort.hospitals.values() {
        assert_eq!(hospital.seen, all_sums(), "{what}");
        assert_eq!(hospital.ending, Some(ToVault::Finished), "{what}");
    }
    assert_one_chain(cohort, what);
}

/// The transcript's lines, those told twice taken once, are one chain.
fn assert_one_chain(cohort: &Cohort, what: &str) {
    let mut lines: Vec<&crate::machine::TranscriptEntry> = Vec::new();
    for event in &cohort.events {
        if let Event::Settled(entry) = event
            && lines.last().is_none_or(|last| last.round < entry.round)
        {
            lines.push(entry);
        }
    }
    assert_eq!(lines.len(), all_sums().len(), "{what}");
    for pair in lines.windows(2) {
        assert_eq!(pair[0].transcript, pair[1].transcript_before, "{what}");
    }
}

/// One U for each header, one header for each number: what a restart must not break.
pub(super) fn assert_nothing_signed_twice(cohort: &Cohort, what: &str) {
    let mut numbers = BTreeSet::new();
    let mut fixed = BTreeSet::new();
    for bytes in &cohort.disk.facts {
        match Fact::from_bytes(bytes).expect("a fact") {
            Fact::Header(header) => {
                let round = header.read_unverified().expect("ours").round;
                assert!(numbers.insert(round), "{what}: header {round} twice");
            }
            Fact::Fixed(record) => {
                let header = record.request.read_unverified().expect("ours").header;
                assert!(fixed.insert(header), "{what}: two U for one header");
            }
            _ => {}
        }
    }
}

#[test]
fn a_run_stopped_after_any_effect_goes_on_and_ends_alike() {
    let mut undisturbed = cohort();
    undisturbed.run();
    assert_ended_well(&undisturbed, "undisturbed");
    let effects = undisturbed.effects;
    assert!(effects > 200, "{effects} effects of a whole run");
    thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || {
                for crash in (1..=effects).filter(|crash| crash % 2 == part) {
                    let mut cohort = cohort();
                    cohort.crash_after = vec![crash];
                    cohort.run();
                    let what = format!("stopped after effect {crash}");
                    assert_ended_well(&cohort, &what);
                    assert_nothing_signed_twice(&cohort, &what);
                }
            });
        }
    });
}

#[test]
fn a_run_that_its_hospitals_end_ends_alike_after_a_stop_at_any_effect() {
    let ending_early = || {
        let mut cohort = connected(HOSPITALS, 5);
        for number in 1..=HOSPITALS {
            cohort.hospital(id(number)).stops_after = Some(ROUNDS as usize);
        }
        cohort
    };
    let mut undisturbed = ending_early();
    undisturbed.run();
    assert_ended_well(&undisturbed, "undisturbed");
    for crash in (1..=undisturbed.effects).step_by(3) {
        let mut cohort = ending_early();
        cohort.crash_after = vec![crash];
        cohort.run();
        let what = format!("stopped after effect {crash}");
        assert_ended_well(&cohort, &what);
        assert_nothing_signed_twice(&cohort, &what);
    }
}

#[test]
fn a_run_stopped_again_and_again_goes_on_and_ends_alike() {
    for (first, between) in (1..60).flat_map(|first| [(3 * first, 1), (3 * first, 7)]) {
        let mut cohort = cohort();
        cohort.crash_after = (0..3).map(|crash| first + crash * between).collect();
        cohort.run();
        let what = format!("stopped three times from effect {first} on, {between} apart");
        assert_ended_well(&cohort, &what);
        assert_nothing_signed_twice(&cohort, &what);
    }
}

#[test]
fn the_phase_after_a_restart_is_that_before_it() {
    let goes_on_in = |phase| match phase {
        // Without the fact that all are ready every hospital says everything again.
        PhaseName::KeyExchange => PhaseName::Gathering,
        // What was uploaded is lost: the sum is opened again under another header.
        PhaseName::Collecting => PhaseName::Waiting,
        // Time alone leads on.
        PhaseName::Finishing | PhaseName::Over => PhaseName::Waiting,
        phase => phase,
    };
    let mut cohort = cohort();
    let mut seen = BTreeSet::new();
    while cohort.step() {
        let resumed = cohort.federation.resume(&cohort.disk, cohort.now, 9);
        let resumed = resumed.expect("its own facts").phase();
        if resumed == goes_on_in(cohort.phase()) {
            seen.insert(cohort.phase());
        }
    }
    let durable = [
        PhaseName::Gathering,
        PhaseName::KeyExchange,
        PhaseName::Collecting,
        PhaseName::Unlocking,
        PhaseName::Publishing,
        PhaseName::Over,
    ];
    assert!(durable.iter().all(|phase| seen.contains(phase)), "{seen:?}");
}

#[test]
fn evaluations_that_were_left_out_stay_left_out() {
    let mut cohort = cohort();
    assert!(
        cohort.until(|cohort| cohort.phase() == PhaseName::Publishing
            && cohort.hospitals[&id(1)].seen.len() == 3)
    );
    // Hospital 4 is gone for good after the first evaluation: the second is left out.
    cohort.disconnect(id(4));
    cohort.run();
    let (_, missing) = cohort.completed().expect("the others go on");
    assert_eq!(missing, [id(4)]);
    let last = cohort.disk.facts.len();
    let resumed = cohort.federation.resume(&cohort.disk, cohort.now, 9);
    assert!(resumed.is_ok(), "{last} facts");
    let sums: Vec<_> = cohort.hospitals[&id(1)]
        .seen
        .iter()
        .map(|(purpose, ..)| *purpose)
        .collect();
    assert_eq!(
        sums,
        [
            Purpose::Stats,
            Purpose::Update,
            Purpose::Evaluation,
            Purpose::Update
        ]
    );
}

/// Two of four are gone once the only update is settled: no three are left for its evaluation, nor for its outcome.
#[test]
fn an_evaluation_that_was_left_out_is_not_waited_for_after_a_restart() {
    let is_evaluated = |cohort: &Cohort| {
        let header = cohort.hospitals[&id(1)].header();
        header.is_some_and(|header| header.purpose == Purpose::Evaluation)
    };
    let vanish = |cohort: &mut Cohort| {
        for gone in [3, 4] {
            cohort.disconnect(id(gone));
        }
    };
    let left_out = |cohort: &Cohort| {
        let facts = cohort.disk.facts.iter();
        let mut kinds = facts.map(|bytes| Fact::from_bytes(bytes).expect("ours").kind());
        kinds.any(|kind| kind == FactKind::LeftOut)
    };
    let mut cohort = connected(HOSPITALS, 1);
    assert!(cohort.until(is_evaluated));
    vanish(&mut cohort);
    while !left_out(&cohort) {
        assert!(!cohort.machine.is_over(), "it is left out before that");
        if !cohort.step() {
            let next = cohort
                .machine
                .poll_timeout()
                .expect("somebody is waited for");
            cohort.now = cohort.now.max(next);
            cohort.machine.handle_timeout(cohort.now);
        }
    }
    assert_eq!(cohort.completed(), None, "nothing follows yet");
    cohort.restart();
    vanish(&mut cohort);
    cohort.run();
    assert!(cohort.completed().is_some(), "stuck in {}", cohort.phase());
    for there in [1, 2] {
        assert_eq!(cohort.hospitals[&id(there)].ending, Some(ToVault::Finished));
    }

    // Of another evaluation than the next one, and a second time.
    let place = cohort.disk.facts.len() - 1;
    let resume = |spoil: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut disk = cohort.disk.clone();
        spoil(&mut disk.facts);
        cohort.federation.resume(&disk, cohort.now, 9).err()
    };
    assert_eq!(resume(&|_| {}), None);
    for spoilt in [
        resume(&|facts| facts[place][1] += 1),
        resume(&|facts| facts.push(facts[place].clone())),
    ] {
        assert!(
            matches!(
                spoilt,
                Some(ResumeError::Invalid {
                    fact: FactKind::LeftOut,
                    ..
                })
            ),
            "{spoilt:?}"
        );
    }
}

/// A late word on the update may come between the two facts, and the process may end before the sum is discarded.
#[test]
fn an_evaluation_that_vaults_refuse_to_open_is_left_out_also_after_a_restart() {
    let mut cohort = cohort();
    let is_fixed = |cohort: &Cohort| {
        let header = cohort.hospitals[&id(1)].header();
        header.is_some_and(|header| header.purpose == Purpose::Evaluation)
            && cohort.phase() == PhaseName::Unlocking
    };
    assert!(cohort.until(is_fixed));
    let ToCoordinator::HeaderRefused {
        header: evaluation, ..
    } = cohort.hospitals[&id(1)].refusal()
    else {
        panic!("a refusal");
    };
    for number in [1, 2] {
        let refusal = ToCoordinator::HeaderRefused {
            header: evaluation,
            part: RefusedPart::Answer,
            reason: "another run has summed the same".into(),
        };
        cohort
            .machine
            .handle_message(id(number), refusal, cohort.now);
    }
    assert_eq!(cohort.phase(), PhaseName::Collecting, "the next update");
    let mut with_sum = None;
    while let Some(output) = cohort.machine.poll_output() {
        match output {
            Output::Send { .. } => {}
            Output::Discard { .. } => {
                with_sum = Some(cohort.disk.clone());
                cohort.carry_out(output);
            }
            other => cohort.carry_out(other),
        }
    }
    let with_sum = with_sum.expect("the sum is discarded");
    let kind = |bytes: &Vec<u8>| Fact::from_bytes(bytes).expect("ours").kind();
    for disk in [with_sum, cohort.disk.clone()] {
        let facts = disk.facts.iter();
        let place = facts
            .clone()
            .position(|bytes| kind(bytes) == FactKind::LeftOut);
        let place = place.expect("it is left out");
        assert_eq!(kind(&disk.facts[place - 1]), FactKind::Fixed);
        let late = facts
            .take(place)
            .rposition(|bytes| kind(bytes) == FactKind::Closed);
        let mut with_late_word = disk.clone();
        let word = with_late_word
            .facts
            .remove(late.expect("the update was closed"));
        with_late_word.facts.insert(place - 1, word);
        for disk in [disk, with_late_word] {
            let resumed = cohort.federation.resume(&disk, cohort.now, 9);
            let mut resumed = resumed.expect("it goes on");
            assert_eq!(resumed.phase(), PhaseName::Waiting);
            let mut outputs = std::iter::from_fn(|| resumed.poll_output());
            assert!(
                outputs
                    .any(|output| matches!(output, Output::Discard { name } if name == evaluation)),
                "the sum is let go of"
            );
        }
    }
}

#[test]
fn damaged_records_are_refused_by_name() {
    let mut cohort = cohort();
    assert!(cohort.until(|cohort| cohort.phase() == PhaseName::Unlocking));
    let kinds = |disk: &super::cohort::Disk| -> Vec<FactKind> {
        let facts = disk.facts.iter();
        facts
            .map(|bytes| Fact::from_bytes(bytes).expect("ours").kind())
            .collect()
    };
    // The phase changes before its outputs are carried out.
    while kinds(&cohort.disk).last() != Some(&FactKind::Fixed) {
        assert!(cohort.step());
    }
    let resume = |spoil: &dyn Fn(&mut super::cohort::Disk)| {
        let mut disk = cohort.disk.clone();
        spoil(&mut disk);
        let resumed = cohort.federation.resume(&disk, cohort.now, 9);
        resumed.map(|machine| machine.phase())
    };
    assert_eq!(resume(&|_| {}), Ok(PhaseName::Unlocking));
    assert_eq!(
        resume(&|disk| disk.facts.clear()),
        Err(ResumeError::NoBeginning)
    );
    assert_eq!(
        resume(&|disk| disk.facts.rotate_left(1)),
        Err(ResumeError::NoBeginning)
    );
    let out_of_order = |fact, phase| Err(ResumeError::OutOfOrder { fact, phase });
    assert_eq!(
        resume(&|disk| {
            disk.facts.remove(1);
        }),
        out_of_order(FactKind::Header, PhaseName::Gathering)
    );
    assert_eq!(
        resume(&|disk| {
            disk.facts.remove(2);
        }),
        out_of_order(FactKind::Fixed, PhaseName::Waiting)
    );
    assert!(matches!(
        resume(&|disk| disk.blobs.clear()),
        Err(ResumeError::SumLost { .. })
    ));
    assert!(matches!(
        resume(&|disk| disk.blobs.values_mut().for_each(|bytes| bytes[0] ^= 1)),
        Err(ResumeError::SumLost { .. })
    ));
    // A header that another key has signed, and one that is of another chain.
    for fact in [FactKind::Header, FactKind::Fixed, FactKind::Ready] {
        let index = kinds(&cohort.disk).iter().position(|kind| *kind == fact);
        let index = index.expect("it is there");
        let spoilt = resume(&|disk| {
            // The first message's first byte behind its length.
            let place = if fact == FactKind::Ready { 9 } else { 5 };
            disk.facts[index][place] ^= 1;
        });
        assert!(
            matches!(&spoilt, Err(ResumeError::Invalid { fact: found, .. }) if *found == fact),
            "{fact}: {spoilt:?}"
        );
    }
}

#[test]
fn any_bytes_are_a_fact_that_encodes_alike_or_an_error() {
    let mut cohort = cohort();
    cohort.run();
    for bytes in &cohort.disk.facts {
        let fact = Fact::from_bytes(bytes).expect("our own");
        assert_eq!(fact.to_bytes(), *bytes);
        for end in 0..bytes.len().min(64) {
            assert!(Fact::from_bytes(&bytes[..end]).is_err());
        }
        assert!(Fact::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
    assert!(Fact::from_bytes(&[0]).is_err() && Fact::from_bytes(&[8, 0, 0]).is_err());
}
