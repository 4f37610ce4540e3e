//! How a session's keys come about (PROTOCOL.md 3.2): the messages that vaults exchange through the coordinator. The secrets behind
//! them live in the vault.

use std::collections::BTreeMap;

use crypto::{
    hash::{Digest, labelled_hash},
    sealed_sum::HospitalId,
};

use crate::{
    codec::{Bytes, Decode, Encode, Id, List},
    counted::counted,
    culprit::Culprit,
    digests::{
        EncapsulationDigest, GroupKeyId, JoinDigest, JoinedSet, OutcomeName, RosterHash,
        RoundNumber, SessionId, StateCommit, Transcript,
    },
    identity::{Message, Signed},
    roster::Roster,
};

/// Bytes of an ML-KEM-768 encapsulation key.
pub const KEM_KEY_BYTES: usize = 1184;

/// Bytes of an ML-KEM-768 ciphertext.
pub const KEM_CIPHERTEXT_BYTES: usize = 1088;

/// A vault's public keys of a session, sent to all. The last one counts until they are relayed; another one after that begins a new
/// session, as long as no header is out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Join {
    /// The roster that the vault goes by.
    pub roster_hash: RosterHash,
    /// The session.
    pub session: SessionId,
    /// Who joins.
    pub id: Id,
    /// X25519 public key.
    pub x25519: [u8; 32],
    /// ML-KEM-768 encapsulation key.
    pub kem_key: [u8; KEM_KEY_BYTES],
    /// Makes every Join unlike any other.
    pub nonce: [u8; 32],
}

impl Message for Join {
    const TYPE: &'static str = "join";
    type Digest = JoinDigest;
}

/// The KEM half of a pair's key, from the smaller number to the larger; signed together with both Joins and the roster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Encapsulation {
    /// The session.
    pub session: SessionId,
    /// Who encapsulates.
    pub from: Id,
    /// For whom.
    pub to: Id,
    /// H of `from`'s Join.
    pub from_join: JoinDigest,
    /// H of `to`'s Join.
    pub to_join: JoinDigest,
    /// The roster.
    pub roster_hash: RosterHash,
    /// ML-KEM-768 ciphertext.
    pub ciphertext: [u8; KEM_CIPHERTEXT_BYTES],
}

impl Message for Encapsulation {
    const TYPE: &'static str = "encapsulation";
    type Digest = EncapsulationDigest;
}

/// The key that all vaults share and the coordinator never has, sealed to each of them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GroupKey {
    /// The session.
    pub session: SessionId,
    /// Who drew it.
    pub origin: Id,
    /// Rises strictly within a session.
    pub generation: u32,
    /// The first round it serves.
    pub first_round: RoundNumber,
    /// H('gid' || G).
    pub gid: GroupKeyId,
    /// G sealed to every other vault.
    pub sealed: List<SealedGroupKey>,
}

impl Message for GroupKey {
    const TYPE: &'static str = "group-key";
    type Digest = Digest;
}

/// G for one vault.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedGroupKey {
    /// For whom.
    pub to: Id,
    /// AEAD of the 32 bytes of G.
    pub sealed: [u8; 48],
}

/// A vault's word on what it has seen: boxes go only to those who saw the same.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ready {
    /// The session.
    pub session: SessionId,
    /// The hospital concerned.
    pub id: Id,
    /// [`joined_set_hash`].
    pub joined_set: JoinedSet,
    /// The group key.
    pub gid: GroupKeyId,
    /// For every other vault, H of the Encapsulation with it.
    pub encapsulations: List<SeenEncapsulation>,
    /// What this vault brings of the run into the session; none before it has opened the statistics.
    pub state: Option<StateCommit>,
}

impl Message for Ready {
    const TYPE: &'static str = "ready";
    type Digest = Digest;
}

/// One entry of a [`Ready`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SeenEncapsulation {
    /// The other vault.
    pub peer: Id,
    /// H of the Encapsulation between the two.
    pub digest: EncapsulationDigest,
}

/// The Joins of a session, sorted by number.
pub type Joins = List<Signed<Join>>;

/// H(sorted Joins): who shares this session's sums.
pub fn joined_set_hash(joins: &[Signed<Join>]) -> JoinedSet {
    let digests: Vec<JoinDigest> = joins.iter().map(Signed::digest).collect();
    let parts: Vec<&[u8]> = digests.iter().map(AsRef::as_ref).collect();
    labelled_hash("joined", &parts).into()
}

