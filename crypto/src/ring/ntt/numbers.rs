//! Numbers modulo a prime in vectors, of two kinds.

use super::kernel::{Factors, Kernel};
use super::vectors::{Floats, Vectors, Words};
use crate::ring::Modulus;

/// Whole numbers in floating point, for primes p below 2^46.
///
/// With h = y w rounded, l = y w - h exactly (a fused multiplication) and q the whole number nearest to h / p, the product is
/// `(h - q p) + l`, in which every step is exact (van der Hoeven, Lecerf and Quintin, "Modular SIMD arithmetic in Mathemagix", ACM
/// TOMS 2016, section 3; the same in `fft_small` of FLINT). Factors are centred, at most p/2 in magnitude.
///
/// Bounds, in units of p: where y is at most 10 in magnitude, y w / p is below 2^48.4, and h times the rounded 1 / p within
/// 3 * 2^-53 = 2^-51.4 of it, relatively, so that
/// q is within 0.63 of it, and so is the product of 0. Forward a number grows by as much with each of up to 14 levels, from less than
/// 1 to less than 10. Back, a sum of four is reduced after every two levels, so that nothing that is stored exceeds 1.3, and no sum
/// 5.2. All these are whole numbers below 2^50. No number is ever subnormal.
#[derive(Clone, Copy)]
pub(super) struct Floating {
    vectors: Vectors,
    prime: Floats,
    inverse: Floats,
    /// 2^52, whose last place counts ones.
    magic: Floats,
}

impl Floating {
    pub(super) const MAX_BITS: u32 = 46;

    #[inline(always)]
    pub(super) fn new(vectors: Vectors, prime: u64) -> Self {
        Self {
            vectors,
            prime: vectors.splat_float(prime as f64),
            inverse: vectors.splat_float(1.0 / prime as f64),
            magic: vectors.splat_float((1_u64 << 52) as f64),
        }
    }

    #[inline(always)]
    fn nearest_multiple(self, a: Floats) -> Floats {
        let v = self.vectors;
        v.nearest(v.multiply_floats(a, self.inverse))
    }
}

impl Kernel for Floating {
    type Factor = Floats;

    #[inline(always)]
    fn vectors(self) -> Vectors {
        self.vectors
    }

    #[inline(always)]
    fn enter(self, words: Words) -> Words {
        // The word as the last places of 2^52, less 2^52.
        let v = self.vectors;
        let shifted = v.as_floats(v.or(words, v.as_words(self.magic)));
        v.as_words(v.subtract_floats(shifted, self.magic))
    }

    #[inline(always)]
    fn leave(self, vector: Words) -> Words {
        // Half a unit keeps the quotient away from whole numbers, where it could come out on either side.
        let v = self.vectors;
        let number = v.as_floats(vector);
        let above = v.add_floats(number, v.splat_float(0.5));
        let quotient = v.floor(v.multiply_floats(above, self.inverse));
        let residue = v.subtract_product(number, quotient, self.prime);
        let word = v.as_words(v.add_floats(residue, self.magic));
        v.and(word, v.splat((1 << 52) - 1))
    }

    #[inline(always)]
    fn add(self, a: Words, b: Words) -> Words {
        let v = self.vectors;
        v.as_words(v.add_floats(v.as_floats(a), v.as_floats(b)))
    }

    #[inline(always)]
    fn subtract(self, a: Words, b: Words) -> Words {
        let v = self.vectors;
        v.as_words(v.subtract_floats(v.as_floats(a), v.as_floats(b)))
    }

    #[inline(always)]
    fn multiply(self, a: Words, factor: Floats) -> Words {
        let v = self.vectors;
        let a = v.as_floats(a);
        let high = v.multiply_floats(a, factor);
        let low = v.multiply_subtract(a, factor, high);
        let quotient = self.nearest_multiple(high);
        let remainder = v.subtract_product(high, quotient, self.prime);
        v.as_words(v.add_floats(remainder, low))
    }

    #[inline(always)]
    fn shrink_forward(self, a: Words) -> Words {
        a
    }

    #[inline(always)]
    fn shrink_pair(self, a: Words) -> Words {
        a
    }

    #[inline(always)]
    fn shrink_four(self, a: Words) -> Words {
        let v = self.vectors;
        let a = v.as_floats(a);
        v.as_words(v.subtract_product(a, self.nearest_multiple(a), self.prime))
    }

    #[inline(always)]
    fn broadcast(self, factors: Factors<'_>, place: usize) -> Floats {
        self.vectors
            .splat_float(f64::from_bits(factors.first[place]))
    }

    #[inline(always)]
    fn gather(self, factors: Factors<'_>, place: usize) -> Floats {
        self.vectors
            .as_floats(self.vectors.load_from(factors.first, place))
    }
}

/// The factor as [`Floating`] wants it.
pub(super) fn floating_factor(factor: i64) -> u64 {
    (factor as f64).to_bits()
}

