//! The one way out of the hospital: what is handed to the transport is in the ledger first.
//!
//! This module owns the dialer, and with it every connection. Nothing else of this crate can send a frame or a blob: it gets
//! [`Passage`] and [`Uploads`], which enter an object before they hand it over. While the ledger cannot be written, nothing leaves.

mod about;
mod uploads;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use crypto::hash::sha256;
use protocol::{
    codec::{self, CodecError},
    digests::OutcomeName,
    message::{ToCoordinator, ToVault},
};
use transport::{
    Blobs, CloseCode, CoordinatorLink, Dialer, Disconnect, FrameSender, TrafficCounts,
    TransportError, Waiting, WireCounts, faults::AsyncUdpSocket,
};

pub(crate) use self::about::About;
pub use self::uploads::{Blob, UploadError, Uploads};
use crate::{
    ledger::{Departure, Extent, Kind, Ledger, LedgerError, Object, Protection, Recipient},
    vault::VaultEvent,
};

/// The way to the coordinator, with the ledger of what takes it.
pub struct WayOut {
    dialer: Dialer,
    clerk: Arc<Clerk>,
    coordinators: CoordinatorsCertificate,
}

/// Until when the certificate is valid that the coordinator has shown last. Clones share it.
#[derive(Clone, Default)]
pub struct CoordinatorsCertificate(Arc<Mutex<Option<SystemTime>>>);

impl CoordinatorsCertificate {
    /// None before the first connection.
    pub fn valid_until(&self) -> Option<SystemTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, until: Option<SystemTime>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// A connection to the coordinator.
pub struct Passage {
    link: CoordinatorLink,
    sender: FrameSender,
    clerk: Arc<Clerk>,
}

/// What a connection has carried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carried {
    /// Message bytes.
    pub messages: TrafficCounts,
    /// Datagrams, as QUIC counts them.
    pub wire: WireCounts,
}

/// Why nothing more can be received over a connection.
pub enum ReceiveError {
    /// It has ended.
    Disconnected(Disconnect),
    /// The coordinator speaks otherwise.
    NoMessage(CodecError),
}

/// Enters what leaves.
struct Clerk {
    ledger: Arc<Ledger>,
    to: Recipient,
    about: Mutex<About>,
}

impl WayOut {
    /// To the coordinator that `dialer` finds and `to` names. `threshold` is t of the roster.
    pub fn new(dialer: Dialer, to: Recipient, threshold: usize, ledger: Arc<Ledger>) -> Self {
        let about = Mutex::new(About::new(threshold));
        Self {
            dialer,
            clerk: Arc::new(Clerk { ledger, to, about }),
            coordinators: CoordinatorsCertificate::default(),
        }
    }

    /// Notes there what certificate the coordinator shows.
    pub fn noting_certificates_in(mut self, coordinators: CoordinatorsCertificate) -> Self {
        self.coordinators = coordinators;
        self
    }

    /// Connects, however long it takes, through `socket` if there is one.
    ///
    /// # Errors
    /// As [`Dialer::connect`].
    pub async fn connect(
        &self,
        socket: Option<Arc<dyn AsyncUdpSocket>>,
        on_wait: impl FnMut(&Waiting),
    ) -> Result<Passage, TransportError> {
        let link = match socket {
            Some(socket) => self.dialer.connect_through(socket, on_wait).await?,
            None => self.dialer.connect(on_wait).await?,
        };
        self.coordinators.note(link.coordinator_valid_until());
        Ok(Passage {
            sender: link.sender(),
            link,
            clerk: Arc::clone(&self.clerk),
        })
    }

    /// Takes note of what happens in the vault: learning rounds are known from it.
    pub fn see(&self, event: &VaultEvent) {
        self.clerk.about().see(event);
    }
}

impl Passage {
    /// Sends a message, once it is entered. A connection that is lost shows in [`receive`](Self::receive).
    ///
    /// # Errors
    /// [`LedgerError`], when it could not be entered and will not be by waiting: it has not left.
    pub async fn send(&self, message: &ToCoordinator) -> Result<(), LedgerError> {
        let frame = codec::encode_frame(message);
        let object = self.clerk.about().message(message);
        let run = self.clerk.about().run();
        let departure = Departure {
            to: &self.clerk.to,
            run,
            object,
            sha256: sha256(&frame),
            extent: Extent::Whole(frame.len() as u64),
        };
        self.clerk.enter(&departure).await?;
        let _ = self.sender.send(frame).await;
        Ok(())
    }

