//! Ciphertexts, and the same object at the level of keys, which is what keys are made of.

use std::ops::RangeInclusive;

use super::bytes::{Reader, Writer};
use super::header::{self, HEADER_BYTES, Object, Version};
use super::polynomials::{array_bytes, read_array, write_array};
use super::seed::Seed;
use super::{SealContext, SealError};
use crypto::ckks::{Ciphertext, Context, KeyId, QuadraticCiphertext};

/// What to take as the scale of a ciphertext that was read. Only who computed it knows.
///
/// SEAL states the exact scale. TenSEAL does so for what is freshly encrypted; but after each rescale it states the scale
/// that the computation began with. Values read with it are wrong by the ratio of that scale to the dropped
/// prime: 1e-7 of each value with 2^40 and a prime of 40 bits, 1e-5 with 2^33 and one of 33.
///
/// ```
/// use crypto::ckks::{Context, Evaluator, Profile, PublicKey, RelinearisationKey, SecretKey, encrypt};
/// use seal_format::{SealContext, StatedScale};
/// # use rand::{SeedableRng, rngs::StdRng};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = StdRng::seed_from_u64(0);
/// let context = Context::new(Profile::Study);
/// let seal = SealContext::new(&context);
/// let secret = SecretKey::generate(&context, &mut rng);
/// let public = PublicKey::generate(&secret, &mut rng);
/// let key = RelinearisationKey::generate(&secret, &mut rng);
/// let fresh = encrypt(&public, &context.encode(&[1.5])?, &mut rng)?;
/// let product = Evaluator::new(&context).multiply_relinearise_rescale(&fresh, &fresh, &key)?;
///
/// // Ours state the exact scale, as SEAL does.
/// let file = seal.write_ciphertext(&product)?;
/// let read = seal.read_ciphertext(&file, secret.id(), StatedScale::Exact)?;
/// assert_eq!(read.scale(), context.product_scale());
///
/// // TenSEAL would have stated 2^40, which is not what the product has.
/// assert_ne!(read.scale(), 2_f64.powi(40));
/// let known = StatedScale::Replaced(context.product_scale());
/// assert_eq!(seal.read_ciphertext(&file, secret.id(), known)?.scale(), read.scale());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StatedScale {
    /// The stated scale is right.
    Exact,
    /// TenSEAL multiplied two ciphertexts, or a ciphertext and plain values, of the stated scale, and rescaled once: the exact
    /// scale is the stated one squared, divided by the prime that was dropped last.
    TensealProduct,
    /// Whatever is stated, this is right: after longer computations. A product at scales s and t that drops the
    /// prime p has scale s t / p.
    Replaced(f64),
}

impl SealContext {
    /// Reads a ciphertext of two polynomials, of any level, also one whose second polynomial is a seed. SEAL does not note
    /// the key: `key` is the name of the one that it is under.
    ///
    /// # Errors
    /// If the bytes are no such ciphertext of these parameters, a word is not below its prime, or the level cannot hold
    /// the scale.
    pub fn read_ciphertext(
        &self,
        bytes: &[u8],
        key: KeyId,
        scale: StatedScale,
    ) -> Result<Ciphertext, SealError> {
        let read = self.read_whole(CIPHERTEXT, bytes)?;
        let level = read.rows - 1;
        let scale = self.scale(scale, read.scale, level)?;
        let (context, polynomials) = (&self.context, read.polynomials);
        Ok(Ciphertext::from_evaluations(
            context,
            key,
            level,
            scale,
            polynomials,
        )?)
    }

    /// Reads a product that was not yet relinearised: three polynomials. It was not yet rescaled either, so the stated scale
    /// is right.
    ///
    /// # Errors
    /// As [`read_ciphertext`](Self::read_ciphertext).
    pub fn read_quadratic_ciphertext(
        &self,
        bytes: &[u8],
        key: KeyId,
    ) -> Result<QuadraticCiphertext, SealError> {
        let read = self.read_whole(QUADRATIC, bytes)?;
        Ok(QuadraticCiphertext::from_evaluations(
            &self.context,
            key,
            read.rows - 1,
            read.scale,
            read.polynomials,
        )?)
    }

    /// Writes a ciphertext, with its exact scale.
    ///
    /// # Errors
    /// If it has other parameters.
    pub fn write_ciphertext(&self, ciphertext: &Ciphertext) -> Result<Vec<u8>, SealError> {
        let polynomials = ciphertext.evaluations();
        self.write_whole(ciphertext.context(), ciphertext.scale(), &polynomials)
    }

    /// Writes a product that was not yet relinearised.
    ///
    /// # Errors
    /// If it has other parameters.
    pub fn write_quadratic_ciphertext(
        &self,
        ciphertext: &QuadraticCiphertext,
    ) -> Result<Vec<u8>, SealError> {
        let polynomials = ciphertext.evaluations();
        self.write_whole(ciphertext.context(), ciphertext.scale(), &polynomials)
    }

