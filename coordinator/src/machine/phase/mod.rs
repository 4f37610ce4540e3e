//! The phases of a run, each a type that owns what belongs to it, and the decision for every pair of phase and message.
//!
//! An input changes the data of the phase that it meets (`on_*`, `&mut self`). Then `advance` asks whether the phase is over: if it
//! is, it is consumed, and the next phase is made of what it leaves.

mod anew;
mod collecting;
mod finishing;
mod gathering;
mod handing_over;
mod hello;
mod key_exchange;
mod over;
mod publishing;
mod unlocking;
mod waiting;

use crypto::sealed_sum::HospitalId;
use protocol::{codec::Text, digests::OutcomeName, message::ToVault};
use rand_core::CryptoRng;

use super::{
    MachineError, PhaseName, Timestamp,
    context::Context,
    input::{ClosingMessage, Envelope, Incoming, SetUpMessage, StateMessage},
    peer::Peer,
    reaction::{FORMER_SESSION, NO_MORE_ROUNDS, RUN_FAILED, Reaction},
    session::Session,
    upload::UploadedBytes,
    waiting_report::Wait,
};

pub(super) use self::{
    collecting::{Collecting, OpenRound},
    finishing::Finishing,
    gathering::Gathering,
    handing_over::HandingOver,
    key_exchange::KeyExchange,
    over::Over,
    publishing::Publishing,
    unlocking::Unlocking,
    waiting::{Retry, Waiting},
};

/// Where a run is.
pub(super) enum Phase {
    Gathering(Gathering),
    KeyExchange(KeyExchange),
    HandingOver(HandingOver),
    Waiting(Waiting),
    Collecting(Collecting),
    Unlocking(Unlocking),
    Publishing(Publishing),
    Finishing(Finishing),
    Over(Over),
}

/// What became of a phase when it was asked whether it is over.
pub(super) enum Step {
    /// It is not.
    Stay(Phase),
    /// This is the next one; it may be over at once.
    Go(Phase),
}

impl Phase {
    pub(super) fn name(&self) -> PhaseName {
        match self {
            Self::Gathering(_) => PhaseName::Gathering,
            Self::KeyExchange(_) => PhaseName::KeyExchange,
            Self::HandingOver(_) => PhaseName::HandingOver,
            Self::Waiting(_) => PhaseName::Waiting,
            Self::Collecting(_) => PhaseName::Collecting,
            Self::Unlocking(_) => PhaseName::Unlocking,
            Self::Publishing(_) => PhaseName::Publishing,
            Self::Finishing(_) => PhaseName::Finishing,
            Self::Over(_) => PhaseName::Over,
        }
    }

