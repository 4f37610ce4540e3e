//! What each hospital is owed. Derived from where it stands and what this connection has carried, so a hospital that returns gets
//! all it has missed, in order, and nothing twice on one connection.

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use rand_core::CryptoRng;

use super::{Coordinator, Timestamp};
use protocol::{
    digests::{HeaderHash, OutcomeName},
    message::ToVault,
};

/// A hospital as the coordinator sees it.
#[derive(Default)]
pub(super) struct Peer {
    /// Settled rounds that it has closed.
    pub(super) position: usize,
    presence: Presence,
    sent: Sent,
}

#[derive(Default, Clone, Copy)]
enum Presence {
    #[default]
    NeverSeen,
    /// Connected; `greeted` once its Hello was answered.
    Connected {
        greeted: bool,
        last_heard: Timestamp,
        silent: bool,
    },
    Gone {
        since: Timestamp,
        given_up: bool,
    },
}

/// What this connection has carried.
#[derive(Default)]
struct Sent {
    relays: usize,
    outcome: Option<OutcomeName>,
    header: Option<HeaderHash>,
    boxes: BTreeSet<HospitalId>,
    request: bool,
    finished: bool,
}

impl Peer {
    pub(super) fn connect(&mut self, now: Timestamp) {
        self.presence = Presence::Connected {
            greeted: false,
            last_heard: now,
            silent: false,
        };
        self.sent = Sent::default();
    }

    pub(super) fn disconnect(&mut self, now: Timestamp) {
        if matches!(self.presence, Presence::Connected { .. }) {
            self.presence = Presence::Gone {
                since: now,
                given_up: false,
            };
        }
    }

    pub(super) fn greet(&mut self, position: usize) {
        self.position = position;
        if let Presence::Connected { greeted, .. } = &mut self.presence {
            *greeted = true;
        }
    }

    pub(super) fn hear(&mut self, now: Timestamp) {
        if let Presence::Connected {
            last_heard, silent, ..
        } = &mut self.presence
        {
            *last_heard = now;
            *silent = false;
        }
    }

    /// A round starts: everybody connected gets the full time to be heard.
    pub(super) fn start_round(&mut self, now: Timestamp) {
        self.hear(now);
    }

    pub(super) fn note_silence(&mut self, now: Timestamp, silence_secs: u32) {
        match &mut self.presence {
            Presence::Connected {
                last_heard, silent, ..
            } => *silent = now >= last_heard.after_secs(silence_secs),
            Presence::Gone { since, given_up } => *given_up = now >= since.after_secs(silence_secs),
            Presence::NeverSeen => {}
        }
    }

    /// When this peer's silence or absence begins to matter, if it has not yet.
    pub(super) fn patience_ends(&self, silence_secs: u32) -> Option<Timestamp> {
        match self.presence {
            Presence::Connected {
                last_heard,
                silent: false,
                ..
            } => Some(last_heard.after_secs(silence_secs)),
            Presence::Gone {
                since,
                given_up: false,
            } => Some(since.after_secs(silence_secs)),
            _ => None,
        }
    }

    /// Connected and greeted. Silence does not matter here: who has nothing to do has nothing to say.
    pub(super) fn is_present(&self) -> bool {
        matches!(self.presence, Presence::Connected { greeted: true, .. })
    }

    /// Gone for longer than anybody is waited for.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(
            self.presence,
            Presence::NeverSeen | Presence::Gone { given_up: true, .. }
        )
    }

    /// Whether a round waits for this hospital's contribution. An update does not wait for one whose connection is lost; a sum that
    /// depends on a steady set of contributors is `patient`.
    pub(super) fn is_waited_for(&self, patient: bool, now: Timestamp, silence_secs: u32) -> bool {
        match self.presence {
            Presence::NeverSeen => false,
            Presence::Connected { last_heard, .. } => now < last_heard.after_secs(silence_secs),
            Presence::Gone { since, .. } => patient && now < since.after_secs(silence_secs),
        }
    }
}

impl<R: CryptoRng> Coordinator<R> {
    /// Sends every connected hospital what it is owed and has not been sent.
    pub(super) fn deliver(&mut self) {
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in ids {
            for message in self.owed(id) {
                self.send(id, message);
            }
        }
    }

    fn owed(&mut self, id: HospitalId) -> Vec<ToVault> {
        let is_settled = self.round.is_none() && self.plan.is_empty() && self.consensus().is_some();
        let Some(peer) = self.peers.get_mut(&id) else {
            return Vec::new();
        };
        if !matches!(peer.presence, Presence::Connected { greeted: true, .. })
            || !self.setup.has_joined(id)
        {
            return Vec::new();
        }
        let (mut owed, relays) = self.setup.relays(id, peer.sent.relays);
        peer.sent.relays = relays;
        if let Some(missed) = self.chain.get(peer.position) {
            if peer.sent.outcome != Some(missed.name()) {
                peer.sent.outcome = Some(missed.name());
                owed.push(ToVault::OutcomeReady {
                    name: missed.name(),
                });
            }
            return owed;
        }
        if let Some(round) = &self.round {
            let (hash, header) = round.header_message();
            if peer.sent.header != Some(hash) {
                peer.sent.header = Some(hash);
                peer.sent.boxes.clear();
                peer.sent.request = false;
                owed.push(header);
            }
            for (from, forward) in round.boxes_for(id) {
                if peer.sent.boxes.insert(from) {
                    owed.push(ToVault::BoxForward(forward.clone()));
                }
            }
            if let Some(request) = round.request_message().filter(|_| !peer.sent.request) {
                peer.sent.request = true;
                owed.push(request);
            }
        } else if is_settled && !peer.sent.finished {
            peer.sent.finished = true;
            owed.push(ToVault::Finished);
        }
        owed
    }
}
