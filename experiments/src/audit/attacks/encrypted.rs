//! A hospital's vault and the coordinator's products, with all that passes between them.

use anyhow::{Context as _, bail, ensure};
use crypto::{
    ckks::{
        Ciphertext, Context, Evaluator, Profile, RelinearisationKey, SecretKey, SeededCiphertext,
    },
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
    digests::{FilterRequestDigest, SessionId},
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
    pub products: Vec<Ciphertext>,
    /// The vault's key: for controls alone.
    pub vaults_key: SecretKey,
    /// What the vault hands to its trainer: for whoever checks it alone.
    pub released: PatientValues,
    relinearisation: RelinearisationKey,
    vault: Conditioner,
}

/// What a vault does with products that the coordinator has altered.
pub struct Reaction {
    /// What comes from the vault then, as far as it can be read: the bytes of each message, and the key's number.
    pub seen: (Vec<usize>, u32),
    /// Whether the vault found the products right: not for anybody outside.
    pub is_right: bool,
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
        let Asked {
            key,
            blocks,
            weights,
            digest,
            ..
        } = Asked::read(&context, messages)?;
        let relinearisation = key.context("the vault has announced no key")?;
        ensure!(
            blocks.iter().all(|block| block.key_id() == vaults_key.id()),
            "the vault draws its key in another order than is known here: the control has no key to be given"
        );
        let products = products(&blocks, &weights.expand(), &relinearisation)?;
        let released = vault
            .accept(&answer(digest, &products), rng)
            .context("the vault has not asked for these products")?;
        if let Err(error) = released.products {
            bail!("the vault refuses right products: {error}");
        }
        Ok(Self {
            context,
            features: blocks,
            weights,
            products,
            vaults_key,
            released: released.inputs,
            relinearisation,
            vault,
        })
    }

    /// The vault asks at `weights`; the coordinator multiplies the features with these and something that it adds. What it can see of
    /// what the vault makes of that is how the vault asks for the next products.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn altered(
        &mut self,
        weights: &ConditioningWeights,
        add: impl FnOnce(&Ciphertext) -> anyhow::Result<Ciphertext>,
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<Reaction> {
        let asked = self.ask(weights, rng)?;
        let altered = add(&asked.weights.expand())?;
        let products = products(&self.features, &altered, &self.relinearisation)?;
        let released = self.vault.accept(&answer(asked.digest, &products), rng);
        let released = released.context("the vault has not asked for these products")?;
        Ok(Reaction {
            seen: self.ask(weights, rng)?.seen,
            is_right: released.products.is_ok(),
        })
    }

    fn ask(
        &mut self,
        weights: &ConditioningWeights,
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<Asked> {
        let messages = self.vault.request(weights.clone(), rng).err();
        let messages = messages.context("the vault has not asked the coordinator")?;
        Asked::read(&self.context, messages)
    }
}

/// What a vault has sent, as the coordinator reads it.
struct Asked {
    key: Option<RelinearisationKey>,
    blocks: Vec<SeededCiphertext>,
    weights: SeededCiphertext,
    digest: FilterRequestDigest,
    seen: (Vec<usize>, u32),
}

impl Asked {
    fn read(context: &Context, messages: Vec<ToCoordinator>) -> anyhow::Result<Self> {
        let (mut key, mut blocks, mut asked, mut lengths) = (None, Vec::new(), None, Vec::new());
        for message in messages {
            match message {
                ToCoordinator::EvaluationKey(message) => {
                    lengths.push(message.bytes.0.len());
                    key = Some(RelinearisationKey::from_bytes(context, &message.bytes.0)?);
                }
                ToCoordinator::EncryptedFeatures(features) => {
                    lengths.push(features.bytes.0.len());
                    blocks.push(SeededCiphertext::from_bytes(context, &features.bytes.0)?);
                }
                ToCoordinator::FilterRequest(request) => {
                    lengths.push(request.bytes.0.len());
                    let weights = SeededCiphertext::from_bytes(context, &request.bytes.0)?;
                    asked = Some((weights, request.digest(), request.key));
                }
                other => bail!("a vault that asks for products sends {other:?}"),
            }
        }
        let (weights, digest, number) = asked.context("the vault has asked for nothing")?;
        Ok(Self {
            key,
            blocks,
            weights,
            digest,
            seen: (lengths, number),
        })
    }
}

fn products(
    blocks: &[SeededCiphertext],
    weights: &Ciphertext,
    relinearisation: &RelinearisationKey,
) -> anyhow::Result<Vec<Ciphertext>> {
    let mut evaluator = Evaluator::new(weights.context());
    let products = blocks.iter().map(|block| {
        evaluator.multiply_relinearise_rescale(&block.expand(), weights, relinearisation)
    });
    Ok(products.collect::<Result<_, _>>()?)
}

fn answer(request: FilterRequestDigest, products: &[Ciphertext]) -> Products {
    Products {
        request,
        blocks: List(products.iter().map(|one| Bytes(one.to_bytes())).collect()),
    }
}

/// Of the binary task.
const CLASSES: usize = 2;
