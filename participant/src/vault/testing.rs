//! What a hospital can do with its own vault when it lies, and a run that needs no training, for tests of what comes of them. Everything
//! here is the hospital's own: no key of another vault, and nothing that a changed participant could not do as well.

use std::sync::Arc;

use crypto::{
    hash::SecretKey32,
    sealed_sum::{HospitalId, Share},
};
use protocol::{
    digests::ContributionDigest, manifest::ManifestCheck, message::ToCoordinator,
    round::header::RoundOpen,
};

use super::{
    Vault, VaultOutput,
    phase::Phase,
    round::OpenRound,
    session::{InSession, Stage},
};

/// Has the vault check the manifest of its run with `check`.
pub fn check_manifest_with<J>(vault: &mut Vault<J>, check: ManifestCheck) {
    vault.hospital.check_manifest = check;
}

/// `K_ij[r]` of the round at hand, with the vault `peer`.
///
/// # Panics
/// Before the session has its keys, as everything here that follows.
pub fn pair_key<J>(vault: &Vault<J>, peer: HospitalId) -> &SecretKey32 {
    let keys = &in_session(vault).session.keys;
    keys.pair_key(peer).expect("a member of the session")
}

/// `G[r]` of the round at hand.
pub fn group_key<J>(vault: &Vault<J>) -> &SecretKey32 {
    in_session(vault).session.keys.group_key()
}

/// The header of the round at hand.
pub fn header<J>(vault: &Vault<J>) -> &RoundOpen {
    let round: &OpenRound = in_session(vault).open_round().expect("in a round");
    &round.header
}

/// The contribution to the round at hand, as uploaded.
///
/// # Panics
/// Before it is made.
pub fn contribution<J>(vault: &Vault<J>) -> Arc<[u8]> {
    let own = match &in_session(vault).stage {
        Stage::BeforeStatistics(stage) => stage.round.own_contribution(),
        Stage::Learning(stage) => stage.round.own_contribution(),
    };
    own.expect("the vault has contributed").blob.clone()
}

/// Puts another contribution in the place of the one that the vault has made: it will say to itself and to others that it has made
/// no other. `alter_own_share` may change the share that it keeps of it. Acknowledgements that have not left are made anew.
///
/// # Panics
/// Before the vault has contributed, or if the altered share is none.
pub fn replace_contribution<J>(
    vault: &mut Vault<J>,
    digest: ContributionDigest,
    blob: Arc<[u8]>,
    alter_own_share: impl FnOnce(&mut [u8]),
) {
    let id = vault.hospital.id();
    let Phase::InSession(session) = &mut vault.phase else {
        panic!("no session yet");
    };
    let contributed = match &mut session.stage {
        Stage::BeforeStatistics(stage) => stage.round.contributed_mut(),
        Stage::Learning(stage) => stage.round.contributed_mut(),
    };
    let (open, own) = contributed.expect("the vault has contributed");
    (own.digest, own.blob) = (digest, blob);
    let held = open.shares.get_mut(&id).expect("it keeps its own share");
    held.digest = digest;
    let mut share = held.share.to_bytes();
    alter_own_share(&mut share);
    held.share = Share::from_bytes(&share).expect("numbers of the share field");
    let answer = held.share.answer(digest.as_bytes());
    open.answers.insert(id, answer);
    let outputs = &mut vault.hospital.outputs;
    outputs.retain(|output| !is_acknowledgement(output));
    open.acknowledge(&mut vault.hospital);
}

fn is_acknowledgement(output: &VaultOutput) -> bool {
    matches!(output, VaultOutput::Send(message) if matches!(**message, ToCoordinator::BoxAck(_)))
}

fn in_session<J>(vault: &Vault<J>) -> &InSession {
    match &vault.phase {
        Phase::InSession(session) => session,
        _ => panic!("the session has no keys yet"),
    }
}
