//! The top of the workspace: the phantom cohort, and the simulation that runs a whole federation in one process.
//!
//! | module | what |
//! |---|---|
//! | [`phantom`] | MS-like patients from a seed |
//! | [`ms60_tree`] | a cohort written out in the layout of the MS60 data set |
//! | [`simulation`] | every hospital and the coordinator with their own keys, over QUIC on loopback |
//! | [`pictures`] | curves, matrices and slices from plain numbers, for pages and as PNG files |
//! | [`report`] | what a simulation leaves for people to read |
//! | [`reproduce`] | the study repeated at one site, its tables beside ours |
//! | [`mod@bench`] | how long the cryptography takes, beside TenSEAL, and a training step, beside PyTorch |
//! | [`commands`] | the command line |
//!
//! The simulation runs the code that production runs and adds what only it can know: it sees every update, so it checks every
//! opened sum against one that it adds up beside the protocol; and it pools the hospitals' test sets.
#![forbid(unsafe_code)]

pub mod bench;
mod cache_folder;
pub mod commands;
pub mod ms60_tree;
pub mod phantom;
pub mod pictures;
pub mod report;
pub mod reproduce;
pub mod simulation;
