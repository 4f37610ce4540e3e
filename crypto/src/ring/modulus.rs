/// A prime modulus of 33 to 62 bits with its Barrett constant.
///
/// All operands are canonical (`< value`) and so are all results. No operation branches on its operands.
///
/// ```
/// use crypto::ring::Modulus;
///
/// let modulus = Modulus::new(crypto::sealed_sum::MODULUS);
/// let (a, b) = (modulus.value() - 1, 5);
/// assert_eq!(modulus.add(a, b), 4);
/// // -1 times 5.
/// assert_eq!(modulus.centred(modulus.multiply(a, b)), -5);
/// assert_eq!(modulus.multiply(b, modulus.inverse(b)), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modulus {
    value: u64,
    bits: u32,
    /// `floor(2^(2 bits) / value)`, below `2^(bits + 1)`.
    barrett: u64,
}

impl Modulus {
    /// Prepares arithmetic modulo `value`. That it is prime is the caller's claim.
    ///
    /// # Panics
    /// If `value` is even or not of 33 to 62 bits: moduli are compiled in, or were checked.
    pub const fn new(value: u64) -> Self {
        let bits = u64::BITS - value.leading_zeros();
        assert!(value % 2 == 1 && bits >= 33 && bits <= 62);
        let barrett = ((1_u128 << (2 * bits)) / value as u128) as u64;
        Self {
            value,
            bits,
            barrett,
        }
    }

    /// The modulus itself.
    pub const fn value(self) -> u64 {
        self.value
    }

    /// The number of bits of the modulus.
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// `a + b`.
    #[inline]
    pub fn add(self, a: u64, b: u64) -> u64 {
        self.subtract_once(a + b)
    }

    /// `a - b`.
    #[inline]
    pub fn subtract(self, a: u64, b: u64) -> u64 {
        self.subtract_once(a + self.value - b)
    }

    /// `-a`.
    #[inline]
    pub fn negate(self, a: u64) -> u64 {
        self.subtract_once(self.value - a)
    }

    /// `a * b`, by Barrett reduction.
    #[inline]
    pub fn multiply(self, a: u64, b: u64) -> u64 {
        self.reduce_wide(u128::from(a) * u128::from(b))
    }

    /// The residue of any word.
    #[inline]
    pub fn reduce(self, a: u64) -> u64 {
        self.reduce_wide(u128::from(a))
    }

    /// The residue of a signed whole number of magnitude below `2^62`.
    #[inline]
    pub fn reduce_signed(self, a: i64) -> u64 {
        let residue = self.reduce(a.unsigned_abs());
        let negative = (a >> 63) as u64;
        let negated = self.negate(residue);
        residue ^ ((residue ^ negated) & negative)
    }

    /// The residue of a signed number already smaller in magnitude than the modulus.
    #[inline]
    pub fn from_small(self, a: i64) -> u64 {
        ((a >> 63) as u64 & self.value).wrapping_add(a as u64)
    }

    /// The representative of `a` in `(-value/2, value/2)`.
    #[inline]
    pub fn centred(self, a: u64) -> i64 {
        let above_half = ((self.value / 2).wrapping_sub(a) as i64 >> 63) as u64;
        a.wrapping_sub(self.value & above_half) as i64
    }

    /// `base^exponent`; the exponent is public.
    pub fn power(self, base: u64, exponent: u64) -> u64 {
        (0..u64::BITS).rev().fold(1, |power, bit| {
            let square = self.multiply(power, power);
            if exponent >> bit & 1 == 1 {
                self.multiply(square, base)
            } else {
                square
            }
        })
    }

    /// The inverse of a number that is not a multiple of the modulus (Fermat).
    pub fn inverse(self, a: u64) -> u64 {
        self.power(a, self.value - 2)
    }

    /// Prepares a public factor that many words are multiplied by.
    pub fn multiplier(self, factor: u64) -> Multiplier {
        let factor = self.reduce(factor);
        Multiplier {
            factor,
            quotient: ((u128::from(factor) << 64) / u128::from(self.value)) as u64,
            modulus: self,
        }
    }

