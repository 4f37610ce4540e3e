//! The coordinator's side of a run as a state machine without I/O: events and the time come in as arguments, what is to be done
//! leaves through [`Coordinator::poll_output`].
//!
//! ```text
//! gathering --all joined--> key exchange --all ready--> +-> waiting --enough hospitals--> collecting --U fixed--> unlocking --+
//!                                                       |    |   ^                             |                              |
//!                            over <-- finishing <--no more sums  +--- too few: same sum again -+       t answers: outcome     |
//!                                                       |                                                                     |
//!                                                       +-- t vaults closed it alike -- publishing <--------------------------+
//! ```
//!
//! Before the first header of a session, a hospital that has lost its keys takes the run back to gathering, in a new session
//! (`phase::anew`). Between two learning rounds a hospital that has come late does: the new session goes on from what was reached, and
//! where some do not have that, one that has it seals it for them (`handing over`, before waiting).
//!
//! Each phase is a type of its own (`phase`); what all share is the `context`. What a phase makes of each message is decided in
//! one place, `Phase::on_message`, and shown as a table in `tests/snapshots`.
//!
//! A hospital may vanish and return at any moment. What it is owed is derived from where it stands, never from what was sent. This
//! process may be stopped at any moment: what must not be forgotten leaves as [`Output::Persist`] before the message that depends
//! on it, and [`Coordinator::resume`] goes on from it. The coordinator holds no secret of a hospital and names no type that could.

mod beginning;
mod chain;
mod context;
mod early;
mod error;
mod event;
mod fact;
mod head;
mod input;
mod kept_sum;
mod output;
mod peer;
mod phase;
mod plan;
mod products;
mod published;
mod reaction;
mod resume;
mod session;
mod set_up_check;
mod share_boxes;
#[cfg(test)]
mod tests;
mod upload;
mod waiting_report;

use std::sync::Arc;

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::Text,
    digests::{LearningRound, RoundNumber, RunId, SessionId},
    identity::{Signed, SigningKey},
    manifest::{CheckedManifest, Manifest, ManifestCheck, ManifestError, Purpose},
    message::{ToCoordinator, ToVault},
    roster::Roster,
};
use rand_core::CryptoRng;

use self::{
    context::{Context, Run, ShutOut, draw_session},
    input::{Envelope, Incoming},
    phase::{Over, Phase, Step},
    reaction::Reaction,
    session::Session,
};

pub use protocol::transcript::TranscriptEntry;

pub(crate) use self::waiting_report::with_name;
pub use self::{
    error::{ClosingError, FactError, MachineError, ProductError, ResumeError},
    event::Event,
    fact::{Fact, FactKind, FixedRecord, SetUpRecord},
    input::{InputKind, PhaseName},
    output::Output,
    upload::UploadedBytes,
    waiting_report::{Part, WaitState, WaitedFor, WaitingReport},
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
    context: Context<R>,
    phase: Phase,
    /// When this phase began.
    since: Timestamp,
}

impl<R: CryptoRng> Coordinator<R> {
    /// A run that waits for all hospitals of the roster to join.
    ///
    /// # Errors
    /// [`ManifestError`] says why the manifest cannot be run.
    pub fn new(
        roster: Arc<Roster>,
        key: SigningKey,
        signed_manifest: Signed<Manifest>,
        rng: R,
    ) -> Result<Self, ManifestError> {
        Self::new_with_check(CheckedManifest::check, roster, key, signed_manifest, rng)
    }

    /// The same with another check of the manifest: for tests with networks that nobody trains.
    ///
    /// # Errors
    /// That of the check.
    pub fn new_with_check(
        check: ManifestCheck,
        roster: Arc<Roster>,
        key: SigningKey,
        signed_manifest: Signed<Manifest>,
        rng: R,
    ) -> Result<Self, ManifestError> {
        let run = Run::of(check(signed_manifest, &roster)?);
        Ok(Self::begin(roster, key, run, rng))
    }

    fn begin(roster: Arc<Roster>, key: SigningKey, run: Run, mut rng: R) -> Self {
        let session = draw_session(&mut rng);
        let mut context = Context::new(roster, key, run, session, rng);
        context.note_session();
        Self {
            context,
            phase: Phase::Gathering(Default::default()),
            since: Timestamp(0),
        }
    }

    /// Sets how long hospitals that have not fetched the last outcome are waited for when all rounds are done. Without it, as long
    /// as a silent hospital is.
    #[must_use]
    pub fn serving_outcomes_for(mut self, seconds: u32) -> Self {
        self.context.serve_outcomes_secs = seconds;
        self
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.context.outputs.pop_front()
    }

