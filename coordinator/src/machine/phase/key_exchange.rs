//! The vaults exchange keys through the coordinator, which relays what it cannot open (PROTOCOL.md 3.2).

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::List,
    digests::{GroupKeyId, JoinedSet, StateCommit, Transcript},
    identity::Signed,
    message::{Resume, ToVault},
    session::{
        Encapsulation, GroupKey, Join, Ready, SessionError, common_state, first_transcript,
        joined_set_hash,
    },
};
use rand_core::CryptoRng;

use super::{HandingOver, Over, Phase, Retry, Step, Waiting};
use crate::machine::{
    Event, Fact, MachineError, Timestamp,
    chain::Chain,
    context::Context,
    early::EarlyMessages,
    head::Head,
    input::SetUpMessage,
    peer::Role,
    reaction::{REPEATED, Reaction},
    session::{Relays, Session, SetUp, repeats},
    set_up_check,
    waiting_report::{Part, Wait},
};

/// All have joined.
pub(in crate::machine) struct KeyExchange {
    pub(super) joins: BTreeMap<HospitalId, Signed<Join>>,
    /// H(sorted Joins).
    joined_set: JoinedSet,
    /// By the pair, the smaller number first.
    encapsulations: BTreeMap<(HospitalId, HospitalId), Signed<Encapsulation>>,
    pub(super) relays: Relays,
    group_key: Option<KnownGroupKey>,
    /// Readies that name what is not known here yet: the coordinator was started again, and all vaults repeat what they have sent.
    early_readies: BTreeMap<HospitalId, Signed<Ready>>,
    /// Every vault says whether it has seen the same as all others.
    readies: BTreeMap<HospitalId, Signed<Ready>>,
    /// When something was last new.
    moved_at: Timestamp,
}

struct KnownGroupKey {
    message: Signed<GroupKey>,
    gid: GroupKeyId,
}

/// How a Ready compares with what was relayed.
enum Agreement {
    /// It names what has yet to come.
    Open,
    /// All it names is what was relayed.
    Alike,
    /// This is another one.
    Differs(&'static str),
}

impl KeyExchange {
    pub(super) fn new<R>(
        joins: BTreeMap<HospitalId, Signed<Join>>,
        early: EarlyMessages,
        context: &mut Context<R>,
        now: Timestamp,
    ) -> Self {
        let sorted: Vec<_> = joins.values().cloned().collect();
        let mut relays = Relays::default();
        relays.push_for_all(ToVault::Joins(List(sorted.clone())));
        let mut exchange = Self {
            joins,
            joined_set: joined_set_hash(&sorted),
            encapsulations: BTreeMap::new(),
            relays,
            group_key: None,
            early_readies: BTreeMap::new(),
            readies: BTreeMap::new(),
            moved_at: now,
        };
        for (from, message) in early.release() {
            if let Err(error) = exchange.on_set_up(context, from, message) {
                context.reject(from, &error);
            }
        }
        exchange
    }

    /// Whether a hospital that returns to this session can go on in it: it knows these Joins, or none yet.
    pub(super) fn may_follow<R>(&self, context: &Context<R>, resume: &Resume) -> bool {
        resume.transcript == Transcript::BEFORE_JOINS || resume.transcript == self.origin(context)
    }

    pub(in crate::machine) fn on_set_up<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: SetUpMessage,
    ) -> Result<Reaction, MachineError> {
        let reaction = self.take(context, from, message)?;
        if reaction == Reaction::Handled {
            self.moved_at = self.moved_at.max(context.advanced_at);
        }
        Ok(reaction)
    }