    /// Barrett reduction of `wide < 2^(2 bits)` (Handbook of Applied Cryptography, algorithm 14.42).
    #[inline]
    fn reduce_wide(self, wide: u128) -> u64 {
        let high = (wide >> (self.bits - 1)) as u64;
        let quotient = ((u128::from(high) * u128::from(self.barrett)) >> (self.bits + 1)) as u64;
        // Below 3 * value, hence below 2^64.
        let remainder = (wide as u64).wrapping_sub(quotient.wrapping_mul(self.value));
        self.subtract_once(self.subtract_once(remainder))
    }

    /// Where the difference wraps it is the larger of the two, so the minimum needs no branch.
    #[inline]
    fn subtract_once(self, a: u64) -> u64 {
        a.min(a.wrapping_sub(self.value))
    }
}

/// A fixed factor with its Shoup quotient: a product costs two multiplications of words.
///
/// With a factor w and `w' = floor(2^64 w / q)`, the product `w a - floor(w' a / 2^64) q` is below 2 q (Shoup; Harvey 2014,
/// "Faster arithmetic for number-theoretic transforms").
///
/// ```
/// use crypto::ring::Modulus;
///
/// let modulus = Modulus::new(crypto::sealed_sum::MODULUS);
/// let by_three = modulus.multiplier(3);
/// assert_eq!(by_three.multiply(14), 42);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Multiplier {
    factor: u64,
    quotient: u64,
    modulus: Modulus,
}

impl Multiplier {
    /// `factor * a`, for any word `a`.
    #[inline]
    pub fn multiply(self, a: u64) -> u64 {
        let quotient = ((u128::from(a) * u128::from(self.quotient)) >> 64) as u64;
        let remainder = a
            .wrapping_mul(self.factor)
            .wrapping_sub(quotient.wrapping_mul(self.modulus.value));
        self.modulus.subtract_once(remainder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MODULI: [u64; 5] = [
        4_611_686_018_427_322_369,
        1_152_921_504_606_830_593,
        1_152_921_504_606_748_673,
        1_099_511_480_321,
        1_099_510_890_497,
    ];

    fn modulus_and_pair() -> impl Strategy<Value = (u64, u64, u64)> {
        prop::sample::select(&MODULI[..]).prop_flat_map(|value| {
            // The edges are where a reduction that is one step short shows.
            let edge = prop_oneof![0..4_u64, value - 4..value, value / 2 - 2..value / 2 + 2];
            let operand = prop_oneof![0..value, edge];
            (Just(value), operand.clone(), operand)
        })
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_division((value, a, b) in modulus_and_pair(), word: u64) {
            let modulus = Modulus::new(value);
            let wide = u128::from(value);
            let (wide_a, wide_b) = (u128::from(a), u128::from(b));
            prop_assert_eq!(u128::from(modulus.add(a, b)), (wide_a + wide_b) % wide);
            prop_assert_eq!(u128::from(modulus.subtract(a, b)), (wide_a + wide - wide_b) % wide);
            prop_assert_eq!(u128::from(modulus.negate(a)), (wide - wide_a) % wide);
            prop_assert_eq!(u128::from(modulus.multiply(a, b)), wide_a * wide_b % wide);
            prop_assert_eq!(modulus.reduce(word), word % value);
            prop_assert_eq!(
                u128::from(modulus.multiplier(a).multiply(word)),
                wide_a * u128::from(word) % wide
            );
            let signed = (word as i64) >> 2;
            prop_assert_eq!(
                i128::from(modulus.reduce_signed(signed)),
                i128::from(signed).rem_euclid(i128::from(value))
            );
            let centred = modulus.centred(a);
            prop_assert!(centred.unsigned_abs() <= value / 2);
            prop_assert_eq!(modulus.from_small(centred), a);
        }

        #[test]
        fn inverse_times_number_is_one((value, a, _) in modulus_and_pair()) {
            prop_assume!(a != 0);
            let modulus = Modulus::new(value);
            prop_assert_eq!(modulus.multiply(a, modulus.inverse(a)), 1);
        }
    }
}
