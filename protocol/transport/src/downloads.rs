//! A blob from the coordinator to a hospital, resumable at any byte.

use std::sync::Arc;

use crypto::sealed_sum::HospitalId;

use super::errors::TransportError;
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
    pub async fn serve(mut self, blob: Arc<[u8]>) -> Result<(), TransportError> {
        let rest = usize::try_from(self.offset)
            .ok()
            .and_then(|offset| blob.get(offset..));
        let Some(rest) = rest else {
            let reason = format!("the blob has {} bytes", blob.len());
            let code = RefusalCode::Invalid;
            self.stream.refuse(Refusal { code, reason }).await?;
            return Err(TransportError::Violation(
                "a download beyond the blob's end",
            ));
        };
        self.stream
            .write_reply(&Reply::Go(blob.len() as u64))
            .await?;
        for leaf in rest.chunks(LEAF_BYTES) {
            self.stream.write(leaf).await?;
            self.traffic.blob_sent(leaf.len());
        }
        self.stream.finish().await
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
    let mut leaf = vec![0; LEAF_BYTES];
    while missing > 0 {
        let length = usize::try_from(missing).map_or(LEAF_BYTES, |missing| missing.min(LEAF_BYTES));
        stream.read(&mut leaf[..length]).await?;
        held.extend_from_slice(&leaf[..length]);
        missing -= length as u64;
        traffic.blob_received(length);
    }
    stream.read_end().await
}
