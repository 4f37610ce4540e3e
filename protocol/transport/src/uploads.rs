//! A blob from a hospital to the coordinator, resumable at a leaf.
//!
//! The hospital names the blob and its length; the coordinator says how much of it it holds; the rest follows in leaves,
//! which the coordinator takes one at a time, checking them as they come; its verdict ends the transfer. A cut connection
//! loses the leaves under way and no more: the next attempt begins where the coordinator says.

use std::sync::Arc;

use crypto::sealed_sum::HospitalId;

use super::errors::TransportError;
use super::pace::Pace;
use super::refusal::{Refusal, RefusalCode};
use super::streams::Stream;
use super::traffic::Traffic;
use super::wire::{BlobName, LEAF_BYTES, Reply, StreamOpening};

/// A hospital wants to send a blob. Answer with [`accept`](Self::accept) or [`refuse`](Self::refuse); dropping it tells the
/// hospital that its transfer was abandoned.
pub struct UploadRequest {
    pub(super) hospital: HospitalId,
    pub(super) name: BlobName,
    pub(super) total_bytes: u64,
    pub(super) stream: Stream,
    pub(super) traffic: Arc<Traffic>,
}

impl UploadRequest {
    /// Who asks.
    pub fn hospital(&self) -> HospitalId {
        self.hospital
    }

    /// The blob's name, as the hospital gives it.
    pub fn name(&self) -> BlobName {
        self.name
    }

    /// The whole blob's length; within the limit.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Takes the blob from byte `held_bytes` on: 0, or as much as earlier uploads of this name brought.
    ///
    /// # Errors
    /// [`TransportError::Violation`], and the hospital is refused, if `held_bytes` is neither a multiple of [`LEAF_BYTES`]
    /// below the total nor the total: a blob of this name had another length before. [`TransportError::Closed`] or
    /// [`TransportError::Abandoned`] if the hospital is gone.
    pub async fn accept(mut self, held_bytes: u64) -> Result<Upload, TransportError> {
        if !resumes_at_leaf(held_bytes, self.total_bytes) {
            let reason = format!("{held_bytes} bytes of it are held already");
            let code = RefusalCode::Invalid;
            self.stream.refuse(Refusal { code, reason }).await?;
            return Err(TransportError::Violation(
                "an upload whose length has changed",
            ));
        }
        self.stream.write_reply(&Reply::Go(held_bytes)).await?;
        Ok(Upload {
            total_bytes: self.total_bytes,
            held_bytes,
            stream: self.stream,
            traffic: self.traffic,
        })
    }

    /// Does not take the blob, and says why.
    ///
    /// # Errors
    /// [`TransportError::Closed`] or [`TransportError::Abandoned`] if the hospital is gone.
    pub async fn refuse(self, refusal: Refusal) -> Result<(), TransportError> {
        self.stream.refuse(refusal).await
    }
}

/// An upload under way, on the coordinator's side. Dropping it leaves the hospital without a verdict; it may try again.
pub struct Upload {
    total_bytes: u64,
    held_bytes: u64,
    stream: Stream,
    traffic: Arc<Traffic>,
}

impl Upload {
    /// The next leaf: [`LEAF_BYTES`] long, but for the last one of the blob. `None` once the blob is whole.
    ///
    /// Not cancel-safe: a caller that stops waiting must drop the upload; the hospital resumes it.
    ///
    /// # Errors
    /// [`TransportError::Closed`], [`TransportError::Abandoned`] or [`TransportError::Stalled`] if the rest does not come,
    /// [`TransportError::Violation`] if more comes than was announced.
    pub async fn next_leaf(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let missing = self.total_bytes - self.held_bytes;
        if missing == 0 {
            self.stream.read_end().await?;
            return Ok(None);
        }
        let length = usize::try_from(missing).map_or(LEAF_BYTES, |missing| missing.min(LEAF_BYTES));
        let mut leaf = vec![0; length];
        self.stream.read(&mut leaf).await?;
        self.held_bytes += length as u64;
        self.traffic.blob_received(length);
        Ok(Some(leaf))
    }

