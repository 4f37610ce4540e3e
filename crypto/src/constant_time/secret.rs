use crate::ring::Modulus;

/// A secret to work on. The two extremes are where a branch, a comparison or a lookup would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    /// All bits 0.
    Zeros,
    /// All bits 1; as residues, the largest.
    Large,
    /// Bits without a pattern.
    Mixed,
}

impl Secret {
    pub(crate) const ALL: [Self; 3] = [Self::Zeros, Self::Large, Self::Mixed];

    /// Names of one length: the environment of a process lies on its stack, and moves it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Large => "large",
            Self::Mixed => "mixed",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|secret| secret.name() == name)
    }

    /// `count` words of 64 bits.
    pub(crate) fn words(self, count: usize) -> Vec<u64> {
        (0..count as u64).map(|index| self.word(index)).collect()
    }

    /// `count` residues: 0, the largest one, or any.
    pub(crate) fn residues(self, modulus: Modulus, count: usize) -> Vec<u64> {
        let below = |word: u64| ((u128::from(word) * u128::from(modulus.value())) >> 64) as u64;
        self.words(count).into_iter().map(below).collect()
    }

    /// `count` whole numbers from `-bound`, which stands for the word 0, to `bound`.
    pub(crate) fn small(self, bound: i64, count: usize) -> Vec<i64> {
        let width = 2 * bound as u128 + 1;
        let within = |word: u64| ((u128::from(word) * width) >> 64) as i64 - bound;
        self.words(count).into_iter().map(within).collect()
    }

    /// `count` real numbers: 0, `bound`, or any in `-bound..bound`.
    pub(crate) fn reals(self, bound: f64, count: usize) -> Vec<f64> {
        let real = |word: u64| match self {
            Self::Zeros => 0.0,
            Self::Large => bound,
            Self::Mixed => bound * (word as i64 as f64 / (1_u64 << 63) as f64),
        };
        self.words(count).into_iter().map(real).collect()
    }

    pub(crate) fn bytes(self) -> [u8; 32] {
        let words = self.words(4);
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }

    /// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) for the words without a pattern.
    fn word(self, index: u64) -> u64 {
        match self {
            Self::Zeros => 0,
            Self::Large => u64::MAX,
            Self::Mixed => {
                let mut z = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }
}
