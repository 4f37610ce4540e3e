//! Polynomials modulo `X^N + 1` and a prime: the arithmetic that the sealed sum and CKKS share.
//!
//! # Numbers ([`Modulus`], [`Multiplier`])
//! Residues below an odd prime q of 33 to 62 bits. Products by Barrett's reduction: with b bits in q and
//! `mu = floor(2^(b+61) / q)`, the quotient `floor(floor(x / 2^(b-1)) mu / 2^62)` of `x < 2^(b+62)` is at most three too small. A
//! difference that may be negative is `min(a, a - q)` of unsigned words: where it wraps it is the larger.
//!
//! # Polynomials ([`Coefficients`], [`Evaluations`], [`NttPlan`])
//! Where q is 1 mod 2N there is a root psi of order 2N, and
//! ```text
//! f  ->  f(psi^1), f(psi^3), .., f(psi^(2N-1))
//! ```
//! turns products modulo `X^N + 1` into products of numbers, in N log N steps. The two forms are different types, and only an
//! [`NttPlan`] turns one into the other. Sums and products exist between evaluations only, so a product of coefficient vectors does
//! not compile.
//!
//! # Samples ([`Prg`], [`uniform`], [`centred_binomial`], [`ternary`])
//! All randomness is the stream of a key: ChaCha20, the stream's number in place of the nonce. Public polynomials
//! are uniform by rejection; noise is the number of ones in a word, less half its coins; a ternary secret the high half of a
//! word times 3.
//!
//! # Constant time
//! Everything here that a secret may pass through (add, subtract, multiply, transform, [`Prg`] to
//! binomial noise) has no branch and no index that depends on the data. Both kinds of polynomial are erased
//! when dropped, whether or not what they held was secret: that costs far less than a transform.

mod keystream;
mod modulus;
mod ntt;
mod polynomial;
pub(crate) mod row;
mod sampling;

pub(crate) use keystream::{BLOCK_WORDS, fill_keystream};
pub use modulus::{Modulus, Multiplier};
pub use ntt::NttPlan;
pub use polynomial::{Coefficients, Evaluations};
pub(crate) use sampling::fill_uniform;
pub use sampling::{Prg, centred_binomial, ternary, uniform};

#[cfg(test)]
pub(crate) mod constant_time;
#[cfg(test)]
mod known_answers;
