use pulp::Arch;
use subtle::{ConstantTimeEq, ConstantTimeGreater};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::parameters::PAYLOAD_BITS;
use super::{FieldFormat, MAX_HOSPITALS, SumShape};
use crate::hash::{Digest, SecretKey32, derive_key};
use crate::ring::{BLOCK_WORDS, Prg, fill_keystream};

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
///
/// ```
/// use crypto::{hash::SecretKey32, sealed_sum::TagKey};
///
/// let group_key = SecretKey32::from_bytes([1; 32]);
/// let tag_key = TagKey::derive(&group_key, &[7; 32]);
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TagKey(SecretKey32);

impl TagKey {
    /// The key of the sum under this header, for the vaults that share the group key: `HKDF(G, 'tag' || hh)`.
    pub fn derive(group_key: &SecretKey32, header_hash: &Digest) -> Self {
        Self(derive_key(group_key.as_bytes(), "tag", &[header_hash]))
    }

    /// What one chunk adds to the tags. Of the words only the fields below L count.
    ///
    /// The streams are read from where they are if none of their pieces is skipped, so that chunks can be taken in any
    /// order.
    pub(super) fn of_chunk(
        &self,
        shape: &SumShape,
        chunk: usize,
        words: &[u64],
        keystream: &mut [u64],
    ) -> ChunkTag {
        let fields_before = chunk * shape.fields_per_chunk();
        let occupied = shape.occupied_fields() - fields_before;
        let cleared;
        let words = if occupied < shape.fields_per_chunk() {
            cleared = only_fields(shape.format(), occupied, words);
            &cleared
        } else {
            words
        };
        let pieces = &mut keystream[..shape.fields_per_chunk() / 2];
        let first_block = fields_before / (2 * BLOCK_WORDS);
        let mut tag = ChunkTag {
            sums: [0; TAGS],
            skips: false,
        };
        for (stream, sum) in (1..).zip(&mut tag.sums) {
            fill_keystream(&self.0, stream, first_block as u64, pieces);
            let (part, skips) = Arch::new().dispatch(
                #[inline(always)]
                || match shape.format() {
                    FieldFormat::TwoBy24 => weigh_pairs(words, pieces),
                    FieldFormat::ThreeBy16 => weigh_triples(words, pieces),
                },
            );
            *sum = part;
            tag.skips |= skips;
        }
        tag
    }

    /// `tau^(1), tau^(2)` from all chunks; `fields` are the L fields in order.
    pub(super) fn of_sum(
        &self,
        chunks: &[ChunkTag],
        fields: impl Iterator<Item = u64> + Clone,
    ) -> Zeroizing<[u64; TAGS]> {
        let mut tags = Zeroizing::new([0; TAGS]);
        if chunks.iter().any(|chunk| chunk.skips) {
            // Once in 2^31 pieces one is skipped, and all that follow move up.
            for (stream, tag) in (1..).zip(tags.iter_mut()) {
                *tag = self.in_order(stream, fields.clone());
            }
        } else {
            for chunk in chunks {
                for (tag, sum) in tags.iter_mut().zip(chunk.sums) {
                    *tag = (*tag + sum) % TAG_MODULUS;
                }
            }
        }
        tags
    }

    /// A tag by its definition, one field after another.
    fn in_order(&self, stream: u64, fields: impl Iterator<Item = u64>) -> u64 {
        let mut multipliers = Multipliers::new(&self.0, stream);
        // Below 2^31 + 2^55.
        fields.fold(0, |sum, field| {
            (sum + multipliers.next() * field) % TAG_MODULUS
        })
    }
}

/// What one chunk adds to the tags, if no piece of the streams up to its end is skipped.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct ChunkTag {
    sums: [u64; TAGS],
    /// Whether a piece of the chunk's own is skipped.
    skips: bool,
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
/// with these tags. The time taken does not tell which of the tags is wrong: that would be a guess at each alone.
pub(super) fn is_tag_of(words: &[u64], tags: &[u64; TAGS], contributors: u64) -> bool {
    let (padded, rest) = words.split_at(TAGS);
    let largest = contributors * (TAG_MODULUS * PADDING_RANGE - 1);
    let unused = rest.iter().fold(0, |bits, word| bits | word);
    let fits = padded
        .iter()
        .zip(tags)
        .map(|(padded, tag)| !padded.ct_gt(&largest) & (padded % TAG_MODULUS).ct_eq(tag));
    fits.fold(unused.ct_eq(&0), |all, fits| all & fits).into()
}

