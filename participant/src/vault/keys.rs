//! The secrets of a session: the pairs' keys from X25519 and ML-KEM-768, and the group key (PROTOCOL.md 3.2).

use std::collections::BTreeMap;

use aws_lc_rs::{
    agreement::{self, UnparsedPublicKey, X25519},
    kem::{self, ML_KEM_768},
};
use crypto::{
    hash::{Digest, SecretKey32, derive_key, labelled_hash},
    sealed_sum::HospitalId,
};
use protocol::{
    codec::{Id, List},
    digests::{EncapsulationDigest, GroupKeyId, JoinDigest, JoinedSet, RoundNumber, SessionId},
    identity::{Message, Signed, SigningKey},
    message::ToCoordinator,
    roster::Roster,
    session::{
        Encapsulation, GroupKey, Join, KEM_CIPHERTEXT_BYTES, Ready, SealedGroupKey,
        SeenEncapsulation, SessionError, check_join, group_key_id, joined_set_hash,
    },
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{aead, ratchet::Ratchet};

/// Round number at which a session's keys start: the first round is 1.
const KEYS_START_AT: RoundNumber = RoundNumber::new(0);

/// A vault's own key pairs of a session, before the others' are known.
pub(super) struct OwnKeys {
    id: HospitalId,
    session: SessionId,
    /// Gone as soon as every pair has its key: kept, they would bring back the keys of all past rounds.
    secrets: Option<OwnSecrets>,
    pub(super) join: Signed<Join>,
}

struct OwnSecrets {
    x25519: agreement::PrivateKey,
    kem: kem::DecapsulationKey,
}

impl OwnKeys {
    pub(super) fn generate(
        id: HospitalId,
        session: SessionId,
        roster: &Roster,
        key: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let x25519 = agreement::PrivateKey::generate(&X25519)
            .expect("the operating system gives randomness");
        let kem = kem::DecapsulationKey::generate(&ML_KEM_768)
            .expect("the operating system gives randomness");
        let mut join = Join {
            roster_hash: roster.hash(),
            session,
            id: Id(id),
            x25519: [0; 32],
            kem_key: [0; protocol::session::KEM_KEY_BYTES],
            nonce: [0; 32],
        };
        join.x25519.copy_from_slice(
            x25519
                .compute_public_key()
                .expect("a fresh key has a public half")
                .as_ref(),
        );
        let encapsulation = kem
            .encapsulation_key()
            .and_then(|key| key.key_bytes().map(|bytes| bytes.as_ref().to_vec()));
        join.kem_key
            .copy_from_slice(&encapsulation.expect("a fresh key has a public half"));
        rng.fill_bytes(&mut join.nonce);
        Self {
            id,
            session,
            secrets: Some(OwnSecrets { x25519, kem }),
            join: Signed::sign(&join, key),
        }
    }
}

/// The keys of a session, as far as they are known.
pub(super) struct SessionKeys {
    own: OwnKeys,
    /// Sorted by number, our own included.
    members: Vec<(HospitalId, Join, JoinDigest)>,
    joined_set: JoinedSet,
    pairs: BTreeMap<HospitalId, Pair>,
    group: Option<Group>,
    readies: BTreeMap<HospitalId, Digest>,
    /// What we have sent of the set-up, for a new connection.
    sent: Vec<ToCoordinator>,
}

struct Pair {
    ratchet: Ratchet,
    /// H of the Encapsulation between the two.
    encapsulation: EncapsulationDigest,
}

struct Group {
    ratchet: Ratchet,
    gid: GroupKeyId,
}

/// What a vault sends once it knows everybody's Join.
pub(super) struct Opening {
    pub(super) encapsulations: Vec<Signed<Encapsulation>>,
    pub(super) group_key: Option<Signed<GroupKey>>,
}

impl SessionKeys {
    /// Takes the Joins of all: encapsulates to every vault with a larger number and, with the smallest, draws the group key.
    pub(super) fn establish(
        own: OwnKeys,
        joins: &[Signed<Join>],
        roster: &Roster,
        key: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Opening), SessionError> {
        let members = check_members(&own, joins, roster)?;
        let mut keys = Self {
            joined_set: joined_set_hash(joins),
            own,
            members,
            pairs: BTreeMap::new(),
            group: None,
            readies: BTreeMap::new(),
            sent: Vec::new(),
        };
        let mut opening = Opening {
            encapsulations: Vec::new(),
            group_key: None,
        };
        let larger: Vec<_> = keys
            .members
            .iter()
            .filter(|(id, ..)| *id > keys.own.id)
            .cloned()
            .collect();
        for (peer, join, join_digest) in larger {
            let message = keys.encapsulate(peer, &join, &join_digest, roster, key)?;
            opening.encapsulations.push(message);
        }
        if keys.members[0].0 == keys.own.id {
            opening.group_key = Some(keys.draw_group_key(key, rng));
        }
        keys.sent.extend(
            opening
                .encapsulations
                .iter()
                .cloned()
                .map(ToCoordinator::Encapsulation),
        );
        keys.sent.extend(
            opening
                .group_key
                .iter()
                .cloned()
                .map(ToCoordinator::GroupKey),
        );
        Ok((keys, opening))
    }

    /// Takes an Encapsulation from a vault with a smaller number.
    pub(super) fn take_encapsulation(
        &mut self,
        message: &Signed<Encapsulation>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let from = message
            .read_unverified()
            .map_err(|error| SessionError::Malformed(error.to_string()))?
            .from
            .0;
        let body = self.verify(message, from, roster)?;
        let (_, join, join_digest) = self.member(from)?.clone();
        let expected = (
            self.own.session,
            Id(self.own.id),
            join_digest,
            self.own.join.digest(),
            roster.hash(),
        );
        if (
            body.session,
            body.to,
            body.from_join,
            body.to_join,
            body.roster_hash,
        ) != expected
            || from >= self.own.id
        {
            return Err(SessionError::Disagreement {
                id: from,
                what: "Join or roster",
            });
        }
        let digest = message.digest();
        if let Some(pair) = self.pairs.get(&from) {
            let same = pair.encapsulation == digest;
            return if same {
                Ok(())
            } else {
                Err(SessionError::Second {
                    id: from,
                    message: Encapsulation::TYPE,
                })
            };
        }
        let secrets = self.own.secrets.as_ref().ok_or(SessionError::Second {
            id: from,
            message: Encapsulation::TYPE,
        })?;
        let shared = secrets
            .kem
            .decapsulate(body.ciphertext.as_slice().into())
            .map_err(|_| {
                SessionError::Malformed(format!(
                    "the encapsulation of hospital {from} does not decapsulate"
                ))
            })?;
        self.keep_pair(
            from,
            &join,
            shared.as_ref(),
            &body.ciphertext,
            digest,
            roster,
        )
    }

    /// Takes the group key of the vault with the smallest number.
    pub(super) fn take_group_key(
        &mut self,
        message: &Signed<GroupKey>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let origin = self.members[0].0;
        let body = self.verify(message, origin, roster)?;
        if (body.session, body.origin, body.generation, body.first_round)
            != (
                self.own.session,
                Id(origin),
                GENERATION,
                KEYS_START_AT.next(),
            )
        {
            return Err(SessionError::Disagreement {
                id: origin,
                what: "session or generation",
            });
        }
        if let Some(group) = &self.group {
            let same = group.gid == body.gid;
            return if same {
                Ok(())
            } else {
                Err(SessionError::Second {
                    id: origin,
                    message: GroupKey::TYPE,
                })
            };
        }
        let pair = self.pairs.get(&origin).ok_or(SessionError::TooEarly {
            id: origin,
            message: GroupKey::TYPE,
            missing: "its encapsulation",
        })?;
        let sealed = body
            .sealed
            .iter()
            .find(|entry| entry.to.0 == self.own.id)
            .map(|entry| entry.sealed);
        let sealed = sealed
            .ok_or_else(|| SessionError::Malformed("the group key is not sealed for us".into()))?;
        let plain = aead::open(
            &group_sealing_key(&pair.ratchet, origin, self.own.id),
            &sealed,
        )
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
        self.keep_group(&bytes);
        Ok(())
    }

    /// Our word on what we have seen, once all keys are here.
    pub(super) fn ready(&self, key: &SigningKey) -> Option<Signed<Ready>> {
        let group = self.group.as_ref()?;
        if self.pairs.len() + 1 < self.members.len() {
            return None;
        }
        let seen = self.pairs.iter().map(|(&peer, pair)| SeenEncapsulation {
            peer: Id(peer),
            digest: pair.encapsulation,
        });
        let ready = Ready {
            session: self.own.session,
            id: Id(self.own.id),
            joined_set: self.joined_set,
            gid: group.gid,
            encapsulations: List(seen.collect()),
        };
        Some(Signed::sign(&ready, key))
    }

    /// Takes another vault's word; it must agree with ours in everything that concerns the two.
    pub(super) fn take_ready(
        &mut self,
        message: &Signed<Ready>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let id = message
            .read_unverified()
            .map_err(|error| SessionError::Malformed(error.to_string()))?
            .id
            .0;
        let body = self.verify(message, id, roster)?;
        if id == self.own.id {
            return Ok(());
        }
        let group = self.group.as_ref().ok_or(SessionError::TooEarly {
            id,
            message: Ready::TYPE,
            missing: "the group key",
        })?;
        let pair = self.pairs.get(&id).ok_or(SessionError::TooEarly {
            id,
            message: Ready::TYPE,
            missing: "its encapsulation",
        })?;
        let ours = body
            .encapsulations
            .iter()
            .find(|entry| entry.peer.0 == self.own.id);
        if body.session != self.own.session || body.joined_set != self.joined_set {
            return Err(SessionError::Disagreement {
                id,
                what: "session or set of members",
            });
        }
        if body.gid != group.gid {
            return Err(SessionError::Disagreement {
                id,
                what: "group key",
            });
        }
        if ours.is_none_or(|entry| entry.digest != pair.encapsulation) {
            return Err(SessionError::Disagreement {
                id,
                what: "encapsulation",
            });
        }
        self.readies.insert(id, message.digest());
        Ok(())
    }

    /// Whether every other vault has confirmed.
    pub(super) fn is_complete(&self) -> bool {
        self.group.is_some() && self.readies.len() + 1 == self.members.len()
    }

    pub(super) fn session(&self) -> SessionId {
        self.own.session
    }

    pub(super) fn own_join(&self) -> &Signed<Join> {
        &self.own.join
    }

    /// Our messages of the set-up, as the identical bytes, for a coordinator that may not have got them.
    pub(super) fn sent(&self, key: &SigningKey) -> Vec<ToCoordinator> {
        let mut sent = self.sent.clone();
        sent.extend(self.ready(key).map(ToCoordinator::Ready));
        sent
    }

    /// The share holders, sorted.
    pub(super) fn joined(&self) -> Vec<HospitalId> {
        self.members.iter().map(|(id, ..)| *id).collect()
    }

    pub(super) fn joined_set(&self) -> JoinedSet {
        self.joined_set
    }

    /// The group key's id; zero before it is known.
    pub(super) fn gid(&self) -> GroupKeyId {
        self.group
            .as_ref()
            .map_or(GroupKeyId::from_bytes([0; 32]), |group| group.gid)
    }

    /// Steps every key to `round`; what came before is gone.
    pub(super) fn advance_to(&mut self, round: RoundNumber) {
        for pair in self.pairs.values_mut() {
            pair.ratchet.advance_to(round);
        }
        if let Some(group) = &mut self.group {
            group.ratchet.advance_to(round);
        }
    }

    /// K_ij of the round at hand.
    pub(super) fn pair_key(&self, peer: HospitalId) -> Option<&SecretKey32> {
        self.pairs.get(&peer).map(|pair| pair.ratchet.key())
    }

    /// G of the round at hand, with its number.
    pub(super) fn group_key(&self) -> Option<(&SecretKey32, RoundNumber)> {
        self.group
            .as_ref()
            .map(|group| (group.ratchet.key(), group.ratchet.round()))
    }

    fn encapsulate(
        &mut self,
        peer: HospitalId,
        join: &Join,
        join_digest: &JoinDigest,
        roster: &Roster,
        key: &SigningKey,
    ) -> Result<Signed<Encapsulation>, SessionError> {
        let unusable =
            || SessionError::Malformed(format!("the ML-KEM key of hospital {peer} is not usable"));
        let public =
            kem::EncapsulationKey::new(&ML_KEM_768, &join.kem_key).map_err(|_| unusable())?;
        let (ciphertext, shared) = public.encapsulate().map_err(|_| unusable())?;
        let ciphertext: [u8; KEM_CIPHERTEXT_BYTES] =
            ciphertext.as_ref().try_into().map_err(|_| unusable())?;
        let body = Encapsulation {
            session: self.own.session,
            from: Id(self.own.id),
            to: Id(peer),
            from_join: self.own.join.digest(),
            to_join: *join_digest,
            roster_hash: roster.hash(),
            ciphertext,
        };
        let message = Signed::sign(&body, key);
        self.keep_pair(
            peer,
            join,
            shared.as_ref(),
            &ciphertext,
            message.digest(),
            roster,
        )?;
        Ok(message)
    }

    /// `K_ij = HKDF(x25519 || mlkem, 'pair' || min || max || H(Join_min) || H(Join_max) || H(ciphertext) || roster_hash)`.
    fn keep_pair(
        &mut self,
        peer: HospitalId,
        join: &Join,
        kem_secret: &[u8],
        ciphertext: &[u8],
        encapsulation: EncapsulationDigest,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let unusable =
            || SessionError::Malformed(format!("the X25519 key of hospital {peer} is not usable"));
        let mut secret = Zeroizing::new(Vec::with_capacity(64));
        let own = self.own.secrets.as_ref().ok_or_else(unusable)?;
        // The library refuses an all-zero result.
        agreement::agree(
            &own.x25519,
            UnparsedPublicKey::new(&X25519, join.x25519),
            (),
            |shared| {
                secret.extend_from_slice(shared);
                Ok(())
            },
        )
        .map_err(|()| unusable())?;
        secret.extend_from_slice(kem_secret);
        let (least, most) = (self.own.id.min(peer), self.own.id.max(peer));
        let digest = |id| self.member(id).map(|(_, _, digest)| *digest);
        let key = derive_key(
            &secret,
            "pair",
            &[
                &[least.get()],
                &[most.get()],
                digest(least)?.as_bytes(),
                digest(most)?.as_bytes(),
                &labelled_hash("kem-ciphertext", &[ciphertext]),
                roster.hash().as_bytes(),
            ],
        );
        self.pairs.insert(
            peer,
            Pair {
                ratchet: Ratchet::new(key, KEYS_START_AT),
                encapsulation,
            },
        );
        if self.pairs.len() + 1 == self.members.len() {
            self.own.secrets = None;
        }
        Ok(())
    }

    fn draw_group_key(&mut self, key: &SigningKey, rng: &mut impl CryptoRng) -> Signed<GroupKey> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        let sealed = self.pairs.iter().map(|(&peer, pair)| {
            let sealed = aead::seal_once(
                group_sealing_key(&pair.ratchet, self.own.id, peer),
                Zeroizing::new(bytes.to_vec()),
            );
            SealedGroupKey {
                to: Id(peer),
                sealed: sealed.try_into().expect("32 bytes and a tag of 16"),
            }
        });
        let body = GroupKey {
            session: self.own.session,
            origin: Id(self.own.id),
            generation: GENERATION,
            first_round: KEYS_START_AT.next(),
            gid: group_key_id(&bytes),
            sealed: sealed.collect(),
        };
        self.keep_group(&bytes);
        Signed::sign(&body, key)
    }

    fn keep_group(&mut self, bytes: &[u8; 32]) {
        let ratchet = Ratchet::new(SecretKey32::from_bytes(*bytes), KEYS_START_AT);
        self.group = Some(Group {
            ratchet,
            gid: group_key_id(bytes),
        });
    }

    fn member(&self, id: HospitalId) -> Result<&(HospitalId, Join, JoinDigest), SessionError> {
        self.members
            .iter()
            .find(|(member, ..)| *member == id)
            .ok_or(SessionError::NotOnRoster { id })
    }

    fn verify<T: Message>(
        &self,
        message: &Signed<T>,
        from: HospitalId,
        roster: &Roster,
    ) -> Result<T, SessionError> {
        self.member(from)?;
        let member = roster
            .member(from)
            .ok_or(SessionError::NotOnRoster { id: from })?;
        message
            .verify(&member.signing_key, format_args!("hospital {from}"))
            .map_err(|error| SessionError::Malformed(error.to_string()))
    }
}

