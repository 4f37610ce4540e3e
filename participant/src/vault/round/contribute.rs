//! Our contribution: quantised, masked, shared out, sealed and signed (PROTOCOL.md 3.4, 3.5).

use crypto::{
    hash::{SecretKey32, derive_key, hmac},
    sealed_sum::{
        self, HospitalId, PackedMessage, Reals, Seed, Share, SumError, SumShape, TagKey, Weight,
        pack,
    },
};
use protocol::{
    codec::{self, Bytes, Id, List},
    counters::UpdateCounters,
    digests::{ChunksRoot, ClipCommit, ContributionDigest, HeaderHash, ModelHash, RoundNumber},
    manifest::Purpose,
    round::{
        RoundError,
        contribution::{Contribution, ContributionManifest, ShareBox, boxes_root, chunks_root},
    },
};
use tracing::debug_span;

use super::{HeldShare, OpenRound, OwnContribution, Round};
use crate::{
    journal::{Journal, KeptContribution},
    vault::{
        aead,
        error::StepError,
        hospital::Hospital,
        output::VaultEvent,
        session_state::Session,
        step::{Reaction, StepResult},
    },
};

/// What a contribution is made of.
pub(in crate::vault) struct Material<'a> {
    /// The model's change; empty where the sum has none.
    pub(in crate::vault) values: &'a dyn Reals,
    pub(in crate::vault) counters: &'a [u64],
    /// Loss and steps of the training behind it.
    pub(in crate::vault) training: (f64, u32),
}

/// A contribution that is made, before it is kept.
struct Sealed {
    contribution: Contribution,
    digest: ContributionDigest,
    commit: ClipCommit,
    own_share: Share,
}

impl OpenRound {
    /// Contributes, or gives the round up when nothing can be summed.
    pub(in crate::vault) fn contribute<J: Journal, W>(
        mut self,
        material: &Material<'_>,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> (Round<W>, StepResult) {
        match self.make_contribution(material, session, hospital) {
            Ok((own, saturated)) => {
                hospital.outputs.push_back(self.upload(&own));
                hospital.event(VaultEvent::Sealed {
                    round: self.number(),
                    purpose: self.header.purpose,
                    saturated,
                });
                self.acknowledge(hospital);
                (Round::Contributed(self, own), Ok(Reaction::Handled))
            }
            Err(StepError::Refused(why)) => self.give_up(why, hospital),
            Err(error) => (Round::Idle, Err(error)),
        }
    }

    /// The contribution, on disk, and how many values the clip cut off.
    fn make_contribution<J: Journal>(
        &mut self,
        material: &Material<'_>,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> Result<(OwnContribution, u64), StepError> {
        let purpose = self.header.purpose;
        let shape = session
            .run
            .manifest
            .shape(purpose, session.keys.joined().len())
            .map_err(not_summable)?;
        let id = hospital.id();
        let (message, saturated) = debug_span!("quantising")
            .in_scope(|| quantised(purpose, &shape, material, session, id))?;

        // "The seed is on disk, synced, with hh before anything is computed from it"; "if the blob is lost, a new attempt takes a new
        // seed and the next attempt number": the process was ended between the two.
        let attempt = hospital.journal.next_attempt(&self.hash)?;
        let seed = Seed::from_rng(&mut hospital.rng);
        hospital.journal.record_seed(&self.hash, attempt, &seed)?;
        let sealed = debug_span!("masking")
            .in_scope(|| self.seal(seed, attempt, message, &shape, session, hospital))?;

        let digest = sealed.digest;
        let contribution = KeptContribution {
            blob: codec::encode(&sealed.contribution),
            training: material.training,
        };
        self.keep_share(id, HeldShare::new(digest, sealed.commit, sealed.own_share));
        // "**the whole blob is on disk, synced, before its first byte leaves**, and is kept until the round is settled."
        if let Some(own) = self.kept_box(id) {
            let _step = debug_span!("keeping").entered();
            let journal = &mut hospital.journal;
            journal.record_contribution(&self.hash, &contribution, &own)?;
        }
        let blob = contribution.blob.into();
        Ok((OwnContribution { digest, blob }, saturated))
    }

    /// `b_ij = a_j * s_i + DELTA * m_j + e_ij mod q`, a Shamir share of `s_i` for everybody, all signed. The seed and the message are
    /// gone afterwards: they belong to this one contribution.
    fn seal<J>(
        &self,
        seed: Seed,
        attempt: u8,
        message: PackedMessage,
        shape: &SumShape,
        session: &Session,
        hospital: &Hospital<J>,
    ) -> Result<Sealed, StepError> {
        let (id, joined) = (hospital.id(), session.keys.joined());
        let sum = sealed_sum::Round {
            ring: &hospital.ring,
            header_hash: self.hash.as_bytes(),
            shape,
            threshold: hospital.roster().threshold(),
            tag_key: &TagKey::derive(session.keys.group_key(), self.hash.as_bytes()),
        };
        let pair_key = |peer| session.keys.pair_key(peer);
        let masked = mask(&sum, &joined, (id, attempt), seed, message, pair_key)?;
        let Masked {
            chunks,
            chunks_root,
            boxes,
            own_share,
        } = masked;
        let commit = self.expected_commit(session);
        let manifest = ContributionManifest {
            header: self.hash,
            id: Id(id),
            attempt,
            chunks_root,
            boxes_root: boxes_root(&boxes),
            commit,
        };
        let manifest = hospital.sign(&manifest);
        Ok(Sealed {
            digest: manifest.digest(),
            contribution: Contribution {
                manifest,
                boxes: List(boxes),
                chunks: Bytes(chunks),
            },
            commit,
            own_share,
        })
    }

