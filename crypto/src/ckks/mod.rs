//! CKKS with a single key, for the conditioning (PROTOCOL 5.3 and 5.4): Cheon, Kim, Kim and Song, ASIACRYPT 2017,
//! in the residue number system (Cheon, Han, Kim, Kim and Song, SAC 2018).
//!
//! A vault encrypts its clinical features and the filters under its own key; the coordinator multiplies them
//! slot by slot, and only the vault can decrypt. The conditioning uses neither [`PublicKey`] nor sums of ciphertexts:
//! they belong to the scheme, which is to stand for itself.
//!
//! ```text
//! values --encode--> Plaintext --encrypt_symmetric--> SeededCiphertext --expand--> Ciphertext
//!    ^                  ^                                                            |  add
//!    +----decode--------+------------decrypt-----------+                             |  multiply
//!                                                      |                             v
//!                                                 Ciphertext <--rescale, relinearise-- QuadraticCiphertext
//! ```
//!
//! Ring `Z[X]/(X^N + 1)`, N/2 slots of real numbers. A ciphertext of level l is modulo the first l + 1 data
//! primes; a rescale drops the last one. The exact scale travels with everything as an `f64`: it is the product
//! of two scales divided by the dropped prime, and never rounded to a power of two. Levels, scales, parameters or
//! keys that do not fit are errors; a product that was not yet relinearised is another type.
//!
//! # Security
//! The errors of decrypted values leak the key (Li and Micciancio, EUROCRYPT 2021). Whoever decrypts must not pass
//! on more than values rounded far above the error, and only after checking them: PROTOCOL 5.4 and 5.5.

pub(crate) mod ciphertext;
mod coins;
mod context;
mod embedding;
mod encoding;
mod encryption;
mod error;
mod evaluation;
pub(crate) mod keys;
mod parameters;
mod profile;
pub(crate) mod rns;
mod wire;

pub use ciphertext::{Ciphertext, QuadraticCiphertext, SeededCiphertext};
pub use context::Context;
pub use encoding::Plaintext;
pub use encryption::{decrypt, encrypt, encrypt_symmetric};
pub use error::CkksError;
pub use evaluation::Evaluator;
pub use keys::{KeyId, PublicKey, RelinearisationKey, SecretKey};
pub use parameters::{ParameterError, Parameters};
pub use profile::Profile;

#[cfg(test)]
pub(crate) mod constant_time;
#[cfg(all(test, target_os = "linux"))]
mod erasure;
#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod tests;