    /// Where the run is.
    pub fn phase(&self) -> PhaseName {
        self.phase.name()
    }

    /// The run as its operator has signed it.
    pub fn manifest(&self) -> &Manifest {
        &self.context.run.manifest
    }

    /// H of its manifest.
    pub fn run(&self) -> RunId {
        self.context.run.manifest.run()
    }

    /// Who may take part.
    pub fn roster(&self) -> &Roster {
        &self.context.roster
    }

    /// The session's number.
    pub fn session(&self) -> SessionId {
        self.context.session
    }

    /// The hospitals of the session that have their keys, once these stand.
    pub fn members(&self) -> Option<Vec<HospitalId>> {
        self.phase.session().map(Session::with_keys)
    }

    /// The hospitals that have reached what the next session goes on from, while it is set up.
    pub fn bring_the_state(&self) -> Option<Vec<HospitalId>> {
        let beginning = &self.context.beginning;
        let is_set_up = self.phase.session().is_none() && beginning.after.is_some();
        is_set_up.then(|| beginning.reached_by.iter().copied().collect())
    }

    /// Members that do not help to open a sum on the present model, which another hospital has handed over to them.
    pub fn do_not_answer(&self) -> Vec<HospitalId> {
        let session = self.phase.session();
        session.map_or_else(Vec::new, |session| {
            session.do_not_answer(&self.context).into_iter().collect()
        })
    }

    /// The largest number of a round so far; none before the first.
    pub fn last_round(&self) -> Option<RoundNumber> {
        let session = self.phase.session()?;
        Some(session.last_round).filter(|round| *round > RoundNumber::default())
    }

    /// What the run waits for; none once it has ended.
    pub fn waiting(&self, now: Timestamp) -> Option<WaitingReport> {
        if self.is_over() {
            return None;
        }
        let wait = self.phase.wait(&self.context, now);
        let secs_until = |end: Timestamp| end.0.saturating_sub(now.0) / 1000;
        let waited_for = |(hospital, part)| {
            let contact = self.context.peers.contact(hospital);
            let member = self.context.roster.member(hospital)?;
            Some(WaitedFor::new(member, part, contact, now))
        };
        Some(WaitingReport {
            phase: self.phase(),
            round: wait.round,
            waited_secs: now.0.saturating_sub(self.since.0) / 1000,
            ends_in_secs: wait.ends.map(secs_until),
            paused: self.is_paused(),
            hospitals: wait.parts.into_iter().filter_map(waited_for).collect(),
        })
    }

    /// Whether the run has ended, well or not.
    pub fn is_over(&self) -> bool {
        self.phase() == PhaseName::Over
    }

    /// A hospital has connected; its [`ToCoordinator::Hello`] follows.
    pub fn handle_connected(&mut self, hospital: HospitalId, now: Timestamp) {
        if let Some(peer) = self.context.peers.get_mut(hospital) {
            peer.connect(now);
        }
    }

    /// A hospital's connection is lost.
    pub fn handle_disconnected(&mut self, hospital: HospitalId, now: Timestamp) {
        if let Some(peer) = self.context.peers.get_mut(hospital) {
            peer.disconnect(now);
        }
        self.advance(now);
    }

    /// A message of a hospital. One that is not accepted is reported and changes nothing else.
    pub fn handle_message(&mut self, from: HospitalId, message: ToCoordinator, now: Timestamp) {
        self.hear(from, now);
        if let (ToCoordinator::Join(_), Some(peer)) = (&message, self.context.peers.get_mut(from)) {
            peer.wants_to_join();
        }
        let envelope = self.envelope(from, InputKind::of(&message));
        let reaction = self.check_member(from).and_then(|()| {
            let message = Incoming::from(message);
            self.phase
                .on_message(&mut self.context, envelope, message, now)
        });
        self.report(envelope, &reaction);
        self.advance(now);
    }

    /// A piece of an upload has arrived: a sign of life.
    pub fn handle_progress(&mut self, from: HospitalId, now: Timestamp) {
        self.hear(from, now);
    }

    /// Whether an upload of this many bytes may start: a round collects, and contributions to it have this length, or a state is awaited
    /// of this hospital.
    ///
    /// # Errors
    /// [`MachineError`] to be sent back as the refusal.
    pub fn check_upload(&self, from: HospitalId, bytes: u64) -> Result<(), MachineError> {
        self.check_member(from)?;
        let envelope = self.envelope(from, InputKind::UploadOffer);
        self.phase.check_upload(&self.context, envelope, bytes)
    }

