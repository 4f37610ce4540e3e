use std::{cell::RefCell, collections::BTreeMap};

use anyhow::ensure;
use crypto::ckks::{
    Ciphertext, Context, Evaluator, Profile, PublicKey, RelinearisationKey, SecretKey,
    SeededCiphertext, decrypt, encrypt, encrypt_symmetric,
};
use getrandom::SysRng;
use rand::RngExt;
use rand_core::UnwrapErr;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Clock, clock::Stopwatch, series::Times};

/// The operations of the conditioning, with everything they need that is not measured.
pub struct CkksBench {
    profile: Profile,
    context: Context,
    secret: SecretKey,
    public: PublicKey,
    relinearisation: RelinearisationKey,
    evaluator: RefCell<Evaluator>,
    left: Vec<f64>,
    right: Vec<f64>,
}

impl CkksBench {
    /// Draws keys and values.
    ///
    /// # Errors
    /// Never for our own parameters.
    pub fn new(profile: Profile) -> anyhow::Result<Self> {
        let context = Context::new(profile);
        let secret = SecretKey::generate(&context, &mut system());
        Ok(Self {
            profile,
            public: PublicKey::generate(&secret, &mut system()),
            relinearisation: RelinearisationKey::generate(&secret, &mut system()),
            evaluator: RefCell::new(Evaluator::new(&context)),
            left: uniform(context.slots()),
            right: uniform(context.slots()),
            secret,
            context,
        })
    }

    /// The median seconds of each operation.
    ///
    /// # Errors
    /// If an operation refuses, which it never does for its own values.
    pub fn round(&self, clock: Clock, repetitions: usize) -> anyhow::Result<Times> {
        let [left, right] = [self.encrypted(&self.left)?, self.encrypted(&self.right)?];
        let product = self.product(&left, &right)?;
        let bytes = left.to_bytes();
        let mut stopwatch = Stopwatch::new(clock, repetitions);
        stopwatch.measure("context", || Ok(Context::new(self.profile)))?;
        stopwatch.measure("keygen", || {
            let secret = SecretKey::generate(&self.context, &mut system());
            Ok((PublicKey::generate(&secret, &mut system()), secret))
        })?;
        stopwatch.measure("relin_keygen", || {
            Ok(RelinearisationKey::generate(&self.secret, &mut system()))
        })?;
        stopwatch.measure("conditioning_job", || self.job())?;
        stopwatch.measure("encode_encrypt_public", || self.encrypted(&self.left))?;
        stopwatch.measure("encode_encrypt_secret", || self.seeded(&self.left))?;
        stopwatch.measure("multiply_relinearise_rescale", || {
            self.product(&left, &right)
        })?;
        stopwatch.measure("decrypt_decode_product", || self.decrypted(&product))?;
        stopwatch.measure("serialise", || Ok(left.to_bytes()))?;
        stopwatch.measure("deserialise", || {
            Ok(Ciphertext::from_bytes(&self.context, &bytes)?)
        })?;
        let mut times = stopwatch.into_times();
        let together = ["context", "keygen", "relin_keygen"].map(|stem| times[stem]);
        times.insert("context_and_keys".to_owned(), together.iter().sum());
        Ok(times)
    }

    /// Sizes, and the largest error of a product over [`DRAWS`] draws of both factors: encrypted with the public key, and as a
    /// vault does it with the secret one.
    ///
    /// # Errors
    /// If a product is wrong.
    pub fn facts(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        let public = self.largest_error(|values| self.encrypted(values))?;
        let secret = self.largest_error(|values| Ok(self.seeded(values)?.expand()))?;
        let fresh = self.encrypted(&self.left)?;
        let seeded = self.seeded(&self.left)?;
        Ok([
            ("product_max_abs_error", json!(public)),
            ("product_max_abs_error_secret_key", json!(secret)),
            ("fresh_ciphertext_bytes", json!(fresh.to_bytes().len())),
            ("seeded_ciphertext_bytes", json!(seeded.to_bytes().len())),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into())
    }

    fn largest_error(
        &self,
        encrypted: impl Fn(&[f64]) -> anyhow::Result<Ciphertext>,
    ) -> anyhow::Result<f64> {
        let mut largest: f64 = 0.0;
        for _ in 0..DRAWS {
            let [left, right] = [(), ()].map(|()| uniform(self.context.slots()));
            let product = self.product(&encrypted(&left)?, &encrypted(&right)?)?;
            let decoded = self.decrypted(&product)?;
            for (slot, (left, right)) in decoded.iter().zip(left.iter().zip(&right)) {
                largest = largest.max((slot - left * right).abs());
            }
        }
        ensure!(
            largest < WRONG,
            "a product is off by {largest}: what was timed does not compute it"
        );
        Ok(largest)
    }

    /// What a vault and the coordinator do together for a block of patients.
    fn job(&self) -> anyhow::Result<Vec<f64>> {
        let features = self.encrypted(&self.left)?;
        let filters = self.encrypted(&self.right)?;
        let product = self.product(&features, &filters)?;
        let decoded = self.decrypted(&product)?;
        Ok(decoded.iter().map(|value| value.clamp(-1.0, 1.0)).collect())
    }

    fn encrypted(&self, values: &[f64]) -> anyhow::Result<Ciphertext> {
        let plaintext = self.context.encode(values)?;
        Ok(encrypt(&self.public, &plaintext, &mut system())?)
    }

    fn seeded(&self, values: &[f64]) -> anyhow::Result<SeededCiphertext> {
        let plaintext = self.context.encode(values)?;
        Ok(encrypt_symmetric(&self.secret, &plaintext, &mut system())?)
    }

    fn product(&self, left: &Ciphertext, right: &Ciphertext) -> anyhow::Result<Ciphertext> {
        let mut evaluator = self.evaluator.borrow_mut();
        Ok(evaluator.multiply_relinearise_rescale(left, right, &self.relinearisation)?)
    }

    fn decrypted(&self, product: &Ciphertext) -> anyhow::Result<Zeroizing<Vec<f64>>> {
        Ok(self.context.decode(&decrypt(&self.secret, product)?)?)
    }
}

/// A value for every slot, uniform in [-1, 1].
fn uniform(slots: usize) -> Vec<f64> {
    let mut rng = rand::rng();
    (0..slots).map(|_| rng.random_range(-1.0..=1.0)).collect()
}

/// The operating system's, as a vault takes it.
fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

const DRAWS: usize = 30;
/// Far above the error of either profile, far below what a wrong product is off by.
const WRONG: f64 = 1e-5;