/// `T_0`, where the transcript of a session starts: of the first one of a run, or of one that goes on `after` the T of another.
pub fn first_transcript(
    roster: &Roster,
    session: &SessionId,
    joined_set: &JoinedSet,
    after: Option<&Transcript>,
) -> Transcript {
    let roster_hash = roster.hash();
    let mut parts: Vec<&[u8]> = vec![
        roster_hash.as_bytes(),
        session.as_bytes(),
        joined_set.as_bytes(),
    ];
    parts.extend(after.map(|transcript| &transcript.as_bytes()[..]));
    labelled_hash("T0", &parts).into()
}

/// The state that a session goes on from: the one that at least t of its vaults bring alike. None where nobody brings one.
///
/// # Errors
/// [`SessionError::NoCommonState`] when some bring one, and fewer than t the same.
pub fn common_state(
    brought: impl IntoIterator<Item = Option<StateCommit>>,
    roster: &Roster,
) -> Result<Option<StateCommit>, SessionError> {
    let mut alike = BTreeMap::<StateCommit, usize>::new();
    for state in brought.into_iter().flatten() {
        *alike.entry(state).or_default() += 1;
    }
    let Some((state, vaults)) = alike.into_iter().max_by_key(|(_, vaults)| *vaults) else {
        return Ok(None);
    };
    let needed = roster.threshold();
    if vaults < needed {
        return Err(SessionError::NoCommonState { vaults, needed });
    }
    Ok(Some(state))
}

/// The state that a session goes on from, on its way from one vault to others: the coordinator sees from whom.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedState {
    /// The session.
    pub session: SessionId,
    /// Who has sealed it.
    pub sealer: Id,
    /// A keyed hash of what is sealed: each content has a key of its own.
    pub digest: [u8; 32],
    /// AEAD of the state.
    pub sealed: Bytes,
}

/// Under which the state of a session is served that this vault has sealed.
pub fn state_name(session: &SessionId, sealer: HospitalId) -> OutcomeName {
    labelled_hash("state-name", &[session.as_bytes(), &[sealer.get()]]).into()
}

/// gid = H('gid' || G).
pub fn group_key_id(group_key: &[u8; 32]) -> GroupKeyId {
    labelled_hash("gid", &[group_key]).into()
}

/// Checks a Join against roster and session and gives its sender.
///
/// # Errors
/// [`SessionError`].
pub fn check_join(
    join: &Signed<Join>,
    roster: &Roster,
    session: &SessionId,
) -> Result<Join, SessionError> {
    let id = join
        .read_unverified()
        .map_err(|error| SessionError::Malformed(error.to_string()))?
        .id
        .0;
    let member = roster.member(id).ok_or(SessionError::NotOnRoster { id })?;
    let body = join
        .verify(&member.signing_key, format_args!("hospital {id}"))
        .map_err(|error| SessionError::Malformed(error.to_string()))?;
    if body.roster_hash != roster.hash() {
        return Err(SessionError::OtherRoster { id });
    }
    if body.session != *session {
        return Err(SessionError::OtherSession { id });
    }
    check_public_keys(&body)?;
    Ok(body)
}

/// Keys that nobody can agree on a secret with would end the exchange for others than their sender.
fn check_public_keys(join: &Join) -> Result<(), SessionError> {
    let mut point = join.x25519;
    // X25519 does not look at the highest bit.
    point[31] &= 0x7f;
    if !is_reduced(&join.kem_key) || LOW_ORDER_POINTS.contains(&hex::encode(point).as_str()) {
        let id = join.id.0;
        return Err(SessionError::Malformed(format!(
            "the public keys in the join of hospital {id} are not usable"
        )));
    }
    Ok(())
}

/// The check of an encapsulation key in FIPS 203, 7.2: every coefficient, 12 bits each, is below the prime. What follows them is a seed.
fn is_reduced(kem_key: &[u8; KEM_KEY_BYTES]) -> bool {
    let (triples, _) = kem_key[..KEM_KEY_BYTES - KEM_SEED_BYTES].as_chunks::<3>();
    triples.iter().all(|&[low, middle, high]| {
        let first = u16::from(low) | u16::from(middle & 0x0f) << 8;
        let second = u16::from(middle >> 4) | u16::from(high) << 4;
        first < KEM_PRIME && second < KEM_PRIME
    })
}

/// q of ML-KEM.
const KEM_PRIME: u16 = 3329;
const KEM_SEED_BYTES: usize = 32;

