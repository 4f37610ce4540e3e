use rand_core::CryptoRng;

use super::KeyId;
use crate::ckks::Context;
use crate::ckks::coins::SecretCoins;
use crate::ckks::rns::RnsPolynomial;
use crate::ring::NttPlan;

/// A ternary secret s. Erased when dropped.
///
/// ```
/// use crypto::ckks::{Context, Profile, SecretKey};
///
/// let context = Context::new(Profile::Hardened);
/// let secret = SecretKey::generate(&context, &mut rand_core::UnwrapErr(getrandom::SysRng));
/// println!("a key named {}", secret.id());
/// ```
///
/// It has neither `Clone` nor `Debug`:
/// ```compile_fail
/// # use crypto::ckks::{Context, Profile, SecretKey};
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rand_core::UnwrapErr(getrandom::SysRng));
/// println!("{secret:?}");
/// ```
pub struct SecretKey {
    pub(crate) context: Context,
    pub(crate) id: KeyId,
    /// Modulo all data primes and the special prime.
    pub(crate) polynomial: RnsPolynomial,
}

impl SecretKey {
    /// Draws a key.
    pub fn generate(context: &Context, rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let plans = context.key_plans();
        let ternary = SecretCoins::draw(rng).ternary(plans);
        Self::from_parts(context, KeyId(id), ternary.into_evaluations(plans))
    }

    /// Takes the evaluations of a ternary polynomial modulo all data primes and the special prime.
    pub(crate) fn from_parts(context: &Context, id: KeyId, polynomial: RnsPolynomial) -> Self {
        assert_eq!(
            polynomial.len(),
            context.key_plans().len(),
            "a row for each prime"
        );
        Self {
            context: context.clone(),
            id,
            polynomial,
        }
    }

    /// The key's public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// `-a s + e` for a public polynomial, modulo the primes of `plans`.
    pub(in crate::ckks) fn mask(
        &self,
        uniform: &RnsPolynomial,
        plans: &[NttPlan],
        coins: &mut SecretCoins,
    ) -> RnsPolynomial {
        let mut masked = coins.error(plans).into_evaluations(plans);
        let product = RnsPolynomial::product(uniform, &self.polynomial, plans);
        masked.subtract_assign(&product, plans);
        masked
    }
}
