//! The mathematics of myelin's protection: the sealed sum of updates and CKKS for the conditioning.
//!
//! ```text
//!   sealed_sum                 ckks
//!   quantise, mask, share,     encode, encrypt, multiply,
//!   add, open                  relinearise, rescale, decrypt
//!        \                      /
//!         ring: prime moduli, transforms, polynomials, sampling
//!         hash: labelled hashes, key derivation, trees
//! ```
//!
//! What it does: pure functions from values, keys and randomness to bytes and back. The specification is the
//! project's `docs/PROTOCOL.md`; each item names its section.
//!
//! What it does not do: it sends and stores nothing, reads no clock, knows no rounds and signs nothing. Above all it
//! does not remember what was answered: that a vault opens one sum for each model is the journal's part, and
//! without it the sums of two sets of hospitals can be subtracted. The opened sum itself is protected from nobody
//! who may open it.
//!
//! Secrets have neither `Debug` nor `Clone` and are erased when dropped. The arithmetic on them has no branch and
//! no index that depends on them. Randomness is an argument, but for [`sealed_sum::Seed::generate`], which asks the
//! operating system. Bytes from strangers become values or errors, never a panic.
//!
//! Whole programs are in `examples/`: a sealed sum of three hospitals of which one drops out, and a CKKS product.
//!
//! # A sum of three hospitals
//!
//! ```
//! use std::sync::Arc;
//!
//! use crypto::hash::SecretKey32;
//! use crypto::sealed_sum::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let joined: Vec<HospitalId> = (1..=3).filter_map(HospitalId::new).collect();
//! let threshold = threshold(joined.len());
//! let header_hash = [7; 32];
//! let ring = SumRing::new();
//!
//! // Two values and the one counter that every sum has, "contributions".
//! let shape = SumShape::new(2, &[3], FieldFormat::TwoBy24, joined.len())?;
//! let clips = [ClippedTensor { values: 2, clip: 1.0 }];
//! let weight = Weight { own: 1, largest: 1 };
//!
//! // What all have in common. The key of the tag comes from one that the hospitals share.
//! let tag_key = TagKey::derive(&SecretKey32::from_bytes([1; 32]), &header_hash);
//! let (ring, header_hash, shape, tag_key) = (&ring, &header_hash, &shape, &tag_key);
//! let round = Round { ring, header_hash, shape, threshold, tag_key };
//!
//! // Each hospital masks its update under a fresh secret and shares the secret out.
//! let mut contributions = vec![];
//! for (&hospital, update) in joined.iter().zip([[0.5, -0.25], [0.25, 0.0], [0.0, 0.25]]) {
//!     let (message, _saturation) = pack(shape, &update, &clips, weight, &[1])?;
//!     let seed = Seed::generate();
//!     contributions.push(seal(&round, &joined, hospital, 0, &seed, &message)?);
//! }
//!
//! // The coordinator adds what it cannot read.
//! let mut sum = RunningSum::new(shape.chunks());
//! for contribution in &contributions {
//!     sum.add(&contribution.chunks)?;
//! }
//!
//! // Any two hospitals answer with the sums of the shares they hold; the second has gone.
//! let answers: Vec<_> = [0, 2]
//!     .map(|place| {
//!         let held = contributions.iter().map(|contribution| &contribution.shares[place].1);
//!         (joined[place], add_shares(held))
//!     })
//!     .into();
//! let opened = open(&round, 3, sum.as_bytes(), &answers)?;
//! let mean = Arc::new(opened).mean(shape, &clips, 1, 3)?.to_vec();
//! assert!((mean[0] - 0.25).abs() < 1e-6 && mean[1].abs() < 1e-6);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod ckks;
pub mod hash;
pub mod ring;
pub mod sealed_sum;

#[cfg(test)]
mod known_answers;
mod primality;
mod rounding;

#[cfg(test)]
mod constant_time;
#[cfg(test)]
mod portable;
#[cfg(test)]
mod secrets;
