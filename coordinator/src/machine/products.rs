//! The encrypted products: the coordinator multiplies Enc(W) with Enc(f) under each hospital's own key and learns neither
//! (PROTOCOL.md 5.4).

use std::collections::BTreeMap;

use crypto::{
    ckks::{
        Ciphertext, CkksError, Context, Evaluator, Profile, RelinearisationKey, SeededCiphertext,
    },
    hash::{Digest, labelled_hash},
    sealed_sum::HospitalId,
};

use protocol::{
    codec::{Bytes, List},
    digests::{FeaturesDigest, FilterRequestDigest, SessionId},
    message::{
        EncryptedFeatures, EvaluationKey, FilterRequest, Products, features_digest, most_blocks,
    },
};

use super::{
    ProductError, Timestamp,
    reaction::{REPEATED, Reaction},
};

pub(super) struct ProductServer {
    encrypted: Option<(Profile, Evaluator)>,
    session: SessionId,
    hospitals: BTreeMap<HospitalId, HospitalKeys>,
    /// New keys and requests of this minute, which are work: nobody's may keep the others waiting.
    taken: BTreeMap<HospitalId, u32>,
    minute_began: Timestamp,
}

struct HospitalKeys {
    number: u32,
    /// H of the key as it came: its number stands for these bytes only.
    digest: Digest,
    relinearisation: RelinearisationKey,
    blocks: BTreeMap<u32, (FeaturesDigest, Ciphertext)>,
    /// The last answer: a request that comes again gets the identical bytes.
    last: Option<Products>,
}

impl ProductServer {
    pub(super) fn new(profile: Option<Profile>, session: SessionId) -> Self {
        Self {
            encrypted: profile.map(|profile| (profile, Evaluator::new(&Context::new(profile)))),
            session,
            hospitals: BTreeMap::new(),
            taken: BTreeMap::new(),
            minute_began: Timestamp(0),
        }
    }

    /// It is this late.
    pub(super) fn note_time(&mut self, now: Timestamp) {
        if now >= self.minute_began.after_secs(60) {
            self.minute_began = now;
            self.taken.clear();
        }
    }

    fn take(&mut self, from: HospitalId) -> Result<(), ProductError> {
        let taken = self.taken.entry(from).or_default();
        if *taken >= MAX_IN_MINUTE {
            return Err(ProductError::TooManyInMinute { max: MAX_IN_MINUTE });
        }
        *taken += 1;
        Ok(())
    }

    /// Keys and features are bound to the session.
    pub(super) fn begin_session(&mut self, session: SessionId) {
        self.session = session;
        self.hospitals.clear();
    }

    /// A new key replaces the old one and the features under it.
    pub(super) fn on_key(
        &mut self,
        from: HospitalId,
        message: &EvaluationKey,
    ) -> Result<Reaction, ProductError> {
        if self.encrypted.is_none() {
            return Err(ProductError::NotEncrypted);
        }
        let digest = labelled_hash("evaluation-key", &[&message.bytes.0]);
        let known = self.hospitals.get(&from);
        if let Some(known) = known.filter(|known| known.number == message.key) {
            return if known.digest == digest {
                Ok(Reaction::Ignored(REPEATED))
            } else {
                Err(ProductError::SecondKey { key: message.key })
            };
        }
        self.take(from)?;
        let (_, evaluator) = self.encrypted.as_ref().ok_or(ProductError::NotEncrypted)?;
        let relinearisation =
            RelinearisationKey::from_bytes(evaluator.context(), &message.bytes.0)?;
        let keys = HospitalKeys {
            number: message.key,
            digest,
            relinearisation,
            blocks: BTreeMap::new(),
            last: None,
        };
        self.hospitals.insert(from, keys);
        Ok(Reaction::Handled)
    }

    pub(super) fn on_features(
        &mut self,
        from: HospitalId,
        message: EncryptedFeatures,
    ) -> Result<Reaction, ProductError> {
        let (profile, evaluator) = self.encrypted.as_ref().ok_or(ProductError::NotEncrypted)?;
        let keys = self
            .hospitals
            .get_mut(&from)
            .filter(|keys| keys.number == message.key)
            .ok_or(ProductError::UnknownKey { key: message.key })?;
        let max = most_blocks(*profile);
        if message.block >= max {
            return Err(ProductError::TooManyBlocks {
                block: message.block,
                max,
            });
        }
        let digest = features_digest(&message);
        match keys.blocks.get(&message.block) {
            Some((known, _)) if *known == digest => return Ok(Reaction::Ignored(REPEATED)),
            Some(_) => {
                return Err(ProductError::SecondFeatures {
                    key: message.key,
                    block: message.block,
                });
            }
            None => {}
        }
        let ciphertext = SeededCiphertext::from_bytes(evaluator.context(), &message.bytes.0)?;
        keys.blocks
            .insert(message.block, (digest, ciphertext.expand()));
        Ok(Reaction::Handled)
    }

    pub(super) fn multiply(
        &mut self,
        from: HospitalId,
        request: &FilterRequest,
    ) -> Result<Products, ProductError> {
        if self.encrypted.is_none() {
            return Err(ProductError::NotEncrypted);
        }
        let digest = request.digest();
        let keys = self
            .hospitals
            .get(&from)
            .filter(|keys| keys.number == request.key)
            .ok_or(ProductError::UnknownKey { key: request.key })?;
        if request.session != self.session || request.id.0 != from {
            return Err(ProductError::OtherRequester);
        }
        if let Some(last) = keys.last.as_ref().filter(|last| last.request == digest) {
            return Ok(last.clone());
        }
        if !keys
            .blocks
            .values()
            .map(|(digest, _)| *digest)
            .eq(request.features.iter().copied())
        {
            return Err(ProductError::OtherFeatures);
        }
        self.take(from)?;
        self.multiply_anew(from, request, digest)
    }

    fn multiply_anew(
        &mut self,
        from: HospitalId,
        request: &FilterRequest,
        digest: FilterRequestDigest,
    ) -> Result<Products, ProductError> {
        let (_, evaluator) = self.encrypted.as_mut().ok_or(ProductError::NotEncrypted)?;
        let keys = self.hospitals.get_mut(&from);
        let keys = keys.ok_or(ProductError::UnknownKey { key: request.key })?;
        let filter = SeededCiphertext::from_bytes(evaluator.context(), &request.bytes.0)?.expand();
        let blocks = keys
            .blocks
            .values()
            .map(|(_, features)| {
                let product = evaluator.multiply_relinearise_rescale(
                    &filter,
                    features,
                    &keys.relinearisation,
                )?;
                Ok(Bytes(product.to_bytes()))
            })
            .collect::<Result<Vec<_>, CkksError>>()?;
        let products = Products {
            request: digest,
            blocks: List(blocks),
        };
        keys.last = Some(products.clone());
        Ok(products)
    }
}

/// A vault announces a key and asks once a round, and again if a product was wrong or its process was started anew. A request takes 16 ms
/// at the most.
const MAX_IN_MINUTE: u32 = 64;
