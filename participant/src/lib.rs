//! A hospital's participant: the vault, which holds every key and the clinical features, and the link to the trainer, a program of its
//! own, which holds the scans. Nothing here links libtorch.
//!
//! | module | what |
//! |---|---|
//! | [`vault`] | the hospital's side of the round as a state machine without I/O |
//! | [`journal`] | what the vault must never forget |
//! | [`approvals`] | what people here have decided about the runs that were offered |
//! | [`disclosure`] | what a run would take out of the hospital, and warnings, in words |
//! | [`hospital_data`] | the vault's half of the patients: features and labels |
//! | [`trainer_program`], [`compute`] | the trainer as a child process, and turns at the processor |
//! | [`shell`], [`interruption`] | the connection and the threads around the vault |
//! | [`run_spans`] | which run and round a line of the log is about |
//! | [`way_out`], [`ledger`] | the only way to the transport, and the record of all that has taken it |
//! | [`forecast`] | what a run would send, before it sends anything |
//! | [`model_file`] | the common model on disk |
//! | [`predict`] | a kept model applied to new scans |
//! | [`erasure`] | patients who are left out of all later runs |
//! | [`allowance`], [`hours`] | what a run may take of this hospital's machine and network, and when |
//! | [`enrolment`] | how the hospital becomes a member, and follows rosters |
//! | [`own_results`], `heat` | what this hospital's own data say of the common model, for people here |
//! | [`learning_history`], [`split_fingerprint`] | what a run has taught, and on which patients it was tested, for its report |
//! | [`standing`], [`web`] | where the hospital stands, for people here; the page that shows it |
//! | [`settings`] | `participant.toml`, environment and flags as typed values, and the files they name |
//! | [`state_folder`] | what must survive a restart, for one participant at a time |
//!
//! The program's commands are in the binary: `participant --help` tells of them.
#![forbid(unsafe_code)]

pub mod allowance;
pub mod approvals;
pub mod compute;
pub mod disclosure;
mod disk_fault;
pub mod enrolment;
pub mod erasure;
pub mod forecast;
mod heat;
mod held_acknowledgement;
pub mod hospital_data;
pub mod hours;
pub mod interruption;
pub mod journal;
pub mod learning_history;
pub mod ledger;
pub mod model_file;
pub mod own_results;
pub mod predict;
pub mod run_spans;
pub mod settings;
pub mod shell;
pub mod split_fingerprint;
pub mod standing;
pub mod state_folder;
pub mod trainer_program;
pub mod vault;
pub mod way_out;
pub mod web;
