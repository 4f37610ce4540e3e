//! The round at hand: contributions and acknowledgements while it collects, answers once U is fixed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crypto::sealed_sum::{HospitalId, RunningSum, UNLOCK_BYTES};

use super::{Timestamp, chain::SettledRound};
use protocol::{
    codec::{self, Bytes, Id, List},
    digests::{ClipCommit, HeaderHash, OutcomeName, RoundNumber},
    identity::{Signed, SigningKey},
    manifest::Purpose,
    message::ToVault,
    roster::Roster,
    round::{
        RoundError,
        contribution::{
            BoxAck, BoxForward, check_contribution, chunks_root, contribution_bytes, forwards,
        },
        dealer_check::{Assessment, DealerAnswers},
        header::RoundOpen,
        outcome::{Outcome, outcome_name},
        unlock::{Contributor, UnlockRequest, UnlockShare, choose_contributors},
    },
};

pub(super) struct OngoingRound {
    signed_header: Signed<RoundOpen>,
    header: RoundOpen,
    hash: HeaderHash,
    chunks: usize,
    opened: Timestamp,
    uploads: BTreeMap<HospitalId, Upload>,
    answers: DealerAnswers,
    /// Hospitals that have said, or shown, that they will not contribute.
    excused: BTreeSet<HospitalId>,
    phase: Phase,
}

enum Phase {
    Collecting,
    Unlocking(Box<Unlocking>),
}

/// U is fixed: its sum, and the answers to it.
struct Unlocking {
    request: UnlockRequest,
    signed_request: Signed<UnlockRequest>,
    sum: Vec<u8>,
    /// Vaults whose answers would be wrong, as the dealer check has shown.
    ignored: BTreeSet<HospitalId>,
    shares: BTreeMap<HospitalId, Signed<UnlockShare>>,
    /// When the answers came to suffice.
    enough_since: Option<Timestamp>,
}

struct Upload {
    contributor: Contributor,
    commit: ClipCommit,
    chunks: Vec<u8>,
    boxes: BTreeMap<HospitalId, BoxForward>,
    arrived: Timestamp,
}

impl OngoingRound {
    pub(super) fn new(
        signed_header: Signed<RoundOpen>,
        header: RoundOpen,
        chunks: usize,
        opened: Timestamp,
    ) -> Self {
        Self {
            hash: signed_header.digest(),
            signed_header,
            header,
            chunks,
            opened,
            uploads: BTreeMap::new(),
            answers: DealerAnswers::default(),
            excused: BTreeSet::new(),
            phase: Phase::Collecting,
        }
    }

    pub(super) fn number(&self) -> RoundNumber {
        self.header.round
    }

    pub(super) fn purpose(&self) -> Purpose {
        self.header.purpose
    }

    pub(super) fn is_of(&self, header: &HeaderHash) -> bool {
        self.hash == *header
    }

    pub(super) fn is_collecting(&self) -> bool {
        matches!(self.phase, Phase::Collecting)
    }

    /// No longer waits for this hospital's contribution; true when that is news.
    pub(super) fn excuse(&mut self, id: HospitalId) -> bool {
        self.excused.insert(id)
    }

    pub(super) fn is_excused(&self, id: HospitalId) -> bool {
        self.excused.contains(&id)
    }

    pub(super) fn has_upload(&self, id: HospitalId) -> bool {
        self.uploads.contains_key(&id)
    }

    pub(super) fn check_upload(
        &self,
        from: HospitalId,
        bytes: u64,
        joined: &[HospitalId],
    ) -> Result<(), RoundError> {
        if !self.is_collecting() {
            return Err(RoundError::OtherRound {
                message: "an upload",
            });
        }
        if !joined.contains(&from) {
            return Err(RoundError::NotJoined { id: from });
        }
        let expected = contribution_bytes(self.chunks, joined.len());
        if bytes != expected as u64 {
            let found = usize::try_from(bytes).unwrap_or(usize::MAX);
            return Err(RoundError::WrongLength {
                id: from,
                part: "bytes",
                found,
                expected,
            });
        }
        Ok(())
    }

