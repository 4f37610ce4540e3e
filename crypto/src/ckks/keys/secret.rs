use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::KeyId;
use crate::ckks::coins::SecretCoins;
use crate::ckks::rns::RnsPolynomial;
use crate::ckks::{CkksError, Context};
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
    pub(in crate::ckks) context: Context,
    pub(in crate::ckks) id: KeyId,
    /// Modulo all data primes and the special prime.
    pub(in crate::ckks) polynomial: RnsPolynomial,
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

    /// Takes the evaluations of a ternary polynomial ([raw parts](crate::ckks#8-raw-parts)) modulo all data primes and the special
    /// prime.
    ///
    /// # Errors
    /// If there are more or fewer words than the parameters have, one is not below its prime, or the coefficients are not all
    /// -1, 0 or 1, the same under every prime.
    ///
    /// # Security
    /// The words are not copied, and they are erased with the key, or at once if they are refused. Takes the same time for
    /// every key.
    pub fn from_evaluations(
        context: &Context,
        id: KeyId,
        mut words: Zeroizing<Vec<u64>>,
    ) -> Result<Self, CkksError> {
        let plans = context.key_plans();
        let words = std::mem::take(&mut *words);
        let polynomial = RnsPolynomial::from_evaluations("secret key", words, plans)?;
        if polynomial.is_ternary(plans) {
            Ok(Self::from_parts(context, id, polynomial))
        } else {
            Err(CkksError::NotTernary)
        }
    }

    /// The evaluations of the secret ([raw parts](crate::ckks#8-raw-parts)), for whoever writes it to its owner's file.
    ///
    /// # Security
    /// They are the secret itself. What is made of them is the caller's to erase.
    pub fn expose_evaluations(&self) -> &[u64] {
        self.polynomial.evaluations()
    }

    /// The context it is of.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Takes the evaluations of a ternary polynomial modulo all data primes and the special prime.
    pub(in crate::ckks) fn from_parts(
        context: &Context,
        id: KeyId,
        polynomial: RnsPolynomial,
    ) -> Self {
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
