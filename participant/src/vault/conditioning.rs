//! The filters of the conditioned convolution: clip(W * f) for every patient (PROTOCOL.md 5.4).
//!
//! Encrypted, W and f go to the coordinator under this vault's own CKKS key and come back multiplied; the vault checks every product
//! against its own before it releases anything. In the clear, the same rounding and clipping is applied to the local product, so both
//! ways release the same numbers.

use crypto::{
    ckks::{Ciphertext, Context, Profile, RelinearisationKey, SLOTS, SecretKey, encrypt_symmetric},
    hash::Digest,
    sealed_sum::HospitalId,
};
use model::data::FEATURES;
use protocol::{
    codec::{Bytes, Id, List},
    message::{EncryptedFeatures, EvaluationKey, FilterRequest, Products, ToCoordinator, features_digest},
    session::SessionId,
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// clip(W * f) of one patient.
pub type Filter = [f32; FEATURES];

/// W, the nine weights that are conditioned.
pub type ConditionedWeights = [f64; FEATURES];

/// Patients of one ciphertext: nine slots each, the last slot stays zero.
pub const PATIENTS_PER_BLOCK: usize = (SLOTS - 1) / FEATURES;

/// Filters for the trainer, and how far the products were from the local ones.
pub struct Released {
    /// One filter a patient.
    pub filters: Vec<Filter>,
    /// The largest difference of a decrypted product from the product in the clear, before rounding; 0 without encryption.
    pub largest_error: f64,
}

/// Why products are not released. The coordinator learns nothing of it.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ProductError {
    /// Not the answer to the request at hand.
    #[error("products for another request")]
    OtherRequest,
    /// Not ciphertexts of this key and number.
    #[error("malformed products: {0}")]
    Malformed(String),
    /// Decrypts to something else than W * f.
    #[error("a product differs from the local one")]
    Wrong,
}

/// The features of all patients and, when products are encrypted, the key they are encrypted under.
pub struct Conditioner {
    id: HospitalId,
    session: SessionId,
    /// Scaled, clipped to ±8, in the trainer's order of patients.
    features: Zeroizing<Vec<[f64; FEATURES]>>,
    encryption: Option<Encryption>,
}

struct Encryption {
    context: Context,
    secret: SecretKey,
    key_number: u32,
    /// What the coordinator needs of this key, kept to be sent again as the identical bytes.
    key_message: EvaluationKey,
    feature_messages: Vec<EncryptedFeatures>,
    feature_digests: Vec<Digest>,
    announced: bool,
    version: u32,
    pending: Option<Pending>,
    failures: u32,
}

struct Pending {
    request: FilterRequest,
    digest: Digest,
    weights: Zeroizing<ConditionedWeights>,
}

impl Conditioner {
    /// Takes the scaled features; with a profile, makes a CKKS key and encrypts them.
    pub fn new(
        id: HospitalId,
        session: SessionId,
        mut features: Vec<[f64; FEATURES]>,
        profile: Option<Profile>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        for value in features.iter_mut().flatten() {
            *value = value.clamp(-LARGEST_FEATURE, LARGEST_FEATURE);
        }
        let features = Zeroizing::new(features);
        let encryption = profile.map(|profile| Encryption::new(Context::new(profile), 0, &features, rng));
        Self { id, session, features, encryption }
    }

    /// The features that filters are made of, for the gradient of W.
    pub fn features(&self) -> &[[f64; FEATURES]] {
        &self.features
    }

    /// The filters, when they can be had here; otherwise what to ask the coordinator.
    pub fn request(&mut self, weights: ConditionedWeights, rng: &mut impl CryptoRng) -> Result<Released, Vec<ToCoordinator>> {
        match &mut self.encryption {
            None => {
                let filters = self.features.iter().map(|features| release(&local_product(&weights, features))).collect();
                Ok(Released { filters, largest_error: 0.0 })
            }
            Some(encryption) => Err(encryption.request(self.id, self.session, weights, rng)),
        }
    }

    /// What is still unanswered, for a new connection: the identical messages.
    pub fn repeat_request(&self) -> Vec<ToCoordinator> {
        let Some(encryption) = &self.encryption else { return Vec::new() };
        let Some(pending) = &encryption.pending else { return Vec::new() };
        let mut messages = encryption.announcement();
        messages.push(ToCoordinator::FilterRequest(pending.request.clone()));
        messages
    }

    /// Decrypts, checks every product and the empty slots, rounds and clips.
    ///
    /// # Errors
    /// [`ProductError`]; after three in a row the key is replaced, and the next request announces the new one.
    pub fn accept(&mut self, products: &Products, rng: &mut impl CryptoRng) -> Result<Released, ProductError> {
        let encryption = self.encryption.as_mut().ok_or(ProductError::OtherRequest)?;
        let pending = encryption.pending.take_if(|pending| pending.digest == products.request).ok_or(ProductError::OtherRequest)?;
        match encryption.check(products, &pending.weights, &self.features) {
            Ok(released) => {
                encryption.failures = 0;
                Ok(released)
            }
            Err(error) => {
                encryption.failures += 1;
                if encryption.failures >= MOST_FAILURES {
                    let (context, number) = (encryption.context.clone(), encryption.key_number + 1);
                    *encryption = Encryption::new(context, number, &self.features, rng);
                }
                Err(error)
            }
        }
    }
}

