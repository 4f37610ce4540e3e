//! The control channel: frames of opaque bytes, each behind its length as u32, little-endian, on one stream.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::disconnect::{CloseCode, Disconnect};
use super::errors::TransportError;
use super::limits::Limits;
use super::pace::Pace;
use super::streams::{flush, write_all};
use super::traffic::Traffic;
use super::wire::LEAF_BYTES;

/// The sending half of a link's control channel, and the handle with which to end the link. Clones share one queue.
///
/// When the last clone (and the rest of the link) is dropped the connection ends without a reason; [`close`](Self::close) is
/// the polite way.
#[derive(Clone)]
pub struct FrameSender {
    orders: mpsc::Sender<Order>,
    connection: Connection,
    max_frame_bytes: u32,
    stall_timeout: Duration,
}

impl FrameSender {
    /// Starts the task that alone writes to `stream`, so that a caller who gives up waiting cannot leave half a frame there.
    pub(super) fn start(
        stream: SendStream,
        connection: Connection,
        limits: &Limits,
        traffic: Arc<Traffic>,
        pace: Pace,
    ) -> Self {
        // Control frames go ahead of blobs that share the connection.
        let _ = stream.set_priority(1);
        let (orders, queue) = mpsc::channel(QUEUED_FRAMES);
        let sender = Self {
            orders,
            connection: connection.clone(),
            max_frame_bytes: limits.max_frame_bytes,
            stall_timeout: limits.stall_timeout,
        };
        tokio::spawn(write_frames(
            stream,
            connection,
            queue,
            limits.stall_timeout,
            traffic,
            pace,
        ));
        sender
    }

    /// Queues a frame. Frames of one sender arrive in order; waits while 64 are queued already.
    ///
    /// Success means that the frame is on its way, not that it has arrived. Cancel-safe: a frame is queued whole or not.
    ///
    /// # Errors
    /// [`TransportError::FrameTooLarge`], with the link unharmed, or [`TransportError::Closed`].
    pub async fn send(&self, frame: Vec<u8>) -> Result<(), TransportError> {
        if frame.len() as u64 > u64::from(self.max_frame_bytes) {
            return Err(TransportError::FrameTooLarge {
                length: frame.len() as u64,
                limit: self.max_frame_bytes.into(),
            });
        }
        self.orders
            .send(Order::Frame(frame))
            .await
            .map_err(|_| TransportError::Closed(self.disconnect()))
    }

    /// Delivers what is queued, then closes the link with a code and a reason that the peer gets to see.
    ///
    /// Waits until the peer's end-point has the frames, at most the stall timeout. Transfers under way are cut.
    pub async fn close(&self, code: CloseCode, reason: &str) {
        let (finished, done) = oneshot::channel();
        let drain = async {
            if self.orders.send(Order::Finish(finished)).await.is_ok() {
                // An error means that the writer is gone: then there is nothing to wait for.
                let _ = done.await;
            }
        };
        let _ = timeout(self.stall_timeout, drain).await;
        self.abort(code, reason);
    }

    /// Closes the link at once; frames still queued are lost.
    pub fn abort(&self, code: CloseCode, reason: &str) {
        self.connection.close(code.to_wire(), reason.as_bytes());
    }

    fn disconnect(&self) -> Disconnect {
        disconnect(&self.connection)
    }
}

/// The receiving half of a control channel.
pub(super) struct FrameReceiver {
    stream: RecvStream,
    connection: Connection,
    decoder: FrameDecoder,
    stall_timeout: Duration,
    traffic: Arc<Traffic>,
    pace: Pace,
    /// So many bytes may be read before the next turn: as many as of a blob, though they come in smaller chunks.
    allowed: usize,
}

impl FrameReceiver {
    pub(super) fn new(
        stream: RecvStream,
        connection: Connection,
        limits: &Limits,
        traffic: Arc<Traffic>,
        pace: Pace,
    ) -> Self {
        Self {
            stream,
            connection,
            decoder: FrameDecoder::new(limits.max_frame_bytes),
            stall_timeout: limits.stall_timeout,
            traffic,
            pace,
            allowed: 0,
        }
    }

