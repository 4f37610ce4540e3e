//! What the known answers of all layers share. They lie in `crypto/vectors`, with the independent program that made
//! them; the tests that read them stand beside the code that they are about.

mod primes;

use std::fmt::Debug;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::hash::sha256;

/// Reads a file of known answers. Every type denies unknown fields, so that nothing in a file goes unread.
pub fn read<Group: DeserializeOwned>(json: &str) -> Group {
    serde_json::from_str(json).expect("a file of known answers")
}

/// A long list: its length, the SHA-256 of its little-endian words, and four words of each end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digested<Word> {
    pub count: usize,
    sha256: Bytes<32>,
    first: Vec<Word>,
    last: Vec<Word>,
}

impl<Word: LittleEndian> Digested<Word> {
    /// Fails unless these are the words that were digested.
    #[track_caller]
    pub fn check(&self, what: &str, words: &[Word]) {
        assert_eq!(words.len(), self.count, "{what}: the number of words");
        let ends = self.first.len().min(words.len());
        assert_eq!(words[..ends], self.first, "{what}: the first words");
        assert_eq!(
            words[words.len() - ends..],
            self.last,
            "{what}: the last words"
        );
        assert_eq!(hash_of(words), self.sha256, "{what}: the hash of all words");
    }

    /// Fails unless these bytes are the words that were digested.
    #[track_caller]
    pub fn check_bytes(&self, what: &str, bytes: &[u8]) {
        let words: Vec<Word> = bytes
            .chunks_exact(size_of::<Word>())
            .map(Word::read)
            .collect();
        self.check(what, &words);
    }
}

/// SHA-256 of little-endian words.
pub fn hash_of<Word: LittleEndian>(words: &[Word]) -> Bytes<32> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.write()).collect();
    Bytes(sha256(&bytes))
}

/// A number that stands in files and on the wire as little-endian bytes.
pub trait LittleEndian: Copy + PartialEq + Debug {
    fn write(self) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! little_endian {
    ($($number:ty),*) => {$(
        impl LittleEndian for $number {
            fn write(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }

            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("the bytes of one number"))
            }
        }
    )*};
}

little_endian!(u8, u16, u64, i64, f64);

/// Bytes that a file holds as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(bound = "")]
pub struct Bytes<const LENGTH: usize>(#[serde(deserialize_with = "fixed_bytes")] pub [u8; LENGTH]);

fn fixed_bytes<'de, D: serde::Deserializer<'de>, const LENGTH: usize>(
    deserializer: D,
) -> Result<[u8; LENGTH], D::Error> {
    let bytes: Vec<u8> = hex::serde::deserialize(deserializer)?;
    <[u8; LENGTH]>::try_from(bytes).map_err(|_| serde::de::Error::custom("another number of bytes"))
}

/// Steele, Lea and Flood's SplitMix64 (OOPSLA 2014): the inputs of known answers whose source does not matter.
pub struct SplitMix(u64);

impl SplitMix {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Two words, the first the higher, modulo `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        let high = u128::from(self.word()) << 64;
        ((high | u128::from(self.word())) % u128::from(bound)) as u64
    }

    /// Four words, little-endian.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for piece in bytes.as_chunks_mut::<8>().0 {
            *piece = self.word().to_le_bytes();
        }
        bytes
    }
}

#[test]
fn a_digest_notices_every_change() {
    let digested = |json: &str| read::<Digested<u16>>(json);
    // printf '\1\0\2\0\3\0' | sha256sum
    let file = r#"{"count": 3, "sha256": "HASH", "first": [1, 2, 3], "last": [1, 2, 3]}"#.replace(
        "HASH",
        "047dbf5366372631ba7e3e02520e651446b899c96c4b64663bac378a298a7bf7",
    );
    let fails = |file: &str, words: &[u16]| {
        std::panic::catch_unwind(|| digested(file).check("words", words)).is_err()
    };
    assert!(!fails(&file, &[1, 2, 3]));
    assert!(fails(&file, &[1, 2]));
    assert!(fails(&file, &[1, 2, 4]));
    assert!(fails(&file.replace("047d", "047e"), &[1, 2, 3]));
    assert!(fails(
        &file.replace("\"count\": 3", "\"count\": 4"),
        &[1, 2, 3]
    ));
}
