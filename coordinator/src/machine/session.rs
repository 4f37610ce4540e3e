//! A session that has its keys: who shares its sums, the set-up messages for those who have yet to get them, and the chain of its
//! rounds. Every phase after the key exchange owns it.

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{GroupKeyId, HeaderHash, JoinedSet, OutcomeName, RoundNumber, SessionId},
    identity::{Message, Signed, SignedError},
    message::{RefusedPart, ToVault},
    round::RoundError,
    session::{Encapsulation, GroupKey, Join, Ready, SessionError, state_name},
};

use super::{
    Event, Fact, MachineError, Output, SetUpRecord, Timestamp,
    beginning::Beginning,
    chain::{Chain, Closed},
    context::Context,
    head::Head,
    input::{ClosingMessage, Envelope, RoundMessage, SetUpMessage},
    peer::{Peer, Role},
    published::PublishedRound,
    reaction::{
        FORMER_SESSION, GIVEN_NO_STATE, OTHER_ROUND, OVERTAKEN, REPEATED, Reaction, readable,
    },
};

pub(super) struct Session {
    /// H(sorted Joins).
    pub(super) joined_set: JoinedSet,
    /// The group key's id.
    pub(super) gid: GroupKeyId,
    pub(super) set_up: SetUp,
    pub(super) relays: Relays,
    pub(super) chain: Chain,
    /// The largest number of a header of the run.
    pub(super) last_round: RoundNumber,
    /// The same when the session began.
    pub(super) began_after: RoundNumber,
    /// Under which the state that the session goes on from is served to those that do not have it.
    pub(super) state: Option<OutcomeName>,
    /// Members that have come back without their keys.
    pub(super) lost: BTreeSet<HospitalId>,
    /// When the last of them did.
    pub(super) lost_at: Timestamp,
    /// Members that did not bring the state that it goes on from: another one hands it over to them.
    pub(super) newcomers: BTreeSet<HospitalId>,
    /// Headers that were replaced before their U was fixed.
    pub(super) given_up: BTreeSet<HeaderHash>,
    /// So many outcomes, from the first on, are not served any more: everybody has them.
    pub(super) retracted: usize,
}

/// The messages of the set-up by their senders.
pub(super) struct SetUp {
    pub(super) joins: BTreeMap<HospitalId, Signed<Join>>,
    /// By the pair, the smaller number first.
    pub(super) encapsulations: BTreeMap<(HospitalId, HospitalId), Signed<Encapsulation>>,
    pub(super) group_key: Signed<GroupKey>,
    pub(super) readies: BTreeMap<HospitalId, Signed<Ready>>,
}

/// What the coordinator relays of the set-up, in the order in which it became known, to one vault or to all.
#[derive(Default)]
pub(super) struct Relays(Vec<(Recipient, ToVault)>);

#[derive(Clone, Copy, PartialEq)]
enum Recipient {
    All,
    One(HospitalId),
}

impl Relays {
    pub(super) fn push_for_all(&mut self, message: ToVault) {
        self.0.push((Recipient::All, message));
    }

    pub(super) fn push_for_one(&mut self, recipient: HospitalId, message: ToVault) {
        self.0.push((Recipient::One(recipient), message));
    }

    /// What a hospital is owed whose connection has carried those before `carried`; all are carried from now on.
    pub(super) fn owed(&self, to: HospitalId, carried: &mut usize) -> Vec<ToVault> {
        let from = std::mem::replace(carried, self.0.len());
        let owed = self.0.iter().skip(from).filter(|(recipient, _)| {
            *recipient == Recipient::All || *recipient == Recipient::One(to)
        });
        owed.map(|(_, message)| message.clone()).collect()
    }
}

impl SetUp {
    /// What has to be kept of it.
    pub(super) fn record(&self) -> SetUpRecord {
        SetUpRecord {
            joins: self.joins.values().cloned().collect(),
            encapsulations: self.encapsulations.values().cloned().collect(),
            group_key: self.group_key.clone(),
            readies: self.readies.values().cloned().collect(),
        }
    }
}

impl Session {
    /// The share holders, sorted.
    pub(super) fn joined(&self) -> Vec<HospitalId> {
        self.set_up.joins.keys().copied().collect()
    }

