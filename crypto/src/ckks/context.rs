use std::sync::Arc;

use super::embedding::Embedding;
use super::{CkksError, Parameters, Profile};
use crate::ring::{Modulus, Multiplier, NttPlan};

/// Parameters with their transforms prepared. A clone shares them.
///
/// ```
/// use crypto::ckks::{Context, Profile};
///
/// let context = Context::new(Profile::Hardened);
/// assert_eq!((context.degree(), context.slots(), context.top_level()), (8192, 4096, 1));
///
/// // The exact scale of a product is no power of two: that is 2^90 divided by a prime near 2^40.
/// assert_eq!(context.product_scale(), 2_f64.powi(90) / 1_099_511_480_321.0);
///
/// let plaintext = context.encode(&[0.5, -2.0])?;
/// let values = context.decode(&plaintext)?;
/// assert!((values[1] + 2.0).abs() < 1e-10 && values[2].abs() < 1e-10);
/// # Ok::<(), crypto::ckks::CkksError>(())
/// ```
#[derive(Clone)]
pub struct Context(Arc<Prepared>);

struct Prepared {
    parameters: Parameters,
    /// One for each data prime, then the special prime's.
    plans: Vec<NttPlan>,
    /// The inverse of prime a modulo prime b, at `[a][b]`; 0 where they are the same.
    inverses: Vec<Vec<Multiplier>>,
    embedding: Embedding,
}

impl Context {
    /// Prepares a profile: some milliseconds.
    pub fn new(profile: Profile) -> Self {
        Self::with_parameters(profile.parameters())
    }

    /// Prepares any parameters.
    pub fn with_parameters(parameters: Parameters) -> Self {
        let moduli: Vec<Modulus> = (parameters.primes().iter())
            .map(|&prime| Modulus::new(prime))
            .collect();
        let inverse = |a: &Modulus, b: &Modulus| b.multiplier(b.inverse(b.reduce(a.value())));
        let inverses = moduli
            .iter()
            .map(|a| moduli.iter().map(|b| inverse(a, b)).collect());
        Self(Arc::new(Prepared {
            plans: (moduli.iter())
                .map(|&modulus| NttPlan::new(parameters.degree(), modulus))
                .collect(),
            inverses: inverses.collect(),
            embedding: Embedding::new(parameters.degree()),
            parameters,
        }))
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.0.parameters
    }

    /// N, the degree of `X^N + 1`.
    pub fn degree(&self) -> usize {
        self.parameters().degree()
    }

    /// N/2, how many real numbers a plaintext holds.
    pub fn slots(&self) -> usize {
        self.parameters().slots()
    }

    /// The scale of what is freshly encoded.
    pub fn fresh_scale(&self) -> f64 {
        self.parameters().scale()
    }

    /// The level of what is freshly encoded: the number of rescales it allows.
    pub fn top_level(&self) -> usize {
        self.parameters().top_level()
    }

    /// The exact scale of the rescaled product of two fresh ciphertexts. Whoever expects such a product compares
    /// the scale that arrived with this.
    pub fn product_scale(&self) -> f64 {
        self.rescaled(self.fresh_scale() * self.fresh_scale(), self.top_level())
    }

    /// The plans of the data primes of a level.
    pub(super) fn plans(&self, level: usize) -> &[NttPlan] {
        &self.0.plans[..=level]
    }

    /// The transforms of all data primes, then the special prime's: what keys are computed modulo. A ciphertext of level l has
    /// the first l + 1.
    pub fn key_plans(&self) -> &[NttPlan] {
        &self.0.plans
    }

    /// Which of the plans is the special prime's.
    pub(super) fn special_place(&self) -> usize {
        self.top_level() + 1
    }

    /// The inverse of one prime modulo another, by their places among the plans.
    pub(super) fn inverse(&self, prime: usize, modulo: usize) -> Multiplier {
        self.0.inverses[prime][modulo]
    }

    pub(super) fn embedding(&self) -> &Embedding {
        &self.0.embedding
    }

    /// A scale after the last prime of `level` is dropped.
    pub(super) fn rescaled(&self, scale: f64, level: usize) -> f64 {
        scale / self.parameters().data_primes()[level] as f64
    }

    /// Checks that both have the same parameters.
    ///
    /// # Errors
    /// [`CkksError::Parameters`] if they have not.
    pub fn check_same(&self, other: &Self) -> Result<(), CkksError> {
        if Arc::ptr_eq(&self.0, &other.0) || self.parameters() == other.parameters() {
            Ok(())
        } else {
            Err(CkksError::Parameters {
                left: Box::new(self.parameters().clone()),
                right: Box::new(other.parameters().clone()),
            })
        }
    }

    /// Checks that a level exists.
    pub(super) fn check_level(&self, level: usize) -> Result<(), CkksError> {
        if level <= self.top_level() {
            Ok(())
        } else {
            Err(CkksError::NoSuchLevel {
                level,
                top: self.top_level(),
            })
        }
    }

    /// Checks that a scale leaves precision above and room below the modulus of a level.
    pub(super) fn check_scale(&self, scale: f64, level: usize) -> Result<(), CkksError> {
        if self.parameters().holds_scale(scale, level) {
            Ok(())
        } else {
            Err(CkksError::ScaleRange { scale, level })
        }
    }
}
