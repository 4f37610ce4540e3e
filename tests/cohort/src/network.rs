//! Connections as QUIC gives them: frames of one direction arrive in order or, once the connection is lost, not at all; transfers go
//! beside them and break off at any byte. The two ends notice a loss at different times.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;

use crate::{agenda::later, parties::Timestamp};

/// One connection of one hospital.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Hospital,
    Coordinator,
}

struct Link {
    hospital: HospitalId,
    /// Nothing passes a connection that is lost, whether or not its ends know.
    passes: bool,
    stalled_until: Timestamp,
    /// When the last frame to each end arrives.
    last_to_hospital: Timestamp,
    last_to_coordinator: Timestamp,
    /// Frames of the hospital.
    sent: u64,
    delivered: u64,
}

/// All connections, and which of them each party takes for the present one.
#[derive(Default)]
pub(crate) struct Network {
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    held_by_hospital: BTreeMap<HospitalId, LinkId>,
    held_by_coordinator: BTreeMap<HospitalId, LinkId>,
    unreachable_until: BTreeMap<HospitalId, Timestamp>,
}

impl Network {
    /// A new connection, or none while the way is cut or the coordinator holds an earlier one for alive.
    pub(crate) fn dial(&mut self, hospital: HospitalId, now: Timestamp) -> Option<LinkId> {
        if self.held_by_coordinator.contains_key(&hospital) || self.is_unreachable(hospital, now) {
            return None;
        }
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let link = Link {
            hospital,
            passes: true,
            stalled_until: now,
            last_to_hospital: now,
            last_to_coordinator: now,
            sent: 0,
            delivered: 0,
        };
        self.links.insert(id, link);
        self.held_by_hospital.insert(hospital, id);
        self.held_by_coordinator.insert(hospital, id);
        Some(id)
    }

    /// The connection that this end takes for the present one.
    pub(crate) fn held(&self, hospital: HospitalId, by: End) -> Option<LinkId> {
        let held = match by {
            End::Hospital => &self.held_by_hospital,
            End::Coordinator => &self.held_by_coordinator,
        };
        held.get(&hospital).copied()
    }

    /// Whether this end still takes this connection for the present one.
    pub(crate) fn holds(&self, link: LinkId, by: End) -> bool {
        self.held(self.hospital(link), by) == Some(link)
    }

    /// This end lets go of the connection; true if it held it.
    pub(crate) fn let_go(&mut self, link: LinkId, by: End) -> bool {
        let holds = self.holds(link, by);
        if holds {
            let hospital = self.hospital(link);
            match by {
                End::Hospital => self.held_by_hospital.remove(&hospital),
                End::Coordinator => self.held_by_coordinator.remove(&hospital),
            };
        }
        holds
    }

    pub(crate) fn hospital(&self, link: LinkId) -> HospitalId {
        self.links[&link].hospital
    }

    pub(crate) fn passes(&self, link: LinkId) -> bool {
        self.links[&link].passes
    }

    /// Nothing passes any more; true if something did until now.
    pub(crate) fn lose(&mut self, link: LinkId) -> bool {
        let link = self
            .links
            .get_mut(&link)
            .expect("a link is never forgotten");
        std::mem::replace(&mut link.passes, false)
    }

    /// Nothing arrives before `until`, in either direction; nothing is lost.
    pub(crate) fn stall(&mut self, link: LinkId, until: Timestamp) {
        let link = self
            .links
            .get_mut(&link)
            .expect("a link is never forgotten");
        link.stalled_until = link.stalled_until.max(until);
    }

    pub(crate) fn stalled_until(&self, link: LinkId) -> Timestamp {
        self.links[&link].stalled_until
    }

    /// When a frame that is sent now arrives: after all before it.
    pub(crate) fn arrival(
        &mut self,
        link: LinkId,
        to: End,
        now: Timestamp,
        latency: u64,
    ) -> Timestamp {
        let link = self
            .links
            .get_mut(&link)
            .expect("a link is never forgotten");
        let last = match to {
            End::Hospital => &mut link.last_to_hospital,
            End::Coordinator => {
                link.sent += 1;
                &mut link.last_to_coordinator
            }
        };
        *last = later(now, latency).max(*last);
        *last
    }

    /// How many frames the hospital has sent.
    pub(crate) fn sent(&self, link: LinkId) -> u64 {
        self.links[&link].sent
    }

    /// A frame of the hospital has arrived.
    pub(crate) fn count_delivered(&mut self, link: LinkId) {
        let link = self
            .links
            .get_mut(&link)
            .expect("a link is never forgotten");
        link.delivered += 1;
    }

    /// Whether a frame has arrived that was sent after the first `sent`.
    pub(crate) fn has_delivered_more_than(&self, link: LinkId, sent: u64) -> bool {
        self.links[&link].delivered > sent
    }

    /// No new connection of this hospital before `until`.
    pub(crate) fn cut_off(&mut self, hospital: HospitalId, until: Timestamp) {
        let known = self.unreachable_until.entry(hospital).or_insert(until);
        *known = until.max(*known);
    }

    fn is_unreachable(&self, hospital: HospitalId, now: Timestamp) -> bool {
        let until = self.unreachable_until.get(&hospital);
        until.is_some_and(|until| now < *until)
    }
}