/// Signed words, for primes p = 2^60 - c with c below 2^24: 2^60 is c.
///
/// A number y = y1 2^32 + y0, both halves signed, is multiplied by w through w = w1 2^28 + w0 and v = 2^32 w mod p = v1 2^28 + v0,
/// both centred, with w0 and v0 centred too: with
/// ```text
/// A = y0 w0 + y1 v0        B = y0 w1 + y1 v1 = B1 2^32 + B0
/// y w = A + 2^28 B = A + 2^28 B0 + c B1  (mod p)
/// ```
/// which takes five multiplications of halves, where one by Shoup's quotient takes ten.
///
/// Bounds, in units of P = 2^60, where y is within 7.9 of 0: |B| < 2^63, as |y0| and |w1| and |v1| are at most 2^31 and |y1| is less;
/// |A| <= 1/4 + |y|/32; 2^28 B0 is in [0, 1) and |c B1| below e = 2^-5. So a product is above -1/4 - |y|/32 - e and below
/// 5/4 + |y|/32 + e. What is shrunk, which may be any word, is then in [-8 c, P + 8 c).
///
/// * Two levels forward: the number that is only added to is shrunk, and both products are of numbers within 4 of 0, so below
///   1.41 in magnitude: sums stay above -2.9 and below 3.9.
/// * Two levels back: what is stored is a sum of two that were shrunk, one that was shrunk, or a product of a difference; all of it
///   is in [-0.4, 2.1]. Differences are at most 2.5 in magnitude, sums below 4.2.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    vectors: Vectors,
    prime: Words,
    four_primes: Words,
    complement: Words,
    low_60: Words,
    /// 2^31.
    half: Words,
}

/// c of a prime 2^60 - c, if [`Folding`] takes it.
pub(super) fn complement_of_60_bits(prime: u64) -> Option<u64> {
    (1_u64 << 60)
        .checked_sub(prime)
        .filter(|&complement| complement < 1 << 24)
}

impl Folding {
    #[inline(always)]
    pub(super) fn new(vectors: Vectors, prime: u64) -> Self {
        Self {
            vectors,
            prime: vectors.splat(prime),
            four_primes: vectors.splat(4 * prime),
            complement: vectors.splat((1 << 60) - prime),
            low_60: vectors.splat((1 << 60) - 1),
            half: vectors.splat(1 << 31),
        }
    }

    #[inline(always)]
    fn shrink(self, a: Words) -> Words {
        let v = self.vectors;
        let folded = v.multiply_halves(v.highest_4(a), self.complement);
        v.add(v.and(a, self.low_60), folded)
    }
}

impl Kernel for Folding {
    /// w0 with w1 in the upper half, and v0 with v1.
    type Factor = [Words; 2];

    #[inline(always)]
    fn vectors(self) -> Vectors {
        self.vectors
    }

    #[inline(always)]
    fn enter(self, words: Words) -> Words {
        words
    }

    #[inline(always)]
    fn leave(self, vector: Words) -> Words {
        // From 0 to 8 P, then to P + 8 c, then below p.
        let v = self.vectors;
        let positive = v.add(vector, self.four_primes);
        let folded = v.multiply_halves(v.highest_4(positive), self.complement);
        let word = v.add(v.and(positive, self.low_60), folded);
        v.unless_negative(v.subtract(word, self.prime), word)
    }

    #[inline(always)]
    fn add(self, a: Words, b: Words) -> Words {
        self.vectors.add(a, b)
    }

    #[inline(always)]
    fn subtract(self, a: Words, b: Words) -> Words {
        self.vectors.subtract(a, b)
    }

    #[inline(always)]
    fn multiply(self, a: Words, [w, v]: [Words; 2]) -> Words {
        let vectors = self.vectors;
        let (low, high) = (a, vectors.upper_half(vectors.add(a, self.half)));
        let (w1, v1) = (vectors.upper_half(w), vectors.upper_half(v));
        let small = vectors.add(
            vectors.multiply_halves(low, w),
            vectors.multiply_halves(high, v),
        );
        let large = vectors.add(
            vectors.multiply_halves(low, w1),
            vectors.multiply_halves(high, v1),
        );
        let kept = vectors.and(vectors.shift_left_28(large), self.low_60);
        let folded = vectors.multiply_halves(vectors.upper_half(large), self.complement);
        vectors.add(vectors.add(small, folded), kept)
    }

    #[inline(always)]
    fn shrink_forward(self, a: Words) -> Words {
        self.shrink(a)
    }

    #[inline(always)]
    fn shrink_pair(self, a: Words) -> Words {
        self.shrink(a)
    }

    #[inline(always)]
    fn shrink_four(self, a: Words) -> Words {
        a
    }

    #[inline(always)]
    fn broadcast(self, factors: Factors<'_>, place: usize) -> [Words; 2] {
        [
            self.vectors.splat(factors.first[place]),
            self.vectors.splat(factors.second[place]),
        ]
    }

    #[inline(always)]
    fn gather(self, factors: Factors<'_>, place: usize) -> [Words; 2] {
        [
            self.vectors.load_from(factors.first, place),
            self.vectors.load_from(factors.second, place),
        ]
    }
}

