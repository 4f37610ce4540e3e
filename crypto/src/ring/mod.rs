//! Polynomials modulo `X^N + 1` and a prime: the arithmetic that the sealed sum and CKKS share.
//!
//! A polynomial is either [`Coefficients`] or [`Evaluations`] (its number-theoretic transform); the two are
//! different types, and only an [`NttPlan`] turns one into the other. Sums and products exist between evaluations
//! only, so a product of coefficient vectors does not compile.
//!
//! Everything here that a secret may pass through (add, subtract, multiply, transform, [`Prg`] to
//! binomial noise) has no branch and no index that depends on the data. Both kinds of polynomial are erased
//! when dropped, whether or not what they held was secret: that costs far less than a transform.

mod modulus;
mod ntt;
mod polynomial;
mod sampling;

pub use modulus::{Modulus, Multiplier};
pub use ntt::NttPlan;
pub use polynomial::{Coefficients, Evaluations};
pub(crate) use sampling::fill_uniform;
pub use sampling::{Prg, centred_binomial, ternary, uniform};

#[cfg(test)]
pub(crate) mod constant_time;
#[cfg(test)]
mod known_answers;
