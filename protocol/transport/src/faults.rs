//! Deliberate faults, for simulations and tests: a participant that vanishes without a goodbye.
//!
//! Dropping a QUIC connection tells the peer. A machine that loses power, or a cable that is pulled, does not. A
//! [`Silenceable`] socket lets one process play that: once silenced, nothing leaves it and nothing comes in, whatever the
//! end-point above still tries.
//!
//! ```no_run
//! # use transport::{Dialer, TransportError, faults::Silenceable};
//! # async fn example(dialer: Dialer) -> Result<(), TransportError> {
//! let (socket, silencer) = Silenceable::bind(([127, 0, 0, 1], 0).into())?;
//! let link = dialer.connect_through(socket, |_| ()).await?;
//! silencer.silence(); // from here on the coordinator hears nothing,
//! drop(link); // not even this.
//! # Ok(()) }
//! ```

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{Runtime, TokioRuntime, UdpPoller};

pub use quinn::AsyncUdpSocket;

use super::TransportError;

/// A UDP socket with a switch that cuts it off.
#[derive(Debug)]
pub struct Silenceable {
    socket: Arc<dyn AsyncUdpSocket>,
    silenced: Arc<AtomicBool>,
}

impl Silenceable {
    /// Opens a socket at `address` and gives the switch with it. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`TransportError::Bind`].
    pub fn bind(
        address: SocketAddr,
    ) -> Result<(Arc<dyn AsyncUdpSocket>, Silencer), TransportError> {
        let socket = UdpSocket::bind(address)
            .and_then(|socket| TokioRuntime.wrap_udp_socket(socket))
            .map_err(|source| TransportError::Bind { address, source })?;
        let silenced = Arc::new(AtomicBool::new(false));
        let silencer = Silencer(Arc::clone(&silenced));
        Ok((Arc::new(Self { socket, silenced }), silencer))
    }

    fn is_silenced(&self) -> bool {
        self.silenced.load(Ordering::Acquire)
    }
}

impl AsyncUdpSocket for Silenceable {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        if self.is_silenced() {
            return Ok(());
        }
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.is_silenced() {
            // Nothing will ever come: no one needs to be woken.
            return Poll::Pending;
        }
        self.socket.poll_recv(cx, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

/// The switch of a [`Silenceable`] socket.
#[derive(Clone, Debug)]
pub struct Silencer(Arc<AtomicBool>);

impl Silencer {
    /// Cuts the socket off, for good.
    pub fn silence(&self) {
        self.0.store(true, Ordering::Release);
    }
}
