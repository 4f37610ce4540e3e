//! The key that two vaults share: X25519 and ML-KEM-768, both secrets into one derivation (PROTOCOL.md 3.2, "Encapsulation").

use std::collections::BTreeMap;

use aws_lc_rs::{
    agreement::{self, UnparsedPublicKey, X25519},
    kem::{self, ML_KEM_768},
};
use crypto::{
    hash::{derive_key, labelled_hash},
    sealed_sum::HospitalId,
};
use protocol::{
    digests::EncapsulationDigest,
    session::{Encapsulation, Join, KEM_CIPHERTEXT_BYTES, SessionError},
};
use zeroize::Zeroizing;

use super::{
    members::{Member, Members},
    own::{OwnJoin, OwnSecrets},
    ratchet::{KEYS_START_AT, Ratchet},
};

/// `K_ij` with one other vault.
pub(super) struct Pair {
    pub(super) ratchet: Ratchet,
    /// H of the Encapsulation between the two.
    pub(super) encapsulation: EncapsulationDigest,
}

/// The keys with all other vaults, as far as they are known.
pub(super) enum Pairs {
    /// Some are missing: our secrets are still needed.
    Exchanging {
        secrets: OwnSecrets,
        known: BTreeMap<HospitalId, Pair>,
    },
    /// Every pair has its key, and our secrets are gone.
    Complete(BTreeMap<HospitalId, Pair>),
}

impl Pairs {
    pub(super) fn new(secrets: OwnSecrets) -> Self {
        Self::Exchanging {
            secrets,
            known: BTreeMap::new(),
        }
    }

    pub(super) fn known(&self) -> &BTreeMap<HospitalId, Pair> {
        match self {
            Self::Exchanging { known, .. } | Self::Complete(known) => known,
        }
    }

    /// Keeps the key with `peer`; the last one of `others` ends the exchange and erases our secrets.
    pub(super) fn with(self, peer: HospitalId, pair: Pair, others: usize) -> Self {
        match self {
            Self::Exchanging { secrets, mut known } => {
                known.insert(peer, pair);
                if known.len() == others {
                    Self::Complete(known)
                } else {
                    Self::Exchanging { secrets, known }
                }
            }
            complete @ Self::Complete(_) => complete,
        }
    }
}

/// The sender's half: a ciphertext for `peer`, and the secret in it.
pub(super) fn encapsulate(
    peer: &Member,
) -> Result<([u8; KEM_CIPHERTEXT_BYTES], kem::SharedSecret), SessionError> {
    let unusable = || {
        SessionError::Malformed(format!(
            "the ML-KEM key of hospital {} is not usable",
            peer.id
        ))
    };
    let public =
        kem::EncapsulationKey::new(&ML_KEM_768, &peer.join.kem_key).map_err(|_| unusable())?;
    let (ciphertext, shared) = public.encapsulate().map_err(|_| unusable())?;
    let ciphertext = ciphertext.as_ref().try_into().map_err(|_| unusable())?;
    Ok((ciphertext, shared))
}

/// The receiver's half: the secret in a ciphertext of hospital `from`.
pub(super) fn decapsulate(
    secrets: &OwnSecrets,
    from: HospitalId,
    message: &Encapsulation,
) -> Result<kem::SharedSecret, SessionError> {
    secrets
        .kem
        .decapsulate(message.ciphertext.as_slice().into())
        .map_err(|_| {
            SessionError::Malformed(format!(
                "the encapsulation of hospital {from} does not decapsulate"
            ))
        })
}

/// "`K_ij = HKDF(x25519 || mlkem, 'pair' || min || max || H(Join_min) || H(Join_max) || H(ciphertext) || roster_hash)`. An all-zero
/// X25519 output is refused."
pub(super) fn pair_key(
    own: &OwnJoin,
    secrets: &OwnSecrets,
    peer: &Member,
    kem_secret: &kem::SharedSecret,
    ciphertext: &[u8; KEM_CIPHERTEXT_BYTES],
    members: &Members,
) -> Result<Ratchet, SessionError> {
    let mut secret = Zeroizing::new(Vec::with_capacity(64));
    agree(secrets, &peer.join, &mut secret).map_err(|()| {
        SessionError::Malformed(format!(
            "the X25519 key of hospital {} is not usable",
            peer.id
        ))
    })?;
    secret.extend_from_slice(kem_secret.as_ref());
    let (smaller, larger) = (own.id.min(peer.id), own.id.max(peer.id));
    let key = derive_key(
        &secret,
        "pair",
        &[
            &[smaller.get()],
            &[larger.get()],
            members.get(smaller)?.digest.as_bytes(),
            members.get(larger)?.digest.as_bytes(),
            &labelled_hash("kem-ciphertext", &[ciphertext]),
            members.roster_hash.as_bytes(),
        ],
    );
    Ok(Ratchet::new(key, KEYS_START_AT))
}

/// Appends the X25519 secret with the sender of `join`. The library refuses an all-zero result.
fn agree(secrets: &OwnSecrets, join: &Join, secret: &mut Vec<u8>) -> Result<(), ()> {
    let public = UnparsedPublicKey::new(&X25519, join.x25519);
    agreement::agree(&secrets.x25519, public, (), |shared| {
        secret.extend_from_slice(shared);
        Ok(())
    })
}
