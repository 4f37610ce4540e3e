//! What travels on the control stream, each way.

use crypto::{ckks::Profile, hash::labelled_hash};

use crate::{
    codec::{Bytes, Decode, Encode, Id, List, Text, one_byte},
    digests::{
        FeaturesDigest, FilterRequestDigest, HeaderHash, LearningRound, OutcomeName, RosterHash,
        SessionId, Transcript,
    },
    identity::Signed,
    manifest::Manifest,
    round::{
        contribution::{BoxAck, BoxForward},
        header::RoundOpen,
        null_step::NullStep,
        outcome::{RoundClosed, RoundFailed},
        unlock::{UnlockRequest, UnlockShare},
    },
    session::{Encapsulation, GroupKey, Join, Joins, Ready},
};

/// The application code with which the coordinator closes a hospital's connection while an earlier one stands. It may be the
/// hospital's own, lost but not yet known to be: worth another try for as long as a connection takes to be given up.
pub const ALREADY_CONNECTED: u16 = 1;

/// The application code with which a hospital closes its connection when it stays out of the run by a decision: of its policy, or of
/// somebody there. The reason is for the operator.
pub const DECLINES_THE_RUN: u16 = 2;

/// From a hospital to the coordinator.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum ToCoordinator {
    /// First on every connection.
    Hello(Hello),
    /// See [`Join`].
    Join(Signed<Join>),
    /// See [`Encapsulation`].
    Encapsulation(Signed<Encapsulation>),
    /// See [`GroupKey`].
    GroupKey(Signed<GroupKey>),
    /// See [`Ready`].
    Ready(Signed<Ready>),
    /// A relinearisation key, once per CKKS key.
    EvaluationKey(EvaluationKey),
    /// Enc(f), once per CKKS key and block of patients.
    EncryptedFeatures(EncryptedFeatures),
    /// Enc(W): asks for the products with every block.
    FilterRequest(FilterRequest),
    /// A sign of life, while there is nothing else to say. It tells nothing of the training it may stand for.
    Heartbeat,
    /// A vault does not do its part in a round.
    HeaderRefused {
        /// hh.
        header: HeaderHash,
        /// What it does not do.
        part: RefusedPart,
        /// Why, for the operator.
        reason: Text,
    },
    /// See [`BoxAck`].
    BoxAck(Signed<BoxAck>),
    /// See [`UnlockShare`].
    UnlockShare(Signed<UnlockShare>),
    /// See [`RoundClosed`].
    RoundClosed(Signed<RoundClosed>),
    /// See [`RoundFailed`].
    RoundFailed(Signed<RoundFailed>),
    /// This vault has the state that the session goes on from.
    StateTaken {
        /// The session.
        session: SessionId,
    },
    /// The state that was handed over to this vault is not the one that the session goes on from.
    StateRefused {
        /// The session.
        session: SessionId,
    },
}

/// What a vault does not do in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedPart {
    /// Anything: it does not accept the header.
    Header,
    /// Contribute: it has nothing that can be summed. It helps to open the sum.
    Contribution,
    /// Help to open the sum over this U.
    Answer,
    /// Go on from an update that did not open.
    NullStep,
}

one_byte!(RefusedPart {
    Header = 0,
    Contribution = 1,
    Answer = 2,
    NullStep = 3
});

