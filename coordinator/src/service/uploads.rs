//! Uploads under way, and those that were cut, kept so that they go on where they stopped.
//!
//! All hospitals share some memory. What does not fit into it is in files of the state folder, where there is one.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crypto::sealed_sum::HospitalId;
use dashmap::DashMap;
use transport::BlobName;

use super::{byte_budget::ByteBudget, held_bytes::HeldBytes};

/// One place a hospital: a new name takes the place of an older upload, so a hospital cannot fill memory or disk with beginnings.
pub(super) struct UploadShelf {
    slots: DashMap<HospitalId, Slot>,
    place: Place,
    /// When the log last said that a file cannot be written.
    told: Mutex<Option<Instant>>,
}

/// Where bytes go.
enum Place {
    Memory,
    /// Memory as long as there is room, then files in this folder.
    MemoryAndFiles {
        memory: ByteBudget,
        folder: PathBuf,
    },
}

enum Slot {
    /// A transfer has it.
    UnderWay,
    /// The beginning of an upload.
    Cut {
        upload: UploadName,
        bytes: Option<HeldBytes>,
    },
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
    /// Keeps all bytes in memory.
    pub(super) fn in_memory() -> Self {
        Self::at(Place::Memory)
    }

    /// Keeps in files in `folder` what memory has no room for.
    pub(super) fn in_files(folder: PathBuf) -> Self {
        let memory = ByteBudget::new(MEMORY_BYTES);
        Self::at(Place::MemoryAndFiles { memory, folder })
    }

    fn at(place: Place) -> Self {
        Self {
            slots: DashMap::new(),
            place,
            told: Mutex::default(),
        }
    }

    /// Whether this upload has been accepted before: the hospital has not heard, and asks again.
    pub(super) fn was_taken(&self, hospital: HospitalId, upload: UploadName) -> bool {
        self.slots
            .get(&hospital)
            .is_some_and(|slot| matches!(&*slot, Slot::Taken { upload: taken } if *taken == upload))
    }

    /// Takes the hospital's place for a transfer of `upload`.
    pub(super) fn claim(self: &Arc<Self>, hospital: HospitalId, upload: UploadName) -> Claim {
        let bytes = match self.slots.insert(hospital, Slot::UnderWay) {
            Some(Slot::UnderWay) => return Claim::Busy,
            Some(Slot::Cut {
                upload: held,
                bytes,
            }) if held == upload => bytes,
            _ => None,
        };
        Claim::Held(HeldUpload {
            shelf: Arc::clone(self),
            hospital,
            upload,
            bytes,
        })
    }

    /// The beginnings of a round that is over: nobody goes on with them.
    pub(super) fn forget_cut(&self) {
        self.slots
            .retain(|_, slot| !matches!(slot, Slot::Cut { .. }));
    }

    async fn begin(&self, total_bytes: u64) -> io::Result<HeldBytes> {
        let (memory, folder) = match &self.place {
            Place::Memory => return Ok(HeldBytes::in_memory(None)),
            Place::MemoryAndFiles { memory, folder } => (memory, folder),
        };
        let length = usize::try_from(total_bytes).unwrap_or(usize::MAX);
        match memory.reserve(length) {
            Some(room) => Ok(HeldBytes::in_memory(Some(room))),
            None => HeldBytes::in_file(folder).await,
        }
    }

    /// A full disk concerns every upload: the log says so from time to time.
    fn tell(&self, hospital: HospitalId, error: &io::Error) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
            return;
        }
        *told = Some(now);
        drop(told);
        let folder = match &self.place {
            Place::Memory => None,
            Place::MemoryAndFiles { folder, .. } => Some(folder.display()),
        };
        tracing::error!(
            %hospital,
            folder = folder.map(tracing::field::display),
            "an upload cannot be written, and is kept in memory: {error}. Make room on the disk of the state folder, or memory runs out"
        );
    }
}

/// An upload's bytes, in the hands of one transfer. Dropped before it is done, they go back to the shelf.
pub(super) struct HeldUpload {
    shelf: Arc<UploadShelf>,
    hospital: HospitalId,
    upload: UploadName,
    /// None before the first piece, and when they have been handed on.
    bytes: Option<HeldBytes>,
}

