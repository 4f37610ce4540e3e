//! What is fuzzed: every function of `seal-format` that reads files of strangers, with files that it accepts.
//!
//! The modules are compiled twice, as those of `crypto/fuzz` are, two of which they are: here for the fuzz targets, and into the
//! test `decoders` of `seal-format`.

#[path = "../../../fuzz/src/decoder.rs"]
pub mod decoder;
#[path = "../../../fuzz/src/edits.rs"]
pub mod edits;
pub mod files;
