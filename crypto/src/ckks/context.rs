use std::sync::Arc;

use super::encoding::Embedding;
use super::wire::{CIPHERTEXT_HEADER_BYTES, KEY_ID_BYTES, SEED_BYTES};
use super::{CkksError, DEGREE, Profile};
use crate::ring::{Modulus, NttPlan};

/// A profile with its transforms prepared. A clone shares them.
#[derive(Clone)]
pub struct Context(Arc<Prepared>);

struct Prepared {
    profile: Profile,
    /// One for each data prime, then the special prime's.
    plans: Vec<NttPlan>,
    embedding: Embedding,
}

impl Context {
    /// Prepares a profile: some milliseconds.
    pub fn new(profile: Profile) -> Self {
        let primes = profile
            .data_primes()
            .iter()
            .copied()
            .chain([profile.special_prime()]);
        Self(Arc::new(Prepared {
            profile,
            plans: primes
                .map(|prime| NttPlan::new(DEGREE, Modulus::new(prime)))
                .collect(),
            embedding: Embedding::new(),
        }))
    }

    /// The parameter set.
    pub fn profile(&self) -> Profile {
        self.0.profile
    }

    /// The scale of what is freshly encrypted.
    pub fn fresh_scale(&self) -> f64 {
        self.profile().scale()
    }

    /// The level of what is freshly encrypted: the number of rescales it allows.
    pub fn top_level(&self) -> usize {
        self.profile().data_primes().len() - 1
    }

    /// The exact scale of the rescaled product of two fresh ciphertexts. Whoever expects such a product compares
    /// the scale that arrived with this.
    pub fn product_scale(&self) -> f64 {
        self.rescaled(self.fresh_scale() * self.fresh_scale(), self.top_level())
    }

    /// The length of a [`SeededCiphertext`](super::SeededCiphertext) in bytes.
    pub fn seeded_ciphertext_bytes(&self) -> usize {
        KEY_ID_BYTES + SEED_BYTES + polynomial_bytes(self.top_level() + 1)
    }

    /// The length of a [`Ciphertext`](super::Ciphertext) of a level in bytes.
    pub fn ciphertext_bytes(&self, level: usize) -> usize {
        CIPHERTEXT_HEADER_BYTES + 2 * polynomial_bytes(level + 1)
    }

    /// The length of a [`RelinearisationKey`](super::RelinearisationKey) in bytes.
    pub fn relinearisation_key_bytes(&self) -> usize {
        let digits = self.top_level() + 1;
        KEY_ID_BYTES + digits * (SEED_BYTES + polynomial_bytes(digits + 1))
    }

    /// The plans of the data primes of a level.
    pub(super) fn plans(&self, level: usize) -> &[NttPlan] {
        &self.0.plans[..=level]
    }

    /// The plans of all data primes, then the special prime's.
    pub(super) fn key_plans(&self) -> &[NttPlan] {
        &self.0.plans
    }

    pub(super) fn special_plan(&self) -> &NttPlan {
        &self.0.plans[self.top_level() + 1]
    }

    pub(super) fn embedding(&self) -> &Embedding {
        &self.0.embedding
    }

    /// A scale after the last prime of `level` is dropped.
    pub(super) fn rescaled(&self, scale: f64, level: usize) -> f64 {
        scale / self.profile().data_primes()[level] as f64
    }

    pub(super) fn check_same(&self, other: &Self) -> Result<(), CkksError> {
        if self.profile() == other.profile() {
            Ok(())
        } else {
            Err(CkksError::Profile {
                left: self.profile(),
                right: other.profile(),
            })
        }
    }

    /// Checks that a scale leaves precision above and room below the modulus of a level.
    pub(super) fn check_scale(&self, scale: f64, level: usize) -> Result<(), CkksError> {
        let primes = &self.profile().data_primes()[..=level];
        let modulus: f64 = primes.iter().map(|&prime| prime as f64).product();
        if (LEAST_SCALE..modulus / 2.0).contains(&scale) {
            Ok(())
        } else {
            Err(CkksError::ScaleRange { scale, level })
        }
    }
}

fn polynomial_bytes(primes: usize) -> usize {
    primes * DEGREE * 8
}

/// 2^20: below it the noise of a fresh ciphertext alone is larger than 2^-10.
const LEAST_SCALE: f64 = 1_048_576.0;