    /// The decision for each pair of phase and message. A new message or phase does not compile before it has its decisions.
    pub(super) fn on_message<R: CryptoRng>(
        &mut self,
        context: &mut Context<R>,
        envelope: Envelope,
        message: Incoming,
        now: Timestamp,
    ) -> Result<Reaction, MachineError> {
        let from = envelope.from;
        match (self, message) {
            (_, Incoming::Heartbeat) => Ok(Reaction::Handled),
            (phase, Incoming::Hello(hello)) => phase.on_hello(context, from, &hello, now),
            (_, Incoming::SetUp(message)) if context.is_of_former_session(&message) => {
                Ok(Reaction::Ignored(FORMER_SESSION))
            }
            // Its word on the last round was on its way when this session began, whether or not it has joined it.
            (
                Self::Gathering(_) | Self::KeyExchange(_),
                Incoming::Closing(ClosingMessage::Closed(closed)),
            ) if context.has_former_session() => context.on_closed_before(from, closed),
            (phase, _) if !phase.takes_part(from) => Err(MachineError::NotInSession {
                from,
                message: envelope.kind,
            }),
            (phase, Incoming::SetUp(SetUpMessage::Join(join)))
                if phase.knows_another_join(from, &join) =>
            {
                phase.on_other_join(context, from, &join)
            }
            (Self::Gathering(phase), Incoming::SetUp(message)) => {
                phase.on_set_up(context, envelope, message)
            }
            (Self::KeyExchange(phase), Incoming::SetUp(message)) => {
                phase.on_set_up(context, from, message)
            }
            // This coordinator was started again, and other messages of the set-up have yet to come once more.
            (
                Self::Gathering(_) | Self::KeyExchange(_),
                Incoming::State(StateMessage::Taken(session)),
            ) if session == context.session && context.has_former_session() => {
                if let Some(peer) = context.peers.get_mut(from) {
                    peer.note_that_it_has_the_state();
                }
                Ok(Reaction::Handled)
            }
            (
                Self::Gathering(_) | Self::KeyExchange(_),
                Incoming::Conditioning(_)
                | Incoming::Round(_)
                | Incoming::Closing(_)
                | Incoming::State(_),
            ) => match context.has_former_session() {
                // Of a session that this one follows: it was on its way.
                true => Ok(Reaction::Ignored(FORMER_SESSION)),
                false => Err(envelope.wrong_phase()),
            },
            // The features of a hospital that has the state may come while another one gets it.
            (Self::HandingOver(_), Incoming::Conditioning(message)) => {
                context.on_conditioning(from, message)
            }

            (
                Self::HandingOver(HandingOver { session, .. })
                | Self::Waiting(Waiting { session, .. })
                | Self::Collecting(Collecting { session, .. })
                | Self::Unlocking(Unlocking { session, .. })
                | Self::Publishing(Publishing { session })
                | Self::Finishing(Finishing { session, .. })
                | Self::Over(Over::Complete { session }),
                Incoming::SetUp(message),
            ) => session.on_set_up(envelope, &message),
            (
                Self::HandingOver(HandingOver { session, .. })
                | Self::Waiting(Waiting { session, .. })
                | Self::Collecting(Collecting { session, .. })
                | Self::Unlocking(Unlocking { session, .. })
                | Self::Publishing(Publishing { session })
                | Self::Finishing(Finishing { session, .. })
                | Self::Over(Over::Complete { session }),
                Incoming::State(message),
            ) => match message {
                StateMessage::Taken(which) => session.on_state_taken(context, envelope, which),
                StateMessage::Refused(which) => Ok(session.on_state_refused(context, from, which)),
            },
            (
                Self::HandingOver(HandingOver { session, .. })
                | Self::Waiting(Waiting { session, .. })
                | Self::Collecting(Collecting { session, .. })
                | Self::Unlocking(Unlocking { session, .. })
                | Self::Publishing(Publishing { session })
                | Self::Finishing(Finishing { session, .. })
                | Self::Over(Over::Complete { session }),
                Incoming::Closing(message),
            ) => session.on_closing(context, from, message),

            (
                Self::Waiting(_) | Self::Collecting(_) | Self::Unlocking(_) | Self::Publishing(_),
                Incoming::Conditioning(message),
            ) => context.on_conditioning(from, message),
            (Self::Finishing(_) | Self::Over(Over::Complete { .. }), Incoming::Conditioning(_)) => {
                Ok(Reaction::Ignored(NO_MORE_ROUNDS))
            }

            (Self::Collecting(phase), Incoming::Round(message)) => {
                phase.on_round(context, envelope, message)
            }
            (Self::Unlocking(phase), Incoming::Round(message)) => {
                phase.on_round(context, from, message, now)
            }
            (
                Self::HandingOver(HandingOver { session, .. })
                | Self::Waiting(Waiting { session, .. })
                | Self::Publishing(Publishing { session })
                | Self::Finishing(Finishing { session, .. })
                | Self::Over(Over::Complete { session }),
                Incoming::Round(message),
            ) => session.on_late(context, from, &message),

            (
                Self::Over(Over::Failed { .. }),
                Incoming::SetUp(_)
                | Incoming::Conditioning(_)
                | Incoming::Round(_)
                | Incoming::Closing(_)
                | Incoming::State(_),
            ) => Ok(Reaction::Ignored(RUN_FAILED)),
            (
                Self::Over(Over::Done { .. }),
                Incoming::SetUp(_)
                | Incoming::Conditioning(_)
                | Incoming::Round(_)
                | Incoming::Closing(_)
                | Incoming::State(_),
            ) => Ok(Reaction::Ignored(NO_MORE_ROUNDS)),
        }
    }

