use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::mask::{ChunkBuffers, MaskKey, RingSecret, noise_coins, seal_chunk};
use super::parameters::NOISE_BOUND;
use super::shamir::Dealing;
use super::tag::{ChunkTag, TAGS, padded_tag};
use super::{
    CHUNK_BYTES, HospitalId, MAX_HOSPITALS, PackedMessage, RING_DEGREE, Round, Share, SumError,
    SumRing,
};
use crate::hash::{Digest, SecretKey32, derive_key, labelled_hash_of_words};
use crate::ring::{Prg, centred_binomial};

/// The one secret that a contribution is computed from. It goes to disk before anything computed from it leaves;
/// it is erased when dropped.
///
/// ```
/// use crypto::sealed_sum::Seed;
///
/// let seed = Seed::generate();
/// let stored = *seed.as_bytes();
/// assert_eq!(Seed::from_bytes(stored).as_bytes(), seed.as_bytes());
/// ```
///
/// It has neither `Clone` nor `Debug`:
/// ```compile_fail
/// let seed = crypto::sealed_sum::Seed::generate();
/// let again = seed.clone();
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A fresh seed from the operating system.
    ///
    /// # Panics
    /// If the operating system has no randomness: nothing secret can be done without it.
    pub fn generate() -> Self {
        let mut seed = Self([0; 32]);
        getrandom::fill(&mut seed.0).expect("the operating system gives randomness");
        seed
    }

    /// A fresh seed from `rng`, which may never give out the same bytes again.
    pub fn from_rng(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Self([0; 32]);
        rng.fill_bytes(&mut seed.0);
        seed
    }

    /// A seed that was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What one hospital gives to a sum.
///
/// [`seal`] makes it. The chunks go to the coordinator, each share to its hospital, in a box that only it can open:
///
/// ```
/// use crypto::sealed_sum::{CHUNK_BYTES, Contribution, check_chunk};
///
/// fn leaves_the_hospital(contribution: &Contribution) -> usize {
///     let chunks = contribution.chunks.chunks(CHUNK_BYTES);
///     chunks.filter(|chunk| check_chunk(chunk).is_ok()).count()
/// }
/// ```
pub struct Contribution {
    /// The masked chunks `b_ij` one after another, [`CHUNK_BYTES`] each, the tag's last. Public.
    pub chunks: Vec<u8>,
    /// The share of the ring secret for each hospital, in the order given to [`seal`], the own one included.
    pub shares: Vec<(HospitalId, Share)>,
}

/// Masks a message and its tag, and shares the mask's secret among the hospitals `joined` (PROTOCOL 3.5, 3.10).
///
/// The same arguments give the same bytes, at any number of threads. As all keys depend on the message, a seed
/// that is used twice by a fault with two messages gives unrelated keys. Nothing branches on the message or the secret.
///
/// ```
/// use crypto::{hash::SecretKey32, sealed_sum::*};
///
/// let joined: Vec<HospitalId> = (1..=3).filter_map(HospitalId::new).collect();
/// let shape = SumShape::new(0, &[3, 4], FieldFormat::TwoBy24, joined.len())?;
/// let tag_key = TagKey::derive(&SecretKey32::from_bytes([1; 32]), &[7; 32]);
/// let (ring, shape, tag_key) = (&SumRing::new(), &shape, &tag_key);
/// let round = Round { ring, header_hash: &[7; 32], shape, threshold: 2, tag_key };
///
/// let (message, _) = pack(shape, &[], &[], Weight { own: 1, largest: 1 }, &[1, 250])?;
/// let contribution = seal(&round, &joined, joined[0], 0, &Seed::generate(), &message)?;
/// assert_eq!(contribution.chunks.len(), shape.chunks() * CHUNK_BYTES);
/// assert_eq!(contribution.shares.len(), 3);
/// # Ok::<(), SumError>(())
/// ```
///
/// # Errors
/// If the threshold is not in `2..=joined.len()`, more than 127 hospitals or one twice are listed, `hospital` is
/// not among them, or the message or the shape is for another sum.
pub fn seal(
    round: &Round<'_>,
    joined: &[HospitalId],
    hospital: HospitalId,
    attempt: u8,
    seed: &Seed,
    message: &PackedMessage,
) -> Result<Contribution, SumError> {
    check_recipients(hospital, round.threshold, joined)?;
    if message.shape() != round.shape {
        return Err(SumError::OtherShape);
    }
    if round.shape.joined() != joined.len() {
        // With more hospitals than the value bits allow for, a sum would run over into the next field.
        return Err(SumError::ShapeForOthers {
            shape: round.shape.joined(),
            joined: joined.len(),
        });
    }

    let keys = ContributionKeys::new(seed, round.header_hash, hospital, attempt, message);
    let secret = centred_binomial(&mut Prg::new(&keys.secret, 0), NOISE_BOUND, RING_DEGREE);
    let dealing = Dealing::new(&secret, round.threshold, &keys.shares, &keys.dealer_check);
    let shares = dealing.share_out(joined);

    let masking = Masking {
        ring: round.ring,
        mask_key: MaskKey::new(round.header_hash),
        secret: RingSecret::new(round.ring, &secret),
        noise_key: keys.noise,
    };
    let mut chunks = vec![0; round.shape.chunks() * CHUNK_BYTES];
    let (message_chunks, tag_chunk) =
        chunks.split_at_mut(round.shape.message_chunks() * CHUNK_BYTES);
    let parts: Vec<ChunkTag> = message_chunks
        .par_chunks_mut(CHUNK_BYTES)
        .zip(message.words().par_chunks(RING_DEGREE))
        .enumerate()
        .map_init(ChunkBuffers::new, |buffers, (chunk, (bytes, words))| {
            masking.seal(chunk, words, buffers, bytes);
            let keystream = &mut buffers.keystream;
            round.tag_key.of_chunk(round.shape, chunk, words, keystream)
        })
        .collect();
    let parts = Zeroizing::new(parts);
    let tags = round.tag_key.of_sum(&parts, message.fields());
    let padded = padded_tag(&tags, &keys.padding);
    let mut words = Zeroizing::new(vec![0; RING_DEGREE]);
    words[..TAGS].copy_from_slice(&*padded);
    let chunk = round.shape.message_chunks();
    masking.seal(chunk, &words, &mut ChunkBuffers::new(), tag_chunk);
    Ok(Contribution { chunks, shares })
}

