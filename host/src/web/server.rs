//! HTTP on loopback: so many connections at once, and none that stays without asking.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Sleep, sleep},
};

use super::WebError;

/// An address at which a page can be served.
pub struct WebListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl WebListener {
    /// To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`WebError::Address`] if the address cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, WebError> {
        let cannot = |source| WebError::Address { address, source };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address })
    }

    /// With the port that the system has chosen, where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub async fn serve(self, router: Router) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            // What has ended is forgotten.
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of file descriptors, for instance.
                tokio::time::sleep(AFTER_A_FAILURE).await;
                continue;
            };
            // A browser tries again.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let connection = connection(stream, router.clone());
            connections.spawn(async move {
                connection.await;
                drop(place);
            });
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(FOR_A_REQUEST)
        .max_buf_size(MAX_HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let stream = ReadBrowser::new(stream);
    // What goes wrong concerns one browser.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// A connection that breaks off when its browser does not read what it has asked for.
struct ReadBrowser {
    stream: TcpStream,
    /// Since when nothing could be written.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl ReadBrowser {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            stuck: None,
        }
    }

    /// What came of an attempt to write; an error once it was in vain for too long.
    fn note<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let end = || Box::pin(sleep(FOR_READING));
        match self.stuck.get_or_insert_with(end).as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for ReadBrowser {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ReadBrowser {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.note(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

const MAX_CONNECTIONS: usize = 64;
/// For the head of the next one on a connection.
const FOR_A_REQUEST: Duration = Duration::from_secs(30);
/// For a browser to take some of what it has asked for.
const FOR_READING: Duration = Duration::from_secs(30);
const MAX_HEAD_BYTES: usize = 32 << 10;
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);
