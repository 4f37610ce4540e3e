#[cfg(target_arch = "x86_64")]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod numbers;
#[cfg(target_arch = "x86_64")]
mod own;
#[cfg(target_arch = "x86_64")]
mod vectors;

use concrete_ntt::prime64::Plan;

use super::{Coefficients, Evaluations, Modulus};

/// The negacyclic number-theoretic transform of one degree and one prime.
///
/// Three habits of the library underneath end here: its inverse is not divided by the degree, its choice of
/// the root is its own (so evaluations stay inside the process, or are put in another order by their
/// [points](Self::points)), and its products are correct only for some primes (so ours are Barrett and Shoup
/// products, [`Modulus`]).
///
/// On a processor with AVX2 the transforms for the primes of CKKS are ours where the library has nothing faster: AVX-512 for those of 60
/// bits, for which it else takes half as long again; AVX-512 IFMA for those of 46 or fewer, for which it else takes more than twice as
/// long.
///
/// ```
/// use crypto::ring::{Coefficients, Modulus, NttPlan};
///
/// let plan = NttPlan::new(16, Modulus::new(crypto::sealed_sum::MODULUS));
/// let monomial = |power: usize| {
///     let mut words = vec![0; 16];
///     words[power] = 1;
///     plan.forward(Coefficients::from_words(words))
/// };
/// // X^15 times X^3 is X^18, which is -X^2.
/// let mut product = monomial(15);
/// product.multiply_assign(&monomial(3), plan.modulus());
/// assert_eq!(plan.inverse(product).words()[2], plan.modulus().value() - 1);
/// ```
pub struct NttPlan {
    transform: Transform,
    modulus: Modulus,
    degree: usize,
}

/// Chosen by processor and prime, for speed alone: all have the same points in the same order.
enum Transform {
    Library(Plan),
    #[cfg(target_arch = "x86_64")]
    Own(own::Transform),
}