    /// Whether an upload of this many bytes may start.
    pub(super) fn check_upload<R>(
        &self,
        context: &Context<R>,
        envelope: Envelope,
        bytes: u64,
    ) -> Result<(), MachineError> {
        self.check_takes_part(envelope)?;
        match self {
            Self::Collecting(phase) => phase.check_upload(envelope.from, bytes),
            Self::HandingOver(phase) => phase.check_upload(context, envelope, bytes),
            Self::Gathering(_)
            | Self::KeyExchange(_)
            | Self::Waiting(_)
            | Self::Unlocking(_)
            | Self::Publishing(_)
            | Self::Finishing(_)
            | Self::Over(_) => Err(envelope.wrong_phase()),
        }
    }

    /// A complete upload.
    pub(super) fn on_upload<R>(
        &mut self,
        context: &mut Context<R>,
        envelope: Envelope,
        upload: Box<dyn UploadedBytes>,
        now: Timestamp,
    ) -> Result<Reaction, MachineError> {
        self.check_takes_part(envelope)?;
        match self {
            Self::Collecting(phase) => phase.on_upload(context, envelope.from, upload, now),
            Self::HandingOver(phase) => phase.on_upload(context, envelope, &*upload),
            Self::Gathering(_)
            | Self::KeyExchange(_)
            | Self::Waiting(_)
            | Self::Unlocking(_)
            | Self::Publishing(_)
            | Self::Finishing(_)
            | Self::Over(_) => Err(envelope.wrong_phase()),
        }
    }

    /// Goes on to the next phase if this one is over.
    pub(super) fn advance<R: CryptoRng>(self, context: &mut Context<R>, now: Timestamp) -> Step {
        if !matches!(self, Self::Finishing(_) | Self::Over(_))
            && let Some(reason) = self
                .session()
                .and_then(|session| session.too_few_keys(context, now))
        {
            return Step::Go(Self::Over(Over::fail(context, reason)));
        }
        match self {
            Self::Gathering(phase) => phase.advance(context, now),
            Self::KeyExchange(phase) => phase.advance(context, now),
            Self::HandingOver(phase) => phase.advance(context, now),
            Self::Waiting(phase) => phase.advance(context, now),
            Self::Collecting(phase) => phase.advance(context, now),
            Self::Unlocking(phase) => phase.advance(context, now),
            Self::Publishing(phase) => phase.advance(context, now),
            Self::Finishing(phase) => phase.advance(context, now),
            Self::Over(phase) => Step::Stay(Self::Over(phase)),
        }
    }

    /// When something is over in this phase although nobody says anything. Whom it waits for and for how long is known to the peers.
    pub(super) fn deadlines<R>(&self, context: &Context<R>) -> [Option<Timestamp>; 3] {
        let loss = self
            .session()
            .and_then(|session| session.loss_counts_at(context));
        let [first, second] = match self {
            Self::Gathering(phase) => phase.deadlines(context),
            Self::KeyExchange(phase) => phase.deadlines(context),
            Self::HandingOver(phase) => [phase.asked_until(), context.ends_without_session()],
            Self::Waiting(phase) => [Some(phase.retry.not_before), Some(phase.let_in_until)],
            Self::Collecting(phase) => phase.deadlines(context),
            Self::Unlocking(phase) => [phase.grace_ends(), None],
            Self::Finishing(phase) => [Some(phase.deadline), None],
            Self::Publishing(_) | Self::Over(_) => [None, None],
        };
        [first, second, loss]
    }

    /// Whether a sum is open that has no outcome yet: the one that the plan has next.
    pub(super) fn is_in_a_round(&self) -> bool {
        matches!(self, Self::Collecting(_) | Self::Unlocking(_))
    }

    /// What this phase waits for.
    pub(super) fn wait<R>(&self, context: &Context<R>, now: Timestamp) -> Wait {
        match self {
            Self::Gathering(phase) => phase.wait(context),
            Self::KeyExchange(phase) => phase.wait(),
            Self::HandingOver(phase) => phase.wait(),
            Self::Waiting(phase) => phase.wait(context, now),
            Self::Collecting(phase) => phase.wait(context, now),
            Self::Unlocking(phase) => phase.wait(),
            Self::Publishing(phase) => phase.wait(),
            Self::Finishing(phase) => phase.wait(context),
            Self::Over(_) => Wait::default(),
        }
    }

