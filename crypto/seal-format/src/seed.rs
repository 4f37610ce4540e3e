//! The polynomial that a seed of SEAL stands for.
//!
//! Block n of the stream is 4096 bytes: of BLAKE2Xb with the seed of 64 bytes as key and n as input (Aumasson,
//! Neves, Wilcox-O'Hearn and Winnerlein, "BLAKE2X", 2016), or of SHAKE256 of the seed and n.

use blake2b_simd::many::{HashManyJob, hash_many};
use blake2b_simd::{Hash, Params};
use shake::Shake256;
use shake::digest::{ExtendableOutput, Update, XofReader};

use super::SealError;
use super::bytes::Reader;
use super::header;
use super::order::Order;
use crypto::ring::NttPlan;

/// A public seed, and what expands it.
pub(super) struct Seed {
    generator: Generator,
    bytes: [u8; SEED_BYTES],
}

/// The functions that SEAL is built with.
#[derive(Clone, Copy)]
enum Generator {
    Blake2Xb,
    Shake256,
}

impl Seed {
    /// Reads the record: an object of one byte and the seed.
    pub(super) fn read(outer: &mut Reader<'_>) -> Result<Self, SealError> {
        let (_, mut record) = header::inner(outer)?;
        let seed = Self::new(record.byte()?, record.array()?)?;
        record.finish()?;
        Ok(seed)
    }

    /// Takes SEAL's number of a generator.
    pub(super) fn new(generator: u8, bytes: [u8; SEED_BYTES]) -> Result<Self, SealError> {
        let generator = match generator {
            1 => Generator::Blake2Xb,
            2 => Generator::Shake256,
            found => return Err(SealError::Generator { found }),
        };
        Ok(Self { generator, bytes })
    }

    /// The polynomial modulo the primes of `plans`: uniform values, taken as SEAL's evaluations.
    ///
    /// All words are drawn at once, prime by prime. A word in the last, incomplete run of residues is replaced by the
    /// next of the stream behind all of them.
    pub(super) fn expand(&self, plans: &[NttPlan], orders: &[Order]) -> Vec<u64> {
        let degree = plans[0].degree();
        let mut stream = Stream::new(self);
        let drawn: Vec<u64> = (0..plans.len() * degree).map(|_| stream.word()).collect();
        let mut polynomial = vec![0; drawn.len()];
        let rows = (polynomial.chunks_exact_mut(degree)).zip(drawn.chunks_exact(degree));
        for ((row, drawn), (plan, order)) in rows.zip(plans.iter().zip(orders)) {
            let modulus = plan.modulus();
            let bound = u64::MAX - u64::MAX % modulus.value() - 1;
            for (place, &(mut word)) in order.places().zip(drawn) {
                while word >= bound {
                    word = stream.word();
                }
                row[place] = modulus.reduce(word);
            }
        }
        polynomial
    }
}

/// What a seed stands for, word by word.
pub(super) struct Stream<'a> {
    seed: &'a Seed,
    block: [u8; BLOCK_BYTES],
    /// How much of the block was given out.
    given: usize,
    next: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(seed: &'a Seed) -> Self {
        Self {
            seed,
            block: [0; BLOCK_BYTES],
            given: BLOCK_BYTES,
            next: 0,
        }
    }

    pub(super) fn word(&mut self) -> u64 {
        if self.given == BLOCK_BYTES {
            let (seed, counter) = (&self.seed.bytes, self.next.to_le_bytes());
            match self.seed.generator {
                Generator::Blake2Xb => blake2xb(seed, &counter, &mut self.block),
                Generator::Shake256 => {
                    let mut hash = Shake256::default();
                    hash.update(seed);
                    hash.update(&counter);
                    hash.finalize_xof().read(&mut self.block);
                }
            }
            (self.given, self.next) = (0, self.next + 1);
        }
        let word = self.block[self.given..].first_chunk();
        self.given += 8;
        u64::from_le_bytes(*word.expect("blocks are whole words"))
    }
}

/// BLAKE2Xb of 4096 bytes: a root hash that knows the length, then 64 hashes of the root hash that know their place.
fn blake2xb(key: &[u8; SEED_BYTES], input: &[u8], output: &mut [u8; BLOCK_BYTES]) {
    // The parameter block of BLAKE2b has one field of 64 bits where that of BLAKE2X has place and length.
    let place_and_length = |place: u64| place | (BLOCK_BYTES as u64) << 32;
    let root = Params::new()
        .key(key)
        .node_offset(place_and_length(0))
        .hash(input);
    let (nodes, _) = output.as_chunks_mut::<HASH_BYTES>();
    let mut jobs: Vec<HashManyJob<'_>> = (0..nodes.len() as u64)
        .map(|place| {
            let mut params = Params::new();
            params
                .fanout(0)
                .max_depth(0)
                .max_leaf_length(HASH_BYTES as u32)
                .node_offset(place_and_length(place))
                .inner_hash_length(HASH_BYTES);
            HashManyJob::new(&params, root.as_bytes())
        })
        .collect();
    hash_many(jobs.iter_mut());
    for (node, job) in nodes.iter_mut().zip(&jobs) {
        let hash: Hash = job.to_hash();
        node.copy_from_slice(hash.as_bytes());
    }
}

/// Eight words of 64 bits.
const SEED_BYTES: usize = 64;

/// What SEAL draws at a time.
const BLOCK_BYTES: usize = 4096;

/// The longest output of BLAKE2b.
const HASH_BYTES: usize = 64;