/// How many tags there are; each is passed by an alteration with probability `1 / TAG_MODULUS`.
pub(super) const TAGS: usize = 2;

/// The Mersenne prime `2^31 - 1`.
pub(super) const TAG_MODULUS: u64 = (1 << 31) - 1;

/// How many multiples of the modulus a padded tag can hold. The padded tags of 127 contributors fit a coefficient.
const PADDING_RANGE: u64 = 1 << 10;

const _: () = assert!(MAX_HOSPITALS as u64 * TAG_MODULUS * PADDING_RANGE < 1 << PAYLOAD_BITS);

/// The words with every field from number `fields` on set to 0.
fn only_fields(format: FieldFormat, fields: usize, words: &[u64]) -> Zeroizing<Vec<u64>> {
    let mut cleared = Zeroizing::new(words.to_vec());
    let whole = fields / format.fields();
    if let Some((first, rest)) = cleared[whole..].split_first_mut() {
        *first &= (1 << ((fields % format.fields()) as u32 * format.field_bits())) - 1;
        rest.fill(0);
    }
    cleared
}

/// `sum of rho_k u_k` modulo [`TAG_MODULUS`] for two fields a word, so that the pieces of one word of the stream are
/// for the fields of one word; and whether a piece is to be skipped.
#[inline(always)]
fn weigh_pairs(words: &[u64], pieces: &[u64]) -> (u64, bool) {
    let field_mask = FieldFormat::TwoBy24.field_mask();
    let blocks = words
        .chunks(TERMS_PER_REDUCTION)
        .zip(pieces.chunks(TERMS_PER_REDUCTION));
    let (mut total, mut skips) = (0, 0);
    for (words, pieces) in blocks {
        let mut sum = 0;
        for (word, piece) in words.iter().zip(pieces) {
            let (low, high) = (piece & TAG_MODULUS, piece >> 32 & TAG_MODULUS);
            skips |= u64::from(low == TAG_MODULUS) | u64::from(high == TAG_MODULUS);
            sum += low * (word & field_mask) + high * (word >> 24 & field_mask);
        }
        total += sum % TAG_MODULUS;
    }
    (total % TAG_MODULUS, skips != 0)
}

/// The same for three fields a word: three words of the stream are for the fields of two words.
#[inline(always)]
fn weigh_triples(words: &[u64], pieces: &[u64]) -> (u64, bool) {
    let field_mask = FieldFormat::ThreeBy16.field_mask();
    let (mut total, mut skips) = (0, false);
    let pairs = words.as_chunks::<2>().0.iter();
    for (pair, pieces) in pairs.zip(pieces.as_chunks::<3>().0) {
        let mut sum = 0;
        for place in 0..6 {
            let multiplier = pieces[place / 2] >> (32 * (place % 2)) & TAG_MODULUS;
            skips |= multiplier == TAG_MODULUS;
            sum += multiplier * (pair[place / 3] >> (16 * (place % 3)) & field_mask);
        }
        total += sum % TAG_MODULUS;
    }
    (total % TAG_MODULUS, skips)
}

