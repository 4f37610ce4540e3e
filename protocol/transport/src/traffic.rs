//! What a link has moved, counted in the bytes that the layer above handed over.

use std::sync::atomic::{AtomicU64, Ordering};

/// Message bytes of one link: frames and blobs, without lengths, openings, QUIC and TLS.
///
/// Sent bytes are counted when they are handed to QUIC, received ones when they are handed up: over a connection that breaks
/// the two sides differ.
#[derive(Debug, Default)]
pub struct Traffic {
    frames_sent: AtomicU64,
    frames_received: AtomicU64,
    blobs_sent: AtomicU64,
    blobs_received: AtomicU64,
}

impl Traffic {
    /// The counts so far.
    pub fn counts(&self) -> TrafficCounts {
        // Statistics: each count is right by itself, no order between them is promised.
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TrafficCounts {
            frame_bytes_sent: load(&self.frames_sent),
            frame_bytes_received: load(&self.frames_received),
            blob_bytes_sent: load(&self.blobs_sent),
            blob_bytes_received: load(&self.blobs_received),
        }
    }

    pub(super) fn frame_sent(&self, bytes: usize) {
        self.frames_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn frame_received(&self, bytes: usize) {
        self.frames_received
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn blob_sent(&self, bytes: usize) {
        self.blobs_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn blob_received(&self, bytes: usize) {
        self.blobs_received
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A [`Traffic`] at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// Frames sent.
    pub frame_bytes_sent: u64,
    /// Frames received.
    pub frame_bytes_received: u64,
    /// Blob bytes sent, those of a cut transfer included.
    pub blob_bytes_sent: u64,
    /// Blob bytes received, those of a cut transfer included.
    pub blob_bytes_received: u64,
}

impl TrafficCounts {
    /// Frames and blobs sent.
    pub fn sent_bytes(&self) -> u64 {
        self.frame_bytes_sent + self.blob_bytes_sent
    }

    /// Frames and blobs received.
    pub fn received_bytes(&self) -> u64 {
        self.frame_bytes_received + self.blob_bytes_received
    }
}
