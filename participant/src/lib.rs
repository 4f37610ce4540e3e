//! A hospital's participant: the vault, which holds every key and the clinical features, and the trainer, which holds the scans.
//!
//! | module | what |
//! |---|---|
//! | [`vault`] | the hospital's side of the round as a state machine without I/O |
//! | [`journal`] | what the vault must never forget |
//! | [`hospital_data`] | the patients, parted into the vault's and the trainer's half |
//! | [`trainer`], [`compute`] | local training, and turns at the processor |
//! | [`shell`], [`interruption`] | the connection and the threads around the vault |
//! | [`settings`], [`commands`] | what people see |
#![forbid(unsafe_code)]

pub mod compute;
pub mod hospital_data;
pub mod interruption;
pub mod journal;
pub mod shell;
pub mod trainer;
pub mod vault;
