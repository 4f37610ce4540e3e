use std::hint::black_box;

use anyhow::ensure;
use crypto::ckks::{
    Ciphertext, Context, Evaluator, Profile, RelinearisationKey, SecretKey, decrypt,
    encrypt_symmetric,
};
use getrandom::SysRng;
use model_data::FEATURES;
use protocol::vocabulary::ConditioningForm;
use rand::RngExt;
use rand_core::UnwrapErr;

use super::Clock;

/// A filter of the conditioned convolution.
type Filter = [f32; FEATURES];

/// Patients of one ciphertext.
const PATIENTS_PER_BLOCK: usize = ConditioningForm::Study.patients_per_block(2, FEATURES);

/// What the `study` pipeline does before each batch, at the one site that it knows: W in force is encrypted, multiplied with the
/// encrypted features of the patients, decrypted and clipped. The features were encrypted once.
pub struct StudyConditioning<'a> {
    context: Context,
    secret: SecretKey,
    relinearisation: RelinearisationKey,
    evaluator: Evaluator,
    features: &'a [[f64; FEATURES]],
    encrypted_features: Vec<Ciphertext>,
}

impl<'a> StudyConditioning<'a> {
    /// Makes a key and encrypts the features of a batch's patients.
    ///
    /// # Errors
    /// Never for our own parameters.
    pub fn new(profile: Profile, features: &'a [[f64; FEATURES]]) -> anyhow::Result<Self> {
        let context = Context::new(profile);
        let secret = SecretKey::generate(&context, &mut system());
        let encrypted = |patients: &[[f64; FEATURES]]| {
            let plaintext = context.encode(patients.as_flattened())?;
            anyhow::Ok(encrypt_symmetric(&secret, &plaintext, &mut system())?.expand())
        };
        let blocks = features.chunks(PATIENTS_PER_BLOCK).map(encrypted);
        Ok(Self {
            encrypted_features: blocks.collect::<Result<_, _>>()?,
            relinearisation: RelinearisationKey::generate(&secret, &mut system()),
            evaluator: Evaluator::new(&context),
            features,
            secret,
            context,
        })
    }

    /// Of each of so many batches.
    ///
    /// # Errors
    /// A product that is wrong.
    pub fn seconds(&mut self, clock: Clock, batches: usize) -> anyhow::Result<Vec<f64>> {
        let mut rng = rand::rng();
        let mut batch = || {
            let weights: [f64; FEATURES] = std::array::from_fn(|_| rng.random_range(-2.0..=2.0));
            let (filters, seconds) = clock.time(|| self.filters(&weights).map(black_box));
            self.check(&weights, &filters?)?;
            Ok(seconds)
        };
        (0..batches).map(|_| batch()).collect()
    }

    fn filters(&mut self, weights: &[f64; FEATURES]) -> anyhow::Result<Vec<Filter>> {
        let plaintext = self.context.encode(&weights.repeat(PATIENTS_PER_BLOCK))?;
        let encrypted = encrypt_symmetric(&self.secret, &plaintext, &mut system())?.expand();
        let mut filters = Vec::with_capacity(self.features.len());
        for features in &self.encrypted_features {
            let key = &self.relinearisation;
            let product = self
                .evaluator
                .multiply_relinearise_rescale(features, &encrypted, key)?;
            let decoded = self.context.decode(&decrypt(&self.secret, &product)?)?;
            let left = self.features.len() - filters.len();
            let (patients, _) = decoded.as_chunks::<FEATURES>();
            let clipped =
                |values: &[f64; FEATURES]| values.map(|value| value.clamp(-1.0, 1.0) as f32);
            filters.extend(
                patients
                    .iter()
                    .take(left.min(PATIENTS_PER_BLOCK))
                    .map(clipped),
            );
        }
        Ok(filters)
    }

    fn check(&self, weights: &[f64; FEATURES], filters: &[Filter]) -> anyhow::Result<()> {
        ensure!(
            filters.len() == self.features.len(),
            "not a filter a patient"
        );
        for (features, filter) in self.features.iter().zip(filters) {
            for tap in 0..FEATURES {
                let expected = (weights[tap] * features[tap]).clamp(-1.0, 1.0);
                let off = (f64::from(filter[tap]) - expected).abs();
                ensure!(
                    off < WRONG,
                    "a filter is off by {off}: what was timed does not compute it"
                );
            }
        }
        Ok(())
    }
}

/// The operating system's, as a vault takes it.
fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Far above the error of either profile, far below what a wrong product is off by.
const WRONG: f64 = 1e-5;
