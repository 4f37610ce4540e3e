//! A hospital's vault and the coordinator's products, with all that passes between them.

use anyhow::{Context as _, anyhow, bail, ensure};
use crypto::{
    ckks::{Context, Evaluator, Profile, RelinearisationKey, SecretKey, SeededCiphertext},
    sealed_sum::HospitalId,
};
use model_data::FEATURES;
use participant::vault::conditioning::{
    Conditioner, EncryptedProducts,
    release::ReleaseLevels,
    weights::{ConditioningWeights, ScaledFeatures},
};
use protocol::{
    codec::{Bytes, List},
    digests::SessionId,
    message::{Products, ToCoordinator},
    training_job::PatientValues,
    vocabulary::ConditioningForm,
};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

/// What the coordinator has of one exchange, and what it must not have.
pub struct Exchange {
    /// Of both sides: it is public.
    pub context: Context,
    /// The features, a ciphertext a block of patients.
    pub features: Vec<SeededCiphertext>,
    /// The weights, tiled over the patients.
    pub weights: SeededCiphertext,
    /// The products, as the coordinator has computed them.
    pub products: Vec<crypto::ckks::Ciphertext>,
    /// The vault's key: for controls alone.
    pub vaults_key: SecretKey,
    /// What the vault hands to its trainer: for whoever checks it alone.
    pub released: PatientValues,
}

impl Exchange {
    /// The vault encrypts and asks, the coordinator multiplies, the vault checks and releases.
    ///
    /// # Errors
    /// A vault that does not ask as it must, or refuses the products.
    pub fn run(
        profile: Profile,
        form: ConditioningForm,
        features: &[ScaledFeatures],
        weights: ConditioningWeights,
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<Self> {
        let context = Context::new(profile);
        // The vault draws the number of its key, then the key. Whoever has its randomness has both.
        let mut of_vault = rng.clone();
        of_vault.next_u32();
        let vaults_key = SecretKey::generate(&context, &mut of_vault);

        let hospital = HospitalId::new(1).context("a number of a hospital")?;
        let products_per_patient = weights.factors().len();
        let encryption = EncryptedProducts {
            profile,
            slots_per_patient: products_per_patient,
        };
        ensure!(
            products_per_patient == form.products_per_patient(CLASSES, FEATURES),
            "weights of another form than {form}"
        );
        let session = SessionId::from_bytes([1; 16]);
        let mut vault = Conditioner::new(
            hospital,
            session,
            features.to_vec(),
            Some(encryption),
            ReleaseLevels::FINEST,
            rng,
        );
        let Err(messages) = vault.request(weights, rng) else {
            bail!("the vault has not asked the coordinator");
        };
        let (mut relinearisation, mut blocks, mut asked) = (None, Vec::new(), None);
        for message in messages {
            match message {
                ToCoordinator::EvaluationKey(key) => {
                    relinearisation = Some(RelinearisationKey::from_bytes(&context, &key.bytes.0)?);
                }
                ToCoordinator::EncryptedFeatures(features) => {
                    blocks.push(SeededCiphertext::from_bytes(&context, &features.bytes.0)?);
                }
                ToCoordinator::FilterRequest(request) => {
                    let weights = SeededCiphertext::from_bytes(&context, &request.bytes.0)?;
                    asked = Some((weights, request.digest()));
                }
                other => bail!("a vault that asks for products sends {other:?}"),
            }
        }
        let relinearisation = relinearisation.context("the vault has announced no key")?;
        let (weights, digest) = asked.context("the vault has asked for nothing")?;
        ensure!(
            blocks.iter().all(|block| block.key_id() == vaults_key.id()),
            "the vault draws its key in another order than is known here: the control has no key to be given"
        );
        let mut evaluator = Evaluator::new(&context);
        let expanded = weights.expand();
        let products = blocks.iter().map(|block| {
            evaluator.multiply_relinearise_rescale(&block.expand(), &expanded, &relinearisation)
        });
        let products: Vec<_> = products.collect::<Result<_, _>>()?;
        let answer = Products {
            request: digest,
            blocks: List(products.iter().map(|one| Bytes(one.to_bytes())).collect()),
        };
        let released = vault
            .accept(&answer, rng)
            .map_err(|error| anyhow!("the vault refuses right products: {error}"))?;
        Ok(Self {
            context,
            features: blocks,
            weights,
            products,
            vaults_key,
            released: released.inputs,
        })
    }
}

/// Of the binary task.
const CLASSES: usize = 2;
