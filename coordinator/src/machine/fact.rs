//! What has to be on disk before the machine says something that depends on it: ten facts, from which a run goes on after a crash.
//! All else the vaults send again.
//!
//! | fact | is written before | why |
//! |---|---|---|
//! | [`Fact::Begun`] | the first Welcome of a session | vaults join this session and no other; it goes on from the rounds before it |
//! | [`Fact::Ready`] | the first RoundOpen | the set-up could be repeated only with every hospital back |
//! | [`Fact::StateKept`] | its StateReady, the first RoundOpen | the state of the session's beginning cannot be had later |
//! | [`Fact::Header`] | its RoundOpen | one header for each round number |
//! | [`Fact::Fixed`] | its UnlockRequest | one U for each header: two could be subtracted (PROTOCOL.md 3.6) |
//! | [`Fact::Outcome`] | its OutcomeReady | the round is not opened again |
//! | [`Fact::Closed`] | the next RoundOpen | T and model hash of the next header; who can bring the state into the next session |
//! | [`Fact::NullStep`] | its NullStep | the words that show why the round is settled without a sum |
//! | [`Fact::LeftOut`] | the next RoundOpen, or Finished | no hospital is waited for that only an evaluation needed |
//! | [`Fact::EndsAfter`] | its EndedByOperator | no round is opened whose hospitals were told that the run is over |
//!
//! The sum of a round and its outcome, 17 MB each, are not in a fact: the store keeps them under a name that the fact gives.

use std::fmt;

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::{self, Id, List},
    digests::{ChunksRoot, LearningRound, OutcomeName, SessionId},
    identity::Signed,
    manifest::Manifest,
    round::{
        header::RoundOpen,
        outcome::{RoundClosed, RoundFailed},
        unlock::UnlockRequest,
    },
    session::{Encapsulation, GroupKey, Join, Ready},
};

use super::FactError;

/// One fact of a run. The order in which they were written is part of what they say.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The run and its session. It is written again when the set-up begins anew, and when another session follows.
    Begun {
        /// As signed by the operator.
        manifest: Signed<Manifest>,
        /// The session's number.
        session: SessionId,
    },
    /// All vaults hold each other's keys.
    Ready(SetUpRecord),
    /// A round is open.
    Header(Signed<RoundOpen>),
    /// The contributors of the open round are fixed.
    Fixed(FixedRecord),
    /// The outcome of the round is published.
    Outcome {
        /// Its name.
        name: OutcomeName,
    },
    /// A vault has closed a round.
    Closed(Signed<RoundClosed>),
    /// The update whose outcome is published does not open: it is settled by a null step.
    NullStep {
        /// The words of the vaults that could not open it.
        failed: List<Signed<RoundFailed>>,
    },
    /// The evaluation of a learning round is left out: the run goes on without it.
    LeftOut {
        /// Which one.
        learning_round: LearningRound,
    },
    /// The operator ends the run after a learning round, before its last.
    EndsAfter {
        /// Which one.
        learning_round: LearningRound,
    },
    /// The sealed state that the session goes on from can be fetched.
    StateKept {
        /// Its name.
        name: OutcomeName,
    },
}

/// The messages of the set-up, each kind sorted by its sender.
#[derive(Clone, Debug, PartialEq)]
pub struct SetUpRecord {
    /// Of every hospital.
    pub joins: Vec<Signed<Join>>,
    /// Of every pair.
    pub encapsulations: Vec<Signed<Encapsulation>>,
    /// The sealed group key.
    pub group_key: Signed<GroupKey>,
    /// Of every hospital.
    pub readies: Vec<Signed<Ready>>,
}

/// U, its sum, and whose answers are not wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedRecord {
    /// As it goes to the vaults.
    pub request: Signed<UnlockRequest>,
    /// Root over the chunks of the sum, which is kept under hh of its round.
    pub sum_root: ChunksRoot,
    /// Vaults whose answers would be wrong.
    pub ignored: Vec<HospitalId>,
}

/// The kinds of facts; the numbers are their first byte on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FactKind {
    /// [`Fact::Begun`].
    Begun = 1,
    /// [`Fact::Ready`].
    Ready = 2,
    /// [`Fact::Header`].
    Header = 3,
    /// [`Fact::Fixed`].
    Fixed = 4,
    /// [`Fact::Outcome`].
    Outcome = 5,
    /// [`Fact::Closed`].
    Closed = 6,
    /// [`Fact::LeftOut`].
    LeftOut = 7,
    /// [`Fact::StateKept`].
    StateKept = 8,
    /// [`Fact::NullStep`].
    NullStep = 9,
    /// [`Fact::EndsAfter`].
    EndsAfter = 10,
}

