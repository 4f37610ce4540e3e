//! `STATE/status.sock`: whoever connects is told the state, as JSON, and nothing is read from it.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::UnixListener,
    sync::watch,
    time::{sleep, timeout},
};

/// Listens in a state folder. Dropped, it removes its socket.
pub(super) struct StatusSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl StatusSocket {
    /// A socket that is there is left from a process that was killed.
    pub(super) fn listen(state: &Path) -> io::Result<Self> {
        let path = state.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers one after the other until it is dropped.
    pub(super) async fn serve(self, mut state: watch::Receiver<Arc<str>>) {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                // Out of file descriptors, for instance.
                sleep(AFTER_A_FAILURE).await;
                continue;
            };
            let answer = async {
                // The first look takes a moment.
                let known = state.wait_for(|state| state.len() > EMPTY).await;
                let state = known.map(|state| Arc::clone(&state));
                if let Ok(state) = state {
                    stream.write_all(state.as_bytes()).await?;
                    stream.shutdown().await?;
                }
                io::Result::Ok(())
            };
            let _ = timeout(PATIENCE, answer).await;
        }
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Asks the participant that uses this state folder where it stands: a JSON object.
///
/// # Errors
/// [`StatusError`].
pub fn ask(state: &Path) -> Result<serde_json::Value, StatusError> {
    let path = state.join(SOCKET);
    exchange(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => StatusError::NotRunning {
            state: state.to_owned(),
        },
        _ => StatusError::NoAnswer { path, source },
    })
}

fn exchange(path: &Path) -> io::Result<serde_json::Value> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.take(MAX_STATE_BYTES).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error("no participant runs with the state folder {}; start it with `participant run`, or name its settings with --config", state.display())]
    NotRunning {
        /// The state folder.
        state: PathBuf,
    },
    /// It listens, and says nothing that can be read.
    #[error("the participant at {} does not answer ({source}); its log says whether it stands still", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What the operating system or the parser says.
        source: io::Error,
    },
}

const SOCKET: &str = "status.sock";
/// What a feed holds before the first look: `{}`.
const EMPTY: usize = 2;
const MAX_STATE_BYTES: u64 = 8 << 20;
const PATIENCE: Duration = Duration::from_secs(10);
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_asks_is_told_the_state_once_there_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let nobody = ask(&state).expect_err("nobody listens");
        assert!(matches!(nobody, StatusError::NotRunning { .. }), "{nobody}");
        fs::write(state.join(SOCKET), "left over").expect("written");
        let socket = StatusSocket::listen(&state).expect("it can listen");
        let about = fs::metadata(state.join(SOCKET)).expect("a socket");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        let (sender, receiver) = watch::channel::<Arc<str>>("{}".into());
        let serving = tokio::spawn(socket.serve(receiver));
        let asked = {
            let state = state.clone();
            tokio::task::spawn_blocking(move || ask(&state))
        };
        sleep(Duration::from_millis(100)).await;
        sender.send("{\"phase\":\"trains\"}".into()).expect("heard");
        let told = asked.await.expect("no panic").expect("an answer");
        assert_eq!(told["phase"], "trains");
        serving.abort();
        let _ = serving.await;
        assert!(!state.join(SOCKET).exists(), "the socket goes with it");
    }
}
