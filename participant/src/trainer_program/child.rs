//! One running trainer: frames to and from it, and its last words.

use std::{
    collections::VecDeque,
    fmt,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use protocol::training_job::pipe::{self, FromTrainer, PipeError};

use super::{TrainerError, command::TrainerCommand};

/// A frame, kept until its answer is there: it may have to be sent again.
pub(super) type Frame = Arc<[u8]>;

/// A trainer that is being spoken to. Ends with this value.
pub(super) struct TrainerChild {
    process: Child,
    /// None once it is to end.
    frames: Option<mpsc::Sender<Frame>>,
    messages: mpsc::Receiver<Result<FromTrainer, PipeError>>,
    words: Arc<Mutex<VecDeque<String>>>,
    log: Option<JoinHandle<()>>,
}

/// Why a trainer answers no more, with its last words.
#[derive(Debug)]
pub struct Loss {
    reason: String,
    last_words: Vec<String>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match self.last_words.as_slice() {
            [] => f.write_str("; it wrote nothing to its log"),
            lines => write!(f, "; the end of its log:\n  {}", lines.join("\n  ")),
        }
    }
}

impl TrainerChild {
    /// Starts the program and the threads around it.
    pub(super) fn start(command: &TrainerCommand) -> Result<Self, TrainerError> {
        let mut process = command.start()?;
        let streams = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        );
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            unreachable!("all three are piped")
        };
        let (frames, to_send) = mpsc::channel();
        let (received, messages) = mpsc::channel();
        let words = Arc::default();
        let log = thread::spawn({
            let words = Arc::clone(&words);
            move || follow_log(stderr, &words)
        });
        thread::spawn(move || send_frames(stdin, &to_send));
        thread::spawn(move || receive_messages(stdout, &received));
        Ok(Self {
            process,
            frames: Some(frames),
            messages,
            words,
            log: Some(log),
        })
    }

    /// Its number in the operating system; a launcher's, if there is one.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a frame. One that does not arrive shows in [`receive`](Self::receive).
    pub(super) fn send(&self, frame: Frame) {
        if let Some(frames) = &self.frames {
            let _ = frames.send(frame);
        }
    }

    /// The next message, for which it may take so long.
    pub(super) fn receive(&mut self, patience: Duration) -> Result<FromTrainer, Loss> {
        match self.messages.recv_timeout(patience) {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(self.lost(error.to_string())),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let reason = format!("it has said nothing for {} seconds", patience.as_secs());
                Err(self.lost(reason))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let reason = match self.wait(TO_END_BY_ITSELF) {
                    Some(status) => ending(status),
                    None => "it has closed its pipe".to_owned(),
                };
                Err(self.lost(reason))
            }
        }
    }

    /// Ends it, and gathers what it said last.
    pub(super) fn lost(&mut self, reason: String) -> Loss {
        self.frames = None;
        let _ = self.process.kill();
        let _ = self.wait(TO_BE_KILLED);
        // Its log ends with it, unless a process of its own lives on.
        let waited = Instant::now();
        while self.log.as_ref().is_some_and(|log| !log.is_finished())
            && waited.elapsed() < TO_BE_KILLED
        {
            thread::sleep(BETWEEN_LOOKS);
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        Loss {
            reason,
            last_words: words.iter().cloned().collect(),
        }
    }

    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if began.elapsed() < patience => thread::sleep(BETWEEN_LOOKS),
                _ => return None,
            }
        }
    }
}

/// The pipe closes, upon which a trainer ends by itself; one that does not is ended.
impl Drop for TrainerChild {
    fn drop(&mut self) {
        self.frames = None;
        if self.wait(TO_END_BY_ITSELF).is_none() {
            let _ = self.process.kill();
            let _ = self.wait(TO_BE_KILLED);
        }
    }
}

fn send_frames(mut stdin: ChildStdin, frames: &mpsc::Receiver<Frame>) {
    while let Ok(frame) = frames.recv() {
        if let Err(error) = pipe::write_frame(&mut stdin, &frame) {
            // The trainer is gone, which its other pipe tells; or the frame is too long, which only this place knows.
            tracing::warn!("a message did not reach the trainer: {error}");
            return;
        }
    }
}

fn receive_messages(stdout: ChildStdout, messages: &mpsc::Sender<Result<FromTrainer, PipeError>>) {
    let mut reader = BufReader::new(stdout);
    while let Some(message) = pipe::read_message(&mut reader).transpose() {
        let failed = message.is_err();
        if messages.send(message).is_err() || failed {
            return;
        }
    }
}

/// Hands the trainer's log on to ours, line by line, and keeps the last lines.
fn follow_log(stderr: ChildStderr, words: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut reader)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if line.is_empty() {
            continue;
        }
        log_line(&line);
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(line);
    }
}

/// The level is the first word of what the trainer itself logs; a library's lines have none.
fn log_line(line: &str) {
    match line.split_once(' ') {
        Some(("ERROR", text)) => tracing::error!("trainer: {text}"),
        Some(("WARN", text)) => tracing::warn!("trainer: {text}"),
        Some(("INFO", text)) => tracing::info!("trainer: {text}"),
        Some(("DEBUG" | "TRACE", text)) => tracing::debug!("trainer: {text}"),
        _ => tracing::warn!("trainer: {line}"),
    }
}

fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return match signal {
            9 => "it was killed by signal 9, as the operating system does when memory is exhausted"
                .to_owned(),
            signal => format!("it was ended by signal {signal}"),
        };
    }
    match status.code() {
        Some(code) => format!("it has ended with exit code {code}"),
        None => "it has ended".to_owned(),
    }
}

const MAX_LINE_BYTES: u64 = 4096;
const LAST_WORDS: usize = 20;
/// Longer than the second that a trainer at work gives itself.
const TO_END_BY_ITSELF: Duration = Duration::from_secs(5);
const TO_BE_KILLED: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
