//! Reading and writing a QUIC stream against a peer that may stop moving.

use std::time::Duration;

use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::time::timeout;

use super::TransportError;
use super::limits::STREAM_WINDOW_BYTES;
use super::printable::printable;
use super::refusal::Refusal;
use super::wire::{Reply, ReplyHead, StreamOpening};

/// One bidirectional stream that carries a transfer, or has just been opened.
pub(super) struct Stream {
    pub(super) send: SendStream,
    pub(super) receive: RecvStream,
    /// How long the peer may take for any one step.
    pub(super) stall_timeout: Duration,
}

impl Stream {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        write_all(&mut self.send, bytes, self.stall_timeout).await
    }

    /// Fills `buffer`; a stream that ends before is an error.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        timeout(self.stall_timeout, self.receive.read_exact(buffer))
            .await
            .map_err(|_| self.stalled())?
            .map_err(|error| match error {
                ReadExactError::FinishedEarly(_) => TransportError::Abandoned,
                ReadExactError::ReadError(error) => error.into(),
            })
    }

    /// Waits for the peer to end its half, which it must do without another byte.
    pub(super) async fn read_end(&mut self) -> Result<(), TransportError> {
        let mut byte = [0];
        let rest = timeout(self.stall_timeout, self.receive.read(&mut byte)).await;
        match rest.map_err(|_| self.stalled())?? {
            None => Ok(()),
            Some(_) => Err(TransportError::Violation("more bytes than were announced")),
        }
    }

    pub(super) async fn read_opening(&mut self) -> Result<StreamOpening, TransportError> {
        let mut bytes = [0; StreamOpening::BYTES];
        self.read(&mut bytes).await?;
        StreamOpening::decode(&bytes)
    }

    /// The number in a go-ahead.
    ///
    /// # Errors
    /// [`TransportError::Refused`] if the peer said no.
    pub(super) async fn read_reply(&mut self) -> Result<u64, TransportError> {
        let mut head = [0; Reply::HEAD_BYTES];
        self.read(&mut head).await?;
        match Reply::decode_head(&head)? {
            ReplyHead::Go(number) => Ok(number),
            ReplyHead::Refused { code, text_bytes } => {
                let mut text = vec![0; text_bytes];
                self.read(&mut text).await?;
                Err(TransportError::Refused(Refusal {
                    code,
                    reason: printable(&text),
                }))
            }
        }
    }

    pub(super) async fn write_reply(&mut self, reply: &Reply) -> Result<(), TransportError> {
        self.write(&reply.encode()).await
    }

    /// Says no, ends both halves, and waits until the peer has it: a refusal is often followed by a close, which would
    /// otherwise overtake it.
    pub(super) async fn refuse(mut self, refusal: Refusal) -> Result<(), TransportError> {
        // The peer may be in the middle of a blob; it looks for the reason once its writes fail.
        let _ = self.receive.stop(quinn::VarInt::from_u32(0));
        self.write_reply(&Reply::Refused(refusal)).await?;
        self.finish().await
    }

    /// Ends our half and waits until the peer's end-point has all of it.
    pub(super) async fn finish(mut self) -> Result<(), TransportError> {
        flush(&mut self.send, self.stall_timeout).await
    }

    /// Waits until the peer has acknowledged the last of these bytes, or stops the stream. They move unseen from here on: a slow
    /// line takes longer for all that may be under way than a peer may take for one step.
    pub(super) async fn wait_for_delivery(&self, bytes: usize) -> Result<(), TransportError> {
        let under_way = bytes.min(STREAM_WINDOW_BYTES as usize) as u64;
        let waited =
            self.stall_timeout + Duration::from_secs(under_way / SLOWEST_LINE_BYTES_PER_SEC);
        match timeout(waited, self.send.stopped()).await {
            // What became of it, the answer tells.
            Ok(_) => Ok(()),
            Err(_) => Err(TransportError::Stalled { waited }),
        }
    }

    fn stalled(&self) -> TransportError {
        TransportError::Stalled {
            waited: self.stall_timeout,
        }
    }
}

pub(super) async fn write_all(
    stream: &mut SendStream,
    bytes: &[u8],
    stall_timeout: Duration,
) -> Result<(), TransportError> {
    let stalled = TransportError::Stalled {
        waited: stall_timeout,
    };
    Ok(timeout(stall_timeout, stream.write_all(bytes))
        .await
        .map_err(|_| stalled)??)
}

/// Ends a stream and waits until the peer's end-point has acknowledged all of it.
pub(super) async fn flush(
    stream: &mut SendStream,
    stall_timeout: Duration,
) -> Result<(), TransportError> {
    stream.finish().map_err(|_| TransportError::Abandoned)?;
    match timeout(stall_timeout, stream.stopped()).await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(_))) => Err(TransportError::Abandoned),
        Ok(Err(quinn::StoppedError::ConnectionLost(error))) => Err(error.into()),
        Ok(Err(quinn::StoppedError::ZeroRttRejected)) => Err(TransportError::Abandoned),
        Err(_) => Err(TransportError::Stalled {
            waited: stall_timeout,
        }),
    }
}

/// A quarter of what a line with 5% of loss and 200 ms to the other side and back was seen to carry.
const SLOWEST_LINE_BYTES_PER_SEC: u64 = 8 << 10;

impl From<ReadError> for TransportError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => error.into(),
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Abandoned,
        }
    }
}

impl From<WriteError> for TransportError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Abandoned
            }
        }
    }
}
