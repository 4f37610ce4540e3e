//! Fingerprints for people: a few words of a hash, to be read out and compared over the phone.

use bip39::Language;
use crypto::hash::Digest;

/// How many words are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Eight, 88 bits: of keys that their owner has made. Other keys with the same words take 2^88 tries.
    Short = 8,
    /// Sixteen, 176 bits: of what somebody else has put together, such as a roster. Two of them with the same words take 2^88 tries.
    Long = 16,
}

/// The beginning of a hash as words of the English list of BIP 39 (2,048 common words, no two with the same first four letters), 11 bits
/// each.
///
/// ```
/// use protocol::spoken::{Length, spoken};
///
/// assert_eq!(
///     spoken(&[0; 32], Length::Short),
///     "abandon abandon abandon abandon abandon abandon abandon abandon"
/// );
/// ```
pub fn spoken(hash: &Digest, length: Length) -> String {
    let list = Language::English.word_list();
    let bit = |index: usize| usize::from(hash[index / 8] >> (7 - index % 8) & 1);
    let word = |position: usize| {
        let bits = position * WORD_BITS..(position + 1) * WORD_BITS;
        list[bits.fold(0, |number, index| number << 1 | bit(index))]
    };
    (0..length as usize).map(word).collect::<Vec<_>>().join(" ")
}

/// Whether `said` are these words, however they are set apart and in whatever case.
pub fn is_spoken(said: &str, hash: &Digest, length: Length) -> bool {
    let words = said.split(|letter: char| !letter.is_alphabetic());
    let words = words.filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(str::to_lowercase).collect();
    words.join(" ") == spoken(hash, length)
}

const WORD_BITS: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of 128 bits of entropy are those of BIP 39, whose test vectors these are (without the last word, which is a checksum).
    #[test]
    fn the_words_are_those_of_the_published_vectors() {
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(&hex::decode("9e885d952ad362caeb4efe34a8e91bd2").expect("hex"));
        let words = spoken(&hash, Length::Short);
        assert_eq!(words, "ozone drill grab fiber curtain grace pudding thank");
        assert_eq!(
            spoken(&[0x7f; 32], Length::Short),
            "legal winner thank year wave sausage worth useful"
        );
    }

    #[test]
    fn words_are_compared_as_people_write_them() {
        let hash = [0x7f; 32];
        let is_said = |said: &str| is_spoken(said, &hash, Length::Short);
        assert!(is_said(
            "Legal winner, thank YEAR\n wave-sausage worth useful."
        ));
        assert!(!is_said("legal winner thank year wave sausage worth"));
        assert!(!is_said(""));
        assert!(!is_said("legal winner thank year wave sausage worth usual"));
        let long = spoken(&hash, Length::Long);
        assert_eq!(long.split(' ').count(), 16);
        assert!(is_spoken(&long, &hash, Length::Long) && !is_said(&long));
    }
}
