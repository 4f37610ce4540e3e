//! The sealed sum (PROTOCOL 3): hospitals add vectors, and only the sum over a fixed set can be opened.
//!
//! ```text
//! values, counters --pack--> PackedMessage --seal--> chunks, one Share per hospital
//!                                                       |             |
//!                                      RunningSum (coordinator)   add_shares (each vault, over the same set U)
//!                                                       |             |
//!                                                       +--> open <---+  at least t UnlockVectors
//!                                                              |
//!                                                          OpenedSum --> mean, next_clip
//! ```
//!
//! The example at the top of the crate goes through all of it. Below, i is a hospital, j a chunk, n the number of hospitals,
//! t the threshold, q = [`MODULUS`], p = [`SHARE_MODULUS`], N = [`RING_DEGREE`] and DELTA = 2^13.
//!
//! # 1. Whole numbers, packed ([`pack`], [`SumShape`])
//! A real value x becomes `u = round(x / step) + 2^(B-1)`, of B bits, B so small that n of them add up inside a field of 24
//! (or 16) bits. Counters follow as base-256 digits. Two (or three) fields make a coefficient `m_ij[k] < 2^48`, N
//! coefficients a chunk. From here on everything is exact.
//!
//! # 2. The mask ([`seal()`])
//! ```text
//! b_ij = a_j s_i + DELTA m_ij + e_ij   mod q, in Z[X]/(X^N + 1)
//! ```
//! `a_j` is public and everyone's the same, the hash of the round's header its seed. `s_i` is fresh for this one sum, it and
//! the noise `e_ij` are centred binomials of 64 coins. Whoever lacks `s_i` sees a sample of ring-LWE: uniform words. Adding
//! the `b_ij` adds messages, secrets and noise; the noise of 127 hospitals is at most 127 * 32 < DELTA / 2, so rounding
//! always gives the exact sum.
//!
//! # 3. The secret, shared out ([`Share`], [`UnlockVector`])
//! `s_i` is shared coefficient by coefficient modulo p (Shamir 1979): hospital x gets `F_i(x)`, F_i of degree t-1 with
//! `F_i(0) = s_i`. Each vault adds the shares it holds of the contributors in U ([`add_shares`]): a share of
//! `S = sum of s_i`, and of nothing else. So what t answers open is the sum over U, whoever has gone in between.
//!
//! # 4. Adding ([`RunningSum`])
//! One addition modulo q for each word; no key, no transform, nothing secret.
//!
//! # 5. Opening ([`open()`])
//! ```text
//! S   = sum over t answers of lambda_x V_x   mod p, centred;      |S[k]| <= 32 |U|
//! y_j = sum_j - a_j S + DELTA/2   mod q
//! M_j = y_j >> 13,   E_j = (y_j mod 2^13) - 2^12;                 M_j[k] < 2^48, |E_j[k]| <= 32 |U|
//! ```
//! With an S that is wrong in a single coefficient, at least half of all coefficients fail these checks.
//!
//! # 6. Who lied
//! * **The tag** ([`TagKey`]). A coordinator that adds a multiple of DELTA changes M and not E. Two numbers, linear in
//!   all fields with multipliers that only the vaults know, travel masked in one more chunk; the sum has to have the sum of
//!   the tags. An alteration passes once in 2^62 times: [`OpenFault::Tag`].
//! * **The dealer check** ([`Share::answer`], [`judge_dealer`]). Do the shares of one dealer lie on one polynomial? Each recipient
//!   answers with eight random combinations of its share, hidden by eight mask scalars that were shared along with it. The
//!   answers of a right dealer are a Reed-Solomon word: with t+1 a wrong row is seen, with t+2e any e are named.
//! * **Wrong answers to the unlock request** ([`OpenedSum::wrong_answers`], [`OpenError::wrong_answers`]). The vectors V_x are a
//!   Reed-Solomon word as well: the same decoding names e wrong ones of t+2e. The noise check decides all the same.
//!
//! # Constant time
//! What touches a secret has no branch and no index that depends on it (PROTOCOL 7): quantising and packing, coins by counting
//! bits, products and sums modulo q by minima in place of comparisons, Shamir in whole vectors. Sampling modulo p
//! skips pieces of a stream that is independent of those kept. Decoding branches on the errors only: syndromes
//! do not depend on what was shared. The tag skips once in 2^31 pieces, at places that depend on its key and not on values.
//! Every kernel is plain code that the compiler vectorises for the machine it finds itself on.
//!
//! # Security
//! A [`Seed`] belongs to one contribution and a [`Share`] to one recipient. A vault that gives unlock vectors for
//! two sets U under one header, or under two headers on one model, gives away the difference; two dealer answers for
//! one contribution with different digests give away a combination of the share. Keeping these rules is the journal's work
//! (PROTOCOL 3.6), not this module's.

mod clip;
mod combination;
mod dealer;
mod error;
mod field;
mod mask;
mod mean;
mod open;
mod opening;
mod parameters;
mod quantise;
mod reals;
mod reed_solomon;
mod round;
mod running_sum;
mod seal;
mod secret;
mod shamir;
mod shape;
mod tag;

pub use clip::{MeanSquares, next_clip};
pub use dealer::{DealerAnswer, DealerVerdict, judge_dealer};
pub use error::{OpenError, OpenFault, SumError};
pub use mask::SumRing;
pub use mean::Mean;
pub use open::{OpenedSum, open};
pub use parameters::{
    CHUNK_BYTES, FieldFormat, HospitalId, MAX_HOSPITALS, MODULUS, RING_DEGREE, SHARE_BYTES,
    SHARE_MODULUS, UNLOCK_BYTES, min_contributors, threshold, value_bits,
};
pub use quantise::{ClippedTensor, PackedMessage, Saturation, Weight, pack};
pub use reals::Reals;
pub use round::Round;
pub use running_sum::{RunningSum, check_chunk};
pub use seal::{Contribution, Seed, seal};
pub use shamir::{Share, UnlockVector, add_shares};
pub use shape::SumShape;
pub use tag::TagKey;

#[cfg(test)]
pub(crate) mod constant_time;
#[cfg(all(test, target_os = "linux"))]
mod erasure;
#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod tests;
