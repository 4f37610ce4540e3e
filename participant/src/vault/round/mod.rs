//! The round at hand as the vault sees it: one sealed sum, a file for each message or step.
//!
//! | file | PROTOCOL.md | what |
//! |---|---|---|
//! | `header` | 3.3 | which headers are accepted |
//! | `contribute` | 3.5 | our contribution |
//! | `boxes` | 3.5 | the others' shares for us |
//! | `unlock` | 3.6 | the one answer |
//! | `open` | 3.7 | the outcome |
//! | `kept` | 3.8 | the way back after a restart |

mod boxes;
pub(super) mod contribute;
mod header;
mod kept;
pub(super) mod open;
pub(super) mod unlock;

use std::{collections::BTreeMap, sync::Arc};

use crypto::sealed_sum::{DealerAnswer, HospitalId, Share};
use protocol::{
    digests::{ClipCommit, ContributionDigest, HeaderHash, LearningRound, RoundNumber},
    identity::Signed,
    message::{RefusedPart, ToCoordinator},
    round::{header::RoundOpen, unlock::UnlockShare},
};

use super::{
    error::Refusal,
    hospital::Hospital,
    input::InputKind,
    output::VaultOutput,
    phase_name::PhaseName,
    step::{Reaction, StepResult},
};

/// The phases of a round. `W` is the work that the stage of the session asks for; each phase owns its data, and going on consumes it.
#[derive(Default)]
pub(super) enum Round<W> {
    /// No round is open.
    #[default]
    Idle,
    /// Its header was accepted by a process that has ended since; its work begins when the header comes again.
    Interrupted(OpenRound),
    /// Our contribution is not made yet.
    Working(OpenRound, W),
    /// It is made, and on disk.
    Contributed(OpenRound, OwnContribution),
    /// The round goes on without one.
    NotContributing(OpenRound, WhyNot),
    /// The one answer for U was given.
    Answered(AnsweredRound),
}

/// Work of the learning stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// The filters of the present W were asked for.
    AwaitingFilters,
    /// The trainer trains.
    Training,
    /// The trainer evaluates.
    Evaluating,
}

/// There is none that takes time: statistics are counted when the round opens.
pub(super) enum NoWork {}

/// What the phases of a round are called in a stage of the session.
pub(super) trait RoundWork {
    const IDLE: PhaseName;
    const INTERRUPTED: PhaseName;
    const CONTRIBUTED: PhaseName;
    const NOT_CONTRIBUTING: PhaseName;
    const ANSWERED: PhaseName;

    fn name(&self) -> PhaseName;
}

impl RoundWork for NoWork {
    const IDLE: PhaseName = PhaseName::StatisticsIdle;
    const INTERRUPTED: PhaseName = PhaseName::StatisticsInterrupted;
    const CONTRIBUTED: PhaseName = PhaseName::StatisticsContributed;
    const NOT_CONTRIBUTING: PhaseName = PhaseName::StatisticsNotContributing;
    const ANSWERED: PhaseName = PhaseName::StatisticsAnswered;

    fn name(&self) -> PhaseName {
        match *self {}
    }
}

impl RoundWork for Work {
    const IDLE: PhaseName = PhaseName::Idle;
    const INTERRUPTED: PhaseName = PhaseName::Interrupted;
    const CONTRIBUTED: PhaseName = PhaseName::Contributed;
    const NOT_CONTRIBUTING: PhaseName = PhaseName::NotContributing;
    const ANSWERED: PhaseName = PhaseName::Answered;

    fn name(&self) -> PhaseName {
        match self {
            Self::AwaitingFilters => PhaseName::AwaitingFilters,
            Self::Training => PhaseName::Training,
            Self::Evaluating => PhaseName::Evaluating,
        }
    }
}

/// Why a round goes on without a contribution of ours.
pub(super) enum WhyNot {
    /// Nothing that can be summed came of our work.
    NothingUsable,
    /// U was fixed before we had contributed: its outcome is here.
    TooLate,
}

/// A round whose header was accepted.
pub(super) struct OpenRound {
    pub(super) header: RoundOpen,
    /// hh.
    pub(super) hash: HeaderHash,
    pub(super) learning_round: LearningRound,
    /// The shares for this vault, by contributor. Our own is among them once we have contributed.
    pub(super) shares: BTreeMap<HospitalId, HeldShare>,
    /// Of the dealer check, for every share that was ever held in this round: the first one of a contributor stays, and is repeated.
    pub(super) answers: BTreeMap<HospitalId, DealerAnswer>,
}

/// A round that this vault has answered for.
pub(super) struct AnsweredRound {
    open: OpenRound,
    /// Ours, if we had made one: a coordinator that lost it may get it again.
    contribution: Option<OwnContribution>,
    share: Signed<UnlockShare>,
}

/// What we upload.
pub(super) struct OwnContribution {
    /// `D_i`.
    pub(super) digest: ContributionDigest,
    pub(super) blob: Arc<[u8]>,
}

/// A contributor's share for this vault.
pub(super) struct HeldShare {
    /// `D_i` of the contribution it belongs to.
    pub(super) digest: ContributionDigest,
    pub(super) commit: ClipCommit,
    pub(super) share: Share,
}

impl HeldShare {
    pub(super) fn new(digest: ContributionDigest, commit: ClipCommit, share: Share) -> Self {
        Self {
            digest,
            commit,
            share,
        }
    }
}

