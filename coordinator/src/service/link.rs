//! One hospital's connection: frames to the owner and back, uploads, downloads.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crypto::sealed_sum::HospitalId;
use protocol::{codec, round::RoundError};
use tokio::{
    fs::File,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use transport::{
    BlobPart, CloseCode, Disconnect, DownloadRequest, FrameSender, HospitalLink, Incoming, Refusal,
    RefusalCode, TransportError, Upload, UploadRequest,
};

use crate::machine::MachineError;

use super::{
    inputs::{Input, Outbound},
    outcomes::{Outcome, Outcomes},
    uploads::{Claim, HeldUpload, UploadName, UploadShelf},
};

/// What a link's tasks share with the rest of the service.
#[derive(Clone)]
pub(super) struct LinkTask {
    pub(super) hospital: HospitalId,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) uploads: Arc<UploadShelf>,
    pub(super) outcomes: Arc<Outcomes>,
}

impl LinkTask {
    /// From the first frame until the hospital is gone and the owner knows.
    pub(super) async fn serve(self, mut link: HospitalLink) {
        let (outbound, queue) = mpsc::channel(WAITING_OUTBOUND);
        let address = link.remote_address();
        self.tell(Input::Connected {
            hospital: self.hospital,
            address,
            outbound,
        })
        .await;
        let mut tasks = JoinSet::new();
        tasks.spawn(write(link.sender(), queue));
        let disconnect = self.read(&mut link, &mut tasks).await;
        // Transfers under way put on the shelf what has come, before this hospital can be back.
        tasks.shutdown().await;
        let traffic = link.traffic().counts();
        self.tell(Input::Disconnected {
            hospital: self.hospital,
            disconnect,
            traffic,
        })
        .await;
    }

