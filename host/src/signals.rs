//! The signals that ask a program to stop.
//!
//! They are waited for on a thread of their own, so that a second one is heard whatever the rest of the program is busy with.

use std::{
    io, process,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::{
    runtime,
    sync::{oneshot, watch},
};

/// Listens from its creation on, so that no signal is lost between that and the wait.
///
/// The first Ctrl-C or SIGTERM is the program's to answer: it ends at a safe point. The second ends the process at once, with exit
/// code 3. SIGHUP, which a terminal sends when its window is closed, is noted in the log and changes nothing.
pub struct StopSignals {
    first: oneshot::Receiver<()>,
}

impl StopSignals {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the operating system does not let it.
    pub fn listen() -> io::Result<Self> {
        Self::listen_and(end_at_once)
    }

    /// The same for a program that has another way to end at once, which the second signal takes.
    ///
    /// # Errors
    /// If the operating system does not let it.
    pub fn listen_and(end_at_once: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (tell, first) = oneshot::channel();
        let (report, started) = mpsc::channel();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || watch(tell, &report, &end_at_once))?;
        started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread for signals has ended")))?;
        Ok(Self { first })
    }

    /// Ends with the first of Ctrl-C and SIGTERM.
    pub async fn first(self) {
        if self.first.await.is_err() {
            // Nobody listens any more: no signal will come.
            std::future::pending().await
        }
    }
}

/// The first signal, for as many parts of a program as want to hear of it.
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Begins to listen, as [`StopSignals`] do. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the operating system does not let it.
    pub fn listen() -> io::Result<Self> {
        let signals = StopSignals::listen()?;
        let (tell, stop) = watch::channel(false);
        tokio::spawn(async move {
            signals.first().await;
            tell.send_replace(true);
            tell.closed().await;
        });
        Ok(Self(stop))
    }

    /// Ends when the first signal has come, also if that was before.
    pub async fn asked(&self) {
        // Its sender lives as long as somebody listens.
        let _ = self.0.clone().wait_for(|asked| *asked).await;
    }
}

/// For a command that has no safe point of its own: the first signal ends the process with exit code 3, but not while something is being
/// written.
#[derive(Clone, Default)]
pub struct BetweenWrites(Arc<Mutex<()>>);

impl BetweenWrites {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the operating system does not let it.
    pub fn listen() -> io::Result<Self> {
        let between = Self::default();
        let signals = StopSignals::listen()?;
        let ending = between.clone();
        let runtime = runtime::Builder::new_current_thread().build()?;
        thread::Builder::new()
            .name("stopping".to_owned())
            .spawn(move || {
                runtime.block_on(signals.first());
                let _written = ending.0.lock().unwrap_or_else(PoisonError::into_inner);
                end_at_once();
            })?;
        Ok(between)
    }

    /// Writes, undisturbed by a first signal.
    pub fn write<T>(&self, write: impl FnOnce() -> T) -> T {
        let _writing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write()
    }
}

/// The thread: tells of the first signal, ends the process with the second.
fn watch(tell: oneshot::Sender<()>, report: &mpsc::Sender<io::Result<()>>, end_at_once: &dyn Fn()) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(report.send(Err(error))),
    };
    runtime.block_on(async {
        let mut signals = match Signals::register() {
            Ok(signals) => signals,
            Err(error) => return drop(report.send(Err(error))),
        };
        // Whoever asked waits for the answer.
        let _ = report.send(Ok(()));
        signals.stop().await;
        // A program that does not listen any more is about to end by itself.
        let _ = tell.send(());
        signals.stop().await;
        tracing::warn!("stopping at once: a second signal has come");
        end_at_once();
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever signals twice wants the process to end whatever it does; its memory ends with it"
)]
fn end_at_once() {
    process::exit(3);
}

struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn register() -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that asks the program to stop.
    #[cfg(unix)]
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::info!("received SIGHUP, which changes nothing; SIGTERM or Ctrl-C ends the program");
                }
            }
        }
    }

    /// The next signal that asks the program to stop.
    #[cfg(not(unix))]
    async fn stop(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
