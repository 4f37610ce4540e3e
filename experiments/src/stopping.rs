//! What Ctrl-C and SIGTERM do to a simulation or a reproduction. While a federation runs, the first one ends it at a safe point; at any
//! other time, and the second one, end the process at once: what is on disk is whole at every moment.
//!
//! "At once" is `_exit`: libtorch's threads may compute, and its destructors crash beside them.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::anyhow;
use host::{failure::Failure, signals::StopSignals};
use model::end_process;
use tokio::{runtime, sync::watch};

/// A signal has stopped the work.
#[derive(Debug, thiserror::Error)]
#[error("stopped before the end")]
pub struct Interrupted;

/// Reacts to Ctrl-C and SIGTERM. Clones share it.
#[derive(Clone)]
pub struct Stopping {
    state: Arc<Mutex<State>>,
    asked: watch::Receiver<bool>,
}

struct State {
    /// Whether somebody waits for the signal, to end at a safe point.
    is_waited_for: bool,
    /// The command that goes on later, where one can.
    to_go_on: Option<String>,
    /// What goes as long as nothing can go on: a file or a folder with all in it, and then the folder around it, if that is to go too.
    to_remove: Option<(PathBuf, Option<PathBuf>)>,
}

impl Stopping {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State {
            is_waited_for: false,
            to_go_on: None,
            to_remove: None,
        }));
        let (ask, asked) = watch::channel(false);
        let stopping = Self { state, asked };
        let ending = stopping.clone();
        let signals = StopSignals::listen_and(move || end_at_once(&ending.state()))?;
        let listening = stopping.clone();
        let runtime = runtime::Builder::new_current_thread().build()?;
        thread::Builder::new()
            .name("stopping".to_owned())
            .spawn(move || {
                runtime.block_on(signals.first());
                listening.on_signal(&ask);
                // Dropped, it would look like a request.
                runtime.block_on(std::future::pending::<()>());
            })?;
        Ok(stopping)
    }

    /// From now on the work can go on by this command, whenever it is stopped.
    pub fn can_go_on(&self, command: String) {
        self.state().to_go_on = Some(command);
    }

    /// Begins what can go on by this command: a signal comes before, or when it can.
    ///
    /// # Errors
    /// What `begin` says.
    pub fn begins(
        &self,
        command: String,
        begin: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut state = self.state();
        begin()?;
        state.to_go_on = Some(command);
        Ok(())
    }

    /// Makes something of which a signal removes what `begun` names, before the work [can go on](Self::can_go_on): a file or a folder,
    /// and then the folder around it, if there is nothing else in it. A signal comes before it is made, or finds it.
    ///
    /// # Errors
    /// What `make` says.
    pub fn makes<T>(
        &self,
        make: impl FnOnce() -> anyhow::Result<T>,
        begun: impl FnOnce(&T) -> Option<(PathBuf, Option<PathBuf>)>,
    ) -> anyhow::Result<T> {
        let mut state = self.state();
        let made = make()?;
        state.to_remove = begun(&made);
        Ok(made)
    }

    /// Waits for the signal as long as the value lives: who has it ends at a safe point.
    pub fn wait(&self) -> WaitsForSignal {
        self.state().is_waited_for = true;
        WaitsForSignal(self.clone())
    }

    fn on_signal(&self, ask: &watch::Sender<bool>) {
        let state = self.state();
        if state.is_waited_for {
            let _ = writeln!(
                io::stderr(),
                "stopping at a safe point; once more to stop at once"
            );
            ask.send_replace(true);
            return;
        }
        end_at_once(&state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end_at_once(state: &State) {
    let failure = match (&state.to_go_on, &state.to_remove) {
        (None, Some((begun, folder))) => {
            let error = anyhow!("{Interrupted}: {}", removed(begun));
            // One that is not empty stays.
            let _ = folder.as_ref().map(fs::remove_dir);
            Failure::Stopped(error)
        }
        _ => Failure::stopped(Interrupted),
    };
    failure.report();
    if let Some(command) = &state.to_go_on {
        // Not `eprintln!`, which panics when the terminal is gone.
        let _ = writeln!(io::stderr(), "to go on: {command}");
    }
    end_process(failure.code())
}

/// Removes what was begun, and says so.
fn removed(begun: &Path) -> String {
    // Other threads may still write into it; they cannot make anew what is gone.
    for _ in 0..REMOVALS {
        let gone = if begun.is_dir() {
            fs::remove_dir_all(begun)
        } else {
            fs::remove_file(begun)
        };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                thread::sleep(BETWEEN_REMOVALS);
            }
            _ => return "what was begun is removed".to_owned(),
        }
    }
    format!("what was begun is left in {}", begun.display())
}

const REMOVALS: u32 = 50;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(20);

/// While it lives, the first signal ends the federation at a safe point.
pub struct WaitsForSignal(Stopping);

impl WaitsForSignal {
    /// Comes with the signal.
    pub async fn signal(&self) {
        let mut asked = self.0.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for WaitsForSignal {
    fn drop(&mut self) {
        self.0.state().is_waited_for = false;
    }
}