/// The points of Curve25519 that give the same secret with every key: of order 1, 2, 4 and 8, and their encodings beyond the prime.
const LOW_ORDER_POINTS: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// What is wrong with a message of the set-up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SessionError {
    /// Bytes or signature do not stand.
    #[error("{0}")]
    Malformed(String),
    /// A number that the roster does not list.
    #[error("hospital {id} is not on the roster")]
    NotOnRoster {
        /// The number.
        id: HospitalId,
    },
    /// A hospital that goes by another roster.
    #[error("hospital {id} has another roster: compare the roster files of all parties")]
    OtherRoster {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// A message of another session.
    #[error("hospital {id} sent a message of another session")]
    OtherSession {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// Two different messages where the protocol has one.
    #[error(
        "hospital {id} sent a second, different {message} in this session: is another participant running under the same number?"
    )]
    Second {
        /// The hospital concerned.
        id: HospitalId,
        /// Of which type.
        message: &'static str,
    },
    /// Two parties that saw different things.
    #[error(
        "hospital {id} has seen another {what} than we have: somebody between the hospitals alters messages"
    )]
    Disagreement {
        /// With whom.
        id: HospitalId,
        /// About what.
        what: &'static str,
    },
    /// Nobody can say where the run goes on.
    #[error(
        "{} reached the same point of the run where {needed} are needed: start a new run from a kept model (run.initial_model)",
        counted(*vaults, ["hospital has", "hospitals have"])
    )]
    NoCommonState {
        /// So many are alike.
        vaults: usize,
        /// t.
        needed: usize,
    },
    /// A message before its time.
    #[error("{message} of hospital {id} came before {missing}")]
    TooEarly {
        /// Who sent it.
        id: HospitalId,
        /// Of which type.
        message: &'static str,
        /// What has to come first.
        missing: &'static str,
    },
}

impl SessionError {
    /// Who is at fault, as far as the error shows it.
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::NotOnRoster { id }
            | Self::OtherRoster { id }
            | Self::OtherSession { id }
            | Self::Second { id, .. }
            | Self::TooEarly { id, .. } => Culprit::Hospital(*id),
            // The two hospitals, or somebody between them.
            Self::Disagreement { .. } | Self::Malformed(_) | Self::NoCommonState { .. } => {
                Culprit::Unknown
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::testing::federation;

    fn join(x25519: [u8; 32], kem_key: [u8; KEM_KEY_BYTES]) -> Join {
        Join {
            roster_hash: federation(2).roster.hash(),
            session: [1; 16].into(),
            id: Id(HospitalId::new(1).expect("in range")),
            x25519,
            kem_key,
            nonce: [2; 32],
        }
    }

    #[test]
    fn keys_that_nobody_can_agree_with_are_refused() {
        let federation = federation(2);
        let check = |join: &Join| {
            let signed = Signed::sign(join, &federation.hospital_keys[0]);
            check_join(&signed, &federation.roster, &join.session)
        };
        let base_point = {
            let mut point = [0; 32];
            point[0] = 9;
            point
        };
        assert!(check(&join(base_point, [4; KEM_KEY_BYTES])).is_ok());
        for point in LOW_ORDER_POINTS {
            let mut bytes = [0; 32];
            hex::decode_to_slice(point, &mut bytes).expect("hexadecimal");
            for top_bit in [0, 0x80] {
                bytes[31] = (bytes[31] & 0x7f) | top_bit;
                assert!(check(&join(bytes, [4; KEM_KEY_BYTES])).is_err(), "{point}");
            }
        }
        // Its coefficients are not below the prime.
        let error = check(&join(base_point, [0xff; KEM_KEY_BYTES])).expect_err("no key");
        assert!(error.to_string().contains("hospital 1"), "{error}");
    }

    #[test]
    fn a_session_goes_on_from_what_t_vaults_bring_alike() {
        let roster = federation(4).roster;
        let state = |byte: u8| Some(StateCommit::from_bytes([byte; 32]));
        assert_eq!(common_state([None, None], &roster), Ok(None));
        let three = [state(1), None, state(1), state(2), state(1)];
        assert_eq!(common_state(three, &roster), Ok(state(1)));
        assert_eq!(
            common_state([state(1), state(1), state(2)], &roster),
            Err(SessionError::NoCommonState {
                vaults: 2,
                needed: 3
            })
        );
    }
}
