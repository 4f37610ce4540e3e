//! Counting what went wrong, by kind, and the rounds that it went wrong in.

use std::{collections::BTreeMap, fmt};

/// A kind of fault that has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A connection was lost.
    LostConnection,
    /// A control frame was on its way, or was sent, on a connection that was lost.
    LostFrame,
    /// An upload broke off after some of its bytes.
    BrokenUpload,
    /// An upload went on from where an earlier connection had brought it.
    ResumedUpload,
    /// A download broke off after some of its bytes.
    BrokenDownload,
    /// Some hospitals could not reach the coordinator for a while.
    Partition,
    /// Nothing passed a connection for a while, and then everything.
    Stall,
    /// A hospital said nothing for a while that it was not asked for.
    Silence,
    /// A vault sent again a message that it had sent before.
    RepeatedToCoordinator,
    /// A vault got again a message that it had got before.
    RepeatedToVault,
    /// A contribution was offered again.
    RepeatedUpload,
    /// An upload was overtaken by a control frame that was sent after it.
    Reordered,
    /// A participant stood still between two effects and went on.
    SuspendedVault,
    /// The coordinator stood still between two effects and went on.
    SuspendedCoordinator,
    /// The coordinator ended between two effects, and another process went on from its disk.
    RestartedCoordinator,
    /// A participant ended between two effects, and another process went on from its disk.
    RestartedVault,
    /// A participant ended before a write, in the midst of something, and another process went on from its disk.
    StoppedWrite,
    /// A participant ended between two effects, and another began without its state folder.
    LostState,
    /// A participant ended between two effects.
    Crash,
    /// A training came to something that is no number.
    Divergence,
    /// A training took longer than anybody is waited for.
    SlowTraining,
    /// Somebody who is not of the federation connected and spoke.
    Stranger,
    /// A contribution was left out of its sum, and subtracted.
    Subtracted,
    /// It could not be subtracted, as it could not be read again.
    DamagedUpload,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::LostConnection,
        Self::LostFrame,
        Self::BrokenUpload,
        Self::ResumedUpload,
        Self::BrokenDownload,
        Self::Partition,
        Self::Stall,
        Self::Silence,
        Self::RepeatedToCoordinator,
        Self::RepeatedToVault,
        Self::RepeatedUpload,
        Self::Reordered,
        Self::SuspendedVault,
        Self::SuspendedCoordinator,
        Self::RestartedCoordinator,
        Self::RestartedVault,
        Self::StoppedWrite,
        Self::LostState,
        Self::Crash,
        Self::Divergence,
        Self::SlowTraining,
        Self::Stranger,
        Self::Subtracted,
        Self::DamagedUpload,
    ];
}

/// How often each kind of fault took effect, and in how many rounds any did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    by_kind: BTreeMap<Fault, u64>,
    rounds: u64,
    faulty_rounds: u64,
    current_is_faulty: bool,
}

impl FaultCounts {
    pub(crate) fn count(&mut self, fault: Fault, times: u64) {
        if times == 0 {
            return;
        }
        *self.by_kind.entry(fault).or_default() += times;
        // An upload that is overtaken is nothing out of the ordinary, and one that is left out has its cause in another fault.
        if !matches!(fault, Fault::Reordered | Fault::Subtracted) {
            self.mark_round();
        }
    }

    /// A round was opened, while an earlier fault was or was not in force.
    pub(crate) fn open_round(&mut self, under_a_fault: bool) {
        self.rounds += 1;
        self.current_is_faulty = false;
        if under_a_fault {
            self.mark_round();
        }
    }

    fn mark_round(&mut self) {
        if self.rounds > 0 && !self.current_is_faulty {
            self.current_is_faulty = true;
            self.faulty_rounds += 1;
        }
    }

    /// How often this kind took effect.
    pub fn of(&self, fault: Fault) -> u64 {
        self.by_kind.get(&fault).copied().unwrap_or(0)
    }

    /// Rounds that were opened.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Rounds in which a fault took effect, or that were opened while one was in force. A hospital that is gone for good counts in
    /// the round in which it went.
    pub fn faulty_rounds(&self) -> u64 {
        self.faulty_rounds
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (&fault, count) in &other.by_kind {
            *self.by_kind.entry(fault).or_default() += count;
        }
        self.rounds += other.rounds;
        self.faulty_rounds += other.faulty_rounds;
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} rounds, {} of them with a fault",
            self.rounds, self.faulty_rounds
        )?;
        for fault in Fault::ALL {
            write!(formatter, "\n  {fault:?}: {}", self.of(fault))?;
        }
        Ok(())
    }
}
