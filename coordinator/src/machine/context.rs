//! What all phases share.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crypto::sealed_sum::{HospitalId, SumShape};
use protocol::{
    codec::Text,
    digests::{LearningRound, ModelHash, SessionId},
    identity::{Message, Signed, SigningKey},
    kept_model::initial_model_hash,
    manifest::{CheckedManifest, Purpose},
    message::{ToVault, Welcome},
    roster::{Member, Roster},
    round::outcome::RoundClosed,
};
use rand_core::CryptoRng;

use super::{
    Event, Fact, MachineError, Output, Timestamp,
    beginning::Beginning,
    head::Head,
    input::{ConditioningMessage, SetUpMessage},
    peer::Peers,
    plan::{Plan, PlannedSum},
    products::ProductServer,
    reaction::{FORMER_SESSION, Reaction},
};

/// The parties, the run, and what is to be done.
pub(super) struct Context<R> {
    pub(super) roster: Arc<Roster>,
    key: SigningKey,
    pub(super) rng: R,
    pub(super) run: Run,
    pub(super) session: SessionId,
    /// Where the run was when it began.
    pub(super) beginning: Beginning,
    /// When it did, if this process was there.
    begun_at: Timestamp,
    /// Those that were given up, or that it follows.
    former_sessions: BTreeSet<SessionId>,
    /// How often each hospital was the reason for it, since this process was started.
    set_ups_begun_anew: BTreeMap<HospitalId, u32>,
    /// The run goes on without these until this process is started again.
    shut_out: BTreeMap<HospitalId, ShutOut>,
    /// No further sum is opened, until the operator says so or this process is started again.
    pub(super) is_paused: bool,
    /// After which learning round its operator ends the run, if that is before its last.
    pub(super) ends_after: Option<LearningRound>,
    /// Hospitals that have handed over a state which others have refused: they are asked last.
    pub(super) distrusted: BTreeSet<HospitalId>,
    pub(super) peers: Peers,
    pub(super) products: ProductServer,
    pub(super) plan: Plan,
    /// Updates of the run that did not open, and were settled without their sum.
    pub(super) null_steps: u32,
    /// The latest time that has had its effect.
    pub(super) advanced_at: Timestamp,
    /// How long hospitals that have not fetched the last outcome are waited for when all rounds are done.
    pub(super) serve_outcomes_secs: u32,
    pub(super) outputs: VecDeque<Output>,
    /// Uploads that are not in memory are read into it, one after the other: it is made once, as the largest have 17 MB.
    pub(super) upload_buffer: Vec<u8>,
}

/// Why a run goes on without a hospital.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ShutOut {
    /// It was the reason for new sessions too often.
    LosesItsKeys,
    /// The operator says so.
    ByOperator,
}

/// A run as its manifest says.
pub(super) struct Run {
    pub(super) manifest: CheckedManifest,
    pub(super) initial_model: ModelHash,
}

impl Run {
    pub(super) fn of(manifest: CheckedManifest) -> Self {
        Self {
            initial_model: initial_model_hash(&manifest),
            manifest,
        }
    }

    /// The shape of a sum among so many share holders.
    pub(super) fn shape(&self, purpose: Purpose, joined: usize) -> SumShape {
        let shape = self.manifest.shape(purpose, joined);
        shape.expect("checked for all members of the roster when the run was made")
    }
}

impl<R> Context<R> {
    pub(super) fn new(
        roster: Arc<Roster>,
        key: SigningKey,
        run: Run,
        session: SessionId,
        rng: R,
    ) -> Self {
        Self {
            products: ProductServer::new(run.manifest.conditioning.profile(), session),
            peers: Peers::new(
                roster.members().map(|member| member.id),
                run.manifest.silence_secs,
            ),
            plan: Plan::new(run.manifest.rounds),
            null_steps: 0,
            serve_outcomes_secs: run.manifest.silence_secs,
            roster,
            key,
            rng,
            run,
            session,
            beginning: Beginning::default(),
            begun_at: Timestamp(0),
            former_sessions: BTreeSet::new(),
            set_ups_begun_anew: BTreeMap::new(),
            shut_out: BTreeMap::new(),
            is_paused: false,
            ends_after: None,
            distrusted: BTreeSet::new(),
            advanced_at: Timestamp(0),
            outputs: VecDeque::new(),
            upload_buffer: Vec::new(),
        }
    }

    pub(super) fn member(&self, id: HospitalId) -> Result<&Member, MachineError> {
        self.roster
            .member(id)
            .ok_or(MachineError::NotOnRoster { from: id })
    }

    pub(super) fn sign<T: Message>(&self, body: &T) -> Signed<T> {
        Signed::sign(body, &self.key)
    }

