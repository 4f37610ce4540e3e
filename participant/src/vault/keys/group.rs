//! The group key G: known to all vaults, never to the coordinator (PROTOCOL.md 3.2, "Group key").

use std::collections::BTreeMap;

use crypto::{
    hash::{SecretKey32, derive_key},
    sealed_sum::HospitalId,
};
use protocol::{
    codec::Id,
    digests::GroupKeyId,
    identity::{Message, Signed, SigningKey},
    session::{GroupKey, SealedGroupKey, SessionError, group_key_id},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    own::OwnJoin,
    pairs::Pair,
    ratchet::{KEYS_START_AT, Ratchet},
};
use crate::vault::aead;

/// Members do not change within a session yet, so there is one generation of the group key.
const GENERATION: u32 = 1;

/// G, as it is in the round at hand.
pub(super) struct Group {
    pub(super) ratchet: Ratchet,
    /// H('gid' || G).
    pub(super) gid: GroupKeyId,
}

/// Whether G is known yet.
pub(super) enum GroupState {
    /// The vault with the smallest number has yet to send it.
    Awaited,
    Known(Group),
}

impl Group {
    fn new(bytes: &[u8; 32]) -> Self {
        Self {
            ratchet: Ratchet::new(SecretKey32::from_bytes(*bytes), KEYS_START_AT),
            gid: group_key_id(bytes),
        }
    }

    /// "32 random bytes drawn by the joined hospital o with the smallest id", sealed for every other vault.
    pub(super) fn draw(
        own: &OwnJoin,
        pairs: &BTreeMap<HospitalId, Pair>,
        key: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> (Self, Signed<GroupKey>) {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        let sealed = pairs.iter().map(|(&peer, pair)| {
            let sealed = aead::seal_once(
                sealing_key(&pair.ratchet, own.id, peer),
                Zeroizing::new(bytes.to_vec()),
            );
            SealedGroupKey {
                to: Id(peer),
                sealed: sealed.try_into().expect("32 bytes and a tag of 16"),
            }
        });
        let body = GroupKey {
            session: own.session,
            origin: Id(own.id),
            generation: GENERATION,
            first_round: KEYS_START_AT.next(),
            gid: group_key_id(&bytes),
            sealed: sealed.collect(),
        };
        (Self::new(&bytes), Signed::sign(&body, key))
    }

    /// "A vault ... checks gid against G."
    pub(super) fn open(
        body: &GroupKey,
        own: &OwnJoin,
        origin: HospitalId,
        pairs: &BTreeMap<HospitalId, Pair>,
    ) -> Result<Self, SessionError> {
        let pair = pairs.get(&origin).ok_or(SessionError::TooEarly {
            id: origin,
            message: GroupKey::TYPE,
            missing: "its encapsulation",
        })?;
        let sealed = body
            .sealed
            .iter()
            .find(|entry| entry.to.0 == own.id)
            .map(|entry| entry.sealed)
            .ok_or_else(|| SessionError::Malformed("the group key is not sealed for us".into()))?;
        let plain = aead::open(&sealing_key(&pair.ratchet, origin, own.id), &sealed)
            .map_err(|_| SessionError::Malformed("the group key does not open".into()))?;
        let bytes = Zeroizing::new(
            <[u8; 32]>::try_from(plain.as_slice())
                .map_err(|_| SessionError::Malformed("the group key has another length".into()))?,
        );
        if group_key_id(&bytes) != body.gid {
            return Err(SessionError::Disagreement {
                id: origin,
                what: "group key",
            });
        }
        Ok(Self::new(&bytes))
    }
}

/// Session, origin, generation and first round of a group key are those of this session.
pub(super) fn check_frame(
    body: &GroupKey,
    own: &OwnJoin,
    origin: HospitalId,
) -> Result<(), SessionError> {
    let expected = (own.session, Id(origin), GENERATION, KEYS_START_AT.next());
    if (body.session, body.origin, body.generation, body.first_round) != expected {
        return Err(SessionError::Disagreement {
            id: origin,
            what: "session or generation",
        });
    }
    Ok(())
}

/// `HKDF(K_oj[r0-1], 'group' || o || j || gen)`: seals G for one vault, once.
fn sealing_key(pair: &Ratchet, origin: HospitalId, to: HospitalId) -> SecretKey32 {
    derive_key(
        pair.key().as_bytes(),
        "group",
        &[&[origin.get()], &[to.get()], &GENERATION.to_le_bytes()],
    )
}
