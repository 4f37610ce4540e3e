use std::marker::PhantomData;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::CkksError;
use crate::hash::SecretKey32;
use crate::ring::{Modulus, NttPlan, Prg, fill_uniform, row};

/// A polynomial of `Z[X]/(X^N + 1)` by its residues modulo several primes: one row of N words for each, row k below
/// the prime of plan k of the slice of plans that every operation takes. Erased when dropped.
///
/// The domain says what the words of a row are. Sums exist in both domains, products of evaluations only; only a
/// transform leads from one to the other.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct RnsPolynomial<Domain = Evaluation> {
    words: Vec<u64>,
    degree: usize,
    #[zeroize(skip)]
    domain: PhantomData<Domain>,
}

/// Values at the odd powers of a root of unity, in the order of the ring's [`NttPlan`].
pub(super) struct Evaluation;

/// Coefficients, lowest power first.
pub(super) struct Coefficient;

impl<Domain> RnsPolynomial<Domain> {
    /// The polynomial 0 modulo so many primes.
    pub(super) fn zero(degree: usize, rows: usize) -> Self {
        Self::from_words(vec![0; rows * degree], degree)
    }

    /// Takes rows that lie behind one another, each below its prime.
    pub(super) fn from_words(words: Vec<u64>, degree: usize) -> Self {
        assert!(words.len().is_multiple_of(degree), "whole rows");
        Self {
            words,
            degree,
            domain: PhantomData,
        }
    }

    /// The residues modulo one prime.
    pub(super) fn row(&self, prime: usize) -> &[u64] {
        &self.words[prime * self.degree..][..self.degree]
    }

    /// The residues modulo one prime.
    pub(super) fn row_mut(&mut self, prime: usize) -> &mut [u64] {
        &mut self.words[prime * self.degree..][..self.degree]
    }