/// A factor as [`Folding`] wants it: w0 with w1 in the upper half.
pub(super) fn folding_factor(modulus: Modulus, factor: u64) -> u64 {
    let centred = modulus.centred(factor);
    // What would be rounded up to 2^59 is taken as a negative number, so that w1 keeps to 32 bits.
    let highest = (1 << 59) - (1 << 27);
    let centred = if centred < highest {
        centred
    } else {
        centred - modulus.value() as i64
    };
    let high = (centred + (1 << 27)) >> 28;
    let low = centred - (high << 28);
    debug_assert!(
        i32::try_from(high).is_ok(),
        "a factor of 60 bits with its sign"
    );
    (low as u64 & u64::from(u32::MAX)) | (high as u64) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_FLOATING_PRIME: u64 = 70_368_743_587_841;
    /// Nearly 2^24 below 2^60, and 2^14 below it.
    const SIXTY: [u64; 2] = [1_152_921_504_591_020_033, 1_152_921_504_606_830_593];

    fn congruent(number: i128, other: i128, prime: u64) -> bool {
        (number - other).rem_euclid(i128::from(prime)) == 0
    }

    fn edges(prime: u64) -> [u64; 9] {
        let edge = (1 << 59) - (1 << 27);
        let half = prime / 2;
        [
            0,
            1,
            prime - 1,
            half,
            half + 1,
            edge - 1,
            edge,
            edge + 1,
            prime / 3,
        ]
        .map(|value| value % prime)
    }

    #[test]
    fn floating_numbers_keep_to_their_bounds_at_the_edges() {
        let Some(v) = Vectors::try_new() else { return };
        let prime = MAX_FLOATING_PRIME;
        let numbers = Floating::new(v, prime);
        let half = (prime / 2) as i64;
        for times in -10..=10_i64 {
            for beside in [-1, 0, 1] {
                let a = times * prime as i64 + beside;
                let words = v.as_words(v.splat_float(a as f64));
                if times.abs() < 10 {
                    let [word, ..] = v.store(numbers.leave(words));
                    assert_eq!(
                        i128::from(word),
                        i128::from(a).rem_euclid(i128::from(prime)),
                        "{a}"
                    );
                }
                for factor in [0, 1, -1, half, -half, half - 1, 12_345] {
                    let as_factor = v.splat_float(f64::from_bits(floating_factor(factor)));
                    let [word, ..] = v.store(numbers.multiply(words, as_factor));
                    let product = f64::from_bits(word);
                    assert!(
                        product.abs() <= 0.63 * prime as f64,
                        "{a} {factor}: {product}"
                    );
                    let exact = i128::from(a) * i128::from(factor);
                    assert!(congruent(product as i128, exact, prime), "{a} {factor}");
                }
            }
        }
    }

    #[test]
    fn a_folding_factor_is_the_factor_in_two_halves() {
        for prime in SIXTY {
            let modulus = Modulus::new(prime);
            for factor in edges(prime) {
                let packed = folding_factor(modulus, factor);
                let (low, high) = (packed as u32 as i32, (packed >> 32) as u32 as i32);
                assert!(i64::from(low).abs() <= 1 << 27, "{factor}");
                let whole = i128::from(low) + (i128::from(high) << 28);
                assert!(congruent(whole, i128::from(factor), prime), "{factor}");
            }
        }
    }

    #[test]
    fn folding_numbers_keep_to_their_bounds_at_the_edges() {
        let Some(v) = Vectors::try_new() else { return };
        let unit = (1_u64 << 60) as f64;
        for prime in SIXTY {
            let modulus = Modulus::new(prime);
            let numbers = Folding::new(v, prime);
            let (p, far) = (prime as i64, (7.9 * unit) as i64);
            let mut words = vec![0, 1, -1, p - 1, p, -p, 4 * p - 1, -4 * p, far, -far];
            // Lower halves at the ends of their range.
            words.extend([1 << 31, (1 << 31) - 1, -(1 << 31), far - (1 << 31)]);
            for &a in &words {
                let loaded = v.splat(a as u64);
                for factor in edges(prime) {
                    let beside = modulus.multiply(factor, (1 << 32) % prime);
                    let pair = [factor, beside].map(|half| v.splat(folding_factor(modulus, half)));
                    let product = v.store(numbers.multiply(loaded, pair))[0] as i64;
                    let exact = i128::from(a) * i128::from(factor);
                    assert!(congruent(i128::from(product), exact, prime), "{a} {factor}");
                    let size = product as f64 / unit;
                    assert!((-0.54..1.54).contains(&size), "{a} {factor}: {size}");
                }
                if (-4 * p..=4 * p).contains(&a) {
                    let [word, ..] = v.store(numbers.leave(loaded));
                    assert_eq!(
                        i128::from(word),
                        i128::from(a).rem_euclid(i128::from(prime)),
                        "{a}"
                    );
                }
            }
            for a in [i64::MIN, i64::MAX, 0, -1] {
                let shrunk = v.store(numbers.shrink(v.splat(a as u64)))[0] as i64;
                assert!(congruent(i128::from(shrunk), i128::from(a), prime), "{a}");
                let slack = 8 << 24;
                assert!(
                    (-slack..(1 << 60) + slack).contains(&shrunk),
                    "{a}: {shrunk}"
                );
            }
        }
    }
}
