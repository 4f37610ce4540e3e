//! The roster (PROTOCOL.md 3.2): who is in the federation, under which keys. The only root of trust; compared out of band once.

use std::collections::{BTreeMap, BTreeSet};

use crypto::{
    hash::Digest,
    sealed_sum::{HospitalId, MAX_HOSPITALS, min_contributors, threshold},
};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, Decode, Encode, Id, List, Text},
    digests::RosterHash,
    identity::{Message, PublicKey, SigningKey},
};

/// The protocol's suite S1; its number is in every header.
pub const SUITE: u16 = 1;

/// One hospital of the federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number, which is also its share point.
    pub id: HospitalId,
    /// For people to read.
    pub name: String,
    /// Signs its messages.
    pub signing_key: PublicKey,
    /// SHA-256 of the public key info of its TLS certificate.
    pub tls_fingerprint: Digest,
}

/// A checked roster: numbers distinct and in range, keys sound, signed by every member.
#[derive(Clone, Debug)]
pub struct Roster {
    epoch: u32,
    members: BTreeMap<HospitalId, Member>,
    coordinator_key: PublicKey,
    coordinator_tls_fingerprint: Digest,
    operator_key: PublicKey,
    hash: RosterHash,
}

impl Roster {
    /// Reads and checks the roster file (JSON).
    ///
    /// # Errors
    /// [`RosterError`] names the first thing that is wrong and who it concerns.
    pub fn from_json(text: &str) -> Result<Self, RosterError> {
        RosterFile::from_json(text)?.check()
    }

    /// H over the roster's canonical form: bound into every key of a session.
    pub fn hash(&self) -> RosterHash {
        self.hash
    }

    /// Rises with every change of the roster.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The members by number.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// One member.
    pub fn member(&self, id: HospitalId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// n of the roster.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// t, the answers that open a sum.
    pub fn threshold(&self) -> usize {
        threshold(self.size())
    }

    /// `m_min`, the least number of contributors of a sum.
    pub fn min_contributors(&self) -> usize {
        min_contributors(self.size())
    }

    /// Signs what the coordinator sends.
    pub fn coordinator_key(&self) -> &PublicKey {
        &self.coordinator_key
    }

    /// SHA-256 of the public key info of the coordinator's TLS certificate.
    pub fn coordinator_tls_fingerprint(&self) -> Digest {
        self.coordinator_tls_fingerprint
    }

    /// Signs run manifests.
    pub fn operator_key(&self) -> &PublicKey {
        &self.operator_key
    }

    /// Whose TLS public key this is, if a member's.
    pub fn member_by_fingerprint(&self, fingerprint: &Digest) -> Option<&Member> {
        self.members
            .values()
            .find(|member| member.tls_fingerprint == *fingerprint)
    }
}

/// The roster as a file: keys in hexadecimal, signatures of all members below.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterFile {
    /// See [`SUITE`].
    pub suite: u16,
    /// 1 at genesis.
    pub epoch: u32,
    /// The members in any order.
    pub hospitals: Vec<MemberEntry>,
    /// The coordinator's keys.
    pub coordinator: PeerKeys,
    /// The key that signs run manifests.
    #[serde(with = "hex::serde")]
    pub operator_key: [u8; 32],
    /// One signature of each member over the canonical form.
    #[serde(default)]
    pub signatures: Vec<RosterSignature>,
}

/// A member's lines in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerKeys {
    /// Ed25519 public key.
    #[serde(with = "hex::serde")]
    pub signing_key: [u8; 32],
    /// SHA-256 of the TLS public key info.
    #[serde(with = "hex::serde")]
    pub tls_fingerprint: [u8; 32],
}

/// A member's signature in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

    /// Adds `id`'s signature.
    ///
    /// # Errors
    /// [`RosterError`] when a number in the file is out of range.
    pub fn sign(&mut self, id: HospitalId, key: &SigningKey) -> Result<(), RosterError> {
        let hash = self.canonical()?.hash();
        self.signatures.push(RosterSignature {
            id: id.get(),
            signature: key.sign_digest(hash.as_bytes()),
        });
        Ok(())
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn check(&self) -> Result<Roster, RosterError> {
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
        let mut keys = BTreeSet::new();
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
        let hash = canonical.hash();
        for member in members.values() {
            let signed = self.signatures.iter().any(|entry| {
                entry.id == member.id.get()
                    && member
                        .signing_key
                        .verifies(hash.as_bytes(), &entry.signature)
            });
            if !signed {
                return Err(RosterError::Unsigned { id: member.id });
            }
        }
        Ok(Roster {
            epoch: self.epoch,
            members,
            coordinator_key,
            coordinator_tls_fingerprint: self.coordinator.tls_fingerprint,
            operator_key,
            hash,
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

/// A roster that cannot be trusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RosterError {
    /// Not the JSON of a roster.
    #[error("the roster does not parse: {0}")]
    Syntax(String),
    /// A suite this release does not speak.
    #[error("the roster is for suite {found}, this release speaks suite {SUITE}")]
    Suite {
        /// The number in the file.
        found: u16,
    },
    /// Too few or too many hospitals.
    #[error("the roster lists {found} hospitals; a federation has 2 to {MAX_HOSPITALS}")]
    Size {
        /// How many the file lists.
        found: usize,
    },
    /// A number that cannot be a share point.
    #[error(
        "hospital number {id} is out of range: give each hospital a number from 1 to {MAX_HOSPITALS}"
    )]
    IdOutOfRange {
        /// The number in the file.
        id: u8,
    },
    /// Two hospitals with one number.
    #[error(
        "two hospitals have the number {id}: give each hospital a number of its own and have all sign the roster again"
    )]
    DuplicateId {
        /// The number.
        id: HospitalId,
    },
    /// Two hospitals with one key.
    #[error("hospital {id} shares a key with another member: each hospital makes its own keys")]
    SharedKey {
        /// The second holder.
        id: HospitalId,
    },
    /// A key under which anything verifies.
    #[error("the signing key of {owner} is not a sound Ed25519 key")]
    UnsoundKey {
        /// Whose key.
        owner: String,
    },
    /// A member has not signed this very roster.
    #[error("hospital {id} has not signed this roster: every member signs after the last change")]
    Unsigned {
        /// Whose signature is missing or does not fit.
        id: HospitalId,
    },
}

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
    fn hash(&self) -> RosterHash {
        crypto::hash::labelled_hash(Self::TYPE, &[&codec::encode(self)]).into()
    }
}

