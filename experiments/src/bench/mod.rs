//! How long the parts of the system take that need libtorch; the cryptography has a crate of its own, [`bench_crypto`].

pub mod training;
