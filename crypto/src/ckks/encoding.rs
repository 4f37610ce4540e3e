use std::{collections::VecDeque, f64::consts::PI, sync::Arc};

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use zeroize::Zeroizing;

use super::rns::{self, RnsPolynomial};
use super::{CkksError, Context, DEGREE, SLOTS};
use crate::ring::{Coefficients, NttPlan};

/// Real numbers encoded as a polynomial, with the exact scale. Not encrypted: it may hold clinical data, and is
/// erased when dropped.
pub struct Plaintext {
    pub(super) context: Context,
    pub(super) level: usize,
    pub(super) scale: f64,
    pub(super) polynomial: RnsPolynomial,
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
        let mut residues: VecDeque<Coefficients> = (self.polynomial.0.iter().zip(plans))
            .map(|(residue, plan)| plan.inverse(residue.duplicate()))
            .collect();
        let mut digits = Vec::with_capacity(plans.len());
        for (place, plan) in plans.iter().enumerate() {
            let residue = residues.pop_front().expect("a residue for each prime");
            let digit = rns::centred(&residue, plan);
            for (residue, other) in residues.iter_mut().zip(&plans[place + 1..]) {
                *residue = divide_without(residue, &digit, plan, other);
            }
            digits.push(digit);
        }
        let mut values = Zeroizing::new(vec![0.0; DEGREE]);
        for (digit, plan) in digits.iter().zip(plans).rev() {
            let prime = plan.modulus().value() as f64;
            for (value, &digit) in values.iter_mut().zip(digit.iter()) {
                *value = *value * prime + digit as f64;
            }
        }
        values
    }
}

impl Context {
    /// Encodes up to [`SLOTS`] real numbers at the top level; slots without a value are 0.
    ///
    /// # Errors
    /// If there are more values than slots, one is not finite, the scale is below 2^20 or not below half the modulus, or
    /// a scaled coefficient would reach 2^62.
    pub fn encode(&self, values: &[f64], scale: f64) -> Result<Plaintext, CkksError> {
        if values.len() > SLOTS {
            return Err(CkksError::TooManyValues {
                values: values.len(),
            });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(CkksError::NotFinite { index });
        }
        let level = self.top_level();
        self.check_scale(scale, level)?;
        let coefficients = self.embedding().interpolate(values);
        let mut scaled = Zeroizing::new(vec![0_i64; DEGREE]);
        for (scaled, coefficient) in scaled.iter_mut().zip(coefficients.iter()) {
            let product = (coefficient * scale).round_ties_even();
            if product.abs() >= LARGEST_COEFFICIENT {
                return Err(CkksError::TooLarge);
            }
            *scaled = product as i64;
        }
        Ok(Plaintext {
            context: self.clone(),
            level,
            scale,
            polynomial: RnsPolynomial::from_signed(&scaled, self.plans(level)),
        })
    }

    /// The values of all [`SLOTS`] slots, divided by the exact scale.
    ///
    /// The embedding is that of the ring, common to all profiles; the primes are the plaintext's own.
    pub fn decode(&self, plaintext: &Plaintext) -> Zeroizing<Vec<f64>> {
        let coefficients = plaintext.coefficients();
        let mut values = self.embedding().evaluate(&coefficients);
        for value in values.iter_mut() {
            *value /= plaintext.scale;
        }
        values
    }
}

/// The canonical embedding: slot j is the value at `zeta^(5^j)`, `zeta = exp(i pi / N)`. The other primitive roots
/// are their conjugates, so real slots and real coefficients determine each other.
///
/// All odd powers of zeta are reached by one complex transform of N points after coefficient i was turned by `zeta^i`.
pub(super) struct Embedding {
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// `zeta^i`.
    turns: Vec<Complex<f64>>,
    /// `(5^j mod 2N - 1) / 2`: the point of slot j among the odd powers.
    points: Vec<usize>,
}

impl Embedding {
    pub(super) fn new() -> Self {
        let mut planner = FftPlanner::new();
        let turn = |i: usize| Complex::cis(PI * i as f64 / DEGREE as f64);
        let powers = std::iter::successors(Some(1), |power| Some(power * 5 % (2 * DEGREE)));
        Self {
            forward: planner.plan_fft_forward(DEGREE),
            inverse: planner.plan_fft_inverse(DEGREE),
            turns: (0..DEGREE).map(turn).collect(),
            points: powers.take(SLOTS).map(|power| (power - 1) / 2).collect(),
        }
    }

    /// The real coefficients of the polynomial with these values in its first slots and 0 in the others.
    fn interpolate(&self, values: &[f64]) -> Zeroizing<Vec<f64>> {
        let mut points = ErasedOnDrop::new(DEGREE);
        for (&point, &value) in self.points.iter().zip(values) {
            // The conjugate of a real value is itself.
            points.0[point] = value.into();
            points.0[DEGREE - 1 - point] = value.into();
        }
        points.transform(&*self.forward);
        let turned = points.0.iter().zip(&self.turns);
        Zeroizing::new(
            turned
                .map(|(point, turn)| (point * turn.conj()).re / DEGREE as f64)
                .collect(),
        )
    }

    /// The real parts of the slots of a polynomial.
    fn evaluate(&self, coefficients: &[f64]) -> Zeroizing<Vec<f64>> {
        let mut points = ErasedOnDrop::new(DEGREE);
        for (point, (turn, &coefficient)) in
            points.0.iter_mut().zip(self.turns.iter().zip(coefficients))
        {
            *point = turn * coefficient;
        }
        points.transform(&*self.inverse);
        let slots = self.points.iter().map(|&point| points.0[point].re);
        Zeroizing::new(slots.collect())
    }
}

/// `(x - digit) / prime of plan` modulo the prime of `other`, from x modulo that prime.
fn divide_without(
    x: &Coefficients,
    digit: &[i64],
    plan: &NttPlan,
    other: &NttPlan,
) -> Coefficients {
    let modulus = other.modulus();
    let inverse = modulus.multiplier(modulus.inverse(modulus.reduce(plan.modulus().value())));
    let digit = rns::reduce(digit, other);
    let differences = x
        .words()
        .iter()
        .zip(digit.words())
        .map(|(&a, &b)| modulus.subtract(a, b));
    Coefficients::from_words(
        differences
            .map(|difference| inverse.multiply(difference))
            .collect(),
    )
}

/// Complex numbers that may be clinical data.
struct ErasedOnDrop(Vec<Complex<f64>>);

impl ErasedOnDrop {
    fn new(length: usize) -> Self {
        Self(vec![Complex::default(); length])
    }

    fn transform(&mut self, transform: &dyn Fft<f64>) {
        let mut scratch = Self::new(transform.get_inplace_scratch_len());
        transform.process_with_scratch(&mut self.0, &mut scratch.0);
    }
}

impl Drop for ErasedOnDrop {
    fn drop(&mut self) {
        self.0.fill(Complex::default());
        // Without it the compiler may leave out a write that nothing reads.
        std::hint::black_box(&self.0);
    }
}

/// 2^62: what a signed word can be reduced from.
const LARGEST_COEFFICIENT: f64 = (1_u64 << 62) as f64;