/// Two products below 2^55 each: 128 times that is 2^63.
const TERMS_PER_REDUCTION: usize = 128;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed_sum::RING_DEGREE;
    use proptest::prelude::*;

    fn fields(format: FieldFormat, words: &[u64]) -> Vec<u64> {
        let shifts = || (0..format.fields() as u32).map(|place| place * format.field_bits());
        words
            .iter()
            .flat_map(|word| shifts().map(move |shift| word >> shift & format.field_mask()))
            .collect()
    }

    fn chunk_tags(key: &TagKey, shape: &SumShape, words: &[u64]) -> Vec<ChunkTag> {
        let mut keystream = vec![0; 2 * RING_DEGREE];
        let chunks = words.chunks(RING_DEGREE).enumerate();
        chunks
            .map(|(chunk, words)| key.of_chunk(shape, chunk, words, &mut keystream))
            .collect()
    }

    /// Chunk by chunk as the sum is sealed, and field by field as the tag is defined.
    fn both_ways(key: &TagKey, shape: &SumShape, words: &[u64]) -> [[u64; TAGS]; 2] {
        let parts = chunk_tags(key, shape, words);
        let mut fields = fields(shape.format(), words);
        fields.truncate(shape.occupied_fields());
        let defined = [1, 2].map(|stream| key.in_order(stream, fields.iter().copied()));
        [*key.of_sum(&parts, fields.iter().copied()), defined]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn tag_by_chunks_is_the_tag_by_definition(
            key: [u8; 32],
            values in 1..30_000_usize,
            three: bool,
            extreme: bool,
            word in 0..1_u64 << 48,
        ) {
            let format = if three { FieldFormat::ThreeBy16 } else { FieldFormat::TwoBy24 };
            let shape = SumShape::new(values, &[3], format, 2).expect("a valid shape");
            // Beyond L too: what stands there does not count.
            let count = shape.message_chunks() * RING_DEGREE;
            let words: Vec<u64> = (0..count as u64)
                .map(|k| if extreme { (1 << 48) - 1 } else { word.wrapping_mul(2 * k + 1) >> 16 })
                .collect();
            let key = TagKey(SecretKey32::from_bytes(key));
            let [chunks, defined] = both_ways(&key, &shape, &words);
            prop_assert_eq!(chunks, defined);
        }

        /// The vectors of the machine, and the compiler's plain code.
        #[test]
        fn weights_do_not_depend_on_the_machine(
            words in prop::collection::vec(any::<(u64, u64)>(), 300..301),
            skip in 0..1000_usize,
        ) {
            let (messages, mut pieces): (Vec<u64>, Vec<u64>) = words.into_iter().unzip();
            if let Some(piece) = pieces.get_mut(skip) {
                *piece |= TAG_MODULUS << 32;
            }
            let pairs = Arch::new().dispatch(|| weigh_pairs(&messages, &pieces));
            prop_assert_eq!(pairs, weigh_pairs(&messages, &pieces));
            prop_assert_eq!(pairs.1, skip < 300);
            let triples = Arch::new().dispatch(|| weigh_triples(&messages[..200], &pieces));
            prop_assert_eq!(triples, weigh_triples(&messages[..200], &pieces));
            prop_assert_eq!(triples.1, skip < 300);
        }
    }

    /// Two fields by hand, with what the streams start with.
    #[test]
    fn tag_of_two_fields_is_the_sum_of_their_multiples() {
        let key = TagKey(SecretKey32::from_bytes([2; 32]));
        let shape = SumShape::new(1, &[1], FieldFormat::TwoBy24, 2).expect("a valid shape");
        let mut words = vec![0; RING_DEGREE];
        words[0] = 5 | 1 << 24;
        let tags = both_ways(&key, &shape, &words)[0];
        for (stream, tag) in [(1, tags[0]), (2, tags[1])] {
            let mut bytes = [0; 8];
            Prg::new(&key.0, stream).fill(&mut bytes);
            let [first, second] = [0, 4].map(|at| {
                let piece = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
                u64::from(piece & 0x7fff_ffff)
            });
            assert_eq!(tag, (5 * first + second) % TAG_MODULUS);
        }
    }

    /// A key, found by search, whose first stream has a piece to skip at place 27: all multipliers after it move up, in
    /// the chunk itself and in the next.
    #[test]
    fn a_skipped_piece_moves_all_that_follow() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&1_830_854_u32.to_le_bytes());
        let key = TagKey(SecretKey32::from_bytes(key));
        let mut bytes = [0; 4 * 30];
        Prg::new(&key.0, 1).fill(&mut bytes);
        let piece = |place: usize| {
            let bytes = bytes.as_chunks::<4>().0[place];
            u64::from(u32::from_le_bytes(bytes)) & TAG_MODULUS
        };
        assert_eq!(piece(27), TAG_MODULUS);

        for format in [FieldFormat::TwoBy24, FieldFormat::ThreeBy16] {
            let shape = SumShape::new(20_000, &[1], format, 2).expect("a valid shape");
            let words: Vec<u64> = (0..(shape.message_chunks() * RING_DEGREE) as u64)
                .map(|k| k * 0x0101_0101 + 77)
                .collect();
            let [chunks, defined] = both_ways(&key, &shape, &words);
            assert_eq!(chunks, defined);
            let parts = chunk_tags(&key, &shape, &words);
            assert!(parts[0].skips && !parts[1].skips);
            assert_ne!(
                parts.iter().map(|part| part.sums[0]).sum::<u64>() % TAG_MODULUS,
                defined[0]
            );
        }
        // The field of place 27 is weighed with piece 28.
        let mut multipliers = Multipliers::new(&key.0, 1);
        let all: Vec<u64> = (0..29).map(|_| multipliers.next()).collect();
        assert_eq!(all[26..], [piece(26), piece(28), piece(29)]);
    }
}
