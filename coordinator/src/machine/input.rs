//! What can come into the machine, sorted by who decides on it, and the names of inputs and phases for errors and tables.

use std::fmt;

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::{CodecError, Text},
    digests::{HeaderHash, SessionId},
    identity::Signed,
    message::{EncryptedFeatures, EvaluationKey, FilterRequest, Hello, RefusedPart, ToCoordinator},
    round::{
        contribution::BoxAck,
        outcome::{RoundClosed, RoundFailed},
        unlock::UnlockShare,
    },
    session::{Encapsulation, GroupKey, Join, Ready},
};

use super::MachineError;

/// An enum of names with the list of all of them, so that a table cannot forget one.
macro_rules! names {
    ($(#[$about:meta])* $name:ident { $($(#[$variant_about:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_about])* $variant,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                // `pad` and not `write_str`: tables align names.
                formatter.pad(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}

names! {
    /// The phases of a run. See [`crate::machine`] for how one follows another.
    PhaseName {
        /// Hospitals join, until all of the roster have.
        Gathering = "gathering",
        /// The vaults exchange keys through the coordinator, until each has confirmed those of all others.
        KeyExchange = "key exchange",
        /// The state of the run is sealed for hospitals that do not have it.
        HandingOver = "handing over",
        /// Between two sums: for enough hospitals, or for the time of the next try.
        Waiting = "waiting",
        /// A round is open: contributions and acknowledgements come in.
        Collecting = "collecting",
        /// The contributors are fixed: answers come in that open their sum.
        Unlocking = "unlocking",
        /// The outcome is published, until t vaults have closed the round alike.
        Publishing = "publishing",
        /// All sums are done: hospitals that were away may fetch the last outcome.
        Finishing = "finishing",
        /// The run is complete or has failed.
        Over = "over",
    }
}

names! {
    /// The kinds of input: every message of a hospital, its uploads, its connection, and time.
    InputKind {
        /// A new connection; its [`ToCoordinator::Hello`] follows.
        Connected = "Connected",
        /// A connection is lost.
        Disconnected = "Disconnected",
        /// Time has passed.
        Timeout = "Timeout",
        /// A piece of an upload has arrived.
        Progress = "Progress",
        /// An upload is offered, by its length.
        UploadOffer = "UploadOffer",
        /// An upload is complete.
        Upload = "Upload",
        /// [`ToCoordinator::Hello`].
        Hello = "Hello",
        /// [`ToCoordinator::Heartbeat`].
        Heartbeat = "Heartbeat",
        /// [`ToCoordinator::Join`].
        Join = "Join",
        /// [`ToCoordinator::Encapsulation`].
        Encapsulation = "Encapsulation",
        /// [`ToCoordinator::GroupKey`].
        GroupKey = "GroupKey",
        /// [`ToCoordinator::Ready`].
        Ready = "Ready",
        /// [`ToCoordinator::EvaluationKey`].
        EvaluationKey = "EvaluationKey",
        /// [`ToCoordinator::EncryptedFeatures`].
        EncryptedFeatures = "EncryptedFeatures",
        /// [`ToCoordinator::FilterRequest`].
        FilterRequest = "FilterRequest",
        /// [`ToCoordinator::HeaderRefused`].
        HeaderRefused = "HeaderRefused",
        /// [`ToCoordinator::BoxAck`].
        BoxAck = "BoxAck",
        /// [`ToCoordinator::UnlockShare`].
        UnlockShare = "UnlockShare",
        /// [`ToCoordinator::RoundClosed`].
        RoundClosed = "RoundClosed",
        /// [`ToCoordinator::RoundFailed`].
        RoundFailed = "RoundFailed",
        /// [`ToCoordinator::StateTaken`].
        StateTaken = "StateTaken",
        /// [`ToCoordinator::StateRefused`].
        StateRefused = "StateRefused",
    }
}

impl InputKind {
    /// The kind of a message. A new message does not compile until it has one.
    pub fn of(message: &ToCoordinator) -> Self {
        match message {
            ToCoordinator::Hello(_) => Self::Hello,
            ToCoordinator::Join(_) => Self::Join,
            ToCoordinator::Encapsulation(_) => Self::Encapsulation,
            ToCoordinator::GroupKey(_) => Self::GroupKey,
            ToCoordinator::Ready(_) => Self::Ready,
            ToCoordinator::EvaluationKey(_) => Self::EvaluationKey,
            ToCoordinator::EncryptedFeatures(_) => Self::EncryptedFeatures,
            ToCoordinator::FilterRequest(_) => Self::FilterRequest,
            ToCoordinator::Heartbeat => Self::Heartbeat,
            ToCoordinator::HeaderRefused { .. } => Self::HeaderRefused,
            ToCoordinator::BoxAck(_) => Self::BoxAck,
            ToCoordinator::UnlockShare(_) => Self::UnlockShare,
            ToCoordinator::RoundClosed(_) => Self::RoundClosed,
            ToCoordinator::RoundFailed(_) => Self::RoundFailed,
            ToCoordinator::StateTaken { .. } => Self::StateTaken,
            ToCoordinator::StateRefused { .. } => Self::StateRefused,
        }
    }
}

/// A message, sorted by what a phase decides on as a whole: [`super::phase::Phase::on_message`] has a decision for each pair.
pub(super) enum Incoming {
    Hello(Hello),
    Heartbeat,
    SetUp(SetUpMessage),
    Conditioning(ConditioningMessage),
    Round(RoundMessage),
    Closing(ClosingMessage),
    State(StateMessage),
}

/// What a vault says of the state that a session goes on from.
pub(super) enum StateMessage {
    Taken(SessionId),
    Refused(SessionId),
}

/// What the vaults say to each other through the coordinator before the first round (PROTOCOL.md 3.2).
#[derive(Clone, PartialEq)]
pub(super) enum SetUpMessage {
    Join(Signed<Join>),
    Encapsulation(Signed<Encapsulation>),
    GroupKey(Signed<GroupKey>),
    Ready(Signed<Ready>),
}

impl SetUpMessage {
    pub(super) fn kind(&self) -> InputKind {
        match self {
            Self::Join(_) => InputKind::Join,
            Self::Encapsulation(_) => InputKind::Encapsulation,
            Self::GroupKey(_) => InputKind::GroupKey,
            Self::Ready(_) => InputKind::Ready,
        }
    }

    /// The session that it belongs to, as it says itself.
    pub(super) fn session(&self) -> Result<SessionId, CodecError> {
        Ok(match self {
            Self::Join(message) => message.read_unverified()?.session,
            Self::Encapsulation(message) => message.read_unverified()?.session,
            Self::GroupKey(message) => message.read_unverified()?.session,
            Self::Ready(message) => message.read_unverified()?.session,
        })
    }

    /// Who has signed it, as it says itself.
    pub(super) fn sender(&self) -> Result<HospitalId, CodecError> {
        Ok(match self {
            Self::Join(message) => message.read_unverified()?.id.0,
            Self::Encapsulation(message) => message.read_unverified()?.from.0,
            Self::GroupKey(message) => message.read_unverified()?.origin.0,
            Self::Ready(message) => message.read_unverified()?.id.0,
        })
    }
}

/// What the encrypted products are made of (PROTOCOL.md 5.4).
pub(super) enum ConditioningMessage {
    EvaluationKey(EvaluationKey),
    EncryptedFeatures(EncryptedFeatures),
    FilterRequest(FilterRequest),
}

/// What belongs to one open round (PROTOCOL.md 3.3, 3.5, 3.6).
pub(super) enum RoundMessage {
    HeaderRefused {
        header: HeaderHash,
        part: RefusedPart,
        reason: Text,
    },
    BoxAck(Signed<BoxAck>),
    UnlockShare(Signed<UnlockShare>),
}

/// A vault's word on an outcome (PROTOCOL.md 3.7).
pub(super) enum ClosingMessage {
    Closed(Signed<RoundClosed>),
    Failed(Signed<RoundFailed>),
}

impl From<ToCoordinator> for Incoming {
    fn from(message: ToCoordinator) -> Self {
        match message {
            ToCoordinator::Hello(hello) => Self::Hello(hello),
            ToCoordinator::Heartbeat => Self::Heartbeat,
            ToCoordinator::Join(message) => Self::SetUp(SetUpMessage::Join(message)),
            ToCoordinator::Encapsulation(message) => {
                Self::SetUp(SetUpMessage::Encapsulation(message))
            }
            ToCoordinator::GroupKey(message) => Self::SetUp(SetUpMessage::GroupKey(message)),
            ToCoordinator::Ready(message) => Self::SetUp(SetUpMessage::Ready(message)),
            ToCoordinator::EvaluationKey(key) => {
                Self::Conditioning(ConditioningMessage::EvaluationKey(key))
            }
            ToCoordinator::EncryptedFeatures(features) => {
                Self::Conditioning(ConditioningMessage::EncryptedFeatures(features))
            }
            ToCoordinator::FilterRequest(request) => {
                Self::Conditioning(ConditioningMessage::FilterRequest(request))
            }
            ToCoordinator::HeaderRefused {
                header,
                part,
                reason,
            } => Self::Round(RoundMessage::HeaderRefused {
                header,
                part,
                reason,
            }),
            ToCoordinator::BoxAck(ack) => Self::Round(RoundMessage::BoxAck(ack)),
            ToCoordinator::UnlockShare(share) => Self::Round(RoundMessage::UnlockShare(share)),
            ToCoordinator::RoundClosed(closed) => Self::Closing(ClosingMessage::Closed(closed)),
            ToCoordinator::RoundFailed(failed) => Self::Closing(ClosingMessage::Failed(failed)),
            ToCoordinator::StateTaken { session } => Self::State(StateMessage::Taken(session)),
            ToCoordinator::StateRefused { session } => Self::State(StateMessage::Refused(session)),
        }
    }
}

/// Who sent an input, which kind it is, and which phase it met: what an error names.
#[derive(Clone, Copy)]
pub(super) struct Envelope {
    pub(super) from: HospitalId,
    pub(super) kind: InputKind,
    pub(super) phase: PhaseName,
}

impl Envelope {
    /// The input has no place in this phase.
    pub(super) fn wrong_phase(self) -> MachineError {
        MachineError::WrongPhase {
            phase: self.phase,
            message: self.kind,
            from: self.from,
        }
    }
}

impl ClosingMessage {
    /// hh of the round that it is about, as it says itself.
    pub(super) fn header(&self) -> Result<HeaderHash, CodecError> {
        match self {
            Self::Closed(closed) => Ok(closed.read_unverified()?.header),
            Self::Failed(failed) => Ok(failed.read_unverified()?.header),
        }
    }
}

impl RoundMessage {
    /// What it is, in an error.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::HeaderRefused { .. } => "a refusal",
            Self::BoxAck(_) => "an acknowledgement",
            Self::UnlockShare(_) => "an unlock share",
        }
    }

    /// hh of the round that it belongs to, as it says itself.
    pub(super) fn header(&self) -> Result<HeaderHash, CodecError> {
        match self {
            Self::HeaderRefused { header, .. } => Ok(*header),
            Self::BoxAck(ack) => Ok(ack.read_unverified()?.header),
            Self::UnlockShare(share) => Ok(share.read_unverified()?.header),
        }
    }
}
