use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{FieldFormat, RING_DEGREE};
use crate::hash::{Digest, SecretKey32, derive_key};
use crate::ring::Prg;

/// The key of the integrity tag of one sum (PROTOCOL 3.10). For vaults only; erased when dropped.
///
/// With it two numbers are computed of all field values, linear in them, so that the tags of the contributors add up
/// to the tag of the sum:
///
/// ```text
///   tau^(v) = sum over k < L of rho_k^(v) u_k   mod 2^31 - 1,      v = 1, 2
/// ```
///
/// Who does not know the key, and alters a sum, is found out but for one case in 2^62.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TagKey(SecretKey32);

impl TagKey {
    /// The key of the sum under this header, for the vaults that share the group key: `HKDF(G, 'tag' || hh)`.
    pub fn derive(group_key: &SecretKey32, header_hash: &Digest) -> Self {
        Self(derive_key(group_key.as_bytes(), "tag", &[header_hash]))
    }

    /// `tau^(1), tau^(2)` of the first `fields` fields of the packed words. The fields are below 2^24.
    pub(super) fn tag(
        &self,
        format: FieldFormat,
        fields: usize,
        words: &[u64],
    ) -> Zeroizing<[u64; TAGS]> {
        let mut tags = Zeroizing::new([0; TAGS]);
        for (stream, tag) in (1..).zip(tags.iter_mut()) {
            let mut multipliers = Multipliers::new(&self.0, stream);
            let mut left = fields;
            for words in words.chunks(RING_DEGREE) {
                for word in words {
                    for place in 0..format.fields().min(left) {
                        let field =
                            word >> (place as u32 * format.field_bits()) & format.field_mask();
                        // Below 2^31 + 2^55.
                        *tag = (*tag + multipliers.next() * field) % TAG_MODULUS;
                    }
                    left -= format.fields().min(left);
                }
            }
        }
        tags
    }
}

/// The tag as it is sent: a multiple of the modulus is added, so that the opened sum of the tags, as a whole number,
/// says nothing of the single ones beyond their sum modulo [`TAG_MODULUS`].
pub(super) fn padded_tag(tags: &[u64; TAGS], padding_key: &SecretKey32) -> Zeroizing<[u64; TAGS]> {
    let mut bytes = Zeroizing::new([0_u8; 8 * TAGS]);
    Prg::new(padding_key, 0).fill(&mut *bytes);
    let mut padded = Zeroizing::new(*tags);
    for (tag, word) in padded.iter_mut().zip(bytes.as_chunks::<8>().0) {
        let random = u64::from_le_bytes(*word) & (PADDING_RANGE - 1);
        *tag += TAG_MODULUS * random;
    }
    padded
}

/// Whether the words of an opened tag chunk are what padded tags of `contributors` hospitals add up to, for a sum
/// with these tags.
pub(super) fn is_tag_of(words: &[u64], tags: &[u64; TAGS], contributors: u64) -> bool {
    let (padded, rest) = words.split_at(TAGS);
    let largest = contributors * (TAG_MODULUS * PADDING_RANGE - 1);
    let fits = |(&padded, &tag): (&u64, &u64)| padded <= largest && padded % TAG_MODULUS == tag;
    padded.iter().zip(tags).all(fits) && rest.iter().all(|&word| word == 0)
}

/// How many tags there are; each is passed by an alteration with probability `1 / TAG_MODULUS`.
pub(super) const TAGS: usize = 2;

/// The Mersenne prime `2^31 - 1`.
pub(super) const TAG_MODULUS: u64 = (1 << 31) - 1;

/// How many multiples of the modulus a padded tag can hold. The padded tags of 127 contributors fit a coefficient.
const PADDING_RANGE: u64 = 1 << 10;

const _: () = assert!(
    super::MAX_HOSPITALS as u64 * TAG_MODULUS * PADDING_RANGE
        < 1 << super::parameters::PAYLOAD_BITS
);

/// `rho_k^(v)`: the low 31 bits of the little-endian `u32` pieces of a stream, `2^31 - 1` skipped.
struct Multipliers {
    prg: Prg,
    block: Zeroizing<[u8; 4 * PIECES_PER_BLOCK]>,
    used: usize,
}

impl Multipliers {
    fn new(key: &SecretKey32, stream: u64) -> Self {
        Self {
            prg: Prg::new(key, stream),
            block: Zeroizing::new([0; 4 * PIECES_PER_BLOCK]),
            used: PIECES_PER_BLOCK,
        }
    }

    fn next(&mut self) -> u64 {
        loop {
            if self.used == PIECES_PER_BLOCK {
                self.prg.fill(&mut *self.block);
                self.used = 0;
            }
            let piece = self.block.as_chunks::<4>().0[self.used];
            self.used += 1;
            let multiplier = u64::from(u32::from_le_bytes(piece)) & TAG_MODULUS;
            if multiplier != TAG_MODULUS {
                return multiplier;
            }
        }
    }
}

const PIECES_PER_BLOCK: usize = 256;
