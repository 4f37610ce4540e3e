//! A round is open: contributions and acknowledgements come in, until nobody is waited for (PROTOCOL.md 3.5, 3.6).
//!
//! Each contribution is added when it arrives. One that does not get into U is read again, and subtracted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crypto::sealed_sum::{CHUNK_BYTES, HospitalId, RunningSum};
use protocol::{
    codec::{Id, Text},
    digests::{ChunksRoot, ClipCommit, HeaderHash},
    identity::Signed,
    manifest::Purpose,
    message::{RefusedPart, ToVault},
    round::{
        RoundError,
        contribution::{
            BoxAck, BoxForward, CheckedContribution, check_contribution, chunks_root,
            contribution_bytes, forwards,
        },
        dealer_check::{Assessment, DealerAnswers},
        header::RoundOpen,
        unlock::{Contributor, UnlockRequest, choose_contributors},
    },
};

use super::{Over, Phase, Retry, Step, Unlocking, Waiting};
use crate::machine::{
    Event, Fact, FixedRecord, MachineError, Output, Timestamp,
    context::Context,
    head::Head,
    input::{Envelope, RoundMessage},
    kept_sum,
    peer::Peer,
    plan::PlannedSum,
    reaction::{REPEATED, Reaction, readable},
    session::Session,
    share_boxes::ShareBoxes,
    upload::UploadedBytes,
    waiting_report::{Part, Wait},
};

pub(in crate::machine) struct Collecting {
    pub(super) session: Box<Session>,
    pub(super) round: Box<OpenRound>,
    pub(super) planned: PlannedSum,
    opened: Timestamp,
    /// How often this sum was tried before.
    failures: u32,
    uploads: BTreeMap<HospitalId, Upload>,
    /// Of all of them.
    sum: RunningSum,
    answers: DealerAnswers,
    /// Hospitals that have said, or shown, that they will not contribute.
    excused: BTreeSet<HospitalId>,
}

/// A header that is out, until its round is published or given up.
pub(in crate::machine) struct OpenRound {
    pub(super) signed: Signed<RoundOpen>,
    pub(in crate::machine) header: RoundOpen,
    /// hh.
    pub(in crate::machine) hash: HeaderHash,
    /// Of each contribution, and of the sum.
    pub(in crate::machine) chunks: usize,
    boxes: ShareBoxes,
}

/// What is known of a contribution that was added.
struct Upload {
    contributor: Contributor,
    commit: ClipCommit,
    chunks_root: ChunksRoot,
    bytes: Box<dyn UploadedBytes>,
    arrived: Timestamp,
}

/// Why a round gets no sum, and what helps if that happens again and again.
struct GivenUp {
    reason: String,
    remedy: &'static str,
}

/// Whose contributions are summed, and what the dealer check says of all.
struct Choice {
    contributors: BTreeSet<HospitalId>,
    assessment: Assessment,
}

impl OpenRound {
    pub(super) fn new(signed: Signed<RoundOpen>, header: RoundOpen, chunks: usize) -> Box<Self> {
        Box::new(Self {
            hash: signed.digest(),
            signed,
            header,
            chunks,
            boxes: ShareBoxes::default(),
        })
    }

    /// Header and boxes that a hospital's connection has not carried yet.
    pub(super) fn owed(&self, to: HospitalId, peer: &mut Peer) -> Vec<ToVault> {
        let mut owed = Vec::new();
        if peer.sent.header(self.hash) {
            owed.push(ToVault::RoundOpen(self.signed.clone()));
        }
        let boxes = self.boxes.owed(to, peer.sent.next_box());
        owed.extend(boxes.cloned().map(ToVault::BoxForward));
        owed
    }

    /// Whether a message belongs to this round, as it says itself.
    pub(super) fn is_round_of(&self, message: &RoundMessage) -> bool {
        message.header() == Ok(self.hash)
    }

