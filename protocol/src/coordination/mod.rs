//! The coordinator's side of a run as a state machine without I/O: events and the time come in as arguments, what is to be done
//! leaves through [`Coordinator::poll_output`].
//!
//! ```text
//! gathering --all joined--> key exchange --all ready--> +-> waiting --enough hospitals--> collecting --U fixed--> unlocking -+
//!                                                       |                                     |                            |
//!                                                       |        (too few: same sum again) <--+        t answers: outcome   |
//!                                                       +------------- t vaults closed it alike <--------------------------+
//! ```
//!
//! A hospital may vanish and return at any moment. What it is owed is derived from where it stands, never from what was sent: see
//! `delivery`. The coordinator holds no secret of a hospital and names no type that could.

mod chain;
mod delivery;
mod ongoing;
mod products;
mod setup;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crypto::{hash::Digest, sealed_sum::HospitalId};
use rand_core::CryptoRng;

use self::{
    chain::SettledRound, delivery::Peer, ongoing::OngoingRound, products::ProductServer,
    setup::Setup,
};
use crate::{
    codec::Text,
    common_model::CommonModel,
    identity::{Signed, SigningKey},
    manifest::{Manifest, Purpose},
    message::{ToCoordinator, ToVault, Welcome},
    roster::Roster,
    round::{RoundError, header::RoundContext, unlock::evaluation_allowed},
    session::{SessionId, first_transcript},
};

pub use self::chain::TranscriptEntry;

/// A moment, in milliseconds of any clock that does not go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    fn after_secs(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(u64::from(seconds) * 1000))
    }
}

