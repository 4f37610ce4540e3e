//! A hospital as the coordinator sees it: where it stands, whether it is there, and what its connection has carried.

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::HospitalId;
use protocol::digests::{HeaderHash, OutcomeName};

use super::{Timestamp, waiting_report::Contact};

/// All members of the roster.
pub(super) struct Peers {
    by_id: BTreeMap<HospitalId, Peer>,
    /// Of the manifest: a hospital silent for so long is no longer waited for.
    silence_secs: u32,
}

#[derive(Default)]
pub(super) struct Peer {
    /// Published rounds that it has, as it says itself.
    pub(super) position: usize,
    /// Published rounds that it has by its signed word, which is on disk.
    closed: usize,
    pub(super) role: Role,
    /// It was welcomed to a session that began without its Join, and has said neither Hello nor Join since: perhaps somebody there has yet
    /// to agree to the run. Another session would go the same way.
    stays_out: bool,
    /// It has said on this connection that it has the state which the session goes on from, before all messages of the set-up were here.
    says_it_has_the_state: bool,
    presence: Presence,
    pub(super) sent: Sent,
}

/// What a hospital is to the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// It has no keys of it, and may take part in a later one.
    #[default]
    Outsider,
    /// It has its keys, and has not said that it has the state of the run that the session goes on from.
    AwaitsState,
    Member,
}

#[derive(Default, Clone, Copy)]
enum Presence {
    #[default]
    NeverSeen,
    /// Connected, and its Hello was accepted. Before that a new connection changes nothing: one that is refused again and again would
    /// be waited for without end.
    Connected { last_heard: Timestamp, silent: bool },
    Gone {
        since: Timestamp,
        given_up: bool,
        cut_by: CutBy,
    },
}

/// Why a hospital is not connected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CutBy {
    /// Its connection was lost.
    Network,
    /// This coordinator was started again. That is not the hospital's fault: it is waited for like a silent one.
    OurRestart,
}

/// What this connection has carried. A new connection starts anew, so a hospital that returns gets all it has missed, in order, and
/// nothing twice on one connection.
#[derive(Default)]
pub(super) struct Sent {
    welcome: bool,
    /// So many messages of the set-up.
    pub(super) relays: usize,
    /// Outcomes, by name.
    outcomes: BTreeSet<OutcomeName>,
    /// Null steps, by the names of the outcomes in whose place they are.
    null_steps: BTreeSet<OutcomeName>,
    /// Of the last round that it carried anything of.
    round: SentOfRound,
    finished: bool,
    not_yet: bool,
    /// Which of the requests for the state, from 1.
    state_wanted: u32,
    state_ready: bool,
}

#[derive(Default)]
struct SentOfRound {
    /// hh of the header sent.
    header: Option<HeaderHash>,
    /// The number of the first share box that it has not carried.
    next_box: usize,
    request: bool,
}

impl Peers {
    pub(super) fn new(ids: impl Iterator<Item = HospitalId>, silence_secs: u32) -> Self {
        Self {
            by_id: ids.map(|id| (id, Peer::default())).collect(),
            silence_secs,
        }
    }

