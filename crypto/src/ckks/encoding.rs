use zeroize::Zeroizing;

use super::rns::{Coefficient, RnsPolynomial};
use super::{CkksError, Context};
use crate::ring::row;
use crate::rounding::nearest;

/// Real numbers encoded as a polynomial, with the exact scale. Not encrypted: it may hold clinical data, and is
/// erased when dropped.
///
/// ```
/// use crypto::ckks::{Context, Profile};
///
/// let context = Context::new(Profile::Study);
/// let features = context.encode(&[1.0, 0.0, 31.5])?;
/// assert_eq!((features.level(), features.scale()), (2, 2_f64.powi(40)));
///
/// // For a sum with something that was multiplied and rescaled before.
/// let bias = context.encode_at(&[0.25], 1, context.product_scale())?;
/// assert_eq!((bias.level(), bias.scale()), (1, context.product_scale()));
/// # Ok::<(), crypto::ckks::CkksError>(())
/// ```
pub struct Plaintext {
    pub(super) context: Context,
    pub(super) level: usize,
    pub(super) scale: f64,
    pub(super) polynomial: RnsPolynomial<Coefficient>,
}

impl Plaintext {
    /// The number of rescales that are left.
    pub fn level(&self) -> usize {
        self.level
    }

    /// What the values were multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The signed coefficients as floating-point numbers.
    ///
    /// In mixed radix with centred digits, `x = v0 + q0 (v1 + q1 v2)`, the digits of a number that is small against
    /// the modulus are 0 from some place on, so that small numbers lose nothing in the conversion.
    fn coefficients(&self) -> Zeroizing<Vec<f64>> {
        let plans = self.context.plans(self.level);
        let mut residues = self.polynomial.duplicate();
        let mut values = Zeroizing::new(vec![0.0; self.context.degree()]);
        let mut digit = Zeroizing::new(vec![0_i64; self.context.degree()]);
        let mut lifted = Zeroizing::new(vec![0; self.context.degree()]);
        let mut weight = 1.0;
        for (place, plan) in plans.iter().enumerate() {
            let prime = plan.modulus();
            row::centred(&mut digit, residues.row(place), prime);
            for (other, other_plan) in plans.iter().enumerate().skip(place + 1) {
                let inverse = self.context.inverse(place, other);
                row::lift(
                    &mut lifted,
                    residues.row(place),
                    prime,
                    other_plan.modulus(),
                );
                row::subtract_and_scale(residues.row_mut(other), &lifted, inverse);
            }
            for (value, &digit) in values.iter_mut().zip(digit.iter()) {
                *value += digit as f64 * weight;
            }
            weight *= prime.value() as f64;
        }
        values
    }
}

impl Context {
    /// Encodes up to [`slots`](Self::slots) real numbers at the top level and the scale of the parameters; slots
    /// without a value are 0.
    ///
    /// # Errors
    /// If there are more values than slots, one is not finite, or a scaled coefficient would reach 2^62 or half the
    /// modulus.
    pub fn encode(&self, values: &[f64]) -> Result<Plaintext, CkksError> {
        self.encode_at(values, self.top_level(), self.fresh_scale())
    }

    /// Encodes at any level and scale, for instance those of a ciphertext that the plaintext is to meet.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and if there is no such level, or the scale is below 2^20 or not below half the
    /// modulus of the level.
    pub fn encode_at(
        &self,
        values: &[f64],
        level: usize,
        scale: f64,
    ) -> Result<Plaintext, CkksError> {
        if values.len() > self.slots() {
            return Err(CkksError::TooManyValues {
                values: values.len(),
                slots: self.slots(),
            });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(CkksError::NotFinite { index });
        }
        self.check_level(level)?;
        self.check_scale(scale, level)?;
        let bound = LARGEST_COEFFICIENT.min(self.parameters().half_modulus(level));
        let scaled = self.embedding().interpolate(values, scale);
        let mut coefficients = Zeroizing::new(vec![0_i64; self.degree()]);
        let mut all_fit = true;
        for (coefficient, &scaled) in coefficients.iter_mut().zip(scaled.iter()) {
            let rounded = nearest(scaled);
            // What overflowed to infinity or not a number does not fit either.
            all_fit &= rounded.abs() < bound;
            *coefficient = rounded as i64;
        }
        if !all_fit {
            return Err(CkksError::TooLarge);
        }
        Ok(Plaintext {
            context: self.clone(),
            level,
            scale,
            polynomial: RnsPolynomial::from_signed(&coefficients, self.plans(level)),
        })
    }

    /// The values of all slots, divided by the exact scale.
    ///
    /// # Errors
    /// If the plaintext has other parameters.
    pub fn decode(&self, plaintext: &Plaintext) -> Result<Zeroizing<Vec<f64>>, CkksError> {
        self.check_same(&plaintext.context)?;
        let coefficients = plaintext.coefficients();
        Ok(self
            .embedding()
            .evaluate(&coefficients, 1.0 / plaintext.scale))
    }
}

/// 2^62: what a signed word can be reduced from.
const LARGEST_COEFFICIENT: f64 = (1_u64 << 62) as f64;
