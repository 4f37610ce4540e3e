//! Contributions that were added when they arrived and do not get into U: they are read again and subtracted (PROTOCOL.md 3.5).

use std::{io, sync::Arc};

use protocol::manifest::Purpose;

use super::{
    cohort::{Cohort, connected, id},
    hospital::Act,
    runs::sum,
};
use crate::machine::{Event, MachineError, UploadedBytes};

/// An upload whose file is read well so many times, and then comes to this.
struct Failing {
    bytes: Arc<[u8]>,
    good_reads: std::cell::Cell<u32>,
    then: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Gone,
    Altered,
    Shorter,
}

impl UploadedBytes for Failing {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read<'a>(&'a self, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        buffer.clear();
        buffer.extend_from_slice(&self.bytes);
        if let Some(left) = self.good_reads.get().checked_sub(1) {
            self.good_reads.set(left);
            return Ok(buffer);
        }
        match self.then {
            Fault::Gone => return Err(io::Error::other("the disk is gone")),
            Fault::Altered => *buffer.last_mut().expect("it is long") ^= 1,
            Fault::Shorter => buffer.truncate(100),
        }
        Ok(buffer)
    }
}

/// Hospital 3 of four is about to upload its first update, and has other clips than the others.
fn before_an_update_that_is_left_out() -> Cohort {
    let mut cohort = connected(4, 1);
    assert!(cohort.until(|cohort| cohort.hospitals[&id(1)].seen.len() == 1));
    cohort.hospital(id(3)).clips_differently = true;
    assert!(cohort.until(|cohort| {
        let header = cohort.hospitals[&id(3)].header();
        header.is_some_and(|header| header.purpose == Purpose::Update)
            && matches!(cohort.next_act(id(3)), Some(Act::Upload { .. }))
    }));
    cohort
}

/// In the place of what hospital 3 would upload next.
fn upload(cohort: &mut Cohort, good_reads: u32, then: Fault) -> Result<(), MachineError> {
    let upload = Failing {
        bytes: cohort.hospitals[&id(3)].last_upload(),
        good_reads: good_reads.into(),
        then,
    };
    cohort.machine.handle_upload(id(3), upload, cohort.now)
}

fn reasons_for_giving_up(cohort: &Cohort) -> Vec<&str> {
    let events = cohort.events.iter();
    events
        .filter_map(|event| match event {
            Event::Abandoned { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_contribution_outside_u_is_not_in_the_sum() {
    let mut cohort = before_an_update_that_is_left_out();
    cohort.run();
    assert!(cohort.completed().is_some());
    let seen = &cohort.hospitals[&id(3)].seen;
    assert_eq!(seen[1], sum(Purpose::Update, &[1, 2, 4]));
    assert!(reasons_for_giving_up(&cohort).is_empty());
}

#[test]
fn a_round_is_tried_again_when_what_is_outside_u_cannot_be_subtracted() {
    for (then, words) in [
        (Fault::Gone, "the disk is gone"),
        (Fault::Altered, "not those that were added"),
        (Fault::Shorter, "not those that were added"),
    ] {
        let mut cohort = before_an_update_that_is_left_out();
        cohort.forget_act(id(3));
        assert_eq!(upload(&mut cohort, 1, then), Ok(()));
        cohort.run();
        assert!(cohort.completed().is_some(), "{then:?}");
        let reasons = reasons_for_giving_up(&cohort);
        assert!(
            matches!(reasons[..], [reason] if reason.contains("hospital 3") && reason.contains(words)),
            "{reasons:?}"
        );
        // Under the next header the upload is in order, and subtracted.
        let seen = &cohort.hospitals[&id(1)].seen;
        assert_eq!(seen[1], sum(Purpose::Update, &[1, 2, 4]), "{then:?}");
    }
}

#[test]
fn a_disk_that_loses_every_upload_ends_the_run_and_the_reason_names_it() {
    let mut cohort = before_an_update_that_is_left_out();
    while !cohort.machine.is_over() {
        while matches!(cohort.next_act(id(3)), Some(Act::Upload { .. })) {
            cohort.forget_act(id(3));
            let _ = upload(&mut cohort, 1, Fault::Gone);
        }
        if !cohort.step() {
            let next = cohort.machine.poll_timeout().expect("it tries again");
            cohort.now = cohort.now.max(next);
            cohort.machine.handle_timeout(cohort.now);
        }
    }
    cohort.pump();
    assert_eq!(reasons_for_giving_up(&cohort).len(), 7);
    assert!(cohort.failed_with("has failed, like 7 before it: the contribution of hospital 3"));
    assert!(cohort.failed_with("the disk is gone. Look for the fault in the disk"));
}

#[test]
fn an_upload_that_cannot_be_read_when_it_arrives_may_come_again() {
    let mut cohort = before_an_update_that_is_left_out();
    cohort.hospital(id(3)).clips_differently = false;
    let bytes = cohort.hospitals[&id(3)].last_upload();
    let unreadable = upload(&mut cohort, 0, Fault::Gone);
    assert!(
        matches!(&unreadable, Err(MachineError::Unreadable { from, .. }) if *from == id(3)),
        "{unreadable:?}"
    );
    cohort.forget_act(id(3));
    while cohort.step() {}
    assert!(cohort.completed().is_none(), "it is waited for");
    let now = cohort.now;
    assert_eq!(cohort.machine.handle_upload(id(3), bytes, now), Ok(()));
}
