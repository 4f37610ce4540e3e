//! The UDP socket under an end-point: how long its datagrams may get, and room for bursts of them.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit, UdpSocketState},
};

/// An end-point on a socket of its own.
pub(super) fn bind(address: SocketAddr, server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind(address)?;
    let state = UdpSocketState::new((&socket).into())?;
    // As much as the system allows.
    let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER_BYTES);
    let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER_BYTES);
    over(TokioRuntime.wrap_udp_socket(socket)?, server)
}

/// An end-point over a socket that is there.
pub(super) fn over(
    socket: Arc<dyn AsyncUdpSocket>,
    server: Option<ServerConfig>,
) -> io::Result<Endpoint> {
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(LONGEST_DATAGRAM)
        .map_err(io::Error::other)?;
    let socket = Arc::new(WholeBatches(socket));
    Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
}

/// Hands the system no more at once than it takes. QUIC hands over up to ten datagrams at once, however long they are; of more than
/// [`MAX_BATCH_BYTES`] the system would take none, and nobody would be told.
#[derive(Debug)]
struct WholeBatches(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for WholeBatches {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        let fitting = MAX_BATCH_BYTES / usize::from(LONGEST_DATAGRAM);
        self.0.max_transmit_segments().min(fitting)
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

/// The longest payload of a datagram that is sent or taken, if the path carries it: what a path carries is found out by trying.
pub(super) const LONGEST_DATAGRAM: u16 = 8_952;

/// Of one UDP datagram, which a batch is until the system cuts it up.
const MAX_BATCH_BYTES: usize = 65_507;

/// One stream's window.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
