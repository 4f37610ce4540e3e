//! Everything that can happen to a vault. What does not mean the same in all phases is one type: a phase decides about each of these,
//! or does not compile.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    codec::Text,
    digests::{LearningRound, ModelHash, OutcomeName, RoundNumber, SessionId},
    identity::Signed,
    message::{Products, ToVault, Welcome},
    round::{
        contribution::BoxForward, header::RoundOpen, null_step::NullStep, unlock::UnlockRequest,
    },
    session::{Encapsulation, GroupKey, Joins, Ready},
    training_job::{EvaluatedCounts, TrainedUpdate},
};

/// One input of the vault.
pub(super) enum Input<'a> {
    /// A connection to the coordinator was made.
    Connected,
    /// The coordinator's first word on a connection: which run and session it goes by.
    Welcome(Welcome),
    /// The coordinator will not go on with this hospital.
    Refused(Text),
    /// The run is under way, and this hospital takes part later.
    NotYet(Text),
    /// The coordinator has not accepted a message of this vault.
    Rejected(Text),
    /// The run has ended well.
    Finished(RunEnd),
    /// Somebody may have decided about the run that is offered.
    Reconsider,
    /// What each phase decides about by itself.
    ForPhase(PhaseInput<'a>),
}

/// Where the coordinator says that a run has ended.
#[derive(Clone, Copy)]
pub(super) enum RunEnd {
    /// Where its manifest and its evaluations say.
    AsPlanned,
    /// Where its operator says, after this learning round.
    ByOperator(LearningRound),
}

impl RunEnd {
    /// The updates that a run of so many rounds has by then. At least one: a run without a model has not ended well.
    pub(super) fn updates(self, rounds: u32) -> u32 {
        match self {
            Self::AsPlanned => rounds,
            Self::ByOperator(after) => after.get().clamp(1, rounds.max(1)),
        }
    }
}

/// One input that each phase decides about by itself.
pub(super) enum PhaseInput<'a> {
    Joins(Joins),
    Encapsulation(Signed<Encapsulation>),
    GroupKey(Signed<GroupKey>),
    Ready(Signed<Ready>),
    Products(Products),
    RoundOpen(Signed<RoundOpen>),
    BoxForward(BoxForward),
    UnlockRequest(Signed<UnlockRequest>),
    /// An outcome can be downloaded under this name.
    OutcomeReady(OutcomeName),
    /// An update did not open, and is settled without a step.
    NullStep(Box<NullStep>),
    /// The bytes of a downloaded outcome, or of a state.
    Outcome(&'a [u8]),
    /// The state that the session goes on from is to be sealed and uploaded.
    StateWanted(SessionId),
    /// It can be downloaded under this name.
    StateReady(OutcomeName),
    /// The trainer has trained from the model with this hash.
    Trained(ModelHash, TrainedUpdate),
    /// The trainer has evaluated for the round with this number.
    Evaluated(RoundNumber, &'a EvaluatedCounts),
}

/// Names the inputs, and lists them, in one place.
macro_rules! input_kinds {
    ($($kind:ident => $name:literal,)*) => {
        /// Which input.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum InputKind {
            $($kind,)*
        }

        impl InputKind {
            /// All of them.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// For people, with its article.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

input_kinds! {
    Connected => "a new connection",
    Reconsider => "a look at what was decided",
    Welcome => "a welcome",
    Refused => "a refusal of this hospital",
    NotYet => "a word that this hospital takes part later",
    Joins => "the list of Joins",
    Encapsulation => "an encapsulation",
    GroupKey => "a group key",
    Ready => "a Ready",
    Products => "encrypted products",
    RoundOpen => "a round header",
    BoxForward => "a share box",
    UnlockRequest => "an unlock request",
    OutcomeReady => "an announced outcome",
    NullStep => "a null step",
    Rejected => "a word that a message was not accepted",
    Finished => "the end of the run",
    Outcome => "an outcome",
    StateWanted => "a request for the common state",
    StateReady => "an announced common state",
    Trained => "a trained update",
    Evaluated => "an evaluation",
}

impl Input<'_> {
    pub(super) fn kind(&self) -> InputKind {
        match self {
            Self::Connected => InputKind::Connected,
            Self::Welcome(_) => InputKind::Welcome,
            Self::Refused(_) => InputKind::Refused,
            Self::NotYet(_) => InputKind::NotYet,
            Self::Rejected(_) => InputKind::Rejected,
            Self::Finished(_) => InputKind::Finished,
            Self::Reconsider => InputKind::Reconsider,
            Self::ForPhase(input) => input.kind(),
        }
    }
}

impl PhaseInput<'_> {
    pub(super) fn kind(&self) -> InputKind {
        match self {
            Self::Joins(_) => InputKind::Joins,
            Self::Encapsulation(_) => InputKind::Encapsulation,
            Self::GroupKey(_) => InputKind::GroupKey,
            Self::Ready(_) => InputKind::Ready,
            Self::Products(_) => InputKind::Products,
            Self::RoundOpen(_) => InputKind::RoundOpen,
            Self::BoxForward(_) => InputKind::BoxForward,
            Self::UnlockRequest(_) => InputKind::UnlockRequest,
            Self::OutcomeReady(_) => InputKind::OutcomeReady,
            Self::NullStep(_) => InputKind::NullStep,
            Self::Outcome(_) => InputKind::Outcome,
            Self::StateWanted(_) => InputKind::StateWanted,
            Self::StateReady(_) => InputKind::StateReady,
            Self::Trained(..) => InputKind::Trained,
            Self::Evaluated(..) => InputKind::Evaluated,
        }
    }
}

impl From<ToVault> for Input<'_> {
    fn from(message: ToVault) -> Self {
        Self::ForPhase(match message {
            ToVault::Finished => return Self::Finished(RunEnd::AsPlanned),
            ToVault::EndedByOperator { after } => {
                return Self::Finished(RunEnd::ByOperator(after));
            }
            ToVault::Refused { reason } => return Self::Refused(reason),
            ToVault::NotYet { reason } => return Self::NotYet(reason),
            ToVault::Rejected { reason } => return Self::Rejected(reason),
            ToVault::Welcome(welcome) => return Self::Welcome(welcome),
            ToVault::Joins(joins) => PhaseInput::Joins(joins),
            ToVault::Encapsulation(message) => PhaseInput::Encapsulation(message),
            ToVault::GroupKey(message) => PhaseInput::GroupKey(message),
            ToVault::Ready(message) => PhaseInput::Ready(message),
            ToVault::Products(products) => PhaseInput::Products(products),
            ToVault::RoundOpen(header) => PhaseInput::RoundOpen(header),
            ToVault::BoxForward(forward) => PhaseInput::BoxForward(forward),
            ToVault::UnlockRequest(request) => PhaseInput::UnlockRequest(request),
            ToVault::OutcomeReady { name } => PhaseInput::OutcomeReady(name),
            ToVault::NullStep(step) => PhaseInput::NullStep(Box::new(step)),
            ToVault::StateWanted { session } => PhaseInput::StateWanted(session),
            ToVault::StateReady { name } => PhaseInput::StateReady(name),
        })
    }
}
