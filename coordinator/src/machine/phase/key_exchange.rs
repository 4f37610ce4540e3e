//! The vaults exchange keys through the coordinator, which relays what it cannot open (PROTOCOL.md 3.2).

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::List,
    digests::{GroupKeyId, JoinedSet, RoundNumber},
    identity::{Message, Signed},
    message::ToVault,
    session::{
        Encapsulation, GroupKey, Join, Ready, SessionError, first_transcript, joined_set_hash,
    },
};

use super::{Phase, Retry, Step, Waiting, gathering::own};
use crate::machine::{
    Event, Fact, MachineError, Timestamp,
    chain::Chain,
    context::Context,
    early::EarlyMessages,
    head::Head,
    input::{Envelope, SetUpMessage},
    reaction::{REPEATED, Reaction},
    session::{Relays, Session, SetUp, repeats},
    waiting_report::{Part, Wait},
};

/// All have joined.
pub(in crate::machine) struct KeyExchange {
    joins: BTreeMap<HospitalId, Signed<Join>>,
    /// H(sorted Joins).
    joined_set: JoinedSet,
    encapsulations: BTreeMap<(HospitalId, HospitalId), Signed<Encapsulation>>,
    pub(super) relays: Relays,
    group_key: Agreement,
}

/// How far the vaults are with the group key.
enum Agreement {
    /// Nobody has drawn it yet.
    Awaited { early: EarlyMessages },
    /// It is known: every vault says whether it has seen the same as all others.
    Confirming {
        message: Signed<GroupKey>,
        gid: GroupKeyId,
        readies: BTreeMap<HospitalId, Signed<Ready>>,
    },
}

impl KeyExchange {
    pub(super) fn new<R>(
        joins: BTreeMap<HospitalId, Signed<Join>>,
        early: EarlyMessages,
        context: &mut Context<R>,
    ) -> Self {
        let sorted: Vec<_> = joins.values().cloned().collect();
        let mut relays = Relays::default();
        relays.push_for_all(ToVault::Joins(List(sorted.clone())));
        let mut exchange = Self {
            joins,
            joined_set: joined_set_hash(&sorted),
            encapsulations: BTreeMap::new(),
            relays,
            group_key: Agreement::Awaited {
                early: EarlyMessages::default(),
            },
        };
        exchange.replay(context, early);
        exchange
    }

    pub(in crate::machine) fn on_set_up<R>(
        &mut self,
        context: &mut Context<R>,
        envelope: Envelope,
        message: SetUpMessage,
    ) -> Result<Reaction, MachineError> {
        let rejected = MachineError::session(envelope.from);
        match message {
            SetUpMessage::Join(join) => {
                let known = self.joins.get(&envelope.from);
                repeats(envelope.from, known, &join).map_err(rejected)?;
                Ok(Reaction::Ignored(REPEATED))
            }
            SetUpMessage::Encapsulation(message) => {
                self.on_encapsulation(context, envelope.from, message)
            }
            SetUpMessage::GroupKey(message) => self.on_group_key(context, envelope.from, message),
            SetUpMessage::Ready(message) => self.on_ready(context, envelope, message),
        }
    }

    /// PROTOCOL.md 3.2: "Encapsulation (i -> j for i < j, relayed)".
    fn on_encapsulation<R>(
        &mut self,
        context: &Context<R>,
        from: HospitalId,
        message: Signed<Encapsulation>,
    ) -> Result<Reaction, MachineError> {
        let rejected = MachineError::session(from);
        let body = verify(context, from, &message)?;
        own(from, body.from.0).map_err(&rejected)?;
        let to = body.to.0;
        if !self.joins.contains_key(&to) || to <= from {
            return Err(rejected(SessionError::Malformed(format!(
                "hospital {from} encapsulates for hospital {to}, which is not a member with a larger number"
            ))));
        }
        let known = self.encapsulations.get(&(from, to));
        if repeats(from, known, &message).map_err(rejected)? {
            return Ok(Reaction::Ignored(REPEATED));
        }
        self.encapsulations.insert((from, to), message.clone());
        self.relays
            .push_for_one(to, ToVault::Encapsulation(message));
        Ok(Reaction::Handled)
    }

