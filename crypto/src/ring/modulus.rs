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
    /// `floor(2^(bits + 61) / value)`, below `2^62`.
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
        let barrett = ((1_u128 << (bits + 61)) / value as u128) as u64;
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
    #[inline(always)]
    pub fn add(self, a: u64, b: u64) -> u64 {
        self.subtract_once(a + b)
    }

    /// `a - b`.
    #[inline(always)]
    pub fn subtract(self, a: u64, b: u64) -> u64 {
        self.subtract_once(a + self.value - b)
    }

    /// `-a`.
    #[inline(always)]
    pub fn negate(self, a: u64) -> u64 {
        self.subtract_once(self.value - a)
    }

    /// `a * b`, by Barrett reduction.
    #[inline(always)]
    pub fn multiply(self, a: u64, b: u64) -> u64 {
        self.reduce_wide(Wide::product(a, b))
    }

    /// The residue of any word.
    #[inline(always)]
    pub fn reduce(self, a: u64) -> u64 {
        self.reduce_wide(Wide {
            high: a >> Wide::LOW_BITS,
            low: a & Wide::LOW,
        })
    }

    /// How many products of residues may be added up before they are reduced: one of 62 bits, four of 60 or fewer.
    pub(super) const fn products_at_once(self) -> usize {
        match self.bits {
            62.. => 1,
            61 => 2,
            _ => 4,
        }
    }

    /// The residue of a signed whole number of magnitude below `2^62`.
    #[inline(always)]
    pub fn reduce_signed(self, a: i64) -> u64 {
        let residue = self.reduce(a.unsigned_abs());
        let negative = (a >> 63) as u64;
        let negated = self.negate(residue);
        residue ^ ((residue ^ negated) & negative)
    }

    /// The residue of a signed number already smaller in magnitude than the modulus.
    #[inline(always)]
    pub fn from_small(self, a: i64) -> u64 {
        ((a >> 63) as u64 & self.value).wrapping_add(a as u64)
    }

    /// The representative of `a` in `(-value/2, value/2)`.
    #[inline(always)]
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
            quotient: ((u128::from(factor) << Wide::LOW_BITS) / u128::from(self.value)) as u64,
            modulus: self,
        }
    }

    /// Barrett reduction of a number below `2^(bits + 62)` (Handbook of Applied Cryptography, algorithm 14.42): with
    /// `h = floor(wide / 2^(bits - 1))`, below `2^63`, the quotient `floor(h barrett / 2^62)` is at most three too small.
    #[inline(always)]
    pub(super) fn reduce_wide(self, wide: Wide) -> u64 {
        let high = wide.high + (wide.low >> Wide::LOW_BITS);
        let low = wide.low & Wide::LOW;
        let quotient = Wide::product(
            (high << (63 - self.bits)) | (low >> (self.bits - 1)),
            self.barrett,
        )
        .high;
        // Below 4 * value, hence below 2^64.
        let word = (high << Wide::LOW_BITS) | low;
        let remainder = word.wrapping_sub(quotient.wrapping_mul(self.value));
        let twice = 2 * self.value;
        self.subtract_once(remainder.min(remainder.wrapping_sub(twice)))
    }

    /// Where the difference wraps it is the larger of the two, so the minimum needs no branch.
    #[inline(always)]
    fn subtract_once(self, a: u64) -> u64 {
        a.min(a.wrapping_sub(self.value))
    }
}

/// `high * 2^62 + low`.
///
/// The vector units of x86 processors multiply 32 bits by 32, never 64 by 64. Products are therefore put together from halves, which
/// lets the compiler vectorise loops over them; with 62 bits to a word, no sum of halves overflows.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    pub(super) high: u64,
    /// Below `2^62`, or the sum of four such.
    pub(super) low: u64,
}

impl Wide {
    const LOW_BITS: u32 = 62;
    const LOW: u64 = (1 << Self::LOW_BITS) - 1;

    /// `a * b`, with `a` below `2^63` and `b` below `2^62`.
    #[inline(always)]
    pub(super) fn product(a: u64, b: u64) -> Self {
        if !cfg!(target_arch = "x86_64") {
            let wide = u128::from(a) * u128::from(b);
            return Self {
                high: (wide >> Self::LOW_BITS) as u64,
                low: wide as u64 & Self::LOW,
            };
        }
        const HALF: u64 = (1 << 31) - 1;
        // That a half has no more than 32 bits is said to the compiler, not to the processor.
        let halves = |word: u64| [word & HALF, (word >> 31) & u64::from(u32::MAX)];
        let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
        let low = a0 * b0;
        let middle = a0 * b1 + a1 * b0 + (low >> 31);
        Self {
            high: a1 * b1 + (middle >> 31),
            low: ((middle & HALF) << 31) | (low & HALF),
        }
    }

    /// `self + other`, of no more than four products in all.
    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            high: self.high + other.high,
            low: self.low + other.low,
        }
    }
}

/// A fixed factor with its Shoup quotient: a product costs less than of two numbers.
///
/// With a factor w and `w' = floor(2^62 w / q)`, the product `w a - floor(w' a / 2^62) q` is below 2 q (Shoup; Harvey 2014,
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
    /// The prepared factor.
    pub(crate) fn factor(self) -> u64 {
        self.factor
    }

    pub(super) fn modulus(self) -> Modulus {
        self.modulus
    }

    /// `factor * a`, for any `a` below `2^62`.
    #[inline(always)]
    pub fn multiply(self, a: u64) -> u64 {
        debug_assert!(a >> Wide::LOW_BITS == 0, "a factor of 62 bits");
        let quotient = Wide::product(a, self.quotient).high;
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
            let (mut sum, mut wide_sum) = (Wide { high: 0, low: 0 }, 0);
            for _ in 0..modulus.products_at_once() {
                sum = sum.plus(Wide::product(a, b));
                wide_sum += wide_a * wide_b;
                prop_assert_eq!(u128::from(modulus.reduce_wide(sum)), wide_sum % wide);
            }
            let (long, short) = (word >> 1, word.rotate_left(20) >> 2);
            let product = Wide::product(long, short);
            prop_assert_eq!(
                (u128::from(product.high) << Wide::LOW_BITS) + u128::from(product.low),
                u128::from(long) * u128::from(short)
            );
            prop_assert_eq!(
                u128::from(modulus.multiplier(a).multiply(short)),
                wide_a * u128::from(short) % wide
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
