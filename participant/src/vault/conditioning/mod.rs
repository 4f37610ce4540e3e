//! What a trainer is given of every patient: in the study's form the filters clip(W * f) (PROTOCOL.md 5.4).
//!
//! Encrypted, the weights and the features go to the coordinator under this vault's own CKKS key and come back multiplied; the vault
//! checks every product against its own before it releases anything. In plaintext, the same rounding and clipping is applied to the
//! local product, so both ways release the same numbers. What the products are for is the run's form of conditioning ([`weights`]).
//!
//! Whether a product was right depends on the features, as the coordinator can add a multiple of them to it. So nothing that the
//! coordinator sees may depend on that: in the place of wrong products the vault takes its own, and goes on as after right ones.

pub mod release;
pub mod weights;

use crypto::{
    ckks::{self, Ciphertext, CkksError, Context, Profile, RelinearisationKey, SecretKey},
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

/// What the trainer gets, and what the products were like that it comes from.
pub struct Released {
    /// A filter, or shifts of the logits, of each patient.
    pub inputs: PatientValues,
    /// The largest difference of a decrypted product from the plaintext product, before rounding, 0 without encryption; or why the
    /// coordinator's products were not used, but our own.
    pub products: Result<f64, ProductError>,
}

/// Why the coordinator's products are not released. It learns nothing of it.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ProductError {
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
    /// Blocks of products that were decrypted under this key, right or wrong.
    decrypted: usize,
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
                products: Ok(0.0),
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

    /// Decrypts, checks every product and the empty slots, rounds and clips. None if these are not the products that were asked for
    /// last.
    ///
    /// A key that has decrypted 1000 blocks of products is replaced at once; the next request announces the new one, with the features
    /// encrypted anew.
    pub fn accept(&mut self, products: &Products, rng: &mut impl CryptoRng) -> Option<Released> {
        let ProductSource::Encrypted(encryption) = &mut self.source else {
            return None;
        };
        let pending = encryption.answered_by(products)?;
        let released = encryption.release(products, &pending.weights, &self.features, self.levels);
        encryption.decrypted += encryption.feature_messages.len();
        if encryption.is_worn_out() {
            let (context, number) = (
                encryption.context.clone(),
                encryption.key_number.wrapping_add(1),
            );
            let slots = encryption.slots_per_patient;
            **encryption = Encryption::new(context, slots, number, &self.features, rng);
        }
        Some(released)
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
            decrypted: 0,
        }
    }

    /// Whether what is released of one more answer could tell too much of this key (PROTOCOL.md 5.5).
    fn is_worn_out(&self) -> bool {
        self.decrypted + self.feature_messages.len() > MAX_RELEASES
    }

    /// The request that these products answer, which is settled by it.
    fn answered_by(&mut self, products: &Products) -> Option<Pending> {
        match std::mem::replace(&mut self.request, RequestState::Settled) {
            RequestState::Asked(pending) if pending.digest == products.request => Some(*pending),
            other => {
                self.request = other;
                None
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

    /// What the trainer gets: of the coordinator's products if all of them are right, otherwise of our own. Both are made in any case, so
    /// that well-formed products that are wrong take as long as right ones.
    fn release(
        &self,
        products: &Products,
        weights: &ConditioningWeights,
        features: &[ScaledFeatures],
        levels: ReleaseLevels,
    ) -> Released {
        let own = weights.local_inputs(features, levels);
        let decrypted = self.decrypted(products, features.len());
        let found = decrypted.and_then(|slots| {
            let width = weights.values_per_patient();
            let theirs = Vec::with_capacity(features.len() * width);
            let mut theirs = Zeroizing::new(theirs);
            for products in self.of_patients(&slots, features.len()) {
                weights.release(products, levels, &mut theirs);
            }
            match self.largest_error(&slots, weights, features) {
                error if error < MAX_ERROR => Ok((
                    error,
                    PatientValues::new(width, std::mem::take(&mut *theirs)),
                )),
                _ => Err(ProductError::Wrong),
            }
        });
        match found {
            Ok((largest_error, inputs)) => Released {
                inputs,
                products: Ok(largest_error),
            },
            Err(error) => Released {
                inputs: own,
                products: Err(error),
            },
        }
    }

    /// The slots of each block, not yet compared with anything.
    fn decrypted(
        &self,
        products: &Products,
        patients: usize,
    ) -> Result<Vec<Zeroizing<Vec<f64>>>, ProductError> {
        let malformed = |error: CkksError| ProductError::Malformed(error.to_string());
        if products.blocks.len() != patients.div_ceil(patients_per_block(self.slots_per_patient)) {
            return Err(ProductError::Malformed("another number of blocks".into()));
        }
        let ciphertexts = products.blocks.iter().map(|bytes| {
            let ciphertext = Ciphertext::from_bytes(&self.context, &bytes.0).map_err(malformed)?;
            match ciphertext.is_product_of_fresh(&self.context) {
                true => Ok(ciphertext),
                false => Err(ProductError::Malformed(
                    "not a rescaled product of two fresh ciphertexts".into(),
                )),
            }
        });
        let ciphertexts: Vec<Ciphertext> = ciphertexts.collect::<Result<_, _>>()?;
        let blocks = ciphertexts.iter().map(|ciphertext| {
            let plaintext = ckks::decrypt(&self.secret, ciphertext).map_err(malformed)?;
            self.context.decode(&plaintext).map_err(malformed)
        });
        blocks.collect()
    }

    /// Of any slot, those without a patient included: these hold a weight times 0, the last one 0. Infinite where a slot is not a number.
    /// All are looked at, whatever is found.
    fn largest_error(
        &self,
        slots: &[Zeroizing<Vec<f64>>],
        weights: &ConditioningWeights,
        features: &[ScaledFeatures],
    ) -> f64 {
        let width = self.slots_per_patient;
        let mut largest = 0.0_f64;
        for (slots, patients) in slots.iter().zip(features.chunks(patients_per_block(width))) {
            let mut expected = Zeroizing::new(vec![0.0; Profile::SLOTS]);
            for (expected, features) in expected.chunks_exact_mut(width).zip(patients) {
                expected.copy_from_slice(&weights.products(features));
            }
            for (product, local) in slots.iter().zip(expected.iter()) {
                let error = (product - local).abs();
                largest = largest.max(if error.is_nan() { f64::INFINITY } else { error });
            }
        }
        largest
    }

    /// The slots of each patient, one after another.
    fn of_patients<'a>(
        &self,
        slots: &'a [Zeroizing<Vec<f64>>],
        patients: usize,
    ) -> impl Iterator<Item = &'a [f64]> {
        let width = self.slots_per_patient;
        let per_block = patients_per_block(width);
        let of_block =
            move |slots: &'a Zeroizing<Vec<f64>>| slots.chunks_exact(width).take(per_block);
        slots.iter().flat_map(of_block).take(patients)
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

/// A decrypted product that is further than this from the local one is wrong (PROTOCOL.md 5.4, 5.).
pub const MAX_ERROR: f64 = 1.0 / (1_u64 << 20) as f64;
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

        fn accept(&mut self, products: &Products) -> Option<Released> {
            self.vault.accept(products, &mut self.rng)
        }

        /// Asks and is answered well; the number of the key if it was announced.
        fn exchange(&mut self) -> (Option<u32>, Released) {
            let messages = self.ask(WEIGHTS);
            let products = self.server.answer(&messages);
            (
                announced_key(&messages),
                self.accept(&products).expect("the products asked for"),
            )
        }

        /// Under the vault's key.
        fn encrypted(&mut self, slots: &[f64]) -> Ciphertext {
            let ProductSource::Encrypted(encryption) = &self.vault.source else {
                panic!("this vault encrypts");
            };
            let Encryption {
                context, secret, ..
            } = &**encryption;
            self.server
                .expand(&encrypt(context, secret, slots, &mut self.rng))
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
        let error = released.products.expect("right");
        assert!(error > 0.0 && error < 1e-9, "{error}");
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
                let released = vault.accept(&products, &mut rng).expect("asked for");
                assert_eq!(released.inputs.len(), patients);
                assert!(released.inputs == local, "{form}, {profile}");
                let error = released.products.expect("right");
                assert!(error > 0.0 && error < 1e-6);
            }
        }
    }

    /// Adding to the weights of one patient's flag makes the products wrong only if the patient has it. Also then the vault releases
    /// right values, and asks at the next weights as after right products.
    #[test]
    fn a_coordinator_that_adds_a_multiple_of_a_feature_does_not_learn_whether_it_is_zero() {
        /// Which messages, under which key and version: what the coordinator can tell apart.
        fn seen(messages: &[ToCoordinator]) -> Vec<(usize, u32, u32)> {
            let of_message = |message: &ToCoordinator| match message {
                ToCoordinator::EvaluationKey(key) => (key.bytes.0.len(), key.key, 0),
                ToCoordinator::EncryptedFeatures(features) => {
                    (features.bytes.0.len(), features.key, features.block)
                }
                ToCoordinator::FilterRequest(request) => {
                    (request.bytes.0.len(), request.key, request.version)
                }
                other => panic!("{other:?}"),
            };
            messages.iter().map(of_message).collect()
        }
        let views = [0.0, 1.0].map(|flag| {
            let mut rng = ChaCha20Rng::from_seed([5; 32]);
            let mut features = random_features(3, FEATURES, &mut rng);
            features[1][4] = flag;
            let vault = conditioner(features, true, &mut rng);
            let server = Server::new(Profile::Hardened);
            let mut pair = Pair { vault, server, rng };
            pair.encryption().decrypted = MAX_RELEASES - 2;
            let mut view = Vec::new();
            for _ in 0..4 {
                let messages = pair.ask(WEIGHTS);
                view.push(seen(&messages));
                let mut products = pair.server.answer(&messages);
                // Anybody can add a plaintext to a ciphertext; with the key at hand it is simpler to encrypt the sum.
                let mut weights = WEIGHTS.map(f64::from).repeat(PATIENTS_PER_BLOCK);
                weights[FEATURES + 4] += 0.001;
                let added = pair.encrypted(&weights);
                products.blocks.0[0] = pair.server.multiply(&added, &pair.server.features[0]);
                let released = pair.accept(&products).expect("asked for");
                let wrong = (flag != 0.0).then_some(ProductError::Wrong);
                assert_eq!(released.products.err(), wrong);
                let local =
                    of_study(WEIGHTS).local_inputs(pair.vault.features(), ReleaseLevels::FINEST);
                assert!(released.inputs == local);
            }
            view
        });
        assert_eq!(views[0], views[1]);
        let announcements = views[0].iter().filter(|messages| messages.len() > 1);
        assert_eq!(announcements.count(), 2, "the second key was due");
    }

    #[test]
    fn a_key_releases_a_thousand_blocks() {
        let mut pair = Pair::new(PATIENTS_PER_BLOCK + 1);
        let first = pair.encryption().key_number;
        assert_eq!(pair.exchange().0, Some(first));
        assert_eq!(pair.encryption().decrypted, 2);
        pair.encryption().decrypted = 996;
        assert_eq!(pair.exchange().0, None);
        assert_eq!(pair.exchange().0, None);
        // Two blocks more would be 1002.
        assert_eq!(pair.exchange().0, Some(first.wrapping_add(1)));
        assert_eq!(pair.encryption().decrypted, 2);
    }

    #[test]
    fn products_are_accepted_once_and_for_the_last_request_only() {
        let mut pair = Pair::new(3);
        let messages = pair.ask(WEIGHTS);
        let earlier = pair.server.answer(&messages);
        let messages = pair.ask(WEIGHTS);
        let products = pair.server.answer(&messages);
        assert!(pair.accept(&earlier).is_none());
        assert!(pair.accept(&products).is_some());
        assert!(pair.accept(&products).is_none());
        assert_eq!(pair.encryption().decrypted, 1);
        let mut plain = conditioner(vec![Box::from([0.0; FEATURES])], false, &mut pair.rng);
        assert!(plain.accept(&products, &mut pair.rng).is_none());
    }

    #[test]
    fn in_the_place_of_wrong_products_our_own_are_released() {
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
                let [features, filter] = [slots, weights].map(|slots| pair.encrypted(&slots));
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
            let released = pair.accept(&products).expect("asked for");
            let refused = released.products.err();
            if wrong.iter().any(|(wrong, _)| *wrong == case) {
                assert_eq!(refused, Some(ProductError::Wrong), "{case}");
            } else {
                assert!(
                    matches!(refused, Some(ProductError::Malformed(_))),
                    "{case}: {refused:?}"
                );
            }
            let local =
                of_study(WEIGHTS).local_inputs(pair.vault.features(), ReleaseLevels::FINEST);
            assert!(released.inputs == local, "{case}");
            assert!(pair.exchange().1.products.is_ok(), "{case}");
        }
    }
}
