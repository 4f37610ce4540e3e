//! The roster as a file, its canonical form and its hash.

use std::collections::{BTreeMap, BTreeSet};

use crypto::{
    hash::Digest,
    sealed_sum::{HospitalId, MAX_HOSPITALS},
};
use serde::{Deserialize, Serialize};

use super::{Member, Roster, RosterError, SUITE};
use crate::{
    codec::{self, Decode, Encode, Id, List, Text},
    digests::RosterHash,
    identity::{Message, PublicKey, SigningKey},
};

/// The roster as a file: keys in hexadecimal, signatures below, and all earlier epochs, so that it can be checked by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterFile {
    /// See [`SUITE`].
    pub suite: u16,
    /// 1 at genesis, one more with every change.
    pub epoch: u32,
    /// The members in any order.
    pub hospitals: Vec<MemberEntry>,
    /// The coordinator's keys.
    pub coordinator: PeerKeys,
    /// The key that signs run manifests.
    #[serde(with = "hex::serde")]
    pub operator_key: [u8; 32],
    /// Signatures over the hash: of every member at genesis; later of enough members of the epoch before, and of every new one.
    #[serde(default)]
    pub signatures: Vec<RosterSignature>,
    /// The rosters before this one, the first one first; each without a history of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<RosterFile>,
}

/// A member's lines in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberEntry {
    /// 1..=127.
    pub id: u8,
    /// For people to read.
    pub name: String,
    /// Ed25519 public key.
    #[serde(with = "hex::serde")]
    pub signing_key: [u8; 32],
    /// SHA-256 of the TLS public key info.
    #[serde(with = "hex::serde")]
    pub tls_fingerprint: [u8; 32],
}

/// The coordinator's keys in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerKeys {
    /// Ed25519 public key.
    #[serde(with = "hex::serde")]
    pub signing_key: [u8; 32],
    /// SHA-256 of the TLS public key info.
    #[serde(with = "hex::serde")]
    pub tls_fingerprint: [u8; 32],
}

/// A signature in the file: of a member of this roster, or of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterSignature {
    /// Who signed.
    pub id: u8,
    /// Ed25519 over the canonical form.
    #[serde(with = "hex::serde")]
    pub signature: [u8; 64],
}

impl RosterFile {
    /// Parses the JSON without checking what it says.
    ///
    /// # Errors
    /// [`RosterError::Syntax`].
    pub fn from_json(text: &str) -> Result<Self, RosterError> {
        serde_json::from_str(text).map_err(|error| RosterError::Syntax(error.to_string()))
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a roster has no map with keys that are not text")
    }

    /// H of this roster, which its members sign; of a later epoch, with that of the one before.
    ///
    /// # Errors
    /// [`RosterError`] when a number in the file is out of range, or an earlier epoch is not valid.
    pub fn hash(&self) -> Result<RosterHash, RosterError> {
        let previous = self.previous()?;
        Ok(self.canonical()?.hash(previous.as_ref().map(Roster::hash)))
    }

    /// Adds `id`'s signature.
    ///
    /// # Errors
    /// As [`hash`](Self::hash).
    pub fn sign(&mut self, id: HospitalId, key: &SigningKey) -> Result<(), RosterError> {
        let hash = self.hash()?;
        self.signatures.push(RosterSignature {
            id: id.get(),
            signature: key.sign_digest(hash.as_bytes()),
        });
        Ok(())
    }

    /// Checks everything: this roster and, of a later epoch, all those before it.
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn check(&self) -> Result<Roster, RosterError> {
        let previous = self.previous()?;
        let roster = self.unsigned(previous.as_ref())?;
        self.check_signatures(&roster, previous.as_ref())?;
        Ok(roster)
    }

    /// Checks everything but the signatures: what members look at before they sign.
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn check_draft(&self) -> Result<Roster, RosterError> {
        self.unsigned(self.previous()?.as_ref())
    }

    /// Whether `id`, a member of this or of the previous roster, has signed `hash` under this key.
    pub(super) fn is_signed_by(&self, hash: &RosterHash, id: HospitalId, key: &PublicKey) -> bool {
        self.signatures
            .iter()
            .any(|entry| entry.id == id.get() && key.verifies(hash.as_bytes(), &entry.signature))
    }

