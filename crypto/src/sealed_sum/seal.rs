use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::parameters::{NOISE_BOUND, STEP_BITS};
use super::shamir::Dealing;
use super::tag::{TAGS, padded_tag};
use super::{
    CHUNK_BYTES, HospitalId, MAX_HOSPITALS, MODULUS, PackedMessage, RING_DEGREE, Round, Share,
    SumError,
};
use crate::hash::{Digest, SecretKey32, derive_key, labelled_hash_of_words};
use crate::ring::{Coefficients, Evaluations, Modulus, NttPlan, Prg, centred_binomial, uniform};

/// The ring of the sealed sum with its transform prepared. Make one and share it.
pub struct SumRing {
    pub(super) plan: NttPlan,
}

impl SumRing {
    /// Prepares the transform.
    pub fn new() -> Self {
        let plan = NttPlan::new(RING_DEGREE, Modulus::new(MODULUS));
        Self { plan }
    }

    /// `a_j` of a header: uniform, from stream j of a key that only the header determines (PROTOCOL 3.3).
    pub(super) fn mask(&self, key: &SecretKey32, chunk: usize) -> Evaluations {
        let mut prg = Prg::new(key, chunk as u64);
        self.plan
            .forward(uniform(&mut prg, self.plan.modulus(), RING_DEGREE))
    }
}

impl Default for SumRing {
    fn default() -> Self {
        Self::new()
    }
}

/// The one secret that a contribution is computed from. It goes to disk before anything computed from it leaves;
/// it is erased when dropped.
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
pub struct Contribution {
    /// The masked chunks `b_ij` one after another, [`CHUNK_BYTES`] each, the tag's last. Public.
    pub chunks: Vec<u8>,
    /// The share of the ring secret for each hospital, in the order given to [`seal`], the own one included.
    pub shares: Vec<(HospitalId, Share)>,
}

/// Masks a message and its tag, and shares the mask's secret among the hospitals `joined` (PROTOCOL 3.5, 3.10).
///
/// The same arguments give the same bytes, at any number of threads. As all keys depend on the message, a seed
/// that is used twice by a fault with two messages gives unrelated keys.
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
    let secret = binomial(&keys.secret, 0);
    let dealing = Dealing::new(&secret, round.threshold, &keys.shares, &keys.dealer_check);
    let shares = dealing.share_out(joined);

    let (format, fields) = (round.shape.format(), round.shape.occupied_fields());
    let tags = round.tag_key.tag(format, fields, message.words());
    let padded = padded_tag(&tags, &keys.padding);
    let mut tag_words = Zeroizing::new(vec![0; RING_DEGREE]);
    tag_words[..TAGS].copy_from_slice(&*padded);

    let plan = &round.ring.plan;
    let secret = plan.forward(Coefficients::from_small(&secret, plan.modulus()));
    let mask_key = mask_key(round.header_hash);
    let mut chunks = vec![0; round.shape.chunks() * CHUNK_BYTES];
    let messages = message.words().par_chunks(RING_DEGREE);
    chunks
        .par_chunks_mut(CHUNK_BYTES)
        .zip(messages.chain(tag_words.par_chunks(RING_DEGREE)))
        .enumerate()
        .for_each(|(chunk, (bytes, message))| {
            let noise = binomial(&keys.noise, chunk as u64);
            let mask = round.ring.mask(&mask_key, chunk);
            mask_chunk(round.ring, &secret, mask, message, &noise, bytes);
        });
    Ok(Contribution { chunks, shares })
}

/// `a_j s + DELTA m_j + e_j`.
pub(super) fn mask_chunk(
    ring: &SumRing,
    secret: &Evaluations,
    mut mask: Evaluations,
    message: &[u64],
    noise: &[i64],
    bytes: &mut [u8],
) {
    let modulus = ring.plan.modulus();
    mask.multiply_assign(secret, modulus);
    let masks = ring.plan.inverse(mask);
    let sums = masks.words().iter().zip(message).zip(noise);
    for (bytes, ((&mask, &message), &noise)) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
        // As m < 2^48, DELTA m is below 2^61 and canonical.
        let noisy = modulus.add(message << STEP_BITS, modulus.from_small(noise));
        *bytes = modulus.add(mask, noisy).to_le_bytes();
    }
}

/// The key of all `a_j` of a header. Public.
pub(super) fn mask_key(header_hash: &Digest) -> SecretKey32 {
    derive_key(header_hash, "a", &[])
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

fn binomial(key: &SecretKey32, stream: u64) -> Zeroizing<Vec<i64>> {
    centred_binomial(&mut Prg::new(key, stream), NOISE_BOUND, RING_DEGREE)
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