impl HeldUpload {
    pub(super) fn held_bytes(&self) -> u64 {
        self.bytes.as_ref().map_or(0, HeldBytes::length)
    }

    /// The next piece. What cannot be written to a file goes on in memory: the hospital is not to blame, and its update counts.
    ///
    /// # Errors
    /// If what is in the file cannot be read back then. The upload begins again.
    pub(super) async fn push(&mut self, leaf: &[u8]) -> io::Result<()> {
        let Err(error) = self.try_push(leaf).await else {
            return Ok(());
        };
        self.shelf.tell(self.hospital, &error);
        match self.bytes.take() {
            Some(bytes) => self.bytes = Some(bytes.into_memory().await?),
            None => {
                let bytes = self.bytes.insert(HeldBytes::in_memory(None));
                bytes.push(leaf, self.upload.total_bytes).await?;
            }
        }
        Ok(())
    }

    async fn try_push(&mut self, leaf: &[u8]) -> io::Result<()> {
        let total_bytes = self.upload.total_bytes;
        let bytes = match &mut self.bytes {
            Some(bytes) => bytes,
            none => none.insert(self.shelf.begin(total_bytes).await?),
        };
        bytes.push(leaf, total_bytes).await
    }

    /// All bytes, to be handed on; the transfer keeps its place until it has the verdict.
    pub(super) fn take_bytes(&mut self) -> HeldBytes {
        let bytes = self.bytes.take();
        bytes.unwrap_or_else(|| HeldBytes::in_memory(None))
    }

    /// The upload was accepted.
    pub(super) fn mark_taken(self) {
        self.shelf.slots.insert(
            self.hospital,
            Slot::Taken {
                upload: self.upload,
            },
        );
    }
}

impl Drop for HeldUpload {
    fn drop(&mut self) {
        let Some(mut slot) = self.shelf.slots.get_mut(&self.hospital) else {
            return;
        };
        if matches!(*slot, Slot::UnderWay) {
            *slot = Slot::Cut {
                upload: self.upload,
                bytes: self.bytes.take().map(HeldBytes::cut),
            };
        }
    }
}

