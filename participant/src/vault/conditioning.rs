//! The filters of the conditioned convolution: clip(W * f) for every patient (PROTOCOL.md 5.4).
//!
//! Encrypted, W and f go to the coordinator under this vault's own CKKS key and come back multiplied; the vault checks every product
//! against its own before it releases anything. In the clear, the same rounding and clipping is applied to the local product, so both
//! ways release the same numbers.

use crypto::{
    ckks::{self, Ciphertext, Context, Profile, RelinearisationKey, SecretKey},
    sealed_sum::HospitalId,
};
use model_data::FEATURES;
use protocol::{
    codec::{Bytes, Id, List},
    digests::{FeaturesDigest, FilterRequestDigest, SessionId},
    message::{
        EncryptedFeatures, EvaluationKey, FilterRequest, Products, ToCoordinator, features_digest,
    },
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// clip(W * f) of one patient.
pub use protocol::training_job::Filter;

/// W, the nine weights that are conditioned.
pub type ConditionedWeights = [f64; FEATURES];

/// Patients of one ciphertext: nine slots each, the last slot stays zero.
pub const PATIENTS_PER_BLOCK: usize = (Profile::SLOTS - 1) / FEATURES;

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
    source: ProductSource,
}

/// Where W * f is computed.
enum ProductSource {
    /// Here, in the clear.
    Local,
    /// At the coordinator, under our key.
    Encrypted(Box<Encryption>),
}

struct Encryption {
    context: Context,
    secret: SecretKey,
    key_number: u32,
    /// What the coordinator needs of this key, kept to be sent again as the identical bytes.
    key_message: EvaluationKey,
    feature_messages: Vec<EncryptedFeatures>,
    feature_digests: Vec<FeaturesDigest>,
    request: RequestState,
    /// Counts the versions of W that were encrypted.
    version: u32,
    /// Blocks of products that were released under this key.
    releases: usize,
    /// Answers that were refused under this key, whatever came between them.
    failures: u32,
}

/// What the coordinator was asked under a key.
enum RequestState {
    /// The coordinator may not have the key: the next request announces it.
    Unannounced,
    /// It has the key, and nothing is asked.
    Settled,
    /// Products were asked for.
    Asked(Pending),
}

struct Pending {
    request: FilterRequest,
    digest: FilterRequestDigest,
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
            *value = value.clamp(-MAX_FEATURE, MAX_FEATURE);
        }
        let features = Zeroizing::new(features);
        let source = match profile {
            None => ProductSource::Local,
            Some(profile) => ProductSource::Encrypted(Box::new(Encryption::new(
                Context::new(profile),
                // A vault that was started again must not take the number of an earlier key: the coordinator would go on with that one.
                rng.next_u32(),
                &features,
                rng,
            ))),
        };
        Self {
            id,
            session,
            features,
            source,
        }
    }

    /// The features that filters are made of, for the gradient of W.
    pub fn features(&self) -> &[[f64; FEATURES]] {
        &self.features
    }

    /// The filters, when they can be had here; otherwise what to ask the coordinator.
    pub fn request(
        &mut self,
        weights: ConditionedWeights,
        rng: &mut impl CryptoRng,
    ) -> Result<Released, Vec<ToCoordinator>> {
        match &mut self.source {
            ProductSource::Local => Ok(Released {
                filters: local_filters(&weights, &self.features),
                largest_error: 0.0,
            }),
            ProductSource::Encrypted(encryption) => {
                Err(encryption.request(self.id, self.session, weights, rng))
            }
        }
    }

    /// W has moved: products with the old one are of no use any more.
    pub fn forget_request(&mut self) {
        if let ProductSource::Encrypted(encryption) = &mut self.source
            && let RequestState::Asked(_) = encryption.request
        {
            // What was unanswered may not have arrived: the next request announces the key again.
            encryption.request = RequestState::Unannounced;
        }
    }

    /// What is still unanswered, for a new connection: the identical messages. The coordinator may have been started again, without the
    /// key that it had: the next request announces it anew.
    pub fn repeat_request(&mut self) -> Vec<ToCoordinator> {
        let ProductSource::Encrypted(encryption) = &mut self.source else {
            return Vec::new();
        };
        match &encryption.request {
            RequestState::Asked(pending) => {
                let request = ToCoordinator::FilterRequest(pending.request.clone());
                let mut messages = encryption.announcement();
                messages.push(request);
                messages
            }
            RequestState::Settled | RequestState::Unannounced => {
                encryption.request = RequestState::Unannounced;
                Vec::new()
            }
        }
    }

    /// Decrypts, checks every product and the empty slots, rounds and clips.
    ///
    /// A key that has released 1000 blocks of products, or refused three answers to its requests in all its life, is replaced at
    /// once; the next request announces the new one, with the features encrypted anew.
    ///
    /// # Errors
    /// [`ProductError`].
    pub fn accept(
        &mut self,
        products: &Products,
        rng: &mut impl CryptoRng,
    ) -> Result<Released, ProductError> {
        let ProductSource::Encrypted(encryption) = &mut self.source else {
            return Err(ProductError::OtherRequest);
        };
        let pending = encryption.answered_by(products)?;
        let released = encryption.check(products, &pending.weights, &self.features);
        match &released {
            Ok(_) => encryption.releases += encryption.feature_messages.len(),
            Err(_) => encryption.failures += 1,
        }
        if encryption.is_worn_out() {
            let (context, number) = (
                encryption.context.clone(),
                encryption.key_number.wrapping_add(1),
            );
            **encryption = Encryption::new(context, number, &self.features, rng);
        }
        released
    }
}