    /// A complete upload. Its bytes are kept for as long as they may have to be read again.
    ///
    /// # Errors
    /// [`MachineError`] to be sent back as the verdict; not so [`MachineError::Unreadable`], which says nothing of the upload.
    pub fn handle_upload(
        &mut self,
        from: HospitalId,
        upload: impl UploadedBytes + 'static,
        now: Timestamp,
    ) -> Result<(), MachineError> {
        self.hear(from, now);
        let envelope = self.envelope(from, InputKind::Upload);
        let reaction = self.check_member(from).and_then(|()| {
            self.phase
                .on_upload(&mut self.context, envelope, Box::new(upload), now)
        });
        self.report(envelope, &reaction);
        self.advance(now);
        reaction.map(|_| ())
    }

    /// When to call [`Self::handle_timeout`], at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.is_over() {
            return None;
        }
        // Silence is noted when it begins and then no longer listed; a phase's deadlines stay, and have had their effect once the machine
        // has advanced beyond them. Listed again they would keep the shell from sleeping while hospitals train.
        let deadlines = self.phase.deadlines(&self.context).into_iter().flatten();
        let once = deadlines.filter(|moment| *moment > self.context.advanced_at);
        let silence = self.context.peers.patience_ends();
        silence.into_iter().chain(once).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// The operator's word: the run goes on without this hospital until this process is started again.
    ///
    /// # Errors
    /// What stands against it, for people.
    pub fn go_on_without(&mut self, hospital: HospitalId, now: Timestamp) -> Result<(), String> {
        let context = &mut self.context;
        if context.roster.member(hospital).is_none() {
            return Err(format!("there is no hospital {hospital} on the roster"));
        }
        if self.phase.name() == PhaseName::Over || context.is_shut_out(hospital) {
            return Ok(());
        }
        let have_it = self.phase.have_what_comes_next(context);
        if !context.shut_out(hospital, ShutOut::ByOperator, have_it.as_ref()) {
            return Err(format!(
                "without hospital {hospital} too few would be left: {} have to take part",
                context.needed()
            ));
        }
        if let Some(word) = context.word_for_shut_out(hospital) {
            context.refuse(hospital, word.to_string());
        }
        self.phase.go_on_without(context, hospital, now);
        context.event(Event::GoesOnWithout { hospital });
        self.advance(now);
        Ok(())
    }

    /// The operator's word: no further sum is opened, or it goes on. The sum at hand is finished.
    ///
    /// # Errors
    /// If no further sum comes.
    pub fn pause(&mut self, paused: bool, now: Timestamp) -> Result<(), String> {
        if self.is_over() || paused && self.context.plan.next().is_none() {
            return Err("no further sum of this run comes: it is over, or about to end".to_owned());
        }
        self.context.is_paused = paused;
        self.advance(now);
        Ok(())
    }

    /// Whether the operator has paused the run.
    pub fn is_paused(&self) -> bool {
        self.context.is_paused && self.context.plan.next().is_some()
    }

    /// The operator's word: the run ends now, for all.
    ///
    /// # Errors
    /// If it has ended already.
    pub fn stop(&mut self, now: Timestamp) -> Result<(), String> {
        if self.phase.name() == PhaseName::Over {
            return Err("the run is over already".to_owned());
        }
        let reason = "its operator has stopped the run".to_owned();
        self.phase = Phase::Over(Over::fail(&mut self.context, reason));
        self.since = now;
        self.advance(now);
        Ok(())
    }

    /// The operator's word: the run ends well, before its last round. An update that is at hand is finished, and the evaluation that
    /// belongs to it; no further round follows, and a pause is over. Said again when that update was given up, it ends with the round before. Kept, so that a coordinator that is started again goes by it.
    ///
    /// # Errors
    /// If it has ended already, or would have no model.
    pub fn end_after_this_round(&mut self, now: Timestamp) -> Result<(), String> {
        let next = self.context.plan.next().filter(|_| !self.is_over());
        let next = next.ok_or("the run is over, or about to end")?;
        // Between two rounds, the next one is not begun.
        let is_at_hand = next.purpose == Purpose::Evaluation || self.phase.is_in_a_round();
        let last = next
            .learning_round
            .get()
            .saturating_sub(u32::from(!is_at_hand));
        let last = LearningRound::new(last);
        if last == LearningRound::default() {
            return Err("no round of the run is done or at hand, so that it has no model yet: stop it without --keep-best".to_owned());
        }
        // A pause would hold up the evaluation that belongs to it.
        self.context.is_paused = false;
        if last.get() < self.context.run.manifest.rounds {
            self.context.advanced_at = self.context.advanced_at.max(now);
            self.context.persist(Fact::EndsAfter {
                learning_round: last,
            });
            self.context.end_after(last);
            self.context.event(Event::EndsAfter {
                learning_round: last,
            });
        }
        self.advance(now);
        Ok(())
    }

    /// How many learning rounds the run has: those of its manifest, or fewer if its operator ends it before.
    pub fn learning_rounds(&self) -> u32 {
        self.context.plan.learning_rounds()
    }

    /// Why the run ends, or has ended, well before the last round of its manifest, for people; none where it does not.
    pub fn early_end(&self) -> Option<String> {
        let (context, rounds) = (&self.context, self.context.run.manifest.rounds);
        match context.ended_by_operator() {
            Some(after) => Some(format!(
                "its operator has ended it after learning round {after} of {rounds}"
            )),
            None if context.plan.is_stopped() && context.plan.last_round().get() < rounds => Some(
                "it ended before its last round, as the evaluations brought no gain any more (run.early_stop)".to_owned(),
            ),
            None => None,
        }
    }

    /// The learning round of the sum at hand, or that comes next; none once all are done.
    pub fn learning_round(&self) -> Option<LearningRound> {
        let next = self.context.plan.next()?;
        Some(next.learning_round)
    }

    fn envelope(&self, from: HospitalId, kind: InputKind) -> Envelope {
        Envelope {
            from,
            kind,
            phase: self.phase(),
        }
    }

    fn check_member(&self, from: HospitalId) -> Result<(), MachineError> {
        if self.context.peers.contains(from) {
            Ok(())
        } else {
            Err(MachineError::NotOnRoster { from })
        }
    }

    fn hear(&mut self, from: HospitalId, now: Timestamp) {
        if let Some(peer) = self.context.peers.get_mut(from) {
            peer.hear(now);
        }
    }

    /// No input goes by in silence.
    fn report(&mut self, envelope: Envelope, reaction: &Result<Reaction, MachineError>) {
        match reaction {
            Ok(Reaction::Handled) => {}
            Ok(Reaction::Ignored(reason)) => self.context.event(Event::Ignored {
                hospital: envelope.from,
                message: envelope.kind,
                phase: envelope.phase,
                reason,
            }),
            Err(error) => {
                self.context.reject(envelope.from, error);
                if envelope.kind != InputKind::Upload {
                    self.tell_rejected(envelope.from, error);
                }
            }
        }
    }

    /// Tells a hospital that a message of its was not accepted, so that its people hear of it too. An upload has its verdict.
    fn tell_rejected(&mut self, to: HospitalId, error: &MachineError) {
        let peer = self.context.peers.get_mut(to);
        if peer.is_some_and(|peer| peer.is_connected()) {
            let reason = Text(error.to_string());
            self.context.send(to, ToVault::Rejected { reason });
        }
    }

    /// Goes on as far as phase and time allow, then hands every connected hospital what it is owed.
    fn advance(&mut self, now: Timestamp) {
        self.context.advanced_at = self.context.advanced_at.max(now);
        self.context.peers.note_silence(now);
        self.context.products.note_time(now);
        loop {
            // What stands here if the step panics.
            let broken = Phase::Over(Over::broken());
            let phase = std::mem::replace(&mut self.phase, broken);
            match phase.advance(&mut self.context, now) {
                Step::Go(next) => {
                    self.phase = next;
                    self.since = now;
                }
                Step::Stay(same) => {
                    self.phase = same;
                    break;
                }
            }
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        let mut owed = Vec::new();
        let word_of_the_end = self.context.word_of_the_end();
        for (id, peer) in self.context.peers.iter_mut() {
            if !peer.is_connected() {
                continue;
            }
            if self.phase.takes_part(id) {
                let is_news = self.phase.welcomes() && peer.sent.welcome();
                owed.extend(is_news.then_some((id, None)));
                let messages = self.phase.owed(id, peer, &word_of_the_end);
                owed.extend(messages.into_iter().map(|message| (id, Some(message))));
            } else if peer.sent.not_yet() {
                owed.push((id, Some(self.phase.word_for_outsiders(id))));
            }
        }
        for (to, message) in owed {
            let message = message.unwrap_or_else(|| ToVault::Welcome(self.context.welcome()));
            self.context.send(to, message);
        }
    }
}