impl<W> Round<W> {
    pub(super) fn name(&self) -> PhaseName
    where
        W: RoundWork,
    {
        match self {
            Self::Idle => W::IDLE,
            Self::Interrupted(_) => W::INTERRUPTED,
            Self::Working(_, work) => work.name(),
            Self::Contributed(..) => W::CONTRIBUTED,
            Self::NotContributing(..) => W::NOT_CONTRIBUTING,
            Self::Answered(_) => W::ANSWERED,
        }
    }

    /// An input that the round has no use for as it is.
    pub(super) fn wrong_phase(&self, input: InputKind) -> StepResult
    where
        W: RoundWork,
    {
        Err(Refusal::wrong_phase(input, self.name()).into())
    }

    pub(super) fn open_round(&self) -> Option<&OpenRound> {
        match self {
            Self::Idle => None,
            Self::Interrupted(open)
            | Self::Working(open, _)
            | Self::Contributed(open, _)
            | Self::NotContributing(open, _)
            | Self::Answered(AnsweredRound { open, .. }) => Some(open),
        }
    }

    fn open_round_mut(&mut self) -> Option<&mut OpenRound> {
        match self {
            Self::Idle => None,
            Self::Interrupted(open)
            | Self::Working(open, _)
            | Self::Contributed(open, _)
            | Self::NotContributing(open, _)
            | Self::Answered(AnsweredRound { open, .. }) => Some(open),
        }
    }

    /// For tests of vaults that lie.
    #[cfg(feature = "testing")]
    pub(super) fn contributed_mut(&mut self) -> Option<(&mut OpenRound, &mut OwnContribution)> {
        match self {
            Self::Contributed(open, own) => Some((open, own)),
            Self::Idle
            | Self::Interrupted(_)
            | Self::Working(..)
            | Self::NotContributing(..)
            | Self::Answered(_) => None,
        }
    }

    /// Our contribution, if we have made one.
    pub(super) fn own_contribution(&self) -> Option<&OwnContribution> {
        match self {
            Self::Contributed(_, own) => Some(own),
            Self::Answered(answered) => answered.contribution.as_ref(),
            Self::Idle | Self::Interrupted(_) | Self::Working(..) | Self::NotContributing(..) => {
                None
            }
        }
    }

    /// U is fixed, and its sum is here: what we have not contributed by now is too late.
    pub(super) fn stop_working(self) -> Self {
        match self {
            Self::Interrupted(open) | Self::Working(open, _) => {
                Self::NotContributing(open, WhyNot::TooLate)
            }
            other => other,
        }
    }

    /// The one answer for this round was given before the process was started.
    pub(super) fn answered_before(
        open: OpenRound,
        contribution: Option<OwnContribution>,
        share: Signed<UnlockShare>,
    ) -> Self {
        Self::Answered(AnsweredRound {
            open,
            contribution,
            share,
        })
    }

    /// The round at hand, if its work was interrupted: it begins now.
    pub(super) fn restart_interrupted(&mut self) -> Option<OpenRound> {
        match std::mem::take(self) {
            Self::Interrupted(open) => Some(open),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The one answer for this round was given.
    fn answered(self, share: Signed<UnlockShare>) -> Self {
        let answered = |open, contribution| {
            Self::Answered(AnsweredRound {
                open,
                contribution,
                share,
            })
        };
        match self {
            Self::Idle => Self::Idle,
            Self::Interrupted(open) | Self::Working(open, _) | Self::NotContributing(open, _) => {
                answered(open, None)
            }
            Self::Contributed(open, own) => answered(open, Some(own)),
            already @ Self::Answered(_) => already,
        }
    }

    /// The same header on a new connection.
    pub(super) fn on_repeated_header<J>(&self, hospital: &mut Hospital<J>) -> StepResult {
        if let Self::NotContributing(open, WhyNot::NothingUsable) = self {
            open.say_nothing_is_usable(hospital);
        }
        if let Some(open) = self.open_round() {
            open.acknowledge(hospital);
        }
        Ok(Reaction::Handled)
    }

    /// On a new connection: our answer and our contribution. Acknowledgements follow when boxes are forwarded again.
    pub(super) fn repeat<J>(&self, hospital: &mut Hospital<J>) {
        if let Self::Answered(answered) = self {
            hospital.send(ToCoordinator::UnlockShare(answered.share.clone()));
        }
        if let (Some(open), Some(own)) = (self.open_round(), self.own_contribution()) {
            hospital.outputs.push_back(open.upload(own));
        }
    }
}

impl OpenRound {
    pub(super) fn new(header: RoundOpen, hash: HeaderHash, learning_round: LearningRound) -> Self {
        Self {
            header,
            hash,
            learning_round,
            shares: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }

    pub(super) fn number(&self) -> RoundNumber {
        self.header.round
    }

    fn upload(&self, own: &OwnContribution) -> VaultOutput {
        VaultOutput::Upload {
            name: own.digest,
            bytes: own.blob.clone(),
            purpose: self.header.purpose,
            learning_round: self.learning_round,
        }
    }

    /// Contributes nothing, and says so: the others need not wait. Why, stays here.
    pub(super) fn give_up<J, W>(
        self,
        why: Refusal,
        hospital: &mut Hospital<J>,
    ) -> (Round<W>, StepResult) {
        self.say_nothing_is_usable(hospital);
        (
            Round::NotContributing(self, WhyNot::NothingUsable),
            Err(why.into()),
        )
    }

    fn say_nothing_is_usable<J>(&self, hospital: &mut Hospital<J>) {
        let reason = "no usable contribution".into();
        hospital.refuse_part(self.hash, RefusedPart::Contribution, reason);
    }
}
