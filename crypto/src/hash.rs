//! Hashes, key derivation and authentication with one domain per label (PROTOCOL 3.1).
//!
//! Every use names a label, and every variable part carries its length, so that no two uses can meet on
//! the same bytes.

pub mod tree;

#[cfg(test)]
mod known_answers;

use aws_lc_rs::{digest, hkdf, hmac as library};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A SHA-256 value.
pub type Digest = [u8; 32];

/// 32 secret bytes: a key, or what keys are derived from. Erased when dropped.
///
/// ```
/// use crypto::hash::SecretKey32;
///
/// let key = SecretKey32::from_bytes([7; 32]);
/// assert_eq!(key.as_bytes(), &[7; 32]);
/// ```
///
/// It has neither `Clone` nor `Debug`:
/// ```compile_fail
/// println!("{:?}", crypto::hash::SecretKey32::from_bytes([7; 32]));
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretKey32([u8; 32]);

impl SecretKey32 {
    /// Takes over key bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// SHA-256 of bytes as they are, without a label.
pub fn sha256(bytes: &[u8]) -> Digest {
    into_digest(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// `H('label' || parts)`: SHA-256 of `"sealed-sum/S1/"`, the label after its length as `u16`, then each part
/// after its length as `u64`, all little-endian.
///
/// ```
/// use crypto::hash::{Digest, labelled_hash};
///
/// // The boundary between two parts counts, and so does the label.
/// let digest: Digest = labelled_hash("join", &[b"ab", b"c"]);
/// assert_ne!(digest, labelled_hash("join", &[b"a", b"bc"]));
/// assert_ne!(digest, labelled_hash("leave", &[b"ab", b"c"]));
/// ```
///
/// # Panics
/// If the label is longer than 65,535 bytes: labels are constants.
pub fn labelled_hash(label: &str, parts: &[&[u8]]) -> Digest {
    let mut context = labelled(label);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    into_digest(context.finish().as_ref())
}

/// `H('label' || words)`, the one part being the words as little-endian bytes: [`labelled_hash`] of a long secret
/// without a second copy of it.
pub(crate) fn labelled_hash_of_words(label: &str, words: &[u64]) -> Digest {
    let mut context = labelled(label);
    context.update(&(8 * words.len() as u64).to_le_bytes());
    let mut block = Zeroizing::new([0; 8 * WORDS_PER_BLOCK]);
    for words in words.chunks(WORDS_PER_BLOCK) {
        let bytes = &mut block[..8 * words.len()];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        context.update(bytes);
    }
    into_digest(context.finish().as_ref())
}

/// `HKDF(input, 'label' || parts)`: HKDF-SHA-256 (RFC 5869) with an empty salt and 32 bytes of output; info is
/// `"sealed-sum/S1"`, the label and the parts, each after its length as little-endian `u16`.
///
/// ```
/// use crypto::hash::derive_key;
///
/// // From the key of one round to that of the next, and to one for another purpose.
/// let next = derive_key(&[7; 32], "r", &[&5_u32.to_le_bytes()]);
/// let result = derive_key(&[7; 32], "result", &[]);
/// assert_ne!(next.as_bytes(), result.as_bytes());
/// ```
///
/// # Panics
/// If the label or a part is longer than 65,535 bytes: parts are hashes, ids and numbers.
pub fn derive_key(input: &[u8], label: &str, parts: &[&[u8]]) -> SecretKey32 {
    let pieces = || {
        let named = [SUITE.as_bytes(), label.as_bytes()];
        named.into_iter().chain(parts.iter().copied())
    };
    // A part may be secret, and a vector that grows leaves copies behind: all the room at once.
    let length = pieces().map(|piece| 2 + piece.len()).sum();
    let mut info = Zeroizing::new(Vec::with_capacity(length));
    for piece in pieces() {
        info.extend_from_slice(&short_length(piece));
        info.extend_from_slice(piece);
    }
    let mut key = SecretKey32([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(input)
        .expand(&[&info], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(&mut key.0))
        .expect("32 bytes are within what HKDF-SHA-256 can give");
    key
}

/// HMAC-SHA-256 of the parts, each after its length as little-endian `u64`.
///
/// ```
/// use crypto::hash::{SecretKey32, constant_time_eq, hmac};
///
/// let key = SecretKey32::from_bytes([7; 32]);
/// let commit = hmac(&key, &[b"round 3", b"clips"]);
/// assert!(constant_time_eq(&commit, &hmac(&key, &[b"round 3", b"clips"])));
/// assert!(!constant_time_eq(&commit, &hmac(&key, &[b"round 4", b"clips"])));
/// ```
pub fn hmac(key: &SecretKey32, parts: &[&[u8]]) -> Digest {
    let key = library::Key::new(library::HMAC_SHA256, &key.0);
    let mut context = library::Context::with_key(&key);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    into_digest(context.sign().as_ref())
}

/// Whether two byte strings are equal, in time that depends on their lengths only.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

const SUITE: &str = "sealed-sum/S1";

const WORDS_PER_BLOCK: usize = 512;

/// The hash so far: suite and label.
fn labelled(label: &str) -> digest::Context {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(SUITE.as_bytes());
    context.update(b"/");
    context.update(&short_length(label.as_bytes()));
    context.update(label.as_bytes());
    context
}

fn short_length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len())
        .expect("labels and parts of a key are short")
        .to_le_bytes()
}

fn into_digest(bytes: &[u8]) -> Digest {
    bytes.try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    #[test]
    fn sha256_of_abc() {
        assert_eq!(
            sha256(b"abc")[..8],
            [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]
        );
    }

    #[test]
    fn labelled_hash_is_the_hash_of_the_stated_bytes() {
        let mut bytes = b"sealed-sum/S1/\x03\0abc".to_vec();
        bytes.extend_from_slice(b"\x02\0\0\0\0\0\0\0xy\0\0\0\0\0\0\0\0");
        assert_eq!(labelled_hash("abc", &[b"xy", b""]), sha256(&bytes));
    }

    #[test]
    fn words_are_hashed_as_the_bytes_they_stand_for() {
        for length in [0, 1, 511, 512, 513, 2000] {
            let words: Vec<u64> = (0..length).map(|word| word << 40 | 3).collect();
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let expected = labelled_hash("m", &[&bytes]);
            assert_eq!(labelled_hash_of_words("m", &words), expected, "{length}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let (one, other): (&[&[u8]], &[&[u8]]) = (&[b"ab", b"c"], &[b"a", b"bc"]);
        let key = SecretKey32::from_bytes([1; 32]);
        assert_ne!(labelled_hash("x", one), labelled_hash("x", other));
        assert_ne!(hmac(&key, one), hmac(&key, other));
        let derived = |parts| *derive_key(b"input", "x", parts).as_bytes();
        assert_ne!(derived(one), derived(other));
        assert_ne!(
            *derive_key(b"input", "xa", &[]).as_bytes(),
            derived(&[b"a"])
        );
    }

    /// RFC 5869 by its definition: extract and expand are HMACs.
    #[test]
    fn derived_key_is_hkdf() {
        let plain_hmac = |key: &[u8], text: &[u8]| {
            let key = library::Key::new(library::HMAC_SHA256, key);
            library::sign(&key, text).as_ref().to_vec()
        };
        let extracted = plain_hmac(&[0; 32], b"secret");
        let expected = plain_hmac(&extracted, b"\x0d\0sealed-sum/S1\x01\0k\x02\0zz\x01");
        assert_eq!(
            derive_key(b"secret", "k", &[b"zz"]).as_bytes()[..],
            expected
        );
    }

    #[test]
    fn comparison_sees_contents_and_lengths() {
        assert!(constant_time_eq(b"same", b"same"));
        assert!(!constant_time_eq(b"same", b"sane"));
        assert!(!constant_time_eq(b"same", b"sam"));
    }
}