    /// All rows in order.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> + Clone {
        self.words.chunks_exact(self.degree)
    }

    /// All rows in order.
    pub(super) fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [u64]> {
        self.words.chunks_exact_mut(self.degree)
    }

    /// The number of primes.
    pub(super) fn len(&self) -> usize {
        self.words.len() / self.degree
    }

    /// A second copy; not `Clone`, so that copying a secret is visible where it happens.
    pub(super) fn duplicate(&self) -> Self {
        Self::from_words(self.words.clone(), self.degree)
    }

    /// A copy of the first so many rows.
    pub(super) fn first_rows(&self, rows: usize) -> Self {
        Self::from_words(self.words[..rows * self.degree].to_vec(), self.degree)
    }

    /// Forgets all rows but the first so many.
    pub(super) fn truncate(&mut self, rows: usize) {
        let kept = rows * self.degree;
        self.words[kept..].zeroize();
        self.words.truncate(kept);
    }

    /// `self + other`, modulo the primes of `plans`. The other may have more rows.
    pub(super) fn add_assign(&mut self, other: &Self, plans: &[NttPlan]) {
        for ((sum, other), plan) in self.rows_mut().zip(other.rows()).zip(plans) {
            row::add_assign(sum, other, plan.modulus());
        }
    }

    /// `self - other`.
    pub(super) fn subtract_assign(&mut self, other: &Self, plans: &[NttPlan]) {
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
    pub(super) fn from_seed(seed: &[u8; 32], plans: &[NttPlan]) -> Self {
        let key = SecretKey32::from_bytes(*seed);
        let mut uniform = RnsPolynomial::zero(plans[0].degree(), plans.len());
        for (stream, (row, plan)) in uniform.rows_mut().zip(plans).enumerate() {
            fill_uniform(&mut Prg::new(&key, stream as u64), plan.modulus(), row);
        }
        uniform.into_evaluations(plans)
    }

    /// Takes rows that came from outside: as many as there are plans, each word below the prime of its row.
    ///
    /// They may be secret: which word is too large is looked for only if one is, and what is refused is erased.
    pub(super) fn from_evaluations(
        what: &'static str,
        words: Vec<u64>,
        plans: &[NttPlan],
    ) -> Result<Self, CkksError> {
        let degree = plans[0].degree();
        let expected = plans.len() * degree;
        let mut words = Zeroizing::new(words);
        if words.len() != expected {
            let found = words.len();
            return Err(CkksError::Words {
                what,
                expected,
                found,
            });
        }
        for (k, (row, plan)) in words.chunks_exact(degree).zip(plans).enumerate() {
            let prime = plan.modulus().value();
            if !row.iter().fold(true, |fit, &word| fit & (word < prime)) {
                let place = row.iter().position(|&word| word >= prime);
                let index = k * degree + place.expect("one of them");
                return Err(CkksError::Word { what, index });
            }
        }
        Ok(Self::from_words(std::mem::take(&mut *words), degree))
    }

    /// The words of all rows, one row behind the other.
    pub(super) fn evaluations(&self) -> &[u64] {
        &self.words
    }

    /// Whether it is the transform of a polynomial whose coefficients are -1, 0 or 1, the same under each prime. Takes the same
    /// time for every polynomial.
    pub(super) fn is_ternary(&self, plans: &[NttPlan]) -> bool {
        let coefficients = self.duplicate().into_coefficients(plans);
        let first = plans[0].modulus();
        let mut wrong = 0;
        for &word in coefficients.row(0) {
            // Above 2 it borrows from the highest bit.
            wrong |= 2_u64.wrapping_sub(first.add(word, 1)) >> 63;
        }
        for (row, plan) in coefficients.rows().zip(plans) {
            for (&word, &small) in row.iter().zip(coefficients.row(0)) {
                wrong |= word ^ plan.modulus().from_small(first.centred(small));
            }
        }
        wrong == 0
    }

    /// `self + left * right`. The factors may have more rows.
    pub(super) fn add_product(&mut self, left: &Self, right: &Self, plans: &[NttPlan]) {
        for (((sum, left), right), plan) in
            (self.rows_mut().zip(left.rows()).zip(right.rows())).zip(plans)
        {
            row::add_product(sum, left, right, plan.modulus());
        }
    }

    /// `left * right` modulo the primes of `plans`. The factors may have more rows.
    pub(super) fn product(left: &Self, right: &Self, plans: &[NttPlan]) -> Self {
        let mut product = Self::zero(left.degree, plans.len());
        product.set_product(left, right, plans);
        product
    }

    /// [`product`](Self::product) in the place of what was there. The factors and `self` may have more rows.
    pub(super) fn set_product(&mut self, left: &Self, right: &Self, plans: &[NttPlan]) {
        for (((product, left), right), plan) in
            (self.rows_mut().zip(left.rows()).zip(right.rows())).zip(plans)
        {
            row::product(product, left, right, plan.modulus());
        }
    }

    /// The inverse transform of every row.
    pub(super) fn into_coefficients(self, plans: &[NttPlan]) -> RnsPolynomial<Coefficient> {
        let mut polynomial: RnsPolynomial<Coefficient> = self.into_domain();
        for (row, plan) in polynomial.rows_mut().zip(plans) {
            plan.interpolate_row(row);
        }
        polynomial
    }
}

impl RnsPolynomial<Coefficient> {
    /// The residues of signed coefficients, each smaller in magnitude than every prime.
    pub(super) fn from_small(coefficients: &[i64], plans: &[NttPlan]) -> Self {
        Self::from_residues(coefficients, plans, row::from_small)
    }

    /// The residues of signed coefficients below 2^62 in magnitude.
    pub(super) fn from_signed(coefficients: &[i64], plans: &[NttPlan]) -> Self {
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
    pub(super) fn into_evaluations(self, plans: &[NttPlan]) -> RnsPolynomial {
        let mut polynomial: RnsPolynomial = self.into_domain();
        for (row, plan) in polynomial.rows_mut().zip(plans) {
            plan.evaluate_row(row);
        }
        polynomial
    }
}
