use super::ciphertext::Label;
use super::rns::{self, RnsPolynomial};
use super::{Ciphertext, CkksError, Context, QuadraticCiphertext, RelinearisationKey};
use crate::ring::Evaluations;

/// The coordinator's whole work on a block: the slot-wise product of two ciphertexts, relinearised and rescaled
/// (PROTOCOL 5.4, step 4).
///
/// # Errors
/// If profiles, keys or levels differ, or there is no room for the product's scale.
pub fn multiply_relinearise_rescale(
    context: &Context,
    left: &Ciphertext,
    right: &Ciphertext,
    key: &RelinearisationKey,
) -> Result<Ciphertext, CkksError> {
    context.check_same(&left.label.context)?;
    left.multiply(right)?.relinearise(key)?.rescale()
}

impl Ciphertext {
    /// The slot-wise sum.
    ///
    /// # Errors
    /// If profiles, keys, levels or scales differ.
    pub fn add(&self, other: &Self) -> Result<Self, CkksError> {
        self.label.check_operand(&other.label)?;
        if self.label.scale != other.label.scale {
            return Err(CkksError::Scale {
                left: self.label.scale,
                right: other.label.scale,
            });
        }
        let plans = self.label.context.plans(self.label.level);
        let sum = |left: &RnsPolynomial, right: &RnsPolynomial| {
            let mut sum = left.duplicate();
            sum.add_assign(right, plans);
            sum
        };
        Ok(Self {
            label: self.label.clone(),
            constant: sum(&self.constant, &other.constant),
            linear: sum(&self.linear, &other.linear),
        })
    }

    /// The slot-wise product, with the product of the scales.
    ///
    /// # Errors
    /// If profiles, keys or levels differ, or the product of the scales is not below half the modulus.
    pub fn multiply(&self, other: &Self) -> Result<QuadraticCiphertext, CkksError> {
        self.label.check_operand(&other.label)?;
        let Label { context, level, .. } = &self.label;
        let scale = self.label.scale * other.label.scale;
        context.check_scale(scale, *level)?;
        let plans = context.plans(*level);
        let mut linear = RnsPolynomial::product(&self.constant, &other.linear, plans);
        linear.add_product(&self.linear, &other.constant, plans);
        Ok(QuadraticCiphertext {
            label: Label {
                scale,
                ..self.label.clone()
            },
            constant: RnsPolynomial::product(&self.constant, &other.constant, plans),
            linear,
            quadratic: RnsPolynomial::product(&self.linear, &other.linear, plans),
        })
    }

    /// Divides by the last prime of the level and drops it.
    ///
    /// # Errors
    /// If the level is 0, or the scale would become too small.
    pub fn rescale(self) -> Result<Self, CkksError> {
        let Label { context, level, .. } = &self.label;
        let below = level.checked_sub(1).ok_or(CkksError::LastPrime)?;
        let scale = context.rescaled(self.label.scale, *level);
        context.check_scale(scale, below)?;
        let (plans, last_plan) = (context.plans(below), &context.plans(*level)[*level]);
        Ok(Self {
            constant: self.constant.divide_by_last(plans, last_plan),
            linear: self.linear.divide_by_last(plans, last_plan),
            label: Label {
                level: below,
                scale,
                ..self.label.clone()
            },
        })
    }
}

impl QuadraticCiphertext {
    /// The exact scale.
    pub fn scale(&self) -> f64 {
        self.label.scale
    }

    /// The ordinary ciphertext of the same values: `d2 s^2` is replaced by the sum over the digits of `d2` times the key,
    /// divided by the special prime.
    ///
    /// # Errors
    /// If the key is of another profile, or belongs to another secret key.
    pub fn relinearise(self, key: &RelinearisationKey) -> Result<Ciphertext, CkksError> {
        let label = self.label;
        label.check_key(&key.context, key.id)?;
        let context = &label.context;
        let plans = context.plans(label.level);
        let special = context.special_plan();

        // Modulo the primes of the level and, in the last place, the special prime.
        let width = plans.len() + 1;
        let zero = || {
            RnsPolynomial(
                (0..width)
                    .map(|_| Evaluations::zero(special.degree()))
                    .collect(),
            )
        };
        let (mut constant, mut linear) = (zero(), zero());
        // The residue of the special prime is the last of the key, whatever the level.
        let special_place = context.top_level() + 1;
        for (prime, (residue, digit)) in self.quadratic.0.into_iter().zip(&key.digits).enumerate() {
            let small = rns::centred(&plans[prime].inverse(residue.duplicate()), &plans[prime]);
            for place in 0..width {
                let (plan, key_place) = match plans.get(place) {
                    Some(plan) => (plan, place),
                    None => (special, special_place),
                };
                let lifted = if place == prime {
                    residue.duplicate()
                } else {
                    plan.forward(rns::reduce(&small, plan))
                };
                let modulus = plan.modulus();
                constant.0[place].add_product(&lifted, &digit.masked.0[key_place], modulus);
                linear.0[place].add_product(&lifted, &digit.uniform.0[key_place], modulus);
            }
        }

        let mut constant = constant.divide_by_last(plans, special);
        let mut linear = linear.divide_by_last(plans, special);
        constant.add_assign(&self.constant, plans);
        linear.add_assign(&self.linear, plans);
        Ok(Ciphertext {
            constant,
            linear,
            label,
        })
    }
}