    /// The chunks of a contribution, which are its end; none if there are fewer.
    fn chunks_of<'a>(&self, contribution: &'a [u8]) -> Option<&'a [u8]> {
        let head = contribution.len().checked_sub(self.chunks * CHUNK_BYTES)?;
        contribution.get(head..)
    }

    /// Where the session stands while this round is open.
    pub(super) fn head(&self) -> Head {
        Head {
            transcript: self.header.transcript,
            model_hash: self.header.model_hash,
        }
    }
}

impl Collecting {
    pub(super) fn new(
        session: Box<Session>,
        round: Box<OpenRound>,
        planned: PlannedSum,
        failures: u32,
        opened: Timestamp,
    ) -> Self {
        Self {
            session,
            planned,
            opened,
            failures,
            uploads: BTreeMap::new(),
            sum: RunningSum::new(round.chunks),
            round,
            answers: DealerAnswers::default(),
            excused: BTreeSet::new(),
        }
    }

    pub(super) fn owed(&self, to: HospitalId, peer: &mut Peer) -> Vec<ToVault> {
        self.round.owed(to, peer)
    }

    pub(super) fn on_round<R>(
        &mut self,
        context: &mut Context<R>,
        envelope: Envelope,
        message: RoundMessage,
    ) -> Result<Reaction, MachineError> {
        let from = envelope.from;
        if !self.round.is_round_of(&message) {
            return self.session.on_late(context, from, &message);
        }
        match message {
            RoundMessage::HeaderRefused {
                part: part @ (RefusedPart::Header | RefusedPart::Contribution),
                reason,
                ..
            } => Ok(self.on_header_refused(context, from, part, &reason)),
            RoundMessage::BoxAck(ack) => self.on_ack(context, from, &ack),
            RoundMessage::UnlockShare(_)
            | RoundMessage::HeaderRefused {
                part: RefusedPart::Answer | RefusedPart::NullStep,
                ..
            } => Err(envelope.wrong_phase()),
        }
    }