impl Encryption {
    fn new(context: Context, key_number: u32, features: &[[f64; FEATURES]], rng: &mut impl CryptoRng) -> Self {
        let secret = SecretKey::generate(&context, rng);
        let relinearisation = RelinearisationKey::generate(&context, &secret, rng);
        let key_message = EvaluationKey { key: key_number, bytes: Bytes(relinearisation.to_bytes()) };
        let mut feature_messages = Vec::new();
        for (block, patients) in features.chunks(PATIENTS_PER_BLOCK).enumerate() {
            let slots = Zeroizing::new(patients.concat());
            let bytes = encrypt(&context, &secret, &slots, rng);
            feature_messages.push(EncryptedFeatures { key: key_number, block: block as u32, bytes });
        }
        let feature_digests = feature_messages.iter().map(features_digest).collect();
        Self {
            context,
            secret,
            key_number,
            key_message,
            feature_messages,
            feature_digests,
            announced: false,
            version: 0,
            pending: None,
            failures: 0,
        }
    }

    fn announcement(&self) -> Vec<ToCoordinator> {
        let key = std::iter::once(ToCoordinator::EvaluationKey(self.key_message.clone()));
        key.chain(self.feature_messages.iter().cloned().map(ToCoordinator::EncryptedFeatures)).collect()
    }

    fn request(&mut self, id: HospitalId, session: SessionId, weights: ConditionedWeights, rng: &mut impl CryptoRng) -> Vec<ToCoordinator> {
        self.version += 1;
        let slots = Zeroizing::new(weights.repeat(PATIENTS_PER_BLOCK));
        let request = FilterRequest {
            session,
            id: Id(id),
            key: self.key_number,
            version: self.version,
            features: List(self.feature_digests.clone()),
            bytes: encrypt(&self.context, &self.secret, &slots, rng),
        };
        let mut messages = if self.announced { Vec::new() } else { self.announcement() };
        self.announced = true;
        self.pending = Some(Pending { digest: request.digest(), request: request.clone(), weights: Zeroizing::new(weights) });
        messages.push(ToCoordinator::FilterRequest(request));
        messages
    }

    fn check(&self, products: &Products, weights: &ConditionedWeights, features: &[[f64; FEATURES]]) -> Result<Released, ProductError> {
        let blocks = features.chunks(PATIENTS_PER_BLOCK);
        if products.blocks.len() != blocks.len() {
            return Err(ProductError::Malformed("another number of blocks".into()));
        }
        let mut released = Released { filters: Vec::with_capacity(features.len()), largest_error: 0.0 };
        for (bytes, patients) in products.blocks.iter().zip(blocks) {
            let malformed = |error: crypto::ckks::CkksError| ProductError::Malformed(error.to_string());
            let ciphertext = Ciphertext::from_bytes(&self.context, &bytes.0).map_err(malformed)?;
            if !ciphertext.is_product_of_fresh(&self.context) {
                return Err(ProductError::Malformed("not a rescaled product of two fresh ciphertexts".into()));
            }
            let plaintext = self.secret.decrypt(&self.context, &ciphertext).map_err(malformed)?;
            let decoded = Zeroizing::new(self.context.decode(&plaintext));
            // Slots beyond the last patient hold W * 0; all of them are looked at, the last one among them.
            let mut expected = Zeroizing::new(vec![0.0; SLOTS]);
            for (slots, features) in expected.chunks_exact_mut(FEATURES).zip(patients) {
                let mut product = local_product(weights, features);
                slots.copy_from_slice(&product);
                product.zeroize();
            }
            for (product, local) in decoded.iter().zip(expected.iter()) {
                let error = (product - local).abs();
                if error.is_nan() || error >= LARGEST_ERROR {
                    return Err(ProductError::Wrong);
                }
                released.largest_error = released.largest_error.max(error);
            }
            released.filters.extend(decoded.chunks_exact(FEATURES).take(patients.len()).map(release));
        }
        Ok(released)
    }
}

/// What a round moves W by: `-eta_W` times the mean over its batches of dL/dW = sum over patients of `f_p * G_p`, where the trainer
/// has already put zero for clipped entries (MODEL.md, "Gradient of W").
pub fn weight_change(features: &[[f64; FEATURES]], filter_gradients: &[Filter], batches: u32, rate: f64) -> ConditionedWeights {
    let mut gradient = [0.0; FEATURES];
    for (features, gradients) in features.iter().zip(filter_gradients) {
        for ((sum, feature), filter_gradient) in gradient.iter_mut().zip(features).zip(gradients) {
            *sum += feature * f64::from(*filter_gradient);
        }
    }
    gradient.map(|sum| -rate * sum / f64::from(batches.max(1)))
}

/// Rounds to the nearest multiple of 2^-12 and clips to [-1, 1]: what leaves the vault (PROTOCOL.md 5.4, 6.).
fn release(product: &[f64]) -> Filter {
    std::array::from_fn(|entry| ((product[entry] * GRID).round_ties_even() / GRID).clamp(-1.0, 1.0) as f32)
}

fn local_product(weights: &ConditionedWeights, features: &[f64; FEATURES]) -> [f64; FEATURES] {
    std::array::from_fn(|entry| weights[entry] * features[entry])
}

fn encrypt(context: &Context, secret: &SecretKey, slots: &[f64], rng: &mut impl CryptoRng) -> Bytes {
    let plaintext = context.encode(slots, context.fresh_scale()).expect("features and weights are bounded and fit the slots");
    Bytes(encrypt_symmetric(context, secret, &plaintext, rng).expect("a fresh plaintext has the top level").to_bytes())
}

const LARGEST_FEATURE: f64 = 8.0;
const LARGEST_ERROR: f64 = 1.0 / (1_u64 << 20) as f64;
const GRID: f64 = 4096.0;
const MOST_FAILURES: u32 = 3;
