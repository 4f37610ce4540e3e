//! What the link tasks tell the owner of the machine.

use std::net::SocketAddr;

use crate::machine::MachineError;
use crypto::sealed_sum::HospitalId;
use protocol::message::ToCoordinator;
use tokio::sync::{mpsc, oneshot};
use transport::{CloseCode, Disconnect, TrafficCounts};

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
        outbound: mpsc::Sender<Outbound>,
    },
    /// It says something.
    Message {
        hospital: HospitalId,
        link: LinkNumber,
        message: Box<ToCoordinator>,
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
        bytes: Vec<u8>,
        answer: oneshot::Sender<Result<(), MachineError>>,
    },
    /// It is gone.
    Disconnected {
        hospital: HospitalId,
        link: LinkNumber,
        disconnect: Disconnect,
        traffic: TrafficCounts,
    },
    /// Somebody was not let in.
    TurnedAway {
        hospital: Option<HospitalId>,
        reason: String,
    },
}

/// What the owner tells a link's writer. The queue's end without a [`Outbound::Close`] means that the hospital does not read.
pub(super) enum Outbound {
    /// Send this frame.
    Frame(Vec<u8>),
    /// Deliver what came before, then close.
    Close { code: CloseCode, reason: String },
}
