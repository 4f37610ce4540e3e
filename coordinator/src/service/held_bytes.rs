//! The bytes of one upload as far as they have come: in memory, or in a file that has no name.
//!
//! What counts as held is in the file. Where the file cannot be written, all goes on in memory.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use tokio::task::spawn_blocking;
use transport::LEAF_BYTES;

use super::byte_budget::Room;
use crate::machine::UploadedBytes;

/// The bytes of one upload that have arrived.
pub(super) enum HeldBytes {
    InMemory {
        bytes: Vec<u8>,
        /// What it takes of the memory for uploads; none where there is no other place than memory.
        _room: Option<Room>,
    },
    InFile(FileBytes),
}

/// A file that ends with its handle: a process that is killed leaves nothing.
pub(super) struct FileBytes {
    file: Arc<File>,
    /// So many are in the file.
    written: u64,
    /// Leaves that are still to be written behind them.
    piece: Vec<u8>,
}

impl HeldBytes {
    pub(super) fn in_memory(room: Option<Room>) -> Self {
        let bytes = Vec::new();
        Self::InMemory { bytes, _room: room }
    }

    /// In a new file in `folder`.
    pub(super) async fn in_file(folder: &Path) -> io::Result<Self> {
        let folder = folder.to_owned();
        let file = blocking(move || tempfile::tempfile_in(folder)).await?;
        Ok(Self::InFile(FileBytes {
            file: Arc::new(file),
            written: 0,
            piece: Vec::new(),
        }))
    }

    /// So many bytes will not be lost with a transfer.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::InMemory { bytes, .. } => bytes.len() as u64,
            Self::InFile(file) => file.written,
        }
    }

    /// Appends the next leaf. `total_bytes` is the length of the whole upload, for the allocation.
    pub(super) async fn push(&mut self, leaf: &[u8], total_bytes: u64) -> io::Result<()> {
        match self {
            Self::InMemory { bytes, .. } => {
                if bytes.capacity() == 0 {
                    // Exactly the length that was checked against what belongs in this round, before the transfer began.
                    bytes.reserve_exact(usize::try_from(total_bytes).unwrap_or(leaf.len()));
                }
                bytes.extend_from_slice(leaf);
                Ok(())
            }
            Self::InFile(file) => {
                file.piece.extend_from_slice(leaf);
                let come = file.written + file.piece.len() as u64;
                if file.piece.len() >= PIECE_BYTES || come >= total_bytes {
                    file.write_piece().await?;
                }
                Ok(())
            }
        }
    }

    /// All of it in memory, also what could not be written to the file.
    pub(super) async fn into_memory(self) -> io::Result<Self> {
        let FileBytes {
            file,
            written,
            piece,
        } = match self {
            Self::InFile(file) => file,
            in_memory @ Self::InMemory { .. } => return Ok(in_memory),
        };
        let bytes = blocking(move || {
            let mut bytes = vec![0; usize::try_from(written).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, 0)?;
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        });
        Ok(Self::InMemory {
            bytes: bytes.await?,
            _room: None,
        })
    }

    /// The same without what is not in the file.
    pub(super) fn cut(mut self) -> Self {
        if let Self::InFile(file) = &mut self {
            file.piece = Vec::new();
        }
        self
    }
}

impl FileBytes {
    async fn write_piece(&mut self) -> io::Result<()> {
        let (file, offset) = (Arc::clone(&self.file), self.written);
        let piece = std::mem::take(&mut self.piece);
        let (piece, written) = blocking(move || {
            let written = file.write_all_at(&piece, offset);
            Ok((piece, written))
        })
        .await?;
        // One that is written is let go of: the round keeps the upload until U is fixed.
        match written {
            Ok(()) => self.written += piece.len() as u64,
            Err(_) => self.piece = piece,
        }
        written
    }
}

impl UploadedBytes for HeldBytes {
    fn length(&self) -> u64 {
        self.length()
    }

    fn read<'a>(&'a self, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        match self {
            Self::InMemory { bytes, .. } => Ok(bytes),
            Self::InFile(file) => {
                let length = usize::try_from(file.written).map_err(io::Error::other)?;
                buffer.resize(length, 0);
                file.file.read_exact_at(buffer, 0)?;
                Ok(buffer)
            }
        }
    }
}

/// On a thread that may wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    // It fails only with the runtime.
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// So much is written at a time.
const PIECE_BYTES: usize = 8 * LEAF_BYTES;
