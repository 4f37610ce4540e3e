//! Who signs what: Ed25519 keys, and messages that carry a signature over the bytes they came in.
//!
//! A signature is over H('sign' || type || H(type || bytes)), so that it can be checked by whoever has only the digest.

use std::marker::PhantomData;

use crypto::hash::{Digest, labelled_hash};
use ed25519_dalek::Signer;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::codec::{self, Bytes, CodecError, Decode, Encode};

/// A message type with a domain of its own: no two messages can share a signature or a hash.
pub trait Message: Encode + Decode<()> {
    /// The type's name in signatures and hashes (PROTOCOL.md 3.1).
    const TYPE: &'static str;

    /// What H of the signed bytes is: a type of its own where other messages name this one by it.
    type Digest: Copy + From<Digest> + Into<Digest>;
}

/// A signature that does not stand.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature on {message} is not {signer}'s")]
pub struct BadSignature {
    /// [`Message::TYPE`] of the message.
    pub message: &'static str,
    /// Who should have signed it.
    pub signer: String,
}

/// An Ed25519 public key, as the roster lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Checks `signature` over `digest` strictly: small-order keys and non-canonical forms are refused (PROTOCOL.md 7).
    pub fn verifies(&self, digest: &Digest, signature: &[u8; 64]) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(digest, &ed25519_dalek::Signature::from_bytes(signature))
                .is_ok()
        })
    }

    /// Whether this is a point that a signature can be checked with at all.
    pub fn is_sound(&self) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }
}

/// An Ed25519 secret key; erased when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(secret.as_mut());
        Self::from_secret_bytes(&secret)
    }

    /// The key whose 32 secret bytes these are.
    pub fn from_secret_bytes(secret: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// The 32 secret bytes, for the owner's key file only.
    pub fn to_secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a digest.
    pub fn sign_digest(&self, digest: &Digest) -> [u8; 64] {
        self.0.sign(digest).to_bytes()
    }
}

/// A message with the signature over its canonical bytes. The bytes are kept **as received**: nobody re-encodes a message to check,
/// hash or forward it (PROTOCOL.md 3.1).
pub struct Signed<T> {
    bytes: Bytes,
    signature: [u8; 64],
    body: PhantomData<fn() -> T>,
}

impl<T: Message> Signed<T> {
    /// Signs `body`.
    pub fn sign(body: &T, key: &SigningKey) -> Self {
        let bytes = codec::encode(body);
        let signature = key.sign_digest(&signing_digest::<T>(message_digest::<T>(&bytes)));
        Self {
            bytes: Bytes(bytes),
            signature,
            body: PhantomData,
        }
    }

    /// The message, once `key` is shown to have signed it.
    ///
    /// # Errors
    /// [`SignedError`] when the signature is another's or the bytes are no `T`.
    pub fn verify(
        &self,
        key: &PublicKey,
        signer: impl std::fmt::Display,
    ) -> Result<T, SignedError> {
        verify_digest::<T>(self.digest(), &self.signature, key, signer)?;
        Ok(self.read_unverified()?)
    }

    /// The message without a look at the signature: for finding out whose signature to look for.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are no `T`.
    pub fn read_unverified(&self) -> Result<T, CodecError> {
        codec::decode(&self.bytes.0)
    }

    /// H over type and bytes as received; the signature is not part of it.
    pub fn digest(&self) -> T::Digest {
        message_digest::<T>(&self.bytes.0)
    }

    /// The signature.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            signature: self.signature,
            body: PhantomData,
        }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.signature == other.signature
    }
}

impl<T> std::fmt::Debug for Signed<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Signed({:?})", self.bytes)
    }
}

impl<T> Encode for Signed<T> {
    fn encode<E: codec::Encoder>(&self, encoder: &mut E) -> Result<(), codec::EncodeError> {
        self.bytes.encode(encoder)?;
        self.signature.encode(encoder)
    }
}

impl<Context, T> Decode<Context> for Signed<T> {
    fn decode<D: codec::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, codec::DecodeError> {
        Ok(Self {
            bytes: Bytes::decode(decoder)?,
            signature: <[u8; 64]>::decode(decoder)?,
            body: PhantomData,
        })
    }
}

impl<T> Eq for Signed<T> {}

impl<'de, Context, T> codec::BorrowDecode<'de, Context> for Signed<T> {
    fn borrow_decode<D: codec::BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, codec::DecodeError> {
        Self::decode(decoder)
    }
}

/// Why a signed message is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignedError {
    /// Signed by somebody else, or altered.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Signed, but not a message of this type.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Checks a signature by the digest of the message alone, for those who list messages instead of carrying them.
///
/// # Errors
/// [`BadSignature`].
pub fn verify_digest<T: Message>(
    digest: T::Digest,
    signature: &[u8; 64],
    key: &PublicKey,
    signer: impl std::fmt::Display,
) -> Result<(), BadSignature> {
    if key.verifies(&signing_digest::<T>(digest), signature) {
        Ok(())
    } else {
        Err(BadSignature {
            message: T::TYPE,
            signer: signer.to_string(),
        })
    }
}

fn message_digest<T: Message>(bytes: &[u8]) -> T::Digest {
    labelled_hash(T::TYPE, &[bytes]).into()
}

fn signing_digest<T: Message>(digest: T::Digest) -> Digest {
    let digest: Digest = digest.into();
    labelled_hash("sign", &[T::TYPE.as_bytes(), &digest])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Left(u32);
    impl Message for Left {
        const TYPE: &'static str = "left";
        type Digest = Digest;
    }
    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Right(u32);
    impl Message for Right {
        const TYPE: &'static str = "right";
        type Digest = Digest;
    }

    #[test]
    fn a_signature_binds_key_type_and_every_bit() {
        let key = SigningKey::from_secret_bytes(&[7; 32]);
        let other = SigningKey::from_secret_bytes(&[8; 32]);
        let signed = Signed::sign(&Left(5), &key);
        assert_eq!(signed.verify(&key.public(), "x"), Ok(Left(5)));
        assert!(signed.verify(&other.public(), "x").is_err());
        let bytes = codec::encode(&signed);
        let retyped: Signed<Right> = codec::decode(&bytes).expect("same form");
        assert!(retyped.verify(&key.public(), "x").is_err());
        for bit in 32..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let altered: Signed<Left> = codec::decode(&altered).expect("lengths unchanged");
            assert!(altered.verify(&key.public(), "x").is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_small_order_key_is_unsound_and_verifies_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let key = PublicKey(identity);
        assert!(!key.is_sound());
        let mut signature = [0; 64];
        signature[0] = 1; // R = identity, S = 0: plain verification would accept it for any message
        assert!(!key.verifies(&[3; 32], &signature));
    }
}
