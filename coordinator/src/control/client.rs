//! The side of the commands.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Answer, MAX_LINE_BYTES, Request, SOCKET};

/// Asks the coordinator that uses this state folder.
///
/// # Errors
/// [`ControlError`] says that none runs, or does not answer.
pub fn ask(state: &Path, request: Request) -> Result<Answer, ControlError> {
    let socket = state.join(SOCKET);
    exchange(&socket, request).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NotRunning {
            state: state.to_owned(),
        },
        _ => ControlError::NoAnswer {
            socket,
            source: error,
        },
    })
}

fn exchange(socket: &Path, request: Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error(
        "no coordinator runs with the state folder {}; start it with `coordinator serve`, or name its settings with --config", state.display()
    )]
    NotRunning {
        /// The state folder.
        state: PathBuf,
    },
    /// It listens, and says nothing that can be read.
    #[error(
        "the coordinator at {} does not answer ({source}); its log says whether it stands still. Both programs must be of the same release", socket.display()
    )]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// What the operating system or the parser says.
        source: io::Error,
    },
}

/// A coordinator that multiplies or writes answers a moment later.
const PATIENCE: Duration = Duration::from_secs(15);
