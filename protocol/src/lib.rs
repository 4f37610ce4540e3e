//! What the hospitals and the coordinator say to each other: identities and roster, messages and their canonical form, and what both
//! sides check of a round.
//!
//! This crate opens nothing and reads no clock: time and randomness are arguments. Of what a hospital keeps to itself it has types
//! for the signing key, EDSS scores ([`labels`]) and the jobs of a trainer with their filters ([`training_job`]); all of it is handed
//! in and stays on the hospital's side. The vault of the participant holds every other secret. The coordinator's state machine is in
//! `coordinator::machine`, QUIC in the crate `transport`.
//!
//! | module | what |
//! |---|---|
//! | [`codec`] | canonical bytes, limits |
//! | [`digests`] | hashes and numbers that name things, a type each |
//! | [`identity`] | signatures |
//! | [`roster`] | who is in the federation, from epoch to epoch |
//! | [`enrolment`] | what a hospital that is not on the roster yet says to the coordinator |
//! | [`spoken`] | fingerprints for people |
//! | [`vocabulary`] | purposes, tasks, label schemes, conditioning |
//! | [`features`] | the clinical features of a run: names, kinds, ranges |
//! | [`manifest`], [`network`], [`common_model`] | what is trained, and the state that all hold alike |
//! | [`strategy`] | how the mean of the updates moves it |
//! | [`keeping`], [`kept_model`] | which model is kept, when a run ends early, and how a run starts from a kept model |
//! | [`counters`] | what each sum counts: written and read |
//! | [`session`] | the set-up of keys |
//! | [`round`] | one sealed sum: messages and checks |
//! | [`message`] | what travels on the control stream |
//! | [`labels`] | from an EDSS score to a class |
//! | [`training_job`] | what a vault asks of a trainer, and the pipe between them |
//! | [`culprit`] | who is at fault when something is refused |
#![forbid(unsafe_code)]

pub mod codec;
pub mod common_model;
mod conditioning_form;
pub mod counted;
pub mod counters;
pub mod culprit;
pub mod digests;
pub mod enrolment;
pub mod features;
pub mod identity;
pub mod keeping;
pub mod kept_model;
#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod known_hashes;
pub mod labels;
pub mod manifest;
pub mod message;
pub mod network;
pub mod roster;
pub mod round;
mod server_optimiser;
pub mod session;
pub mod spoken;
pub mod strategy;
pub mod training_job;
pub mod transcript;
pub mod vocabulary;

pub use crypto::sealed_sum::HospitalId;
