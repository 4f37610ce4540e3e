//! Opening a sum and moving on (PROTOCOL.md 3.7): the same steps for a vault that took part and for one that missed the round.

use std::{collections::BTreeSet, sync::Arc};

use crypto::{
    hash::{SecretKey32, derive_key, hmac},
    sealed_sum::{
        self, HospitalId, OpenError, OpenFault, OpenedSum, SumShape, TagKey, UnlockVector,
    },
};
use protocol::{
    codec::{self, Id},
    counters::StatsCounters,
    digests::{ContributorsHash, HeaderHash},
    identity::{Signed, SignedError},
    manifest::Purpose,
    message::ToCoordinator,
    roster::Roster,
    round::{
        RoundError,
        contribution::chunks_root,
        header::RoundOpen,
        next_transcript,
        outcome::{Outcome, RoundClosed, RoundFailed},
        unlock::{UnlockRequest, UnlockShare},
    },
};

use super::{Round, WhyNot, unlock::unlock_key};
use crate::{
    journal::Journal,
    vault::{
        OpenedRound, VaultEvent, aead,
        error::StepError,
        hospital::Hospital,
        phase::{Reaction, StepResult},
        session::{Contents, InSession, Session, Stage, with_round},
        statistics::Statistics,
    },
};

/// An outcome whose header and request are in order.
struct CheckedOutcome {
    header: RoundOpen,
    /// hh.
    header_hash: HeaderHash,
    members: BTreeSet<HospitalId>,
    /// uh.
    contributors: ContributorsHash,
    shares: Vec<Signed<UnlockShare>>,
    sum: Vec<u8>,
}

impl InSession {
    /// An outcome has been downloaded: opens the sum, moves the common state and says so. One that does not open is reported to the
    /// coordinator.
    pub(in crate::vault) fn on_outcome<J: Journal>(
        &mut self,
        bytes: &[u8],
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let outcome = self.check_outcome(bytes, hospital)?;
        let group = self.session.keys.group_key();
        let shares = outcome.read_shares(group, &self.session.keys.joined(), hospital.roster());
        let shape = self
            .session
            .run
            .manifest
            .shape(outcome.header.purpose, self.session.keys.joined().len())
            .map_err(|error| RoundError::DoesNotOpen(error.to_string()))?;
        let opened = outcome.open(&shape, &shares, &self.session, hospital);
        outcome.name_wrong_answers(&opened, hospital);
        match opened {
            Ok(opened) => self.close_round(&outcome, opened, &shape, hospital),
            Err(error) => Err(outcome.report_failure(&error, hospital)),
        }
    }

    /// "`Outcome`: RoundOpen, signed UnlockRequest ... A vault that had not seen the round checks the header by 3.3 and the request
    /// by 3.6, point 2, before it opens."
    fn check_outcome<J: Journal>(
        &mut self,
        bytes: &[u8],
        hospital: &Hospital<J>,
    ) -> Result<CheckedOutcome, StepError> {
        let outcome: Outcome =
            codec::decode(bytes).map_err(|error| RoundError::from(SignedError::from(error)))?;
        let header_hash = outcome.header.digest();
        let request: UnlockRequest = outcome
            .request
            .verify(hospital.roster().coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        let joined = self.session.keys.joined();
        request.check(&header_hash, &joined, hospital.roster())?;
        if self.is_in_round(&header_hash) {
            with_round!(&mut self.stage, round => *round = std::mem::take(round).stop_working());
        } else {
            let known = self.stage.statistics_are_known();
            let open = self
                .session
                .accept_header(&outcome.header, known, hospital)?;
            with_round!(&mut self.stage, round => {
                *round = Round::NotContributing(open, WhyNot::TooLate)
            });
        }
        let header = outcome.header.read_unverified();
        Ok(CheckedOutcome {
            header: header.map_err(|error| RoundError::from(SignedError::from(error)))?,
            header_hash,
            members: request.members(),
            contributors: request.hash(),
            shares: outcome.shares.0,
            sum: outcome.sum.0,
        })
    }

    /// Applies what was opened, spends the key on disk, and only then says so.
    fn close_round<J: Journal>(
        &mut self,
        outcome: &CheckedOutcome,
        opened: OpenedSum,
        shape: &SumShape,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let header = &outcome.header;
        let clips = self.session.chain.model.clips().to_vec();
        let learning_round = self.session.chain.learning_round(header.purpose);
        let contents = outcome.contents(&opened, shape, &self.session)?;
        let mean = match &contents {
            Contents::Update(mean) => {
                let contributors = outcome.members.len();
                self.session.chain.apply_update(mean, contributors);
                mean.clone()
            }
            Contents::Statistics(_) | Contents::Evaluation => Arc::default(),
        };
        let sum_root = chunks_root(&outcome.sum);
        self.session.chain.transcript = next_transcript(
            &header.transcript,
            &outcome.header_hash,
            &outcome.contributors,
            &sum_root,
            &self.session.chain.model_hash,
        );
        let closed = outcome.closed(&opened.counters, &self.session, hospital);

        // "and erases seed, shares, blob and the round's keys."
        hospital.journal.settle(&header.key(), &outcome.members)?;
        self.session.keys.advance_to(header.round.next());
        let before = std::mem::replace(&mut self.stage, Stage::BeforeStatistics(Box::default()));
        self.stage = before.after_opening(contents, closed.clone(), &self.session.run);

        hospital.send(ToCoordinator::RoundClosed(closed));
        let chain = &self.session.chain;
        hospital.event(VaultEvent::Opened(Box::new(OpenedRound {
            round: header.round,
            purpose: header.purpose,
            learning_round,
            contributors: outcome.members.iter().copied().collect(),
            sum: Arc::new(opened),
            mean,
            clips,
            model: chain.model.clone(),
            model_hash: chain.model_hash,
            transcript: chain.transcript,
        })));
        Ok(Reaction::Handled)
    }
}

impl CheckedOutcome {
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
    fn open<J>(
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
        sealed_sum::open(&sum, self.members.len(), &self.sum, shares)
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
        hospital: &mut Hospital<J>,
    ) -> StepError {
        let key = self.header.key();
        if let Err(error) = hospital.journal.record_failed_opening(&key, &self.members) {
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
        opened: &OpenedSum,
        shape: &SumShape,
        session: &Session,
    ) -> Result<Contents, RoundError> {
        match self.header.purpose {
            Purpose::Stats => {
                let task = session.run.manifest.task;
                let sums = StatsCounters::read(task, &opened.counters)
                    .map_err(|error| RoundError::DoesNotOpen(error.to_string()))?;
                Ok(Contents::Statistics(Statistics::from(&sums)))
            }
            Purpose::Evaluation => Ok(Contents::Evaluation),
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

    /// "It sends signed `RoundClosed` {hh, uh, `T_r`, `model_hash_after`, result_commit = HMAC(HKDF(G, 'result'), counters as
    /// opened)}".
    fn closed<J>(
        &self,
        counters: &[u64],
        session: &Session,
        hospital: &Hospital<J>,
    ) -> Signed<RoundClosed> {
        let counters: Vec<u8> = counters
            .iter()
            .flat_map(|counter| counter.to_le_bytes())
            .collect();
        let result_key = derive_key(session.keys.group_key().as_bytes(), "result", &[]);
        hospital.sign(&RoundClosed {
            id: Id(hospital.id()),
            header: self.header_hash,
            contributors: self.contributors,
            transcript: session.chain.transcript,
            model_hash: session.chain.model_hash,
            result_commit: hmac(&result_key, &[&counters]).into(),
        })
    }
}
