//! The names of the phases, for operators, errors and tests.

use std::fmt;

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
    /// Somebody here has yet to agree to the run.
    AwaitingApproval => "while the run waits for this hospital's approval",
    /// The others' Joins are awaited.
    Joining => "while hospitals are joining",
    /// Keys are exchanged.
    KeyExchange => "while keys are exchanged",
    /// The session goes on from a state that this vault has to get from another.
    AwaitingState => "while the common state of the run is awaited",
    /// Before the `stats` sum was opened: no round is open.
    StatisticsIdle => "between rounds, before the statistics are known",
    /// Before the `stats` sum was opened: the process was started in the midst of a round.
    StatisticsInterrupted => "after a restart in a round of statistics, before its header is repeated",
    /// Before the `stats` sum was opened: our statistics are uploaded.
    StatisticsContributed => "after contributing statistics",
    /// Before the `stats` sum was opened: this round goes on without our statistics.
    StatisticsNotContributing => "in a round of statistics without a contribution of ours",
    /// Before the `stats` sum was opened: the one answer for U was given.
    StatisticsAnswered => "after answering for the sum of the statistics",
    /// No round is open.
    Idle => "between rounds",
    /// The process was started in the midst of a round.
    Interrupted => "after a restart in a round, before its header is repeated",
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