    /// PROTOCOL.md 3.2: the group key is "drawn by the joined hospital o with the smallest id". Ready messages that came before it
    /// are looked at now.
    fn on_group_key<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        message: Signed<GroupKey>,
    ) -> Result<Reaction, MachineError> {
        let rejected = MachineError::session(from);
        let body = verify(context, from, &message)?;
        own(from, body.origin.0).map_err(&rejected)?;
        if self.joins.keys().next() != Some(&from) {
            return Err(rejected(SessionError::TooEarly {
                id: from,
                message: GroupKey::TYPE,
                missing: "it was its turn",
            }));
        }
        if let Agreement::Confirming { message: known, .. } = &self.group_key {
            repeats(from, Some(known), &message).map_err(rejected)?;
            return Ok(Reaction::Ignored(REPEATED));
        }
        self.relays.push_for_all(ToVault::GroupKey(message.clone()));
        let confirming = Agreement::Confirming {
            message,
            gid: body.gid,
            readies: BTreeMap::new(),
        };
        if let Agreement::Awaited { early } = std::mem::replace(&mut self.group_key, confirming) {
            self.replay(context, early);
        }
        Ok(Reaction::Handled)
    }

    /// PROTOCOL.md 3.2: Ready is "signed {session, H(sorted Joins), gid, ...}": all must have seen the same.
    fn on_ready<R>(
        &mut self,
        context: &Context<R>,
        envelope: Envelope,
        message: Signed<Ready>,
    ) -> Result<Reaction, MachineError> {
        let from = envelope.from;
        let rejected = MachineError::session(from);
        let (gid, readies) = match &mut self.group_key {
            Agreement::Awaited { early } => {
                return early.hold(envelope, SetUpMessage::Ready(message), &context.roster);
            }
            Agreement::Confirming { gid, readies, .. } => (gid, readies),
        };
        let body = verify(context, from, &message)?;
        own(from, body.id.0).map_err(&rejected)?;
        if body.gid != *gid || body.joined_set != self.joined_set {
            return Err(rejected(SessionError::Disagreement {
                id: from,
                what: "group key or set of members",
            }));
        }
        if repeats(from, readies.get(&from), &message).map_err(rejected)? {
            return Ok(Reaction::Ignored(REPEATED));
        }
        readies.insert(from, message.clone());
        self.relays.push_for_all(ToVault::Ready(message));
        Ok(Reaction::Handled)
    }

    fn replay<R>(&mut self, context: &mut Context<R>, early: EarlyMessages) {
        for (envelope, message) in early.release() {
            if let Err(error) = self.on_set_up(context, envelope, message) {
                context.reject(envelope.from, &error);
            }
        }
    }

    /// For every vault that has not confirmed the keys of all others.
    pub(super) fn wait(&self) -> Wait {
        let is_ready = |id: &HospitalId| match &self.group_key {
            Agreement::Awaited { .. } => false,
            Agreement::Confirming { readies, .. } => readies.contains_key(id),
        };
        let missing = self.joins.keys().copied().filter(|id| !is_ready(id));
        Wait {
            parts: missing.map(|id| (id, Part::ExchangeKeys)).collect(),
            ..Wait::default()
        }
    }

    /// Over when every vault has confirmed the keys of all others. `T_0 = H('T0' || roster_hash || session_id || H(sorted Joins))`.
    pub(in crate::machine) fn advance<R>(self, context: &mut Context<R>, now: Timestamp) -> Step {
        let (message, gid, readies) = match self.group_key {
            Agreement::Confirming {
                message,
                gid,
                readies,
            } if readies.len() == self.joins.len() => (message, gid, readies),
            group_key => return Step::Stay(Phase::KeyExchange(Self { group_key, ..self })),
        };
        let origin = Head {
            transcript: first_transcript(&context.roster, &context.session, &self.joined_set),
            model_hash: context.run.initial_model,
        };
        let session = Box::new(Session {
            joined_set: self.joined_set,
            gid,
            set_up: SetUp {
                joins: self.joins,
                encapsulations: self.encapsulations,
                group_key: message,
                readies,
            },
            relays: self.relays,
            chain: Chain::new(origin, context.roster.threshold()),
            last_round: RoundNumber::default(),
        });
        context.persist(Fact::Ready(session.set_up.record()));
        context.event(Event::SessionReady);
        Step::Go(Phase::Waiting(Waiting::new(
            context,
            session,
            origin,
            Retry::at_once(now),
        )))
    }
}

fn verify<T: Message, R>(
    context: &Context<R>,
    from: HospitalId,
    message: &Signed<T>,
) -> Result<T, MachineError> {
    let key = &context.member(from)?.signing_key;
    let body = message.verify(key, format_args!("hospital {from}"));
    body.map_err(|error| MachineError::session(from)(SessionError::Malformed(error.to_string())))
}
