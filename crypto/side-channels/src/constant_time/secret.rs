use std::hint::black_box;

/// A secret to work on. The two extremes are where a branch, a comparison or a lookup would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// All bits 0.
    Zeros,
    /// All bits 1; as residues, the largest.
    Large,
    /// Bits without a pattern.
    Mixed,
}

impl Secret {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Zeros, Self::Large, Self::Mixed];

    /// Names of one length: the environment of a process lies on its stack, and moves it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Large => "large",
            Self::Mixed => "mixed",
        }
    }

    /// The one of this [`name`](Self::name).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|secret| secret.name() == name)
    }

    /// `count` words of 64 bits.
    pub fn words(self, count: usize) -> Vec<u64> {
        let (keep, set) = black_box(self.masks());
        let word = |index| (without_pattern(index) & keep) | set;
        (0..count as u64).map(word).collect()
    }

    /// `count` residues modulo a prime: 0, the largest one, or any.
    pub fn residues(self, prime: u64, count: usize) -> Vec<u64> {
        let below = |word: u64| ((u128::from(word) * u128::from(prime)) >> 64) as u64;
        self.words(count).into_iter().map(below).collect()
    }

    /// `count` whole numbers from `-bound`, which stands for the word 0, to `bound`.
    pub fn small(self, bound: i64, count: usize) -> Vec<i64> {
        let width = 2 * bound as u128 + 1;
        let within = |word: u64| ((u128::from(word) * width) >> 64) as i64 - bound;
        self.words(count).into_iter().map(within).collect()
    }

    /// `count` real numbers: 0, `bound`, or any in `-bound..bound`.
    pub fn reals(self, bound: f64, count: usize) -> Vec<f64> {
        let (keep, set) = black_box(self.masks());
        // The largest i64, as a float, is 2^63: the quotient is 1.
        let word = |index| ((without_pattern(index) & keep) | (set >> 1)) as i64;
        let real = |index| bound * (word(index) as f64 / (1_u64 << 63) as f64);
        (0..count as u64).map(real).collect()
    }

    /// 32 bytes: all bits 0, all bits 1, or without a pattern.
    pub fn bytes(self) -> [u8; 32] {
        let words = self.words(4);
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }

    /// What a word keeps of one without a pattern, and what is set in it.
    ///
    /// All secrets are made by the same instructions: a processor that has just filled memory with zeros is faster
    /// for a while than one that has computed what to write, and the clock would see that.
    fn masks(self) -> (u64, u64) {
        match self {
            Self::Zeros => (0, 0),
            Self::Large => (0, u64::MAX),
            Self::Mixed => (u64::MAX, 0),
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn without_pattern(index: u64) -> u64 {
    let mut z = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
