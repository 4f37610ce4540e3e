//! The top of the workspace: the phantom cohort, and the simulation that runs a whole federation in one process.
//!
//! | module | what |
//! |---|---|
//! | [`simulation`] | every hospital and the coordinator with their own keys, over QUIC on loopback |
//! | [`report`] | what a simulation leaves for people to read |
//! | [`reproduce`] | the study repeated at one site, its tables beside ours |
//! | [`audit`] | every claim of privacy attacked with the project's own code |
//! | `slurm` | scripts that hand either to many machines |
//! | [`mod@bench`] | how long a training step takes, beside PyTorch |
//! | [`commands`] | the command line |
//!
//! What needs no libtorch is in crates of its own: [`phantom`], the cohort and its MS60 trees; [`report`](::report),
//! pictures and pages from plain numbers; [`bench_crypto`], the cryptography beside TenSEAL.
//!
//! The simulation runs the code that production runs and adds what only it can know: it sees every update, so it checks every
//! opened sum against one that it adds up beside the protocol; and it pools the hospitals' test sets.
#![forbid(unsafe_code)]

mod as_typed;
pub mod audit;
pub mod bench;
mod cache_folder;
mod cohort_fingerprint;
pub mod commands;
mod logged;
mod logistic_regression;
mod made;
pub mod memory;
mod phantom_name;
mod profile_name;
mod reachable;
pub mod report;
pub mod reproduce;
mod shell_words;
pub mod simulation;
mod slurm;
mod stopping;
mod time_left;
mod typed_options;
