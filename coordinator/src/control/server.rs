//! The side of the coordinator that runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{Answer, MAX_LINE_BYTES, Request, SOCKET};

/// A question on its way to the owner of the machine.
pub(crate) type Asked = (Request, oneshot::Sender<Answer>);

/// Listens in a state folder. Dropped, it removes its socket.
pub(crate) struct Control {
    listener: UnixListener,
    socket: PathBuf,
    places: Arc<Semaphore>,
}

impl Control {
    /// To be called by whoever holds the lock of the folder: a socket that is there is left from a process that was killed.
    pub(crate) fn listen(state: &Path) -> io::Result<Self> {
        let socket = state.join(SOCKET);
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self {
            listener,
            socket,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(&self, owner: mpsc::Sender<Asked>) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of file descriptors, for instance.
                tokio::time::sleep(AFTER_A_FAILURE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                continue;
            };
            let owner = owner.clone();
            tokio::spawn(async move {
                let _place = place;
                let _ = timeout(PATIENCE, answer(stream, owner)).await;
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

async fn answer(mut stream: UnixStream, owner: mpsc::Sender<Asked>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_LINE_BYTES))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => asked(request, &owner).await,
        Err(error) => Answer::Refused {
            reason: format!("not a request that this release knows: {error}"),
        },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    write.write_all(&line).await
}

async fn asked(request: Request, owner: &mpsc::Sender<Asked>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let ended = || {
        Answer::Refused {
        reason: "the coordinator cannot answer now: its run stands still or is about to end; its log says why".to_owned(),
    }
    };
    if owner.send((request, answer)).await.is_err() {
        return ended();
    }
    answered.await.unwrap_or_else(|_| ended())
}

const MAX_CONNECTIONS: usize = 8;
/// For one request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::control::{ControlError, ask};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_reaches_the_owner_and_nonsense_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let nobody = ask(&state, Request::Status).expect_err("nobody listens");
        assert!(
            matches!(nobody, ControlError::NotRunning { .. }),
            "{nobody}"
        );

        fs::write(state.join(SOCKET), "left over").expect("written");
        let control = Control::listen(&state).expect("it can listen");
        let mode = fs::metadata(state.join(SOCKET))
            .expect("a socket")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let (owner, mut questions) = mpsc::channel::<Asked>(1);
        let serving = tokio::spawn(async move { control.serve(owner).await });
        tokio::spawn(async move {
            while let Some((request, answer)) = questions.recv().await {
                let said = match request {
                    Request::Without { hospital: 3 } => Answer::Done,
                    other => Answer::Refused {
                        reason: format!("{other:?}"),
                    },
                };
                let _ = answer.send(said);
            }
        });
        let asking = |request| {
            let state = state.clone();
            tokio::task::spawn_blocking(move || ask(&state, request).expect("an answer"))
        };
        let answer = asking(Request::Without { hospital: 3 })
            .await
            .expect("no panic");
        assert_eq!(answer, Answer::Done);
        let answer = asking(Request::Status).await.expect("no panic");
        assert_eq!(
            answer,
            Answer::Refused {
                reason: "Status".into()
            }
        );
        let socket = state.join(SOCKET);
        let said = tokio::task::spawn_blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("it listens");
            stream
                .write_all(b"{\"ask\": \"nonsense\"}\n")
                .expect("written");
            let mut said = String::new();
            stream.read_to_string(&mut said).expect("an answer");
            said
        });
        assert!(said.await.expect("no panic").contains("not a request"));
        serving.abort();
        let _ = serving.await;
        assert!(!state.join(SOCKET).exists(), "the socket goes with it");
    }
}
