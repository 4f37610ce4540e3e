//! The sealed sum (PROTOCOL 3): hospitals add vectors, and only the sum over a fixed set can be opened.
//!
//! Hospital i draws a small ring secret `s_i` for this one sum, masks each chunk of its packed message as
//! `b_ij = a_j s_i + 2^13 m_ij + e_ij` modulo [`MODULUS`], and Shamir-shares `s_i`. Whoever holds the added `b_ij`
//! and shares of the sum of the secrets from a threshold of hospitals gets the sum of the `m_ij`, exactly:
//! the noise of 127 contributions stays below half a step whatever the coins were.
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
//! # Security
//! A [`Seed`] belongs to one contribution and a [`Share`] to one recipient. A vault that gives unlock vectors for
//! two sets U under one header, or under two headers on one model, gives away the difference: keeping that
//! rule is the journal's work (PROTOCOL 3.6), not this module's.

mod clip;
mod combination;
mod dealer;
mod error;
mod field;
mod open;
mod parameters;
mod quantise;
mod reed_solomon;
mod round;
mod running_sum;
mod seal;
mod secret;
mod shamir;
mod shape;
mod tag;

pub use clip::next_clip;
pub use dealer::{DealerAnswer, DealerVerdict, judge_dealer};
pub use error::{OpenError, OpenFault, SumError};
pub use open::{OpenedSum, open};
pub use parameters::{
    CHUNK_BYTES, FieldFormat, HospitalId, MAX_HOSPITALS, MODULUS, RING_DEGREE, SHARE_BYTES,
    SHARE_MODULUS, UNLOCK_BYTES, min_contributors, threshold, value_bits,
};
pub use quantise::{ClippedTensor, PackedMessage, Saturation, Weight, pack};
pub use round::Round;
pub use running_sum::{RunningSum, check_chunk};
pub use seal::{Contribution, Seed, SumRing, seal};
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