    /// Reads a file of one ciphertext of so many polynomials.
    fn read_whole<const COUNT: usize>(
        &self,
        what: &'static str,
        bytes: &[u8],
    ) -> Result<Residues<COUNT>, SealError> {
        let most = self.object_bytes(COUNT, self.data_rows()) + CORRECTION_FACTOR_BYTES;
        let object = Object::open(what, bytes, most)?;
        let mut members = object.members();
        let read = self.read_object(object.version(), &mut members, 1..=self.data_rows())?;
        members.finish()?;
        Ok(read)
    }

    fn scale(&self, scale: StatedScale, stated: f64, level: usize) -> Result<f64, SealError> {
        match scale {
            StatedScale::Exact => Ok(stated),
            StatedScale::Replaced(exact) => Ok(exact),
            StatedScale::TensealProduct => {
                let dropped = self.context.parameters().data_primes().get(level + 1);
                let dropped = dropped.ok_or(SealError::NothingDropped)?;
                Ok(stated * stated / *dropped as f64)
            }
        }
    }

    /// Writes a file of one ciphertext.
    fn write_whole(
        &self,
        context: &Context,
        scale: f64,
        polynomials: &[&[u64]],
    ) -> Result<Vec<u8>, SealError> {
        self.context.check_same(context)?;
        let rows = polynomials[0].len() / self.context.degree();
        let mut writer = Writer::new(self.object_bytes(polynomials.len(), rows));
        self.write_object(&mut writer, scale, polynomials);
        Ok(writer.finish_public())
    }

    /// Reads the members of an object whose level has one of these numbers of primes.
    pub(super) fn read_object<const COUNT: usize>(
        &self,
        version: Version,
        members: &mut Reader<'_>,
        fitting_rows: RangeInclusive<usize>,
    ) -> Result<Residues<COUNT>, SealError> {
        let what = members.what();
        let rows = self.rows(what, &members.array()?)?;
        if !fitting_rows.contains(&rows) {
            return Err(SealError::ParmsId { what });
        }
        if members.byte()? != 1 {
            return Err(SealError::NotNtt { what });
        }
        let (found, expected) = (members.word()?, COUNT as u64);
        if found != expected {
            return Err(SealError::Polynomials {
                what,
                expected,
                found,
            });
        }
        members.expect_word(self.context.degree() as u64)?;
        members.expect_word(rows as u64)?;
        let scale = members.real()?;
        if version.has_correction_factor() {
            let found = members.word()?;
            if found != 1 {
                return Err(SealError::CorrectionFactor { what, found });
            }
        }
        let words = rows * self.context.degree();
        let array = read_array(members)?;
        let stored = array.len() / (8 * words);
        // The last polynomial of a fresh pair may be its seed.
        let is_seeded = COUNT == 2 && stored == 1;
        if array.len() != 8 * words * stored || stored != COUNT - usize::from(is_seeded) {
            return Err(SealError::Length {
                what,
                expected: (words * COUNT) as u64,
                found: (array.len() / 8) as u64,
            });
        }
        let mut polynomials = (array.chunks_exact(8 * words).enumerate())
            .map(|(place, bytes)| {
                let mut polynomial = self.polynomial(what, bytes, place * words)?;
                Ok(std::mem::take(&mut *polynomial))
            })
            .collect::<Result<Vec<_>, SealError>>()?;
        if is_seeded {
            let plans = &self.context.key_plans()[..rows];
            polynomials.push(Seed::read(members)?.expand(plans, &self.orders));
        }
        let polynomials = polynomials.try_into();
        Ok(Residues {
            rows,
            scale,
            polynomials: polynomials.unwrap_or_else(|_| unreachable!("as many as asked for")),
        })
    }

    /// Writes the object, with its header.
    pub(super) fn write_object(&self, writer: &mut Writer, scale: f64, polynomials: &[&[u64]]) {
        let rows = polynomials[0].len() / self.context.degree();
        header::write(writer, |writer| {
            writer
                .bytes(self.parms_id(rows))
                .byte(1)
                .word(polynomials.len() as u64)
                .word(self.context.degree() as u64)
                .word(rows as u64)
                .real(scale);
            write_array(writer, self, polynomials);
        });
    }

    /// The length of the object as it is written.
    pub(super) fn object_bytes(&self, polynomials: usize, rows: usize) -> usize {
        let words = polynomials * rows * self.context.degree();
        HEADER_BYTES + FIELD_BYTES + array_bytes(words)
    }
}

/// What an object holds.
pub(super) struct Residues<const COUNT: usize> {
    /// The number of primes.
    rows: usize,
    /// As stated.
    pub(super) scale: f64,
    /// As `crypto` has them.
    pub(super) polynomials: [Vec<u64>; COUNT],
}

/// What 4.x has beside what is written.
pub(super) const CORRECTION_FACTOR_BYTES: usize = 8;

/// parms_id, form, number of polynomials, degree, number of primes, scale.
const FIELD_BYTES: usize = 32 + 1 + 4 * 8;

const CIPHERTEXT: &str = "ciphertext";
const QUADRATIC: &str = "ciphertext of three polynomials";
