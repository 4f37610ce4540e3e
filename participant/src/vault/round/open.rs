//! Opening a sum and moving on (PROTOCOL.md 3.7): the same steps for a vault that took part and for one that missed the round.

use std::{collections::BTreeSet, sync::Arc};

use crypto::{
    hash::{SecretKey32, derive_key, hmac},
    sealed_sum::{
        self, HospitalId, Mean, OpenError, OpenFault, OpenedSum, SumShape, TagKey, UnlockVector,
    },
};
use protocol::{
    codec::Id,
    counters::EvaluationCounters,
    digests::{ContributorsHash, HeaderHash},
    identity::{Signed, SignedError},
    labels::Labels,
    manifest::Purpose,
    message::ToCoordinator,
    roster::Roster,
    round::{
        RoundError,
        contribution::chunks_root,
        header::{RoundOpen, SumKey},
        next_transcript,
        outcome::{ReceivedOutcome, RoundClosed, RoundFailed},
        unlock::{UnlockRequest, UnlockShare},
    },
};
use tracing::debug_span;

use super::unlock::unlock_key;
use crate::{
    journal::{Journal, SumOver},
    vault::{
        aead,
        error::StepError,
        hospital::Hospital,
        output::{OpenedRound, VaultEvent},
        session_state::Session,
        statistics::Statistics,
    },
};

/// What an opened sum says, by its purpose.
pub(in crate::vault) enum Contents {
    Statistics(Statistics),
    /// The mean of the contributors' changes of the model.
    Update(Arc<Mean>),
    Evaluation(EvaluationCounters),
}

/// A sum that was opened, and what the vault says of it.
pub(in crate::vault) struct Settled {
    pub(in crate::vault) contents: Contents,
    /// For the coordinator.
    pub(in crate::vault) closed: Signed<RoundClosed>,
    /// For the hospital.
    pub(in crate::vault) opened: OpenedRound,
}

/// An outcome whose header and request are in order.
pub(in crate::vault) struct CheckedOutcome<'a> {
    header: RoundOpen,
    /// hh.
    header_hash: HeaderHash,
    members: BTreeSet<HospitalId>,
    /// uh.
    contributors: ContributorsHash,
    shares: Vec<Signed<UnlockShare>>,
    sum: &'a [u8],
}

impl<'a> CheckedOutcome<'a> {
    /// The header is the one that was accepted, and `request`, which came with it, names a U of this session.
    pub(in crate::vault) fn new(
        outcome: ReceivedOutcome<'a>,
        request: &UnlockRequest,
    ) -> Result<Self, RoundError> {
        Ok(Self {
            header: outcome
                .header
                .read_unverified()
                .map_err(SignedError::from)?,
            header_hash: outcome.header.digest(),
            members: request.members(),
            contributors: request.hash(),
            shares: outcome.shares.0,
            sum: outcome.sum.0,
        })
    }

    /// Opens the sum and applies what it says. What comes of it is said once it is on disk. One that does not open is reported to the
    /// coordinator.
    pub(in crate::vault) fn open<J: Journal>(
        &self,
        sum: &SumOver,
        session: &mut Session,
        hospital: &mut Hospital<J>,
    ) -> Result<Settled, StepError> {
        let group = session.keys.group_key();
        let shares = self.read_shares(group, &session.keys.joined(), hospital.roster());
        let shape = session
            .run
            .manifest
            .shape(self.header.purpose, session.keys.joined().len())
            .map_err(|error| RoundError::DoesNotOpen(error.to_string()))?;
        let (found, needed) = (shares.len(), hospital.roster().threshold());
        if found < needed {
            // Nobody could have opened it: this says nothing of the sum.
            return Err(RoundError::TooFewAnswers { found, needed }.into());
        }
        let opened =
            debug_span!("unmasking").in_scope(|| self.open_sum(&shape, &shares, session, hospital));
        self.name_wrong_answers(&opened, hospital);
        match opened {
            Ok(opened) => {
                let _step = debug_span!("moving").entered();
                Ok(self.close(Arc::new(opened), &shape, session, hospital)?)
            }
            Err(error) => Err(self.report_failure(&error, sum, hospital)),
        }
    }

