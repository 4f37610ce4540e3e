//! What is fuzzed: every function of `crypto` that reads bytes from strangers, with byte strings that it accepts.
//!
//! The modules are compiled twice: here for the fuzz targets, and into the test `decoders` of `crypto`, so that what a
//! fuzzer runs for hours runs in every test for a second. The fuzz targets of `seal-format` and `protocol` use `decoder` and
//! `edits` too.

pub mod ckks;
pub mod decoder;
pub mod edits;
pub mod sealed_sum;