    /// Those that have not come back without their keys.
    pub(super) fn with_keys(&self) -> Vec<HospitalId> {
        let joined = self.joined().into_iter();
        joined.filter(|id| !self.lost.contains(id)).collect()
    }

    /// Whether a header of this session was signed: from then on its keys may be in use.
    pub(super) fn has_opened(&self) -> bool {
        self.last_round > self.began_after
    }

    /// A member says that it has the state which the session goes on from.
    pub(super) fn on_state_taken<R>(
        &self,
        context: &mut Context<R>,
        envelope: Envelope,
        session: SessionId,
    ) -> Result<Reaction, MachineError> {
        if session != context.session {
            return Ok(Reaction::Ignored(FORMER_SESSION));
        }
        let (from, is_given) = (envelope.from, self.state.is_some() || self.chain.len() > 0);
        match context.peers.get_mut(from) {
            Some(peer) if peer.role == Role::AwaitsState => {
                let brings_it = !self.newcomers.contains(&from);
                if !brings_it && !is_given {
                    return Err(envelope.wrong_phase());
                }
                peer.role = Role::Member;
                Ok(Reaction::Handled)
            }
            _ => Ok(Reaction::Ignored(REPEATED)),
        }
    }

    /// A newcomer cannot use what was handed over to it: it is let into the next session, and another hospital is asked for the state.
    pub(super) fn on_state_refused<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        session: SessionId,
    ) -> Reaction {
        let awaits_it = |peer: &mut Peer| peer.role == Role::AwaitsState;
        let is_its_turn =
            self.newcomers.contains(&from) && context.peers.get_mut(from).is_some_and(awaits_it);
        if session != context.session || !is_its_turn {
            return Reaction::Ignored(GIVEN_NO_STATE);
        }
        let mut members = self.joined().into_iter();
        let sealer = members.find(|&id| self.state == Some(state_name(&session, id)));
        context.distrusted.extend(sealer);
        self.lose(context, from);
        context.event(Event::StateRefused { hospital: from });
        Reaction::Handled
    }

    /// A member has no use of its keys any more.
    pub(super) fn lose<R>(&mut self, context: &mut Context<R>, id: HospitalId) {
        self.lost.insert(id);
        self.lost_at = context.advanced_at;
        if let Some(peer) = context.peers.get_mut(id) {
            peer.role = Role::Outsider;
        }
    }

    /// When members that have come back without their keys count as lost for good: until then they may have found them again.
    pub(super) fn loss_counts_at<R>(&self, context: &Context<R>) -> Option<Timestamp> {
        let counts_at = self.lost_at.after_secs(context.run.manifest.silence_secs);
        (!self.lost.is_empty()).then_some(counts_at)
    }

    /// Members whose keys will not come back.
    pub(super) fn lost_for_good<R>(
        &self,
        context: &Context<R>,
        now: Timestamp,
    ) -> BTreeSet<HospitalId> {
        match self.loss_counts_at(context) {
            Some(counts_at) if now >= counts_at => self.lost.clone(),
            _ => BTreeSet::new(),
        }
    }

    /// Why the run cannot go on, when too few members still have their keys.
    pub(super) fn too_few_keys<R>(&self, context: &Context<R>, now: Timestamp) -> Option<String> {
        let (lost, needed) = (self.lost_for_good(context, now), context.roster.threshold());
        let left = self.members() - lost.len();
        (left < needed).then(|| {
            let lost: Vec<_> = lost.iter().map(|id| id.get()).collect();
            format!(
                "the hospitals {lost:?} have come back without their keys, so that {left} are left where {needed} are needed to go on: find \
                 out from their participants' logs what became of their state folders, and start a new run from a kept model \
                 (run.initial_model)"
            )
        })
    }

    /// Members that do not follow the null step which comes next for them.
    pub(super) fn stay_behind<R>(&self, context: &Context<R>) -> BTreeSet<HospitalId> {
        let does_not_follow = |id: &HospitalId| {
            let next = self.chain.missed(context.peers.position(*id));
            next.is_some_and(|round| round.null_step().is_some() && round.failed_by(*id))
        };
        self.with_keys()
            .into_iter()
            .filter(does_not_follow)
            .collect()
    }

    /// A newcomer with an older state knows what it has answered.
    fn brings_nothing(&self, id: HospitalId) -> bool {
        let ready = self.set_up.readies.get(&id);
        let ready = ready.and_then(|ready| ready.read_unverified().ok());
        self.newcomers.contains(&id) && ready.is_none_or(|ready| ready.state.is_none())
    }

    /// Members that help to open no sum on the present model: they came without anything of the run, now or in an earlier session on it
    /// (PROTOCOL.md 3.6, point 7).
    pub(super) fn do_not_answer<R>(&self, context: &Context<R>) -> BTreeSet<HospitalId> {
        match self.chain.len() {
            0 => {
                let given_to = &context.beginning.given_to;
                let does_not = |id: &HospitalId| given_to.contains(id) || self.brings_nothing(*id);
                self.joined().into_iter().filter(does_not).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    pub(super) fn has_member(&self, id: HospitalId) -> bool {
        self.set_up.joins.contains_key(&id)
    }

    /// What a session that follows this one goes on from, if the round before the sum at hand is settled at `head`.
    pub(super) fn end<R>(&self, context: &Context<R>, head: Head) -> Beginning {
        let members = self.set_up.joins.keys().copied();
        Beginning {
            // Before a round of this session, it is where this one began.
            after: match self.chain.len() {
                0 => context.beginning.after,
                _ => Some(head),
            },
            last_round: self.last_round,
            evaluations: self.chain.evaluations().to_vec(),
            given_to: match self.chain.len() {
                0 => &context.beginning.given_to | &self.do_not_answer(context),
                // An update comes first in every session that follows another.
                _ => BTreeSet::new(),
            },
            reached_by: match self.chain.len() {
                0 => context.beginning.reached_by.clone(),
                rounds => context.peers.that_have_closed(rounds, members),
            },
        }
    }

    /// Nothing of this session is served any more: another follows it.
    pub(super) fn retract_all<R>(&self, context: &mut Context<R>) {
        let rounds = self.chain.iter().skip(self.retracted);
        let names = rounds.map(PublishedRound::name).chain(self.state);
        let retract = names.map(|name| Output::Retract { name });
        context.outputs.extend(retract);
    }

    pub(super) fn members(&self) -> usize {
        self.set_up.joins.len()
    }

    /// The set-up is over: a vault that is not sure what has arrived repeats its messages, and nobody may change one.
    pub(super) fn on_set_up(
        &self,
        envelope: Envelope,
        message: &SetUpMessage,
    ) -> Result<Reaction, MachineError> {
        let (from, set_up) = (envelope.from, &self.set_up);
        let known = match message {
            SetUpMessage::Join(join) => repeats(from, set_up.joins.get(&from), join),
            SetUpMessage::Encapsulation(message) => {
                let to = message.read_unverified().map(|body| body.to.0);
                let to = to.map_err(|error| SessionError::Malformed(error.to_string()));
                let to = to.map_err(MachineError::session(from))?;
                repeats(from, set_up.encapsulations.get(&(from, to)), message)
            }
            SetUpMessage::GroupKey(message) => repeats(from, Some(&set_up.group_key), message),
            SetUpMessage::Ready(ready) => repeats(from, set_up.readies.get(&from), ready),
        };
        match known.map_err(MachineError::session(from))? {
            true => Ok(Reaction::Ignored(REPEATED)),
            false => Err(envelope.wrong_phase()),
        }
    }

    /// A vault does not follow a null step, whatever the run is at by now: its words are not waited for.
    fn on_null_step_refused<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: &RoundMessage,
    ) -> Option<Reaction> {
        let RoundMessage::HeaderRefused {
            header,
            part: part @ RefusedPart::NullStep,
            reason,
        } = message
        else {
            return None;
        };
        let (round, is_news) = self.chain.on_null_step_refused(from, header)?;
        if !is_news {
            return Some(Reaction::Ignored(REPEATED));
        }
        context.event(Event::Declined {
            hospital: from,
            round,
            part: *part,
            reason: readable(reason),
        });
        Some(Reaction::Handled)
    }

    /// A message of a round that is not at hand: it may have been overtaken by the outcome of its round, or by another header.
    pub(super) fn on_late<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: &RoundMessage,
    ) -> Result<Reaction, MachineError> {
        if let Some(reaction) = self.on_null_step_refused(context, from, message) {
            return Ok(reaction);
        }
        let header = message.header().map_err(SignedError::from);
        let header = header.map_err(MachineError::round(from))?;
        if self.chain.knows(&header) {
            Ok(Reaction::Ignored(OVERTAKEN))
        } else if self.given_up.contains(&header) {
            Ok(Reaction::Ignored(OTHER_ROUND))
        } else {
            Err(MachineError::round(from)(RoundError::OtherRound {
                message: message.name(),
            }))
        }
    }

    /// A vault's word on an outcome. T and model hash of the next header follow from the t that agree, so it is kept.
    pub(super) fn on_closing<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: ClosingMessage,
    ) -> Result<Reaction, MachineError> {
        let key = context.member(from)?.signing_key;
        let rejected = MachineError::closing(from);
        if message
            .header()
            .is_ok_and(|header| self.given_up.contains(&header))
        {
            // An evaluation that did not open, and was left out.
            return Ok(Reaction::Ignored(OVERTAKEN));
        }
        match message {
            ClosingMessage::Closed(signed) => {
                let closed = self.chain.on_closed(from, &key, signed.clone());
                let Closed { index, is_first } = closed.map_err(rejected)?;
                if !is_first {
                    return Ok(Reaction::Ignored(REPEATED));
                }
                context.persist(Fact::Closed(signed));
                if let Some(peer) = context.peers.get_mut(from) {
                    peer.close(index + 1);
                }
                self.retract_what_all_have(context);
            }
            ClosingMessage::Failed(signed) => {
                let is_news = self.chain.on_failed(from, &key, signed);
                if !is_news.map_err(rejected)? {
                    return Ok(Reaction::Ignored(REPEATED));
                }
            }
        }
        Ok(Reaction::Handled)
    }

    /// Only a signed word counts here, which is on disk, of every member, also of one that has lost its keys: a coordinator that is started
    /// again must come to the same end, as what is retracted cannot be served again.
    fn retract_what_all_have<R>(&mut self, context: &mut Context<R>) {
        let members = self.set_up.joins.keys().copied();
        let closed_by_all = context.peers.closed_by_all(members);
        if closed_by_all > 0
            && let Some(name) = self.state.take()
        {
            context.outputs.push_back(Output::Retract { name });
        }
        while self.retracted < closed_by_all
            && let Some(round) = self.chain.missed(self.retracted)
        {
            let name = round.name();
            context.outputs.push_back(Output::Retract { name });
            self.retracted += 1;
        }
    }

    /// What a connected hospital of the session is owed: the set-up, the state that it goes on from, then the first outcome that it misses, and only then what the phase has for
    /// those that are up to date.
    pub(super) fn owed(
        &self,
        to: HospitalId,
        peer: &mut Peer,
        present: impl FnOnce(&mut Peer) -> Vec<ToVault>,
    ) -> Vec<ToVault> {
        let mut owed = self.relays.owed(to, &mut peer.sent.relays);
        if peer.role == Role::AwaitsState {
            let is_newcomer = self.newcomers.contains(&to);
            let news = self
                .state
                .filter(|_| is_newcomer && peer.sent.state_ready());
            owed.extend(news.map(|name| ToVault::StateReady { name }));
            return owed;
        }
        match self.chain.missed(peer.position) {
            Some(missed) => {
                let name = missed.name();
                let news = match missed.null_step() {
                    Some(step) => peer
                        .sent
                        .null_step(name)
                        .then(|| ToVault::NullStep(step.clone())),
                    None => peer
                        .sent
                        .outcome(name)
                        .then_some(ToVault::OutcomeReady { name }),
                };
                owed.extend(news);
            }
            None => owed.extend(present(peer)),
        }
        owed
    }
}

/// Whether a message is the one that is known: false when none is yet.
///
/// # Errors
/// [`SessionError::Second`] when it is another one.
pub(super) fn repeats<T: Message>(
    from: HospitalId,
    known: Option<&Signed<T>>,
    message: &Signed<T>,
) -> Result<bool, SessionError> {
    match known {
        Some(known) if known == message => Ok(true),
        Some(_) => Err(SessionError::Second {
            id: from,
            message: T::TYPE,
        }),
        None => Ok(false),
    }
}
