//! The roster (PROTOCOL.md 3.2): who is in the federation, under which keys. The only root of trust; compared out of band once.

mod epochs;
mod error;
mod file;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::collections::BTreeMap;

use crypto::{
    hash::Digest,
    sealed_sum::{HospitalId, min_contributors, threshold},
};

pub use self::{
    epochs::MissingSignatures,
    error::RosterError,
    file::{MAX_ROSTER_BYTES, MemberEntry, PeerKeys, RosterFile, RosterSignature},
};
use crate::{
    digests::RosterHash,
    identity::PublicKey,
    spoken::{Length, spoken},
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

/// A checked roster: numbers distinct and in range, keys sound, signed by those who have to.
#[derive(Clone, Debug)]
pub struct Roster {
    epoch: u32,
    members: BTreeMap<HospitalId, Member>,
    coordinator_key: PublicKey,
    coordinator_tls_fingerprint: Digest,
    operator_key: PublicKey,
    hash: RosterHash,
    /// Of all epochs before.
    earlier: Vec<RosterHash>,
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

    /// The same in a few words, for people to compare over the phone (see [`spoken`]).
    pub fn fingerprint(&self) -> String {
        spoken(self.hash.as_bytes(), Length::Long)
    }

    /// Whether the roster with this hash is one of those that lead to this one.
    pub fn comes_after(&self, hash: &RosterHash) -> bool {
        self.earlier.contains(hash)
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