    fn take<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: SetUpMessage,
    ) -> Result<Reaction, MachineError> {
        match message {
            SetUpMessage::Join(join) => {
                let known = self.joins.get(&from);
                repeats(from, known, &join).map_err(MachineError::session(from))?;
                Ok(Reaction::Ignored(REPEATED))
            }
            SetUpMessage::Encapsulation(message) => self.on_encapsulation(context, from, message),
            SetUpMessage::GroupKey(message) => self.on_group_key(context, from, message),
            SetUpMessage::Ready(message) => self.on_ready(context, from, message),
        }
    }

    /// PROTOCOL.md 3.2: "Encapsulation (i -> j for i < j, relayed)".
    fn on_encapsulation<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: Signed<Encapsulation>,
    ) -> Result<Reaction, MachineError> {
        let rejected = MachineError::session(from);
        let body = set_up_check::encapsulation(context, from, &message)?;
        let to = body.to.0;
        let names = |id, digest| {
            let known = self.joins.get(&id).map(Signed::digest);
            known == Some(digest)
        };
        if !names(from, body.from_join) || !names(to, body.to_join) {
            return Err(rejected(SessionError::Disagreement {
                id: from,
                what: "Join",
            }));
        }
        let known = self.encapsulations.get(&(from, to));
        if repeats(from, known, &message).map_err(rejected)? {
            return Ok(Reaction::Ignored(REPEATED));
        }
        self.encapsulations.insert((from, to), message.clone());
        self.relays
            .push_for_one(to, ToVault::Encapsulation(message));
        self.look_again(context, &[from, to]);
        Ok(Reaction::Handled)
    }

    /// PROTOCOL.md 3.2: the group key is "drawn by the joined hospital o with the smallest id".
    fn on_group_key<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: Signed<GroupKey>,
    ) -> Result<Reaction, MachineError> {
        let body = set_up_check::group_key(context, from, &message, Some(&self.ids()))?;
        let known = self.group_key.as_ref().map(|known| &known.message);
        if repeats(from, known, &message).map_err(MachineError::session(from))? {
            return Ok(Reaction::Ignored(REPEATED));
        }
        self.relays.push_for_all(ToVault::GroupKey(message.clone()));
        self.group_key = Some(KnownGroupKey {
            message,
            gid: body.gid,
        });
        let waiting: Vec<_> = self.early_readies.keys().copied().collect();
        self.look_again(context, &waiting);
        Ok(Reaction::Handled)
    }

    /// PROTOCOL.md 3.2: Ready is "signed {session_id, id, H(sorted Joins), gid, ...}": all must have seen the same.
    fn on_ready<R>(
        &mut self,
        context: &Context<R>,
        from: HospitalId,
        message: Signed<Ready>,
    ) -> Result<Reaction, MachineError> {
        let rejected = MachineError::session(from);
        let body = set_up_check::ready(context, from, &message, Some(&self.ids()))?;
        match self.compare(&body) {
            Agreement::Alike => {}
            Agreement::Differs(what) => {
                return Err(rejected(SessionError::Disagreement { id: from, what }));
            }
            Agreement::Open => {
                let held = self.early_readies.insert(from, message.clone());
                let is_repeated = held.is_some_and(|held| held == message);
                return Ok(if is_repeated {
                    Reaction::Ignored(REPEATED)
                } else {
                    Reaction::Handled
                });
            }
        }
        if repeats(from, self.readies.get(&from), &message).map_err(rejected)? {
            return Ok(Reaction::Ignored(REPEATED));
        }
        self.readies.insert(from, message.clone());
        self.relays.push_for_all(ToVault::Ready(message));
        Ok(Reaction::Handled)
    }

    fn compare(&self, ready: &Ready) -> Agreement {
        if ready.joined_set != self.joined_set {
            return Agreement::Differs("set of members");
        }
        let Some(group_key) = &self.group_key else {
            return Agreement::Open;
        };
        if ready.gid != group_key.gid {
            return Agreement::Differs("group key");
        }
        let own = ready.id.0;
        let mut agreement = Agreement::Alike;
        for seen in ready.encapsulations.iter() {
            let peer = seen.peer.0;
            let pair = (own.min(peer), own.max(peer));
            match self.encapsulations.get(&pair).map(Signed::digest) {
                Some(relayed) if relayed == seen.digest => {}
                Some(_) => return Agreement::Differs("encapsulation"),
                None => agreement = Agreement::Open,
            }
        }
        agreement
    }

    /// Readies of these hospitals that came early may be complete now.
    fn look_again<R>(&mut self, context: &mut Context<R>, hospitals: &[HospitalId]) {
        for &from in hospitals {
            if let Some(message) = self.early_readies.remove(&from)
                && let Err(error) = self.on_ready(context, from, message)
            {
                context.reject(from, &error);
            }
        }
    }

    /// `T_0 = H('T0' || roster_hash || session_id || H(sorted Joins) || T that the session goes on after)`.
    fn origin<R>(&self, context: &Context<R>) -> Transcript {
        let after = context.beginning.transcript();
        let (roster, session) = (&context.roster, &context.session);
        first_transcript(roster, session, &self.joined_set, after.as_ref())
    }

    fn ids(&self) -> BTreeSet<HospitalId> {
        self.joins.keys().copied().collect()
    }

    /// One whose part is missing, and which is gone or says nothing for longer than anybody is waited for, if there are enough others.
    fn absent<R>(&self, context: &Context<R>, now: Timestamp) -> Option<HospitalId> {
        let missing = || {
            self.joins
                .keys()
                .filter(|id| !self.readies.contains_key(id))
        };
        let peers = &context.peers;
        let gone = missing().find(|id| peers.is_out_of_touch(**id)).copied();
        let is_late = now >= self.waits_until(context);
        let absent = gone.or_else(|| self.who_is_late().filter(|_| is_late))?;
        let ids = context.roster.members().map(|member| member.id);
        let others = ids.filter(|&id| {
            let is_here = self.joins.contains_key(&id) || peers.may_come_yet(id);
            id != absent && is_here && !peers.is_out_of_touch(id) && !context.is_shut_out(id)
        });
        (others.count() >= context.quorum()).then_some(absent)
    }

    /// Whose message the others wait for: the group key's, an Encapsulation's, or else a Ready's.
    fn who_is_late(&self) -> Option<HospitalId> {
        let ids = || self.joins.keys().copied();
        let without_key = ids().next().filter(|_| self.group_key.is_none());
        let mut pairs = ids().flat_map(|from| ids().map(move |to| (from, to)));
        let not_encapsulated =
            pairs.find(|(from, to)| from < to && !self.encapsulations.contains_key(&(*from, *to)));
        let not_ready = ids().find(|id| !self.readies.contains_key(id));
        let not_encapsulated = not_encapsulated.map(|(from, _)| from);
        without_key.or(not_encapsulated).or(not_ready)
    }

    fn waits_until<R>(&self, context: &Context<R>) -> Timestamp {
        self.moved_at.after_secs(context.run.manifest.silence_secs)
    }

    /// When the one that is late is not waited for any more, and when a run whose rounds are done ends in any case.
    pub(super) fn deadlines<R>(&self, context: &Context<R>) -> [Option<Timestamp>; 2] {
        [
            Some(self.waits_until(context)),
            context.ends_without_session(),
        ]
    }

    /// For every vault that has not confirmed the keys of all others.
    pub(super) fn wait(&self) -> Wait {
        let is_ready = |id: &HospitalId| self.readies.contains_key(id);
        let missing = self.joins.keys().copied().filter(|id| !is_ready(id));
        Wait {
            parts: missing.map(|id| (id, Part::ExchangeKeys)).collect(),
            ..Wait::default()
        }
    }

    /// Members that do not bring what the session goes on from.
    fn newcomers<R>(&self, context: &Context<R>) -> Result<BTreeSet<HospitalId>, SessionError> {
        let brought = self.brought();
        let agreed = common_state(brought.values().copied(), &context.roster)?;
        if agreed.is_some() != context.beginning.after.is_some() {
            let needed = context.roster.threshold();
            return Err(SessionError::NoCommonState { vaults: 0, needed });
        }
        let others = brought.into_iter().filter(|(_, state)| *state != agreed);
        Ok(others.map(|(id, _)| id).collect())
    }

    /// What each hospital brings of the run.
    fn brought(&self) -> BTreeMap<HospitalId, Option<StateCommit>> {
        let readies = self.readies.iter();
        let state = |ready: &Signed<Ready>| ready.read_unverified().ok()?.state;
        readies.map(|(&id, ready)| (id, state(ready))).collect()
    }

    /// Fewer than t bring the same, although so many have reached it: some have lost it since, and others may come back that have not.
    fn bring_too_little<R: CryptoRng>(
        self,
        context: &mut Context<R>,
        error: &SessionError,
    ) -> Step {
        let brought = self.brought();
        let most = brought.values().flatten().max_by_key(|state| {
            let alike = brought.values().filter(|other| **other == Some(**state));
            alike.count()
        });
        let reached_by = &context.beginning.reached_by;
        let others = brought.iter().filter(|(_, state)| state.as_ref() != most);
        let without: Vec<_> = others
            .map(|(id, _)| *id)
            .filter(|id| reached_by.contains(id))
            .collect();
        context
            .beginning
            .reached_by
            .retain(|id| !without.contains(id));
        let left = context.beginning.reached_by.len();
        match without.first() {
            Some(&because_of) if left >= context.roster.threshold() => {
                let mut phase = Phase::KeyExchange(self);
                if let Err(error) = phase.begin_anew(context, because_of) {
                    context.reject(because_of, &error);
                }
                Step::Go(phase)
            }
            _ => Step::Go(Phase::Over(Over::fail(context, error.to_string()))),
        }
    }

    /// Over when every vault has confirmed the keys of all others. Without one that is gone the set-up begins anew, if it can.
    pub(in crate::machine) fn advance<R: CryptoRng>(
        self,
        context: &mut Context<R>,
        now: Timestamp,
    ) -> Step {
        if context.ends_without_session().is_some_and(|end| now >= end) {
            return Step::Go(Phase::Over(Over::done(context)));
        }
        if let Some(absent) = self.absent(context, now) {
            let mut phase = Phase::KeyExchange(self);
            if let Err(error) = phase.begin_anew(context, absent) {
                context.reject(absent, &error);
            }
            return Step::Go(phase);
        }
        let after = context.beginning.after;
        let origin = Head {
            transcript: self.origin(context),
            model_hash: after.map_or(context.run.initial_model, |head| head.model_hash),
        };
        if self.group_key.is_none() || self.readies.len() < self.joins.len() {
            return Step::Stay(Phase::KeyExchange(self));
        }
        let newcomers = match self.newcomers(context) {
            Ok(newcomers) => newcomers,
            Err(error) => return self.bring_too_little(context, &error),
        };
        // Where rounds went before, each says when it has what they have led to.
        let joins = &self.joins;
        context.peers.set_roles(|id, peer| {
            let has_the_state = peer.says_it_has_the_state() && !newcomers.contains(&id);
            match joins.contains_key(&id) {
                true if after.is_some() && !has_the_state => Role::AwaitsState,
                true => Role::Member,
                false => Role::Outsider,
            }
        });
        for &id in joins.keys().filter(|id| !newcomers.contains(id)) {
            context.beginning.note_reached(id);
        }
        let hands_over = !newcomers.is_empty();
        let Some(group_key) = self.group_key else {
            return Step::Stay(Phase::KeyExchange(self));
        };
        let last_round = context.beginning.last_round;
        let evaluations = context.beginning.evaluations.clone();
        let session = Box::new(Session {
            joined_set: self.joined_set,
            gid: group_key.gid,
            set_up: SetUp {
                joins: self.joins,
                encapsulations: self.encapsulations,
                group_key: group_key.message,
                readies: self.readies,
            },
            relays: self.relays,
            chain: Chain::new(origin, evaluations, context.roster.threshold()),
            last_round,
            began_after: last_round,
            state: None,
            lost: BTreeSet::new(),
            lost_at: now,
            newcomers,
            given_up: BTreeSet::new(),
            retracted: 0,
        });
        context.persist(Fact::Ready(session.set_up.record()));
        context.event(Event::SessionReady);
        if hands_over {
            let handing_over = HandingOver::new(context, session, origin);
            return Step::Go(Phase::HandingOver(handing_over));
        }
        Step::Go(Phase::Waiting(Waiting::new(
            context,
            session,
            origin,
            Retry::at_once(now),
        )))
    }
}
