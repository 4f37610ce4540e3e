use super::ciphertext::Label;
use super::rns::{Coefficient, RnsPolynomial};
use super::{Ciphertext, CkksError, Context, QuadraticCiphertext, RelinearisationKey};
use crate::ring::NttPlan;

/// Computes on ciphertexts. Holds the room that key switching and rescaling need, so that repeated calls allocate
/// nothing but their results.
///
/// ```
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// # let key = RelinearisationKey::generate(&secret, &mut rng);
/// let mut encrypted = |values: &[f64]| -> Result<Ciphertext, CkksError> {
///     Ok(encrypt_symmetric(&secret, &context.encode(values)?, &mut rng)?.expand())
/// };
/// let (features, filters) = (encrypted(&[1.0, 2.0, 3.0])?, encrypted(&[0.5, 0.5, -1.0])?);
///
/// let mut evaluator = Evaluator::new(&context);
/// let sum = evaluator.add(&features, &filters)?;
/// let product = evaluator.multiply_relinearise_rescale(&features, &filters, &key)?;
/// for (ciphertext, expected) in [(sum, [1.5, 2.5, 2.0]), (product, [0.5, 1.0, -3.0])] {
///     let values = context.decode(&decrypt(&secret, &ciphertext)?)?;
///     assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-9));
/// }
/// # Ok::<(), CkksError>(())
/// ```
pub struct Evaluator {
    context: Context,
    /// The sums over the digits, modulo all primes.
    constant: RnsPolynomial,
    linear: RnsPolynomial,
    /// One row that is taken from one prime to another.
    digit: RnsPolynomial<Coefficient>,
    lifted: RnsPolynomial<Coefficient>,
}

impl Evaluator {
    /// Makes the room.
    pub fn new(context: &Context) -> Self {
        let (degree, rows) = (context.degree(), context.key_plans().len());
        Self {
            context: context.clone(),
            constant: RnsPolynomial::zero(degree, rows),
            linear: RnsPolynomial::zero(degree, rows),
            digit: RnsPolynomial::zero(degree, 1),
            lifted: RnsPolynomial::zero(degree, 1),
        }
    }

    /// The context of what it computes on.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The slot-wise sum.
    ///
    /// # Errors
    /// If parameters, keys, levels or scales differ.
    pub fn add(&self, left: &Ciphertext, right: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.check_operands(left, right)?;
        if left.label.scale != right.label.scale {
            return Err(CkksError::Scale {
                left: left.label.scale,
                right: right.label.scale,
            });
        }
        let plans = self.context.plans(left.label.level);
        let sum = |left: &RnsPolynomial, right: &RnsPolynomial| {
            let mut sum = left.duplicate();
            sum.add_assign(right, plans);
            sum
        };
        Ok(Ciphertext {
            label: left.label.clone(),
            constant: sum(&left.constant, &right.constant),
            linear: sum(&left.linear, &right.linear),
        })
    }

    /// The slot-wise product, with the product of the scales: `(c0 c0', c0 c1' + c1 c0', c1 c1')`.
    ///
    /// # Errors
    /// If parameters, keys or levels differ, or the product of the scales is not below half the modulus.
    pub fn multiply(
        &self,
        left: &Ciphertext,
        right: &Ciphertext,
    ) -> Result<QuadraticCiphertext, CkksError> {
        self.check_operands(left, right)?;
        let label = Label {
            scale: left.label.scale * right.label.scale,
            ..left.label.clone()
        };
        let plans = self.context.plans(label.level);
        let mut linear = RnsPolynomial::product(&left.constant, &right.linear, plans);
        linear.add_product(&left.linear, &right.constant, plans);
        QuadraticCiphertext::from_parts(
            label,
            RnsPolynomial::product(&left.constant, &right.constant, plans),
            linear,
            RnsPolynomial::product(&left.linear, &right.linear, plans),
        )
    }

    /// The ordinary ciphertext of the same values: `d2 s^2` is replaced by the sum over the digits of `d2` times the
    /// key, divided by the special prime.
    ///
    /// # Errors
    /// If parameters differ, or the key belongs to another secret key.
    pub fn relinearise(
        &mut self,
        product: &QuadraticCiphertext,
        key: &RelinearisationKey,
    ) -> Result<Ciphertext, CkksError> {
        self.context.check_same(&product.label.context)?;
        product.label.check_key(&key.context, key.id)?;
        let Label { level, .. } = product.label;
        self.switch_key(&product.quadratic, level, key);
        let special = self.context.special_place();
        let mut constant = product.constant.duplicate();
        let mut linear = product.linear.duplicate();
        for (sum, switched) in [
            (&mut constant, &mut self.constant),
            (&mut linear, &mut self.linear),
        ] {
            divide(&self.context, switched, special, level, &mut self.lifted);
            sum.add_assign(switched, self.context.plans(level));
        }
        Ok(Ciphertext {
            label: product.label.clone(),
            constant,
            linear,
        })
    }

    /// Divides by the last prime of the level and drops it.
    ///
    /// # Errors
    /// If parameters differ, the level is 0, or the scale would become too small.
    pub fn rescale(&mut self, ciphertext: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.context.check_same(&ciphertext.label.context)?;
        let Label { level, .. } = ciphertext.label;
        let below = level.checked_sub(1).ok_or(CkksError::LastPrime)?;
        let scale = self.context.rescaled(ciphertext.label.scale, level);
        self.context.check_scale(scale, below)?;
        let [constant, linear] = [&ciphertext.constant, &ciphertext.linear].map(|polynomial| {
            let mut quotient = polynomial.duplicate();
            divide(&self.context, &mut quotient, level, below, &mut self.lifted);
            quotient.truncate(level);
            quotient
        });
        Ok(Ciphertext {
            label: Label {
                level: below,
                scale,
                ..ciphertext.label.clone()
            },
            constant,
            linear,
        })
    }

