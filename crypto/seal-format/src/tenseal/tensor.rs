use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::protobuf::{Field, Value, fields, message, packed};
use crate::{SealContext, SealError, StatedScale};
use crypto::ckks::{Ciphertext, CkksError, KeyId, PublicKey, SecretKey, decrypt, encrypt};

/// TenSEAL's `ckks_tensor`: a ciphertext for each place of a shape, in row-major order.
///
/// With a batch, TenSEAL's default, a ciphertext holds its place of every member of the batch, one in a slot, and the other
/// slots are 0. Without, it holds one value, in all slots.
///
/// ```
/// use crypto::ckks::{Context, Profile, PublicKey, SecretKey};
/// use seal_format::{CkksTensor, SealContext, StatedScale};
/// # use rand::{SeedableRng, rngs::StdRng};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = StdRng::seed_from_u64(0);
/// let context = Context::new(Profile::Study);
/// let seal = SealContext::new(&context);
/// let secret = SecretKey::generate(&context, &mut rng);
/// let public = PublicKey::generate(&secret, &mut rng);
///
/// // Three patients with two features each: two ciphertexts, a slot for each patient.
/// let features = [0.5, 1.0, -0.5, 2.0, 0.25, -1.0];
/// let tensor = CkksTensor::encrypt(&public, &[2], Some(3), &features, &mut rng)?;
/// assert_eq!(tensor.ciphertexts().len(), 2);
///
/// let file = tensor.to_bytes(&seal)?; // `tenseal.ckks_tensor_from(context, file)`
/// let read = CkksTensor::from_bytes(&seal, &file, secret.id(), StatedScale::Exact)?;
/// assert!((read.decrypt(&secret)?[3] - 2.0).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub struct CkksTensor {
    /// Without the batch.
    shape: Vec<usize>,
    batch: Option<usize>,
    ciphertexts: Vec<Ciphertext>,
    /// TenSEAL's `_init_scale`, which it writes over the true one after each rescale.
    initial_scale: f64,
}

