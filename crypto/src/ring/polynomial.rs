use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Modulus, row};

/// A polynomial by its coefficients, lowest power first, each canonical for its modulus.
///
/// ```
/// use crypto::ring::{Coefficients, Modulus};
///
/// let modulus = Modulus::new(crypto::sealed_sum::MODULUS);
/// let small = Coefficients::from_small(&[1, 0, -1], modulus);
/// assert_eq!(small.words(), [1, 0, modulus.value() - 1]);
/// ```
///
/// There is no product of coefficients:
/// ```compile_fail
/// use crypto::ring::{Coefficients, Modulus};
///
/// let modulus = Modulus::new(crypto::sealed_sum::MODULUS);
/// let mut polynomial = Coefficients::from_words(vec![1; 16]);
/// polynomial.multiply_assign(&Coefficients::from_words(vec![2; 16]), modulus);
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Coefficients(Vec<u64>);

/// A polynomial by its values at the odd powers of a root of unity, in the order of its [`NttPlan`](super::NttPlan).
///
/// The order and the root belong to the plan: evaluations are never sent, stored or hashed.
///
/// ```
/// use crypto::ring::{Coefficients, Evaluations, Modulus, NttPlan};
///
/// // (1 + X)^2 - 2 X = 1 + X^2.
/// let plan = NttPlan::new(16, Modulus::new(crypto::sealed_sum::MODULUS));
/// let evaluated = |low: &[i64]| {
///     let mut coefficients = low.to_vec();
///     coefficients.resize(16, 0);
///     plan.forward(Coefficients::from_small(&coefficients, plan.modulus()))
/// };
/// let mut sum = Evaluations::zero(16);
/// sum.add_product(&evaluated(&[1, 1]), &evaluated(&[1, 1]), plan.modulus());
/// sum.subtract_assign(&evaluated(&[0, 2]), plan.modulus());
/// assert_eq!(plan.inverse(sum).words()[..4], [1, 0, 1, 0]);
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Evaluations(Vec<u64>);

impl Coefficients {
    /// Takes words that are below the modulus they will be used with.
    pub fn from_words(words: Vec<u64>) -> Self {
        Self(words)
    }

    /// The residues of `values`, all smaller in magnitude than the modulus.
    pub fn from_small(values: &[i64], modulus: Modulus) -> Self {
        let mut words = vec![0; values.len()];
        row::from_small(&mut words, values, modulus);
        Self(words)
    }

    /// The coefficients, lowest power first.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn into_words(mut self) -> Vec<u64> {
        std::mem::take(&mut self.0)
    }
}

impl Evaluations {
    /// The polynomial 0.
    pub fn zero(degree: usize) -> Self {
        Self(vec![0; degree])
    }

    /// A second copy; not `Clone`, so that copying a secret is visible where it happens.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// `self += other`.
    pub fn add_assign(&mut self, other: &Self, modulus: Modulus) {
        row::add_assign(&mut self.0, &other.0, modulus);
    }

    /// `self -= other`.
    pub fn subtract_assign(&mut self, other: &Self, modulus: Modulus) {
        row::subtract_assign(&mut self.0, &other.0, modulus);
    }

    /// `self *= other`, the negacyclic product.
    pub fn multiply_assign(&mut self, other: &Self, modulus: Modulus) {
        row::multiply_assign(&mut self.0, &other.0, modulus);
    }

    /// `self += left * right`.
    pub fn add_product(&mut self, left: &Self, right: &Self, modulus: Modulus) {
        row::add_product(&mut self.0, &left.0, &right.0, modulus);
    }

    /// `self *= factor`, a public constant.
    pub fn scale(&mut self, factor: u64, modulus: Modulus) {
        row::scale(&mut self.0, modulus.multiplier(factor));
    }

    /// The values, in the order of [`NttPlan::points`](super::NttPlan::points).
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn from_words(words: Vec<u64>) -> Self {
        Self(words)
    }

    pub(super) fn into_words(mut self) -> Vec<u64> {
        std::mem::take(&mut self.0)
    }
}
