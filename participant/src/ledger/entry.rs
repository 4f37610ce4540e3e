//! One entry of the ledger, and the hash that ties it to the one before.

use crypto::hash::{Digest, labelled_hash};
use protocol::digests::RunId;

/// An entry as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1 on, without gaps.
    pub number: u64,
    /// What it tells.
    pub content: Content,
    /// Over the hash before, the number and the content.
    pub hash: Digest,
}

/// What an entry tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// When, in UTC (RFC 3339); of counted objects the first.
    pub first_at: String,
    /// When the last of counted objects left; else as `first_at`.
    pub last_at: String,
    /// To whom.
    pub to: Recipient,
    /// In which run; none before one is known.
    pub run: Option<RunId>,
    /// What was summed ([`protocol::manifest::Purpose::name`]), of objects about a sum.
    pub sum: Option<String>,
    /// The learning round, of objects about a sum; 0 for the statistics.
    pub round: Option<u32>,
    /// [`super::Kind::name`].
    pub kind: String,
    /// What it is for, in words.
    pub purpose: String,
    /// How what is in it is protected, in words.
    pub protection: String,
    /// How many objects of these very bytes; 0 in a correction.
    pub objects: u64,
    /// Bytes of all of them, as they are handed to the transport; negative in a correction.
    pub bytes: i64,
    /// Of a blob, which part of it.
    pub part: Option<Part>,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
}

/// Who is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The coordinator's address, as the settings name it.
    pub address: String,
    /// The fingerprint of its TLS key, as the roster lists it.
    pub key: Digest,
}

/// A part of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first byte, counted from 0.
    pub first: u64,
    /// The length of the whole blob.
    pub of: u64,
    /// How many of the part's bytes an earlier attempt had handed to the transport already.
    pub again: u64,
}

impl Content {
    /// The hash of an entry with this content, behind one with the hash `before`. Fields that are absent count as empty, which none that
    /// is there can be.
    pub fn hash(&self, before: &Digest, number: u64) -> Digest {
        let part = self.part.map(|part| {
            let numbers = [part.first, part.of, part.again];
            numbers.map(u64::to_le_bytes).concat()
        });
        let round = self.round.map(u32::to_le_bytes);
        labelled_hash(
            "ledger-entry",
            &[
                before,
                &number.to_le_bytes(),
                self.first_at.as_bytes(),
                self.last_at.as_bytes(),
                self.to.address.as_bytes(),
                &self.to.key,
                self.run.as_ref().map_or(&[], AsRef::as_ref),
                self.sum.as_deref().unwrap_or_default().as_bytes(),
                round.as_ref().map_or(&[], |round| &round[..]),
                self.kind.as_bytes(),
                self.purpose.as_bytes(),
                self.protection.as_bytes(),
                &self.objects.to_le_bytes(),
                &self.bytes.to_le_bytes(),
                part.as_deref().unwrap_or_default(),
                &self.sha256,
            ],
        )
    }

    /// Whether another object is the same as these, and can be counted with them.
    pub(super) fn counts_with(&self, other: &Self) -> bool {
        self.minute() == other.minute()
            && self.sha256 == other.sha256
            && self.run == other.run
            && self.to == other.to
            && self.kind == other.kind
    }

    /// "2026-11-30T19:44" of "2026-11-30T19:44:20.123Z".
    pub(super) fn minute(&self) -> &str {
        self.first_at.get(..16).unwrap_or(&self.first_at)
    }
}

/// What the first entry goes on from.
pub const BEFORE_THE_FIRST: Digest = [0; 32];
