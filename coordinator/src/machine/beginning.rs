//! Where the run is when a session begins.

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use protocol::digests::{RoundNumber, Transcript};

use super::head::Head;

/// Nothing, in the first session of a run; what was reached in the one before, in any other.
#[derive(Clone, Default)]
pub(super) struct Beginning {
    /// Where the session goes on.
    pub(super) after: Option<Head>,
    /// The largest number of a header.
    pub(super) last_round: RoundNumber,
    /// U of every evaluation whose U was fixed.
    pub(super) evaluations: Vec<BTreeSet<HospitalId>>,
    /// Hospitals that have reached it by themselves, as their words on the last round, their Hello or their Ready say. t of them have to be
    /// in the session: it goes on from what they bring alike.
    pub(super) reached_by: BTreeSet<HospitalId>,
    /// Those that another hospital has handed it over to, and which help to open no sum on its model.
    pub(super) given_to: BTreeSet<HospitalId>,
}

impl Beginning {
    /// A hospital has reached it, unless another one gave it the state; whether that is news.
    pub(super) fn note_reached(&mut self, id: HospitalId) -> bool {
        self.after.is_some() && !self.given_to.contains(&id) && self.reached_by.insert(id)
    }

    /// T that the session goes on after.
    pub(super) fn transcript(&self) -> Option<Transcript> {
        self.after.map(|head| head.transcript)
    }
}
