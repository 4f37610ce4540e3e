use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::protobuf::{Field, Value, fields, message, packed};
use crate::{SealContext, SealError, StatedScale};
use crypto::ckks::{Ciphertext, CkksError, KeyId, PublicKey, SecretKey, decrypt, encrypt};

/// TenSEAL's `ckks_vector`: real numbers in the slots of one ciphertext, or of several if there are more than slots.
///
/// ```
/// use crypto::ckks::{Context, Profile, PublicKey, SecretKey};
/// use seal_format::{CkksVector, SealContext, StatedScale};
/// # use rand::{SeedableRng, rngs::StdRng};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = StdRng::seed_from_u64(0);
/// let context = Context::new(Profile::Study);
/// let seal = SealContext::new(&context);
/// let secret = SecretKey::generate(&context, &mut rng);
/// let public = PublicKey::generate(&secret, &mut rng);
/// let vector = CkksVector::encrypt(&public, &[0.5, -1.25, 2.0], &mut rng)?;
///
/// let file = vector.to_bytes(&seal)?; // `tenseal.ckks_vector_from(context, file)`
/// let read = CkksVector::from_bytes(&seal, &file, secret.id(), StatedScale::Exact)?;
/// let values = read.decrypt(&secret)?;
/// assert!(values.len() == 3 && (values[1] + 1.25).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub struct CkksVector {
    /// How many values each ciphertext has.
    lengths: Vec<usize>,
    ciphertexts: Vec<Ciphertext>,
    /// TenSEAL's `_init_scale`, which it writes over the true one after each rescale.
    initial_scale: f64,
}

impl CkksVector {
    /// Encrypts values. As TenSEAL does, the values of a ciphertext are repeated until all slots are full.
    ///
    /// # Errors
    /// If there are no values, or they cannot be encoded.
    pub fn encrypt(
        public: &PublicKey,
        values: &[f64],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SealError> {
        let context = public.context();
        let chunks = values.chunks(context.slots());
        let lengths = chunks.clone().map(<[f64]>::len).collect();
        let ciphertexts = chunks.map(|values| {
            let mut slots = Zeroizing::new(Vec::with_capacity(context.slots()));
            slots.extend(values.iter().cycle().take(context.slots()));
            encrypt(public, &context.encode(&slots)?, rng)
        });
        let ciphertexts = ciphertexts.collect::<Result<_, CkksError>>()?;
        Self::new(lengths, ciphertexts, context.fresh_scale())
    }

    /// The same vector with other values: `ciphertexts`, computed from those of this one, in their order.
    ///
    /// # Errors
    /// If there are more or fewer.
    pub fn with_ciphertexts(&self, ciphertexts: Vec<Ciphertext>) -> Result<Self, SealError> {
        Self::new(self.lengths.clone(), ciphertexts, self.initial_scale)
    }

    fn new(
        lengths: Vec<usize>,
        ciphertexts: Vec<Ciphertext>,
        initial_scale: f64,
    ) -> Result<Self, SealError> {
        if ciphertexts.is_empty() {
            return Err(SealError::Missing {
                what: VECTOR,
                part: "ciphertexts",
            });
        }
        if lengths.len() != ciphertexts.len() {
            return Err(SealError::Count {
                what: VECTOR,
                expected: lengths.len() as u64,
                found: ciphertexts.len() as u64,
            });
        }
        Ok(Self {
            lengths,
            ciphertexts,
            initial_scale,
        })
    }

    /// Reads a vector that is under the key of that name. What `scale` says is taken for each of its ciphertexts.
    ///
    /// # Errors
    /// If the bytes are no vector, or one of its ciphertexts is not one of these parameters.
    pub fn from_bytes(
        seal: &SealContext,
        bytes: &[u8],
        key: KeyId,
        scale: StatedScale,
    ) -> Result<Self, SealError> {
        let (mut lengths, mut ciphertexts, mut initial_scale) = (vec![], vec![], 0.0);
        for field in fields(VECTOR, bytes) {
            let field = field?;
            match field.number {
                1 => field.numbers(VECTOR, &mut lengths)?,
                2 => ciphertexts.push(seal.read_ciphertext(field.bytes(VECTOR)?, key, scale)?),
                3 => initial_scale = field.real(VECTOR)?,
                _ => {}
            }
        }
        let slots = seal.context().slots();
        let length = |values: u64| match usize::try_from(values) {
            Ok(length) if (1..=slots).contains(&length) => Ok(length),
            _ => Err(SealError::Slots {
                what: VECTOR,
                values,
                slots,
            }),
        };
        let lengths = lengths.into_iter().map(length);
        Self::new(
            lengths.collect::<Result<_, _>>()?,
            ciphertexts,
            initial_scale,
        )
    }

    /// Writes a vector for `tenseal.ckks_vector_from`. The ciphertexts state their exact scales, with which TenSEAL decrypts
    /// and multiplies them.
    ///
    /// # Errors
    /// If a ciphertext has other parameters.
    pub fn to_bytes(&self, seal: &SealContext) -> Result<Vec<u8>, SealError> {
        let ciphertexts = self.ciphertexts.iter();
        let ciphertexts = ciphertexts.map(|ciphertext| seal.write_ciphertext(ciphertext));
        let ciphertexts = ciphertexts.collect::<Result<Vec<_>, _>>()?;
        let lengths = packed(self.lengths.iter().map(|&length| length as u64));
        let field = |number, value| Field { number, value };
        let parts: Vec<_> = [field(1, Value::Bytes(&lengths))]
            .into_iter()
            .chain(
                ciphertexts
                    .iter()
                    .map(|bytes| field(2, Value::Bytes(bytes))),
            )
            .chain([field(3, Value::Real(self.initial_scale))])
            .collect();
        Ok(message(&parts).finish_public())
    }

    /// The ciphertexts, which hold [`lengths`](Self::lengths) values each in their first slots.
    pub fn ciphertexts(&self) -> &[Ciphertext] {
        &self.ciphertexts
    }

    /// How many values each ciphertext has.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Decrypts the values.
    ///
    /// # Errors
    /// If the key is another one.
    ///
    /// # Security
    /// As [`decrypt`].
    pub fn decrypt(&self, secret: &SecretKey) -> Result<Zeroizing<Vec<f64>>, SealError> {
        let mut values = Zeroizing::new(Vec::with_capacity(self.lengths.iter().sum()));
        for (ciphertext, &length) in self.ciphertexts.iter().zip(&self.lengths) {
            let plaintext = decrypt(secret, ciphertext)?;
            values.extend_from_slice(&secret.context().decode(&plaintext)?[..length]);
        }
        Ok(values)
    }
}

const VECTOR: &str = "vector";
