//! ChaCha20-Poly1305 with the nonce zero: every key in this protocol seals one message, ever (PROTOCOL.md 3.5, 3.6).

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use crypto::hash::SecretKey32;
use zeroize::Zeroizing;

/// The bytes do not open under this key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("does not open under its key")]
pub struct DoesNotOpen;

/// Seals `plain` under a key that seals nothing else; 16 bytes longer.
pub fn seal_once(key: SecretKey32, mut plain: Zeroizing<Vec<u8>>) -> Vec<u8> {
    let tag = cipher(&key)
        .seal_in_place_separate_tag(zero_nonce(), Aad::empty(), &mut plain)
        .expect("a message of a few kilobytes is below the cipher's limit");
    // `plain` holds the ciphertext now; the copy carries the tag.
    let mut sealed = Vec::with_capacity(plain.len() + tag.as_ref().len());
    sealed.extend_from_slice(&plain);
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

/// Opens what [`seal_once`] made.
///
/// # Errors
/// [`DoesNotOpen`] when the key is another or a bit was changed.
pub fn open(key: &SecretKey32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = cipher(key)
        .open_in_place(zero_nonce(), Aad::empty(), &mut buffer)
        .map_err(|_| DoesNotOpen)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn cipher(key: &SecretKey32) -> LessSafeKey {
    LessSafeKey::new(
        UnboundKey::new(&CHACHA20_POLY1305, key.as_bytes())
            .expect("the cipher's keys have 32 bytes"),
    )
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_any_flipped_bit_does_not() {
        let key = || SecretKey32::from_bytes([3; 32]);
        let sealed = seal_once(key(), Zeroizing::new(b"share".to_vec()));
        assert_eq!(sealed.len(), 5 + 16);
        assert_eq!(open(&key(), &sealed).expect("opens").as_slice(), b"share");
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key(), &altered).is_err());
        }
        assert!(open(&SecretKey32::from_bytes([4; 32]), &sealed).is_err());
        assert!(open(&key(), &[]).is_err());
    }
}
