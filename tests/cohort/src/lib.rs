//! n vaults and a coordinator in memory, on one virtual clock: no socket, no thread, no libtorch.
#![forbid(unsafe_code)]

mod agenda;
pub mod campaign;
mod cohort;
mod effects;
mod faults;
mod happening;
mod invariants;
mod journal;
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
    cohort::{Cohort, Interference, Party, id},
    faults::{Fault, FaultCounts},
    invariants::{Violation, check_notes},
    journal::CohortJournal,
    observation::Observation,
    operation::Operation,
    parties::{CohortVault, CoordinatorParty, Event, Lie, Output, Timestamp},
    scenario::{Ending, Report, Scenario},
    training::{Training, small_change},
};
