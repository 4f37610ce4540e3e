//! Whether the chain of a ledger's file holds.

use std::path::Path;

use crypto::hash::Digest;

use super::{
    Content, Entry, LedgerError,
    entry::BEFORE_THE_FIRST,
    store::{Head, Store},
};

/// A chain that holds.
pub struct Verified {
    /// Where the chain ends.
    pub head: Head,
    /// Objects that are counted and are no entries yet.
    pub counting: Vec<Content>,
}

/// Why a chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ChainFault {
    /// The file cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A number is missing, or there twice.
    #[error(
        "entry {found} stands where entry {expected} belongs: an entry was removed or inserted"
    )]
    Number {
        /// The number that follows from the entry before.
        expected: u64,
        /// The one that is there.
        found: u64,
    },
    /// An entry, or the one before it, is not as it was written.
    #[error(
        "the hash of entry {number} does not follow from it and the entry before: one of the two was altered, or an entry was removed or inserted here"
    )]
    Hash {
        /// Which entry.
        number: u64,
    },
    /// Entries are missing at the end, or were added by another hand.
    #[error(
        "the ledger ends with entry {found}, and the last one that was written is another one, number {expected}: entries at its end were removed or added"
    )]
    End {
        /// What was written.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The hash that was kept elsewhere is none of this chain.
    #[error("no entry has the hash {}: this is not the chain that it was written down from, or that entry was removed", hex::encode(.0))]
    NoSuchHead(Digest),
}

/// Reads every entry of the ledger at `path` in its order, gives it to `see`, and follows the chain. `known` is the hash of an entry that
/// was written down elsewhere.
///
/// # Errors
/// [`ChainFault`] names the first fault; entries before it were given to `see`.
pub fn verify(
    path: &Path,
    known: Option<Digest>,
    mut see: impl FnMut(&Entry),
) -> Result<Verified, ChainFault> {
    let store = Store::open_to_read(path)?;
    let written = store.head()?;
    let mut at = Head {
        entries: 0,
        hash: BEFORE_THE_FIRST,
    };
    let mut is_known = known.is_none_or(|known| known == at.hash);
    store.entries(|entry| {
        at = follow(at, &entry)?;
        is_known |= known == Some(at.hash);
        see(&entry);
        Ok::<_, ChainFault>(())
    })?;
    if at != written {
        return Err(ChainFault::End {
            expected: written.entries,
            found: at.entries,
        });
    }
    match known {
        Some(known) if !is_known => Err(ChainFault::NoSuchHead(known)),
        _ => Ok(Verified {
            head: at,
            counting: store.counting()?,
        }),
    }
}

fn follow(before: Head, entry: &Entry) -> Result<Head, ChainFault> {
    let expected = before.entries + 1;
    if entry.number != expected {
        return Err(ChainFault::Number {
            expected,
            found: entry.number,
        });
    }
    let hash = entry.content.hash(&before.hash, expected);
    if hash != entry.hash {
        return Err(ChainFault::Hash { number: expected });
    }
    Ok(Head {
        entries: expected,
        hash,
    })
}
