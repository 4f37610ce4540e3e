//! Opening a sum and moving on (PROTOCOL.md 3.7): the same steps for a vault that took part and for one that missed the round.

use std::{collections::BTreeSet, sync::Arc};

use crypto::{
    hash::{derive_key, hmac},
    sealed_sum::{self, HospitalId, OpenFault, TagKey, UnlockVector},
};
use protocol::{
    codec::{self, Id},
    counters::StatsCounters,
    identity::{Signed, SignedError},
    manifest::Purpose,
    message::ToCoordinator,
    round::{
        RoundError,
        contribution::chunks_root,
        next_transcript,
        outcome::{Outcome, RoundClosed, RoundFailed},
    },
};

use super::{
    OpenedRound, Stage, StepError, Vault, VaultError, VaultEvent, VaultOutput, round::unlock_key,
    statistics::Statistics,
};
use crate::journal::Journal;

impl<J: Journal> Vault<J> {
    /// An outcome has been downloaded: opens the sum, moves the common state and says so.
    ///
    /// # Errors
    /// [`VaultError`] when the vault cannot go on; an outcome that does not stand is refused with an event, one that does not open is
    /// reported to the coordinator.
    pub fn handle_outcome(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        self.in_round(|vault| vault.take_outcome(bytes))
    }

    fn take_outcome(&mut self, bytes: &[u8]) -> Result<(), StepError> {
        let outcome: Outcome =
            codec::decode(bytes).map_err(|error| RoundError::from(SignedError::from(error)))?;
        let roster = self.identity.roster.clone();
        let header_hash = outcome.header.digest();
        let request = outcome
            .request
            .verify(roster.coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        let Stage::Keyed { keys, .. } = &self.stage else {
            return Err(RoundError::OtherRound {
                message: "an outcome",
            }
            .into());
        };
        let joined = keys.joined();
        request.check(&header_hash, &joined, &roster)?;
        let members = request.members();
        if !self.is_in_round(&header_hash) {
            // A round we were not there for: its header is checked as if it opened now.
            self.accept_header(&outcome.header)?;
        }
        let Stage::Keyed { run, keys, member } = &mut self.stage else {
            return Ok(());
        };
        let Some(round) = &mut member.round else {
            return Ok(());
        };
        round.skip_work();
        let header = round.header.clone();

        let contributors = request.hash();
        let (group, _) = keys.group_key().ok_or(RoundError::OtherRound {
            message: "an outcome",
        })?;
        let mut seen_ids = BTreeSet::new();
        let mut shares: Vec<(HospitalId, UnlockVector)> = Vec::new();
        for signed in outcome.shares.iter() {
            // One share that does not stand is no reason to do without the others.
            let Ok(Id(id)) = signed.read_unverified().map(|share| share.id) else {
                continue;
            };
            let Some(peer) = roster.member(id).filter(|_| joined.contains(&id)) else {
                continue;
            };
            let Ok(body) = signed.verify(&peer.signing_key, format_args!("hospital {id}")) else {
                continue;
            };
            if body.header != header_hash
                || body.contributors != contributors
                || !seen_ids.insert(id)
            {
                continue;
            }
            let key = unlock_key(group, &header.transcript, &header_hash, &contributors, id);
            let Ok(plain) = super::aead::open(&key, &body.sealed.0) else {
                continue;
            };
            if let Ok(vector) = UnlockVector::from_bytes(&plain) {
                shares.push((id, vector));
            }
        }
        let shape = run
            .manifest
            .shape(header.purpose, joined.len())
            .map_err(|error| RoundError::DoesNotOpen(error.to_string()))?;
        let sum = sealed_sum::Round {
            ring: &self.ring,
            header_hash: header_hash.as_bytes(),
            shape: &shape,
            threshold: roster.threshold(),
            tag_key: &TagKey::derive(group, header_hash.as_bytes()),
        };
        let opened = sealed_sum::open(&sum, members.len(), &outcome.sum.0, &shares);
        let wrong_answers = match &opened {
            Ok(opened) => &opened.wrong_answers,
            Err(error) => &error.wrong_answers,
        };
        if !wrong_answers.is_empty() {
            let hospitals = wrong_answers.iter().filter_map(|&id| roster.member(id));
            let event = VaultEvent::WrongAnswers {
                round: header.round,
                hospitals: hospitals
                    .map(|member| (member.id, member.name.clone()))
                    .collect(),
            };
            self.outputs.push_back(VaultOutput::Event(event));
        }
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // It counts as opened: whoever knows what was wrong with it can still use it.
                if header.purpose == Purpose::Evaluation {
                    self.journal
                        .record_evaluation(&run.manifest.run(), &members)?;
                }
                let failed = RoundFailed {
                    id: Id(self.identity.id),
                    header: header_hash,
                    contributors,
                };
                let signed = Signed::sign(&failed, &self.identity.key);
                self.send(ToCoordinator::RoundFailed(signed));
                let reason = match error.fault {
                    OpenFault::Tag => RoundError::Altered,
                    _ => RoundError::DoesNotOpen(error.to_string()),
                };
                return Err(reason.into());
            }
        };

