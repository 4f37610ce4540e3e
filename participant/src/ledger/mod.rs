//! What has left this hospital: an entry for every outgoing object, each with the hash of the one before.
//!
//! ```text
//! shell -> way_out -> Ledger::record -> entries 1, 2, 3 ...      hash_k = H(hash_(k-1) || k || what entry k tells)
//!                \--> transport
//! ```
//!
//! The entry is written before the object is handed to the transport, so that the ledger may tell of more than has left, never of less:
//! an upload is entered with all bytes that are to follow, and what breaks off is taken back by an entry of its own. Small objects that
//! repeat, such as heartbeats, are counted in the file as they leave, and become one entry a minute.
//!
//! Whoever can write the file can write another chain: the hash of the last entry, kept elsewhere, is what shows that.

mod columns;
mod entry;
mod error;
mod object;
mod store;
mod summary;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crypto::hash::Digest;
use protocol::digests::RunId;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::store::Store;
pub use self::{
    columns::{COLUMNS, record},
    entry::{Content, Entry, Part, Recipient},
    error::LedgerError,
    object::{Kind, Object, Protection, Sum},
    store::Head,
    summary::{Row, Summary},
    verify::{ChainFault, Verified, verify},
};

/// The name of the file in the state folder.
pub const FILE: &str = "ledger.sqlite";

/// The ledger, open for writing. One process at a time has it: the state folder is locked.
pub struct Ledger(Mutex<Writer>);

struct Writer {
    store: Store,
    head: Head,
    /// Objects that are counted in the minute at hand.
    counting: Vec<Content>,
}

/// An object that is about to leave.
pub struct Departure<'a> {
    /// To whom.
    pub to: &'a Recipient,
    /// In which run, if one is known.
    pub run: Option<RunId>,
    /// What it is.
    pub object: Object,
    /// SHA-256 of the whole object.
    pub sha256: Digest,
    /// What of it is about to leave.
    pub extent: Extent,
}

/// What of an object leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of its bytes.
    Whole(u64),
    /// A blob, from this byte on.
    From {
        /// The first byte.
        first: u64,
        /// Its length.
        of: u64,
    },
    /// A correction: the blob broke off here, and the rest has not left.
    BrokeOff {
        /// The first byte that has not left.
        at: u64,
        /// Its length.
        of: u64,
    },
}