    /// How much of the blob has been taken, earlier uploads included.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// The verdict: the blob is whole and good.
    ///
    /// # Errors
    /// As [`next_leaf`](Self::next_leaf); then the hospital may not know, and will ask again.
    ///
    /// # Panics
    /// If leaves are missing.
    pub async fn accept(mut self) -> Result<(), TransportError> {
        assert!(
            self.held_bytes == self.total_bytes,
            "only a whole blob is accepted"
        );
        self.stream
            .write_reply(&Reply::Go(self.total_bytes))
            .await?;
        self.stream.finish().await
    }

    /// The verdict: the blob is not wanted, and why. May come before the last leaf.
    ///
    /// # Errors
    /// As [`next_leaf`](Self::next_leaf).
    pub async fn refuse(self, refusal: Refusal) -> Result<(), TransportError> {
        self.stream.refuse(refusal).await
    }
}

/// An upload that the coordinator has agreed to, before the first byte of the blob. Dropping it leaves the coordinator with an
/// abandoned transfer; it may be offered again.
pub struct Offer {
    stream: Stream,
    total_bytes: u64,
    held_bytes: u64,
    traffic: Arc<Traffic>,
    pace: Pace,
}

impl Offer {
    /// The hospital's half: says what it has, and hears what the coordinator holds of it.
    pub(super) async fn make(
        mut stream: Stream,
        name: BlobName,
        total_bytes: u64,
        traffic: Arc<Traffic>,
        pace: Pace,
    ) -> Result<Self, TransportError> {
        let opening = StreamOpening::Upload { name, total_bytes };
        stream.write(&opening.encode()).await?;
        let held_bytes = stream.read_reply().await?;
        if !resumes_at_leaf(held_bytes, total_bytes) {
            return Err(TransportError::Violation(
                "an upload that resumes inside a leaf",
            ));
        }
        Ok(Self {
            stream,
            total_bytes,
            held_bytes,
            traffic,
            pace,
        })
    }

    /// How much of the blob the coordinator holds: what follows is sent.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Sends what the coordinator lacks, and waits for the verdict. `blob` is the whole blob; `progress` hears after each leaf how much
    /// of it has been handed over, counted from its beginning.
    ///
    /// # Errors
    /// As [`Blobs::upload`](super::Blobs::upload).
    ///
    /// # Panics
    /// If `blob` has another length than was offered.
    pub async fn send(
        mut self,
        blob: &[u8],
        mut progress: impl FnMut(u64),
    ) -> Result<(), TransportError> {
        assert!(
            blob.len() as u64 == self.total_bytes,
            "the blob that was offered is sent"
        );
        let begun = usize::try_from(self.held_bytes).expect("at most the blob's length");
        let mut handed_over = begun;
        for leaf in blob[handed_over..].chunks(LEAF_BYTES) {
            self.pace.turn().await;
            match self.stream.write(leaf).await {
                Ok(()) => self.pace.spent(leaf.len()),
                // The coordinator has seen enough; why, it says below.
                Err(TransportError::Abandoned) => break,
                Err(error) => return Err(error),
            }
            handed_over += leaf.len();
            self.traffic.blob_sent(leaf.len());
            progress(handed_over as u64);
        }
        // Fails only if the coordinator has stopped listening: same answer.
        let _ = self.stream.send.finish();
        self.stream.wait_for_delivery(handed_over - begun).await?;
        match self.stream.read_reply().await? {
            taken if taken == self.total_bytes && handed_over == blob.len() => Ok(()),
            _ => Err(TransportError::Violation("a verdict on another blob")),
        }
    }
}

fn resumes_at_leaf(held_bytes: u64, total_bytes: u64) -> bool {
    held_bytes == total_bytes
        || (held_bytes < total_bytes && held_bytes.is_multiple_of(LEAF_BYTES as u64))
}