        let clips = member.model.clips().to_vec();
        let learning_round = member.learning_round(header.purpose);
        let mut mean = Vec::new();
        match header.purpose {
            Purpose::Stats => {
                let sums = StatsCounters::read(run.manifest.task, &opened.counters)
                    .map_err(|error| RoundError::DoesNotOpen(error.to_string()))?;
                member.statistics = Some(Statistics::from(&sums));
            }
            Purpose::Update => {
                let weight_sum = members
                    .iter()
                    .map(|&id| u64::from(run.manifest.weight(id)))
                    .sum();
                let clipped = member.model.clipped_tensors();
                let opened_mean = opened.mean(&shape, &clipped, header.largest_weight, weight_sum);
                mean = opened_mean.map_err(|error| RoundError::DoesNotOpen(error.to_string()))?;
                member.model.apply_mean(&mean, members.len());
                member.updates = member.updates.next();
                member.model_hash = member.model.hash();
                member.filters = None;
                member.trained = None;
                if let Some(conditioner) = &mut member.conditioner {
                    conditioner.forget_request();
                }
            }
            Purpose::Evaluation => self
                .journal
                .record_evaluation(&run.manifest.run(), &members)?,
        }
        let sum_root = chunks_root(&outcome.sum.0);
        member.transcript = next_transcript(
            &header.transcript,
            &header_hash,
            &contributors,
            &sum_root,
            &member.model_hash,
        );
        let counters: Vec<u8> = opened
            .counters
            .iter()
            .flat_map(|counter| counter.to_le_bytes())
            .collect();
        let result_key = derive_key(group.as_bytes(), "result", &[]);
        let closed = RoundClosed {
            id: Id(self.identity.id),
            header: header_hash,
            contributors,
            transcript: member.transcript,
            model_hash: member.model_hash,
            result_commit: hmac(&result_key, &[&counters]).into(),
        };
        // Seed, shares, blob and keys go with the round.
        self.journal.settle(&header.key())?;
        keys.advance_to(header.round.next());
        member.round = None;
        let event = OpenedRound {
            round: header.round,
            purpose: header.purpose,
            learning_round,
            contributors: members.into_iter().collect(),
            sum: Arc::new(opened),
            mean: Arc::new(mean),
            clips,
            model: member.model.clone(),
            model_hash: member.model_hash,
            transcript: member.transcript,
        };
        let signed = Signed::sign(&closed, &self.identity.key);
        member.closed = Some(signed.clone());
        self.send(ToCoordinator::RoundClosed(signed));
        self.event(VaultEvent::Opened(Box::new(event)));
        Ok(())
    }
}