    pub(super) fn take_upload(
        &mut self,
        from: HospitalId,
        bytes: &[u8],
        joined: &[HospitalId],
        roster: &Roster,
        now: Timestamp,
    ) -> Result<(), RoundError> {
        self.check_upload(from, bytes.len() as u64, joined)?;
        let (contribution, manifest) =
            check_contribution(bytes, from, &self.hash, self.chunks, joined, roster)?;
        let contributor = Contributor {
            id: Id(from),
            digest: contribution.manifest.digest(),
            signature: *contribution.manifest.signature(),
        };
        if let Some(known) = self.uploads.get(&from) {
            let same = known.contributor.digest == contributor.digest;
            return if same {
                Ok(())
            } else {
                Err(RoundError::Second {
                    id: from,
                    message: "contribution",
                })
            };
        }
        let boxes = forwards(&contribution).collect();
        let upload = Upload {
            contributor,
            commit: manifest.commit,
            chunks: contribution.chunks.0,
            boxes,
            arrived: now,
        };
        self.uploads.insert(from, upload);
        Ok(())
    }

    pub(super) fn take_ack(
        &mut self,
        from: HospitalId,
        ack: &Signed<BoxAck>,
        roster: &Roster,
    ) -> Result<(), RoundError> {
        let member = roster
            .member(from)
            .ok_or(RoundError::NotJoined { id: from })?;
        let body = ack.verify(&member.signing_key, format_args!("hospital {from}"))?;
        if body.header != self.hash || body.id.0 != from {
            return Err(RoundError::OtherRound {
                message: "an acknowledgement",
            });
        }
        self.answers.take(&body)
    }

    pub(super) fn take_unlock_share(
        &mut self,
        from: HospitalId,
        share: Signed<UnlockShare>,
        roster: &Roster,
        now: Timestamp,
    ) -> Result<(), RoundError> {
        let member = roster
            .member(from)
            .ok_or(RoundError::NotJoined { id: from })?;
        let body = share.verify(&member.signing_key, format_args!("hospital {from}"))?;
        let Phase::Unlocking(unlocking) = &mut self.phase else {
            return Err(RoundError::OtherRound {
                message: "an unlock share",
            });
        };
        if body.header != self.hash
            || body.contributors != unlocking.request.hash()
            || body.id.0 != from
        {
            return Err(RoundError::OtherRound {
                message: "an unlock share",
            });
        }
        if body.sealed.0.len() != SEALED_SHARE_BYTES {
            let found = body.sealed.0.len();
            return Err(RoundError::WrongLength {
                id: from,
                part: "bytes in its unlock share",
                found,
                expected: SEALED_SHARE_BYTES,
            });
        }
        if unlocking.ignored.contains(&from) {
            return Ok(());
        }
        unlocking.shares.entry(from).or_insert(share);
        if unlocking.shares.len() >= roster.threshold() {
            unlocking.enough_since.get_or_insert(now);
        }
        Ok(())
    }

    /// Every upload's box was opened by every one of these vaults.
    pub(super) fn is_acknowledged_by(&self, vaults: &[HospitalId]) -> bool {
        vaults
            .iter()
            .all(|&vault| self.uploads.keys().all(|&from| self.holds(vault, from)))
    }

    /// Until when missing acknowledgements are waited for.
    pub(super) fn acknowledgement_deadline(&self, silence_secs: u32) -> Timestamp {
        let last = self
            .uploads
            .values()
            .map(|upload| upload.arrived)
            .max()
            .unwrap_or(self.opened);
        last.after_secs(silence_secs)
    }

    pub(super) fn patience_ends(&self, silence_secs: u32) -> Option<Timestamp> {
        match &self.phase {
            Phase::Collecting => Some(self.acknowledgement_deadline(silence_secs)),
            Phase::Unlocking(unlocking) => unlocking
                .enough_since
                .map(|since| since.after_secs(GRACE_FOR_MORE_ANSWERS_SECS)),
        }
    }

    /// Whether an answer of the dealer check that may still come could tell who is wrong.
    pub(super) fn is_in_doubt(&self, vaults: &[HospitalId], threshold: usize) -> bool {
        self.answers.would_gain(&self.uploaded(), vaults, threshold)
    }

    /// What the dealer check says of all that is uploaded.
    pub(super) fn assess(&self, threshold: usize, least: usize) -> Assessment {
        self.answers.assess(&self.uploaded(), threshold, least)
    }

    pub(super) fn choose(
        &self,
        vaults: &[HospitalId],
        threshold: usize,
        assessment: &Assessment,
    ) -> BTreeSet<HospitalId> {
        let uploads = self
            .uploads
            .iter()
            .filter(|(id, _)| !assessment.left_out().contains(id))
            .map(|(&id, upload)| (id, upload.commit))
            .collect();
        choose_contributors(
            &uploads,
            |vault, from| self.holds(vault, from) && !assessment.deviates(vault, from),
            vaults,
            threshold,
        )
    }

