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
mod closing;
mod delivery;
mod ongoing;
mod output;
mod products;
mod progress;
mod setup;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crypto::sealed_sum::HospitalId;
use rand_core::CryptoRng;

use self::{
    chain::SettledRound, delivery::Peer, ongoing::OngoingRound, products::ProductServer,
    setup::Setup,
};
use protocol::{
    codec::Text,
    common_model::CommonModel,
    digests::{LearningRound, ModelHash, RoundNumber, SessionId},
    identity::{Signed, SigningKey},
    manifest::{CheckedManifest, Manifest, ManifestError, Purpose},
    message::{ToCoordinator, ToVault, Welcome},
    roster::Roster,
    round::RoundError,
};

pub use self::{
    chain::TranscriptEntry,
    output::{Event, Output},
};

/// A moment, in milliseconds of any clock that does not go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    fn after_secs(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(u64::from(seconds) * 1000))
    }
}

/// The coordinator of one run.
pub struct Coordinator<R> {
    roster: Arc<Roster>,
    key: SigningKey,
    rng: R,
    manifest: CheckedManifest,
    session: SessionId,
    setup: Setup,
    peers: BTreeMap<HospitalId, Peer>,
    products: ProductServer,
    /// What is still to be summed, first first.
    plan: VecDeque<PlannedSum>,
    round: Option<OngoingRound>,
    last_round: RoundNumber,
    chain: Vec<SettledRound>,
    evaluations: Vec<BTreeSet<HospitalId>>,
    initial_model: ModelHash,
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
    learning_round: LearningRound,
}

impl<R: CryptoRng> Coordinator<R> {
    /// A run that waits for all hospitals of the roster to join.
    ///
    /// # Errors
    /// [`ManifestError`] when the manifest is not the operator's, or not sound.
    pub fn new(
        roster: Arc<Roster>,
        key: SigningKey,
        signed_manifest: Signed<Manifest>,
        mut rng: R,
    ) -> Result<Self, ManifestError> {
        let manifest = CheckedManifest::check(signed_manifest, &roster)?;
        let mut session = [0; 16];
        rng.fill_bytes(&mut session);
        let session = SessionId::from_bytes(session);
        let mut plan = VecDeque::from([PlannedSum {
            purpose: Purpose::Stats,
            learning_round: LearningRound::default(),
        }]);
        for learning_round in (1..=manifest.rounds).map(LearningRound::new) {
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
            session,
            plan,
            round: None,
            last_round: RoundNumber::default(),
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
        resume: Option<protocol::message::Resume>,
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
                    manifest: self.manifest.signed().clone(),
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