    async fn read(&self, link: &mut HospitalLink, tasks: &mut JoinSet<()>) -> Disconnect {
        loop {
            match link.next().await {
                Incoming::Frame(frame) => match codec::decode_frame(&frame) {
                    Ok(message) => {
                        self.tell(Input::Message {
                            hospital: self.hospital,
                            message: Box::new(message),
                        })
                        .await;
                    }
                    Err(error) => {
                        let reason = error.to_string();
                        tracing::warn!(
                            reason,
                            "received bytes that are not a message; closing the connection"
                        );
                        link.sender().abort(CloseCode::Violation, &reason);
                        self.tell(Input::TurnedAway {
                            hospital: Some(self.hospital),
                            reason,
                        })
                        .await;
                    }
                },
                Incoming::Upload(request) => {
                    let task = self.clone();
                    tasks.spawn(async move { report("upload", task.serve_upload(request).await) });
                }
                Incoming::Download(request) => {
                    let task = self.clone();
                    tasks.spawn(
                        async move { report("download", task.serve_download(request).await) },
                    );
                }
                Incoming::Closed(disconnect) => return disconnect,
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    async fn serve_upload(&self, request: UploadRequest) -> Result<(), TransportError> {
        let upload = UploadName {
            name: request.name(),
            total_bytes: request.total_bytes(),
        };
        if self.uploads.was_taken(self.hospital, upload) {
            let mut known = request.accept(upload.total_bytes).await?;
            known.next_leaf().await?;
            return known.accept().await;
        }
        let offer = |answer| Input::OfferUpload {
            hospital: self.hospital,
            bytes: upload.total_bytes,
            answer,
        };
        if let Err(refusal) = self.ask(offer).await {
            return request.refuse(refusal).await;
        }
        match self.uploads.claim(self.hospital, upload) {
            Claim::Held(held) => {
                let transfer = request.accept(held.held_bytes()).await?;
                self.receive(transfer, held).await
            }
            Claim::Busy => {
                let reason = "another upload of this hospital is in progress".to_owned();
                request
                    .refuse(Refusal {
                        code: RefusalCode::Unexpected,
                        reason,
                    })
                    .await
            }
        }
    }

    async fn receive(
        &self,
        mut transfer: Upload,
        mut held: HeldUpload,
    ) -> Result<(), TransportError> {
        let mut told = Instant::now();
        while let Some(leaf) = transfer.next_leaf().await? {
            held.push(&leaf);
            if told.elapsed() >= SIGN_OF_LIFE {
                told = Instant::now();
                self.show_life();
            }
        }
        let bytes = held.take_bytes();
        match self
            .ask(|answer| Input::Upload {
                hospital: self.hospital,
                bytes,
                answer,
            })
            .await
        {
            Ok(()) => {
                held.mark_taken();
                transfer.accept().await
            }
            Err(refusal) => transfer.refuse(refusal).await,
        }
    }

    async fn serve_download(&self, request: DownloadRequest) -> Result<(), TransportError> {
        match self.outcomes.find(&request.name().into()) {
            Some(outcome) => {
                self.show_life();
                match outcome {
                    Outcome::InMemory(bytes) => request.serve(bytes).await?,
                    Outcome::InFiles(paths) => serve_files(request, &paths).await?,
                }
                self.show_life();
                Ok(())
            }
            None => {
                let reason = "there is no outcome of this name, or it is no longer kept".to_owned();
                request
                    .refuse(Refusal {
                        code: RefusalCode::NotFound,
                        reason,
                    })
                    .await
            }
        }
    }

    /// Asks the owner about an upload.
    async fn ask(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<(), MachineError>>) -> Input,
    ) -> Result<(), Refusal> {
        let (answer, verdict) = oneshot::channel();
        self.tell(question(answer)).await;
        match verdict.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => Err(Refusal {
                code: RefusalCode::Unexpected,
                reason: "the coordinator is about to end".to_owned(),
            }),
        }
    }

    async fn tell(&self, input: Input) {
        // The owner ends with the run; then nobody wants to know.
        let _ = self.inputs.send(input).await;
    }

    fn show_life(&self) {
        // A full queue delays it until the next time.
        let _ = self.inputs.try_send(Input::Progress {
            hospital: self.hospital,
        });
    }
}

/// Files that cannot be read abandon the transfer: the hospital asks again.
async fn serve_files(request: DownloadRequest, paths: &[PathBuf]) -> Result<(), TransportError> {
    let served = match open(paths).await {
        Ok(parts) => request.serve_from(parts).await,
        Err(error) => Err(TransportError::Unreadable(error)),
    };
    if let Err(TransportError::Unreadable(error)) = &served {
        let file = paths.first().map(|path| path.display());
        tracing::error!(
            ?file,
            %error,
            "cannot read an outcome that a hospital asks for"
        );
    }
    served
}

async fn open(paths: &[PathBuf]) -> io::Result<Vec<BlobPart<File>>> {
    let mut parts = Vec::new();
    for path in paths {
        let reader = File::open(path).await?;
        let bytes = reader.metadata().await?.len();
        parts.push(BlobPart { reader, bytes });
    }
    Ok(parts)
}

/// Writes what the owner says, until told to close.
async fn write(sender: FrameSender, mut queue: mpsc::Receiver<Outbound>) {
    while let Some(outbound) = queue.recv().await {
        match outbound {
            Outbound::Frame(frame) => match sender.send(frame).await {
                Ok(()) => {}
                Err(error @ TransportError::FrameTooLarge { .. }) => {
                    tracing::error!(%error, "a message is too large for a frame");
                    return sender.close(CloseCode::Done, &error.to_string()).await;
                }
                // The reading side hears of it too, and ends the link.
                Err(_) => return,
            },
            Outbound::Close { code, reason } => return sender.close(code, &reason).await,
        }
    }
    sender.abort(
        CloseCode::Stalled,
        "this participant does not read its messages",
    );
}

fn refusal(error: &MachineError) -> Refusal {
    let code = match error {
        MachineError::WrongPhase { .. }
        | MachineError::NotOnRoster { .. }
        | MachineError::Round {
            fault: RoundError::OtherRound { .. },
            ..
        } => RefusalCode::Unexpected,
        _ => RefusalCode::Invalid,
    };
    Refusal {
        code,
        reason: error.to_string(),
    }
}

/// A transfer that was cut is the hospital's to repeat.
fn report(transfer: &str, result: Result<(), TransportError>) {
    if let Err(error) = result {
        tracing::debug!(transfer, %error, "a transfer failed");
    }
}

/// A hospital is owed at most three messages for each other member in a round, and as many in the set-up.
const WAITING_OUTBOUND: usize = 1024;
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