    /// Fixes U: adds its contributions and lets go of all chunks. Vaults whose shares of it the assessment finds wrong are not heard.
    pub(super) fn fix(
        &mut self,
        contributors: &BTreeSet<HospitalId>,
        vaults: &[HospitalId],
        assessment: &Assessment,
        key: &SigningKey,
    ) {
        let mut sum = RunningSum::new(self.chunks);
        for (id, upload) in &mut self.uploads {
            let chunks = std::mem::take(&mut upload.chunks);
            if contributors.contains(id) {
                sum.add(&chunks)
                    .expect("every word was checked when the upload arrived");
            }
        }
        let members = contributors
            .iter()
            .map(|id| self.uploads[id].contributor.clone())
            .collect();
        let request = UnlockRequest {
            header: self.hash,
            contributors: members,
        };
        let signed_request = Signed::sign(&request, key);
        let deviates = |vault: &HospitalId| {
            contributors
                .iter()
                .any(|&from| assessment.deviates(*vault, from))
        };
        let ignored = vaults.iter().copied().filter(deviates).collect();
        self.phase = Phase::Unlocking(Box::new(Unlocking {
            request,
            signed_request,
            sum: sum.into_bytes(),
            ignored,
            shares: BTreeMap::new(),
            enough_since: None,
        }));
    }

    /// The outcome, once `threshold` have answered and either all `present` vaults have or a moment has passed: answers to spare let
    /// the vaults open the sum when one of them is wrong.
    pub(super) fn outcome(
        &self,
        threshold: usize,
        present: &[HospitalId],
        now: Timestamp,
    ) -> Option<(OutcomeName, Arc<[u8]>, SettledRound)> {
        let Phase::Unlocking(unlocking) = &self.phase else {
            return None;
        };
        let Unlocking {
            request,
            signed_request,
            sum,
            ignored,
            shares,
            enough_since,
        } = unlocking.as_ref();
        let waited = now >= (*enough_since)?.after_secs(GRACE_FOR_MORE_ANSWERS_SECS);
        let all_answered = present
            .iter()
            .all(|id| shares.contains_key(id) || ignored.contains(id));
        if shares.len() < threshold || !(waited || all_answered) {
            return None;
        }
        let sum_root = chunks_root(sum);
        let outcome = Outcome {
            header: self.signed_header.clone(),
            request: signed_request.clone(),
            shares: List(shares.values().cloned().collect()),
            sum: Bytes(sum.clone()),
        };
        let name = outcome_name(&self.hash, &request.hash());
        let settled = SettledRound::new(
            name,
            self.signed_header.clone(),
            self.header.clone(),
            signed_request.clone(),
            request,
            sum_root,
        );
        Some((name, codec::encode(&outcome).into(), settled))
    }

    /// What `to` needs of this round beyond the header: boxes it has not been sent, then the request once U is fixed.
    pub(super) fn header_message(&self) -> (HeaderHash, ToVault) {
        (self.hash, ToVault::RoundOpen(self.signed_header.clone()))
    }

    pub(super) fn boxes_for(
        &self,
        to: HospitalId,
    ) -> impl Iterator<Item = (HospitalId, &BoxForward)> {
        self.uploads
            .iter()
            .filter_map(move |(&from, upload)| upload.boxes.get(&to).map(|forward| (from, forward)))
    }

    pub(super) fn request_message(&self) -> Option<ToVault> {
        match &self.phase {
            Phase::Collecting => None,
            Phase::Unlocking(unlocking) => {
                Some(ToVault::UnlockRequest(unlocking.signed_request.clone()))
            }
        }
    }

    fn uploaded(&self) -> BTreeSet<HospitalId> {
        self.uploads.keys().copied().collect()
    }

    /// Whether `vault` holds the share of `from`.
    fn holds(&self, vault: HospitalId, from: HospitalId) -> bool {
        self.answers.has(vault, from)
    }
}

/// How long answers beyond the threshold are waited for.
const GRACE_FOR_MORE_ANSWERS_SECS: u32 = 1;

/// An unlock vector and the tag of its AEAD.
const SEALED_SHARE_BYTES: usize = UNLOCK_BYTES + 16;
