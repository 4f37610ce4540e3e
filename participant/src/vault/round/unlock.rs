//! The one answer of a round: the sum of the shares of U, sealed for vaults only (PROTOCOL.md 3.6).

use crypto::{
    hash::{SecretKey32, constant_time_eq, derive_key},
    sealed_sum::{HospitalId, add_shares},
};
use protocol::{
    codec::{self, Bytes, Id},
    digests::{ContributionDigest, ContributorsHash, HeaderHash, Transcript},
    identity::{Signed, SignedError},
    manifest::Purpose,
    message::{RefusedPart, ToCoordinator},
    round::{
        RoundError,
        unlock::{UnlockRequest, UnlockShare, evaluation_allowed, may_be_opened_too},
    },
};

use super::{OpenRound, Round, RoundWork};
use crate::{
    journal::{Journal, RecordedAnswer, SumOver},
    vault::{
        aead,
        error::{Refusal, StepError},
        hospital::Hospital,
        input::InputKind,
        output::VaultEvent,
        policy::RepeatedSums,
        session_state::Session,
        step::{Reaction, StepResult},
    },
};

/// What U says of our own contribution.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnEntry {
    /// It is in U, or we made none.
    InOrder,
    /// We made one, and U goes without it.
    LeftOut,
}

impl<W: RoundWork> Round<W> {
    /// Answers for U if all seven conditions of PROTOCOL.md 3.6 hold; the whole answer is in the journal before it leaves.
    pub(in crate::vault) fn on_unlock_request<J: Journal>(
        &mut self,
        signed: &Signed<UnlockRequest>,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let request = signed
            .verify(hospital.roster().coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        let own = self.own_contribution().map(|own| own.digest);
        let idle = self.wrong_phase(InputKind::UnlockRequest);
        let Some(open) = self.open_round_mut() else {
            return idle;
        };
        // "1. hh is the last header it accepted on its key, and the key is not closed"
        open.check_key_is_open(&hospital.journal)?;
        // "2. ids in U are distinct and joined; |U| >= m_min; every D_i/signature is valid"
        request.check(&open.hash, &session.keys.joined(), hospital.roster())?;
        // "3. if it contributed: its own entry, if present, is its own D_j (absent although fully uploaded: answer, but report it)"
        let own_entry = check_own_entry(&request, own, hospital.id())?;
        // "4. it holds a valid box (hh, i, D_i) for every i in U, and every member's commit equals the one it computes itself"
        open.check_boxes(&request, session)?;
        // "5. it has never answered another U for this hh, nor another header on this key that is not closed ..."
        if let Some(share) = open.earlier_answer(&request, &hospital.journal)? {
            hospital.send(ToCoordinator::UnlockShare(share.clone()));
            *self = std::mem::take(self).answered(share);
            return Ok(Reaction::Handled);
        }
        // "... for an evaluation, the rule of 3.3."
        let sum = session.sum_over(open.header.key(), &request.members(), hospital.roster());
        check_evaluation_rule(&sum, session, hospital)?;
        // "6. no other run has summed the same over other hospitals by fewer than m_min"; "7. the model was not handed over to it"
        let checked =
            check_not_given(&sum, session).and_then(|()| check_other_runs(&sum, hospital));
        if let Err(refused) = checked {
            if let StepError::Refused(reason) = &refused {
                hospital.refuse_part(open.hash, RefusedPart::Answer, reason.to_string());
            }
            return Err(refused);
        }

        let share = open.answer(&request, &sum, session, hospital)?;
        hospital.send(ToCoordinator::UnlockShare(share.clone()));
        if own_entry == OwnEntry::LeftOut {
            hospital.event(VaultEvent::Refused {
                reason: Refusal::LeftOut.to_string(),
            });
        }
        *self = std::mem::take(self).answered(share);
        Ok(Reaction::Handled)
    }
}

impl OpenRound {
    fn check_key_is_open(&self, journal: &impl Journal) -> Result<(), StepError> {
        let key = self.header.key();
        if journal.is_spent(&key)? {
            return Err(RoundError::KeySpent {
                purpose: key.purpose.name(),
            }
            .into());
        }
        Ok(())
    }

    fn check_boxes(&self, request: &UnlockRequest, session: &Session) -> Result<(), RoundError> {
        let expected_commit = self.expected_commit(session);
        for contributor in request.contributors.iter() {
            let id = contributor.id.0;
            let held = self
                .shares
                .get(&id)
                .filter(|held| held.digest == contributor.digest)
                .ok_or(RoundError::MissingBox { id })?;
            if !constant_time_eq(held.commit.as_bytes(), expected_commit.as_bytes()) {
                return Err(RoundError::OtherCommit { id });
            }
        }
        Ok(())
    }

