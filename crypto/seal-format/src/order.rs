use crypto::ckks::Context;
use crypto::ring::NttPlan;

/// Where the evaluations of a row of SEAL lie in a row of ours.
///
/// SEAL's entry j is the value at `psi^(2 bitrev(j) + 1)`, psi being the smallest primitive 2N-th root of unity modulo
/// the prime. Ours are values at the same points, the odd powers of any such root, in another order: one
/// permutation a prime, and no transform.
pub(super) struct Order {
    /// At j our place of SEAL's entry j.
    places: Vec<u16>,
}

impl Order {
    /// One for each data prime, then the special prime's.
    pub(super) fn of_primes(context: &Context) -> Vec<Self> {
        context.key_plans().iter().map(Self::new).collect()
    }

    fn new(plan: &NttPlan) -> Self {
        let degree = plan.degree();
        let mut places: Vec<(u64, u16)> = plan.points().into_iter().zip(0..).collect();
        places.sort_unstable();
        let modulus = plan.modulus();
        let (root, _) = places[0];
        let square = modulus.multiplier(modulus.multiply(root, root));
        let mut order = vec![0; degree];
        let mut power = root;
        for exponent in 0..degree {
            let found = places.binary_search_by_key(&power, |&(point, _)| point);
            let (_, place) = places[found.expect("every odd power is a point")];
            order[reversed(exponent, degree)] = place;
            power = square.multiply(power);
        }
        Self { places: order }
    }

    /// Our places in the order of SEAL's entries.
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = usize> {
        self.places.iter().map(|&place| usize::from(place))
    }
}

/// The lowest `log2(degree)` bits in reverse.
fn reversed(number: usize, degree: usize) -> usize {
    number.reverse_bits() >> (usize::BITS - degree.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::ckks::Profile;
    use crypto::hash::SecretKey32;
    use crypto::ring::{Prg, uniform};

    /// The roots that SEAL takes for the primes of the study.
    const ROOTS: [u64; 4] = [
        100_406_242_475_323,
        5_405_730,
        30_370_987,
        25_959_043_411_404,
    ];

    #[test]
    fn entries_are_the_values_at_seals_points() {
        let context = Context::new(Profile::Study);
        let plans = context.key_plans();
        for (k, (order, plan)) in Order::of_primes(&context).iter().zip(plans).enumerate() {
            let modulus = plan.modulus();
            let coefficients = || {
                let mut prg = Prg::new(&SecretKey32::from_bytes([9; 32]), k as u64);
                uniform(&mut prg, modulus, 8192)
            };
            let evaluations = plan.forward(coefficients());
            let row: Vec<u64> = (order.places())
                .map(|place| evaluations.words()[place])
                .collect();
            for entry in [0, 1, 2, 3, 1000, 4095, 4096, 8191] {
                let exponent = 2 * reversed(entry, 8192) as u64 + 1;
                let point = modulus.power(ROOTS[k], exponent);
                let value = (coefficients().words().iter().rev()).fold(0, |sum, &coefficient| {
                    modulus.add(modulus.multiply(sum, point), coefficient)
                });
                assert_eq!(row[entry], value, "prime {k}, entry {entry}");
            }
        }
    }

    #[test]
    fn each_place_is_taken_once() {
        for order in Order::of_primes(&Context::new(Profile::Hardened)) {
            let mut places: Vec<_> = order.places().collect();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..8192));
        }
    }
}
