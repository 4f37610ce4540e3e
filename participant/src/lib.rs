//! A hospital's participant: the vault, which holds every key and the clinical features, and the link to the trainer, a program of its
//! own, which holds the scans. Nothing here links libtorch.
//!
//! | module | what |
//! |---|---|
//! | [`vault`] | the hospital's side of the round as a state machine without I/O |
//! | [`journal`] | what the vault must never forget |
//! | [`hospital_data`] | the vault's half of the patients: features and labels |
//! | [`trainer_program`], [`compute`] | the trainer as a child process, and turns at the processor |
//! | [`shell`], [`interruption`] | the connection and the threads around the vault |
//! | [`model_file`] | the model on disk |
//! | [`settings`] | `participant.toml`, environment and flags as typed values, and the files they name |
//! | [`state_folder`] | what must survive a restart, for one participant at a time |
//!
//! The program's commands are in the binary: `participant --help` tells of them.
#![forbid(unsafe_code)]

pub mod compute;
pub mod hospital_data;
pub mod interruption;
pub mod journal;
pub mod model_file;
pub mod settings;
pub mod shell;
pub mod state_folder;
pub mod trainer_program;
pub mod vault;