    /// "commit = HMAC(G, `model_hash` || round || c vector); c as f64 words; empty for `stats` and `evaluation`": shows that all used
    /// one clip vector without showing it.
    pub(super) fn expected_commit(&self, session: &Session) -> ClipCommit {
        match self.header.purpose {
            Purpose::Update => {
                let (keys, chain) = (&session.keys, &session.chain);
                let group = keys.group_key();
                clip_commit(group, &chain.model_hash, keys.round(), chain.model.clips())
            }
            Purpose::Stats | Purpose::Evaluation => ClipCommit::NONE,
        }
    }
}

/// What leaves of a contribution, but for its manifest, and the share that stays.
pub(in crate::vault) struct Masked {
    pub(in crate::vault) chunks: Vec<u8>,
    chunks_root: ChunksRoot,
    pub(in crate::vault) boxes: Vec<ShareBox>,
    own_share: Share,
}

/// Masks the message and shares the mask's secret out: "`share_i->x = F_i(x)` for every joined x, own one included (kept)"; the others'
/// go into boxes. Seed and message are gone afterwards.
pub(in crate::vault) fn mask<'a>(
    sum: &sealed_sum::Round<'_>,
    joined: &[HospitalId],
    (own_id, attempt): (HospitalId, u8),
    seed: Seed,
    message: PackedMessage,
    pair_key: impl Fn(HospitalId) -> Option<&'a SecretKey32>,
) -> Result<Masked, RoundError> {
    let sealed =
        sealed_sum::seal(sum, joined, own_id, attempt, &seed, &message).map_err(not_summable)?;
    drop((seed, message));
    let (header, chunks_root) = (
        HeaderHash::from_bytes(*sum.header_hash),
        chunks_root(&sealed.chunks),
    );
    let mut boxes = Vec::with_capacity(sealed.shares.len());
    let mut own_share = None;
    for (to, share) in sealed.shares {
        if to == own_id {
            own_share = Some(share);
            continue;
        }
        let pair = pair_key(to).ok_or(RoundError::NotJoined { id: to })?;
        let key = box_key(pair, own_id, to, &header, attempt, &chunks_root);
        boxes.push(ShareBox {
            to: Id(to),
            sealed: Bytes(aead::seal_once(key, share.to_bytes())),
        });
    }
    Ok(Masked {
        chunks: sealed.chunks,
        chunks_root,
        boxes,
        own_share: own_share.ok_or(RoundError::NotJoined { id: own_id })?,
    })
}

/// HMAC(G, `model_hash` || round || c).
pub(in crate::vault) fn clip_commit(
    group: &SecretKey32,
    model: &ModelHash,
    round: RoundNumber,
    clips: &[f64],
) -> ClipCommit {
    let clips: Vec<u8> = clips.iter().flat_map(|clip| clip.to_le_bytes()).collect();
    let round = round.get().to_le_bytes();
    hmac(group, &[model.as_bytes(), &round, &clips]).into()
}

/// "Given the update x (d values; a non-finite one is refused: the hospital does not contribute) and its omega" (PROTOCOL.md 3.4): the
/// packed chunks, and how many values the clip cut off.
fn quantised(
    purpose: Purpose,
    shape: &SumShape,
    material: &Material<'_>,
    session: &Session,
    id: HospitalId,
) -> Result<(PackedMessage, u64), RoundError> {
    let manifest = &session.run.manifest;
    let clips = match purpose {
        Purpose::Update => session.chain.model.clipped_tensors(),
        Purpose::Stats | Purpose::Evaluation => Vec::new(),
    };
    let weight = Weight {
        own: manifest.weight(id),
        largest: manifest.largest_weight(),
    };
    let packed = pack(shape, material.values, &clips, weight, material.counters);
    let (mut message, saturation) = packed.map_err(not_summable)?;
    if saturation.values > 0 {
        // The number of saturated values is itself a counter of the sum.
        let counters = UpdateCounters {
            contributions: 1,
            saturated: saturation.values,
        };
        let set = message.set_counters(&counters.write());
        set.map_err(not_summable)?;
    }
    Ok((message, saturation.values))
}

fn not_summable(error: SumError) -> RoundError {
    RoundError::NotSummable(error.to_string())
}

/// `HKDF(K_ij, 'box' || i || j || hh || attempt || b_root)`.
pub(in crate::vault) fn box_key(
    pair: &SecretKey32,
    from: HospitalId,
    to: HospitalId,
    header: &HeaderHash,
    attempt: u8,
    chunks_root: &ChunksRoot,
) -> SecretKey32 {
    derive_key(
        pair.as_bytes(),
        "box",
        &[
            &[from.get()],
            &[to.get()],
            header.as_bytes(),
            &[attempt],
            chunks_root.as_bytes(),
        ],
    )
}
