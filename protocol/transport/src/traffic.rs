//! What a link has moved, counted in the bytes that the layer above handed over.

use std::{
    ops::Add,
    sync::atomic::{AtomicU64, Ordering},
};

use quinn::ConnectionStats;

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

/// What QUIC itself counts on a connection: payload of UDP datagrams, with everything that QUIC and TLS add to the message bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Their payload, in bytes.
    pub datagram_bytes_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Their payload, in bytes.
    pub datagram_bytes_received: u64,
    /// Pieces of streams sent, those that were sent again included.
    pub stream_frames_sent: u64,
    /// Of the datagrams sent, those that only tried how long a datagram may be.
    pub probes_sent: u64,
    /// Packets of ours that were lost on the way, and what was in them sent again.
    pub packets_lost: u64,
    /// Their length, in bytes.
    pub bytes_lost: u64,
}

impl From<ConnectionStats> for WireCounts {
    fn from(stats: ConnectionStats) -> Self {
        Self {
            datagrams_sent: stats.udp_tx.datagrams,
            datagram_bytes_sent: stats.udp_tx.bytes,
            datagrams_received: stats.udp_rx.datagrams,
            datagram_bytes_received: stats.udp_rx.bytes,
            stream_frames_sent: stats.frame_tx.stream,
            probes_sent: stats.path.sent_plpmtud_probes,
            packets_lost: stats.path.lost_packets,
            bytes_lost: stats.path.lost_bytes,
        }
    }
}

impl Add for WireCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            datagrams_sent: self.datagrams_sent + other.datagrams_sent,
            datagram_bytes_sent: self.datagram_bytes_sent + other.datagram_bytes_sent,
            datagrams_received: self.datagrams_received + other.datagrams_received,
            datagram_bytes_received: self.datagram_bytes_received + other.datagram_bytes_received,
            stream_frames_sent: self.stream_frames_sent + other.stream_frames_sent,
            probes_sent: self.probes_sent + other.probes_sent,
            packets_lost: self.packets_lost + other.packets_lost,
            bytes_lost: self.bytes_lost + other.bytes_lost,
        }
    }
}
