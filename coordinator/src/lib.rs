//! The coordinator: gathers hospitals, opens rounds, adds sealed updates and multiplies encrypted features, without being able to
//! read either.
//!
//! What it decides is in [`machine`], a state machine without I/O. The rest is the shell around it: sockets, time,
//! records, settings and commands. It never depends on the crates that hold a hospital's secrets or see libtorch.
//!
//! ```text
//! hospitals <== QUIC ==> link tasks ── inputs ──> the owner of the machine ──> store, transcript.jsonl, events
//!                            └── outcomes <── published ──┘
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | the run as a state machine without I/O |
//! | [`settings`] | `coordinator.toml`, environment and flags as typed values, and the files they name |
//! | [`service`] | one run, from the first connection to the last goodbye |
//! | [`store`] | what an operator can ask later |
//! | [`enrolment`] | how hospitals become members |
//! | [`control`] | what an operator asks of a run under way |
//! | [`web`] | the page of the same, and its numbers |
//! | [`demo`] | a whole federation with fresh keys, for one machine |
//! | [`run_plan`] | what a run will cost, before anybody starts it |
//! | [`needs`] | what programs need of their machines |
//! | [`new_folder`] | how such folders are written |
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use coordinator::{service::Service, settings::Settings};
//!
//! let settings = Settings::load("coordinator.toml".as_ref(), std::env::vars(), &[])?;
//! let service = Service::bind(settings.service_config(None)?)?;
//! let (events, _) = tokio::sync::mpsc::unbounded_channel();
//! let report = service.run(events, std::future::pending()).await?;
//! println!("the model's hash is {}", hex::encode(report.model_hash));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod control;
pub mod demo;
pub mod enrolment;
pub mod machine;
pub mod needs;
pub mod new_folder;
pub mod run_plan;
pub mod service;
pub mod settings;
pub mod store;
pub mod web;
