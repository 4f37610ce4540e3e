//! The round at hand as the vault sees it: header, contribution, boxes, the one answer (PROTOCOL.md 3.3, 3.5, 3.6).

use std::{collections::BTreeMap, sync::Arc};

use crypto::{
    hash::{SecretKey32, derive_key, hmac},
    sealed_sum::{self, DealerAnswer, HospitalId, Seed, Share, TagKey, Weight, add_shares, pack},
};
use protocol::{
    codec::{self, Bytes, Id, List, Text},
    counters::UpdateCounters,
    digests::{
        ChunksRoot, ClipCommit, ContributionDigest, ContributorsHash, HeaderHash, LearningRound,
        ModelHash, RoundNumber, Transcript,
    },
    identity::Signed,
    manifest::{Manifest, Purpose},
    message::ToCoordinator,
    round::{
        RoundError,
        contribution::{
            BoxAck, BoxForward, Contribution, ContributionManifest, ShareBox, boxes_root,
            check_forward, chunks_root,
        },
        header::RoundOpen,
        unlock::{UnlockRequest, UnlockShare, evaluation_allowed},
    },
};
use zeroize::Zeroizing;

use super::{
    EvaluateRequest, EvaluatedCounts, Stage, StepError, TrainRequest, TrainingPlan, Vault,
    VaultError, VaultEvent, VaultOutput,
    conditioning::{Conditioner, weight_change},
    statistics::own_counters,
};
use crate::journal::{Journal, RecordedAnswer};

/// See the module.
pub(super) struct VaultRound {
    pub(super) header: RoundOpen,
    pub(super) hash: HeaderHash,
    learning_round: LearningRound,
    started: bool,
    /// Nothing that can be summed came of our work: we do not contribute.
    given_up: bool,
    pub(super) contribution: Option<OwnContribution>,
    pub(super) boxes: BTreeMap<HospitalId, HeldShare>,
    /// Of the dealer check, for every share that was ever held in this round: the first one of a contributor stands, and is repeated.
    pub(super) answers: BTreeMap<HospitalId, DealerAnswer>,
    answer: Option<Signed<UnlockShare>>,
}

pub(super) struct OwnContribution {
    pub(super) digest: ContributionDigest,
    pub(super) blob: Arc<[u8]>,
}

/// A contributor's share for this vault. Our own is among them once we have contributed.
pub(super) struct HeldShare {
    pub(super) digest: ContributionDigest,
    commit: ClipCommit,
    pub(super) share: Share,
}

impl VaultRound {
    fn new(header: RoundOpen, hash: HeaderHash, learning_round: LearningRound) -> Self {
        Self {
            header,
            hash,
            learning_round,
            started: false,
            given_up: false,
            contribution: None,
            boxes: BTreeMap::new(),
            answers: BTreeMap::new(),
            answer: None,
        }
    }

    pub(super) fn number(&self) -> RoundNumber {
        self.header.round
    }

    /// Keeps the first share of a contributor and answers for it: two answers with different digests would cancel what hides the
    /// share in them.
    fn keep_share(
        &mut self,
        from: HospitalId,
        digest: ContributionDigest,
        commit: ClipCommit,
        share: Share,
    ) {
        self.answers
            .entry(from)
            .or_insert_with(|| share.answer(digest.as_bytes()));
        let held = HeldShare {
            digest,
            commit,
            share,
        };
        self.boxes.insert(from, held);
    }

    /// Whether the update that the trainer works at is for this round.
    pub(super) fn awaits_training(&self) -> bool {
        self.header.purpose == Purpose::Update && self.started && self.contribution.is_none()
    }

    /// Without work of our own: a round that we were not there for.
    pub(super) fn skip_work(&mut self) {
        self.started = true;
    }

    /// The upload, for a new connection.
    pub(super) fn upload(&self) -> Option<VaultOutput> {
        self.contribution.as_ref().map(|own| VaultOutput::Upload {
            name: own.digest,
            bytes: own.blob.clone(),
            purpose: self.header.purpose,
            learning_round: self.learning_round,
        })
    }