    /// This roster by itself, and that it may follow `previous`.
    pub(super) fn unsigned(&self, previous: Option<&Roster>) -> Result<Roster, RosterError> {
        if self.suite != SUITE {
            return Err(RosterError::Suite { found: self.suite });
        }
        if !(2..=MAX_HOSPITALS).contains(&self.hospitals.len()) {
            return Err(RosterError::Size {
                found: self.hospitals.len(),
            });
        }
        let canonical = self.canonical()?;
        let mut members = BTreeMap::new();
        let (mut keys, mut names) = (BTreeSet::new(), BTreeSet::new());
        for entry in &canonical.members.0 {
            let member = Member {
                id: entry.id.0,
                name: entry.name.0.clone(),
                signing_key: entry.signing_key,
                tls_fingerprint: entry.tls_fingerprint,
            };
            if !member.signing_key.is_sound() {
                return Err(RosterError::UnsoundKey {
                    owner: format!("hospital {}", member.id),
                });
            }
            if !keys.insert(member.signing_key.0) || !keys.insert(member.tls_fingerprint) {
                return Err(RosterError::SharedKey { id: member.id });
            }
            if !names.insert(member.name.clone()) {
                return Err(RosterError::SharedName { name: member.name });
            }
            if let Some(other) = members.insert(member.id, member) {
                return Err(RosterError::DuplicateId { id: other.id });
            }
        }
        let (coordinator_key, operator_key) = (canonical.coordinator_key, canonical.operator_key);
        for (owner, key) in [
            ("the coordinator", &coordinator_key),
            ("the operator", &operator_key),
        ] {
            if !key.is_sound() {
                return Err(RosterError::UnsoundKey {
                    owner: owner.into(),
                });
            }
        }
        Ok(Roster {
            epoch: self.epoch,
            members,
            coordinator_key,
            coordinator_tls_fingerprint: self.coordinator.tls_fingerprint,
            operator_key,
            hash: canonical.hash(previous.map(Roster::hash)),
            earlier: previous.map_or_else(Vec::new, |previous| {
                let mut earlier = previous.earlier.clone();
                earlier.push(previous.hash);
                earlier
            }),
        })
    }

    fn canonical(&self) -> Result<CanonicalRoster, RosterError> {
        let members = self
            .hospitals
            .iter()
            .map(|entry| {
                Ok(CanonicalMember {
                    id: HospitalId::new(entry.id)
                        .map(Id)
                        .ok_or(RosterError::IdOutOfRange { id: entry.id })?,
                    name: Text(entry.name.clone()),
                    signing_key: PublicKey(entry.signing_key),
                    tls_fingerprint: entry.tls_fingerprint,
                })
            })
            .collect::<Result<_, _>>()?;
        let mut canonical = CanonicalRoster {
            suite: self.suite,
            epoch: self.epoch,
            members: List(members),
            coordinator_key: PublicKey(self.coordinator.signing_key),
            coordinator_tls_fingerprint: self.coordinator.tls_fingerprint,
            operator_key: PublicKey(self.operator_key),
        };
        canonical.members.0.sort_by_key(|member| member.id);
        Ok(canonical)
    }
}

/// More is not read, from a file or from a coordinator: 40 epochs of 127 hospitals take 1.5 MB.
pub const MAX_ROSTER_BYTES: u64 = 4 << 20;

#[derive(Encode, Decode)]
struct CanonicalRoster {
    suite: u16,
    epoch: u32,
    members: List<CanonicalMember>,
    coordinator_key: PublicKey,
    coordinator_tls_fingerprint: Digest,
    operator_key: PublicKey,
}

impl Message for CanonicalRoster {
    const TYPE: &'static str = "roster";
    type Digest = RosterHash;
}

impl CanonicalRoster {
    /// Of a later epoch with the hash of the one before, so that a signature holds for what it follows, too.
    fn hash(&self, previous: Option<RosterHash>) -> RosterHash {
        let encoded = codec::encode(self);
        let mut parts = vec![encoded.as_slice()];
        parts.extend(previous.as_ref().map(|hash| hash.as_bytes().as_slice()));
        crypto::hash::labelled_hash(Self::TYPE, &parts).into()
    }
}

#[derive(Encode, Decode)]
struct CanonicalMember {
    id: Id,
    name: Text,
    signing_key: PublicKey,
    tls_fingerprint: Digest,
}
