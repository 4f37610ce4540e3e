//! Where a simulation cuts a hospital off, to show that the others go on. A participant in production has [`NoInterruptions`].

use std::{future::Future, pin::Pin, sync::Arc};

use protocol::digests::LearningRound;
use transport::{TransportError, faults::AsyncUdpSocket};

/// A moment of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Trained and sealed, nothing sent.
    BeforeUpload,
    /// Half of the contribution is sent.
    MidUpload,
    /// The contribution is accepted.
    AfterUpload,
    /// The unlock request has arrived and is not answered.
    BeforeUnlock,
}

/// Decides when the link dies and when it may come back.
pub trait Interruptions: Send + Sync {
    /// The socket to connect through, if it is to be one that can be silenced.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn socket(&self) -> Result<Option<Arc<dyn AsyncUdpSocket>>, TransportError>;

    /// Whether the link dies at this moment of this learning round. When true, the socket is silent already.
    fn interrupts(&self, moment: Moment, learning_round: LearningRound) -> bool;

    /// Whether the link is dead.
    fn is_cut_off(&self) -> bool;

    /// Ends when the hospital may come back.
    fn returned(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// No interruption, ever.
pub struct NoInterruptions;

impl Interruptions for NoInterruptions {
    fn socket(&self) -> Result<Option<Arc<dyn AsyncUdpSocket>>, TransportError> {
        Ok(None)
    }

    fn interrupts(&self, _: Moment, _: LearningRound) -> bool {
        false
    }

    fn is_cut_off(&self) -> bool {
        false
    }

    fn returned(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}
