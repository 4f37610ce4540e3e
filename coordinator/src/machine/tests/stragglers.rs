//! Hospitals that are alive and do not contribute: each round is over by the deadline for the slowest (PROTOCOL.md 3.3).

use protocol::{manifest::Purpose, message::ToCoordinator};

use super::{
    cohort::{Cohort, connected, id},
    hospital::Act,
    runs::sum,
};
use crate::machine::{Event, Timestamp};

const SECOND: u64 = 1000;

/// All that happens within so many seconds while some hospitals only say that they are alive.
fn pass(cohort: &mut Cohort, secs: u64, idle: &[u8]) {
    let end = cohort.now.after_secs(u32::try_from(secs).expect("few"));
    while cohort.now < end {
        cohort.now = Timestamp(cohort.now.0 + SECOND);
        for &number in idle {
            let alive = ToCoordinator::Heartbeat;
            cohort.machine.handle_message(id(number), alive, cohort.now);
        }
        cohort.machine.handle_timeout(cohort.now);
        pump_without_uploads_of(cohort, idle);
    }
}

fn pump_without_uploads_of(cohort: &mut Cohort, idle: &[u8]) {
    loop {
        for &number in idle {
            while matches!(cohort.next_act(id(number)), Some(Act::Upload { .. })) {
                cohort.forget_act(id(number));
            }
        }
        if !cohort.step() {
            return;
        }
    }
}

fn too_slow(cohort: &Cohort) -> Vec<(u8, u64)> {
    let found = cohort.events.iter().filter_map(|event| match event {
        Event::TooSlow {
            hospital,
            waited_secs,
            ..
        } => Some((hospital.get(), *waited_secs)),
        _ => None,
    });
    found.collect()
}

#[test]
fn a_hospital_that_only_says_that_it_is_alive_holds_no_round_up_beyond_the_floor() {
    let mut cohort = connected(4, 1);
    pump_without_uploads_of(&mut cohort, &[4]);
    pass(&mut cohort, 599, &[4]);
    assert!(cohort.hospitals[&id(1)].seen.is_empty());
    pass(&mut cohort, 1, &[4]);
    let of_the_others = sum(Purpose::Stats, &[1, 2, 3]);
    let of_the_others = std::slice::from_ref(&of_the_others);
    assert_eq!(cohort.hospitals[&id(1)].seen, of_the_others);
    assert_eq!(
        cohort.hospitals[&id(4)].seen,
        of_the_others,
        "it can go on with the others"
    );
    assert_eq!(too_slow(&cohort), [(4, 600)]);
    // It is expected in the next round, and in time there: on a new connection it uploads what was lost above.
    cohort.connect(id(4));
    cohort.pump();
    pass(&mut cohort, 100, &[]);
    let update = sum(Purpose::Update, &[1, 2, 3, 4]);
    assert_eq!(cohort.hospitals[&id(1)].seen[1], update);
    assert_eq!(too_slow(&cohort).len(), 1);
}

#[test]
fn the_slowest_is_given_a_multiple_of_what_the_others_took() {
    let mut cohort = connected(4, 1);
    pump_without_uploads_of(&mut cohort, &[1, 2, 3, 4]);
    // Nobody is given up while too few have contributed.
    pass(&mut cohort, 5000, &[1, 2, 3, 4]);
    for (number, secs) in [(1, 0), (2, 100), (3, 900)] {
        pass(&mut cohort, secs, &[1, 2, 3, 4]);
        let bytes = cohort.hospitals[&id(number)].last_upload();
        let kept = cohort.machine.handle_upload(id(number), bytes, cohort.now);
        assert!(kept.is_ok());
    }
    // 10 x 5100 s, the one in the middle, since the header.
    pass(&mut cohort, 45_000 - 1, &[4]);
    assert!(cohort.hospitals[&id(1)].seen.is_empty());
    pass(&mut cohort, 1, &[4]);
    assert_eq!(
        cohort.hospitals[&id(1)].seen,
        [sum(Purpose::Stats, &[1, 2, 3])]
    );
    assert_eq!(too_slow(&cohort), [(4, 51_000)]);
}
