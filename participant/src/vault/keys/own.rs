//! A vault's own key pairs of a session and the Join that announces them (PROTOCOL.md 3.2, "Join").

use aws_lc_rs::{
    agreement::{self, X25519},
    kem::{self, ML_KEM_768},
};
use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::Id,
    digests::SessionId,
    identity::{Signed, SigningKey},
    roster::Roster,
    session::{Join, KEM_KEY_BYTES},
};
use rand_core::CryptoRng;

/// A vault's own key pairs of a session, before the others' are known.
pub(in crate::vault) struct OwnKeys {
    pub(super) identity: OwnJoin,
    pub(super) secrets: OwnSecrets,
}

/// Who a vault is in a session. Nothing in it is secret.
pub(super) struct OwnJoin {
    pub(super) id: HospitalId,
    pub(super) session: SessionId,
    pub(super) join: Signed<Join>,
}

/// Dropped as soon as every pair has its key: kept, they would bring back the keys of all past rounds. `aws-lc` erases both when they
/// are freed.
pub(super) struct OwnSecrets {
    pub(super) x25519: agreement::PrivateKey,
    pub(super) kem: kem::DecapsulationKey,
}

impl OwnKeys {
    /// Fresh key pairs, and the Join that goes to all.
    ///
    /// Only the Join's nonce comes from `rng`: `aws-lc-rs` makes key pairs, and encapsulates, from its own generator, which the
    /// operating system seeds, and takes no other.
    pub(in crate::vault) fn generate(
        id: HospitalId,
        session: SessionId,
        roster: &Roster,
        key: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let x25519 = agreement::PrivateKey::generate(&X25519)
            .expect("the operating system gives randomness");
        let kem = kem::DecapsulationKey::generate(&ML_KEM_768)
            .expect("the operating system gives randomness");
        let mut join = Join {
            roster_hash: roster.hash(),
            session,
            id: Id(id),
            x25519: [0; 32],
            kem_key: [0; KEM_KEY_BYTES],
            nonce: [0; 32],
        };
        join.x25519.copy_from_slice(
            x25519
                .compute_public_key()
                .expect("a fresh key has a public half")
                .as_ref(),
        );
        let encapsulation = kem
            .encapsulation_key()
            .and_then(|key| key.key_bytes().map(|bytes| bytes.as_ref().to_vec()));
        join.kem_key
            .copy_from_slice(&encapsulation.expect("a fresh key has a public half"));
        rng.fill_bytes(&mut join.nonce);
        Self {
            identity: OwnJoin {
                id,
                session,
                join: Signed::sign(&join, key),
            },
            secrets: OwnSecrets { x25519, kem },
        }
    }

    pub(in crate::vault) fn session(&self) -> SessionId {
        self.identity.session
    }

    /// Our Join, as the identical bytes.
    pub(in crate::vault) fn join(&self) -> &Signed<Join> {
        &self.identity.join
    }
}