    /// The answer, for a new connection; acknowledgements follow when boxes are forwarded again.
    pub(super) fn repeat(&self) -> impl Iterator<Item = ToCoordinator> {
        self.answer.iter().cloned().map(ToCoordinator::UnlockShare)
    }
}

impl<J: Journal> Vault<J> {
    /// Accepts a header, or refuses it: PROTOCOL.md 3.3. Accepting one ends every older one.
    pub(super) fn take_header(&mut self, signed: Signed<RoundOpen>) -> Result<(), VaultError> {
        self.in_round(|vault| {
            if vault.is_in_round(&signed.digest()) {
                // The same header on a new connection.
                vault.say_if_given_up();
                return vault.acknowledge();
            }
            let accepted = vault.accept_header(&signed);
            if let Err(StepError::Round(error)) = &accepted {
                // The coordinator would wait for us; it is told, not the other hospitals.
                let reason = Text(error.to_string());
                vault.send(ToCoordinator::HeaderRefused {
                    header: signed.digest(),
                    reason,
                });
            }
            accepted?;
            vault.start_work()
        })
    }

    /// Contributes nothing to the round at hand, and says so: the others need not wait. Why, stays here.
    pub(super) fn give_up_round(&mut self) {
        if let Stage::Keyed { member, .. } = &mut self.stage {
            member.trained = None;
            if let Some(round) = &mut member.round {
                round.given_up = true;
            }
        }
        self.say_if_given_up();
    }

    fn say_if_given_up(&mut self) {
        let Stage::Keyed { member, .. } = &self.stage else {
            return;
        };
        if let Some(round) = member.round.as_ref().filter(|round| round.given_up) {
            let (header, reason) = (round.hash, "no usable contribution".into());
            self.send(ToCoordinator::HeaderRefused { header, reason });
        }
    }

    /// Whether this is the header of the round at hand.
    pub(super) fn is_in_round(&self, header: &HeaderHash) -> bool {
        matches!(&self.stage, Stage::Keyed { member, .. } if member.round.as_ref().is_some_and(|round| round.hash == *header))
    }

