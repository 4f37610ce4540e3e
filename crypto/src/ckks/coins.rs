use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::rns::{Coefficient, RnsPolynomial};
use crate::hash::SecretKey32;
use crate::ring::{NttPlan, Prg, centred_binomial, ternary};

/// The stream that secrets and errors come from: its key is drawn for one use, never sent, and independent of every
/// public seed.
pub(super) struct SecretCoins(Prg);

impl SecretCoins {
    pub(super) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *key);
        Self(Prg::new(&SecretKey32::from_bytes(*key), 0))
    }

    /// A fresh error polynomial.
    pub(super) fn error(&mut self, plans: &[NttPlan]) -> RnsPolynomial<Coefficient> {
        let coefficients = centred_binomial(&mut self.0, ERROR_HALF_WIDTH, plans[0].degree());
        RnsPolynomial::from_small(&coefficients, plans)
    }

    /// A fresh ternary polynomial.
    pub(super) fn ternary(&mut self, plans: &[NttPlan]) -> RnsPolynomial<Coefficient> {
        RnsPolynomial::from_small(&ternary(&mut self.0, plans[0].degree()), plans)
    }
}

/// The seed of a public polynomial.
pub(super) fn public_seed(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}

/// Errors are centred binomials of 42 coins: standard deviation 3.24.
const ERROR_HALF_WIDTH: u32 = 21;
