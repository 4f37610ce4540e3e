use std::{f64::consts::PI, sync::Arc};

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use zeroize::{Zeroizing, optimization_barrier};

/// The canonical embedding: slot t is the value at `zeta^(3^t)`, `zeta = exp(i pi / N)`, as in SEAL. The other
/// primitive roots are the conjugates, so real slots and real coefficients determine each other.
///
/// The odd powers of zeta that are 1 mod 4 are one of each conjugate pair. There
/// `p(zeta^(4k+1)) = sum over j < N/2 of (a_j + i a_(j+N/2)) zeta^j exp(2 pi i jk / (N/2))`, because zeta to the N/2 is i:
/// one complex transform of N/2 points, after coefficient pair j was turned by `zeta^j`.
pub(super) struct Embedding {
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    /// `zeta^j`.
    turns: Vec<Complex<f64>>,
    /// The k of slot t: `3^t = 4k + 1` modulo 2N, or minus that, whose value is the conjugate.
    points: Vec<u32>,
}

impl Embedding {
    pub(super) fn new(degree: usize) -> Self {
        let slots = degree / 2;
        let mut planner = FftPlanner::new();
        let turn = |j: usize| Complex::cis(PI * j as f64 / degree as f64);
        let powers = std::iter::successors(Some(1), |power| Some(power * 3 % (2 * degree)));
        let point = |power| match power % 4 {
            1 => (power - 1) / 4,
            _ => (2 * degree - power - 1) / 4,
        };
        Self {
            forward: planner.plan_fft_forward(slots),
            inverse: planner.plan_fft_inverse(slots),
            turns: (0..slots).map(turn).collect(),
            points: powers
                .take(slots)
                .map(|power| point(power) as u32)
                .collect(),
        }
    }

    /// Hands over `factor` times each real coefficient of the polynomial with these values in its first slots and 0 in
    /// the others.
    pub(super) fn interpolate(&self, values: &[f64], factor: f64) -> Zeroizing<Vec<f64>> {
        let slots = self.points.len();
        let mut points = ErasedOnDrop::new(slots);
        for (&point, &value) in self.points.iter().zip(values) {
            // The conjugate of a real value is itself.
            points.0[point as usize] = value.into();
        }
        points.transform(&*self.forward);
        let mut coefficients = Zeroizing::new(vec![0.0; 2 * slots]);
        let (low, high) = coefficients.split_at_mut(slots);
        let factor = factor / slots as f64;
        for ((low, high), (point, turn)) in low
            .iter_mut()
            .zip(high)
            .zip(points.0.iter().zip(&self.turns))
        {
            let pair = point * turn.conj();
            *low = pair.re * factor;
            *high = pair.im * factor;
        }
        coefficients
    }

    /// `factor` times the real part of each slot of a polynomial.
    pub(super) fn evaluate(&self, coefficients: &[f64], factor: f64) -> Zeroizing<Vec<f64>> {
        let slots = self.points.len();
        let mut points = ErasedOnDrop::new(slots);
        let (low, high) = coefficients.split_at(slots);
        for (point, ((&low, &high), turn)) in
            (points.0.iter_mut()).zip(low.iter().zip(high).zip(&self.turns))
        {
            *point = turn * Complex::new(low, high);
        }
        points.transform(&*self.inverse);
        let values = self
            .points
            .iter()
            .map(|&point| points.0[point as usize].re * factor);
        Zeroizing::new(values.collect())
    }
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
        optimization_barrier(&*self.0);
    }
}
