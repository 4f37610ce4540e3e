//! What a hospital can do with its own vault when it lies, for tests of what comes of it. Everything here is the hospital's own: no
//! key of another vault, and nothing that a changed participant could not do as well.

use std::sync::Arc;

use crypto::{
    hash::{Digest, SecretKey32},
    sealed_sum::{HospitalId, Share},
};
use protocol::round::header::RoundOpen;

use super::{Stage, Vault, VaultError, VaultOutput, round::VaultRound};
use crate::journal::Journal;
use protocol::message::ToCoordinator;

/// `K_ij[r]` of the round at hand, with the vault `peer`.
///
/// # Panics
/// Before the session has its keys, as everything here.
pub fn pair_key<J>(vault: &Vault<J>, peer: HospitalId) -> &SecretKey32 {
    match &vault.stage {
        Stage::Keyed { keys, .. } => keys.pair_key(peer).expect("a member of the session"),
        _ => panic!("the session has no keys yet"),
    }
}

/// `G[r]` of the round at hand.
pub fn group_key<J>(vault: &Vault<J>) -> &SecretKey32 {
    match &vault.stage {
        Stage::Keyed { keys, .. } => keys.group_key().expect("all vaults are ready").0,
        _ => panic!("the session has no keys yet"),
    }
}

/// The header of the round at hand.
pub fn header<J>(vault: &Vault<J>) -> &RoundOpen {
    &round(vault).header
}

/// The contribution to the round at hand, as uploaded.
///
/// # Panics
/// Before it is made.
pub fn contribution<J>(vault: &Vault<J>) -> Arc<[u8]> {
    let own = round(vault).contribution.as_ref();
    own.expect("the vault has contributed").blob.clone()
}

/// Puts another contribution in the place of the one that the vault has made: it will say to itself and to others that it has made
/// no other. `alter_own_share` may change the share that it keeps of it. Acknowledgements that have not left are made anew.
///
/// # Errors
/// Those of the journal.
///
/// # Panics
/// Before the vault has contributed, or if the altered share is none.
pub fn replace_contribution<J: Journal>(
    vault: &mut Vault<J>,
    digest: Digest,
    blob: Arc<[u8]>,
    alter_own_share: impl FnOnce(&mut [u8]),
) -> Result<(), VaultError> {
    let id = vault.identity.id;
    let Stage::Keyed { member, .. } = &mut vault.stage else {
        panic!("the session has no keys yet");
    };
    let round = member.round.as_mut().expect("in a round");
    let own = round.contribution.as_mut().expect("it has contributed");
    (own.digest, own.blob) = (digest, blob);
    let held = round.boxes.get_mut(&id).expect("it keeps its own share");
    held.digest = digest;
    let mut share = held.share.to_bytes();
    alter_own_share(&mut share);
    held.share = Share::from_bytes(&share).expect("numbers of the share field");
    let answer = held.share.answer(&digest);
    round.answers.insert(id, answer);
    vault.outputs.retain(|output| !is_acknowledgement(output));
    vault.in_round(Vault::acknowledge)
}

fn is_acknowledgement(output: &VaultOutput) -> bool {
    matches!(output, VaultOutput::Send(message) if matches!(**message, ToCoordinator::BoxAck(_)))
}

fn round<J>(vault: &Vault<J>) -> &VaultRound {
    match &vault.stage {
        Stage::Keyed { member, .. } => member.round.as_ref().expect("in a round"),
        _ => panic!("no session yet"),
    }
}