impl Encryption {
    fn new(
        context: Context,
        key_number: u32,
        features: &[[f64; FEATURES]],
        rng: &mut impl CryptoRng,
    ) -> Self {
        let secret = SecretKey::generate(&context, rng);
        let relinearisation = RelinearisationKey::generate(&secret, rng);
        let key_message = EvaluationKey {
            key: key_number,
            bytes: Bytes(relinearisation.to_bytes()),
        };
        let mut feature_messages = Vec::new();
        for (block, patients) in features.chunks(PATIENTS_PER_BLOCK).enumerate() {
            let slots = Zeroizing::new(patients.concat());
            let bytes = encrypt(&context, &secret, &slots, rng);
            feature_messages.push(EncryptedFeatures {
                key: key_number,
                block: block as u32,
                bytes,
            });
        }
        let feature_digests = feature_messages.iter().map(features_digest).collect();
        Self {
            context,
            secret,
            key_number,
            key_message,
            feature_messages,
            feature_digests,
            request: RequestState::Unannounced,
            version: 0,
            releases: 0,
            failures: 0,
        }
    }

    /// Whether one more answer could tell too much of this key (PROTOCOL.md 5.4, step 5, and 5.5).
    fn is_worn_out(&self) -> bool {
        self.failures >= MAX_FAILURES || self.releases + self.feature_messages.len() > MAX_RELEASES
    }

    /// The request that these products answer, which is settled by it.
    fn answered_by(&mut self, products: &Products) -> Result<Pending, ProductError> {
        match std::mem::replace(&mut self.request, RequestState::Settled) {
            RequestState::Asked(pending) if pending.digest == products.request => Ok(pending),
            other => {
                self.request = other;
                Err(ProductError::OtherRequest)
            }
        }
    }

    fn announcement(&self) -> Vec<ToCoordinator> {
        let key = std::iter::once(ToCoordinator::EvaluationKey(self.key_message.clone()));
        key.chain(
            self.feature_messages
                .iter()
                .cloned()
                .map(ToCoordinator::EncryptedFeatures),
        )
        .collect()
    }

    fn request(
        &mut self,
        id: HospitalId,
        session: SessionId,
        weights: ConditionedWeights,
        rng: &mut impl CryptoRng,
    ) -> Vec<ToCoordinator> {
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
        let mut messages = match self.request {
            RequestState::Unannounced => self.announcement(),
            RequestState::Settled | RequestState::Asked(_) => Vec::new(),
        };
        self.request = RequestState::Asked(Pending {
            digest: request.digest(),
            request: request.clone(),
            weights: Zeroizing::new(weights),
        });
        messages.push(ToCoordinator::FilterRequest(request));
        messages
    }