    pub(super) fn persist(&mut self, fact: Fact) {
        self.outputs.push_back(Output::Persist(fact));
    }

    pub(super) fn send(&mut self, to: HospitalId, message: ToVault) {
        self.outputs.push_back(Output::Send {
            to,
            message: Box::new(message),
        });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn reject(&mut self, hospital: HospitalId, error: &MachineError) {
        self.event(Event::Rejected {
            hospital,
            reason: error.to_string(),
        });
    }

    /// The run goes on without the evaluation that comes next. That is a fact: with it alone a coordinator that is started again does not
    /// wait for hospitals that only this evaluation needs.
    pub(super) fn leave_out(&mut self, planned: PlannedSum) {
        self.persist(Fact::LeftOut {
            learning_round: planned.learning_round,
        });
        self.plan.advance();
    }

    /// The hospitals have ended the run: no further sum is planned.
    pub(super) fn end_early(&mut self) {
        if let Some(next) = self.plan.next() {
            let rounds_done = next.learning_round.get().saturating_sub(1);
            let rounds_left = self.run.manifest.rounds.saturating_sub(rounds_done);
            self.event(Event::EndedEarly { rounds_left });
        }
        self.plan.stop();
    }

    /// The operator ends the run after this learning round. A session that is being set up has its whole time from here on.
    pub(super) fn end_after(&mut self, learning_round: LearningRound) {
        self.begun_at = self.advanced_at;
        self.plan.end_after(learning_round);
        self.ends_after = Some(learning_round);
    }

    /// After which learning round its operator ends the run, if the evaluations have not ended it before.
    pub(super) fn ended_by_operator(&self) -> Option<LearningRound> {
        self.ends_after.filter(|_| !self.plan.is_stopped())
    }

    /// What a hospital is told when the run has ended well.
    pub(super) fn word_of_the_end(&self) -> ToVault {
        // Hospitals that have ended it by themselves know so.
        match self.ended_by_operator() {
            Some(after) => ToVault::EndedByOperator { after },
            None => ToVault::Finished,
        }
    }

    /// When a run whose rounds are all done ends although the session that was to hand the model on does not come about.
    pub(super) fn ends_without_session(&self) -> Option<Timestamp> {
        let all_done = self.plan.next().is_none() && self.beginning.after.is_some();
        all_done.then(|| self.begun_at.after_secs(self.serve_outcomes_secs))
    }

    /// So many hospitals have to join before the keys are exchanged.
    pub(super) fn quorum(&self) -> usize {
        match (self.beginning.after, self.run.manifest.start_with) {
            (Some(_), _) => self.needed(),
            // Whoever the operator does not wait for need not join; at least as many as a sum needs have to.
            (None, start_with) => {
                let others = self.roster.size() - self.shut_out.len();
                let wanted = start_with.map_or(others, |wanted| others.min(wanted.get() as usize));
                wanted.max(self.needed())
            }
        }
    }

    /// t answers open a sum, and it has at least `m_min` contributors.
    pub(super) fn needed(&self) -> usize {
        let roster = &self.roster;
        roster.threshold().max(roster.min_contributors())
    }

    /// Goes on without a hospital that was the reason for new sessions too often, if that is possible. Of those that `have_it`, what the run
    /// goes on from, t have to be left, where there is anything.
    pub(super) fn shut_out(
        &mut self,
        id: HospitalId,
        why: ShutOut,
        have_it: Option<&BTreeSet<HospitalId>>,
    ) -> bool {
        let others = self.roster.size() - self.shut_out.len() - usize::from(!self.is_shut_out(id));
        let brings_enough = have_it.is_none_or(|have_it| {
            let left = have_it
                .iter()
                .filter(|other| **other != id && !self.is_shut_out(**other));
            left.count() >= self.roster.threshold()
        });
        let wanted = match why {
            ShutOut::LosesItsKeys => self.quorum(),
            ShutOut::ByOperator => self.needed(),
        };
        let possible = others >= wanted && brings_enough;
        if possible {
            self.shut_out.insert(id, why);
        }
        possible
    }

    pub(super) fn is_shut_out(&self, id: HospitalId) -> bool {
        self.shut_out.contains_key(&id)
    }

    /// What a hospital is told that the run goes on without; none of one that may take part.
    pub(super) fn word_for_shut_out(&self, id: HospitalId) -> Option<MachineError> {
        Some(match self.shut_out.get(&id)? {
            ShutOut::LosesItsKeys => MachineError::SetUpTooOften {
                from: id,
                times: MAX_SET_UPS_BEGUN_ANEW,
            },
            ShutOut::ByOperator => MachineError::WithoutIt { from: id },
        })
    }

    /// Another session takes the place of this one, on account of a hospital that has no keys of it, or has lost them.
    pub(super) fn begin_anew(&mut self, because_of: HospitalId) -> Result<(), MachineError>
    where
        R: CryptoRng,
    {
        let times = self.set_ups_begun_anew.entry(because_of).or_default();
        if *times >= MAX_SET_UPS_BEGUN_ANEW {
            return Err(MachineError::SetUpTooOften {
                from: because_of,
                times: *times,
            });
        }
        *times += 1;
        self.renew_session();
        Ok(())
    }

    /// Another session, which nobody has joined.
    pub(super) fn renew_session(&mut self)
    where
        R: CryptoRng,
    {
        let session = draw_session(&mut self.rng);
        self.enter_session(session);
        self.note_session();
    }

    /// This session is the one at hand; what still comes of the one before is void.
    pub(super) fn enter_session(&mut self, session: SessionId) {
        self.former_sessions.insert(self.session);
        self.session = session;
        self.begun_at = self.advanced_at;
        self.products.begin_session(session);
        self.peers.begin_session();
    }

    /// What has to be on disk before the first Welcome of a session.
    pub(super) fn note_session(&mut self) {
        self.persist(Fact::Begun {
            manifest: self.run.manifest.signed().clone(),
            session: self.session,
        });
    }

    /// A hospital's word on the round that the session goes on after. It is not repeated: without it nobody would know that this hospital
    /// can bring the state.
    pub(super) fn on_closed_before(
        &mut self,
        from: HospitalId,
        closed: Signed<RoundClosed>,
    ) -> Result<Reaction, MachineError> {
        let key = self.member(from)?.signing_key;
        let body = closed
            .verify(&key, format_args!("hospital {from}"))
            .map_err(|error| MachineError::closing(from)(error.into()))?;
        let reached = Head {
            transcript: body.transcript,
            model_hash: body.model_hash,
        };
        let is_of_it = body.id.0 == from && self.beginning.after == Some(reached);
        if !is_of_it || !self.beginning.note_reached(from) {
            return Ok(Reaction::Ignored(FORMER_SESSION));
        }
        self.persist(Fact::Closed(closed));
        Ok(Reaction::Handled)
    }

    /// Whether sessions went before this one, so that messages of theirs may be on their way.
    pub(super) fn has_former_session(&self) -> bool {
        !self.former_sessions.is_empty()
    }

    /// Whether a message belongs to the set-up of a session before this one: it was on its way.
    pub(super) fn is_of_former_session(&self, message: &SetUpMessage) -> bool {
        if self.former_sessions.is_empty() {
            return false;
        }
        let session = message.session();
        session.is_ok_and(|session| self.former_sessions.contains(&session))
    }

    /// A hospital's Hello is accepted: it stands here, or where it is known to stand.
    pub(super) fn greet(
        &mut self,
        from: HospitalId,
        position: usize,
        now: Timestamp,
    ) -> Result<(), MachineError> {
        let peer = self.peers.get_mut(from);
        let peer = peer.ok_or(MachineError::NotOnRoster { from })?;
        peer.greet(position, now);
        Ok(())
    }

    /// Session and run, for a hospital whose Hello was accepted.
    pub(super) fn welcome(&self) -> Welcome {
        Welcome {
            session: self.session,
            roster_hash: self.roster.hash(),
            manifest: self.run.manifest.signed().clone(),
            after: self.beginning.transcript(),
        }
    }

    /// Tells a hospital that the run does not go on with it.
    pub(super) fn refuse(&mut self, to: HospitalId, reason: String) {
        self.send(
            to,
            ToVault::Refused {
                reason: Text(reason),
            },
        );
    }

    /// The encrypted products: keys and features are kept, a request is answered.
    pub(super) fn on_conditioning(
        &mut self,
        from: HospitalId,
        message: ConditioningMessage,
    ) -> Result<Reaction, MachineError> {
        let rejected = MachineError::product(from);
        match message {
            ConditioningMessage::EvaluationKey(key) => {
                self.products.on_key(from, &key).map_err(rejected)
            }
            ConditioningMessage::EncryptedFeatures(features) => {
                self.products.on_features(from, features).map_err(rejected)
            }
            ConditioningMessage::FilterRequest(request) => {
                let products = self.products.multiply(from, &request).map_err(rejected)?;
                self.send(from, ToVault::Products(products));
                Ok(Reaction::Handled)
            }
        }
    }
}

/// A session's number.
pub(super) fn draw_session(rng: &mut impl CryptoRng) -> SessionId {
    let mut session = [0; 16];
    rng.fill_bytes(&mut session);
    SessionId::from_bytes(session)
}

/// A hospital that loses its keys more often holds up the others without end.
pub(super) const MAX_SET_UPS_BEGUN_ANEW: u32 = 10;
