//! What a trainer is given of every patient: in the study's form the filters clip(W * f) (PROTOCOL.md 5.4).
//!
//! Encrypted, the weights and the features go to the coordinator under this vault's own CKKS key and come back multiplied; the vault
//! checks every product against its own before it releases anything. In plaintext, the same rounding and clipping is applied to the
//! local product, so both ways release the same numbers. What the products are for is the run's form of conditioning ([`weights`]).

pub mod release;
pub mod weights;

use crypto::{
    ckks::{self, Ciphertext, Context, Profile, RelinearisationKey, SecretKey},
    sealed_sum::HospitalId,
};
use protocol::{
    codec::{Bytes, Id, List},
    digests::{FeaturesDigest, FilterRequestDigest, SessionId},
    manifest::Manifest,
    message::{
        EncryptedFeatures, EvaluationKey, FilterRequest, Products, ToCoordinator, features_digest,
        most_blocks,
    },
    training_job::PatientValues,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use self::{
    release::ReleaseLevels,
    weights::{ConditioningWeights, ScaledFeatures, bound},
};

/// What the trainer gets, and how far the products were from the local ones.
pub struct Released {
    /// A filter, or shifts of the logits, of each patient.
    pub inputs: PatientValues,
    /// The largest difference of a decrypted product from the plaintext product, before rounding; 0 without encryption.
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
    features: Zeroizing<Vec<ScaledFeatures>>,
    /// How finely shifts of logits are released.
    levels: ReleaseLevels,
    source: ProductSource,
}

/// Where products are computed.
enum ProductSource {
    /// Here, in plaintext.
    Local,
    /// At the coordinator, under our key.
    Encrypted(Box<Encryption>),
}

struct Encryption {
    context: Context,
    secret: SecretKey,
    /// Slots of each patient: as many as there are factors.
    slots_per_patient: usize,
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
    Asked(Box<Pending>),
}

struct Pending {
    request: FilterRequest,
    digest: FilterRequestDigest,
    weights: ConditioningWeights,
}

impl Conditioner {
    /// Takes the scaled features; where products are encrypted, makes a CKKS key and encrypts the features.
    pub fn new(
        id: HospitalId,
        session: SessionId,
        mut features: Vec<ScaledFeatures>,
        encryption: Option<EncryptedProducts>,
        levels: ReleaseLevels,
        rng: &mut impl CryptoRng,
    ) -> Self {
        for features in &mut features {
            bound(features);
        }
        let features = Zeroizing::new(features);
        let source = match encryption {
            None => ProductSource::Local,
            Some(EncryptedProducts {
                profile,
                slots_per_patient,
            }) => ProductSource::Encrypted(Box::new(Encryption::new(
                Context::new(profile),
                slots_per_patient,
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
            levels,
            source,
        }
    }

    /// The features that meet the weights, for the gradient of these.
    pub fn features(&self) -> &[ScaledFeatures] {
        &self.features
    }

    /// What the trainer gets, when it can be had here; otherwise what to ask the coordinator.
    pub fn request(
        &mut self,
        weights: ConditioningWeights,
        rng: &mut impl CryptoRng,
    ) -> Result<Released, Vec<ToCoordinator>> {
        match &mut self.source {
            ProductSource::Local => Ok(Released {
                inputs: weights.local_inputs(&self.features, self.levels),
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
        let released = encryption.check(products, &pending.weights, &self.features, self.levels);
        match &released {
            Ok(_) => encryption.releases += encryption.feature_messages.len(),
            Err(_) => encryption.failures += 1,
        }
        if encryption.is_worn_out() {
            let (context, number) = (
                encryption.context.clone(),
                encryption.key_number.wrapping_add(1),
            );
            let slots = encryption.slots_per_patient;
            **encryption = Encryption::new(context, slots, number, &self.features, rng);
        }
        released
    }
}

impl Encryption {
    fn new(
        context: Context,
        slots_per_patient: usize,
        key_number: u32,
        features: &[ScaledFeatures],
        rng: &mut impl CryptoRng,
    ) -> Self {
        let secret = SecretKey::generate(&context, rng);
        let relinearisation = RelinearisationKey::generate(&secret, rng);
        let key_message = EvaluationKey {
            key: key_number,
            bytes: Bytes(relinearisation.to_bytes()),
        };
        let mut feature_messages = Vec::new();
        let blocks = features.chunks(patients_per_block(slots_per_patient));
        for (block, patients) in blocks.enumerate() {
            // Of its whole length at once: a vector that grows leaves copies behind.
            let slots = Vec::with_capacity(slots_per_patient * patients.len());
            let mut slots = Zeroizing::new(slots);
            for features in patients {
                // In the form late once for each class.
                slots.extend(features.iter().cycle().take(slots_per_patient));
            }
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
            slots_per_patient,
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
            RequestState::Asked(pending) if pending.digest == products.request => Ok(*pending),
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
        weights: ConditioningWeights,
        rng: &mut impl CryptoRng,
    ) -> Vec<ToCoordinator> {
        self.version += 1;
        let patients = patients_per_block(self.slots_per_patient);
        let slots = Zeroizing::new(weights.factors().repeat(patients));
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
        self.request = RequestState::Asked(Box::new(Pending {
            digest: request.digest(),
            request: request.clone(),
            weights,
        }));
        messages.push(ToCoordinator::FilterRequest(request));
        messages
    }

    fn check(
        &self,
        products: &Products,
        weights: &ConditioningWeights,
        features: &[ScaledFeatures],
        levels: ReleaseLevels,
    ) -> Result<Released, ProductError> {
        let width = self.slots_per_patient;
        let blocks = features.chunks(patients_per_block(width));
        if products.blocks.len() != blocks.len() {
            return Err(ProductError::Malformed("another number of blocks".into()));
        }
        let mut largest_error = 0.0_f64;
        let released = Vec::with_capacity(features.len() * weights.values_per_patient());
        let mut released = Zeroizing::new(released);
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
            // Slots beyond the last patient hold a weight times 0; all of them are looked at, the last one among them.
            let mut expected = Zeroizing::new(vec![0.0; Profile::SLOTS]);
            for (slots, features) in expected.chunks_exact_mut(width).zip(patients) {
                slots.copy_from_slice(&weights.products(features));
            }
            for (product, local) in decoded.iter().zip(expected.iter()) {
                let error = (product - local).abs();
                if error.is_nan() || error >= MAX_ERROR {
                    return Err(ProductError::Wrong);
                }
                largest_error = largest_error.max(error);
            }
            for products in decoded.chunks_exact(width).take(patients.len()) {
                weights.release(products, levels, &mut released);
            }
        }
        Ok(Released {
            inputs: PatientValues::new(
                weights.values_per_patient(),
                std::mem::take(&mut *released),
            ),
            largest_error,
        })
    }
}

/// How products are computed at the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptedProducts {
    /// The parameters.
    pub profile: Profile,
    /// As many as there are factors of the form: [`ConditioningForm::products_per_patient`](protocol::vocabulary::ConditioningForm::products_per_patient).
    pub slots_per_patient: usize,
}

impl EncryptedProducts {
    /// In a run; none where nothing is encrypted.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let form = manifest.conditioning_form;
        manifest.conditioning.profile().map(|profile| Self {
            profile,
            slots_per_patient: form
                .products_per_patient(manifest.task.classes(), manifest.features.count()),
        })
    }

    /// How many patients' features the coordinator takes.
    pub fn most_patients(self) -> usize {
        patients_per_block(self.slots_per_patient) * most_blocks(self.profile) as usize
    }
}

/// The last slot stays zero.
fn patients_per_block(slots_per_patient: usize) -> usize {
    (Profile::SLOTS - 1) / slots_per_patient
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

/// A decrypted product that is further than this from the local one is refused (PROTOCOL.md 5.4, 5.).
pub const MAX_ERROR: f64 = 1.0 / (1_u64 << 20) as f64;
const MAX_FAILURES: u32 = 3;
/// Blocks of products that one key decrypts: 4 million values (PROTOCOL.md 5.5).
pub const MAX_RELEASES: usize = 1000;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crypto::ckks::{Evaluator, SeededCiphertext};
    use model_data::FEATURES;
    use protocol::{network::ModelLayout, vocabulary::ConditioningForm};
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

    /// Patients of one ciphertext in the study's form.
    const PATIENTS_PER_BLOCK: usize = ConditioningForm::Study.patients_per_block(2, 9);

    /// A vault's conditioner and the coordinator's part.
    struct Pair {
        vault: Conditioner,
        server: Server,
        rng: ChaCha20Rng,
    }

    impl Pair {
        fn new(patients: usize) -> Self {
            let mut rng = ChaCha20Rng::from_seed([4; 32]);
            let features = random_features(patients, FEATURES, &mut rng);
            let vault = conditioner(features, true, &mut rng);
            Self {
                vault,
                server: Server::new(Profile::Hardened),
                rng,
            }
        }

        fn ask(&mut self, weights: [f32; 9]) -> Vec<ToCoordinator> {
            self.vault
                .request(of_study(weights), &mut self.rng)
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

    const WEIGHTS: [f32; 9] = [0.5, -0.25, 0.125, 1.0, -2.0, 0.3, 16.0, 0.0, -0.01];

    fn of_study(weights: [f32; 9]) -> ConditioningWeights {
        ConditioningWeights::from_kept(ConditioningForm::Study, FEATURES, &weights)
    }

    fn conditioner(
        features: Vec<ScaledFeatures>,
        encrypted: bool,
        rng: &mut ChaCha20Rng,
    ) -> Conditioner {
        conditioner_of(
            features,
            encrypted.then_some(Profile::Hardened),
            FEATURES,
            rng,
        )
    }

    fn conditioner_of(
        features: Vec<ScaledFeatures>,
        profile: Option<Profile>,
        slots_per_patient: usize,
        rng: &mut ChaCha20Rng,
    ) -> Conditioner {
        let encryption = profile.map(|profile| EncryptedProducts {
            profile,
            slots_per_patient,
        });
        Conditioner::new(
            HospitalId::new(5).expect("a valid id"),
            [8; 16].into(),
            features,
            encryption,
            ReleaseLevels::FINEST,
            rng,
        )
    }

    /// In [-9, 9]: some are beyond what the conditioner keeps.
    fn random_features(
        patients: usize,
        count: usize,
        rng: &mut ChaCha20Rng,
    ) -> Vec<ScaledFeatures> {
        let mut feature = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * 18.0 - 9.0;
        (0..patients)
            .map(|_| (0..count).map(|_| feature()).collect())
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
        let mut plain = conditioner(features, false, &mut pair.rng);
        let local = plain
            .request(of_study(WEIGHTS), &mut pair.rng)
            .expect("no products are needed");
        let first = pair.encryption().key_number;
        let (key, released) = pair.exchange();
        assert_eq!(key, Some(first));
        assert_eq!(released.inputs.len(), patients);
        assert!(released.inputs == local.inputs);
        assert!(
            released.largest_error > 0.0 && released.largest_error < 1e-9,
            "{}",
            released.largest_error
        );
        let values = || released.inputs.flat().iter();
        assert!(values().all(|value| value.abs() <= 1.0 && (value * 4096.0).fract() == 0.0));
        assert!(values().any(|value| *value == 1.0) && values().any(|value| *value == -1.0));
    }

    /// Over more than one block, with both parameter sets.
    #[test]
    fn every_form_releases_the_same_encrypted_and_in_plaintext() {
        for &form in ConditioningForm::ALL {
            let cases = [
                (Profile::Hardened, 2, FEATURES),
                (Profile::Study, 3, FEATURES),
                (Profile::Hardened, 3, 30),
                (Profile::Hardened, 2, 1),
            ];
            for (profile, classes, count) in cases {
                if !form.takes(count) {
                    continue;
                }
                let mut rng = ChaCha20Rng::from_seed([6; 32]);
                let width = form.products_per_patient(classes, count);
                let patients = form.patients_per_block(classes, count) + 3;
                let features = random_features(patients, count, &mut rng);
                let layout = ModelLayout::of(classes as u32, form, count);
                let kept: usize = form
                    .tensors()
                    .iter()
                    .map(|name| layout.range(name).expect("its own").len())
                    .sum();
                let kept: Vec<f32> = (0..kept)
                    .map(|place| (place * 7 % 13) as f32 / 5.0 - 1.1)
                    .collect();
                let weights = ConditioningWeights::from_kept(form, count, &kept);
                let local = weights.local_inputs(&features, ReleaseLevels::FINEST);
                let mut vault = conditioner_of(features, Some(profile), width, &mut rng);
                let messages = vault.request(weights, &mut rng).err().expect("asks");
                let products = Server::new(profile).answer(&messages);
                let released = vault.accept(&products, &mut rng).expect("right");
                assert_eq!(released.inputs.len(), patients);
                assert!(released.inputs == local, "{form}, {profile}");
                assert!(released.largest_error > 0.0 && released.largest_error < 1e-6);
            }
        }
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
        assert_eq!((key, released.inputs.len()), (Some(second), 3));
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
        let mut plain = conditioner(vec![Box::from([0.0; FEATURES])], false, &mut pair.rng);
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
                let mut weights = WEIGHTS.map(f64::from).repeat(PATIENTS_PER_BLOCK);
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
                pair.exchange().1.inputs.len(),
                PATIENTS_PER_BLOCK + 2,
                "{case}"
            );
        }
    }
}