impl CkksTensor {
    /// Encrypts values, `[batch, shape...]` in row-major order, or `[shape...]` without a batch.
    ///
    /// # Errors
    /// If the number of values is another, there are none, the batch has more members than there are slots, or a value
    /// cannot be encoded.
    pub fn encrypt(
        public: &PublicKey,
        shape: &[usize],
        batch: Option<usize>,
        values: &[f64],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SealError> {
        let context = public.context();
        let slots = context.slots();
        check_batch(batch, slots)?;
        let places = places(shape);
        let expected = places.saturating_mul(batch.unwrap_or(1));
        if values.len() != expected {
            return Err(SealError::Length {
                what: TENSOR,
                expected: expected as u64,
                found: values.len() as u64,
            });
        }
        let ciphertexts = (0..places).map(|place| {
            let members = values.iter().skip(place).step_by(places);
            let mut filled = Zeroizing::new(Vec::with_capacity(slots));
            match batch {
                Some(_) => filled.extend(members),
                None => filled.resize(slots, values[place]),
            }
            encrypt(public, &context.encode(&filled)?, rng)
        });
        let ciphertexts = ciphertexts.collect::<Result<_, CkksError>>()?;
        Self::new(shape.to_vec(), batch, ciphertexts, context.fresh_scale())
    }

    /// The same tensor with other values: `ciphertexts`, computed from those of this one, in their order.
    ///
    /// # Errors
    /// If there are more or fewer.
    pub fn with_ciphertexts(&self, ciphertexts: Vec<Ciphertext>) -> Result<Self, SealError> {
        Self::new(
            self.shape.clone(),
            self.batch,
            ciphertexts,
            self.initial_scale,
        )
    }

    fn new(
        shape: Vec<usize>,
        batch: Option<usize>,
        ciphertexts: Vec<Ciphertext>,
        initial_scale: f64,
    ) -> Result<Self, SealError> {
        if ciphertexts.is_empty() {
            return Err(SealError::Missing {
                what: TENSOR,
                part: "ciphertexts",
            });
        }
        let expected = places(&shape);
        if expected != ciphertexts.len() {
            return Err(SealError::Count {
                what: TENSOR,
                expected: expected as u64,
                found: ciphertexts.len() as u64,
            });
        }
        Ok(Self {
            shape,
            batch,
            ciphertexts,
            initial_scale,
        })
    }

    /// Reads a tensor that is under the key of that name. What `scale` says is taken for each of its ciphertexts.
    ///
    /// # Errors
    /// If the bytes are no tensor, or one of its ciphertexts is not one of these parameters.
    pub fn from_bytes(
        seal: &SealContext,
        bytes: &[u8],
        key: KeyId,
        scale: StatedScale,
    ) -> Result<Self, SealError> {
        let (mut shape, mut ciphertexts) = (vec![], vec![]);
        let (mut initial_scale, mut batch) = (0.0, 0);
        for field in fields(TENSOR, bytes) {
            let field = field?;
            match field.number {
                1 => field.numbers(TENSOR, &mut shape)?,
                2 => ciphertexts.push(seal.read_ciphertext(field.bytes(TENSOR)?, key, scale)?),
                3 => initial_scale = field.real(TENSOR)?,
                4 => batch = field.number(TENSOR)?,
                _ => {}
            }
        }
        // A number that does not fit is larger than any number of ciphertexts, or of slots.
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let batch = Some(number(batch)).filter(|&members| members > 0);
        check_batch(batch, seal.context().slots())?;
        let shape = shape.into_iter().map(number).collect();
        Self::new(shape, batch, ciphertexts, initial_scale)
    }

    /// Writes a tensor for `tenseal.ckks_tensor_from`. The ciphertexts state their exact scales, with which TenSEAL decrypts
    /// and multiplies them.
    ///
    /// # Errors
    /// If a ciphertext has other parameters.
    pub fn to_bytes(&self, seal: &SealContext) -> Result<Vec<u8>, SealError> {
        let ciphertexts = self.ciphertexts.iter();
        let ciphertexts = ciphertexts.map(|ciphertext| seal.write_ciphertext(ciphertext));
        let ciphertexts = ciphertexts.collect::<Result<Vec<_>, _>>()?;
        let shape = packed(self.shape.iter().map(|&length| length as u64));
        let field = |number, value| Field { number, value };
        let batch = self.batch.map(|members| members as u64);
        // A scalar's shape is empty, and an empty field is left out.
        let parts: Vec<_> = (!shape.is_empty())
            .then(|| field(1, Value::Bytes(&shape)))
            .into_iter()
            .chain(
                ciphertexts
                    .iter()
                    .map(|bytes| field(2, Value::Bytes(bytes))),
            )
            .chain([field(3, Value::Real(self.initial_scale))])
            .chain(batch.map(|members| field(4, Value::Number(members))))
            .collect();
        Ok(message(&parts).finish_public())
    }

    /// The ciphertexts, one for each place of the shape.
    pub fn ciphertexts(&self) -> &[Ciphertext] {
        &self.ciphertexts
    }

    /// The shape, without the batch.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many members the batch has, if there is one.
    pub fn batch(&self) -> Option<usize> {
        self.batch
    }

    /// Decrypts the values, `[batch, shape...]` in row-major order.
    ///
    /// # Errors
    /// If the key is another one.
    ///
    /// # Security
    /// As [`decrypt`].
    pub fn decrypt(&self, secret: &SecretKey) -> Result<Zeroizing<Vec<f64>>, SealError> {
        let places = self.ciphertexts.len();
        let mut values = Zeroizing::new(vec![0.0; places * self.batch.unwrap_or(1)]);
        for (place, ciphertext) in self.ciphertexts.iter().enumerate() {
            let decoded = secret.context().decode(&decrypt(secret, ciphertext)?)?;
            let members = values.iter_mut().skip(place).step_by(places);
            for (value, &decoded) in members.zip(decoded.iter()) {
                *value = decoded;
            }
        }
        Ok(values)
    }
}

/// How many places a shape has; more than can be if it has more than can be counted.
fn places(shape: &[usize]) -> usize {
    shape
        .iter()
        .fold(1, |places, &length| places.saturating_mul(length))
}

fn check_batch(batch: Option<usize>, slots: usize) -> Result<(), SealError> {
    match batch {
        Some(members) if !(1..=slots).contains(&members) => Err(SealError::Slots {
            what: TENSOR,
            values: members as u64,
            slots,
        }),
        _ => Ok(()),
    }
}

const TENSOR: &str = "tensor";
