use zeroize::Zeroizing;

use crate::protobuf::{Field, Value, fields, message};
use crate::{SealContext, SealError, read_parameters, write_parameters};
use crypto::ckks::{
    CkksError, Context, KeyId, ParameterError, PublicKey, RelinearisationKey, SecretKey,
};

/// What TenSEAL's `Context.serialize` writes: parameters, the scale, and keys.
///
/// Galois keys, for rotations, are passed over when read, and not written: nothing here rotates.
///
/// ```
/// use crypto::ckks::{Context, Profile, PublicKey, SecretKey};
/// use seal_format::TensealContext;
/// # use rand::{SeedableRng, rngs::StdRng};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = StdRng::seed_from_u64(0);
/// let context = Context::new(Profile::Study);
/// let secret = SecretKey::generate(&context, &mut rng);
/// let mut hospital = TensealContext::new(&context);
/// hospital.public_key = Some(PublicKey::generate(&secret, &mut rng));
/// let file = hospital.to_bytes()?; // `tenseal.context_from(file)`
///
/// let read = TensealContext::from_bytes(&file)?;
/// assert!(read.secret_key.is_none());
/// assert_eq!(read.context().parameters(), context.parameters());
/// # Ok(())
/// # }
/// ```
pub struct TensealContext {
    seal: SealContext,
    /// There unless the context was saved without it, or encrypts with the secret key.
    pub public_key: Option<PublicKey>,
    /// There if the context was saved with `save_secret_key=True`. Such a file stays with its owner.
    pub secret_key: Option<SecretKey>,
    /// There if the context was saved without the secret key. With it TenSEAL leaves this key out and makes a new one
    /// when it loads: so can [`RelinearisationKey::generate`].
    pub relinearisation_key: Option<RelinearisationKey>,
}

impl TensealContext {
    /// A context without keys, to be written.
    pub fn new(context: &Context) -> Self {
        Self {
            seal: SealContext::new(context),
            public_key: None,
            secret_key: None,
            relinearisation_key: None,
        }
    }

    /// Reads a context. TenSEAL's keys have no names; they get one that is made of the public key, so that whoever
    /// reads the context, with the secret key or without, gives the same name.
    ///
    /// # Errors
    /// If the bytes are no context of CKKS, its parameters are refused (see [`read_parameters`]), no global scale was set
    /// before it was saved, a key is not one of the parameters, or there is no public key to make a name of:
    /// [`from_bytes_named`](Self::from_bytes_named) reads that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let parts = Parts::read(bytes)?;
        let seal = parts.seal()?;
        let public_key = parts.public_key.ok_or(SealError::Missing {
            what: CONTEXT,
            part: "a public key that its keys could be named after",
        })?;
        let public_key = seal.read_and_name_public_key(public_key)?;
        let name = public_key.key_id();
        parts.with_keys(seal, Some(public_key), name)
    }

    /// Reads a context whose keys get the name `key`: for contexts without a public key, and for those that were written
    /// here, where the keys had a name already.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), but for the public key.
    pub fn from_bytes_named(bytes: &[u8], key: KeyId) -> Result<Self, SealError> {
        let parts = Parts::read(bytes)?;
        let seal = parts.seal()?;
        let public_key = parts
            .public_key
            .map(|bytes| seal.read_public_key(bytes, key));
        let public_key = public_key.transpose()?;
        parts.with_keys(seal, public_key, key)
    }

    /// Writes a context for `tenseal.context_from`. With a secret key TenSEAL makes its relinearisation key itself, and the
    /// one that may be here is left out. Without a public key TenSEAL encrypts with the secret key.
    ///
    /// The bytes are erased when dropped.
    ///
    /// # Errors
    /// If a key has other parameters, two keys have different names, or there is neither a public nor a secret key:
    /// TenSEAL has no use for that.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.check_names()?;
        let seal = &self.seal;
        let public_key = (self.public_key.as_ref()).map(|key| seal.write_public_key(key));
        let public_key = public_key.transpose()?;
        let secret_key = (self.secret_key.as_ref()).map(|key| seal.write_secret_key(key));
        let secret_key = secret_key.transpose()?;
        if public_key.is_none() && secret_key.is_none() {
            return Err(SealError::Missing {
                what: CONTEXT,
                part: "a public or a secret key",
            });
        }
        let key = self.relinearisation_key.as_ref();
        let key = key.filter(|_| secret_key.is_none());
        let relinearisation_key = key.map(|key| seal.write_relinearisation_key(key));
        let relinearisation_key = relinearisation_key.transpose()?;

        let parameters = self.context().parameters();
        let scale = parameters.scale();
        let parameters = write_parameters(parameters);
        let field = |number, value| Field { number, value };
        let bytes = |number, bytes| field(number, Value::Bytes(bytes));
        let public = (public_key.iter().map(|key| bytes(1, key)))
            .chain([field(2, Value::Number(ALL_AUTOMATIC))])
            .chain([field(3, Value::Real(scale))])
            .chain(relinearisation_key.iter().map(|key| bytes(4, key)));
        let private = |key| {
            let made_at_load = field(2, Value::Number(1));
            field(3, Value::Message(vec![bytes(1, key), made_at_load]))
        };
        let symmetric = field(4, Value::Number(SYMMETRIC));
        let parts: Vec<_> = [
            bytes(1, &parameters),
            field(2, Value::Message(public.collect())),
        ]
        .into_iter()
        .chain(secret_key.iter().map(|key| private(key)))
        .chain(public_key.is_none().then_some(symmetric))
        .collect();
        Ok(message(&parts).finish())
    }

    /// What reads and writes ciphertexts of this context.
    pub fn seal(&self) -> &SealContext {
        &self.seal
    }

    /// The parameters with their transforms.
    pub fn context(&self) -> &Context {
        self.seal.context()
    }

    /// The name of the keys, if there are any.
    pub fn key_id(&self) -> Option<KeyId> {
        self.names().next()
    }

    fn names(&self) -> impl Iterator<Item = KeyId> {
        let public = self.public_key.as_ref().map(PublicKey::key_id);
        let secret = self.secret_key.as_ref().map(SecretKey::id);
        let relinearisation = self
            .relinearisation_key
            .as_ref()
            .map(RelinearisationKey::key_id);
        [public, secret, relinearisation].into_iter().flatten()
    }

    fn check_names(&self) -> Result<(), SealError> {
        let mut names = self.names();
        let Some(left) = names.next() else {
            return Ok(());
        };
        match names.find(|&name| name != left) {
            Some(right) => Err(CkksError::Key { left, right }.into()),
            None => Ok(()),
        }
    }
}

