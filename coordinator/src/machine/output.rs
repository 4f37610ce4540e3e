//! What leaves the machine.

use std::sync::Arc;

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{HeaderHash, OutcomeName},
    message::ToVault,
};

use super::{Event, Fact};

/// What the shell around the machine has to do. Outputs are carried out **in order**, each one completely before the next: a fact
/// is on disk before the message that depends on it leaves. A shell that cannot carry one out carries out none after it.
#[derive(Debug)]
pub enum Output {
    /// Write this fact down, synced.
    Persist(Fact),
    /// Keep these bytes under this name, synced, until they are discarded: [`super::Coordinator::resume`] may ask for them.
    Keep {
        /// hh of the round: there is one sum for each header.
        name: HeaderHash,
        /// The sum, and the boxes that are still needed to open it.
        bytes: Arc<[u8]>,
    },
    /// The bytes kept under this name are not needed any more. There may be none.
    Discard {
        /// The name.
        name: HeaderHash,
    },
    /// Keep these bytes, synced, and serve them to any member that asks for this name.
    Publish {
        /// The name of the outcome, or of a session's state.
        name: OutcomeName,
        /// The name under which an outcome's sum is kept: it ends with the same bytes.
        sum: Option<HeaderHash>,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
    /// After a restart: serve what was published under this name again.
    Republish {
        /// The outcome's name.
        name: OutcomeName,
    },
    /// All have it: stop serving, and discard it. There may be nothing under this name.
    Retract {
        /// The outcome's name.
        name: OutcomeName,
    },
    /// Send a message on the hospital's control stream.
    Send {
        /// To whom.
        to: HospitalId,
        /// What.
        message: Box<ToVault>,
    },
    /// Something to log, count or record.
    Event(Event),
}
