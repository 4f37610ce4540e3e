#![forbid(unsafe_code)]
//! crypto
pub mod hash;
#[cfg(test)]
mod primality;
pub mod ring;
pub mod sealed_sum;
