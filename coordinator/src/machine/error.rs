//! Why the machine does not accept an input, or cannot go on from what was kept.

use std::io;

use crypto::{ckks::CkksError, sealed_sum::HospitalId};
use protocol::{
    codec::CodecError,
    counted::counted,
    culprit::Culprit,
    digests::{HeaderHash, RoundNumber},
    identity::SignedError,
    manifest::ManifestError,
    round::RoundError,
    session::SessionError,
};

use super::{FactKind, InputKind, PhaseName};

/// Why an input of a hospital is rejected. The run goes on without it.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MachineError {
    /// A number that the roster does not list.
    #[error("hospital {from} is not on the roster")]
    NotOnRoster {
        /// The number.
        from: HospitalId,
    },
    /// An input that has no place in the present phase.
    #[error("hospital {from} sent {message} in the phase {phase}, where it has no place")]
    WrongPhase {
        /// Where the run is.
        phase: PhaseName,
        /// What came.
        message: InputKind,
        /// From whom.
        from: HospitalId,
    },
    /// A hospital that has no part in the session.
    #[error("hospital {from} sent {message}, and takes no part in this session")]
    NotInSession {
        /// Which.
        from: HospitalId,
        /// What came.
        message: InputKind,
    },
    /// A hospital that comes when no round follows.
    #[error(
        "all rounds of the run are done, and hospital {from} was not among those that ended it: it takes part in the next run. Another \
         hospital can give it the model"
    )]
    TooLate {
        /// Which.
        from: HospitalId,
    },
    /// A hospital that the operator goes on without.
    #[error(
        "the coordinator's operator goes on without hospital {from}: ask the operator. It can take part again once the coordinator is \
         started again"
    )]
    WithoutIt {
        /// Which.
        from: HospitalId,
    },
    /// A state that is longer than that of this run.
    #[error("hospital {from} offers a state of {found} bytes, where {most} are the most")]
    StateTooLong {
        /// Which.
        from: HospitalId,
        /// So many bytes.
        found: u64,
        /// At most.
        most: u64,
    },
    /// A hospital that loses its keys again and again.
    #[error(
        "hospital {from} has lost its keys once more, after the others have joined anew {} because of it: find out from its \
         participant's log why it stops, mend it, and start a new run",
        counted(*times, ["time", "times"])
    )]
    SetUpTooOften {
        /// Which.
        from: HospitalId,
        /// So often all hospitals have joined anew.
        times: u32,
    },
    /// A message of the set-up that is not valid.
    #[error("{fault}")]
    Session {
        /// Who sent it.
        from: HospitalId,
        /// What is wrong.
        fault: SessionError,
    },
    /// A message or an upload of a round that is not valid.
    #[error("{fault}")]
    Round {
        /// Who sent it.
        from: HospitalId,
        /// What is wrong.
        fault: RoundError,
    },
    /// An upload that has arrived and cannot be read: it has to come again.
    #[error("cannot read the upload of hospital {from}, which is to send it again: {reason}")]
    Unreadable {
        /// The hospital that sent it.
        from: HospitalId,
        /// What the system says.
        reason: String,
    },
    /// A message of the encrypted products that is not valid.
    #[error("{fault}")]
    Product {
        /// Who sent it.
        from: HospitalId,
        /// What is wrong.
        fault: ProductError,
    },
    /// A vault's word on an outcome that is not valid.
    #[error("{fault}")]
    Closing {
        /// Who sent it.
        from: HospitalId,
        /// What is wrong.
        fault: ClosingError,
    },
}

impl MachineError {
    /// Who is at fault. Unknown where the rule may have been kept: a message can be overtaken by the next phase, and a restarted
    /// participant has lost its keys. Whatever else is wrong came over the hospital's own connection.
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::WrongPhase { .. }
            | Self::NotInSession { .. }
            | Self::TooLate { .. }
            | Self::WithoutIt { .. }
            | Self::Unreadable { .. }
            | Self::SetUpTooOften { .. } => Culprit::Unknown,
            Self::NotOnRoster { from }
            | Self::StateTooLong { from, .. }
            | Self::Session { from, .. }
            | Self::Round { from, .. }
            | Self::Product { from, .. }
            | Self::Closing { from, .. } => Culprit::Hospital(*from),
        }
    }

    pub(super) fn session(from: HospitalId) -> impl Fn(SessionError) -> Self {
        move |fault| Self::Session { from, fault }
    }

    pub(super) fn round<E: Into<RoundError>>(from: HospitalId) -> impl Fn(E) -> Self {
        move |fault| Self::Round {
            from,
            fault: fault.into(),
        }
    }

    pub(super) fn unreadable(from: HospitalId) -> impl Fn(io::Error) -> Self {
        move |error| Self::Unreadable {
            from,
            reason: error.to_string(),
        }
    }

    pub(super) fn product(from: HospitalId) -> impl Fn(ProductError) -> Self {
        move |fault| Self::Product { from, fault }
    }

    pub(super) fn closing(from: HospitalId) -> impl Fn(ClosingError) -> Self {
        move |fault| Self::Closing { from, fault }
    }
}