    fn check(
        &self,
        products: &Products,
        weights: &ConditionedWeights,
        features: &[[f64; FEATURES]],
    ) -> Result<Released, ProductError> {
        let blocks = features.chunks(PATIENTS_PER_BLOCK);
        if products.blocks.len() != blocks.len() {
            return Err(ProductError::Malformed("another number of blocks".into()));
        }
        let mut released = Released {
            filters: Vec::with_capacity(features.len()),
            largest_error: 0.0,
        };
        for (bytes, patients) in products.blocks.iter().zip(blocks) {
            let malformed =
                |error: crypto::ckks::CkksError| ProductError::Malformed(error.to_string());
            let ciphertext = Ciphertext::from_bytes(&self.context, &bytes.0).map_err(malformed)?;
            if !ciphertext.is_product_of_fresh(&self.context) {
                return Err(ProductError::Malformed(
                    "not a rescaled product of two fresh ciphertexts".into(),
                ));
            }
            let plaintext = ckks::decrypt(&self.secret, &ciphertext).map_err(malformed)?;
            let decoded = self.context.decode(&plaintext).map_err(malformed)?;
            // Slots beyond the last patient hold W * 0; all of them are looked at, the last one among them.
            let mut expected = Zeroizing::new(vec![0.0; Profile::SLOTS]);
            for (slots, features) in expected.chunks_exact_mut(FEATURES).zip(patients) {
                let mut product = local_product(weights, features);
                slots.copy_from_slice(&product);
                product.zeroize();
            }
            for (product, local) in decoded.iter().zip(expected.iter()) {
                let error = (product - local).abs();
                if error.is_nan() || error >= MAX_ERROR {
                    return Err(ProductError::Wrong);
                }
                released.largest_error = released.largest_error.max(error);
            }
            released.filters.extend(
                decoded
                    .chunks_exact(FEATURES)
                    .take(patients.len())
                    .map(release),
            );
        }
        Ok(released)
    }
}

/// What a round moves W by: `-eta_W` times the mean over its batches of dL/dW = sum over patients of `f_p * G_p`, where the trainer
/// has already put zero for clipped entries (MODEL.md, "Gradient of W").
pub fn weight_change(
    features: &[[f64; FEATURES]],
    filter_gradients: &[Filter],
    batches: u32,
    rate: f64,
) -> ConditionedWeights {
    let pairs = features.iter().zip(filter_gradients);
    weight_gradient(pairs).map(|sum| -rate * sum / f64::from(batches.max(1)))
}

/// dL/dW: the sum over patients, each with its features and its `G_p`.
pub fn weight_gradient<'a>(
    patients: impl IntoIterator<Item = (&'a [f64; FEATURES], &'a Filter)>,
) -> ConditionedWeights {
    let mut gradient = [0.0; FEATURES];
    for (features, gradients) in patients {
        for ((sum, feature), filter_gradient) in gradient.iter_mut().zip(features).zip(gradients) {
            *sum += feature * f64::from(*filter_gradient);
        }
    }
    gradient
}

/// Rounds to a multiple of 2^-12 and clips to [-1, 1]: what leaves the vault (PROTOCOL.md 5.4, 6.).
///
/// The boundaries lie a little above the middles between multiples. Many features are 0 or 1 and W is an f32, so that W f *is* a
/// middle far more often than chance has it; there the sign of the decryption's error would decide, and tell (THREATS.md 7).
///
/// # Panics
/// With fewer than nine products.
pub fn release(product: &[f64]) -> Filter {
    std::array::from_fn(|entry| {
        let multiple = (product[entry] * GRID - BOUNDARY_SHIFT).round_ties_even();
        // Adding zero makes -0 a zero like the others.
        ((multiple + 0.0) / GRID).clamp(-1.0, 1.0) as f32
    })
}

/// W * f in the clear: what a decrypted product is checked against, and the plaintext reference.
pub fn local_product(weights: &ConditionedWeights, features: &[f64; FEATURES]) -> [f64; FEATURES] {
    std::array::from_fn(|entry| weights[entry] * features[entry])
}

/// One filter a patient from the plaintext product W * f, rounded and clipped. An encrypted product is released as the same filter.
pub fn local_filters(weights: &ConditionedWeights, features: &[[f64; FEATURES]]) -> Vec<Filter> {
    let clipped =
        |features: &[f64; FEATURES]| features.map(|value| value.clamp(-MAX_FEATURE, MAX_FEATURE));
    features
        .iter()
        .map(|features| release(&local_product(weights, &clipped(features))))
        .collect()
}

fn encrypt(
    context: &Context,
    secret: &SecretKey,
    slots: &[f64],
    rng: &mut impl CryptoRng,
) -> Bytes {
    let plaintext = context
        .encode(slots)
        .expect("features and weights are bounded and fit the slots");
    Bytes(
        ckks::encrypt_symmetric(secret, &plaintext, rng)
            .expect("the key was made in the same context")
            .to_bytes(),
    )
}