#[derive(Encode, Decode)]
struct CanonicalMember {
    id: Id,
    name: Text,
    signing_key: PublicKey,
    tls_fingerprint: Digest,
}

/// A roster of test hospitals, with all the keys.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::*;

    /// The keys of a federation of `size` hospitals, the same at every call.
    pub struct TestFederation {
        /// The checked roster.
        pub roster: Roster,
        /// Hospital 1's key first.
        pub hospital_keys: Vec<SigningKey>,
        /// The coordinator's key.
        pub coordinator_key: SigningKey,
        /// The operator's key.
        pub operator_key: SigningKey,
    }

    /// Makes a federation whose keys are the bytes of their numbers: for tests only.
    pub fn federation(size: u8) -> TestFederation {
        let hospital_keys: Vec<_> = (1..=size)
            .map(|id| SigningKey::from_secret_bytes(&[id; 32]))
            .collect();
        let coordinator_key = SigningKey::from_secret_bytes(&[201; 32]);
        let operator_key = SigningKey::from_secret_bytes(&[202; 32]);
        let mut file = RosterFile {
            suite: SUITE,
            epoch: 1,
            hospitals: (1..=size)
                .map(|id| MemberEntry {
                    id,
                    name: format!("hospital {id}"),
                    signing_key: hospital_keys[usize::from(id) - 1].public().0,
                    tls_fingerprint: [id; 32],
                })
                .collect(),
            coordinator: PeerKeys {
                signing_key: coordinator_key.public().0,
                tls_fingerprint: [201; 32],
            },
            operator_key: operator_key.public().0,
            signatures: Vec::new(),
        };
        for (id, key) in (1..=size).zip(&hospital_keys) {
            file.sign(HospitalId::new(id).expect("in range"), key)
                .expect("ids are in range");
        }
        TestFederation {
            roster: file.check().expect("sound"),
            hospital_keys,
            coordinator_key,
            operator_key,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn file() -> RosterFile {
            let TestFederation {
                roster,
                hospital_keys,
                coordinator_key,
                operator_key,
            } = federation(3);
            let mut file = RosterFile {
                suite: SUITE,
                epoch: 1,
                hospitals: roster
                    .members()
                    .map(|member| MemberEntry {
                        id: member.id.get(),
                        name: member.name.clone(),
                        signing_key: member.signing_key.0,
                        tls_fingerprint: member.tls_fingerprint,
                    })
                    .collect(),
                coordinator: PeerKeys {
                    signing_key: coordinator_key.public().0,
                    tls_fingerprint: [201; 32],
                },
                operator_key: operator_key.public().0,
                signatures: Vec::new(),
            };
            for (index, key) in hospital_keys.iter().enumerate() {
                file.sign(HospitalId::new(index as u8 + 1).expect("in range"), key)
                    .expect("in range");
            }
            file
        }

        #[test]
        fn a_signed_roster_survives_the_file_in_any_order() {
            let mut shuffled = RosterFile::from_json(&file().to_json()).expect("parses");
            shuffled.hospitals.reverse();
            assert_eq!(
                shuffled.check().expect("sound").hash(),
                file().check().expect("sound").hash()
            );
        }

        #[test]
        fn what_is_wrong_is_named() {
            let two = HospitalId::new(2).expect("in range");
            let mut same_id = file();
            same_id.hospitals[2].id = 2;
            assert_eq!(
                same_id.check().err(),
                Some(RosterError::DuplicateId { id: two })
            );
            let mut zero = file();
            zero.hospitals[0].id = 0;
            assert_eq!(
                zero.check().err(),
                Some(RosterError::IdOutOfRange { id: 0 })
            );
            let mut renamed = file();
            renamed.hospitals[1].name.push('!');
            assert!(matches!(
                renamed.check().err(),
                Some(RosterError::Unsigned { .. })
            ));
            let mut shared = file();
            shared.hospitals[1].tls_fingerprint = shared.hospitals[0].tls_fingerprint;
            assert_eq!(
                shared.check().err(),
                Some(RosterError::SharedKey { id: two })
            );
            let mut weak = file();
            weak.operator_key = [0; 32];
            assert!(matches!(
                weak.check().err(),
                Some(RosterError::UnsoundKey { .. })
            ));
            assert!(RosterFile::from_json("{\"suite\":1,\"colour\":2}").is_err());
        }
    }
}