/// Why encrypted products are not computed (PROTOCOL.md 5.4).
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ProductError {
    /// The manifest has no encryption.
    #[error("this run conditions without encryption")]
    NotEncrypted,
    /// Features or a request under a key that was not announced.
    #[error("a message under CKKS key {key}, which was not announced")]
    UnknownKey {
        /// Its number.
        key: u32,
    },
    /// Another key under the number of one that is known.
    #[error("a second, different CKKS key of number {key}: a new key has a new number")]
    SecondKey {
        /// Its number.
        key: u32,
    },
    /// Other features than were announced for a block under the same key.
    #[error(
        "second, different features of block {block} under CKKS key {key}: features are encrypted once for each key"
    )]
    SecondFeatures {
        /// The key.
        key: u32,
        /// The block's number, from 0.
        block: u32,
    },
    /// More blocks than products fit into one message.
    #[error("block {block} of patients where at most {max} are possible")]
    TooManyBlocks {
        /// The block's number, from 0.
        block: u32,
        /// The largest number of blocks.
        max: u32,
    },
    /// A request of another session or hospital.
    #[error("a filter request of another session or hospital")]
    OtherRequester,
    /// A request that names other features than were announced.
    #[error("a filter request for other features than were announced")]
    OtherFeatures,
    /// More keys and requests than a hospital can need.
    #[error("more than {max} new CKKS keys and filter requests in one minute")]
    TooManyInMinute {
        /// So many are taken.
        max: u32,
    },
    /// Bytes that are not a key or a ciphertext.
    #[error(transparent)]
    Ckks(#[from] CkksError),
}

/// Why a vault's word on an outcome is not accepted (PROTOCOL.md 3.7).
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ClosingError {
    /// The signature is another's, or the bytes are no such message.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// In another hospital's name.
    #[error("it speaks for hospital {other}")]
    OtherHospital {
        /// In whose name.
        other: HospitalId,
    },
    /// A round that has no outcome here.
    #[error("it closes a round that has no outcome here")]
    UnknownRound,
    /// A round whose predecessor t vaults have not closed yet.
    #[error("it closes round {round} before the one before it is settled")]
    TooEarly {
        /// The round.
        round: RoundNumber,
    },
    /// Another one than this vault has sent before.
    #[error("it closes round {round} in another way than it has before")]
    Second {
        /// The round.
        round: RoundNumber,
    },
    /// T does not follow from the round and the model it names.
    #[error("its transcript of round {round} does not follow from ours")]
    OtherTranscript {
        /// The round.
        round: RoundNumber,
    },
    /// A sum without an update does not move the model.
    #[error("it says that round {round}, a sum without an update, moved the model")]
    ModelMoved {
        /// The round.
        round: RoundNumber,
    },
    /// Only evaluations show that there is no gain.
    #[error("it ends the run with round {round}, which is no evaluation")]
    StopWithoutEvaluation {
        /// The round.
        round: RoundNumber,
    },
}

/// Why a run cannot be taken up again from the facts that were kept of it.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ResumeError {
    /// Nothing was kept, or the first fact is not the beginning.
    #[error("the records of the run do not start with its beginning")]
    NoBeginning,
    /// The manifest cannot be run.
    #[error(transparent)]
    Start(#[from] ManifestError),
    /// A fact that cannot follow those before it.
    #[error("the records of the run are damaged: {fact} cannot follow in the phase {phase}")]
    OutOfOrder {
        /// The fact.
        fact: FactKind,
        /// Where the facts before it lead.
        phase: PhaseName,
    },
    /// A fact whose content is not valid.
    #[error("the records of the run are damaged: {fact} is not valid: {reason}")]
    Invalid {
        /// The fact.
        fact: FactKind,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes of a sum whose request may be out are missing or altered.
    #[error("the sum of round {round} is missing from the records of the run, or was altered")]
    SumLost {
        /// The round.
        round: RoundNumber,
        /// hh of the round, the name under which it was kept.
        name: HeaderHash,
    },
}

/// Bytes that are not a fact.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum FactError {
    /// No kind of fact has this number.
    #[error("there is no fact of kind {0}")]
    UnknownKind(u8),
    /// No bytes.
    #[error("a fact without bytes")]
    Empty,
    /// The kind is known, the rest is not of its form.
    #[error(transparent)]
    Codec(#[from] CodecError),
}