    /// The next frame. Cancel-safe: what has been read of a frame is kept.
    ///
    /// # Errors
    /// [`Disconnect`], after the last frame that arrived before it. A peer that announces too long a frame is disconnected.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, Disconnect> {
        loop {
            // At least one byte is wanted here: a decoder that has all it wants has given the frame out.
            if self.allowed == 0 {
                self.pace.turn().await;
                self.allowed = self.pace.piece_bytes();
            }
            let wanted = self.decoder.wanted_bytes().min(self.allowed);
            match self.stream.read_chunk(wanted, true).await {
                Ok(Some(chunk)) => {
                    self.pace.spent(chunk.bytes.len());
                    self.allowed -= chunk.bytes.len();
                    match self.decoder.push(&chunk.bytes) {
                        Ok(Some(frame)) => {
                            self.traffic.frame_received(frame.len());
                            return Ok(frame);
                        }
                        Ok(None) => {}
                        Err(error) => return Err(violation(&self.connection, &error)),
                    }
                }
                Ok(None) if self.decoder.is_between_frames() => return Err(self.goodbye().await),
                Ok(None) => {
                    return Err(violation(
                        &self.connection,
                        &TransportError::Violation("half a frame"),
                    ));
                }
                Err(error) => {
                    return Err(match TransportError::from(error) {
                        TransportError::Closed(disconnect) => disconnect,
                        other => violation(&self.connection, &other),
                    });
                }
            }
        }
    }

    /// The peer has ended its half; the reason comes with the close that follows at once.
    async fn goodbye(&self) -> Disconnect {
        match timeout(self.stall_timeout, self.connection.closed()).await {
            Ok(error) => error.into(),
            Err(_) => {
                self.connection
                    .close(CloseCode::Done.to_wire(), b"the control channel has ended");
                Disconnect::ByUs
            }
        }
    }
}

/// Disconnects a peer that broke the rules.
pub(super) fn violation(connection: &Connection, error: &TransportError) -> Disconnect {
    // Had the connection been lost before, its own reason says more.
    if let Some(error) = connection.close_reason() {
        return error.into();
    }
    let detail = error.to_string();
    connection.close(CloseCode::Violation.to_wire(), detail.as_bytes());
    Disconnect::Violation { detail }
}

/// Why this connection is no longer usable.
pub(super) fn disconnect(connection: &Connection) -> Disconnect {
    connection
        .close_reason()
        .map_or(Disconnect::ByUs, Disconnect::from)
}

enum Order {
    Frame(Vec<u8>),
    Finish(oneshot::Sender<()>),
}

async fn write_frames(
    mut stream: SendStream,
    connection: Connection,
    mut queue: mpsc::Receiver<Order>,
    stall_timeout: Duration,
    traffic: Arc<Traffic>,
    pace: Pace,
) {
    let written = async {
        while let Some(order) = queue.recv().await {
            match order {
                Order::Frame(frame) => {
                    let length = u32::try_from(frame.len()).expect("checked against a u32 limit");
                    write_all(&mut stream, &length.to_le_bytes(), stall_timeout).await?;
                    // Each piece has the time-out to itself: a long frame over a slow line is not one that nobody reads.
                    for piece in frame.chunks(pace.piece_bytes().min(LEAF_BYTES)) {
                        pace.turn().await;
                        write_all(&mut stream, piece, stall_timeout).await?;
                        pace.spent(piece.len());
                    }
                    traffic.frame_sent(frame.len());
                }
                Order::Finish(finished) => {
                    queue.close();
                    flush(&mut stream, stall_timeout).await?;
                    // The one who asked may have stopped waiting.
                    let _ = finished.send(());
                }
            }
        }
        Ok::<(), TransportError>(())
    };
    if let Err(TransportError::Stalled { waited }) = written.await {
        let reason = format!("nothing was read for {waited:?}");
        connection.close(CloseCode::Stalled.to_wire(), reason.as_bytes());
    }
}

/// Cuts a stream of bytes into frames. Holds no more than has arrived, whatever length is announced.
#[derive(Debug)]
struct FrameDecoder {
    max_frame_bytes: u32,
    prefix: Vec<u8>,
    body: Vec<u8>,
}

