//! n vaults and a coordinator in memory, on one virtual clock: no socket, no thread, no training.
//!
//! Two ways to use it. [`Cohort::immediate`] is for a test that tells a story: nothing takes time, and the test changes, loses and
//! spoils what it wants. A [`Scenario`] is for the search of faults: everything follows from a seed, what goes wrong is a list of
//! [`Operation`]s, and what must hold whatever goes wrong is checked at every step (see [`Violation`]).
//!
//! ```text
//!             agenda: the one clock, and what is on its way
//!                 |                          ^
//!                 v                          |
//!  happening: arrives, is late, is lost    effects: sent, uploaded, trained; a party stops between any two
//!                 |                          ^
//!                 v                          |
//!           parties: the machines and their outputs ----> observation ----> invariants <---- reference
//! ```
//!
//! | module | what |
//! |---|---|
//! | `parties` | the machines' interfaces, in one file |
//! | `network`, `transfers`, `timing` | connections, uploads and downloads, and how long they take |
//! | `operation`, `scenario`, [`campaign`] | what goes wrong, one run with it, many runs and the shortest list that still fails |
//! | `reference`, `observation`, `invariants` | what sums have to be, what an onlooker sees, what must hold |
//!
//! The coordinator may end between any two effects and go on from its disk. What the cohort does not do: a participant that ends does not
//! come back, since a vault cannot be read back from disk. Bytes on the wire are right or lost, never altered, unless a test alters them:
//! QUIC sees to that.
#![forbid(unsafe_code)]

mod agenda;
pub mod campaign;
mod cohort;
mod effects;
mod faults;
mod happening;
mod invariants;
mod journal;
mod kept_upload;
mod network;
mod observation;
mod operation;
mod parties;
mod records;
mod reference;
mod scenario;
mod timing;
mod training;
mod transfers;

pub use self::{
    cohort::{Cohort, Interference, Loss, Party, SpoiltUpdate, id},
    faults::{Fault, FaultCounts},
    invariants::{Violation, check_notes},
    journal::CohortJournal,
    kept_upload::Damage,
    observation::Observation,
    operation::Operation,
    parties::{CohortVault, CoordinatorParty, Event, Lie, Output, Timestamp},
    scenario::{Ending, Report, Scenario},
    training::{Training, small_change},
};