    pub(super) fn contains(&self, id: HospitalId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn get_mut(&mut self, id: HospitalId) -> Option<&mut Peer> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (HospitalId, &mut Peer)> {
        self.by_id.iter_mut().map(|(&id, peer)| (id, peer))
    }

    /// Those of whom something holds.
    pub(super) fn ids_where(&self, holds: impl Fn(&Peer) -> bool) -> Vec<HospitalId> {
        let peers = self.by_id.iter().filter(|(_, peer)| holds(peer));
        peers.map(|(&id, _)| id).collect()
    }

    /// How many published rounds a hospital has closed.
    pub(super) fn position(&self, id: HospitalId) -> usize {
        self.by_id.get(&id).map_or(0, |peer| peer.position)
    }

    /// How many published rounds each of these hospitals has by its signed word.
    pub(super) fn closed_by_all(&self, ids: impl Iterator<Item = HospitalId>) -> usize {
        let closed = ids.map(|id| self.by_id.get(&id).map_or(0, |peer| peer.closed));
        closed.min().unwrap_or(0)
    }

    /// Those of these hospitals that have closed so many rounds by their signed word.
    pub(super) fn that_have_closed(
        &self,
        rounds: usize,
        ids: impl Iterator<Item = HospitalId>,
    ) -> BTreeSet<HospitalId> {
        let have = |id: &HospitalId| self.by_id.get(id).is_some_and(|peer| peer.closed >= rounds);
        ids.filter(have).collect()
    }

    /// Connected and greeted members of the session that have what it goes on from. Silence does not matter here: who has nothing to do
    /// has nothing to say.
    pub(super) fn present(&self) -> Vec<HospitalId> {
        self.ids_where(Peer::is_present)
    }

    /// Those of them that have so many published rounds: others have no header of the round at hand.
    pub(super) fn up_to_date(&self, published: usize) -> Vec<HospitalId> {
        self.ids_where(|peer| peer.is_present() && peer.position == published)
    }

    /// Whether one of them is, and has been heard of.
    pub(super) fn is_present_and_heard(&self, id: HospitalId) -> bool {
        let peer = self.by_id.get(&id);
        peer.is_some_and(|peer| peer.is_present() && !peer.is_out_of_touch())
    }

    /// Whether a hospital of the session is here and has yet to get its state.
    pub(super) fn some_get_the_state(&self) -> bool {
        let mut peers = self.by_id.values();
        peers.any(|peer| {
            peer.role == Role::AwaitsState && peer.is_connected() && !peer.is_out_of_touch()
        })
    }

    /// Not in the session, or gone for longer than anybody is waited for.
    pub(super) fn is_given_up(&self, id: HospitalId) -> bool {
        let peer = self.by_id.get(&id);
        peer.is_none_or(|peer| !peer.is_in_session() || peer.is_given_up())
    }

    /// Connected, and silent for too long, or gone for too long.
    pub(super) fn is_out_of_touch(&self, id: HospitalId) -> bool {
        self.by_id.get(&id).is_some_and(Peer::is_out_of_touch)
    }

    /// Whether a hospital that has been here is waited for, whatever its role: silent or gone, and not for too long.
    pub(super) fn may_come_yet(&self, id: HospitalId) -> bool {
        let peer = self.by_id.get(&id);
        peer.is_some_and(|peer| {
            !matches!(peer.presence, Presence::NeverSeen) && !peer.is_out_of_touch()
        })
    }

    /// These are the session's; some of them await its state.
    pub(super) fn set_roles(&mut self, role: impl Fn(HospitalId, &Peer) -> Role) {
        for (&id, peer) in &mut self.by_id {
            peer.role = role(id, peer);
        }
    }

    /// Whether a round waits for a hospital's contribution: see [`Peer::is_waited_for`].
    pub(super) fn is_waited_for(&self, id: HospitalId, patient: bool, now: Timestamp) -> bool {
        let peer = self.by_id.get(&id);
        peer.is_some_and(|peer| peer.is_waited_for(patient, now, self.silence_secs))
    }

    /// Forgets what a hospital has said of the rounds from `rounds` on.
    pub(super) fn take_back(&mut self, id: HospitalId, rounds: usize) {
        if let Some(peer) = self.by_id.get_mut(&id) {
            peer.position = peer.position.min(rounds);
            peer.closed = peer.closed.min(rounds);
        }
    }

    /// The keys of a session are exchanged among these alone.
    pub(super) fn note_who_stays_out(&mut self, has_joined: impl Fn(HospitalId) -> bool) {
        for (&id, peer) in &mut self.by_id {
            peer.stays_out = peer.is_connected() && !has_joined(id);
        }
    }

    /// A round starts: everybody connected gets the full time to be heard.
    pub(super) fn start_round(&mut self, now: Timestamp) {
        self.by_id.values_mut().for_each(|peer| peer.hear(now));
    }

    /// How a hospital was last heard of.
    pub(super) fn contact(&self, id: HospitalId) -> Contact {
        self.by_id
            .get(&id)
            .map_or(Contact::NeverSeen, Peer::contact)
    }

    /// This coordinator was started again: nobody is connected.
    pub(super) fn restart(&mut self, now: Timestamp) {
        for peer in self.by_id.values_mut() {
            peer.presence = Presence::Gone {
                since: now,
                given_up: false,
                cut_by: CutBy::OurRestart,
            };
        }
    }

    /// Another session begins: nobody has anything of it.
    pub(super) fn begin_session(&mut self) {
        for peer in self.by_id.values_mut() {
            peer.position = 0;
            peer.closed = 0;
            peer.role = Role::Outsider;
            peer.says_it_has_the_state = false;
            peer.sent = Sent::default();
        }
    }

    pub(super) fn note_silence(&mut self, now: Timestamp) {
        for peer in self.by_id.values_mut() {
            peer.note_silence(now, self.silence_secs);
        }
    }

    /// When the next silence or absence begins to matter.
    pub(super) fn patience_ends(&self) -> Option<Timestamp> {
        let peers = self.by_id.values();
        peers
            .filter_map(|peer| peer.patience_ends(self.silence_secs))
            .min()
    }
}

impl Peer {
    /// A new connection, which takes the place of an earlier one.
    pub(super) fn connect(&mut self, now: Timestamp) {
        self.disconnect(now);
        self.says_it_has_the_state = false;
        self.sent = Sent::default();
    }