    /// The key of the sum, and U.
    pub(in crate::vault) fn key_and_members(&self) -> (SumKey, &BTreeSet<HospitalId>) {
        (self.header.key(), &self.members)
    }

    fn close<J>(
        &self,
        opened: Arc<OpenedSum>,
        shape: &SumShape,
        session: &mut Session,
        hospital: &Hospital<J>,
    ) -> Result<Settled, RoundError> {
        let header = &self.header;
        let clips = session.chain.model.clips().to_vec();
        let learning_round = session.chain.learning_round(header.purpose);
        let contents = self.contents(&opened, shape, session)?;
        let mean = match &contents {
            Contents::Update(mean) => {
                session.chain.apply_update(&**mean, &self.members);
                Some(mean.clone())
            }
            Contents::Evaluation(evaluation) => {
                session.record_evaluation(evaluation, &self.members);
                None
            }
            Contents::Statistics(_) => None,
        };
        let sum_root = chunks_root(self.sum);
        session.chain.transcript = next_transcript(
            &header.transcript,
            &self.header_hash,
            &self.contributors,
            &sum_root,
            &session.chain.model_hash,
        );
        let (header_hash, counters) = (self.header_hash, &opened.counters);
        let closed = session.closed(header_hash, self.contributors, counters, hospital);
        session.keys.advance_to(header.round.next());
        let chain = &session.chain;
        let opened = OpenedRound {
            run: header.run,
            round: header.round,
            labels: Labels::of(&session.run.manifest),
            conditioning: session.run.manifest.conditioning,
            form: session.run.manifest.conditioning_form,
            features: session.run.manifest.used_features(),
            purpose: header.purpose,
            learning_round,
            contributors: self.members.iter().copied().collect(),
            sum: opened,
            mean,
            clips,
            kept_round: session.kept_round(),
            best: chain.standing.best(),
            verdict: session.verdict(),
            model: chain.model.clone(),
            model_hash: chain.model_hash,
            transcript: chain.transcript,
        };
        Ok(Settled {
            contents,
            closed,
            opened,
        })
    }

    /// The answers that are their vaults', for this U, and open under the group key. One that is not is no reason to do without the
    /// others.
    fn read_shares(
        &self,
        group: &SecretKey32,
        joined: &[HospitalId],
        roster: &Roster,
    ) -> Vec<(HospitalId, UnlockVector)> {
        let mut seen = BTreeSet::new();
        let mut vectors = Vec::new();
        for signed in &self.shares {
            let Some(share) = self.verified_share(signed, joined, roster) else {
                continue;
            };
            let id = share.id.0;
            if !seen.insert(id) {
                continue;
            }
            let transcript = &self.header.transcript;
            let key = unlock_key(group, transcript, &self.header_hash, &self.contributors, id);
            let vector = aead::open(&key, &share.sealed.0)
                .ok()
                .and_then(|plain| UnlockVector::from_bytes(&plain).ok());
            vectors.extend(vector.map(|vector| (id, vector)));
        }
        vectors
    }

    /// An answer that a vault of this session has signed for this header and this U.
    fn verified_share(
        &self,
        signed: &Signed<UnlockShare>,
        joined: &[HospitalId],
        roster: &Roster,
    ) -> Option<UnlockShare> {
        let id = signed.read_unverified().ok()?.id.0;
        let peer = roster.member(id).filter(|_| joined.contains(&id))?;
        let share = signed
            .verify(&peer.signing_key, format_args!("hospital {id}"))
            .ok()?;
        let is_for_this_sum =
            share.header == self.header_hash && share.contributors == self.contributors;
        is_for_this_sum.then_some(share)
    }

    /// "open >= t shares ... check every M < 2^48 and every |E| <= 32|U|; split M into fields; check every field ..., the tag": all in
    /// [`sealed_sum::open`], which tries "another t-subset if more shares are at hand".
    fn open_sum<J>(
        &self,
        shape: &SumShape,
        shares: &[(HospitalId, UnlockVector)],
        session: &Session,
        hospital: &Hospital<J>,
    ) -> Result<OpenedSum, OpenError> {
        let sum = sealed_sum::Round {
            ring: &hospital.ring,
            header_hash: self.header_hash.as_bytes(),
            shape,
            threshold: hospital.roster().threshold(),
            tag_key: &TagKey::derive(session.keys.group_key(), self.header_hash.as_bytes()),
        };
        sealed_sum::open(&sum, self.members.len(), self.sum, shares)
    }