/// Features are clipped to this on both sides (PROTOCOL.md 5.3).
pub const MAX_FEATURE: f64 = 8.0;
/// A decrypted product that is further than this from the local one is refused (PROTOCOL.md 5.4, 5.).
pub const MAX_ERROR: f64 = 1.0 / (1_u64 << 20) as f64;
const GRID: f64 = 4096.0;
/// In steps of the grid. 43/127 of a power of two is at least a sixth of the spacing away from the points of every finer binary grid,
/// however often it is doubled, and from their products with fractions whose denominator is no multiple of 127.
const BOUNDARY_SHIFT: f64 = 43.0 / (127.0 * 256.0);
const MAX_FAILURES: u32 = 3;
/// Blocks of products that one key decrypts: 4 million values (PROTOCOL.md 5.5).
pub const MAX_RELEASES: usize = 1000;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crypto::ckks::{Evaluator, SeededCiphertext};
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    /// What the coordinator does: keeps the last key and the features under it, and multiplies.
    pub(in crate::vault) struct Server {
        context: Context,
        relinearisation: Option<RelinearisationKey>,
        features: Vec<Ciphertext>,
    }

    impl Server {
        pub(in crate::vault) fn new(profile: Profile) -> Self {
            Self {
                context: Context::new(profile),
                relinearisation: None,
                features: Vec::new(),
            }
        }

        pub(in crate::vault) fn answer(&mut self, messages: &[ToCoordinator]) -> Products {
            for message in messages {
                match message {
                    ToCoordinator::EvaluationKey(key) => {
                        self.relinearisation = Some(
                            RelinearisationKey::from_bytes(&self.context, &key.bytes.0)
                                .expect("as sent"),
                        );
                        self.features.clear();
                    }
                    ToCoordinator::EncryptedFeatures(features) => {
                        self.features.push(self.expand(&features.bytes))
                    }
                    _ => {}
                }
            }
            let request = request(messages);
            let filter = self.expand(&request.bytes);
            let blocks = self
                .features
                .iter()
                .map(|features| self.multiply(&filter, features))
                .collect();
            Products {
                request: request.digest(),
                blocks: List(blocks),
            }
        }

        fn expand(&self, bytes: &Bytes) -> Ciphertext {
            SeededCiphertext::from_bytes(&self.context, &bytes.0)
                .expect("as sent")
                .expand()
        }

        fn multiply(&self, left: &Ciphertext, right: &Ciphertext) -> Bytes {
            let key = self.relinearisation.as_ref().expect("the key comes first");
            Bytes(
                Evaluator::new(&self.context)
                    .multiply_relinearise_rescale(left, right, key)
                    .expect("two fresh ciphertexts")
                    .to_bytes(),
            )
        }
    }

    /// A vault's conditioner and the coordinator's part.
    struct Pair {
        vault: Conditioner,
        server: Server,
        rng: ChaCha20Rng,
    }

    impl Pair {
        fn new(patients: usize) -> Self {
            let mut rng = ChaCha20Rng::from_seed([4; 32]);
            let features = random_features(patients, &mut rng);
            let vault = conditioner(features, Some(Profile::Hardened), &mut rng);
            Self {
                vault,
                server: Server::new(Profile::Hardened),
                rng,
            }
        }

        fn ask(&mut self, weights: ConditionedWeights) -> Vec<ToCoordinator> {
            self.vault
                .request(weights, &mut self.rng)
                .err()
                .expect("products are asked for")
        }

        fn accept(&mut self, products: &Products) -> Result<Released, ProductError> {
            self.vault.accept(products, &mut self.rng)
        }

        /// Asks and is answered well; the number of the key if it was announced.
        fn exchange(&mut self) -> (Option<u32>, Released) {
            let messages = self.ask(WEIGHTS);
            let products = self.server.answer(&messages);
            (
                announced_key(&messages),
                self.accept(&products).expect("the right products"),
            )
        }

        fn encryption(&mut self) -> &mut Encryption {
            match &mut self.vault.source {
                ProductSource::Encrypted(encryption) => encryption,
                ProductSource::Local => panic!("this vault encrypts"),
            }
        }
    }

    const WEIGHTS: ConditionedWeights = [0.5, -0.25, 0.125, 1.0, -2.0, 0.3, 16.0, 0.0, -0.01];

    fn conditioner(
        features: Vec<[f64; FEATURES]>,
        profile: Option<Profile>,
        rng: &mut ChaCha20Rng,
    ) -> Conditioner {
        Conditioner::new(
            HospitalId::new(5).expect("a valid id"),
            [8; 16].into(),
            features,
            profile,
            rng,
        )
    }

    /// In [-9, 9]: some are beyond what the conditioner keeps.
    fn random_features(patients: usize, rng: &mut ChaCha20Rng) -> Vec<[f64; FEATURES]> {
        let mut feature = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * 18.0 - 9.0;
        (0..patients)
            .map(|_| std::array::from_fn(|_| feature()))
            .collect()
    }

    fn request(messages: &[ToCoordinator]) -> &FilterRequest {
        match messages.last() {
            Some(ToCoordinator::FilterRequest(request)) => request,
            other => panic!("a request comes last, not {other:?}"),
        }
    }

    /// The number of the key that comes with a request, if one does: with all features, and all under this number.
    fn announced_key(messages: &[ToCoordinator]) -> Option<u32> {
        let request = request(messages);
        let (key, features) = messages[..messages.len() - 1].split_first()?;
        let ToCoordinator::EvaluationKey(key) = key else {
            panic!("the key comes first, not {key:?}")
        };
        let digests = features.iter().map(|message| match message {
            ToCoordinator::EncryptedFeatures(features) if features.key == key.key => {
                features_digest(features)
            }
            other => panic!("features follow the key, not {other:?}"),
        });
        assert!(digests.eq(request.features.0.iter().copied()));
        assert_eq!(request.key, key.key);
        Some(key.key)
    }

    #[test]
    fn encrypted_and_plain_release_the_same_filters() {
        let patients = PATIENTS_PER_BLOCK + 45;
        let mut pair = Pair::new(patients);
        let features = pair.vault.features().to_vec();
        let mut plain = conditioner(features, None, &mut pair.rng);
        let local = plain
            .request(WEIGHTS, &mut pair.rng)
            .expect("no products are needed");
        let first = pair.encryption().key_number;
        let (key, released) = pair.exchange();
        assert_eq!(key, Some(first));
        assert_eq!(released.filters.len(), patients);
        assert!(released.filters == local.filters);
        assert!(
            released.largest_error > 0.0 && released.largest_error < 1e-9,
            "{}",
            released.largest_error
        );
        let values = || released.filters.as_flattened().iter();
        assert!(values().all(|value| value.abs() <= 1.0 && (value * 4096.0).fract() == 0.0));
        assert!(values().any(|value| *value == 1.0) && values().any(|value| *value == -1.0));
    }

    #[test]
    fn a_weight_in_the_middle_between_two_multiples_does_not_show_the_sign_of_the_error() {
        for middle in [-1_320.5_f32, -0.5, 0.5, 1_023.5, 4_095.5] {
            let weight = middle / 4096.0;
            for neighbour in [weight.next_down(), weight, weight.next_up()] {
                let product = f64::from(neighbour);
                let error = 2.0_f64.powi(-34);
                let [less, more] =
                    [product - error, product + error].map(|w| release(&[w; FEATURES]));
                assert_eq!(less, more, "{neighbour}");
            }
        }
        let boundary = |multiple: f64| (multiple + 0.5 + BOUNDARY_SHIFT) / 4096.0;
        for multiple in [-1_321.0, 0.0, 7.0] {
            let beside =
                [-1e-12, 1e-12].map(|error| release(&[boundary(multiple) + error; FEATURES]));
            assert_eq!(
                beside.map(|filter| f64::from(filter[0]) * 4096.0),
                [multiple, multiple + 1.0]
            );
        }
        let [less, more] = [-1e-9, 1e-9].map(|product| release(&[product; FEATURES])[0]);
        assert_eq!((less.to_bits(), more.to_bits()), (0, 0), "no sign of zero");
    }

    #[test]
    fn three_failures_in_a_keys_life_make_a_new_key() {
        let mut pair = Pair::new(3);
        let first = pair.encryption().key_number;
        for (attempt, good) in [false, true, false, true, false].into_iter().enumerate() {
            let messages = pair.ask(WEIGHTS);
            assert_eq!(request(&messages).key, first);
            assert_eq!(announced_key(&messages), (attempt == 0).then_some(first));
            let mut products = pair.server.answer(&messages);
            if !good {
                products.blocks.0[0].0.pop();
            }
            assert_eq!(pair.accept(&products).is_ok(), good);
        }
        let old = pair.server.features.remove(0).key_id();
        let (key, released) = pair.exchange();
        let second = first.wrapping_add(1);
        assert_eq!((key, released.filters.len()), (Some(second), 3));
        assert_ne!(pair.server.features[0].key_id(), old);
        assert_eq!(pair.exchange().0, None);
    }

    #[test]
    fn a_key_releases_a_thousand_blocks() {
        let mut pair = Pair::new(PATIENTS_PER_BLOCK + 1);
        let first = pair.encryption().key_number;
        assert_eq!(pair.exchange().0, Some(first));
        assert_eq!(pair.encryption().releases, 2);
        pair.encryption().releases = 996;
        assert_eq!(pair.exchange().0, None);
        assert_eq!(pair.exchange().0, None);
        // Two blocks more would be 1002.
        assert_eq!(pair.exchange().0, Some(first.wrapping_add(1)));
        assert_eq!(pair.encryption().releases, 2);
    }

    #[test]
    fn products_are_accepted_once_and_for_the_last_request_only() {
        let mut pair = Pair::new(3);
        let messages = pair.ask(WEIGHTS);
        let earlier = pair.server.answer(&messages);
        let messages = pair.ask(WEIGHTS);
        let products = pair.server.answer(&messages);
        assert_eq!(
            pair.accept(&earlier).err(),
            Some(ProductError::OtherRequest)
        );
        assert!(pair.accept(&products).is_ok());
        assert_eq!(
            pair.accept(&products).err(),
            Some(ProductError::OtherRequest)
        );
        // What was not looked at tells nothing of the key.
        assert_eq!(pair.encryption().failures, 0);
        let mut plain = conditioner(vec![[0.0; FEATURES]], None, &mut pair.rng);
        assert_eq!(
            plain.accept(&products, &mut pair.rng).err(),
            Some(ProductError::OtherRequest)
        );
    }

    #[test]
    fn wrong_products_are_refused() {
        /// Puts something else in the place of the right products; is given those of another W too.
        type Spoil = fn(&mut Pair, Products, &mut Products);
        let wrong: [(&str, Spoil); 4] = [
            ("another W", |_, other, products| {
                products.blocks = other.blocks
            }),
            ("patients of another block", |_, _, products| {
                products.blocks.0.swap(0, 1)
            }),
            ("f * f", |pair, _, products| {
                let features = &pair.server.features[1];
                products.blocks.0[1] = pair.server.multiply(features, features);
            }),
            ("something in the last slot", |pair, _, products| {
                let mut slots = pair.vault.features[PATIENTS_PER_BLOCK..].concat();
                let mut weights = WEIGHTS.repeat(PATIENTS_PER_BLOCK);
                for slots in [&mut slots, &mut weights] {
                    slots.resize(Profile::SLOTS, 0.0);
                    slots[Profile::SLOTS - 1] = 0.01;
                }
                let [features, filter] = [slots, weights].map(|slots| {
                    let ProductSource::Encrypted(encryption) = &pair.vault.source else {
                        panic!("this vault encrypts");
                    };
                    let bytes = encrypt(
                        &encryption.context,
                        &encryption.secret,
                        &slots,
                        &mut pair.rng,
                    );
                    pair.server.expand(&bytes)
                });
                products.blocks.0[1] = pair.server.multiply(&filter, &features);
            }),
        ];
        let malformed: [(&str, Spoil); 4] = [
            ("a block too few", |_, _, products| {
                drop(products.blocks.0.pop())
            }),
            ("half a ciphertext", |_, _, products| {
                products.blocks.0[0].0.truncate(65_000)
            }),
            ("another scale", |_, _, products| {
                products.blocks.0[0].0[19] ^= 1
            }),
            ("another key", |_, _, products| {
                products.blocks.0[0].0[2] ^= 1
            }),
        ];
        for (case, spoil) in wrong.into_iter().chain(malformed) {
            let mut pair = Pair::new(PATIENTS_PER_BLOCK + 2);
            let messages = pair.ask(WEIGHTS.map(|weight| weight + 0.001));
            let other = pair.server.answer(&messages);
            let messages = pair.ask(WEIGHTS);
            let mut products = pair.server.answer(&messages);
            spoil(&mut pair, other, &mut products);
            let refused = pair.accept(&products).err();
            if wrong.iter().any(|(wrong, _)| *wrong == case) {
                assert_eq!(refused, Some(ProductError::Wrong), "{case}");
            } else {
                assert!(
                    matches!(refused, Some(ProductError::Malformed(_))),
                    "{case}: {refused:?}"
                );
            }
            assert_eq!(pair.encryption().failures, 1, "{case}");
            // Asked again, the right products do.
            assert_eq!(
                pair.exchange().1.filters.len(),
                PATIENTS_PER_BLOCK + 2,
                "{case}"
            );
        }
    }
}