    pub(super) fn disconnect(&mut self, now: Timestamp) {
        if matches!(self.presence, Presence::Connected { .. }) {
            self.presence = Presence::Gone {
                since: now,
                given_up: false,
                cut_by: CutBy::Network,
            };
        }
    }

    /// Its Hello is accepted. Whoever has closed a round has the state of the session's beginning.
    pub(super) fn greet(&mut self, position: usize, now: Timestamp) {
        self.position = self.position.max(position);
        if position > 0 && self.role == Role::AwaitsState {
            self.role = Role::Member;
        }
        self.sent.welcome = false;
        self.stays_out = false;
        self.presence = Presence::Connected {
            last_heard: now,
            silent: false,
        };
    }

    /// Its signed word on the last of so many published rounds is accepted.
    pub(super) fn close(&mut self, rounds: usize) {
        self.closed = self.closed.max(rounds);
        self.position = self.position.max(rounds);
        if self.role == Role::AwaitsState {
            self.role = Role::Member;
        }
    }

    /// It is gone, and nobody waits for it.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        self.presence = Presence::Gone {
            since: now,
            given_up: true,
            cut_by: CutBy::Network,
        };
    }

    pub(super) fn hear(&mut self, now: Timestamp) {
        if let Presence::Connected { last_heard, silent } = &mut self.presence {
            *last_heard = now;
            *silent = false;
        }
    }

    fn contact(&self) -> Contact {
        match self.presence {
            Presence::NeverSeen => Contact::NeverSeen,
            Presence::Connected { last_heard, .. } => Contact::Connected { last_heard },
            Presence::Gone { since, .. } => Contact::Gone { since },
        }
    }

    /// Connected and greeted.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.presence, Presence::Connected { .. })
    }

    /// The same of a member that has what the session goes on from.
    pub(super) fn is_present(&self) -> bool {
        self.is_connected() && self.role == Role::Member
    }

    pub(super) fn is_in_session(&self) -> bool {
        self.role != Role::Outsider
    }

    /// By its word on this connection; its Ready has to name the state too.
    pub(super) fn says_it_has_the_state(&self) -> bool {
        self.says_it_has_the_state
    }

    /// It has all messages of the set-up, which this coordinator, started again, has yet to get once more. It does not repeat its word on
    /// this connection.
    pub(super) fn note_that_it_has_the_state(&mut self) {
        self.says_it_has_the_state = true;
    }

    /// It sends a Join, to whatever session: it wants to take part.
    pub(super) fn wants_to_join(&mut self) {
        self.stays_out = false;
    }

    /// Here, not in the session, and would join another one.
    pub(super) fn waits_to_be_let_in(&self) -> bool {
        self.is_connected() && !self.is_out_of_touch() && !self.is_in_session() && !self.stays_out
    }

    /// In the session, and gone, but not for too long.
    pub(super) fn may_be_back(&self) -> bool {
        self.is_in_session() && !self.is_connected() && !self.is_given_up()
    }

    /// Here, with so many published rounds closed by its signed word.
    pub(super) fn has_signed(&self, published: usize) -> bool {
        self.is_present() && self.closed >= published
    }

    /// Connected and silent for too long, or gone for too long.
    pub(super) fn is_out_of_touch(&self) -> bool {
        match self.presence {
            Presence::NeverSeen => false,
            Presence::Connected { silent, .. } => silent,
            Presence::Gone { given_up, .. } => given_up,
        }
    }

    fn note_silence(&mut self, now: Timestamp, silence_secs: u32) {
        match &mut self.presence {
            Presence::Connected { last_heard, silent } => {
                *silent = now >= last_heard.after_secs(silence_secs)
            }
            Presence::Gone {
                since, given_up, ..
            } => *given_up = now >= since.after_secs(silence_secs),
            Presence::NeverSeen => {}
        }
    }

    /// When this peer's silence or absence begins to matter, if it has not yet.
    fn patience_ends(&self, silence_secs: u32) -> Option<Timestamp> {
        match self.presence {
            Presence::Connected {
                last_heard,
                silent: false,
            } => Some(last_heard.after_secs(silence_secs)),
            Presence::Gone {
                since,
                given_up: false,
                ..
            } => Some(since.after_secs(silence_secs)),
            _ => None,
        }
    }

    fn is_given_up(&self) -> bool {
        matches!(
            self.presence,
            Presence::NeverSeen | Presence::Gone { given_up: true, .. }
        )
    }

    /// An update does not wait for a hospital whose connection is lost; a sum that depends on a steady set of contributors is
    /// `patient` (PROTOCOL.md 3.3).
    fn is_waited_for(&self, patient: bool, now: Timestamp, silence_secs: u32) -> bool {
        if self.role != Role::Member {
            return false;
        }
        match self.presence {
            Presence::NeverSeen => false,
            Presence::Connected { last_heard, .. } => now < last_heard.after_secs(silence_secs),
            Presence::Gone { since, cut_by, .. } => {
                (patient || cut_by == CutBy::OurRestart) && now < since.after_secs(silence_secs)
            }
        }
    }
}