/// The fields of `TenSEALContextProto`, and those of the messages in it.
#[derive(Default)]
struct Parts<'a> {
    parameters: Option<&'a [u8]>,
    public_key: Option<&'a [u8]>,
    scale: f64,
    relinearisation_key: Option<&'a [u8]>,
    secret_key: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, SealError> {
        let mut parts = Self::default();
        for field in fields(CONTEXT, bytes) {
            let field = field?;
            match field.number {
                1 => parts.parameters = present(field.bytes(CONTEXT)?),
                2 => parts.read_public(field.bytes(CONTEXT)?)?,
                3 => parts.read_private(field.bytes(CONTEXT)?)?,
                _ => {}
            }
        }
        Ok(parts)
    }

    fn read_public(&mut self, bytes: &'a [u8]) -> Result<(), SealError> {
        for field in fields(CONTEXT, bytes) {
            let field = field?;
            match field.number {
                1 => self.public_key = present(field.bytes(CONTEXT)?),
                3 => self.scale = field.real(CONTEXT)?,
                4 => self.relinearisation_key = present(field.bytes(CONTEXT)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_private(&mut self, bytes: &'a [u8]) -> Result<(), SealError> {
        for field in fields(CONTEXT, bytes) {
            let field = field?;
            if field.number == 1 {
                self.secret_key = present(field.bytes(CONTEXT)?);
            }
        }
        Ok(())
    }

    fn seal(&self) -> Result<SealContext, SealError> {
        let missing = |part| SealError::Missing {
            what: CONTEXT,
            part,
        };
        let parameters = self
            .parameters
            .ok_or_else(|| missing("encryption parameters"))?;
        let parameters = read_parameters(parameters, self.scale).map_err(|error| match error {
            // TenSEAL writes -1 where none was set, a protocol buffer leaves 0 out.
            SealError::Parameters(ParameterError::Scale { scale }) if scale <= 0.0 => {
                missing("a scale: set context.global_scale before it is saved")
            }
            error => error,
        })?;
        Ok(SealContext::new(&Context::with_parameters(parameters)))
    }

    fn with_keys(
        self,
        seal: SealContext,
        public_key: Option<PublicKey>,
        name: KeyId,
    ) -> Result<TensealContext, SealError> {
        let secret_key = self.secret_key;
        let secret_key = secret_key.map(|bytes| seal.read_secret_key(bytes, name));
        let key = self.relinearisation_key;
        let relinearisation_key = key.map(|bytes| seal.read_relinearisation_key(bytes, name));
        Ok(TensealContext {
            public_key,
            secret_key: secret_key.transpose()?,
            relinearisation_key: relinearisation_key.transpose()?,
            seal,
        })
    }
}

/// An empty field is one that is not there.
fn present(bytes: &[u8]) -> Option<&[u8]> {
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

const CONTEXT: &str = "context";

/// TenSEAL relinearises, rescales and switches levels by itself.
const ALL_AUTOMATIC: u64 = 7;

/// Encrypts with the secret key.
const SYMMETRIC: u64 = 1;
