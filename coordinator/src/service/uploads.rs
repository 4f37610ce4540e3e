//! Uploads that were cut, kept so that they go on where they stopped.

use std::sync::Arc;

use crypto::sealed_sum::HospitalId;
use dashmap::DashMap;
use transport::BlobName;

/// One place a hospital: a new name takes the place of an older upload, so a hospital cannot fill the memory with beginnings.
#[derive(Default)]
pub(super) struct UploadShelf(DashMap<HospitalId, Slot>);

enum Slot {
    /// A transfer has it.
    UnderWay,
    /// The beginning of an upload.
    Cut { upload: UploadName, bytes: Vec<u8> },
    /// All of it has been handed on and was accepted.
    Taken { upload: UploadName },
}

/// Two uploads with the same name and length are the same upload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct UploadName {
    pub(super) name: BlobName,
    pub(super) total_bytes: u64,
}

/// What the shelf has for a hospital that wants to upload.
pub(super) enum Claim {
    /// Its bytes so far, perhaps none.
    Held(HeldUpload),
    /// Another transfer of this hospital is under way.
    Busy,
}

impl UploadShelf {
    /// Whether this upload has been accepted before: the hospital has not heard, and asks again.
    pub(super) fn was_taken(&self, hospital: HospitalId, upload: UploadName) -> bool {
        self.0
            .get(&hospital)
            .is_some_and(|slot| matches!(&*slot, Slot::Taken { upload: taken } if *taken == upload))
    }

    /// Takes the hospital's place for a transfer of `upload`.
    pub(super) fn claim(self: &Arc<Self>, hospital: HospitalId, upload: UploadName) -> Claim {
        let bytes = match self.0.insert(hospital, Slot::UnderWay) {
            Some(Slot::UnderWay) => return Claim::Busy,
            Some(Slot::Cut {
                upload: held,
                bytes,
            }) if held == upload => bytes,
            _ => Vec::new(),
        };
        Claim::Held(HeldUpload {
            shelf: Arc::clone(self),
            hospital,
            upload,
            bytes,
        })
    }
}

/// An upload's bytes, in the hands of one transfer. Dropped before it is done, they go back to the shelf.
pub(super) struct HeldUpload {
    shelf: Arc<UploadShelf>,
    hospital: HospitalId,
    upload: UploadName,
    bytes: Vec<u8>,
}

impl HeldUpload {
    pub(super) fn held_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The next piece.
    pub(super) fn push(&mut self, leaf: &[u8]) {
        if self.bytes.capacity() == 0 {
            // Exactly the length that was checked against what belongs in this round, before the transfer began.
            self.bytes
                .reserve_exact(usize::try_from(self.upload.total_bytes).unwrap_or(leaf.len()));
        }
        self.bytes.extend_from_slice(leaf);
    }

    /// All bytes, to be handed on; the transfer keeps its place until it has the verdict.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The upload was accepted.
    pub(super) fn mark_taken(self) {
        self.shelf.0.insert(
            self.hospital,
            Slot::Taken {
                upload: self.upload,
            },
        );
    }
}

impl Drop for HeldUpload {
    fn drop(&mut self) {
        let Some(mut slot) = self.shelf.0.get_mut(&self.hospital) else {
            return;
        };
        if matches!(*slot, Slot::UnderWay) {
            *slot = Slot::Cut {
                upload: self.upload,
                bytes: std::mem::take(&mut self.bytes),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: UploadName = UploadName {
        name: [1; 32],
        total_bytes: 10,
    };
    const SECOND: UploadName = UploadName {
        name: [2; 32],
        total_bytes: 10,
    };

    fn hospital() -> HospitalId {
        HospitalId::new(7).expect("in range")
    }

    fn held(shelf: &Arc<UploadShelf>, upload: UploadName) -> HeldUpload {
        match shelf.claim(hospital(), upload) {
            Claim::Held(held) => held,
            Claim::Busy => panic!("the place is free"),
        }
    }

    #[test]
    fn a_cut_upload_goes_on_where_it_stopped() {
        let shelf = Arc::new(UploadShelf::default());
        let mut transfer = held(&shelf, FIRST);
        transfer.push(b"begin");
        assert!(matches!(shelf.claim(hospital(), FIRST), Claim::Busy));
        drop(transfer);
        let mut transfer = held(&shelf, FIRST);
        assert_eq!(transfer.held_bytes(), 5);
        transfer.push(b"ning!");
        assert_eq!(transfer.take_bytes(), b"beginning!");
        transfer.mark_taken();
        assert!(shelf.was_taken(hospital(), FIRST));
        assert!(!shelf.was_taken(hospital(), SECOND));
    }

    #[test]
    fn another_name_or_length_starts_anew() {
        let shelf = Arc::new(UploadShelf::default());
        held(&shelf, FIRST).push(b"begin");
        assert_eq!(held(&shelf, SECOND).held_bytes(), 0);
        held(&shelf, SECOND).push(b"begin");
        let longer = UploadName {
            total_bytes: 11,
            ..SECOND
        };
        assert_eq!(held(&shelf, longer).held_bytes(), 0);
    }

    #[test]
    fn a_refused_upload_is_forgotten() {
        let shelf = Arc::new(UploadShelf::default());
        let mut transfer = held(&shelf, FIRST);
        transfer.push(b"beginning!");
        transfer.take_bytes();
        drop(transfer);
        assert_eq!(held(&shelf, FIRST).held_bytes(), 0);
        assert!(!shelf.was_taken(hospital(), FIRST));
    }
}