    /// What a connected hospital is owed and has not been sent on this connection. Derived from where it stands.
    pub(super) fn owed(
        &self,
        to: HospitalId,
        peer: &mut Peer,
        word_of_the_end: &ToVault,
    ) -> Vec<ToVault> {
        let the_end = |peer: &mut Peer| {
            let is_news = peer.sent.finished();
            is_news.then(|| word_of_the_end.clone())
        };
        match self {
            Self::Gathering(_) | Self::Over(Over::Failed { .. }) => Vec::new(),
            Self::Over(Over::Done { .. }) => the_end(peer).into_iter().collect(),
            Self::KeyExchange(phase) => phase.relays.owed(to, &mut peer.sent.relays),
            Self::HandingOver(phase) => phase.owed(to, peer),
            Self::Waiting(Waiting { session, .. }) | Self::Publishing(Publishing { session }) => {
                session.owed(to, peer, |_| Vec::new())
            }
            Self::Collecting(phase) => phase.session.owed(to, peer, |peer| phase.owed(to, peer)),
            Self::Unlocking(phase) => phase.session.owed(to, peer, |peer| phase.owed(to, peer)),
            Self::Finishing(Finishing { session, .. }) | Self::Over(Over::Complete { session }) => {
                session.owed(to, peer, |peer| the_end(peer).into_iter().collect())
            }
        }
    }

    /// The session, once it has its keys.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Gathering(_)
            | Self::KeyExchange(_)
            | Self::Over(Over::Failed { .. } | Over::Done { .. }) => None,
            Self::HandingOver(HandingOver { session, .. })
            | Self::Waiting(Waiting { session, .. })
            | Self::Collecting(Collecting { session, .. })
            | Self::Unlocking(Unlocking { session, .. })
            | Self::Publishing(Publishing { session })
            | Self::Finishing(Finishing { session, .. })
            | Self::Over(Over::Complete { session }) => Some(session),
        }
    }

    /// The same, for what a vault says of an outcome.
    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::Gathering(_)
            | Self::KeyExchange(_)
            | Self::Over(Over::Failed { .. } | Over::Done { .. }) => None,
            Self::HandingOver(HandingOver { session, .. })
            | Self::Waiting(Waiting { session, .. })
            | Self::Collecting(Collecting { session, .. })
            | Self::Unlocking(Unlocking { session, .. })
            | Self::Publishing(Publishing { session })
            | Self::Finishing(Finishing { session, .. })
            | Self::Over(Over::Complete { session }) => Some(session),
        }
    }

    /// The name of the last outcome.
    pub(super) fn last_published(&self) -> Option<OutcomeName> {
        let last = self.session()?.chain.last()?;
        Some(last.name())
    }

    /// Whether a hospital that takes part is told session and run: after the end it is told that instead.
    pub(super) fn welcomes(&self) -> bool {
        !matches!(self, Self::Over(Over::Failed { .. } | Over::Done { .. }))
    }

    /// What a hospital is told that takes no part in the session.
    pub(super) fn word_for_outsiders(&self, from: HospitalId) -> ToVault {
        match self {
            Self::Over(_) => ToVault::Refused {
                reason: Text(MachineError::TooLate { from }.to_string()),
            },
            _ => ToVault::NotYet {
                reason: NOT_YET.into(),
            },
        }
    }

    /// Whether a hospital is one of those that have joined, or may still join.
    pub(super) fn takes_part(&self, id: HospitalId) -> bool {
        match self {
            Self::Gathering(_) | Self::Over(Over::Failed { .. }) => true,
            Self::Over(Over::Done { reached_by }) => reached_by.contains(&id),
            Self::KeyExchange(phase) => phase.joins.contains_key(&id),
            other => other
                .session()
                .is_some_and(|session| session.has_member(id) && !session.lost.contains(&id)),
        }
    }

    fn check_takes_part(&self, envelope: Envelope) -> Result<(), MachineError> {
        if self.takes_part(envelope.from) {
            Ok(())
        } else {
            Err(MachineError::NotInSession {
                from: envelope.from,
                message: envelope.kind,
            })
        }
    }
}

/// What a hospital reads that comes while rounds are under way.
const NOT_YET: &str =
    "the rounds of the run have begun; this hospital takes part once the round at hand is settled";