impl Fact {
    /// Which kind of fact this is.
    pub fn kind(&self) -> FactKind {
        match self {
            Self::Begun { .. } => FactKind::Begun,
            Self::Ready(_) => FactKind::Ready,
            Self::Header(_) => FactKind::Header,
            Self::Fixed(_) => FactKind::Fixed,
            Self::Outcome { .. } => FactKind::Outcome,
            Self::Closed(_) => FactKind::Closed,
            Self::LeftOut { .. } => FactKind::LeftOut,
            Self::StateKept { .. } => FactKind::StateKept,
            Self::NullStep { .. } => FactKind::NullStep,
            Self::EndsAfter { .. } => FactKind::EndsAfter,
        }
    }

    /// The bytes to keep: one byte for the kind, then its fields in the canonical form of `protocol::codec`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = match self {
            Self::Begun { manifest, session } => codec::encode(&(manifest, session)),
            Self::Ready(record) => codec::encode(&(
                List(record.joins.clone()),
                List(record.encapsulations.clone()),
                &record.group_key,
                List(record.readies.clone()),
            )),
            Self::Header(header) => codec::encode(header),
            Self::Fixed(record) => {
                let ignored: List<Id> = record.ignored.iter().copied().map(Id).collect();
                codec::encode(&(&record.request, record.sum_root, ignored))
            }
            Self::Outcome { name } | Self::StateKept { name } => codec::encode(name),
            Self::Closed(closed) => codec::encode(closed),
            Self::LeftOut { learning_round } | Self::EndsAfter { learning_round } => {
                codec::encode(learning_round)
            }
            Self::NullStep { failed } => codec::encode(failed),
        };
        let mut bytes = vec![self.kind() as u8];
        bytes.extend(body);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has written. Signatures are looked at when the fact is used.
    ///
    /// # Errors
    /// [`FactError`] when the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FactError> {
        let (&kind, body) = bytes.split_first().ok_or(FactError::Empty)?;
        Ok(match FactKind::from_number(kind)? {
            FactKind::Begun => {
                let (manifest, session) = codec::decode(body)?;
                Self::Begun { manifest, session }
            }
            FactKind::Ready => {
                let (List(joins), List(encapsulations), group_key, List(readies)) =
                    codec::decode(body)?;
                Self::Ready(SetUpRecord {
                    joins,
                    encapsulations,
                    group_key,
                    readies,
                })
            }
            FactKind::Header => Self::Header(codec::decode(body)?),
            FactKind::Fixed => {
                let (request, sum_root, ignored): (_, _, List<Id>) = codec::decode(body)?;
                Self::Fixed(FixedRecord {
                    request,
                    sum_root,
                    ignored: ignored.iter().map(|id| id.0).collect(),
                })
            }
            FactKind::Outcome => Self::Outcome {
                name: codec::decode(body)?,
            },
            FactKind::Closed => Self::Closed(codec::decode(body)?),
            FactKind::LeftOut => Self::LeftOut {
                learning_round: codec::decode(body)?,
            },
            FactKind::StateKept => Self::StateKept {
                name: codec::decode(body)?,
            },
            FactKind::NullStep => Self::NullStep {
                failed: codec::decode(body)?,
            },
            FactKind::EndsAfter => Self::EndsAfter {
                learning_round: codec::decode(body)?,
            },
        })
    }
}

impl FactKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Begun,
        Self::Ready,
        Self::Header,
        Self::Fixed,
        Self::Outcome,
        Self::Closed,
        Self::LeftOut,
        Self::StateKept,
        Self::NullStep,
        Self::EndsAfter,
    ];

    fn from_number(number: u8) -> Result<Self, FactError> {
        Self::ALL
            .into_iter()
            .find(|kind| *kind as u8 == number)
            .ok_or(FactError::UnknownKind(number))
    }
}

impl fmt::Display for FactKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Begun => "begun",
            Self::Ready => "ready",
            Self::Header => "header",
            Self::Fixed => "fixed",
            Self::Outcome => "outcome",
            Self::Closed => "closed",
            Self::LeftOut => "left out",
            Self::StateKept => "state kept",
            Self::NullStep => "null step",
            Self::EndsAfter => "ends after",
        })
    }
}
