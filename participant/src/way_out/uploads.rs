//! Blobs to the coordinator: entered with what is about to be sent, and corrected by what broke off.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crypto::hash::{Digest, sha256};
use protocol::{
    digests::{LearningRound, RunId},
    manifest::Purpose,
};
use transport::{BlobName, Blobs, LEAF_BYTES, TransportError};

use super::Clerk;
use crate::ledger::{Departure, Extent, LedgerError, Object};

/// Sends blobs over one connection.
#[derive(Clone)]
pub struct Uploads {
    blobs: Blobs,
    clerk: Arc<Clerk>,
}

/// A blob on its way out.
pub struct Blob {
    /// Under which name it is uploaded.
    pub name: BlobName,
    /// The bytes.
    pub bytes: Arc<[u8]>,
    object: Object,
    run: Option<RunId>,
}

/// Why a blob is not there.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It could not be entered: nothing of it has left.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It was refused, or broke off.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Uploads {
    pub(super) fn new(blobs: Blobs, clerk: Arc<Clerk>) -> Self {
        Self { blobs, clerk }
    }

    /// A contribution to a sum, as it will be entered.
    pub fn contribution(
        &self,
        name: BlobName,
        bytes: Arc<[u8]>,
        purpose: Purpose,
        learning_round: LearningRound,
    ) -> Blob {
        let about = self.clerk.about();
        Blob {
            name,
            bytes,
            object: about.contribution(purpose, learning_round),
            run: about.run(),
        }
    }

    /// The state of the run for hospitals that come late, as it will be entered.
    pub fn state(&self, name: BlobName, bytes: Arc<[u8]>) -> Blob {
        let about = self.clerk.about();
        Blob {
            name,
            bytes,
            object: about.state(),
            run: about.run(),
        }
    }

    /// Sends a blob, or what the coordinator lacks of it, and waits for the verdict. `progress` is that of [`Blobs::upload`].
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn upload(
        &self,
        blob: &Blob,
        mut progress: impl FnMut(u64),
    ) -> Result<(), UploadError> {
        let of = blob.bytes.len() as u64;
        let offer = self.blobs.offer(blob.name, of).await?;
        let entered = Entered {
            clerk: &self.clerk,
            blob,
            sha256: sha256(&blob.bytes),
            handed_over: AtomicU64::new(offer.held_bytes()),
        };
        let first = offer.held_bytes();
        let departure = entered.departure(Extent::From { first, of });
        self.clerk.enter(&departure).await?;
        // From here on it is corrected, however this ends.
        let entered = Correction(entered);
        let sent = offer.send(&blob.bytes, |bytes| {
            entered.0.handed_over.store(bytes, Ordering::Relaxed);
            progress(bytes);
        });
        Ok(sent.await?)
    }
}

/// A blob with an entry.
struct Entered<'a> {
    clerk: &'a Clerk,
    blob: &'a Blob,
    sha256: Digest,
    /// Counted from the beginning of the blob.
    handed_over: AtomicU64,
}

impl Entered<'_> {
    fn departure(&self, extent: Extent) -> Departure<'_> {
        Departure {
            to: &self.clerk.to,
            run: self.blob.run,
            object: self.blob.object.clone(),
            sha256: self.sha256,
            extent,
        }
    }
}

/// Takes back what has not left when an upload ends early, also when it is given up.
struct Correction<'a>(Entered<'a>);

impl Drop for Correction<'_> {
    fn drop(&mut self) {
        let entered = &self.0;
        let of = entered.blob.bytes.len() as u64;
        // The piece that was being handed over may have left, in part or whole.
        let at = entered.handed_over.load(Ordering::Relaxed) + LEAF_BYTES as u64;
        if at < of {
            let departure = entered.departure(Extent::BrokeOff { at, of });
            if let Err(error) = entered.clerk.ledger.record(&departure) {
                tracing::warn!(
                    "{error}; the ledger tells of more than has left: an upload broke off"
                );
            }
        }
    }
}
