//! Who is connected, and what every hospital has moved.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crypto::sealed_sum::HospitalId;
use dashmap::{DashMap, Entry};
use transport::{HospitalLink, Traffic, TrafficCounts};

use super::spent::Spent;

/// The live connections of a run and the bytes of all its connections. Can be read at any time, from anywhere.
#[derive(Default)]
pub struct Registry {
    live: DashMap<HospitalId, Live>,
    /// Of connections that have ended.
    past: DashMap<HospitalId, TrafficCounts>,
    /// Hospitals that are not let in before this moment.
    shut_out: DashMap<HospitalId, Instant>,
    spent: Mutex<Spent>,
}

/// A hospital that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveHospital {
    /// The hospital at the other end.
    pub hospital: HospitalId,
    /// Where it dials from.
    pub address: SocketAddr,
}

impl Registry {
    /// The connected hospitals, by number.
    pub fn live(&self) -> Vec<LiveHospital> {
        let mut live: Vec<_> = self
            .live
            .iter()
            .map(|entry| LiveHospital {
                hospital: *entry.key(),
                address: entry.address,
            })
            .collect();
        live.sort_by_key(|entry| entry.hospital);
        live
    }

    /// Message bytes of every hospital that has ever connected, so far.
    pub fn traffic(&self) -> BTreeMap<HospitalId, TrafficCounts> {
        let mut traffic: BTreeMap<_, _> = self
            .past
            .iter()
            .map(|entry| (*entry.key(), *entry.value()))
            .collect();
        for entry in &self.live {
            let counts = traffic.entry(*entry.key()).or_default();
            *counts = sum(*counts, entry.traffic.counts());
        }
        traffic
    }

    /// What the machine has spent on arithmetic so far.
    pub fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_spent(&self, spent: Spent) {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = spent;
    }

    /// Takes a link in; false when its hospital is connected already.
    pub(super) fn enter(&self, link: &HospitalLink) -> bool {
        match self.live.entry(link.hospital()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(Live {
                    address: link.remote_address(),
                    traffic: link.traffic(),
                });
                true
            }
        }
    }

    /// A hospital is not let in again before `until`.
    pub(super) fn shut_out(&self, hospital: HospitalId, until: Instant) {
        self.shut_out.insert(hospital, until);
    }

    /// Whether a hospital has to wait before it is let in.
    pub(super) fn is_shut_out(&self, hospital: HospitalId, now: Instant) -> bool {
        let until = self.shut_out.get(&hospital);
        until.is_some_and(|until| now < *until)
    }

    /// The hospital's link is gone.
    pub(super) fn leave(&self, hospital: HospitalId) {
        if let Some((_, live)) = self.live.remove(&hospital) {
            let mut past = self.past.entry(hospital).or_default();
            *past = sum(*past, live.traffic.counts());
        }
    }
}

struct Live {
    address: SocketAddr,
    traffic: Arc<Traffic>,
}

fn sum(left: TrafficCounts, right: TrafficCounts) -> TrafficCounts {
    TrafficCounts {
        frame_bytes_sent: left.frame_bytes_sent + right.frame_bytes_sent,
        frame_bytes_received: left.frame_bytes_received + right.frame_bytes_received,
        blob_bytes_sent: left.blob_bytes_sent + right.blob_bytes_sent,
        blob_bytes_received: left.blob_bytes_received + right.blob_bytes_received,
    }
}