    /// The coordinator's whole work on a block: the slot-wise product of two ciphertexts, relinearised and rescaled
    /// (PROTOCOL 5.4, step 4).
    ///
    /// # Errors
    /// If parameters, keys or levels differ, there is no room for the product's scale, or no prime to drop.
    pub fn multiply_relinearise_rescale(
        &mut self,
        left: &Ciphertext,
        right: &Ciphertext,
        key: &RelinearisationKey,
    ) -> Result<Ciphertext, CkksError> {
        let product = self.multiply(left, right)?;
        let product = self.relinearise(&product, key)?;
        self.rescale(&product)
    }

    fn check_operands(&self, left: &Ciphertext, right: &Ciphertext) -> Result<(), CkksError> {
        self.context.check_same(&left.label.context)?;
        left.label.check_operand(&right.label)
    }

    /// The sums over the digits of a polynomial of a level times the key, modulo the primes of the level and the special
    /// prime. The digits are the residues, centred.
    fn switch_key(&mut self, polynomial: &RnsPolynomial, level: usize, key: &RelinearisationKey) {
        let plans = self.context.key_plans();
        let places = || (0..=level).chain([self.context.special_place()]);
        for place in places() {
            self.constant.row_mut(place).fill(0);
            self.linear.row_mut(place).fill(0);
        }
        for (prime, digit) in key.digits[..=level].iter().enumerate() {
            let residues = self.digit.row_mut(0);
            residues.copy_from_slice(polynomial.row(prime));
            plans[prime].interpolate_row(residues);
            for place in places() {
                let lifted = self.lifted.row_mut(0);
                if place == prime {
                    lifted.copy_from_slice(polynomial.row(prime));
                } else {
                    lift(self.digit.row(0), &plans[prime], &plans[place], lifted);
                    plans[place].evaluate_row(lifted);
                }
                let modulus = plans[place].modulus();
                for (sum, key) in [
                    (&mut self.constant, &digit.masked),
                    (&mut self.linear, &digit.uniform),
                ] {
                    let factors = lifted.iter().zip(key.row(place));
                    for (sum, (&a, &b)) in sum.row_mut(place).iter_mut().zip(factors) {
                        *sum = modulus.add(*sum, modulus.multiply(a, b));
                    }
                }
            }
        }
    }
}

/// Divides the rows of a level by the prime of another row, rounding each coefficient to the nearest: from x modulo
/// Q p to round(x / p) modulo Q. What is left in the row of p has no meaning.
fn divide(
    context: &Context,
    polynomial: &mut RnsPolynomial,
    prime: usize,
    level: usize,
    room: &mut RnsPolynomial<Coefficient>,
) {
    let plans = context.key_plans();
    plans[prime].interpolate_row(polynomial.row_mut(prime));
    for place in 0..=level {
        let (remainder, modulus) = (room.row_mut(0), plans[place].modulus());
        lift(
            polynomial.row(prime),
            &plans[prime],
            &plans[place],
            remainder,
        );
        plans[place].evaluate_row(remainder);
        let inverse = context.inverse(prime, place);
        for (word, &remainder) in polynomial.row_mut(place).iter_mut().zip(&*remainder) {
            *word = inverse.multiply(modulus.subtract(*word, remainder));
        }
    }
}

/// The residues modulo another prime of the representatives of smallest magnitude.
fn lift(residues: &[u64], from: &NttPlan, to: &NttPlan, lifted: &mut [u64]) {
    let (from, to) = (from.modulus(), to.modulus());
    for (lifted, &residue) in lifted.iter_mut().zip(residues) {
        *lifted = to.reduce_signed(from.centred(residue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ckks::Profile;

    /// Against wide integers: x up to 2^99 in magnitude, with all kinds of remainders.
    #[test]
    fn division_rounds_to_the_nearest() {
        let context = Context::new(Profile::Hardened);
        let plans = context.plans(1);
        let [q0, q1] = [0, 1].map(|k| i128::from(plans[k].modulus().value()));
        let random = RnsPolynomial::from_seed(&[5; 32], plans).into_coefficients(plans);
        let number = |k: usize| match k {
            // Exact multiples, and just below and above a half.
            0 => -5 * q1,
            1 => 7 * q1 + q1 / 2,
            2 => 7 * q1 + q1 / 2 + 1,
            3 => -7 * q1 - q1 / 2,
            4 => -7 * q1 - q1 / 2 - 1,
            _ => (i128::from(random.row(0)[k]) - q0 / 2) / 2 * q1 + i128::from(random.row(1)[k]),
        };
        let numbers: Vec<i128> = (0..context.degree()).map(number).collect();
        let residues = [q0, q1].map(|q| numbers.iter().map(move |x| x.rem_euclid(q) as u64));
        let residues = RnsPolynomial::<Coefficient>::from_words(
            residues.into_iter().flatten().collect(),
            context.degree(),
        );
        let mut divided = residues.into_evaluations(plans);
        let mut room = RnsPolynomial::zero(context.degree(), 1);
        divide(&context, &mut divided, 1, 0, &mut room);
        divided.truncate(1);
        let divided = divided.into_coefficients(plans);
        for (&quotient, number) in divided.row(0).iter().zip(numbers) {
            let expected = (2 * number + q1).div_euclid(2 * q1);
            assert_eq!(i128::from(plans[0].modulus().centred(quotient)), expected);
        }
    }
}
