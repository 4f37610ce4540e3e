//! The signals that ask a program to stop.

use std::io;

/// Listens from its creation on, so that no signal is lost between that and the wait.
pub struct StopSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Begins to listen. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the operating system does not let it.
    pub fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Ends with the first of ctrl-c and SIGTERM.
    #[cfg_attr(
        not(unix),
        expect(unused_mut, reason = "only Unix signals are received by reference")
    )]
    pub async fn first(mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