impl Sent {
    /// Whether the Welcome to the session has yet to be sent; notes that it is.
    pub(super) fn welcome(&mut self) -> bool {
        !std::mem::replace(&mut self.welcome, true)
    }

    /// Whether the name of this outcome has yet to be sent on this connection; notes that it is.
    pub(super) fn outcome(&mut self, name: OutcomeName) -> bool {
        self.outcomes.insert(name)
    }

    /// Whether the null step in the place of this outcome has yet to be sent on this connection; notes that it is.
    pub(super) fn null_step(&mut self, name: OutcomeName) -> bool {
        self.null_steps.insert(name)
    }

    /// Whether this header has yet to be sent; notes that it is, and that nothing else of its round was.
    pub(super) fn header(&mut self, hash: HeaderHash) -> bool {
        if self.round.header == Some(hash) {
            return false;
        }
        self.round = SentOfRound {
            header: Some(hash),
            ..SentOfRound::default()
        };
        true
    }

    /// The number of the first share box of the round that has yet to be sent, for whoever sends it and those after it.
    pub(super) fn next_box(&mut self) -> &mut usize {
        &mut self.round.next_box
    }

    /// Whether the unlock request has yet to be sent; notes that it is.
    pub(super) fn request(&mut self) -> bool {
        !std::mem::replace(&mut self.round.request, true)
    }

    /// Whether an outsider has yet to be told that it takes part later; notes that it is.
    pub(super) fn not_yet(&mut self) -> bool {
        !std::mem::replace(&mut self.not_yet, true)
    }

    /// Whether this request for the state has yet to be sent; notes that it is.
    pub(super) fn state_wanted(&mut self, request: u32) -> bool {
        std::mem::replace(&mut self.state_wanted, request) != request
    }

    /// Whether the name of the state has yet to be sent; notes that it is.
    pub(super) fn state_ready(&mut self) -> bool {
        !std::mem::replace(&mut self.state_ready, true)
    }

    /// Whether the last message of the run has yet to be sent; notes that it is.
    pub(super) fn finished(&mut self) -> bool {
        !std::mem::replace(&mut self.finished, true)
    }
}
