//! Hospitals join, until all of the roster have, or enough of them and nobody else is awaited.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::Transcript,
    identity::Signed,
    message::Resume,
    session::{Join, first_transcript, joined_set_hash},
};
use rand_core::CryptoRng;

use super::{KeyExchange, Over, Phase, Step};
use crate::machine::{
    Event, MachineError, Timestamp,
    beginning::Beginning,
    context::Context,
    early::EarlyMessages,
    input::{Envelope, SetUpMessage},
    reaction::{REPEATED, Reaction},
    set_up_check,
    waiting_report::{Part, Wait},
};

#[derive(Default)]
pub(in crate::machine) struct Gathering {
    joins: BTreeMap<HospitalId, Signed<Join>>,
    early: EarlyMessages,
    /// What hospitals name that still have their keys of this session: `T_0` where they know the Joins of all already, because this
    /// coordinator was started again since it relayed them.
    known_origins: BTreeMap<HospitalId, Transcript>,
    /// Since when enough have joined.
    enough_since: Option<Timestamp>,
}

impl Gathering {
    /// A hospital without the keys of this session joins anew; one that has them says what it knows.
    pub(super) fn on_hello(&mut self, from: HospitalId, returns: Option<&Resume>) {
        self.known_origins.remove(&from);
        match returns {
            None => {
                self.joins.remove(&from);
                self.early.forget(from);
            }
            Some(resume) => {
                self.known_origins.insert(from, resume.transcript);
            }
        }
    }

    /// A hospital is not waited for, and its Join does not count.
    pub(super) fn forget(&mut self, id: HospitalId) {
        self.joins.remove(&id);
        self.known_origins.remove(&id);
        self.early.forget(id);
    }

    pub(in crate::machine) fn on_set_up<R>(
        &mut self,
        context: &mut Context<R>,
        envelope: Envelope,
        message: SetUpMessage,
    ) -> Result<Reaction, MachineError> {
        let (from, early) = (envelope.from, &mut self.early);
        match message {
            SetUpMessage::Join(join) => self.on_join(context, from, join),
            SetUpMessage::Encapsulation(message) => {
                early.hold_encapsulation(context, from, message)
            }
            SetUpMessage::GroupKey(message) => early.hold_group_key(context, from, message),
            SetUpMessage::Ready(message) => early.hold_ready(context, from, message),
        }
    }

    /// PROTOCOL.md 3.2: "until all have joined, the last Join of a hospital counts".
    fn on_join<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        join: Signed<Join>,
    ) -> Result<Reaction, MachineError> {
        set_up_check::join(context, from, &join)?;
        match self.joins.get(&from) {
            Some(known) if *known == join => return Ok(Reaction::Ignored(REPEATED)),
            Some(_) => self.early.forget(from),
            None => {}
        }
        self.joins.insert(from, join);
        context.event(Event::Joined {
            hospital: from,
            missing: context.quorum().saturating_sub(self.joins.len()),
        });
        Ok(Reaction::Handled)
    }

    /// For every hospital of the roster that has not joined.
    pub(super) fn wait<R>(&self, context: &Context<R>) -> Wait {
        let ids = context.roster.members().map(|member| member.id);
        let is_awaited =
            |id: &HospitalId| !self.joins.contains_key(id) && !context.is_shut_out(*id);
        let missing = ids.filter(is_awaited);
        Wait {
            parts: missing.map(|id| (id, Part::Join)).collect(),
            ..Wait::default()
        }
    }

    /// Whether the keys can be exchanged among those that have joined.
    fn is_enough<R>(&self, context: &Context<R>) -> bool {
        self.joins.len() >= context.quorum() && self.brings_enough(context)
    }

    /// Whether one is on its way that was here. It is given its time, and no more.
    fn awaits_others<R>(&self, context: &Context<R>, now: Timestamp) -> bool {
        let mut ids = context.roster.members().map(|member| member.id);
        let may_join = |id: HospitalId| {
            !self.joins.contains_key(&id)
                && !context.is_shut_out(id)
                && context.peers.may_come_yet(id)
        };
        let is_in_time = self.waits_until(context).is_none_or(|end| now < end);
        is_in_time && ids.any(may_join)
    }

    fn waits_until<R>(&self, context: &Context<R>) -> Option<Timestamp> {
        let since = self.enough_since?;
        Some(since.after_secs(context.run.manifest.silence_secs))
    }

    /// Whether t of those that have joined have reached what the session goes on from, as far as it is known.
    fn brings_enough<R>(&self, context: &Context<R>) -> bool {
        let Beginning {
            after, reached_by, ..
        } = &context.beginning;
        let have_joined = self.joins.keys().filter(|id| reached_by.contains(id));
        after.is_none() || have_joined.count() >= context.roster.threshold()
    }

    /// When nobody is waited for any more, of enough; and when a run whose rounds are done ends in any case.
    pub(super) fn deadlines<R>(&self, context: &Context<R>) -> [Option<Timestamp>; 2] {
        [self.waits_until(context), context.ends_without_session()]
    }

    /// Over when all hospitals of the roster have joined, or enough and nobody else is awaited. If one of them knows another list of
    /// Joins, a hospital has lost its keys while this coordinator was away, and the keys of the two lists do not fit together.
    pub(in crate::machine) fn advance<R: CryptoRng>(
        mut self,
        context: &mut Context<R>,
        now: Timestamp,
    ) -> Step {
        if context.ends_without_session().is_some_and(|end| now >= end) {
            return Step::Go(Phase::Over(Over::done(context)));
        }
        if !self.is_enough(context) {
            self.enough_since = None;
            return Step::Stay(Phase::Gathering(self));
        }
        self.enough_since.get_or_insert(now);
        if self.awaits_others(context, now) {
            return Step::Stay(Phase::Gathering(self));
        }
        if let Some(who) = self.lost_its_keys(context) {
            let mut phase = Phase::Gathering(self);
            if let Err(error) = phase.begin_anew(context, who) {
                context.reject(who, &error);
            }
            return Step::Go(phase);
        }
        Step::Go(Phase::KeyExchange(self.exchange(context, now)))
    }

    /// The keys are exchanged among those that have joined.
    pub(in crate::machine) fn exchange<R>(
        self,
        context: &mut Context<R>,
        now: Timestamp,
    ) -> KeyExchange {
        let joins = &self.joins;
        context
            .peers
            .note_who_stays_out(|id| joins.contains_key(&id));
        KeyExchange::new(self.joins, self.early, context, now)
    }

    /// If a hospital knows other Joins than these: the one whose Join is new, because it has come without the keys of the session.
    fn lost_its_keys<R>(&self, context: &Context<R>) -> Option<HospitalId> {
        let sorted: Vec<_> = self.joins.values().cloned().collect();
        let joined_set = joined_set_hash(&sorted);
        let after = context.beginning.transcript();
        let (roster, session) = (&context.roster, &context.session);
        let origin = first_transcript(roster, session, &joined_set, after.as_ref());
        let mut known = self.known_origins.iter();
        let (&other, _) =
            known.find(|(_, known)| **known != Transcript::BEFORE_JOINS && **known != origin)?;
        let mut joined = self.joins.keys().copied();
        let without_keys = joined.find(|id| !self.known_origins.contains_key(id));
        // Where all have kept theirs, it is the one that differs.
        Some(without_keys.unwrap_or(other))
    }
}
