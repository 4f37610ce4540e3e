//! What is fuzzed: every message of `protocol`, the invitation and the roster file, with byte strings that its decoder accepts.
//!
//! The modules are compiled twice, as those of `crypto/fuzz` are, two of which they are: here for the fuzz target, and into the
//! test `decoders` of `protocol`.

#[path = "../../../crypto/fuzz/src/decoder.rs"]
pub mod decoder;
#[path = "../../../crypto/fuzz/src/edits.rs"]
pub mod edits;
pub mod messages;
