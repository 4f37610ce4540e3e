//! The signals that ask a program to stop.
//!
//! They are waited for on a thread of their own, so that a second one is heard whatever the rest of the program is busy with.

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal as _, Write as _},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use anyhow::anyhow;

use tokio::{
    runtime,
    sync::{oneshot, watch},
};

use crate::failure::Failure;

/// A signal that asks a program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT, of Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Listens from its creation on, so that no signal is lost between that and the wait.
///
/// The first Ctrl-C or SIGTERM is the program's to answer: it ends at a safe point. The second ends the process at once, with exit
/// code 3. SIGHUP, which a terminal sends when its window is closed, is noted in the log and changes nothing.
pub struct StopSignals {
    first: oneshot::Receiver<StopSignal>,
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

    /// The first of Ctrl-C and SIGTERM, when it comes.
    pub async fn first(self) -> StopSignal {
        match self.first.await {
            Ok(signal) => signal,
            // Nobody listens any more: no signal will come.
            Err(_) => std::future::pending().await,
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
/// written. Its last words are what the command leaves.
#[derive(Clone, Default)]
pub struct BetweenWrites(Arc<Mutex<String>>);

impl BetweenWrites {
    /// Begins to listen. `leaves` is what a signal leaves before the first write, as half a sentence: "no page is written".
    ///
    /// # Errors
    /// If the operating system does not let it.
    pub fn listen(leaves: impl Into<String>) -> io::Result<Self> {
        let between = Self(Arc::new(Mutex::new(leaves.into())));
        let signals = StopSignals::listen()?;
        let ending = between.clone();
        let runtime = runtime::Builder::new_current_thread().build()?;
        thread::Builder::new()
            .name("stopping".to_owned())
            .spawn(move || {
                let signal = runtime.block_on(signals.first());
                let leaves = ending.leaves();
                let mut stderr = io::stderr();
                if stderr.is_terminal() {
                    // A bar may stand in this line.
                    let _ = writeln!(stderr);
                }
                Failure::Stopped(anyhow!("stopped by {signal}: {leaves}")).report();
                end_at_once();
            })?;
        Ok(between)
    }

    /// Writes, undisturbed by a first signal. From then on, if it succeeds, `leaves` is what a signal leaves.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write<T, E>(
        &self,
        leaves: impl Into<String>,
        write: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut left = self.leaves();
        let written = write()?;
        *left = leaves.into();
        Ok(written)
    }

    /// Waits for a write at hand.
    pub fn settle(&self) {
        drop(self.leaves());
    }

    fn leaves(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: tells of the first signal, ends the process with the second.
fn watch(
    tell: oneshot::Sender<StopSignal>,
    report: &mpsc::Sender<io::Result<()>>,
    end_at_once: &dyn Fn(),
) {
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
        let first = signals.stop().await;
        // A program that does not listen any more is about to end by itself.
        let _ = tell.send(first);
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
    async fn stop(&mut self) -> StopSignal {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return StopSignal::Interrupt,
                _ = self.terminate.recv() => return StopSignal::Terminate,
                _ = self.hangup.recv() => {
                    tracing::info!("received SIGHUP, which changes nothing; SIGTERM or Ctrl-C ends the program");
                }
            }
        }
    }

    /// The next signal that asks the program to stop.
    #[cfg(not(unix))]
    async fn stop(&mut self) -> StopSignal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => StopSignal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