/// What one contribution is masked with.
struct Masking<'a> {
    ring: &'a SumRing,
    mask_key: MaskKey,
    secret: RingSecret,
    noise_key: SecretKey32,
}

impl Masking<'_> {
    /// `a_j s + DELTA m_j + e_j`.
    fn seal(&self, chunk: usize, message: &[u64], buffers: &mut ChunkBuffers, bytes: &mut [u8]) {
        let mask = &mut buffers.mask;
        self.ring.mask(&self.mask_key, chunk, &self.secret, mask);
        let coins = &mut buffers.keystream[..RING_DEGREE];
        noise_coins(&self.noise_key, chunk, coins);
        seal_chunk(mask, message, coins, bytes);
    }
}

fn check_recipients(
    hospital: HospitalId,
    threshold: usize,
    joined: &[HospitalId],
) -> Result<(), SumError> {
    if !(2..=MAX_HOSPITALS).contains(&joined.len()) {
        return Err(SumError::Joined {
            joined: joined.len(),
        });
    }
    if !(2..=joined.len()).contains(&threshold) {
        return Err(SumError::Threshold {
            threshold,
            joined: joined.len(),
        });
    }
    if let Some(hospital) = first_duplicate(joined.iter().copied()) {
        return Err(SumError::Duplicate { hospital });
    }
    if !joined.contains(&hospital) {
        return Err(SumError::NotJoined { hospital });
    }
    Ok(())
}

pub(super) fn first_duplicate(hospitals: impl Iterator<Item = HospitalId>) -> Option<HospitalId> {
    let mut seen = [false; MAX_HOSPITALS + 1];
    let mut hospitals = hospitals;
    hospitals.find(|hospital| std::mem::replace(&mut seen[usize::from(hospital.get())], true))
}

/// One key for each purpose: two purposes under one key would share streams.
struct ContributionKeys {
    secret: SecretKey32,
    noise: SecretKey32,
    shares: SecretKey32,
    dealer_check: SecretKey32,
    padding: SecretKey32,
}

impl ContributionKeys {
    fn new(
        seed: &Seed,
        header_hash: &Digest,
        hospital: HospitalId,
        attempt: u8,
        message: &PackedMessage,
    ) -> Self {
        let message_hash = Zeroizing::new(labelled_hash_of_words("m", message.words()));
        let id = [hospital.get()];
        let parts: [&[u8]; 4] = [header_hash, &id, &[attempt], &*message_hash];
        let key = derive_key(&seed.0, "k", &parts);
        let purpose = |label| derive_key(key.as_bytes(), label, &[]);
        Self {
            secret: purpose("s"),
            noise: purpose("e"),
            shares: purpose("R"),
            dealer_check: purpose("g"),
            padding: purpose("pad"),
        }
    }
}
