//! The phases of a vault, and what becomes of an input in one.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;

use super::{
    error::{Refusal, StepError},
    finished::Finished,
    input::InputKind,
    joining::Joining,
    key_exchange::ExchangingKeys,
    session::InSession,
};

/// How far the vault is. Each phase owns what it needs, and going on consumes it.
pub(super) enum Phase {
    /// Nothing is known of the run.
    Unjoined,
    /// Our Join is sent; the others' are awaited.
    Joining(Box<Joining>),
    /// All Joins are known; the vaults exchange keys.
    KeyExchange(Box<ExchangingKeys>),
    /// All keys are here: rounds are opened, one sum each.
    InSession(Box<InSession>),
    /// The run has ended well; all keys of the session are gone.
    Finished(Finished),
    /// An error that the vault cannot go on from.
    Stopped,
}

impl Phase {
    pub(super) fn name(&self) -> PhaseName {
        match self {
            Self::Unjoined => PhaseName::Unjoined,
            Self::Joining(_) => PhaseName::Joining,
            Self::KeyExchange(_) => PhaseName::KeyExchange,
            Self::InSession(session) => session.name(),
            Self::Finished(_) => PhaseName::Finished,
            Self::Stopped => PhaseName::Stopped,
        }
    }
}

macro_rules! phase_names {
    ($($(#[$doc:meta])* $phase:ident => $words:literal,)*) => {
        /// Which phase, for operators and tests. Its words follow "is refused".
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PhaseName {
            $($(#[$doc])* $phase,)*
        }

        impl PhaseName {
            /// All phases, in the order of a run.
            pub const ALL: &'static [Self] = &[$(Self::$phase,)*];

            /// When the vault is in this phase, in words.
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$phase => $words,)*
                }
            }
        }
    };
}

phase_names! {
    /// Nothing is known of the run.
    Unjoined => "before this hospital was welcomed",
    /// The others' Joins are awaited.
    Joining => "while hospitals are joining",
    /// Keys are exchanged.
    KeyExchange => "while keys are exchanged",
    /// Before the `stats` sum was opened: no round is open.
    StatisticsIdle => "between rounds, before the statistics are known",
    /// Before the `stats` sum was opened: our statistics are uploaded.
    StatisticsContributed => "after contributing statistics",
    /// Before the `stats` sum was opened: this round goes on without our statistics.
    StatisticsNotContributing => "in a round of statistics without a contribution of ours",
    /// Before the `stats` sum was opened: the one answer for U was given.
    StatisticsAnswered => "after answering for the sum of the statistics",
    /// No round is open.
    Idle => "between rounds",
    /// The round's work needs filters, which were asked for.
    AwaitingFilters => "while filters are awaited",
    /// The trainer trains for the round.
    Training => "while the trainer trains",
    /// The trainer evaluates for the round.
    Evaluating => "while the trainer evaluates",
    /// Our contribution is made.
    Contributed => "after contributing",
    /// The round goes on without a contribution of ours.
    NotContributing => "in a round without a contribution of ours",
    /// The one answer for U was given.
    Answered => "after answering for the sum",
    /// The run has ended well.
    Finished => "after the run has ended",
    /// A fatal error.
    Stopped => "after this vault has stopped with an error",
}

impl fmt::Display for PhaseName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

/// What a phase made of an input that it did not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It acted on it.
    Handled,
    /// Nothing is to be done, for this reason.
    Ignored(&'static str),
}

/// What became of an input: where the vault is now, and its reaction.
pub(super) struct Step {
    pub(super) phase: Phase,
    pub(super) reaction: Result<Reaction, Refusal>,
}

impl Step {
    pub(super) fn handled(phase: Phase) -> Self {
        Self {
            phase,
            reaction: Ok(Reaction::Handled),
        }
    }

    pub(super) fn ignored(phase: Phase, reason: &'static str) -> Self {
        Self {
            phase,
            reaction: Ok(Reaction::Ignored(reason)),
        }
    }

    /// An input that `phase` has no use for.
    pub(super) fn wrong_phase(phase: Phase, input: InputKind) -> Self {
        let refusal = Refusal::WrongPhase {
            input: input.name(),
            phase: phase.name(),
        };
        Self {
            phase,
            reaction: Err(refusal),
        }
    }
}

/// What a step inside a session comes to.
pub(super) type StepResult = Result<Reaction, StepError>;