/// Uploads of three hospitals to 4.2 million parameters, which then need no disk.
const MEMORY_BYTES: u32 = 64 << 20;
const TELL_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::UploadedBytes as _;
    use transport::LEAF_BYTES;

    const FIRST: UploadName = UploadName {
        name: [1; 32],
        total_bytes: 10,
    };
    const SECOND: UploadName = UploadName {
        name: [2; 32],
        total_bytes: 10,
    };
    /// More than is written at a time, and not a whole number of leaves.
    const LONG: UploadName = UploadName {
        name: [3; 32],
        total_bytes: 20 * LEAF_BYTES as u64 + 5,
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

    fn contents(transfer: &mut HeldUpload) -> Vec<u8> {
        let bytes = transfer.take_bytes();
        let mut buffer = Vec::new();
        bytes.read(&mut buffer).expect("readable").to_vec()
    }

    /// Without memory: all is in files.
    fn only_files(folder: PathBuf) -> Arc<UploadShelf> {
        let memory = ByteBudget::new(0);
        Arc::new(UploadShelf::at(Place::MemoryAndFiles { memory, folder }))
    }

    #[tokio::test]
    async fn a_cut_upload_goes_on_where_it_stopped() {
        let shelf = Arc::new(UploadShelf::in_memory());
        let mut transfer = held(&shelf, FIRST);
        transfer.push(b"begin").await.expect("room");
        assert!(matches!(shelf.claim(hospital(), FIRST), Claim::Busy));
        drop(transfer);
        let mut transfer = held(&shelf, FIRST);
        assert_eq!(transfer.held_bytes(), 5);
        transfer.push(b"ning!").await.expect("room");
        assert_eq!(contents(&mut transfer), b"beginning!");
        transfer.mark_taken();
        assert!(shelf.was_taken(hospital(), FIRST));
        assert!(!shelf.was_taken(hospital(), SECOND));
    }

    #[tokio::test]
    async fn an_upload_in_a_file_goes_on_from_what_is_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = only_files(folder.path().to_owned());
        let all: Vec<u8> = (0..LONG.total_bytes)
            .map(|place| (place % 251) as u8)
            .collect();
        let leaves: Vec<_> = all.chunks(LEAF_BYTES).collect();
        let mut transfer = held(&shelf, LONG);
        for leaf in &leaves[..11] {
            transfer.push(leaf).await.expect("room");
        }
        drop(transfer);
        let mut transfer = held(&shelf, LONG);
        let come = usize::try_from(transfer.held_bytes()).expect("few");
        assert_eq!(come % LEAF_BYTES, 0, "it goes on at a leaf");
        assert!((1..=11).contains(&(come / LEAF_BYTES)), "{come}");
        for leaf in &leaves[come / LEAF_BYTES..] {
            transfer.push(leaf).await.expect("room");
        }
        assert_eq!(transfer.held_bytes(), LONG.total_bytes);
        assert_eq!(contents(&mut transfer), all);
        let names = std::fs::read_dir(folder.path()).expect("it is there");
        assert_eq!(names.count(), 0, "the file has no name");
    }

    #[tokio::test]
    async fn memory_for_uploads_is_shared_and_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = ByteBudget::new(15);
        let shelf = Arc::new(UploadShelf::at(Place::MemoryAndFiles {
            memory: memory.clone(),
            folder: folder.path().to_owned(),
        }));
        let other = HospitalId::new(8).expect("in range");
        let mut first = held(&shelf, FIRST);
        first.push(b"beginning!").await.expect("room");
        let Claim::Held(mut second) = shelf.claim(other, FIRST) else {
            panic!("the place is free");
        };
        second.push(b"beginning!").await.expect("room");
        assert!(matches!(first.bytes, Some(HeldBytes::InMemory { .. })));
        assert!(matches!(second.bytes, Some(HeldBytes::InFile(_))));
        assert_eq!(contents(&mut second), b"beginning!");
        let bytes = first.take_bytes();
        first.mark_taken();
        assert!(memory.reserve(15).is_none(), "the round has it");
        drop(bytes);
        assert!(memory.reserve(15).is_some());
    }

    #[tokio::test]
    async fn an_upload_that_cannot_be_written_goes_on_in_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = only_files(folder.path().join("missing"));
        let mut transfer = held(&shelf, FIRST);
        transfer.push(b"begin").await.expect("kept");
        transfer.push(b"ning!").await.expect("kept");
        assert!(matches!(transfer.bytes, Some(HeldBytes::InMemory { .. })));
        assert_eq!(contents(&mut transfer), b"beginning!");
    }

    /// Its file was opened, and takes no more after the first piece.
    #[tokio::test]
    async fn what_is_in_a_file_that_takes_no_more_is_brought_into_memory() {
        let all: Vec<u8> = (0..LONG.total_bytes)
            .map(|place| (place % 251) as u8)
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = only_files(folder.path().to_owned());
        let mut transfer = held(&shelf, LONG);
        let leaves: Vec<_> = all.chunks(LEAF_BYTES).collect();
        for leaf in &leaves[..10] {
            transfer.push(leaf).await.expect("room");
        }
        let bytes = transfer.bytes.take().expect("some");
        assert!(matches!(bytes, HeldBytes::InFile(_)));
        transfer.bytes = Some(bytes.into_memory().await.expect("readable"));
        for leaf in &leaves[10..] {
            transfer.push(leaf).await.expect("room");
        }
        assert_eq!(contents(&mut transfer), all);
    }

    #[tokio::test]
    async fn another_name_or_length_starts_anew() {
        let shelf = Arc::new(UploadShelf::in_memory());
        held(&shelf, FIRST).push(b"begin").await.expect("room");
        assert_eq!(held(&shelf, SECOND).held_bytes(), 0);
        held(&shelf, SECOND).push(b"begin").await.expect("room");
        let longer = UploadName {
            total_bytes: 11,
            ..SECOND
        };
        assert_eq!(held(&shelf, longer).held_bytes(), 0);
    }

    #[tokio::test]
    async fn a_refused_upload_is_forgotten() {
        let shelf = Arc::new(UploadShelf::in_memory());
        let mut transfer = held(&shelf, FIRST);
        transfer.push(b"beginning!").await.expect("room");
        transfer.take_bytes();
        drop(transfer);
        assert_eq!(held(&shelf, FIRST).held_bytes(), 0);
        assert!(!shelf.was_taken(hospital(), FIRST));
    }
}