impl NttPlan {
    /// Prepares the transform modulo `X^degree + 1`.
    ///
    /// # Panics
    /// If `degree` is not a power of two from 16, or `modulus` not a prime that is 1 mod `2 * degree`: both are
    /// compiled in, or were checked.
    pub fn new(degree: usize, modulus: Modulus) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(own) = own::Transform::where_faster(degree, modulus) {
            return Self {
                transform: Transform::Own(own),
                modulus,
                degree,
            };
        }
        Self::of_library(degree, modulus)
    }

    /// Ours, whether or not it is faster here; none where the processor, the degree or the prime does not allow it.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub(super) fn of_ours(degree: usize, modulus: Modulus) -> Option<Self> {
        let transform = Transform::Own(own::Transform::new(degree, modulus)?);
        Some(Self {
            transform,
            modulus,
            degree,
        })
    }

    fn of_library(degree: usize, modulus: Modulus) -> Self {
        let plan = Plan::try_new(degree, modulus.value())
            .expect("a prime that is 1 mod 2N has a primitive 2N-th root of unity");
        Self {
            transform: Transform::Library(plan),
            modulus,
            degree,
        }
    }

    /// The prime.
    pub fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// The degree N of `X^N + 1`.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Evaluates a polynomial.
    ///
    /// # Panics
    /// If the polynomial has another degree.
    pub fn forward(&self, polynomial: Coefficients) -> Evaluations {
        let mut words = polynomial.into_words();
        self.evaluate_row(&mut words);
        Evaluations::from_words(words)
    }

    /// Interpolates a polynomial: the inverse of [`forward`](Self::forward).
    ///
    /// # Panics
    /// If the polynomial has another degree.
    pub fn inverse(&self, polynomial: Evaluations) -> Coefficients {
        let mut words = polynomial.into_words();
        self.interpolate_row(&mut words);
        Coefficients::from_words(words)
    }

    /// The points that a polynomial is evaluated at, in the order of the values: the odd powers of a primitive 2N-th
    /// root of unity. The order is the library's.
    ///
    /// ```
    /// use crypto::ring::{Coefficients, Modulus, NttPlan};
    ///
    /// let plan = NttPlan::new(16, Modulus::new(crypto::sealed_sum::MODULUS));
    /// let mut square = vec![0; 16];
    /// square[2] = 1;
    /// let values = plan.forward(Coefficients::from_words(square));
    /// let (modulus, points) = (plan.modulus(), plan.points());
    /// assert!(points.iter().map(|&x| modulus.multiply(x, x)).eq(values.words().iter().copied()));
    /// ```
    pub fn points(&self) -> Vec<u64> {
        // The values of X are the points themselves.
        let mut row = vec![0; self.degree()];
        row[1] = 1;
        self.evaluate_row(&mut row);
        row
    }

    /// Coefficients below the modulus to evaluations, in place.
    ///
    /// # Panics
    /// If the row has another length than the degree.
    pub(crate) fn evaluate_row(&self, row: &mut [u64]) {
        match &self.transform {
            Transform::Library(plan) => plan.fwd(row),
            #[cfg(target_arch = "x86_64")]
            Transform::Own(own) => own.forward(row),
        }
    }

    /// Evaluations below the modulus to coefficients, in place.
    ///
    /// # Panics
    /// If the row has another length than the degree.
    pub(crate) fn interpolate_row(&self, row: &mut [u64]) {
        match &self.transform {
            Transform::Library(plan) => {
                plan.inv(row);
                // A Shoup product: unlike the library's Barrett products it is right for every prime.
                plan.normalize(row);
            }
            #[cfg(target_arch = "x86_64")]
            Transform::Own(own) => own.inverse(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::SecretKey32;
    use crate::ring::{Prg, uniform};

    /// Product modulo `X^N + 1` by definition.
    fn schoolbook(left: &[u64], right: &[u64], modulus: u64) -> Vec<u64> {
        let wide = u128::from(modulus);
        let degree = left.len();
        let mut product = vec![0_u64; degree];
        for (i, &a) in left.iter().enumerate() {
            for (j, &b) in right.iter().enumerate() {
                let term = (u128::from(a) * u128::from(b) % wide) as u64;
                let slot = &mut product[(i + j) % degree];
                let signed = if i + j < degree { term } else { modulus - term };
                *slot = ((u128::from(*slot) + u128::from(signed)) % wide) as u64;
            }
        }
        product
    }

    fn check_product(degree: usize, value: u64, left: Vec<u64>, right: Vec<u64>) {
        let plan = NttPlan::new(degree, Modulus::new(value));
        let expected = schoolbook(&left, &right, value);
        let mut product = plan.forward(Coefficients::from_words(left));
        let right = plan.forward(Coefficients::from_words(right));
        product.multiply_assign(&right, plan.modulus());
        assert_eq!(plan.inverse(product).words(), expected, "modulo {value}");
    }

    fn random(degree: usize, value: u64, stream: u64) -> Vec<u64> {
        let mut prg = Prg::new(&SecretKey32::from_bytes([7; 32]), stream);
        uniform(&mut prg, Modulus::new(value), degree)
            .words()
            .to_vec()
    }

    const SEALED_SUM: u64 = crate::sealed_sum::MODULUS;
    const CKKS: [u64; 4] = [
        1_152_921_504_606_830_593,
        1_152_921_504_606_748_673,
        1_099_511_480_321,
        1_099_510_890_497,
    ];

    #[test]
    fn product_is_schoolbook_for_every_prime_at_degree_16() {
        for value in CKKS.into_iter().chain([SEALED_SUM]) {
            for stream in 0..20 {
                check_product(
                    16,
                    value,
                    random(16, value, stream),
                    random(16, value, 100 + stream),
                );
            }
            // All coefficients at their largest: every lazy reduction at its bound.
            check_product(16, value, vec![value - 1; 16], vec![value - 1; 16]);
        }
    }

    #[test]
    fn product_is_schoolbook_at_the_degree_of_the_sealed_sum() {
        let random = |stream| random(4096, SEALED_SUM, stream);
        check_product(4096, SEALED_SUM, random(0), random(1));
        check_product(4096, SEALED_SUM, vec![SEALED_SUM - 1; 4096], random(2));
    }

    #[test]
    fn product_is_schoolbook_at_the_degree_of_ckks() {
        for value in CKKS {
            check_product(8192, value, random(8192, value, 0), random(8192, value, 1));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn ours_are_for_known_primes_and_degrees() {
        if pulp::x86::V3::try_new().is_none() {
            return;
        }
        let ours = |degree, value| NttPlan::of_ours(degree, Modulus::new(value)).is_some();
        for value in CKKS {
            assert!(ours(64, value) && ours(8192, value));
            assert!(!ours(32, value), "a degree that nothing here has");
        }
        // The smallest prime 1 mod 128 above 2^60 - 2^24.
        assert!(ours(64, 1_152_921_504_590_070_401));
        assert!(!ours(4096, SEALED_SUM));
        assert!(!ours(16384, CKKS[0]), "no root of unity");
        // Of 47 bits, the first and the last; of 59; and of 60 bits, further than 2^24 from 2^60.
        for value in [
            70_368_744_179_329,
            140_737_488_125_953,
            576_460_752_302_473_217,
            1_152_921_504_590_069_377,
        ] {
            assert!(!ours(64, value), "{value}");
        }
    }

    /// The points too, which follow from the root.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn ours_are_those_of_the_library() {
        if pulp::x86::V3::try_new().is_none() {
            return;
        }
        // The largest primes of 46 and 33 bits besides those in use, and one nearly 2^24 below 2^60: 1 mod 2^15.
        let others = [70_368_743_587_841, 8_589_475_841, 1_152_921_504_591_020_033];
        for value in CKKS.into_iter().chain(others) {
            let modulus = Modulus::new(value);
            for degree in [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384] {
                let ours = NttPlan::of_ours(degree, modulus);
                let has_root = (value - 1) % (2 * degree as u64) == 0;
                assert_eq!(ours.is_some(), has_root, "{value} {degree}");
                let Some(ours) = ours else { continue };
                let library = NttPlan::of_library(degree, modulus);
                assert_eq!(ours.points(), library.points(), "{value} {degree}");
                let mut edges = random(degree, value, 5);
                for (place, word) in edges.iter_mut().enumerate() {
                    let choices = [*word, 0, 1, value - 1, value / 2, value / 2 + 1];
                    *word = choices[(place + place / 7) % choices.len()];
                }
                let rows = [
                    random(degree, value, 6),
                    edges,
                    vec![value - 1; degree],
                    vec![value / 2; degree],
                    vec![1; degree],
                    vec![0; degree],
                ];
                for row in rows {
                    let (mut here, mut there) = (row.clone(), row.clone());
                    ours.evaluate_row(&mut here);
                    library.evaluate_row(&mut there);
                    assert!(here == there, "forward, {value} {degree}");
                    // Sums that are 0 or -1 modulo the prime, far from either.
                    ours.interpolate_row(&mut here);
                    assert!(here == row, "there and back, {value} {degree}");
                    let (mut here, mut there) = (row.clone(), row.clone());
                    ours.interpolate_row(&mut here);
                    library.interpolate_row(&mut there);
                    assert!(here == there, "back, {value} {degree}");
                    ours.evaluate_row(&mut here);
                    assert!(here == row, "back and there, {value} {degree}");
                }
            }
        }
    }
}