    /// A vault that does not accept a header, or has nothing that can be summed, says so and is not waited for.
    fn on_header_refused<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        part: RefusedPart,
        reason: &Text,
    ) -> Reaction {
        if !self.excused.insert(from) {
            return Reaction::Ignored(REPEATED);
        }
        context.event(Event::Declined {
            hospital: from,
            round: self.round.header.round,
            part,
            reason: readable(reason),
        });
        Reaction::Handled
    }

    /// PROTOCOL.md 3.5: "BoxAck (vault -> coordinator, signed): hh, contributors whose box opened correctly, each with the answer of
    /// the dealer check."
    fn on_ack<R>(
        &mut self,
        context: &Context<R>,
        from: HospitalId,
        ack: &Signed<BoxAck>,
    ) -> Result<Reaction, MachineError> {
        let key = &context.member(from)?.signing_key;
        let body = ack
            .verify(key, format_args!("hospital {from}"))
            .map_err(MachineError::round(from))?;
        if body.id.0 != from {
            return Err(MachineError::round(from)(RoundError::OtherRound {
                message: "an acknowledgement",
            }));
        }
        self.answers
            .take(&body)
            .map_err(MachineError::round(from))?;
        self.round.boxes.drop_acknowledged(from, &body);
        Ok(Reaction::Handled)
    }

    pub(super) fn check_upload(&self, from: HospitalId, bytes: u64) -> Result<(), MachineError> {
        let expected = contribution_bytes(self.round.chunks, self.session.members());
        if bytes == expected as u64 {
            return Ok(());
        }
        Err(MachineError::round(from)(RoundError::WrongLength {
            id: from,
            part: "bytes",
            found: usize::try_from(bytes).unwrap_or(usize::MAX),
            expected,
        }))
    }

    /// PROTOCOL.md 3.5, "coordinator on arrival: signature, roots, lengths, every word < q, one contribution per hospital".
    pub(super) fn on_upload<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        upload: Box<dyn UploadedBytes>,
        now: Timestamp,
    ) -> Result<Reaction, MachineError> {
        let bytes = upload.length();
        // Of another round, as an upload that this one was offered has the right length: it does not excuse its sender.
        self.check_upload(from, bytes)?;
        let reaction = self.keep_upload(context, from, upload, now);
        match &reaction {
            Ok(Reaction::Handled) => context.event(Event::Contributed {
                hospital: from,
                round: self.round.header.round,
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            }),
            Ok(Reaction::Ignored(_)) => {}
            // Of a header that was replaced while it was on its way: the right one follows.
            Err(MachineError::Round {
                fault: RoundError::OtherRound { .. },
                ..
            }) => {}
            // It comes again.
            Err(MachineError::Unreadable { .. }) => {}
            // It will not get better by being sent again.
            Err(_) => {
                self.excused.insert(from);
            }
        }
        reaction
    }

    fn keep_upload<R>(
        &mut self,
        context: &mut Context<R>,
        from: HospitalId,
        bytes: Box<dyn UploadedBytes>,
        now: Timestamp,
    ) -> Result<Reaction, MachineError> {
        let read = bytes.read(&mut context.upload_buffer);
        let contribution = check_contribution(
            read.map_err(MachineError::unreadable(from))?,
            from,
            &self.round.hash,
            self.round.chunks,
            &self.session.joined(),
            &context.roster,
        )
        .map_err(MachineError::round(from))?;
        let CheckedContribution {
            signed,
            manifest,
            boxes,
            chunks,
        } = contribution;
        let digest = signed.digest();
        if let Some(known) = self.uploads.get(&from) {
            if known.contributor.digest == digest {
                return Ok(Reaction::Ignored(REPEATED));
            }
            return Err(MachineError::round(from)(RoundError::Second {
                id: from,
                message: "contribution",
            }));
        }
        // PROTOCOL.md 3.5: "sum_j += b_ij mod q".
        self.sum.add(chunks).expect("every word was checked");
        // "It forwards manifest, box and the path to boxes_root to each recipient at once."
        for (to, forward) in forwards(&signed, &boxes) {
            self.round.boxes.keep(from, to, forward);
        }
        let upload = Upload {
            contributor: Contributor {
                id: Id(from),
                digest,
                signature: *signed.signature(),
            },
            commit: manifest.commit,
            chunks_root: manifest.chunks_root,
            bytes,
            arrived: now,
        };
        self.uploads.insert(from, upload);
        Ok(Reaction::Handled)
    }

    /// Over when nobody is waited for: then U is fixed, or the round is given up.
    pub(super) fn advance<R>(mut self, context: &mut Context<R>, now: Timestamp) -> Step {
        if self.contributions_are_awaited(context, now)
            || self.acknowledgements_are_awaited(context, now)
        {
            return Step::Stay(Phase::Collecting(self));
        }
        let too_slow: Vec<_> = self
            .contributors_without_contribution(context, now)
            .collect();
        for hospital in too_slow {
            context.event(Event::TooSlow {
                hospital,
                round: self.round.header.round,
                waited_secs: now.0.saturating_sub(self.opened.0) / 1000,
            });
        }
        let choice = self.choose(context);
        for finding in choice.assessment.findings() {
            context.event(Event::Suspected {
                round: self.round.header.round,
                finding: finding.clone(),
            });
        }
        let (found, min) = (choice.contributors.len(), context.roster.min_contributors());
        let is_summed = if found < min {
            Err(GivenUp {
                reason: format!("{found} usable contributions where {min} are needed"),
                remedy: "Ask the hospitals that do not contribute for their logs",
            })
        } else {
            self.leave_out_others(context, &choice.contributors)
        };
        Step::Go(match is_summed {
            Ok(()) => self.fix(context, &choice),
            Err(why) => self.give_up(context, why, now),
        })
    }

    /// Whether a hospital that may still contribute is waited for: until it has been silent for `silence_secs` of the header, and not
    /// beyond the deadline for the slowest.
    fn contributions_are_awaited<R>(&self, context: &Context<R>, now: Timestamp) -> bool {
        let late = self.straggler_deadline(context);
        late.is_none_or(|late| now < late)
            && self
                .contributors_without_contribution(context, now)
                .next()
                .is_some()
    }

    /// PROTOCOL.md 3.3: once m_min hospitals have contributed, the others are given max(floor, factor x the median time of those), since
    /// the header; the larger one of the two in the middle.
    fn straggler_deadline<R>(&self, context: &Context<R>) -> Option<Timestamp> {
        if self.uploads.len() < context.roster.min_contributors() {
            return None;
        }
        let manifest = &context.run.manifest;
        let uploads = self.uploads.values();
        let mut millis: Vec<_> = uploads
            .map(|upload| upload.arrived.0.saturating_sub(self.opened.0))
            .collect();
        millis.sort_unstable();
        let median = millis[millis.len() / 2];
        // A cast of a float ends at the largest number.
        let by_factor = (manifest.straggler_factor * median as f64) as u64;
        let floor = u64::from(manifest.straggler_floor_secs) * 1000;
        Some(Timestamp(
            self.opened.0.saturating_add(by_factor.max(floor)),
        ))
    }

    pub(super) fn deadlines<R>(&self, context: &Context<R>) -> [Option<Timestamp>; 2] {
        let acknowledgements = self.acknowledgement_deadline(context.run.manifest.silence_secs);
        [Some(acknowledgements), self.straggler_deadline(context)]
    }

    /// Hospitals that are there, as far as is known, and may still contribute.
    fn contributors_without_contribution<R>(
        &self,
        context: &Context<R>,
        now: Timestamp,
    ) -> impl Iterator<Item = HospitalId> {
        let patient = self.planned.purpose != Purpose::Update;
        let may_contribute = move |id: &HospitalId| {
            let next = self.session.chain.missed(context.peers.position(*id));
            let cannot_follow = next.is_some_and(|round| round.failed_by(*id));
            !self.uploads.contains_key(id) && !self.excused.contains(id) && !cannot_follow
        };
        let joined = self.session.joined().into_iter().filter(may_contribute);
        joined.filter(move |id| context.peers.is_waited_for(*id, patient, now))
    }

    /// Whether an acknowledgement that can make a difference may still come: of a vault that is here, or of any while that of an
    /// absent one would gain something.
    fn acknowledgements_are_awaited<R>(&self, context: &Context<R>, now: Timestamp) -> bool {
        if now >= self.acknowledgement_deadline(context.run.manifest.silence_secs) {
            return false;
        }
        let present = context.peers.up_to_date(self.session.chain.len());
        !present.iter().all(|vault| self.has_acknowledged(*vault))
            || self.acknowledgements_would_gain(context)
    }

    /// Whether a vault has acknowledged every upload so far.
    fn has_acknowledged(&self, vault: HospitalId) -> bool {
        let mut uploaded = self.uploads.keys();
        uploaded.all(|&from| self.answers.has(vault, from))
    }

    /// Whether an absent vault's acknowledgement would gain something: while fewer than t vaults hold every upload, a complete one
    /// would be left out of U, as when all are cut off at once; and while the dealer check cannot tell who is wrong (PROTOCOL.md 3.6,
    /// and 3.10, "Whom the dealer check leaves out").
    fn acknowledgements_would_gain<R>(&self, context: &Context<R>) -> bool {
        let threshold = context.roster.threshold();
        let joined = self.session.joined();
        let complete = joined.iter().filter(|vault| self.has_acknowledged(**vault));
        let one_is_left_out =
            complete.count() < threshold && self.uploads.len() >= context.roster.min_contributors();
        let uploaded: BTreeSet<_> = self.uploads.keys().copied().collect();
        one_is_left_out || self.answers.would_gain(&uploaded, &joined, threshold)
    }

    /// For contributions; when there are none to wait for, for acknowledgements.
    pub(super) fn wait<R>(&self, context: &Context<R>, now: Timestamp) -> Wait {
        let published = self.session.chain.len();
        let part = |id: HospitalId| match context.peers.position(id) < published {
            true => Part::CatchUp,
            false => Part::of(self.planned.purpose),
        };
        let contributors = self.contributors_without_contribution(context, now);
        let mut parts: Vec<_> = contributors.map(|id| (id, part(id))).collect();
        let mut ends = self.straggler_deadline(context);
        if parts.is_empty() || ends.is_some_and(|late| now >= late) {
            let everybody = self.acknowledgements_would_gain(context);
            let present = context.peers.up_to_date(published);
            let joined = self.session.joined().into_iter();
            let missing = joined
                .filter(|id| (everybody || present.contains(id)) && !self.has_acknowledged(*id));
            parts = missing.map(|id| (id, Part::Acknowledge)).collect();
            ends = Some(self.acknowledgement_deadline(context.run.manifest.silence_secs));
        }
        Wait {
            round: Some(self.round.header.round),
            ends,
            parts,
        }
    }

    /// Until when missing acknowledgements are waited for.
    pub(super) fn acknowledgement_deadline(&self, silence_secs: u32) -> Timestamp {
        let last = self.uploads.values().map(|upload| upload.arrived).max();
        last.unwrap_or(self.opened).after_secs(silence_secs)
    }

    /// PROTOCOL.md 3.6: "U is the largest set of complete uploads with equal commit whose boxes at least t vaults acknowledged
    /// completely (greedy: ...)", without those that the dealer check speaks against (3.10).
    fn choose<R>(&self, context: &Context<R>) -> Choice {
        let roster = &context.roster;
        let (threshold, min) = (roster.threshold(), roster.min_contributors());
        let uploaded = self.uploads.keys().copied().collect();
        let assessment = self.answers.assess(&uploaded, threshold, min);
        let candidates = self
            .uploads
            .iter()
            .filter(|(id, _)| !assessment.left_out().contains(id))
            .map(|(&id, upload)| (id, upload.commit))
            .collect();
        let can_answer_for =
            |vault, from| self.answers.has(vault, from) && !assessment.deviates(vault, from);
        let joined = self.session.joined();
        let mut contributors = choose_contributors(&candidates, can_answer_for, &joined, threshold);
        if self.planned.purpose == Purpose::Evaluation {
            contributors = self.session.chain.allowed_evaluation(contributors, min);
        }
        Choice {
            contributors,
            assessment,
        }
    }

    /// Only contributions of U are in the sum from here on.
    fn leave_out_others<R>(
        &mut self,
        context: &mut Context<R>,
        contributors: &BTreeSet<HospitalId>,
    ) -> Result<(), GivenUp> {
        let outside = self
            .uploads
            .iter()
            .filter(|(id, _)| !contributors.contains(id));
        for (id, upload) in outside {
            let read = upload.bytes.read(&mut context.upload_buffer);
            let fault = match read.map(|bytes| self.round.chunks_of(bytes)) {
                Err(error) => error.to_string(),
                Ok(Some(chunks)) if chunks_root(chunks) == upload.chunks_root => {
                    self.sum.subtract(chunks).expect("these chunks were added");
                    continue;
                }
                Ok(_) => "its bytes are not those that were added".to_owned(),
            };
            return Err(GivenUp {
                reason: format!(
                    "the contribution of hospital {id} is to be left out of the sum and cannot be read again: {fault}"
                ),
                remedy: "Look for the fault in the disk of the coordinator's state folder",
            });
        }
        Ok(())
    }

    /// PROTOCOL.md 3.8: "too few uploads, nobody has answered: the next header on the same key replaces the round". An evaluation is
    /// left out instead. A sum that fails again and again ends the run.
    fn give_up<R>(self, context: &mut Context<R>, why: GivenUp, now: Timestamp) -> Phase {
        let round = self.round.header.round;
        let GivenUp { reason, remedy } = why;
        let retry = if self.planned.purpose == Purpose::Evaluation {
            context.leave_out(self.planned);
            Retry::at_once(now)
        } else {
            let failures = self.failures + 1;
            if failures >= MAX_FAILED_ATTEMPTS {
                let before = failures - 1;
                let reason = format!(
                    "round {round} has failed, like {before} before it: {reason}. {remedy}"
                );
                return Phase::Over(Over::fail(context, reason));
            }
            Retry::after_failures(failures, now, context.run.manifest.silence_secs)
        };
        context.event(Event::Abandoned {
            round,
            purpose: self.planned.purpose,
            reason,
        });
        Phase::Waiting(Waiting::after_abandoned(
            context,
            self.session,
            &self.round,
            retry,
        ))
    }

    /// A run is taken up again: what was uploaded is lost, and a vault may hold boxes of a contribution that is not remembered here.
    /// So this header gets no U, and the same sum is opened under another one. How often it was given up before is not known any more.
    pub(in crate::machine) fn replaced<R>(self, context: &Context<R>, now: Timestamp) -> Waiting {
        Waiting::after_abandoned(context, self.session, &self.round, Retry::at_once(now))
    }

    /// Fixes U. Its sum and the signed request are on disk before anybody is asked to open it: there is one U for each header. All
    /// uploads are let go.
    fn fix<R>(mut self, context: &mut Context<R>, choice: &Choice) -> Phase {
        let sum = std::mem::replace(&mut self.sum, RunningSum::new(0));
        let sum: Arc<[u8]> = sum.into_bytes().into();
        let sum_root = chunks_root(&sum);
        let request = UnlockRequest {
            header: self.round.hash,
            contributors: choice
                .contributors
                .iter()
                .map(|id| self.uploads[id].contributor.clone())
                .collect(),
        };
        let record = FixedRecord {
            request: context.sign(&request),
            sum_root,
            ignored: self.vaults_that_deviate(choice),
        };
        context.outputs.push_back(Output::Keep {
            name: self.round.hash,
            bytes: kept_sum::to_bytes(&sum, self.round.boxes.of(&choice.contributors)),
        });
        context.persist(Fact::Fixed(record.clone()));
        context.event(Event::Unlocking {
            round: self.round.header.round,
            contributors: choice.contributors.iter().copied().collect(),
        });
        Phase::Unlocking(self.fixed(request, record, sum))
    }

    /// The same round with boxes that are to be forwarded still.
    pub(in crate::machine) fn with_boxes(
        mut self,
        boxes: Vec<(HospitalId, HospitalId, BoxForward)>,
    ) -> Self {
        for (from, to, forward) in boxes {
            self.round.boxes.keep(from, to, forward);
        }
        self
    }

    /// Vaults whose shares of this sum the dealer check finds wrong: they are not heard for this U.
    fn vaults_that_deviate(&self, choice: &Choice) -> Vec<HospitalId> {
        let deviates = |vault: &HospitalId| {
            let mut contributors = choice.contributors.iter();
            contributors.any(|&from| choice.assessment.deviates(*vault, from))
        };
        self.session.joined().into_iter().filter(deviates).collect()
    }

    /// The round of a U that is on disk.
    pub(in crate::machine) fn fixed(
        mut self,
        request: UnlockRequest,
        record: FixedRecord,
        sum: Arc<[u8]>,
    ) -> Unlocking {
        if self.planned.purpose == Purpose::Evaluation {
            self.session.chain.note_evaluation(request.members());
        }
        Unlocking::new(self.session, self.round, self.planned, request, record, sum)
    }

    /// The round at hand.
    pub(in crate::machine) fn round(&self) -> &OpenRound {
        &self.round
    }

    /// The sum that it is for.
    pub(in crate::machine) fn planned(&self) -> PlannedSum {
        self.planned
    }
}

/// A sum that was given up so often in a row will not succeed.
const MAX_FAILED_ATTEMPTS: u32 = 8;