impl FrameDecoder {
    fn new(max_frame_bytes: u32) -> Self {
        Self {
            max_frame_bytes,
            prefix: Vec::with_capacity(PREFIX_BYTES),
            body: Vec::new(),
        }
    }

    /// Bytes missing from the length, or else from the frame: [`push`](Self::push) takes at most that many.
    fn wanted_bytes(&self) -> usize {
        match self.length() {
            None => PREFIX_BYTES - self.prefix.len(),
            Some(length) => length as usize - self.body.len(),
        }
    }

    fn is_between_frames(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Takes at most [`wanted_bytes`](Self::wanted_bytes); gives the frame that they complete.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, TransportError> {
        debug_assert!(bytes.len() <= self.wanted_bytes());
        match self.length() {
            None => {
                self.prefix.extend_from_slice(bytes);
                if let Some(length) = self.length()
                    && length > self.max_frame_bytes
                {
                    return Err(TransportError::FrameTooLarge {
                        length: length.into(),
                        limit: self.max_frame_bytes.into(),
                    });
                }
            }
            Some(_) => self.body.extend_from_slice(bytes),
        }
        if self.length().is_some() && self.wanted_bytes() == 0 {
            self.prefix.clear();
            return Ok(Some(std::mem::take(&mut self.body)));
        }
        Ok(None)
    }

    fn length(&self) -> Option<u32> {
        let prefix = self.prefix.as_slice().try_into().ok()?;
        Some(u32::from_le_bytes(prefix))
    }
}

const PREFIX_BYTES: usize = 4;
const QUEUED_FRAMES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `bytes` in pieces of at most `piece`, as QUIC would; the frames, and the error that ended it.
    fn decode(
        bytes: &[u8],
        piece: usize,
        max_frame_bytes: u32,
    ) -> (Vec<Vec<u8>>, Option<TransportError>, FrameDecoder) {
        let mut decoder = FrameDecoder::new(max_frame_bytes);
        let (mut frames, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let taken = rest.len().min(piece).min(decoder.wanted_bytes());
            match decoder.push(&rest[..taken]) {
                Ok(frame) => frames.extend(frame),
                Err(error) => return (frames, Some(error), decoder),
            }
            rest = &rest[taken..];
        }
        (frames, None, decoder)
    }

    #[test]
    fn the_bytes_are_these() {
        let (frames, error, decoder) = decode(&[2, 0, 0, 0, 7, 8, 0, 0, 0, 0], 3, 10);
        assert_eq!(frames, [vec![7, 8], vec![]]);
        assert!(error.is_none() && decoder.is_between_frames());
    }

    #[test]
    fn an_oversize_frame_is_refused_before_anything_is_allocated() {
        let (frames, error, decoder) = decode(&[0xff; 100], 100, 1 << 20);
        assert!(frames.is_empty());
        assert!(matches!(
            error,
            Some(TransportError::FrameTooLarge {
                length: 0xffff_ffff,
                limit: 0x10_0000
            })
        ));
        assert_eq!(decoder.body.capacity(), 0);
    }

    #[test]
    fn an_announced_frame_is_not_allocated_ahead() {
        let mut bytes = (4_u32 << 20).to_le_bytes().to_vec();
        bytes.extend([0; 100]);
        let (frames, error, decoder) = decode(&bytes, 7, 4 << 20);
        assert!(frames.is_empty() && error.is_none());
        assert!(decoder.body.capacity() < 1000);
    }

    proptest! {
        #[test]
        fn frames_round_trip_in_any_pieces(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10),
            piece in 1_usize..60,
        ) {
            let bytes = frames
                .iter()
                .flat_map(|frame| [&(frame.len() as u32).to_le_bytes()[..], frame].concat())
                .collect::<Vec<_>>();
            let (decoded, error, decoder) = decode(&bytes, piece, 50);
            prop_assert_eq!(decoded, frames);
            prop_assert!(error.is_none() && decoder.is_between_frames());
        }

        #[test]
        fn any_bytes_give_frames_within_the_limit(bytes in prop::collection::vec(0_u8..4, 0..300), piece in 1_usize..60) {
            let (frames, _, decoder) = decode(&bytes, piece, 40);
            prop_assert!(frames.iter().all(|frame| frame.len() <= 40));
            prop_assert!(decoder.body.len() < 40);
        }
    }
}