fn check_members(
    own: &OwnKeys,
    joins: &[Signed<Join>],
    roster: &Roster,
) -> Result<Vec<(HospitalId, Join, JoinDigest)>, SessionError> {
    let members = joins
        .iter()
        .map(|join| {
            check_join(join, roster, &own.session).map(|body| (body.id.0, body, join.digest()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if members.windows(2).any(|pair| pair[0].0 >= pair[1].0) || members.len() < roster.threshold() {
        return Err(SessionError::Malformed(
            "the list of members is unsorted or shorter than the threshold".into(),
        ));
    }
    if !members
        .iter()
        .any(|(id, _, digest)| *id == own.id && *digest == own.join.digest())
    {
        return Err(SessionError::Disagreement {
            id: own.id,
            what: "Join of ours",
        });
    }
    Ok(members)
}

/// The key that seals G for one vault: used once.
fn group_sealing_key(pair: &Ratchet, origin: HospitalId, to: HospitalId) -> SecretKey32 {
    derive_key(
        pair.key().as_bytes(),
        "group",
        &[&[origin.get()], &[to.get()], &GENERATION.to_le_bytes()],
    )
}

/// Members do not change within a session yet, so there is one generation of the group key.
const GENERATION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::roster::testing::{TestFederation, federation};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    const SESSION: SessionId = SessionId::from_bytes([9; 16]);

    fn own_keys(federation: &TestFederation) -> Vec<OwnKeys> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let ids = (1..).map(|number| HospitalId::new(number).expect("in range"));
        ids.zip(&federation.hospital_keys)
            .map(|(id, key)| OwnKeys::generate(id, SESSION, &federation.roster, key, &mut rng))
            .collect()
    }

    /// Runs the set-up of three vaults; `alter` may change what the first sends.
    fn set_up(alter: impl Fn(&mut Opening)) -> Result<Vec<SessionKeys>, SessionError> {
        let federation = federation(3);
        let own = own_keys(&federation);
        let joins: Vec<_> = own.iter().map(|keys| keys.join.clone()).collect();
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let mut vaults = Vec::new();
        let mut openings = Vec::new();
        for (own, key) in own.into_iter().zip(&federation.hospital_keys) {
            let (keys, opening) =
                SessionKeys::establish(own, &joins, &federation.roster, key, &mut rng)?;
            vaults.push(keys);
            openings.push(opening);
        }
        alter(&mut openings[0]);
        for opening in &openings {
            for message in &opening.encapsulations {
                let to = message.read_unverified().expect("ours").to.0;
                vaults[usize::from(to.get()) - 1]
                    .take_encapsulation(message, &federation.roster)?;
            }
        }
        let group_key = openings[0]
            .group_key
            .as_ref()
            .expect("the smallest number draws it");
        for vault in &mut vaults[1..] {
            vault.take_group_key(group_key, &federation.roster)?;
        }
        let readies: Vec<_> = vaults
            .iter()
            .zip(&federation.hospital_keys)
            .map(|(vault, key)| vault.ready(key).expect("all keys"))
            .collect();
        for vault in &mut vaults {
            for ready in &readies {
                vault.take_ready(ready, &federation.roster)?;
            }
        }
        Ok(vaults)
    }

    #[test]
    fn all_pairs_and_the_group_agree() {
        let mut vaults = set_up(|_| {}).expect("a good set-up");
        for vault in &mut vaults {
            assert!(vault.is_complete());
            vault.advance_to(RoundNumber::new(4));
        }
        for left in &vaults {
            for right in &vaults {
                assert_eq!(
                    left.group_key().expect("known").0.as_bytes(),
                    right.group_key().expect("known").0.as_bytes()
                );
                let (ours, theirs) = (left.pair_key(right.own.id), right.pair_key(left.own.id));
                assert_eq!(
                    ours.map(SecretKey32::as_bytes),
                    theirs.map(SecretKey32::as_bytes)
                );
            }
        }
        assert_ne!(
            vaults[0]
                .pair_key(vaults[1].own.id)
                .map(SecretKey32::as_bytes),
            vaults[0]
                .pair_key(vaults[2].own.id)
                .map(SecretKey32::as_bytes)
        );
    }

    #[test]
    fn an_encapsulation_signed_by_another_is_refused() {
        let refused = set_up(|opening| {
            let body = opening.encapsulations[0].read_unverified().expect("ours");
            opening.encapsulations[0] =
                Signed::sign(&body, &SigningKey::from_secret_bytes(&[77; 32]));
        });
        assert!(matches!(refused, Err(SessionError::Malformed(_))));
    }

    #[test]
    fn a_group_key_that_is_not_the_announced_one_is_refused() {
        let federation = federation(3);
        let refused = set_up(|opening| {
            let mut body = opening
                .group_key
                .as_ref()
                .expect("drawn")
                .read_unverified()
                .expect("ours");
            body.gid = [9; 32].into();
            opening.group_key = Some(Signed::sign(&body, &federation.hospital_keys[0]));
        });
        assert_eq!(
            refused.err(),
            Some(SessionError::Disagreement {
                id: HospitalId::new(1).expect("in range"),
                what: "group key"
            })
        );
    }

    #[test]
    fn a_join_of_another_roster_or_a_missing_own_one_is_refused() {
        let three = federation(3);
        let four = federation(4);
        let mut own = own_keys(&three);
        let mut joins: Vec<_> = own.iter().map(|keys| keys.join.clone()).collect();
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        joins[2] = own_keys(&four)[2].join.clone();
        let key = &three.hospital_keys[0];
        // What is refused takes our secrets with it; the same keys are joined once more.
        let again = OwnKeys {
            secrets: None,
            id: own[0].id,
            session: own[0].session,
            join: own[0].join.clone(),
        };
        let first = own.remove(0);
        let error = SessionKeys::establish(first, &joins, &three.roster, key, &mut rng)
            .err()
            .expect("refused");
        assert_eq!(
            error,
            SessionError::OtherRoster {
                id: HospitalId::new(3).expect("in range")
            }
        );
        let error = SessionKeys::establish(again, &joins[1..2], &three.roster, key, &mut rng)
            .err()
            .expect("refused");
        assert!(matches!(error, SessionError::Malformed(_)));
    }
}
