//! What the link tasks tell the owner of the machine.

use std::net::SocketAddr;

use crate::{
    control::{Answer, Request},
    machine::MachineError,
};
use crypto::sealed_sum::HospitalId;
use protocol::message::ToCoordinator;
use tokio::sync::{mpsc, oneshot};
use transport::{CloseCode, Disconnect, TrafficCounts};

use super::{
    byte_budget::{ByteBudget, Room},
    held_bytes::HeldBytes,
};

/// Tells the connections of this process apart: of one hospital, the end of an old one may become known after the new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkNumber(u64);

impl LinkNumber {
    /// This number; the next one takes its place.
    pub(super) fn take(&mut self) -> Self {
        let next = Self(self.0 + 1);
        std::mem::replace(self, next)
    }
}

/// One thing that has happened.
pub(super) enum Input {
    /// A hospital has come in.
    Connected {
        hospital: HospitalId,
        link: LinkNumber,
        address: SocketAddr,
        outbox: Outbox,
    },
    /// It says something.
    Message {
        hospital: HospitalId,
        link: LinkNumber,
        message: Box<ToCoordinator>,
        /// What it takes of the hospital's budget until it is handled.
        room: Room,
    },
    /// It would like to upload so many bytes.
    OfferUpload {
        hospital: HospitalId,
        bytes: u64,
        answer: oneshot::Sender<Result<(), MachineError>>,
    },
    /// Bytes move: a sign of life.
    Progress { hospital: HospitalId },
    /// It has uploaded this.
    Upload {
        hospital: HospitalId,
        bytes: HeldBytes,
        answer: oneshot::Sender<Result<(), MachineError>>,
    },
    /// It is gone.
    Disconnected {
        hospital: HospitalId,
        link: LinkNumber,
        disconnect: Disconnect,
        traffic: TrafficCounts,
    },
    /// The operator asks something.
    Operator {
        request: Request,
        answer: oneshot::Sender<Answer>,
    },
    /// Somebody was not let in.
    TurnedAway {
        hospital: Option<HospitalId>,
        reason: String,
    },
}

/// The owner's end of the queue to a link's writer.
pub(super) struct Outbox {
    queue: mpsc::Sender<Outbound>,
    budget: ByteBudget,
}

/// The queue to a hospital is full: it does not read.
pub(super) struct QueueFull;

impl Outbox {
    /// For a link, and the writer's end.
    pub(super) fn new() -> (Self, mpsc::Receiver<Outbound>) {
        let (queue, outbound) = mpsc::channel(WAITING_OUTBOUND);
        let budget = ByteBudget::new(WAITING_OUTBOUND_BYTES);
        (Self { queue, budget }, outbound)
    }

    pub(super) fn send(&self, frame: Vec<u8>) -> Result<(), QueueFull> {
        let room = self.budget.reserve(frame.len()).ok_or(QueueFull)?;
        self.queue(Outbound::Frame(frame, room))
    }

    /// Delivers what came before, then closes.
    pub(super) fn close(&self, code: CloseCode, reason: String) -> Result<(), QueueFull> {
        self.queue(Outbound::Close { code, reason })
    }

    fn queue(&self, outbound: Outbound) -> Result<(), QueueFull> {
        self.queue.try_send(outbound).map_err(|_| QueueFull)
    }
}

/// A hospital is owed at most three messages for each other member in a round, and as many in the set-up.
const WAITING_OUTBOUND: usize = 1024;
/// The largest messages are the products, of at most one frame: 4 MiB. Set-up and boxes of a hundred hospitals take 1.5 MB.
const WAITING_OUTBOUND_BYTES: u32 = 12 << 20;

/// What the owner tells a link's writer. The queue's end without a [`Outbound::Close`] means that the hospital does not read.
pub(super) enum Outbound {
    /// Send this frame.
    Frame(Vec<u8>, Room),
    /// Deliver what came before, then close.
    Close { code: CloseCode, reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_not_read_holds_few_large_messages() {
        let (outbox, mut queue) = Outbox::new();
        let products = || vec![0; 3_800_000];
        let taken = (0..WAITING_OUTBOUND).take_while(|_| outbox.send(products()).is_ok());
        assert_eq!(taken.count(), 3);
        assert!(
            outbox.send(vec![0; 1000]).is_ok(),
            "there is room for a small one"
        );
        drop(queue.try_recv().expect("the first one is sent"));
        assert!(outbox.send(products()).is_ok());
    }
}
