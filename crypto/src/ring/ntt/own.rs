//! Transforms with the vector instructions of x86 for the kinds of primes that CKKS has.

use std::arch::is_x86_feature_detected;

use pulp::x86::V4;

use super::kernel::{self, Factors};
use super::numbers::{Floating, Folding, complement_of_60_bits, floating_factor, folding_factor};
use super::vectors::{LANES, Vectors};
use crate::primality::is_prime;
use crate::ring::Modulus;

/// The transform of one degree and one prime.
pub(super) struct Transform {
    vectors: Vectors,
    numbers: Numbers,
    modulus: Modulus,
    forward: Prepared,
    inverse: Prepared,
}

/// How a prime is calculated with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Floating,
    Folding,
}

impl Numbers {
    fn of(modulus: Modulus) -> Option<Self> {
        if modulus.bits() <= Floating::MAX_BITS {
            return Some(Self::Floating);
        }
        complement_of_60_bits(modulus.value()).map(|_| Self::Folding)
    }
}

impl Transform {
    /// Where it is faster than the library: for primes that it can do, on a processor that has AVX2 but not what the library does
    /// them with otherwise.
    pub(super) fn where_faster(degree: usize, modulus: Modulus) -> Option<Self> {
        let library_is_faster = match Numbers::of(modulus)? {
            Numbers::Floating => is_x86_feature_detected!("avx512ifma"),
            Numbers::Folding => V4::try_new().is_some(),
        };
        if library_is_faster {
            return None;
        }
        Self::new(degree, modulus)
    }

    /// Where the processor, the degree and the prime allow it.
    pub(super) fn new(degree: usize, modulus: Modulus) -> Option<Self> {
        let (vectors, numbers) = (Vectors::try_new()?, Numbers::of(modulus)?);
        let degree_fits = DEGREES.contains(&degree) && degree.is_power_of_two();
        if !degree_fits || !is_prime(modulus.value()) {
            return None;
        }
        let root = primitive_root(2 * degree as u64, modulus)?;
        let inverse_degree = modulus.inverse(degree as u64);
        let forward = powers(root, degree, modulus);
        let mut inverse = powers(modulus.inverse(root), degree, modulus);
        inverse[0] = inverse_degree;
        inverse[1] = modulus.multiply(inverse[1], inverse_degree);
        let [forward, inverse] =
            [forward, inverse].map(|powers| Prepared::new(&powers, numbers, modulus));
        Some(Self {
            vectors,
            numbers,
            modulus,
            forward,
            inverse,
        })
    }

    /// Coefficients below the prime to evaluations, in place.
    pub(super) fn forward(&self, row: &mut [u64]) {
        assert_eq!(row.len(), self.forward.first.len());
        let (prime, factors) = (self.modulus.value(), self.forward.factors());
        match self.numbers {
            Numbers::Floating => kernel::forward(Floating::new(self.vectors, prime), row, factors),
            Numbers::Folding => kernel::forward(Folding::new(self.vectors, prime), row, factors),
        }
    }

    /// Evaluations below the prime to coefficients, in place.
    pub(super) fn inverse(&self, row: &mut [u64]) {
        assert_eq!(row.len(), self.inverse.first.len());
        let (prime, factors) = (self.modulus.value(), self.inverse.factors());
        match self.numbers {
            Numbers::Floating => kernel::inverse(Floating::new(self.vectors, prime), row, factors),
            Numbers::Folding => kernel::inverse(Folding::new(self.vectors, prime), row, factors),
        }
    }
}

/// The factors of one direction, as the kernel wants them.
struct Prepared {
    first: Vec<u64>,
    second: Vec<u64>,
}

impl Prepared {
    fn new(powers: &[u64], numbers: Numbers, modulus: Modulus) -> Self {
        let powers = in_lanes(powers);
        let (first, second) = match numbers {
            Numbers::Floating => {
                let factor = |&power| floating_factor(modulus.centred(power));
                (powers.iter().map(factor).collect(), vec![])
            }
            Numbers::Folding => {
                let shift = modulus.multiplier(1 << 32);
                let factor = |power| folding_factor(modulus, power);
                let shifted = powers.iter().map(|&power| factor(shift.multiply(power)));
                (
                    powers.iter().map(|&power| factor(power)).collect(),
                    shifted.collect(),
                )
            }
        };
        Self { first, second }
    }

    fn factors(&self) -> Factors<'_> {
        Factors {
            first: &self.first,
            second: &self.second,
        }
    }
}

/// The powers of a root of order twice the degree, the one to the power of the bit-reversed k at place k.
fn powers(root: u64, degree: usize, modulus: Modulus) -> Vec<u64> {
    let (mut powers, mut power) = (vec![0; degree], 1);
    let root = modulus.multiplier(root);
    for exponent in 0..degree {
        powers[exponent.reverse_bits() >> (usize::BITS - degree.ilog2())] = power;
        power = root.multiply(power);
    }
    powers
}

/// With the factors of the last level in the order in which the lanes need them: of the two halves of each of as many fours of words
/// as there are lanes, all first halves, then all second halves.
fn in_lanes(powers: &[u64]) -> Vec<u64> {
    let mut ordered = powers.to_vec();
    let last = powers.len() / 2;
    for (block, powers) in
        (ordered[last..].chunks_exact_mut(2 * LANES)).zip(powers[last..].chunks_exact(2 * LANES))
    {
        for (place, factor) in block.iter_mut().enumerate() {
            *factor = powers[2 * (place % LANES) + place / LANES];
        }
    }
    ordered
}

/// The root of unity that the library chooses: from -1, which has order 2, one square root after another by the algorithm of Tonelli
/// and Shanks with the least number that is no square. Nothing if there is none of this order, a power of two.
fn primitive_root(order: u64, modulus: Modulus) -> Option<u64> {
    let prime = modulus.value();
    let (twos, odd) = (
        (prime - 1).trailing_zeros(),
        (prime - 1) >> (prime - 1).trailing_zeros(),
    );
    if order.trailing_zeros() > twos {
        return None;
    }
    let no_square =
        (2..prime).find(|&number| modulus.power(number, (prime - 1) / 2) == prime - 1)?;
    let generator = modulus.power(no_square, odd);
    let mut root = prime - 1;
    for _ in 1..order.trailing_zeros() {
        let square = root;
        let (mut order, mut factor) = (twos, generator);
        let mut rest = modulus.power(square, odd);
        root = modulus.power(square, odd.div_ceil(2));
        while rest != 1 {
            let mut doublings = 0;
            let mut power = rest;
            while power != 1 {
                power = modulus.multiply(power, power);
                doublings += 1;
            }
            let step = modulus.power(factor, 1 << (order - doublings - 1));
            order = doublings;
            factor = modulus.multiply(step, step);
            rest = modulus.multiply(rest, factor);
            root = modulus.multiply(root, step);
        }
    }
    Some(root)
}

/// At least sixteen vectors, and the bound that the numbers are made for.
const DEGREES: std::ops::RangeInclusive<usize> = 64..=16384;
