use super::ciphertext::Label;
use super::rns::{Coefficient, RnsPolynomial};
use super::{Ciphertext, CkksError, Context, QuadraticCiphertext, RelinearisationKey};
use crate::ring::{NttPlan, row};

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
    /// A product of two linear polynomials in s: constant, linear and quadratic part.
    product: [RnsPolynomial; 3],
    switched: KeySwitch,
}

impl Evaluator {
    /// Makes the room.
    pub fn new(context: &Context) -> Self {
        let rows = context.top_level() + 1;
        Self {
            context: context.clone(),
            product: std::array::from_fn(|_| RnsPolynomial::zero(context.degree(), rows)),
            switched: KeySwitch::new(context),
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
        let label = self.product_label(left, right)?;
        let plans = self.context.plans(label.level);
        let [constant, linear, quadratic] =
            [(); 3].map(|()| RnsPolynomial::zero(self.context.degree(), plans.len()));
        let mut product = [constant, linear, quadratic];
        set_product(&mut product, left, right, plans);
        let [constant, linear, quadratic] = product;
        QuadraticCiphertext::from_parts(label, constant, linear, quadratic)
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
        let label = &product.label;
        self.context.check_same(&label.context)?;
        label.check_key(&key.context, key.id)?;
        let switched = self.switched.switch(&product.quadratic, label.level, key);
        let [constant, linear] =
            [(&product.constant, 0), (&product.linear, 1)].map(|(polynomial, part)| {
                let mut sum = polynomial.duplicate();
                sum.add_assign(&switched[part], self.context.plans(label.level));
                sum
            });
        Ok(Ciphertext {
            label: label.clone(),
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
        let label = self.rescaled_label(&ciphertext.label)?;
        let [constant, linear] = [&ciphertext.constant, &ciphertext.linear].map(|polynomial| {
            let mut quotient = polynomial.duplicate();
            let (last, room) = (ciphertext.label.level, &mut self.switched.room);
            divide(&self.context, &mut quotient, &[last], last, room);
            quotient.truncate(last);
            quotient
        });
        Ok(Ciphertext {
            label,
            constant,
            linear,
        })
    }

    /// The coordinator's whole work on a block: the slot-wise product of two ciphertexts, relinearised and rescaled
    /// (PROTOCOL 5.4, step 4). The special prime and the last one are divided by together.
    ///
    /// # Errors
    /// If parameters, keys or levels differ, there is no room for the product's scale, or no prime to drop.
    pub fn multiply_relinearise_rescale(
        &mut self,
        left: &Ciphertext,
        right: &Ciphertext,
        key: &RelinearisationKey,
    ) -> Result<Ciphertext, CkksError> {
        let label = self.product_label(left, right)?;
        label.check_key(&key.context, key.id)?;
        let rescaled = self.rescaled_label(&label)?;
        let plans = self.context.plans(label.level);
        set_product(&mut self.product, left, right, plans);
        let [constant, linear] = self
            .switched
            .switch_and_rescale(&self.product, label.level, key);
        Ok(Ciphertext {
            label: rescaled,
            constant,
            linear,
        })
    }

    /// What the product of two ciphertexts is labelled with.
    fn product_label(&self, left: &Ciphertext, right: &Ciphertext) -> Result<Label, CkksError> {
        self.check_operands(left, right)?;
        let label = Label {
            scale: left.label.scale * right.label.scale,
            ..left.label.clone()
        };
        self.context.check_scale(label.scale, label.level)?;
        Ok(label)
    }

    fn rescaled_label(&self, label: &Label) -> Result<Label, CkksError> {
        let below = label.level.checked_sub(1).ok_or(CkksError::LastPrime)?;
        let scale = self.context.rescaled(label.scale, label.level);
        self.context.check_scale(scale, below)?;
        Ok(Label {
            level: below,
            scale,
            ..label.clone()
        })
    }

    fn check_operands(&self, left: &Ciphertext, right: &Ciphertext) -> Result<(), CkksError> {
        self.context.check_same(&left.label.context)?;
        left.label.check_operand(&right.label)
    }
}

/// `(c0 c0', c0 c1' + c1 c0', c1 c1')`.
fn set_product(
    [constant, linear, quadratic]: &mut [RnsPolynomial; 3],
    left: &Ciphertext,
    right: &Ciphertext,
    plans: &[NttPlan],
) {
    constant.set_product(&left.constant, &right.constant, plans);
    for ((prime, plan), row) in plans.iter().enumerate().zip(linear.rows_mut()) {
        let products = [
            (&left.constant, &right.linear),
            (&left.linear, &right.constant),
        ];
        let products = products
            .into_iter()
            .map(|(left, right)| (left.row(prime), right.row(prime)));
        row::sum_of_products(row, products, plan.modulus());
    }
    quadratic.set_product(&left.linear, &right.linear, plans);
}

/// Takes a polynomial from one key to another, and divides by primes.
struct KeySwitch {
    context: Context,
    /// The digits, each modulo the prime it comes from.
    coefficients: RnsPolynomial<Coefficient>,
    /// The digits modulo one prime at a time.
    digits: RnsPolynomial,
    /// The sums over the digits of their products with the key, modulo all primes.
    sums: [RnsPolynomial; 2],
    /// For [`divide`].
    room: [Vec<u64>; 2],
}

impl KeySwitch {
    fn new(context: &Context) -> Self {
        let (degree, primes) = (context.degree(), context.key_plans().len());
        Self {
            context: context.clone(),
            coefficients: RnsPolynomial::zero(degree, primes - 1),
            digits: RnsPolynomial::zero(degree, primes - 1),
            room: [(); 2].map(|()| vec![0; degree]),
            sums: [(); 2].map(|()| RnsPolynomial::zero(degree, primes)),
        }
    }

    /// The sums over the digits of a polynomial of a level times the key, divided by the special prime.
    fn switch(
        &mut self,
        polynomial: &RnsPolynomial,
        level: usize,
        key: &RelinearisationKey,
    ) -> &[RnsPolynomial; 2] {
        self.sum_digits(polynomial, level, key);
        for sum in &mut self.sums {
            let special = self.context.special_place();
            divide(&self.context, sum, &[special], level + 1, &mut self.room);
        }
        &self.sums
    }

    /// The sums over the digits and P times a polynomial each, divided by both P, which is the special prime, and the last prime of
    /// the level.
    fn switch_and_rescale(
        &mut self,
        [constant, linear, quadratic]: &[RnsPolynomial; 3],
        level: usize,
        key: &RelinearisationKey,
    ) -> [RnsPolynomial; 2] {
        self.sum_digits(quadratic, level, key);
        let special = self.context.special_place();
        let special_prime = self.context.key_plans()[special].modulus().value();
        for (sum, polynomial) in self.sums.iter_mut().zip([constant, linear]) {
            for (place, plan) in self.context.plans(level).iter().enumerate() {
                let factor = plan.modulus().multiplier(special_prime);
                row::add_scaled(sum.row_mut(place), polynomial.row(place), factor);
            }
            divide(&self.context, sum, &[special, level], level, &mut self.room);
        }
        self.sums.each_ref().map(|sum| sum.first_rows(level))
    }

    /// The sums over the digits, which are the residues, centred.
    fn sum_digits(&mut self, polynomial: &RnsPolynomial, level: usize, key: &RelinearisationKey) {
        let (plans, special) = (self.context.key_plans(), self.context.special_place());
        for (prime, digit) in self.coefficients.rows_mut().take(level + 1).enumerate() {
            digit.copy_from_slice(polynomial.row(prime));
            plans[prime].interpolate_row(digit);
        }
        for place in (0..=level).chain([special]) {
            let (plan, modulus) = (&plans[place], plans[place].modulus());
            for (prime, digit) in self.digits.rows_mut().take(level + 1).enumerate() {
                if prime == place {
                    digit.copy_from_slice(polynomial.row(prime));
                } else {
                    let residues = self.coefficients.row(prime);
                    row::lift(digit, residues, plans[prime].modulus(), modulus);
                    plan.evaluate_row(digit);
                }
            }
            let pairs = || self.digits.rows().zip(&key.digits[..=level]);
            let [masked, uniform] = &mut self.sums;
            let masks = pairs().map(|(digit, key)| (digit, key.masked.row(place)));
            row::sum_of_products(masked.row_mut(place), masks, modulus);
            let uniforms = pairs().map(|(digit, key)| (digit, key.uniform.row(place)));
            row::sum_of_products(uniform.row_mut(place), uniforms, modulus);
        }
    }
}

/// Divides the first rows of a polynomial by the primes of other rows, rounding each coefficient to the nearest: from x modulo
/// Q P to round(x / P) modulo Q, where P is the product of those primes. What is left in their rows has no meaning.
///
/// In mixed radix with centred digits the remainder is `v0 + p0 (v1 + p1 v2)`, of magnitude below P / 2.
fn divide(
    context: &Context,
    polynomial: &mut RnsPolynomial,
    primes: &[usize],
    rows: usize,
    room: &mut [Vec<u64>; 2],
) {
    let (plans, [remainder, lifted]) = (context.key_plans(), room);
    let modulus = |place: usize| plans[place].modulus();
    for (count, &prime) in primes.iter().enumerate() {
        plans[prime].interpolate_row(polynomial.row_mut(prime));
        for &before in &primes[..count] {
            row::lift(
                lifted,
                polynomial.row(before),
                modulus(before),
                modulus(prime),
            );
            row::subtract_and_scale(
                polynomial.row_mut(prime),
                lifted,
                context.inverse(before, prime),
            );
        }
    }
    let (&last, others) = primes.split_last().expect("a prime to divide by");
    for (place, plan) in plans.iter().enumerate().take(rows) {
        let (to, mut inverse) = (plan.modulus(), context.inverse(last, place));
        row::lift(remainder, polynomial.row(last), modulus(last), to);
        for &prime in others.iter().rev() {
            let factor = to.multiplier(modulus(prime).value());
            row::lift(lifted, polynomial.row(prime), modulus(prime), to);
            row::scale_and_add(remainder, lifted, factor);
            inverse = to.multiplier(context.inverse(prime, place).multiply(inverse.factor()));
        }
        plan.evaluate_row(remainder);
        row::subtract_and_scale(polynomial.row_mut(place), remainder, inverse);
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::ckks::{Profile, SecretKey, encrypt_symmetric};

    /// At every level that has a prime to drop, and with room that other levels have used before. One rounding and two lead to
    /// different words with a chance of about 2^-27.
    #[test]
    fn all_at_once_is_one_step_after_another() {
        let (context, mut rng) = (Context::new(Profile::Study), StdRng::seed_from_u64(3));
        let secret = SecretKey::generate(&context, &mut rng);
        let key = RelinearisationKey::generate(&secret, &mut rng);
        let mut evaluator = Evaluator::new(&context);
        for level in [2, 1, 2] {
            let mut encrypted = || {
                let plaintext = context.encode_at(&[0.5; 9], level, context.fresh_scale());
                let fresh = encrypt_symmetric(&secret, &plaintext.expect("fits"), &mut rng);
                fresh.expect("of one context").expand()
            };
            let (left, right) = (encrypted(), encrypted());
            let product = evaluator.multiply(&left, &right).expect("of one key");
            let product = evaluator.relinearise(&product, &key).expect("of one key");
            let by_steps = evaluator.rescale(&product).expect("a prime to drop");
            let at_once = evaluator.multiply_relinearise_rescale(&left, &right, &key);
            assert!(
                at_once.expect("fits").to_bytes() == by_steps.to_bytes(),
                "level {level}"
            );
        }
    }

    /// Against wide integers: quotients up to 2^24 in magnitude, with all kinds of remainders; by one prime, and by two together.
    #[test]
    fn division_rounds_to_the_nearest() {
        let context = Context::new(Profile::Hardened);
        let plans = context.key_plans();
        let prime = |place: usize| i128::from(plans[place].modulus().value());
        for primes in [&[1][..], &[2, 1]] {
            let divisor: i128 = primes.iter().map(|&place| prime(place)).product();
            let random = RnsPolynomial::from_seed(&[5; 32], plans).into_coefficients(plans);
            let number = |k: usize| match k {
                // Exact multiples, and just below and above a half.
                0 => -5 * divisor,
                1 => 7 * divisor + divisor / 2,
                2 => 7 * divisor + divisor / 2 + 1,
                3 => -7 * divisor - divisor / 2,
                4 => -7 * divisor - divisor / 2 - 1,
                _ => {
                    let [high, low, middle] =
                        [0, 1, 2].map(|place| i128::from(random.row(place)[k]));
                    let quotient = (high & ((1 << 25) - 1)) - (1 << 24);
                    quotient * divisor + (low * prime(2) + middle) % divisor
                }
            };
            let numbers: Vec<i128> = (0..context.degree()).map(number).collect();
            let residues = (0..plans.len()).flat_map(|place| {
                numbers
                    .iter()
                    .map(move |x| x.rem_euclid(prime(place)) as u64)
            });
            let residues =
                RnsPolynomial::<Coefficient>::from_words(residues.collect(), context.degree());
            let mut divided = residues.into_evaluations(plans);
            let mut room = [(); 2].map(|()| vec![0; context.degree()]);
            divide(&context, &mut divided, primes, 1, &mut room);
            let divided = divided.first_rows(1).into_coefficients(plans);
            for (&quotient, number) in divided.row(0).iter().zip(numbers) {
                let expected = (2 * number + divisor).div_euclid(2 * divisor);
                assert_eq!(i128::from(plans[0].modulus().centred(quotient)), expected);
            }
        }
    }
}