    /// The coordinator's next message. Cancel-safe.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn receive(&mut self) -> Result<ToVault, ReceiveError> {
        let frame = self.link.receive().await;
        let frame = frame.map_err(ReceiveError::Disconnected)?;
        let message = codec::decode_frame(&frame).map_err(ReceiveError::NoMessage)?;
        self.clerk.about().hear(&message);
        Ok(message)
    }

    /// A handle for blobs to the coordinator, beside the messages.
    pub fn uploads(&self) -> Uploads {
        Uploads::new(self.link.blobs(), Arc::clone(&self.clerk))
    }

    /// A handle for blobs from the coordinator.
    pub fn downloads(&self) -> Downloads {
        Downloads(self.link.blobs())
    }

    /// A handle for saying why this hospital leaves.
    pub fn last_word(&self) -> LastWord {
        LastWord {
            sender: self.sender.clone(),
            clerk: Arc::clone(&self.clerk),
        }
    }

    /// What it has carried so far.
    pub fn carried(&self) -> Carried {
        Carried {
            messages: self.link.traffic().counts(),
            wire: self.link.wire(),
        }
    }

    /// Delivers the messages that are queued, and says goodbye.
    pub async fn close(self, code: CloseCode, reason: &str) -> Carried {
        let traffic = self.link.traffic();
        drop(self.sender);
        let wire = self.link.close(code, reason).await;
        Carried {
            messages: traffic.counts(),
            wire,
        }
    }
}

/// Ends a connection with a reason for people.
#[derive(Clone)]
pub struct LastWord {
    sender: FrameSender,
    clerk: Arc<Clerk>,
}

impl LastWord {
    /// Ends the connection at once, with a code that says that this hospital may come back, and without a word.
    pub fn leave(&self) {
        self.sender.abort(CloseCode::ShuttingDown, "");
    }

    /// Says it, once it is entered; where it cannot be entered, it is not said.
    pub async fn say(&self, code: CloseCode, reason: &str) {
        let object = Object {
            kind: Kind::LastWord,
            sum: None,
            protection: Protection::NoPatients,
        };
        let run = self.clerk.about().run();
        let departure = Departure {
            to: &self.clerk.to,
            run,
            object,
            sha256: sha256(reason.as_bytes()),
            extent: Extent::Whole(reason.len() as u64),
        };
        let entered = self.clerk.enter(&departure).await;
        let reason = if entered.is_ok() { reason } else { "" };
        self.sender.close(code, reason).await;
    }
}

/// Fetches blobs. What leaves for that is a name that the coordinator has given, in the opening of a stream.
pub struct Downloads(Blobs);

impl Downloads {
    /// As [`Blobs::download`].
    ///
    /// # Errors
    /// As [`Blobs::download`].
    pub async fn download(
        &self,
        name: OutcomeName,
        held: &mut Vec<u8>,
    ) -> Result<(), TransportError> {
        self.0.download(name.into(), held).await
    }
}

impl Clerk {
    fn about(&self) -> MutexGuard<'_, About> {
        // Plain values: nothing in them is half done.
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an object, and waits while the disk is full, read-only or gone: nothing leaves meanwhile, and nothing is lost.
    async fn enter(&self, departure: &Departure<'_>) -> Result<(), LedgerError> {
        let mut waiting: Option<(Instant, Instant)> = None;
        loop {
            let error = match self.ledger.record(departure) {
                Err(error) if error.may_pass => error,
                result => {
                    if waiting.is_some() && result.is_ok() {
                        tracing::info!("the ledger can be written again; going on");
                    }
                    return result;
                }
            };
            let now = Instant::now();
            let (since, told) = waiting.get_or_insert((now, now));
            if *since == now || *told + BETWEEN_WORDS <= now {
                *told = now;
                let seconds = since.elapsed().as_secs();
                tracing::error!(
                    "{error}; waiting for it since {seconds} s, nothing leaves meanwhile"
                );
            }
            tokio::time::sleep(BEFORE_TRYING_AGAIN).await;
        }
    }
}

const BEFORE_TRYING_AGAIN: Duration = Duration::from_secs(3);
const BETWEEN_WORDS: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(clerk: &Clerk) -> Departure<'_> {
        Departure {
            to: &clerk.to,
            run: None,
            object: clerk.about().message(&ToCoordinator::Heartbeat),
            sha256: [1; 32],
            extent: Extent::Whole(5),
        }
    }

    #[tokio::test]
    async fn nothing_leaves_while_the_ledger_cannot_be_written() {
        let ledger = Arc::new(Ledger::in_memory().expect("made"));
        let clerk = Arc::new(Clerk {
            ledger: Arc::clone(&ledger),
            to: Recipient {
                address: "nowhere:1".into(),
                key: [0; 32],
            },
            about: Mutex::new(About::new(2)),
        });
        ledger.fill_disk(true);
        let waits = Arc::clone(&clerk);
        let mut entering = tokio::spawn(async move { waits.enter(&heartbeat(&waits)).await });
        let soon = Duration::from_millis(300);
        let early = tokio::time::timeout(soon, &mut entering).await;
        assert!(early.is_err(), "it waits");
        ledger.fill_disk(false);
        let entered = tokio::time::timeout(4 * BEFORE_TRYING_AGAIN, entering).await;
        entered
            .expect("in time")
            .expect("no panic")
            .expect("entered");
        ledger.enter_counted().expect("written");
        assert_eq!(ledger.head().entries, 1);
    }
}
