mod public;
pub(super) mod relinearisation;
mod secret;

use std::fmt;

pub use public::PublicKey;
pub use relinearisation::RelinearisationKey;
pub use secret::SecretKey;

/// The public name of a secret key: 16 random bytes. All that belongs to the key carries it, so that what is under
/// two keys is refused instead of giving noise. It guards against mix-ups, not against forgers.
///
/// ```
/// # use crypto::ckks::*;
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// # let context = Context::new(Profile::Hardened);
/// # let secret = SecretKey::generate(&context, &mut rng);
/// let other = SecretKey::generate(&context, &mut rng);
/// let fresh = encrypt_symmetric(&secret, &context.encode(&[1.0])?, &mut rng)?.expand();
/// let refused = decrypt(&other, &fresh).err();
/// assert_eq!(refused, Some(CkksError::Key { left: secret.id(), right: other.id() }));
/// # Ok::<(), CkksError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// Takes a name that came from elsewhere.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the name.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