/// From the coordinator to a hospital.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum ToVault {
    /// Session and run; answers a [`Hello`].
    Welcome(Welcome),
    /// All Joins, sorted by number.
    Joins(Joins),
    /// Relayed.
    Encapsulation(Signed<Encapsulation>),
    /// Relayed.
    GroupKey(Signed<GroupKey>),
    /// Relayed.
    Ready(Signed<Ready>),
    /// The encrypted products of one filter request.
    Products(Products),
    /// A round begins.
    RoundOpen(Signed<RoundOpen>),
    /// A share for this vault.
    BoxForward(BoxForward),
    /// U is fixed.
    UnlockRequest(Signed<UnlockRequest>),
    /// An outcome waits under this name.
    OutcomeReady {
        /// See [`crate::round::outcome::outcome_name`].
        name: OutcomeName,
    },
    /// The run has ended well; nothing more will come.
    Finished,
    /// The coordinator will not go on with this hospital.
    Refused {
        /// Why, and what to do.
        reason: Text,
    },
    /// A run is under way without this hospital: it takes part from one of the next rounds on.
    NotYet {
        /// What is waited for, for people.
        reason: Text,
    },
    /// This vault is asked to upload the state that the session goes on from, sealed for those that do not have it.
    StateWanted {
        /// The session.
        session: SessionId,
    },
    /// The sealed state waits under this name.
    StateReady {
        /// See [`crate::session::state_name`].
        name: OutcomeName,
    },
    /// An update did not open: the model stays as it is.
    NullStep(NullStep),
    /// A message or an upload of this vault was not accepted. The run goes on.
    Rejected {
        /// Why, for people.
        reason: Text,
    },
    /// The operator has ended the run after this learning round, before its last; nothing more will come.
    EndedByOperator {
        /// The last round. Its evaluation belongs to it, if there was one.
        after: LearningRound,
    },
}

/// How a hospital introduces itself on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The session that it takes part in already, and the T it has reached there.
    pub resume: Option<Resume>,
}

/// Where a returning vault stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Resume {
    /// The session.
    pub session: SessionId,
    /// T of the last round it has opened; `T_0`, or [`Transcript::BEFORE_JOINS`], if none.
    pub transcript: Transcript,
}

/// The session and the run.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Welcome {
    /// The session.
    pub session: SessionId,
    /// The coordinator's roster.
    pub roster_hash: RosterHash,
    /// The run, signed by the operator.
    pub manifest: Signed<Manifest>,
    /// T of the round that the session goes on after; none in the first session of a run.
    pub after: Option<Transcript>,
}

/// A hospital's relinearisation key (PROTOCOL.md 5.4).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EvaluationKey {
    /// Counts a hospital's CKKS keys.
    pub key: u32,
    /// Serialised by `crypto::ckks`.
    pub bytes: Bytes,
}

/// The clinical features of up to 455 patients under a hospital's own key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EncryptedFeatures {
    /// The CKKS key.
    pub key: u32,
    /// Number of the block.
    pub block: u32,
    /// A seeded ciphertext.
    pub bytes: Bytes,
}

/// So many blocks of patients a hospital may have: their products fit one control frame of 4 MiB.
pub fn most_blocks(profile: Profile) -> u32 {
    match profile {
        Profile::Hardened => 31,
        Profile::Study => 15,
    }
}

/// W under a hospital's own key, tiled over the slots.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FilterRequest {
    /// The session.
    pub session: SessionId,
    /// Who asks.
    pub id: Id,
    /// The CKKS key.
    pub key: u32,
    /// Counts the versions of W that were encrypted.
    pub version: u32,
    /// H of the encrypted features of every block.
    pub features: List<FeaturesDigest>,
    /// A seeded ciphertext.
    pub bytes: Bytes,
}

impl FilterRequest {
    /// What a product must name to be taken for the answer to this request: it covers session, hospital, key, version and the
    /// hashes of all input ciphertexts.
    pub fn digest(&self) -> FilterRequestDigest {
        labelled_hash("filter-request", &[&crate::codec::encode(self)]).into()
    }
}

/// H of an encrypted block, as [`FilterRequest::features`] lists it.
pub fn features_digest(features: &EncryptedFeatures) -> FeaturesDigest {
    labelled_hash("features", &[&crate::codec::encode(features)]).into()
}

/// Enc(W * f), block by block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Products {
    /// [`FilterRequest::digest`] of the request that this answers.
    pub request: FilterRequestDigest,
    /// One ciphertext for every block.
    pub blocks: List<Bytes>,
}
