//! One running trainer: frames to and from it, its last words, its end.
//!
//! What it sends waits in its pipe until somebody asks for it: a trainer that floods fills no memory here.

use std::{
    collections::VecDeque,
    fmt,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use protocol::training_job::{
    JobWatcher,
    pipe::{self, FromTrainer, JobNumber, PipeError},
};
use zeroize::Zeroizing;

use super::{TrainerError, command::TrainerCommand};

/// A frame, kept until its answer is there, as it may have to be sent again; then erased.
pub(super) type Frame = Arc<Zeroizing<Vec<u8>>>;

/// A trainer that is being spoken to. Ends with this value.
pub(super) struct TrainerChild {
    process: Child,
    /// None once it is to end.
    frames: Option<mpsc::Sender<Frame>>,
    messages: mpsc::Receiver<Result<FromTrainer, PipeError>>,
    words: Arc<Mutex<VecDeque<String>>>,
    log: Option<JoinHandle<()>>,
    /// A job whose answer nobody waits for any more.
    left: Option<JobNumber>,
    /// How it ended, once it has.
    ended: Option<ExitStatus>,
}

/// Why there is no message.
pub(super) enum NoMessage {
    /// The trainer answers no more.
    Lost(Loss),
    /// Nobody waits for it any more; it has been ended.
    Stopped,
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
        let (received, messages) = mpsc::sync_channel(WAITING_MESSAGES);
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
            left: None,
            ended: None,
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

    /// Nobody waits for the answer to this job any more.
    pub(super) fn leave(&mut self, job: JobNumber) {
        self.left = Some(job);
    }

    /// Whether a message is about the job that was left. Its answer is the last one.
    pub(super) fn has_left(&mut self, message: &FromTrainer) -> bool {
        let is_left = self.left.is_some() && message.job() == self.left;
        if is_left && !matches!(message, FromTrainer::Step { .. }) {
            self.left = None;
        }
        is_left
    }

    /// The next message, if it comes in this time; else the trainer goes on.
    pub(super) fn receive_within(
        &mut self,
        patience: Duration,
        watcher: &dyn JobWatcher,
    ) -> Result<Option<FromTrainer>, NoMessage> {
        let began = Instant::now();
        loop {
            if watcher.is_stopped() {
                self.end();
                return Err(NoMessage::Stopped);
            }
            let left = patience.saturating_sub(began.elapsed());
            match self.messages.recv_timeout(left.min(BETWEEN_QUESTIONS)) {
                Ok(Ok(message)) => return Ok(Some(message)),
                Ok(Err(error)) => return Err(NoMessage::Lost(self.lost(error.to_string()))),
                Err(mpsc::RecvTimeoutError::Timeout) if left > BETWEEN_QUESTIONS => {}
                Err(mpsc::RecvTimeoutError::Timeout) => return Ok(None),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let by_itself = self.ends_within(TO_END_BY_ITSELF);
                    let reason = match self.end().filter(|_| by_itself) {
                        Some(status) => ending(status),
                        None => "it has closed its pipe".to_owned(),
                    };
                    return Err(NoMessage::Lost(self.lost(reason)));
                }
            }
        }
    }

    /// The next message. The trainer is lost when it has not come in so long a time `since` then; it is ended when `watcher` says that
    /// nobody waits.
    pub(super) fn receive(
        &mut self,
        since: Instant,
        patience: Duration,
        watcher: &dyn JobWatcher,
    ) -> Result<FromTrainer, NoMessage> {
        let left = patience.saturating_sub(since.elapsed());
        match self.receive_within(left, watcher)? {
            Some(message) => Ok(message),
            None => {
                let reason = format!(
                    "it has not moved for {} seconds (a single step that takes longer is taken for the same: then a smaller batch, or a \
                     faster device, is needed)",
                    patience.as_secs()
                );
                Err(NoMessage::Lost(self.lost(reason)))
            }
        }
    }

    /// Closes its pipe, waits for its end, and gives the last lines of its log.
    pub(super) fn last_words(mut self) -> Vec<String> {
        self.frames = None;
        self.ends_within(TO_END_BY_ITSELF);
        self.lost(String::new()).last_words
    }

    /// Ends it, and gathers what it said last.
    pub(super) fn lost(&mut self, reason: String) -> Loss {
        self.end();
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

    /// Ends it with every process of its group: of a launcher, the trainer behind it too. First by the signal that asks for it, which a
    /// launcher may hand on to another machine, then by the one that cannot be refused.
    fn end(&mut self) -> Option<ExitStatus> {
        self.frames = None;
        if self.ended.is_none() {
            if !self.ends_within(Duration::ZERO) {
                self.signal(Ending::Asked);
                self.ends_within(TO_HEED_A_SIGNAL);
            }
            // Before it is waited for: until then nobody else has its number.
            self.signal(Ending::Forced);
            self.ended = self.wait(TO_BE_KILLED);
        }
        self.ended
    }

    #[cfg(unix)]
    fn signal(&mut self, ending: Ending) {
        let signal = match ending {
            Ending::Asked => rustix::process::Signal::TERM,
            Ending::Forced => rustix::process::Signal::KILL,
        };
        // It leads a group of its own, see `command`. None is left of it: there is nothing to do.
        let _ = rustix::process::kill_process_group(self.group(), signal);
    }

    #[cfg(not(unix))]
    fn signal(&mut self, ending: Ending) {
        if let Ending::Forced = ending {
            let _ = self.process.kill();
        }
    }

    #[cfg(unix)]
    fn group(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.process)
    }

    /// Whether it has ended, or does so in this time. It keeps its number until it is waited for.
    fn ends_within(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while !self.has_ended() {
            if began.elapsed() >= patience {
                return false;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        true
    }

    #[cfg(unix)]
    fn has_ended(&mut self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let looking = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.ended.is_some() || !matches!(waitid(WaitId::Pid(self.group()), looking), Ok(None))
    }

    #[cfg(not(unix))]
    fn has_ended(&mut self) -> bool {
        self.ended.is_some() || !matches!(self.process.try_wait(), Ok(None))
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

/// How a process is told to end.
enum Ending {
    /// It may still put things in order.
    Asked,
    /// At once.
    Forced,
}

/// The pipe closes, upon which a trainer ends by itself; one that does not is ended.
impl Drop for TrainerChild {
    fn drop(&mut self) {
        self.frames = None;
        self.ends_within(TO_END_BY_ITSELF);
        self.end();
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

fn receive_messages(
    stdout: ChildStdout,
    messages: &mpsc::SyncSender<Result<FromTrainer, PipeError>>,
) {
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

/// Decoded and not yet asked for; the rest waits in the pipe.
const WAITING_MESSAGES: usize = 1;
/// How soon a trainer that nobody waits for any more is ended.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(200);
const MAX_LINE_BYTES: u64 = 4096;
const LAST_WORDS: usize = 20;
/// Longer than the second that a trainer at work gives itself.
const TO_END_BY_ITSELF: Duration = Duration::from_secs(5);
const TO_HEED_A_SIGNAL: Duration = Duration::from_millis(500);
const TO_BE_KILLED: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