    /// Every check of a header, whether it opens a round or comes with the outcome of one that was missed; then the keys step to its
    /// number and the round is the one at hand.
    pub(super) fn accept_header(&mut self, signed: &Signed<RoundOpen>) -> Result<(), StepError> {
        let header = signed
            .verify(self.identity.roster.coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        let Some(context) = self.context() else {
            return Err(RoundError::OtherRound {
                message: "a header",
            }
            .into());
        };
        let Stage::Keyed { member, keys, .. } = &self.stage else {
            return Ok(());
        };
        if !keys.is_complete() {
            return Err(RoundError::OtherRound {
                message: "a header before all vaults are ready",
            }
            .into());
        }
        context.check(&header, member.last_round)?;
        if header.round.get() - member.last_round.get() > MOST_ROUNDS_AT_ONCE {
            return Err(RoundError::HeaderMismatch { field: "round" }.into());
        }
        let key = header.key();
        if self.journal.is_spent(&key)? || self.journal.answer(&key)?.is_some() {
            return Err(RoundError::KeySpent {
                purpose: header.purpose.name(),
            }
            .into());
        }
        if member.statistics.is_none() != (header.purpose == Purpose::Stats) {
            return Err(RoundError::HeaderMismatch { field: "purpose" }.into());
        }
        let Stage::Keyed { run, .. } = &self.stage else {
            return Ok(());
        };
        if header.purpose == Purpose::Update && member.updates.get() >= run.manifest.rounds {
            // The operator signed, and our policy accepted, so many updates and no more.
            return Err(RoundError::HeaderMismatch { field: "purpose" }.into());
        }
        let Stage::Keyed { member, keys, .. } = &mut self.stage else {
            return Ok(());
        };
        member.last_round = header.round;
        keys.advance_to(header.round);
        let learning_round = member.learning_round(header.purpose);
        member.round = Some(VaultRound::new(header, signed.digest(), learning_round));
        Ok(())
    }

    /// Starts what the round asks for, once the filters are here: the statistics, training, or evaluation.
    pub(super) fn start_work(&mut self) -> Result<(), StepError> {
        let Stage::Keyed { run, member, keys } = &mut self.stage else {
            return Ok(());
        };
        let Some(round) = member.round.as_mut().filter(|round| !round.started) else {
            return Ok(());
        };
        let (number, purpose, learning_round) = (
            round.header.round,
            round.header.purpose,
            round.learning_round,
        );
        if purpose == Purpose::Stats {
            round.started = true;
            let counters = own_counters(&run.records).write();
            return self.contribute(&[], &counters);
        }
        let statistics = member
            .statistics
            .clone()
            .ok_or(RoundError::HeaderMismatch { field: "purpose" })?;
        let manifest = run.manifest.clone();
        if manifest.conditioning.uses_filters() && member.filters.is_none() {
            let (id, session) = (self.identity.id, keys.session());
            let (records, rng) = (run.records.clone(), &mut self.rng);
            let weights = Self::conditioned_weights(member);
            let conditioner = member.conditioner.get_or_insert_with(|| {
                let scaled = records.scaled(&statistics);
                Conditioner::new(id, session, scaled, manifest.conditioning.profile(), rng)
            });
            match conditioner.request(weights, rng) {
                Ok(released) => self.keep_filters(released),
                Err(messages) => {
                    for message in messages {
                        self.send(message);
                    }
                    return Ok(());
                }
            }
        }
        let Stage::Keyed { member, .. } = &mut self.stage else {
            return Ok(());
        };
        let Some(round) = &mut member.round else {
            return Ok(());
        };
        round.started = true;
        if purpose == Purpose::Update
            && member
                .trained
                .as_ref()
                .is_some_and(|(model_hash, _)| *model_hash == member.model_hash)
        {
            return self.contribute_update();
        }
        if purpose == Purpose::Update && member.training == Some(member.model_hash) {
            // The trainer is at it already, for a round that this one replaces.
            return Ok(());
        }
        let model = Self::model_for_trainer(&manifest, member);
        let filters = member
            .filters
            .as_ref()
            .map(|filters| filters.as_ref().clone());
        let output = match purpose {
            Purpose::Update => {
                let seed = training_seed(&manifest, self.identity.id, learning_round);
                let class_weights = statistics.class_weights();
                member.training = Some(member.model_hash);
                let (model_hash, plan) = (member.model_hash, TrainingPlan::of(&manifest));
                VaultOutput::Train(TrainRequest {
                    round: number,
                    model_hash,
                    model,
                    filters,
                    class_weights,
                    seed,
                    plan,
                })
            }
            _ => VaultOutput::Evaluate(EvaluateRequest {
                round: number,
                model,
                filters,
                plan: TrainingPlan::of(&manifest),
            }),
        };
        self.outputs.push_back(output);
        Ok(())
    }

    /// The update: what training moved, and `-eta_W` times the gradient of W in its place.
    pub(super) fn contribute_update(&mut self) -> Result<(), StepError> {
        let Stage::Keyed { run, member, .. } = &self.stage else {
            return Ok(());
        };
        let Some((_, update)) = &member.trained else {
            return Ok(());
        };
        let manifest = &run.manifest;
        let common = member.model.values();
        let mut change: Zeroizing<Vec<f64>> = Zeroizing::new(Vec::with_capacity(common.len()));
        let mut trained = update.model.iter();
        for tensor in member.model.layout().tensors.iter() {
            if tensor.name.0 == protocol::network::CONDITIONED_WEIGHT
                && manifest.conditioning.uses_filters()
            {
                let features = member
                    .conditioner
                    .as_ref()
                    .map_or(&[][..], Conditioner::features);
                change.extend(weight_change(
                    features,
                    &update.filter_gradients,
                    update.batches,
                    manifest.conditioning_rate,
                ));
                continue;
            }
            let before = &common[change.len()..change.len() + tensor.values()];
            change.extend(
                before
                    .iter()
                    .zip(trained.by_ref())
                    .map(|(before, after)| f64::from(*after) - f64::from(*before)),
            );
        }
        if change.len() != common.len() || trained.next().is_some() {
            return Err(RoundError::NotSummable(
                "the trainer returned a model of another size".into(),
            )
            .into());
        }
        let own = UpdateCounters {
            contributions: 1,
            saturated: 0,
        };
        self.contribute(&change, &own.write())
    }

    /// The evaluation: confusion matrix, losses, training steps.
    pub(super) fn contribute_evaluation(
        &mut self,
        counts: &EvaluatedCounts,
    ) -> Result<(), StepError> {
        let Stage::Keyed { member, .. } = &self.stage else {
            return Ok(());
        };
        let own = counts.counters(member.training_record);
        self.contribute(&[], &own.write())
    }

    /// Quantises, masks, shares, seals and signs; journals before anything leaves (PROTOCOL.md 3.5).
    fn contribute(&mut self, values: &[f64], counters: &[u64]) -> Result<(), StepError> {
        let not_summable = |error: sealed_sum::SumError| RoundError::NotSummable(error.to_string());
        let Stage::Keyed { run, keys, member } = &mut self.stage else {
            return Ok(());
        };
        let Some(round) = member
            .round
            .as_mut()
            .filter(|round| round.contribution.is_none())
        else {
            return Ok(());
        };
        let (id, joined) = (self.identity.id, keys.joined());
        let purpose = round.header.purpose;
        let shape = run
            .manifest
            .shape(purpose, joined.len())
            .map_err(not_summable)?;
        let clips = if purpose == Purpose::Update {
            member.model.clipped_tensors()
        } else {
            Vec::new()
        };
        let weight = Weight {
            own: run.manifest.weight(id),
            largest: run.manifest.largest_weight(),
        };
        let (mut message, saturation) =
            pack(&shape, values, &clips, weight, counters).map_err(not_summable)?;
        if saturation.values > 0 {
            // The number of saturated values is itself a counter of the sum.
            let own = UpdateCounters {
                contributions: 1,
                saturated: saturation.values,
            };
            let counters = own.write();
            (message, _) = pack(&shape, values, &clips, weight, &counters).map_err(not_summable)?;
        }

        let seed = Seed::generate();
        let attempt = 0;
        self.journal.record_seed(&round.hash, attempt, &seed)?;
        let (group, _) = keys.group_key().ok_or(RoundError::OtherRound {
            message: "a contribution",
        })?;
        let sum = sealed_sum::Round {
            ring: &self.ring,
            header_hash: round.hash.as_bytes(),
            shape: &shape,
            threshold: self.identity.roster.threshold(),
            tag_key: &TagKey::derive(group, round.hash.as_bytes()),
        };
        let sealed =
            sealed_sum::seal(&sum, &joined, id, attempt, &seed, &message).map_err(not_summable)?;
        drop(message);

        let chunks_root = chunks_root(&sealed.chunks);
        let mut boxes = Vec::with_capacity(joined.len() - 1);
        let mut own_share = None;
        for (to, share) in sealed.shares {
            if to == id {
                own_share = Some(share);
                continue;
            }
            let pair = keys.pair_key(to).ok_or(RoundError::NotJoined { id: to })?;
            let key = box_key(pair, id, to, &round.hash, attempt, &chunks_root);
            boxes.push(ShareBox {
                to: Id(to),
                sealed: Bytes(super::aead::seal_once(key, share.to_bytes())),
            });
        }
        let commit = match purpose {
            Purpose::Update => commit(keys.group_key(), &member.model_hash, member.model.clips()),
            Purpose::Stats | Purpose::Evaluation => ClipCommit::NONE,
        };
        let manifest = ContributionManifest {
            header: round.hash,
            id: Id(id),
            attempt,
            chunks_root,
            boxes_root: boxes_root(&boxes),
            commit,
        };
        let signed = Signed::sign(&manifest, &self.identity.key);
        let digest = signed.digest();
        let contribution = Contribution {
            manifest: signed,
            boxes: List(boxes),
            chunks: Bytes(sealed.chunks),
        };
        let blob: Arc<[u8]> = codec::encode(&contribution).into();
        self.journal.record_blob(&round.hash, &blob)?;

        if let Some(share) = own_share {
            round.keep_share(id, digest, commit, share);
        }
        round.contribution = Some(OwnContribution { digest, blob });
        let number = round.header.round;
        self.outputs.extend(round.upload());
        self.event(VaultEvent::Sealed {
            round: number,
            purpose,
            saturated: saturation.values,
        });
        self.acknowledge()
    }

    /// Opens a forwarded box at once and keeps the share; the first valid one of a contributor wins.
    pub(super) fn take_box(&mut self, forward: &BoxForward) -> Result<(), StepError> {
        let Stage::Keyed { keys, member, .. } = &mut self.stage else {
            return Ok(());
        };
        let Some(round) = &mut member.round else {
            return Err(RoundError::OtherRound { message: "a box" }.into());
        };
        let id = self.identity.id;
        let manifest = check_forward(
            forward,
            id,
            &round.hash,
            &keys.joined(),
            &self.identity.roster,
        )?;
        let from = manifest.id.0;
        let digest = forward.manifest.digest();
        match round.boxes.get(&from) {
            // Answered: shares of contributors outside U were erased and do not come back.
            _ if round.answer.is_some() => return self.acknowledge(),
            Some(held) if held.digest == digest => return self.acknowledge(),
            Some(_) => {
                return Err(RoundError::Second {
                    id: from,
                    message: "box",
                }
                .into());
            }
            None => {}
        }
        let pair = keys
            .pair_key(from)
            .ok_or(RoundError::NotJoined { id: from })?;
        let key = box_key(
            pair,
            from,
            id,
            &round.hash,
            manifest.attempt,
            &manifest.chunks_root,
        );
        let plain = super::aead::open(&key, &forward.sealed.0)
            .map_err(|_| RoundError::BoxDoesNotOpen { id: from })?;
        let share =
            Share::from_bytes(&plain).map_err(|_| RoundError::BoxDoesNotOpen { id: from })?;
        round.keep_share(from, digest, manifest.commit, share);
        self.acknowledge()
    }

    /// Tells the coordinator whose boxes we have opened, and answers for the shares in them.
    pub(super) fn acknowledge(&mut self) -> Result<(), StepError> {
        let Stage::Keyed { member, .. } = &self.stage else {
            return Ok(());
        };
        let Some(round) = &member.round else {
            return Ok(());
        };
        let ack = BoxAck::new(round.hash, self.identity.id, &round.answers);
        let signed = Signed::sign(&ack, &self.identity.key);
        self.send(ToCoordinator::BoxAck(signed));
        Ok(())
    }

    /// Answers for U if all five conditions of PROTOCOL.md 3.6 hold; the whole answer is in the journal before it leaves.
    pub(super) fn take_unlock_request(
        &mut self,
        signed: &Signed<UnlockRequest>,
    ) -> Result<(), StepError> {
        let request = signed
            .verify(self.identity.roster.coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        let Stage::Keyed { run, keys, member } = &mut self.stage else {
            return Ok(());
        };
        // 1. The last header we accepted, on a key that is not spent.
        let Some(round) = &mut member.round else {
            return Err(RoundError::OtherRound {
                message: "an unlock request",
            }
            .into());
        };
        let (id, joined, hash) = (self.identity.id, keys.joined(), round.hash);
        let key = round.header.key();
        if self.journal.is_spent(&key)? {
            return Err(RoundError::KeySpent {
                purpose: key.purpose.name(),
            }
            .into());
        }
        // 2. Distinct, joined, enough, signed.
        request.check(&hash, &joined, &self.identity.roster)?;
        // 3. Our own entry is our own.
        let own = round.contribution.as_ref().map(|own| own.digest);
        let listed = request
            .contributors
            .iter()
            .find(|contributor| contributor.id.0 == id)
            .map(|contributor| contributor.digest);
        if listed.is_some() && listed != own {
            return Err(RoundError::OwnContributionAltered.into());
        }
        // 4. A valid box of every contributor, made with our clips.
        let expected_commit = match round.header.purpose {
            Purpose::Update => commit(keys.group_key(), &member.model_hash, member.model.clips()),
            Purpose::Stats | Purpose::Evaluation => ClipCommit::NONE,
        };
        for contributor in request.contributors.iter() {
            let id = contributor.id.0;
            let held = round
                .boxes
                .get(&id)
                .filter(|held| held.digest == contributor.digest)
                .ok_or(RoundError::MissingBox { id })?;
            if !crypto::hash::constant_time_eq(held.commit.as_bytes(), expected_commit.as_bytes()) {
                return Err(RoundError::OtherCommit { id }.into());
            }
        }
        // 5. Never another U, never another header on this key; evaluations only over sets that single nobody out.
        let contributors = request.hash();
        if let Some(answer) = self.journal.answer(&key)? {
            if (answer.header, answer.contributors) != (hash, contributors) {
                return Err(RoundError::SecondSet.into());
            }
            let share: Signed<UnlockShare> = codec::decode(&answer.share)
                .map_err(|error| RoundError::from(protocol::identity::SignedError::from(error)))?;
            self.send(ToCoordinator::UnlockShare(share));
            return Ok(());
        }
        let members = request.members();
        if key.purpose == Purpose::Evaluation {
            let (earlier, least) = (
                self.journal.evaluations(&run.manifest.run())?,
                self.identity.roster.min_contributors(),
            );
            if !evaluation_allowed(&members, &earlier, least) {
                return Err(RoundError::EvaluationDifference { least }.into());
            }
        }

        round.boxes.retain(|from, _| members.contains(from));
        let vector = add_shares(round.boxes.values().map(|held| &held.share));
        let (group, _) = keys.group_key().ok_or(RoundError::OtherRound {
            message: "an unlock request",
        })?;
        let key_of_share = unlock_key(group, &round.header.transcript, &hash, &contributors, id);
        let body = UnlockShare {
            header: hash,
            contributors,
            id: Id(id),
            sealed: Bytes(super::aead::seal_once(key_of_share, vector.to_bytes())),
        };
        let share = Signed::sign(&body, &self.identity.key);
        let answer = RecordedAnswer {
            header: hash,
            contributors,
            share: codec::encode(&share),
        };
        if key.purpose == Purpose::Evaluation {
            self.journal
                .record_evaluation(&run.manifest.run(), &members)?;
        }
        self.journal.record_answer(&key, &answer)?;
        round.answer = Some(share.clone());
        self.send(ToCoordinator::UnlockShare(share));
        if own.is_some() && listed.is_none() {
            self.event(VaultEvent::Refused {
                reason: "our complete contribution was left out of the sum".into(),
            });
        }
        Ok(())
    }
}

/// `HKDF(K_ij, 'box' || i || j || hh || attempt || b_root)`.
pub(super) fn box_key(
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

/// `HKDF(G, 'unlock' || T_{r-1} || hh || uh || j)`.
pub(super) fn unlock_key(
    group: &SecretKey32,
    transcript: &Transcript,
    header: &HeaderHash,
    contributors: &ContributorsHash,
    id: HospitalId,
) -> SecretKey32 {
    derive_key(
        group.as_bytes(),
        "unlock",
        &[
            transcript.as_bytes(),
            header.as_bytes(),
            contributors.as_bytes(),
            &[id.get()],
        ],
    )
}

/// `HMAC(G, model_hash || round || c vector)`: shows that all used one clip vector without showing it.
fn commit(
    group: Option<(&SecretKey32, RoundNumber)>,
    model_hash: &ModelHash,
    clips: &[f64],
) -> ClipCommit {
    let Some((group, round)) = group else {
        return ClipCommit::NONE;
    };
    let clips: Vec<u8> = clips.iter().flat_map(|clip| clip.to_le_bytes()).collect();
    let round = round.get().to_le_bytes();
    hmac(group, &[model_hash.as_bytes(), &round, &clips]).into()
}

/// Of a hospital's shuffles and dropout in a learning round: a stream of its own for each, the same whatever else happens. It does not
/// depend on the model, so that runs that differ in the last bit of it can be compared.
pub fn training_seed(
    manifest: &Manifest,
    hospital: HospitalId,
    learning_round: LearningRound,
) -> [u8; 32] {
    let parts: [&[u8]; 2] = [&learning_round.get().to_le_bytes(), &[hospital.get()]];
    *derive_key(&manifest.init_seed, "training", &parts).as_bytes()
}

/// The ratchet steps through every number; a header that skips more than a long run has is not believed.
const MOST_ROUNDS_AT_ONCE: u32 = 4096;
