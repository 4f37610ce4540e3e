//! How much a peer may ask of this side, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::{TransportError, datagrams::LONGEST_DATAGRAM};

/// The bounds of one end-point. Both sides may differ; the shorter idle timeout holds for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame on the control channel, in bytes. Default 4 MiB.
    pub max_frame_bytes: u32,
    /// Longest blob, in bytes. Default 64 MiB: the sealed update of 4.2 million parameters takes 17.
    pub max_blob_bytes: u64,
    /// Transfers one hospital may have open at a time. Default 4.
    pub max_transfers: u8,
    /// How long one attempt at a connection may take. Default 3 s.
    pub handshake_timeout: Duration,
    /// A silent connection sends a packet this often. Default 1 s.
    pub keep_alive_interval: Duration,
    /// A peer that has been silent this long is gone. Default 5 s.
    pub idle_timeout: Duration,
    /// A peer that is there but neither reads nor answers for this long is given up. Default 30 s.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_bytes: 4 << 20,
            max_blob_bytes: 64 << 20,
            max_transfers: 4,
            handshake_timeout: Duration::from_secs(3),
            keep_alive_interval: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// For the coordinator: the hospital opens the control stream and its transfers.
    pub(super) fn coordinator_config(&self) -> Result<Arc<TransportConfig>, TransportError> {
        let mut config = self.common_config()?;
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(self.streams()))
            .stream_receive_window(VarInt::from_u32(COORDINATOR_WINDOW_BYTES))
            .send_window(COORDINATOR_WINDOW_BYTES.into());
        Ok(Arc::new(config))
    }

    /// For a coordinator that lets strangers ask: until it is known who a peer is, it has one stream, and little on it.
    pub(super) fn stranger_config(&self) -> Result<Arc<TransportConfig>, TransportError> {
        let mut config = self.common_config()?;
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .stream_receive_window(VarInt::from_u32(COORDINATOR_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(STRANGER_WINDOW_BYTES))
            .send_window(COORDINATOR_WINDOW_BYTES.into());
        Ok(Arc::new(config))
    }

    /// Gives a connection that began with [`stranger_config`](Self::stranger_config) what a hospital may use.
    pub(super) fn admit_as_hospital(&self, connection: &Connection) {
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(self.streams()));
        connection.set_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES * self.streams()));
    }

    /// The control channel and the transfers.
    fn streams(&self) -> u32 {
        1 + u32::from(self.max_transfers)
    }

    /// For the participant: the coordinator opens nothing.
    pub(super) fn participant_config(&self) -> Result<Arc<TransportConfig>, TransportError> {
        let mut config = self.common_config()?;
        config.max_concurrent_bidi_streams(VarInt::from_u32(0));
        Ok(Arc::new(config))
    }

    /// The same for one that lets no more bytes than this come ahead of what it reads: the rest waits at the coordinator, and not here.
    pub(super) fn participant_config_with_window(
        &self,
        window: u32,
    ) -> Result<Arc<TransportConfig>, TransportError> {
        let mut config = self.common_config()?;
        config
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .stream_receive_window(VarInt::from_u32(window))
            .receive_window(VarInt::from_u32(window * self.streams()));
        Ok(Arc::new(config))
    }

    fn common_config(&self) -> Result<TransportConfig, TransportError> {
        let idle_timeout = IdleTimeout::try_from(self.idle_timeout).map_err(|_| {
            TransportError::Configuration {
                detail: format!("an idle timeout of {:?}", self.idle_timeout),
            }
        })?;
        let mut mtu_discovery = MtuDiscoveryConfig::default();
        mtu_discovery.upper_bound(LONGEST_DATAGRAM);
        let mut config = TransportConfig::default();
        config
            .mtu_discovery_config(Some(mtu_discovery))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .max_idle_timeout(Some(idle_timeout))
            .keep_alive_interval(Some(self.keep_alive_interval))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES * self.streams()))
            .send_window(STREAM_WINDOW_BYTES.into());
        Ok(config)
    }
}

/// Bytes under way on one stream: 10 Gbit/s over 3 ms, 1 Gbit/s over 33 ms. More would only be memory, and would let an
/// upload that is cut run further ahead of what has arrived.
pub(super) const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// The same at the coordinator, of one upload and of all that goes to one hospital: a hundred hospitals may upload at once, or fetch at
/// once, and what has not been read here, or not been acknowledged there, is in its memory. 250 Mbit/s over 33 ms.
const COORDINATOR_WINDOW_BYTES: u32 = 1 << 20;

/// A question at the desk has at most 16 KiB.
const STRANGER_WINDOW_BYTES: u32 = 64 << 10;