/// What the shell around the machine has to do.
#[derive(Debug)]
pub enum Output {
    /// Send a message on the hospital's control stream.
    Send {
        /// To whom.
        to: HospitalId,
        /// What.
        message: Box<ToVault>,
    },
    /// Serve these bytes to any member that asks for this name.
    Publish {
        /// The outcome's name.
        name: Digest,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
    /// All have it: stop serving.
    Retract {
        /// The outcome's name.
        name: Digest,
    },
    /// Something to log, count or record.
    Event(Event),
}

/// What happens in a run, for operators and records.
#[derive(Clone, Debug)]
pub enum Event {
    /// A hospital has joined the session.
    Joined {
        /// Who.
        hospital: HospitalId,
        /// So many are still missing.
        missing: usize,
    },
    /// All vaults hold each other's keys.
    SessionReady,
    /// Too few hospitals are connected for the next sum.
    Waiting {
        /// Connected and up to date.
        present: usize,
        /// Needed.
        needed: usize,
    },
    /// A round was opened.
    Opened {
        /// Its number.
        round: u32,
        /// What for.
        purpose: Purpose,
        /// The learning round, from 1; 0 for `stats`.
        learning_round: u32,
    },
    /// A complete contribution.
    Contributed {
        /// Whose.
        hospital: HospitalId,
        /// To which round.
        round: u32,
        /// So many bytes.
        bytes: usize,
    },
    /// U is fixed.
    Unlocking {
        /// Which round.
        round: u32,
        /// U.
        contributors: Vec<HospitalId>,
    },
    /// The sum and t answers are out.
    OutcomeOut {
        /// Which round.
        round: u32,
        /// What for.
        purpose: Purpose,
        /// The learning round, from 1; 0 for `stats`.
        learning_round: u32,
        /// U.
        contributors: Vec<HospitalId>,
    },
    /// t vaults have closed the round alike.
    Settled(Box<TranscriptEntry>),
    /// Too few contributions came: the sum is tried again, or, an evaluation, left out.
    Abandoned {
        /// Which round.
        round: u32,
        /// What for.
        purpose: Purpose,
        /// What was missing.
        reason: String,
    },
    /// A message or upload was not accepted.
    Rejected {
        /// Whose.
        hospital: HospitalId,
        /// Why.
        reason: String,
    },
    /// The last round is settled and every hospital that can be reached has it.
    Complete {
        /// The common model's hash.
        model_hash: Digest,
        /// Hospitals that never fetched the last outcome.
        missing: Vec<HospitalId>,
    },
    /// The run cannot go on.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// The coordinator of one run.
pub struct Coordinator<R> {
    roster: Arc<Roster>,
    key: SigningKey,
    rng: R,
    manifest: Manifest,
    signed_manifest: Signed<Manifest>,
    run: Digest,
    session: SessionId,
    setup: Setup,
    peers: BTreeMap<HospitalId, Peer>,
    products: ProductServer,
    /// What is still to be summed, first first.
    plan: VecDeque<PlannedSum>,
    round: Option<OngoingRound>,
    last_round: u32,
    chain: Vec<SettledRound>,
    evaluations: Vec<BTreeSet<HospitalId>>,
    initial_model: Digest,
    finishing_since: Option<Timestamp>,
    advanced_at: Timestamp,
    waiting_for: Option<usize>,
    /// After a round that came to nothing: when to try again, and how often that has happened in a row.
    reopen: (Timestamp, u32),
    over: bool,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy)]
struct PlannedSum {
    purpose: Purpose,
    learning_round: u32,
}

impl<R: CryptoRng> Coordinator<R> {
    /// A run that waits for all hospitals of the roster to join.
    ///
    /// # Errors
    /// The reason why the manifest cannot be run: not the operator's, or not sound.
    pub fn new(
        roster: Arc<Roster>,
        key: SigningKey,
        signed_manifest: Signed<Manifest>,
        mut rng: R,
    ) -> Result<Self, String> {
        let manifest = signed_manifest
            .verify(roster.operator_key(), "the operator")
            .map_err(|error| error.to_string())?;
        manifest.check().map_err(|error| error.to_string())?;
        if !manifest.weights_are_members(&roster) {
            return Err(
                "the run manifest gives a weight to a hospital that is not on the roster".into(),
            );
        }
        for purpose in [Purpose::Stats, Purpose::Update, Purpose::Evaluation] {
            manifest
                .shape(purpose, roster.size())
                .map_err(|error| error.to_string())?;
        }
        let mut session = [0; 16];
        rng.fill_bytes(&mut session);
        let mut plan = VecDeque::from([PlannedSum {
            purpose: Purpose::Stats,
            learning_round: 0,
        }]);
        for learning_round in 1..=manifest.rounds {
            plan.push_back(PlannedSum {
                purpose: Purpose::Update,
                learning_round,
            });
            plan.push_back(PlannedSum {
                purpose: Purpose::Evaluation,
                learning_round,
            });
        }
        Ok(Self {
            run: signed_manifest.digest(),
            initial_model: CommonModel::initial(&manifest).hash(),
            products: ProductServer::new(manifest.conditioning.profile(), session),
            peers: roster
                .members()
                .map(|member| (member.id, Peer::default()))
                .collect(),
            setup: Setup::default(),
            roster,
            key,
            rng,
            manifest,
            signed_manifest,
            session,
            plan,
            round: None,
            last_round: 0,
            chain: Vec::new(),
            evaluations: Vec::new(),
            finishing_since: None,
            advanced_at: Timestamp(0),
            waiting_for: None,
            reopen: (Timestamp(0), 0),
            over: false,
            outputs: VecDeque::new(),
        })
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the run has ended, well or not.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// A hospital has connected; its [`ToCoordinator::Hello`] follows.
    pub fn handle_connected(&mut self, hospital: HospitalId, now: Timestamp) {
        if let Some(peer) = self.peers.get_mut(&hospital) {
            peer.connect(now);
        }
    }

    /// A hospital's connection is lost.
    pub fn handle_disconnected(&mut self, hospital: HospitalId, now: Timestamp) {
        if let Some(peer) = self.peers.get_mut(&hospital) {
            peer.disconnect(now);
        }
        self.advance(now);
    }

    /// A message of a hospital. One that does not stand is reported and otherwise ignored.
    pub fn handle_message(&mut self, from: HospitalId, message: ToCoordinator, now: Timestamp) {
        self.hear(from, now);
        if let Err(reason) = self.take_message(from, message, now) {
            self.event(Event::Rejected {
                hospital: from,
                reason,
            });
        }
        self.advance(now);
    }

    /// A piece of an upload has arrived: a sign of life.
    pub fn handle_progress(&mut self, from: HospitalId, now: Timestamp) {
        self.hear(from, now);
    }

    /// Whether an upload of so many bytes may start: the round collects, the sender takes part and has not contributed.
    ///
    /// # Errors
    /// [`RoundError`] to be sent back as the refusal.
    pub fn check_upload(&self, from: HospitalId, bytes: u64) -> Result<(), RoundError> {
        let round = self.round.as_ref().ok_or(RoundError::OtherRound {
            message: "an upload",
        })?;
        round.check_upload(from, bytes, &self.setup.joined())
    }

    /// A complete upload.
    ///
    /// # Errors
    /// [`RoundError`] to be sent back as the verdict.
    pub fn handle_upload(
        &mut self,
        from: HospitalId,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), RoundError> {
        self.hear(from, now);
        let joined = self.setup.joined();
        let result = match &mut self.round {
            Some(round) => round.take_upload(from, bytes, &joined, &self.roster, now),
            None => Err(RoundError::OtherRound {
                message: "an upload",
            }),
        };
        match &result {
            Ok(()) => {
                let round = self.last_round;
                self.event(Event::Contributed {
                    hospital: from,
                    round,
                    bytes: bytes.len(),
                });
            }
            Err(error) => {
                if !matches!(error, RoundError::OtherRound { .. }) {
                    // It will not get better by being sent again.
                    if let Some(round) = &mut self.round {
                        round.excuse(from);
                    }
                }
                self.event(Event::Rejected {
                    hospital: from,
                    reason: error.to_string(),
                });
            }
        }
        self.advance(now);
        result
    }

    /// When to call [`Self::handle_timeout`], at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.over {
            return None;
        }
        let silence = self.manifest.silence_secs;
        let peers = self
            .peers
            .values()
            .filter_map(|peer| peer.patience_ends(silence));
        let acks = self
            .round
            .as_ref()
            .and_then(|round| round.patience_ends(silence));
        let end = self.finishing_since.map(|since| since.after_secs(silence));
        let reopening = Some(self.reopen.0).filter(|_| self.round.is_none());
        // Silence is noted when it begins and then no longer listed; the acknowledgements' deadline stays, and has had its effect once
        // the machine has advanced beyond it. Listed again it would keep the shell from sleeping while hospitals train.
        let once = acks
            .into_iter()
            .chain(reopening)
            .filter(|moment| *moment > self.advanced_at);
        peers.chain(once).chain(end).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    fn hear(&mut self, from: HospitalId, now: Timestamp) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.hear(now);
        }
    }

    fn take_message(
        &mut self,
        from: HospitalId,
        message: ToCoordinator,
        now: Timestamp,
    ) -> Result<(), String> {
        match message {
            ToCoordinator::Hello(hello) => return self.take_hello(from, hello.resume),
            ToCoordinator::Join(join) => {
                if let Some(missing) = self
                    .setup
                    .take_join(from, join, &self.roster, &self.session)
                    .map_err(|error| error.to_string())?
                {
                    self.event(Event::Joined {
                        hospital: from,
                        missing,
                    });
                }
            }
            ToCoordinator::Encapsulation(message) => self
                .setup
                .take_encapsulation(from, message, &self.roster)
                .map_err(|error| error.to_string())?,
            ToCoordinator::GroupKey(message) => self
                .setup
                .take_group_key(from, message, &self.roster)
                .map_err(|error| error.to_string())?,
            ToCoordinator::Ready(message) => {
                self.setup
                    .take_ready(from, message, &self.roster)
                    .map_err(|error| error.to_string())?;
                if self.setup.is_complete() {
                    self.event(Event::SessionReady);
                }
            }
            ToCoordinator::EvaluationKey(key) => self.products.take_key(from, &key)?,
            ToCoordinator::EncryptedFeatures(features) => {
                self.products.take_features(from, features)?
            }
            ToCoordinator::FilterRequest(request) => {
                let products = self.products.multiply(from, &request)?;
                self.send(from, ToVault::Products(products));
            }
            ToCoordinator::Alive => {}
            ToCoordinator::HeaderRefused { header, reason } => {
                let round = self.round.as_mut().filter(|round| round.is_of(&header));
                if round.is_some_and(|round| round.excuse(from)) {
                    // Once a round, and not at any length: it goes into logs.
                    let reason: String = reason
                        .0
                        .chars()
                        .filter(|sign| !sign.is_control())
                        .take(200)
                        .collect();
                    return Err(format!(
                        "does not contribute to round {}: {reason}",
                        self.last_round
                    ));
                }
            }
            ToCoordinator::BoxAck(ack) => match &mut self.round {
                Some(round) => round
                    .take_ack(from, &ack, &self.roster)
                    .map_err(|error| error.to_string())?,
                None => return Err("an acknowledgement without a round".into()),
            },
            ToCoordinator::UnlockShare(share) => {
                // Without a round: a fifth answer after four have sufficed. Not a fault.
                if let Some(round) = &mut self.round {
                    round
                        .take_unlock_share(from, share, &self.roster, now)
                        .map_err(|error| error.to_string())?;
                }
            }
            ToCoordinator::RoundClosed(closed) => self.take_closed(from, closed)?,
            ToCoordinator::RoundFailed(failed) => self.take_failed(from, &failed)?,
        }
        Ok(())
    }

    fn take_hello(
        &mut self,
        from: HospitalId,
        resume: Option<crate::message::Resume>,
    ) -> Result<(), String> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Err("not on the roster".into());
        };
        let place = match resume {
            Some(resume) if resume.session == self.session => {
                // T of a round, or where the session starts. A vault that does not know T_0 yet says zero.
                let known = self
                    .chain
                    .iter()
                    .rposition(|settled| settled.reached_by(from, &resume.transcript))
                    .map_or(0, |index| index + 1);
                Ok(known.max(peer.position))
            }
            _ if self.setup.has_joined(from) => Err(
                "this hospital takes part in the running session already, with keys that this process does not have (it was restarted, or a \
                 second participant uses the same number): start a new run, or stop the other participant",
            ),
            _ => Ok(0),
        };
        match place {
            Ok(position) => {
                peer.greet(position);
                let welcome = Welcome {
                    session: self.session,
                    roster_hash: self.roster.hash(),
                    manifest: self.signed_manifest.clone(),
                };
                self.send(from, ToVault::Welcome(welcome));
                Ok(())
            }
            Err(reason) => {
                self.send(
                    from,
                    ToVault::Refused {
                        reason: Text(reason.to_owned()),
                    },
                );
                Err(reason.to_owned())
            }
        }
    }

    /// Moves as far as the present state allows, then hands every connected hospital what it is owed.
    fn advance(&mut self, now: Timestamp) {
        self.advanced_at = self.advanced_at.max(now);
        for peer in self.peers.values_mut() {
            peer.note_silence(now, self.manifest.silence_secs);
        }
        while !self.over && self.setup.is_complete() && self.step(now) {}
        self.deliver();
    }

    /// One transition; false when there is none.
    fn step(&mut self, now: Timestamp) -> bool {
        match &self.round {
            None if self.consensus().is_none() => false,
            None => match self.plan.front().copied() {
                Some(planned) => self.open_round(planned, now),
                None => self.finish(now),
            },
            Some(round) if round.is_collecting() => self.fix_contributors(now),
            Some(_) => self.publish_outcome(now),
        }
    }

    fn open_round(&mut self, planned: PlannedSum, now: Timestamp) -> bool {
        let least = self.roster.threshold().max(self.roster.min_contributors());
        let present: BTreeSet<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_present() && peer.position == self.chain.len())
            .map(|(&id, _)| id)
            .collect();
        if planned.purpose == Purpose::Evaluation && self.evaluation_is_out_of_reach() {
            self.plan.pop_front();
            let reason = "hospitals of the first evaluation are missing, and another set would single them out".to_owned();
            self.event(Event::Abandoned {
                round: self.last_round,
                purpose: planned.purpose,
                reason,
            });
            return true;
        }
        if now < self.reopen.0 {
            return false;
        }
        if present.len() < least {
            if self.waiting_for != Some(present.len()) {
                self.waiting_for = Some(present.len());
                self.event(Event::Waiting {
                    present: present.len(),
                    needed: least,
                });
            }
            return false;
        }
        self.waiting_for = None;
        self.last_round += 1;
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let (transcript, model_hash) = self.consensus().expect("checked before a round is opened");
        let joins = self.setup.joins();
        let joined_set = self.setup.joined_set();
        let context = RoundContext {
            roster: &self.roster,
            manifest: &self.manifest,
            run: self.run,
            session: self.session,
            joined_set,
            joined: joins,
            gid: self.setup.gid(),
            transcript,
            model_hash,
        };
        let header = context.open(planned.purpose, self.last_round, nonce);
        let shape = self
            .manifest
            .shape(planned.purpose, joins)
            .expect("checked when the run was made");
        self.round = Some(OngoingRound::new(
            Signed::sign(&header, &self.key),
            header,
            shape.chunks(),
            now,
        ));
        for peer in self.peers.values_mut() {
            peer.start_round(now);
        }
        self.event(Event::Opened {
            round: self.last_round,
            purpose: planned.purpose,
            learning_round: planned.learning_round,
        });
        true
    }

    /// Fixes U once nobody is waited for, or gives the round up.
    fn fix_contributors(&mut self, now: Timestamp) -> bool {
        let (silence, threshold, least) = (
            self.manifest.silence_secs,
            self.roster.threshold(),
            self.roster.min_contributors(),
        );
        let Some(round) = &mut self.round else {
            return false;
        };
        let patient = round.purpose() != Purpose::Update;
        let waited_for = |id: &HospitalId| {
            !round.has_upload(*id)
                && !round.is_excused(*id)
                && self.peers.get(id).is_some_and(|peer| {
                    let cannot_follow = self.chain.get(peer.position);
                    peer.is_waited_for(patient, now, silence)
                        && !cannot_follow.is_some_and(|settled| settled.failed_by(*id))
                })
        };
        let joined = self.setup.joined();
        if joined.iter().any(waited_for) {
            return false;
        }
        let present: Vec<_> = joined
            .iter()
            .copied()
            .filter(|id| self.peers.get(id).is_some_and(|peer| peer.is_present()))
            .collect();
        if !round.is_acknowledged_by(&present) && now < round.acknowledgement_deadline(silence) {
            return false;
        }
        let mut contributors = round.choose(&joined, threshold);
        if round.purpose() == Purpose::Evaluation
            && !evaluation_allowed(&contributors, &self.evaluations, least)
        {
            // The set of the earlier evaluation, if all of it is here, is always allowed.
            contributors = self
                .evaluations
                .iter()
                .find(|earlier| earlier.is_subset(&contributors))
                .cloned()
                .unwrap_or_default();
        }
        if contributors.len() < least {
            let (number, purpose) = (round.number(), round.purpose());
            let reason = format!(
                "{} usable contributions where {least} are needed",
                contributors.len()
            );
            self.round = None;
            if purpose == Purpose::Evaluation {
                self.plan.pop_front();
            } else {
                // Tried again, less and less eagerly: contributions that cannot be summed must not make the hospitals spin.
                let failures = self.reopen.1 + 1;
                self.reopen = (now.after_secs(silence.min(1 << failures.min(16))), failures);
                if failures >= MOST_FAILED_ATTEMPTS {
                    let reason = format!(
                        "round {number} has come to nothing, like {} before it: {reason}. Ask the hospitals that do not contribute for their logs",
                        failures - 1
                    );
                    self.event(Event::Failed { reason });
                    self.over = true;
                    return false;
                }
            }
            self.event(Event::Abandoned {
                round: number,
                purpose,
                reason,
            });
            return true;
        }
        round.fix(&contributors, &self.key);
        let number = round.number();
        if round.purpose() == Purpose::Evaluation {
            self.evaluations.push(contributors.clone());
        }
        self.event(Event::Unlocking {
            round: number,
            contributors: contributors.into_iter().collect(),
        });
        true
    }

    fn publish_outcome(&mut self, now: Timestamp) -> bool {
        let Some(round) = &self.round else {
            return false;
        };
        let present: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_present())
            .map(|(&id, _)| id)
            .collect();
        let Some((name, bytes, settled)) = round.outcome(self.roster.threshold(), &present, now)
        else {
            return false;
        };
        let (number, purpose) = (round.number(), round.purpose());
        let learning_round = self
            .plan
            .pop_front()
            .map_or(0, |planned| planned.learning_round);
        let contributors = settled.contributors();
        self.outputs.push_back(Output::Publish { name, bytes });
        self.chain.push(settled);
        self.round = None;
        self.reopen = (now, 0);
        self.event(Event::OutcomeOut {
            round: number,
            purpose,
            learning_round,
            contributors,
        });
        true
    }

    fn finish(&mut self, now: Timestamp) -> bool {
        let since = *self.finishing_since.get_or_insert(now);
        let missing: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.position < self.chain.len())
            .map(|(&id, _)| id)
            .collect();
        if !missing.is_empty() && now < since.after_secs(self.manifest.silence_secs) {
            return false;
        }
        let (_, model_hash) = self.consensus().expect("checked before a run is finished");
        self.event(Event::Complete {
            model_hash,
            missing,
        });
        self.over = true;
        false
    }

    /// T and model hash that t vaults have signed alike for the last round; at the start, where everybody begins.
    fn consensus(&self) -> Option<(Digest, Digest)> {
        match self.chain.last() {
            Some(settled) => settled.consensus(self.roster.threshold()),
            None => Some((
                first_transcript(&self.roster, &self.session, &self.setup.joined_set()),
                self.initial_model,
            )),
        }
    }

    /// Whether a member of the first evaluation is gone for longer than anybody is waited for.
    fn evaluation_is_out_of_reach(&self) -> bool {
        let gone = |id: &HospitalId| self.peers.get(id).is_none_or(Peer::is_given_up);
        self.evaluations
            .first()
            .is_some_and(|members| members.iter().any(gone))
    }

    fn take_closed(
        &mut self,
        from: HospitalId,
        closed: Signed<crate::round::outcome::RoundClosed>,
    ) -> Result<(), String> {
        let member = self.roster.member(from).ok_or("not on the roster")?;
        let body = closed
            .verify(&member.signing_key, format_args!("hospital {from}"))
            .map_err(|error| error.to_string())?;
        let threshold = self.roster.threshold();
        let index = self
            .chain
            .iter()
            .position(|settled| settled.is_for(&body))
            .ok_or("closes a round that we do not know")?;
        let (transcript, model_before) = match index.checked_sub(1) {
            Some(before) => self.chain[before]
                .consensus(threshold)
                .ok_or("closes a round before the one before it is settled")?,
            None => (
                first_transcript(&self.roster, &self.session, &self.setup.joined_set()),
                self.initial_model,
            ),
        };
        let members = self.setup.joins();
        let settled = &mut self.chain[index];
        let was_settled = settled.consensus(threshold).is_some();
        settled.take_closed(from, closed, &body, &transcript, &model_before)?;
        if !was_settled && settled.consensus(threshold).is_some() {
            let entry = Box::new(settled.transcript_entry(&transcript, threshold));
            self.event(Event::Settled(entry));
        }
        let stuck = self.chain[index].is_stuck(members, threshold);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.position = peer.position.max(index + 1);
        }
        if stuck {
            self.fail_opening();
        }
        if self.peers.values().all(|peer| peer.position > index) {
            self.outputs.push_back(Output::Retract {
                name: self.chain[index].name(),
            });
        }
        Ok(())
    }

    fn take_failed(
        &mut self,
        from: HospitalId,
        failed: &Signed<crate::round::outcome::RoundFailed>,
    ) -> Result<(), String> {
        let member = self.roster.member(from).ok_or("not on the roster")?;
        let body = failed
            .verify(&member.signing_key, format_args!("hospital {from}"))
            .map_err(|error| error.to_string())?;
        let threshold = self.roster.threshold();
        let settled = self
            .chain
            .iter_mut()
            .find(|settled| settled.header_is(&body.header))
            .ok_or("fails a round that we do not know")?;
        settled.take_failed(from);
        if settled.consensus(threshold).is_none() && settled.is_stuck(self.setup.joins(), threshold)
        {
            self.fail_opening();
        }
        Ok(())
    }

    /// The last round can no longer be settled: too many vaults could not open it, or made different things of it.
    fn fail_opening(&mut self) {
        if let Some(settled) = self.chain.last().filter(|_| !self.over) {
            let reason = format!(
                "round {} does not open: a contribution or a share in it is wrong. The model is unchanged; start a new run from it, and ask \
                 the contributors {:?} to check their participants",
                settled.number(),
                settled
                    .contributors()
                    .iter()
                    .map(|id| id.get())
                    .collect::<Vec<_>>(),
            );
            self.event(Event::Failed { reason });
            self.over = true;
        }
    }

    fn send(&mut self, to: HospitalId, message: ToVault) {
        self.outputs.push_back(Output::Send {
            to,
            message: Box::new(message),
        });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// A sum that has been abandoned so often in a row will not succeed.
const MOST_FAILED_ATTEMPTS: u32 = 8;
