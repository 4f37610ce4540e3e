use super::wire;
use crate::hash::SecretKey32;
use crate::ring::{Coefficients, Evaluations, NttPlan, Prg, uniform};

/// A polynomial by its residues modulo several primes, each as evaluations. Residue k belongs to plan k of the
/// slice of plans that every operation takes.
pub(super) struct RnsPolynomial(pub(super) Vec<Evaluations>);

impl RnsPolynomial {
    /// The residues of small signed coefficients.
    pub(super) fn from_small(coefficients: &[i64], plans: &[NttPlan]) -> Self {
        Self::from_plans(plans, |plan| {
            Coefficients::from_small(coefficients, plan.modulus())
        })
    }

    /// The residues of signed coefficients below 2^62 in magnitude.
    pub(super) fn from_signed(coefficients: &[i64], plans: &[NttPlan]) -> Self {
        Self::from_plans(plans, |plan| reduce(coefficients, plan))
    }

    /// The public polynomial of a seed: modulo the k-th prime uniform from stream k, as coefficients, so that it
    /// does not depend on anyone's root of unity.
    pub(super) fn from_seed(seed: [u8; 32], plans: &[NttPlan]) -> Self {
        let key = SecretKey32::from_bytes(seed);
        let uniform = |(stream, plan): (usize, &NttPlan)| {
            let mut prg = Prg::new(&key, stream as u64);
            plan.forward(uniform(&mut prg, plan.modulus(), plan.degree()))
        };
        Self(plans.iter().enumerate().map(uniform).collect())
    }

    pub(super) fn duplicate(&self) -> Self {
        Self(self.0.iter().map(Evaluations::duplicate).collect())
    }

    pub(super) fn add_assign(&mut self, other: &Self, plans: &[NttPlan]) {
        for ((residue, other), plan) in self.0.iter_mut().zip(&other.0).zip(plans) {
            residue.add_assign(other, plan.modulus());
        }
    }

    /// `self - other`.
    pub(super) fn subtract_assign(&mut self, other: &Self, plans: &[NttPlan]) {
        for ((residue, other), plan) in self.0.iter_mut().zip(&other.0).zip(plans) {
            residue.subtract_assign(other, plan.modulus());
        }
    }

    /// `self + left * right`. The factors may have more residues.
    pub(super) fn add_product(&mut self, left: &Self, right: &Self, plans: &[NttPlan]) {
        for (((sum, left), right), plan) in self.0.iter_mut().zip(&left.0).zip(&right.0).zip(plans)
        {
            sum.add_product(left, right, plan.modulus());
        }
    }

    /// `left * right` modulo the primes of `plans`. The factors may have more residues.
    pub(super) fn product(left: &Self, right: &Self, plans: &[NttPlan]) -> Self {
        let mut product = Self(
            plans
                .iter()
                .map(|plan| Evaluations::zero(plan.degree()))
                .collect(),
        );
        product.add_product(left, right, plans);
        product
    }

    /// Divides by the prime of the last residue, rounding each coefficient to the nearest, and drops that residue:
    /// from x modulo Q p to round(x / p) modulo Q.
    pub(super) fn divide_by_last(mut self, plans: &[NttPlan], last_plan: &NttPlan) -> Self {
        let last = self.0.pop().expect("a residue for the prime to divide by");
        let prime = last_plan.modulus();
        let remainder = centred(&last_plan.inverse(last), last_plan);
        for (residue, plan) in self.0.iter_mut().zip(plans) {
            let modulus = plan.modulus();
            residue.subtract_assign(&plan.forward(reduce(&remainder, plan)), modulus);
            residue.scale(modulus.inverse(modulus.reduce(prime.value())), modulus);
        }
        self
    }

    /// The words of the coefficients, prime after prime.
    pub(super) fn write(&self, plans: &[NttPlan], bytes: &mut Vec<u8>) {
        for (residue, plan) in self.0.iter().zip(plans) {
            wire::write_words(plan.inverse(residue.duplicate()).words(), bytes);
        }
    }

    fn from_plans(plans: &[NttPlan], residue: impl Fn(&NttPlan) -> Coefficients) -> Self {
        Self(
            plans
                .iter()
                .map(|plan| plan.forward(residue(plan)))
                .collect(),
        )
    }
}

/// The signed representatives of smallest magnitude.
pub(super) fn centred(residue: &Coefficients, plan: &NttPlan) -> zeroize::Zeroizing<Vec<i64>> {
    let modulus = plan.modulus();
    let words = residue.words().iter();
    zeroize::Zeroizing::new(words.map(|&word| modulus.centred(word)).collect())
}

/// The residues of signed coefficients below 2^62 in magnitude.
pub(super) fn reduce(coefficients: &[i64], plan: &NttPlan) -> Coefficients {
    let modulus = plan.modulus();
    Coefficients::from_words(
        coefficients
            .iter()
            .map(|&c| modulus.reduce_signed(c))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ckks::{Context, DEGREE, Profile};

    /// Against wide integers: x up to 2^99 in magnitude, with all kinds of remainders.
    #[test]
    fn division_rounds_to_the_nearest() {
        let context = Context::new(Profile::Hardened);
        let plans = context.plans(1);
        let [q0, q1] = [0, 1].map(|k| i128::from(plans[k].modulus().value()));
        let random = RnsPolynomial::from_seed([5; 32], plans);
        let words = |k: usize| plans[k].inverse(random.0[k].duplicate()).words().to_vec();
        let (high, low) = (words(0), words(1));
        let number = |k: usize| match k {
            // Exact multiples, and just below and above a half.
            0 => -5 * q1,
            1 => 7 * q1 + q1 / 2,
            2 => 7 * q1 + q1 / 2 + 1,
            3 => -7 * q1 - q1 / 2,
            4 => -7 * q1 - q1 / 2 - 1,
            _ => (i128::from(high[k]) - q0 / 2) / 2 * q1 + i128::from(low[k]),
        };
        let numbers: Vec<i128> = (0..DEGREE).map(number).collect();
        let residue = |plan: &NttPlan| {
            let modulus = i128::from(plan.modulus().value());
            let words = numbers.iter().map(|x| x.rem_euclid(modulus) as u64);
            plan.forward(Coefficients::from_words(words.collect()))
        };
        let divided = RnsPolynomial(plans.iter().map(residue).collect());
        let mut divided = divided.divide_by_last(&plans[..1], &plans[1]);
        assert_eq!(divided.0.len(), 1);
        let divided = plans[0].inverse(divided.0.remove(0));
        for (quotient, number) in centred(&divided, &plans[0]).iter().zip(numbers) {
            let expected = (2 * number + q1).div_euclid(2 * q1);
            assert_eq!(i128::from(*quotient), expected);
        }
    }
}
