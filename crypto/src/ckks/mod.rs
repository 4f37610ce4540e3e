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
//! N is the degree of the ring `R = Z[X]/(X^N + 1)`, `q_0 .. q_L` are the data primes, P is the special prime, s the secret:
//! ternary. Errors e are centred binomials of 42 coins, standard deviation 3.24.
//!
//! # 1. Parameters ([`Parameters`], [`Profile`], [`Context`])
//! Primes that are 1 mod 2N, so that `X^N + 1` splits into linear factors modulo each and products cost a transform
//! ([`NttPlan`](crate::ring::NttPlan)); together no more than N hides with 128 bits of security. A polynomial is kept by its
//! residues: one row of N words for each prime, computed with row by row (the Chinese remainder theorem).
//!
//! # 2. Encoding ([`Plaintext`])
//! ```text
//! values z_0 .. z_(N/2-1)  <->  m in R,    m(zeta^(3^t)) = scale z_t,    zeta = exp(i pi / N)
//! ```
//! The canonical embedding: a complex transform of N/2 points, and each coefficient is rounded to a whole number. A product of
//! polynomials is the product of their values, slot by slot; its scale is the product of the scales.
//!
//! # 3. Encryption ([`encrypt_symmetric`], [`encrypt`], [`decrypt`])
//! ```text
//! with the secret key     (c0, c1) = (-a s + e + m, a)             a from a seed that is sent in its place
//! with a public key       (c0, c1) = (b v + e0 + m, a v + e1)      b = -a s + e, v ternary
//! decryption              c0 + c1 s = m + error
//! ```
//! A [`Ciphertext`] of level l is modulo `q_0 .. q_l`.
//!
//! # 4. Multiplication ([`Evaluator::multiply`])
//! ```text
//! (d0, d1, d2) = (c0 c0', c0 c1' + c1 c0', c1 c1'),     d0 + d1 s + d2 s^2 = m m' + error
//! ```
//!
//! # 5. Relinearisation ([`Evaluator::relinearise`], [`RelinearisationKey`])
//! The key has, for each data prime j, `(-a_j s + e_j + P s^2 on prime j only, a_j)` modulo all primes and P. With the residues
//! `[d2]_j`, centred, as digits
//! ```text
//! (c0, c1) = (d0, d1) + round(1/P sum over j of [d2]_j key_j)
//! ```
//! encrypts the same: on prime j the sum holds `P d2 s^2`, and the errors, multiplied by digits below `q_j / 2`, are divided by P.
//!
//! # 6. Rescaling ([`Evaluator::rescale`])
//! ```text
//! c  ->  round(c / q_l)   modulo q_0 .. q_(l-1)
//! ```
//! The exact scale travels with everything as an `f64`: it is the product of two scales divided by the dropped prime, and
//! never rounded to a power of two. (Taken as 2^50, that of a product would be off by a relative 2^-22.8.) Levels, scales,
//! parameters or keys that do not fit are errors; a product that was not yet relinearised is another type.
//!
//! The three steps at once ([`Evaluator::multiply_relinearise_rescale`]) divide by P and the last prime together,
//! ```text
//! (c0, c1) = round(1/(P q_l) (P (d0, d1) + sum over j of [d2]_j key_j))
//! ```
//! which takes fewer transforms, and differs from two roundings hardly ever.
//!
//! # 7. Errors
//! What each step adds, as the variance of a coefficient; a slot has N/2 times that (and N times that of encoding, as the
//! coefficients of real slots come in pairs). The tests measure each.
//!
//! | step | variance |
//! |---|---|
//! | encoding | 1/12 |
//! | encryption with the secret key | 21/2 |
//! | encryption with a public key | 21/2 (1 + 4N/3) |
//! | multiplication, in slots | that of the one factor times the square of the other's value, and the other way round |
//! | relinearisation | `21/2 N sum of (q_j / P)^2 / 12 + (1 + 2N/3) / 12` |
//! | rescaling | (1 + 2N/3) / 12 |
//!
//! # 8. Raw parts
//! Whoever writes these things in another form than ours (the crate `seal-format` does) gets at what they are made of by
//! `evaluations`, and makes them by `from_evaluations`; of a [`SecretKey`] by
//! [`expose_evaluations`](SecretKey::expose_evaluations). A polynomial is one row of N words for each prime, one row behind the
//! other. Row k holds the values modulo the prime of `context.key_plans()[k]`, at that plan's
//! [`points`](crate::ring::NttPlan::points) and in their order, which is that of this process alone. A ciphertext of level l has l + 1 rows, keys have
//! one for every prime, the special prime's last.
//!
//! # Constant time
//! Samples are counted bits or the high half of a product, with no rejection; transforms, products and reductions have no branch
//! and no index that depends on the data; encoding rounds by an addition (PROTOCOL 7). Seeds of public polynomials are public,
//! and only those are sampled with rejection.
//!
//! # Security
//! The errors of decrypted values leak the key (Li and Micciancio, EUROCRYPT 2021). Whoever decrypts must not pass
//! on more than values rounded far above the error, and only after checking them: PROTOCOL 5.4 and 5.5.

mod ciphertext;
mod coins;
mod context;
mod embedding;
mod encoding;
mod encryption;
mod error;
mod evaluation;
mod keys;
mod parameters;
mod profile;
mod rns;
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