    /// The answer that was given for this U already; an answer for another one, or under another header, is an error.
    fn earlier_answer(
        &self,
        request: &UnlockRequest,
        journal: &impl Journal,
    ) -> Result<Option<Signed<UnlockShare>>, StepError> {
        let Some(answer) = journal.answer(&self.header.key())? else {
            return Ok(None);
        };
        if (answer.header, answer.contributors) != (self.hash, request.hash()) {
            return Err(RoundError::SecondSet.into());
        }
        let share = codec::decode(&answer.share)
            .map_err(|error| RoundError::from(SignedError::from(error)))?;
        Ok(Some(share))
    }

    /// "Answer `UnlockShare`: hh, uh, j, AEAD(key, nonce 0, `V_j`), signature ... The journal holds the **whole UnlockShare** with
    /// (key, hh -> uh), synced, before anything is sent".
    fn answer<J: Journal>(
        &mut self,
        request: &UnlockRequest,
        sum: &SumOver,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> Result<Signed<UnlockShare>, StepError> {
        // "When U is fixed the vault erases the shares of contributors outside U."
        self.shares.retain(|from, _| sum.members.contains(from));
        let vector = add_shares(self.shares.values().map(|held| &held.share));
        let contributors = request.hash();
        let key = unlock_key(
            session.keys.group_key(),
            &self.header.transcript,
            &self.hash,
            &contributors,
            hospital.id(),
        );
        let share = hospital.sign(&UnlockShare {
            header: self.hash,
            contributors,
            id: Id(hospital.id()),
            sealed: Bytes(aead::seal_once(key, vector.to_bytes())),
        });
        let answer = RecordedAnswer {
            header: self.hash,
            contributors,
            share: codec::encode(&share),
        };
        hospital.journal.record_answer(sum, &answer)?;
        Ok(share)
    }
}

fn check_evaluation_rule<J: Journal>(
    sum: &SumOver,
    session: &Session,
    hospital: &Hospital<J>,
) -> Result<(), StepError> {
    if sum.key.purpose != Purpose::Evaluation {
        return Ok(());
    }
    let mut earlier = hospital.journal.evaluations(&sum.key.run)?;
    // Those before this hospital took part are in the state that was handed over to it.
    earlier.extend(session.chain.evaluated.iter().cloned());
    let least = hospital.roster().min_contributors();
    if !evaluation_allowed(&sum.members, &earlier, least) {
        return Err(RoundError::EvaluationDifference { least }.into());
    }
    Ok(())
}

/// A vault that came without anything of the run may have answered for a sum on the model that it was given, or for an evaluation that was
/// never told of, and have lost its journal since: a second answer would be one too many.
fn check_not_given(sum: &SumOver, session: &Session) -> Result<(), StepError> {
    let Some(given) = session.chain.given else {
        return Ok(());
    };
    let is_known = session.chain.evaluated.contains(&sum.members);
    let is_new_evaluation = sum.key.purpose == Purpose::Evaluation && !is_known;
    if given == sum.key.model_hash || is_new_evaluation {
        return Err(RoundError::ModelWasHandedOver.into());
    }
    Ok(())
}

/// The rule of evaluations, across runs: the nonce of a manifest makes every run another one, but not what is summed in it.
fn check_other_runs<J: Journal>(sum: &SumOver, hospital: &Hospital<J>) -> Result<(), StepError> {
    if hospital.consent.policy.repeated_sums == RepeatedSums::Allow {
        return Ok(());
    }
    let journal = &hospital.journal;
    let earlier = journal.same_sums_of_other_runs(&sum.key, &sum.subjects)?;
    let least = hospital.roster().min_contributors();
    let is_allowed = |earlier| may_be_opened_too(&sum.weighted, earlier, least);
    if earlier.iter().all(is_allowed) {
        Ok(())
    } else {
        Err(RoundError::SameSumInAnotherRun { least }.into())
    }
}

fn check_own_entry(
    request: &UnlockRequest,
    own: Option<ContributionDigest>,
    id: HospitalId,
) -> Result<OwnEntry, RoundError> {
    let mut entries = request.contributors.iter();
    let listed = entries.find(|contributor| contributor.id.0 == id);
    match (own, listed) {
        (Some(own), Some(listed)) if listed.digest == own => Ok(OwnEntry::InOrder),
        (_, Some(_)) => Err(RoundError::OwnContributionAltered),
        (Some(_), None) => Ok(OwnEntry::LeftOut),
        (None, None) => Ok(OwnEntry::InOrder),
    }
}

/// `HKDF(G, 'unlock' || T_{r-1} || hh || uh || j)`.
pub(in crate::vault) fn unlock_key(
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
