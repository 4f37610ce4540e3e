//! A blob from the coordinator to a hospital, resumable at any byte.

use std::io;
use std::sync::Arc;

use crypto::sealed_sum::HospitalId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _};

use super::errors::TransportError;
use super::pace::Pace;
use super::refusal::{Refusal, RefusalCode};
use super::streams::Stream;
use super::traffic::Traffic;
use super::wire::{BlobName, LEAF_BYTES, Reply, StreamOpening};

/// A hospital asks for a blob. Answer with [`serve`](Self::serve) or [`refuse`](Self::refuse); dropping it tells the
/// hospital that its transfer was abandoned.
pub struct DownloadRequest {
    pub(super) hospital: HospitalId,
    pub(super) name: BlobName,
    pub(super) offset: u64,
    pub(super) stream: Stream,
    pub(super) traffic: Arc<Traffic>,
}

/// A part of a blob, to be read from its beginning.
pub struct BlobPart<R> {
    /// Where it comes from.
    pub reader: R,
    /// Its length.
    pub bytes: u64,
}

impl DownloadRequest {
    /// Who asks.
    pub fn hospital(&self) -> HospitalId {
        self.hospital
    }

    /// The blob asked for.
    pub fn name(&self) -> BlobName {
        self.name
    }

    /// Sends the blob's bytes, without those that the hospital holds already, and waits until they have arrived.
    ///
    /// # Errors
    /// [`TransportError::Closed`], [`TransportError::Abandoned`] or [`TransportError::Stalled`] if the hospital does not take
    /// them; it may ask again for the rest. [`TransportError::Violation`] if it claims more than the blob's length.
    pub async fn serve(self, blob: Arc<[u8]>) -> Result<(), TransportError> {
        let bytes = blob.len() as u64;
        let reader = io::Cursor::new(blob);
        self.serve_from(vec![BlobPart { reader, bytes }]).await
    }

    /// The same with a blob that is read in pieces while it is sent, such as a file or several, one behind the other: it is never in
    /// memory as a whole.
    ///
    /// # Errors
    /// As [`serve`](Self::serve); [`TransportError::Unreadable`] if a part cannot be read or is shorter than it should be. The
    /// hospital then learns that its transfer was abandoned.
    pub async fn serve_from<R: AsyncRead + AsyncSeek + Unpin>(
        mut self,
        parts: Vec<BlobPart<R>>,
    ) -> Result<(), TransportError> {
        let total_bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        if self.offset > total_bytes {
            let reason = format!("the blob has {total_bytes} bytes");
            let code = RefusalCode::Invalid;
            self.stream.refuse(Refusal { code, reason }).await?;
            return Err(TransportError::Violation(
                "a download beyond the blob's end",
            ));
        }
        self.stream.write_reply(&Reply::Go(total_bytes)).await?;
        let mut skip = self.offset;
        for part in parts {
            let skipped = skip.min(part.bytes);
            self.send_part(part, skipped).await?;
            skip -= skipped;
        }
        self.stream.finish().await
    }

    async fn send_part<R: AsyncRead + AsyncSeek + Unpin>(
        &mut self,
        mut part: BlobPart<R>,
        skipped: u64,
    ) -> Result<(), TransportError> {
        let begin = io::SeekFrom::Start(skipped);
        let sought = part.reader.seek(begin).await;
        sought.map_err(TransportError::Unreadable)?;
        let mut rest = part.bytes - skipped;
        let mut piece = vec![0; PIECE_BYTES];
        while rest > 0 {
            let length = usize::try_from(rest).map_or(PIECE_BYTES, |rest| rest.min(PIECE_BYTES));
            let piece = &mut piece[..length];
            let read = part.reader.read_exact(piece).await;
            read.map_err(TransportError::Unreadable)?;
            for leaf in piece.chunks(LEAF_BYTES) {
                self.stream.write(leaf).await?;
                self.traffic.blob_sent(leaf.len());
            }
            rest -= length as u64;
        }
        Ok(())
    }

    /// Does not give the blob, and says why.
    ///
    /// # Errors
    /// [`TransportError::Closed`] or [`TransportError::Abandoned`] if the hospital is gone.
    pub async fn refuse(self, refusal: Refusal) -> Result<(), TransportError> {
        self.stream.refuse(refusal).await
    }
}

/// The hospital's half: appends what is missing of the blob to `held`, which keeps what has come if the rest does not.
pub(super) async fn fetch_blob(
    mut stream: Stream,
    name: BlobName,
    held: &mut Vec<u8>,
    max_blob_bytes: u64,
    traffic: &Traffic,
    pace: &Pace,
) -> Result<(), TransportError> {
    let offset = held.len() as u64;
    let opening = StreamOpening::Download { name, offset };
    stream.write(&opening.encode()).await?;
    // Nothing more to say. Fails only if the coordinator has let go of the stream, which the reply will tell.
    let _ = stream.send.finish();
    let total_bytes = stream.read_reply().await?;
    if total_bytes > max_blob_bytes {
        return Err(TransportError::BlobTooLarge {
            length: total_bytes,
            limit: max_blob_bytes,
        });
    }
    let mut missing = total_bytes
        .checked_sub(offset)
        .ok_or(TransportError::Violation(
            "a blob shorter than its beginning",
        ))?;
    // At most the limit; what does not come is never touched.
    held.reserve_exact(usize::try_from(missing).unwrap_or(0));
    let mut leaf = vec![0; LEAF_BYTES];
    while missing > 0 {
        let length = usize::try_from(missing).map_or(LEAF_BYTES, |missing| missing.min(LEAF_BYTES));
        pace.turn().await;
        stream.read(&mut leaf[..length]).await?;
        pace.spent(length);
        held.extend_from_slice(&leaf[..length]);
        missing -= length as u64;
        traffic.blob_received(length);
    }
    stream.read_end().await
}

/// So much of a blob is read at a time.
const PIECE_BYTES: usize = 4 * LEAF_BYTES;
