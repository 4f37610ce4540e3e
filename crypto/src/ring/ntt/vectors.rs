//! The vector instructions that the transforms are made of: those of AVX2 and FMA on four words.

use std::arch::x86_64::{__m256d, __m256i};

use pulp::cast;
use pulp::x86::V3;

/// Four words as they lie in a row.
pub(super) type Memory = [u64; LANES];
pub(super) type Words = __m256i;
pub(super) type Floats = __m256d;
pub(super) const LANES: usize = 4;

/// That the processor has the instructions. Each method works lane by lane, but for the transposition.
#[derive(Clone, Copy)]
pub(super) struct Vectors(V3);

impl Vectors {
    pub(super) fn try_new() -> Option<Self> {
        V3::try_new().map(Self)
    }

    /// Compiles what it is given for these vectors.
    #[inline(always)]
    pub(super) fn vectorize(self, work: impl FnOnce()) {
        self.0.vectorize(work);
    }

    #[inline(always)]
    pub(super) fn load(self, words: Memory) -> Words {
        cast(words)
    }

    /// The words from a place on.
    #[inline(always)]
    pub(super) fn load_from(self, words: &[u64], place: usize) -> Words {
        let words = words[place..].first_chunk::<LANES>();
        cast(*words.expect("places for all lanes"))
    }

    #[inline(always)]
    pub(super) fn store(self, words: Words) -> Memory {
        cast(words)
    }

    #[inline(always)]
    pub(super) fn splat(self, word: u64) -> Words {
        self.0.avx._mm256_set1_epi64x(word as i64)
    }

    #[inline(always)]
    pub(super) fn add(self, a: Words, b: Words) -> Words {
        self.0.avx2._mm256_add_epi64(a, b)
    }

    #[inline(always)]
    pub(super) fn subtract(self, a: Words, b: Words) -> Words {
        self.0.avx2._mm256_sub_epi64(a, b)
    }

    #[inline(always)]
    pub(super) fn and(self, a: Words, b: Words) -> Words {
        self.0.avx2._mm256_and_si256(a, b)
    }

    #[inline(always)]
    pub(super) fn or(self, a: Words, b: Words) -> Words {
        self.0.avx2._mm256_or_si256(a, b)
    }

    /// The product of the lower halves, which are signed.
    #[inline(always)]
    pub(super) fn multiply_halves(self, a: Words, b: Words) -> Words {
        self.0.avx2._mm256_mul_epi32(a, b)
    }

    /// The lower half is the upper half of `a`; the upper half is anything.
    #[inline(always)]
    pub(super) fn upper_half(self, a: Words) -> Words {
        // Not a shift: the compiler takes that and the sign of the half together for an arithmetic shift of 64 bits, which it puts
        // together from four other instructions.
        self.0.avx2._mm256_shuffle_epi32::<0xf5>(a)
    }

    #[inline(always)]
    pub(super) fn shift_left_28(self, a: Words) -> Words {
        self.0.avx2._mm256_slli_epi64::<28>(a)
    }

    /// The lower half is `a >> 60` of a signed word, signed; the upper half is anything.
    #[inline(always)]
    pub(super) fn highest_4(self, a: Words) -> Words {
        // There is no arithmetic shift of 64 bits.
        self.upper_half(self.0.avx2._mm256_srai_epi32::<28>(a))
    }

    /// `a`, or where its highest bit is set `b`.
    #[inline(always)]
    pub(super) fn unless_negative(self, a: Words, b: Words) -> Words {
        let (a, b) = (self.as_floats(a), self.as_floats(b));
        self.as_words(self.0.avx._mm256_blendv_pd(a, b, a))
    }

    #[inline(always)]
    pub(super) fn as_floats(self, a: Words) -> Floats {
        cast(a)
    }

    #[inline(always)]
    pub(super) fn as_words(self, a: Floats) -> Words {
        cast(a)
    }

    #[inline(always)]
    pub(super) fn splat_float(self, number: f64) -> Floats {
        self.0.avx._mm256_set1_pd(number)
    }

    #[inline(always)]
    pub(super) fn add_floats(self, a: Floats, b: Floats) -> Floats {
        self.0.avx._mm256_add_pd(a, b)
    }

    #[inline(always)]
    pub(super) fn subtract_floats(self, a: Floats, b: Floats) -> Floats {
        self.0.avx._mm256_sub_pd(a, b)
    }

    #[inline(always)]
    pub(super) fn multiply_floats(self, a: Floats, b: Floats) -> Floats {
        self.0.avx._mm256_mul_pd(a, b)
    }

    /// `a b - c`, rounded once.
    #[inline(always)]
    pub(super) fn multiply_subtract(self, a: Floats, b: Floats, c: Floats) -> Floats {
        self.0.fma._mm256_fmsub_pd(a, b, c)
    }

    /// `c - a b`, rounded once.
    #[inline(always)]
    pub(super) fn subtract_product(self, c: Floats, a: Floats, b: Floats) -> Floats {
        self.0.fma._mm256_fnmadd_pd(a, b, c)
    }

    #[inline(always)]
    pub(super) fn nearest(self, a: Floats) -> Floats {
        // To the nearest, whatever the processor's mode says, and without exceptions.
        self.0.avx._mm256_round_pd::<0x08>(a)
    }

    #[inline(always)]
    pub(super) fn floor(self, a: Floats) -> Floats {
        self.0.avx._mm256_round_pd::<0x09>(a)
    }

    /// From vectors that lie behind one another to the first, second, third and fourth words of the four of them; or back.
    #[inline(always)]
    pub(super) fn transpose(self, [a, b, c, d]: [Words; 4]) -> [Words; 4] {
        let avx2 = self.0.avx2;
        let even = [
            avx2._mm256_unpacklo_epi64(a, b),
            avx2._mm256_unpacklo_epi64(c, d),
        ];
        let odd = [
            avx2._mm256_unpackhi_epi64(a, b),
            avx2._mm256_unpackhi_epi64(c, d),
        ];
        [
            avx2._mm256_permute2x128_si256::<0x20>(even[0], even[1]),
            avx2._mm256_permute2x128_si256::<0x20>(odd[0], odd[1]),
            avx2._mm256_permute2x128_si256::<0x31>(even[0], even[1]),
            avx2._mm256_permute2x128_si256::<0x31>(odd[0], odd[1]),
        ]
    }
}