impl Ledger {
    /// Opens the file, or makes it. What an earlier process has counted is entered.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be written, is of another release, or does not end where it should.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::over(Store::open(path)?)
    }

    /// One that goes with this value: for simulations and tests.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn in_memory() -> Result<Self, LedgerError> {
        Self::over(Store::in_memory()?)
    }

    fn over(store: Store) -> Result<Self, LedgerError> {
        let head = store.head()?;
        let last = store.last()?;
        let end = last.map_or((0, entry::BEFORE_THE_FIRST), |last| {
            (last.number, last.hash)
        });
        if end != (head.entries, head.hash) {
            return Err(store.error(
                "its last entry is not the one that was written last; see `participant ledger verify`, and move the file aside as evidence: another one is begun",
            ));
        }
        let counting = store.counting()?;
        let mut writer = Writer {
            store,
            head,
            counting,
        };
        writer.enter_counted()?;
        Ok(Self(Mutex::new(writer)))
    }

    /// Enters an object before it leaves.
    ///
    /// # Errors
    /// [`LedgerError`]: then it must not leave.
    pub fn record(&self, departure: &Departure<'_>) -> Result<(), LedgerError> {
        self.record_at(departure, OffsetDateTime::now_utc())
    }

    fn record_at(&self, departure: &Departure<'_>, at: OffsetDateTime) -> Result<(), LedgerError> {
        let mut writer = self.writer();
        let content = departure.content(written(at), &writer.store)?;
        if departure.may_be_counted() {
            writer.count(content)
        } else {
            let synced = departure.object.protection.is_of_patients();
            writer.enter(&[content], None, synced)
        }
    }

    /// Enters what was counted until now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn enter_counted(&self) -> Result<(), LedgerError> {
        self.writer().enter_counted()
    }

    /// Where the chain ends.
    pub fn head(&self) -> Head {
        self.writer().head
    }

    /// As on a disk that is full, or no longer.
    #[cfg(test)]
    pub(crate) fn fill_disk(&self, full: bool) {
        self.writer().store.fill_disk(full);
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // Every change is a transaction first: a panic in between leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Puts entries behind the chain, and in the same transaction what is counted from now on.
    fn enter(
        &mut self,
        contents: &[Content],
        counting: Option<Vec<Content>>,
        synced: bool,
    ) -> Result<(), LedgerError> {
        let mut head = self.head;
        let mut entries = Vec::with_capacity(contents.len());
        for content in contents {
            head = Head {
                entries: head.entries + 1,
                hash: content.hash(&head.hash, head.entries + 1),
            };
            entries.push(Entry {
                number: head.entries,
                content: content.clone(),
                hash: head.hash,
            });
        }
        self.store.write(&entries, counting.as_deref(), synced)?;
        self.head = head;
        if let Some(counting) = counting {
            self.counting = counting;
        }
        Ok(())
    }

    fn count(&mut self, content: Content) -> Result<(), LedgerError> {
        let minute_is_over = self
            .counting
            .first()
            .is_some_and(|first| first.minute() != content.minute());
        if minute_is_over {
            let counted = self.counting.clone();
            return self.enter(&counted, Some(vec![content]), false);
        }
        let mut counting = self.counting.clone();
        match counting.iter_mut().find(|same| same.counts_with(&content)) {
            Some(same) => {
                same.objects += content.objects;
                same.bytes += content.bytes;
                same.last_at = content.last_at;
            }
            None => counting.push(content),
        }
        self.enter(&[], Some(counting), false)
    }

    fn enter_counted(&mut self) -> Result<(), LedgerError> {
        if self.counting.is_empty() {
            return Ok(());
        }
        let counted = self.counting.clone();
        self.enter(&counted, Some(Vec::new()), true)
    }
}

impl Departure<'_> {
    /// Small, without data of patients, and often the very same bytes again.
    fn may_be_counted(&self) -> bool {
        matches!(self.object.kind, Kind::Heartbeat | Kind::Hello)
    }

    fn content(&self, at: String, store: &Store) -> Result<Content, LedgerError> {
        let (objects, bytes, part) = match self.extent {
            Extent::Whole(bytes) => (1, signed(bytes), None),
            Extent::From { first, of } => {
                let again = store.reached(self.run, &self.sha256)?.saturating_sub(first);
                (
                    1,
                    signed(of.saturating_sub(first)),
                    Some((first, of, again)),
                )
            }
            Extent::BrokeOff { at, of } => (0, -signed(of.saturating_sub(at)), Some((at, of, 0))),
        };
        let sum = self.object.sum;
        let mut purpose = self.object.purpose();
        if let Extent::BrokeOff { .. } = self.extent {
            purpose = format!("{} {purpose}", Kind::NotSent.words());
        }
        let kind = match self.extent {
            Extent::BrokeOff { .. } => Kind::NotSent,
            _ => self.object.kind,
        };
        Ok(Content {
            last_at: at.clone(),
            first_at: at,
            to: self.to.clone(),
            run: self.run,
            sum: sum.map(|sum| sum.purpose.name().to_owned()),
            round: sum
                .and_then(|sum| sum.learning_round)
                .map(|round| round.get()),
            kind: kind.name().to_owned(),
            purpose,
            protection: self.object.protection.words(),
            objects,
            bytes,
            part: part.map(|(first, of, again)| Part { first, of, again }),
            sha256: self.sha256,
        })
    }
}

/// No object has as many bytes as an `i64` counts.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// To the millisecond, of one length, so that texts are in the order of time.
fn written(at: OffsetDateTime) -> String {
    let millisecond = u32::from(at.millisecond()) * 1_000_000 + 1;
    let text = at
        .replace_nanosecond(millisecond)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default();
    // "2026-11-30T19:44:20.123000001Z"
    match text.get(..23) {
        Some(text) => format!("{text}Z"),
        None => text,
    }
}