    /// Whose answers do not belong to those of the others, whether the sum opened or not.
    fn name_wrong_answers<J>(
        &self,
        opened: &Result<OpenedSum, OpenError>,
        hospital: &mut Hospital<J>,
    ) {
        let wrong = match opened {
            Ok(opened) => &opened.wrong_answers,
            Err(error) => &error.wrong_answers,
        };
        if wrong.is_empty() {
            return;
        }
        let hospitals = wrong
            .iter()
            .filter_map(|&id| hospital.roster().member(id))
            .map(|member| (member.id, member.name.clone()))
            .collect();
        hospital.event(VaultEvent::WrongAnswers {
            round: self.header.round,
            hospitals,
        });
    }

    /// "Any failure: reject, keep the old model, ... report, then RoundFailed." It counts as opened: whoever knows what was wrong with
    /// it can still use it.
    fn report_failure<J: Journal>(
        &self,
        error: &OpenError,
        sum: &SumOver,
        hospital: &mut Hospital<J>,
    ) -> StepError {
        if let Err(error) = hospital.journal.record_failed_opening(sum) {
            return error.into();
        }
        let failed = hospital.sign(&RoundFailed {
            id: Id(hospital.id()),
            header: self.header_hash,
            contributors: self.contributors,
        });
        hospital.send(ToCoordinator::RoundFailed(failed));
        let reason = if error.fault == OpenFault::Tag {
            RoundError::Altered
        } else {
            RoundError::DoesNotOpen(error.to_string())
        };
        reason.into()
    }

    /// What the sum says. "Mean = `step_l` * (sum u - |U|*2^(B-1)) * omega_max / (sum of omega over U)" (PROTOCOL.md 3.4).
    fn contents(
        &self,
        opened: &Arc<OpenedSum>,
        shape: &SumShape,
        session: &Session,
    ) -> Result<Contents, RoundError> {
        match self.header.purpose {
            Purpose::Stats => {
                let sums = session
                    .run
                    .manifest
                    .read_stats(&opened.counters)
                    .map_err(|error| RoundError::DoesNotOpen(error.to_string()))?;
                Ok(Contents::Statistics(Statistics::from(&sums)))
            }
            Purpose::Evaluation => EvaluationCounters::read(&opened.counters)
                .map(Contents::Evaluation)
                .map_err(|error| RoundError::DoesNotOpen(error.to_string())),
            Purpose::Update => {
                let weights = self
                    .members
                    .iter()
                    .map(|&id| session.run.manifest.weight(id));
                let weight_sum = weights.map(u64::from).sum();
                let clipped = session.chain.model.clipped_tensors();
                opened
                    .mean(shape, &clipped, self.header.largest_weight, weight_sum)
                    .map(|mean| Contents::Update(Arc::new(mean)))
                    .map_err(|error| RoundError::DoesNotOpen(error.to_string()))
            }
        }
    }
}

impl Session {
    /// "It sends signed `RoundClosed` {hh, uh, `T_r`, `model_hash_after`, result_commit = HMAC(HKDF(G, 'result'), counters as
    /// opened), verdict}". A null step has no counters.
    pub(in crate::vault) fn closed<J>(
        &self,
        header: HeaderHash,
        contributors: ContributorsHash,
        counters: &[u64],
        hospital: &Hospital<J>,
    ) -> Signed<RoundClosed> {
        let counters: Vec<u8> = counters
            .iter()
            .flat_map(|counter| counter.to_le_bytes())
            .collect();
        let result_key = derive_key(self.keys.group_key().as_bytes(), "result", &[]);
        hospital.sign(&RoundClosed {
            id: Id(hospital.id()),
            header,
            contributors,
            transcript: self.chain.transcript,
            model_hash: self.chain.model_hash,
            result_commit: hmac(&result_key, &[&counters]).into(),
            verdict: self.verdict(),
        })
    }
}
