use std::marker::PhantomData;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hash::SecretKey32;
use crate::ring::{Modulus, NttPlan, Prg, fill_uniform, row};

/// A polynomial of `Z[X]/(X^N + 1)` by its residues modulo several primes: one row of N words for each, row k below
/// the prime of plan k of the slice of plans that every operation takes. Erased when dropped.
///
/// The domain says what the words of a row are. Sums exist in both domains, products of evaluations only; only a
/// transform leads from one to the other.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct RnsPolynomial<Domain = Evaluation> {
    words: Vec<u64>,
    degree: usize,
    #[zeroize(skip)]
    domain: PhantomData<Domain>,
}

/// Values at the odd powers of a root of unity, in the order of the ring's [`NttPlan`].
pub(crate) struct Evaluation;

/// Coefficients, lowest power first.
pub(crate) struct Coefficient;

impl<Domain> RnsPolynomial<Domain> {
    /// The polynomial 0 modulo so many primes.
    pub(crate) fn zero(degree: usize, rows: usize) -> Self {
        Self::from_words(vec![0; rows * degree], degree)
    }

    /// Takes rows that lie behind one another, each below its prime.
    pub(crate) fn from_words(words: Vec<u64>, degree: usize) -> Self {
        assert!(words.len().is_multiple_of(degree), "whole rows");
        Self {
            words,
            degree,
            domain: PhantomData,
        }
    }

    /// The residues modulo one prime.
    pub(crate) fn row(&self, prime: usize) -> &[u64] {
        &self.words[prime * self.degree..][..self.degree]
    }

    /// The residues modulo one prime.
    pub(crate) fn row_mut(&mut self, prime: usize) -> &mut [u64] {
        &mut self.words[prime * self.degree..][..self.degree]
    }

    /// All rows in order.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> + Clone {
        self.words.chunks_exact(self.degree)
    }

    /// All rows in order.
    pub(crate) fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [u64]> {
        self.words.chunks_exact_mut(self.degree)
    }

    /// The number of primes.
    pub(crate) fn len(&self) -> usize {
        self.words.len() / self.degree
    }

    /// A second copy; not `Clone`, so that copying a secret is visible where it happens.
    pub(crate) fn duplicate(&self) -> Self {
        Self::from_words(self.words.clone(), self.degree)
    }

    /// A copy of the first so many rows.
    pub(crate) fn first_rows(&self, rows: usize) -> Self {
        Self::from_words(self.words[..rows * self.degree].to_vec(), self.degree)
    }

    /// Forgets all rows but the first so many.
    pub(crate) fn truncate(&mut self, rows: usize) {
        let kept = rows * self.degree;
        self.words[kept..].zeroize();
        self.words.truncate(kept);
    }

    /// `self + other`, modulo the primes of `plans`. The other may have more rows.
    pub(crate) fn add_assign(&mut self, other: &Self, plans: &[NttPlan]) {
        for ((sum, other), plan) in self.rows_mut().zip(other.rows()).zip(plans) {
            row::add_assign(sum, other, plan.modulus());
        }
    }

    /// `self - other`.
    pub(crate) fn subtract_assign(&mut self, other: &Self, plans: &[NttPlan]) {
        for ((difference, other), plan) in self.rows_mut().zip(other.rows()).zip(plans) {
            row::subtract_assign(difference, other, plan.modulus());
        }
    }

    fn into_domain<Other>(mut self) -> RnsPolynomial<Other> {
        RnsPolynomial::from_words(std::mem::take(&mut self.words), self.degree)
    }
}

impl RnsPolynomial {
    /// The public polynomial of a seed: modulo the k-th prime uniform from stream k, as coefficients, so that it
    /// does not depend on anyone's root of unity.
    pub(crate) fn from_seed(seed: &[u8; 32], plans: &[NttPlan]) -> Self {
        let key = SecretKey32::from_bytes(*seed);
        let mut uniform = RnsPolynomial::zero(plans[0].degree(), plans.len());
        for (stream, (row, plan)) in uniform.rows_mut().zip(plans).enumerate() {
            fill_uniform(&mut Prg::new(&key, stream as u64), plan.modulus(), row);
        }
        uniform.into_evaluations(plans)
    }

    /// `self + left * right`. The factors may have more rows.
    pub(crate) fn add_product(&mut self, left: &Self, right: &Self, plans: &[NttPlan]) {
        for (((sum, left), right), plan) in
            (self.rows_mut().zip(left.rows()).zip(right.rows())).zip(plans)
        {
            row::add_product(sum, left, right, plan.modulus());
        }
    }

    /// `left * right` modulo the primes of `plans`. The factors may have more rows.
    pub(crate) fn product(left: &Self, right: &Self, plans: &[NttPlan]) -> Self {
        let mut product = Self::zero(left.degree, plans.len());
        product.set_product(left, right, plans);
        product
    }

    /// [`product`](Self::product) in the place of what was there. The factors and `self` may have more rows.
    pub(crate) fn set_product(&mut self, left: &Self, right: &Self, plans: &[NttPlan]) {
        for (((product, left), right), plan) in
            (self.rows_mut().zip(left.rows()).zip(right.rows())).zip(plans)
        {
            row::product(product, left, right, plan.modulus());
        }
    }

    /// The inverse transform of every row.
    pub(crate) fn into_coefficients(self, plans: &[NttPlan]) -> RnsPolynomial<Coefficient> {
        let mut polynomial: RnsPolynomial<Coefficient> = self.into_domain();
        for (row, plan) in polynomial.rows_mut().zip(plans) {
            plan.interpolate_row(row);
        }
        polynomial
    }
}

impl RnsPolynomial<Coefficient> {
    /// The residues of signed coefficients, each smaller in magnitude than every prime.
    pub(crate) fn from_small(coefficients: &[i64], plans: &[NttPlan]) -> Self {
        Self::from_residues(coefficients, plans, row::from_small)
    }

    /// The residues of signed coefficients below 2^62 in magnitude.
    pub(crate) fn from_signed(coefficients: &[i64], plans: &[NttPlan]) -> Self {
        Self::from_residues(coefficients, plans, row::from_signed)
    }

    fn from_residues(
        coefficients: &[i64],
        plans: &[NttPlan],
        residues: impl Fn(&mut [u64], &[i64], Modulus),
    ) -> Self {
        let mut polynomial = Self::zero(coefficients.len(), plans.len());
        for (row, plan) in polynomial.rows_mut().zip(plans) {
            residues(row, coefficients, plan.modulus());
        }
        polynomial
    }

    /// The transform of every row.
    pub(crate) fn into_evaluations(self, plans: &[NttPlan]) -> RnsPolynomial {
        let mut polynomial: RnsPolynomial = self.into_domain();
        for (row, plan) in polynomial.rows_mut().zip(plans) {
            plan.evaluate_row(row);
        }
        polynomial
    }
}
