//! Between two sums: for enough hospitals, or for the time of the next try. Before an update, and at the end, hospitals that have come
//! late are let in: another session follows.

use crypto::sealed_sum::HospitalId;
use protocol::{
    identity::Signed,
    manifest::Purpose,
    round::header::{RoundContext, RoundOpen},
};
use rand_core::CryptoRng;

use super::{Collecting, Finishing, Gathering, OpenRound, Over, Phase, Step};
use crate::machine::{
    Event, Fact, Timestamp,
    beginning::Beginning,
    context::{Context, ShutOut},
    head::Head,
    peer::Peer,
    plan::PlannedSum,
    session::Session,
    waiting_report::{Part, Wait},
};

pub(in crate::machine) struct Waiting {
    pub(in crate::machine) session: Box<Session>,
    /// What t vaults have signed alike for the last round.
    head: Head,
    pub(super) retry: Retry,
    /// So long hospitals that get the state of the session's beginning are given to take part in its first round.
    pub(super) let_in_until: Timestamp,
    /// How many hospitals were present when operators were last told; at the start as many as are needed, of which nothing is told.
    present_told: usize,
}

/// When the next sum may be opened, and how often it was tried in vain.
#[derive(Clone, Copy)]
pub(in crate::machine) struct Retry {
    pub(super) not_before: Timestamp,
    pub(super) failures: u32,
}

impl Retry {
    /// The first try of a sum.
    pub(in crate::machine) fn at_once(now: Timestamp) -> Self {
        Self {
            not_before: now,
            failures: 0,
        }
    }

    /// After one more failure, less and less eagerly: contributions that cannot be summed must not make the hospitals spin.
    pub(super) fn after_failures(failures: u32, now: Timestamp, silence_secs: u32) -> Self {
        let pause = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        Self {
            not_before: now.after_secs(silence_secs.min(pause)),
            failures,
        }
    }
}

impl Waiting {
    pub(in crate::machine) fn new<R>(
        context: &Context<R>,
        session: Box<Session>,
        head: Head,
        retry: Retry,
    ) -> Self {
        Self {
            session,
            head,
            retry,
            let_in_until: Timestamp(0),
            present_told: context.needed(),
        }
    }

    /// After a round that gets no outcome.
    pub(super) fn after_abandoned<R>(
        context: &Context<R>,
        mut session: Box<Session>,
        round: &OpenRound,
        retry: Retry,
    ) -> Self {
        session.given_up.insert(round.hash);
        Self::new(context, session, round.head(), retry)
    }

    /// Over when the next sum is opened, or when there is none.
    pub(super) fn advance<R: CryptoRng>(
        mut self,
        context: &mut Context<R>,
        now: Timestamp,
    ) -> Step {
        let nobody_opens = self.nobody_opens(context);
        if let Some(reason) = nobody_opens.or_else(|| self.too_few_contribute(context, now)) {
            return Step::Go(Phase::Over(Over::fail(context, reason)));
        }
        match self.session_ends(context) {
            SessionEnds::Now => return Step::Go(self.follow(context)),
            SessionEnds::Soon => return Step::Stay(Phase::Waiting(self)),
            SessionEnds::NotYet => {}
        }
        let Some(planned) = context.plan.next() else {
            let deadline = now.after_secs(context.serve_outcomes_secs);
            let finishing = Finishing::new(self.session, self.head, deadline);
            return Step::Go(Phase::Finishing(finishing));
        };
        if context.is_paused {
            return Step::Stay(Phase::Waiting(self));
        }
        if planned.purpose == Purpose::Evaluation
            && let Some(reason) = self.evaluation_is_out_of_reach(context, now)
        {
            self.leave_out(context, planned, reason);
            return Step::Go(Phase::Waiting(self));
        }
        let lets_in = now < self.let_in_until && context.peers.some_get_the_state();
        if lets_in || now < self.retry.not_before || !self.enough_are_present(context) {
            return Step::Stay(Phase::Waiting(self));
        }
        Step::Go(self.open(context, planned, now))
    }

    /// Whether hospitals have come that a following session would let in, and it can begin: the last round is settled, an update or the end
    /// comes next, t members are here that have signed it, with the others they are enough, and no member is gone that may be back soon.
    /// At the end such a one is waited for: there is no later chance.
    fn session_ends<R>(&self, context: &Context<R>) -> SessionEnds {
        let planned = context.plan.next();
        let is_border = planned.is_none_or(|planned| planned.purpose == Purpose::Update);
        let outsiders = outsiders(context).len();
        if !is_border || !self.is_reached(context) || outsiders == 0 {
            return SessionEnds::NotYet;
        }
        let peers = &context.peers;
        let closed = self.session.chain.len();
        let mut have_signed = peers.ids_where(|peer| peer.has_signed(closed));
        if closed == 0 {
            have_signed.retain(|id| context.beginning.reached_by.contains(id));
        }
        let (here, may_be_back) = (
            have_signed.len(),
            peers.ids_where(|peer| peer.may_be_back()).len(),
        );
        let threshold = context.roster.threshold();
        let is_enough =
            |members: usize| members >= threshold && members + outsiders >= context.needed();
        match planned {
            _ if is_enough(here) && may_be_back == 0 => SessionEnds::Now,
            None if may_be_back > 0 && is_enough(here + may_be_back) => SessionEnds::Soon,
            _ => SessionEnds::NotYet,
        }
    }

    /// Whether a round of the run is settled, which another session can go on after.
    pub(in crate::machine) fn is_reached<R>(&self, context: &Context<R>) -> bool {
        self.session.chain.len() > 0 || context.beginning.after.is_some()
    }

    /// All hospitals that are here join a session that goes on from what is reached.
    fn follow<R: CryptoRng>(self, context: &mut Context<R>) -> Phase {
        let hospitals = outsiders(context);
        let mut phase = Phase::Waiting(self);
        for &because_of in &hospitals {
            let Phase::Waiting(waiting) = &phase else {
                break;
            };
            let (session, beginning) = (&waiting.session, waiting.end(context));
            let before = std::mem::replace(&mut context.beginning, beginning);
            match context.begin_anew(because_of) {
                Ok(()) => {
                    session.retract_all(context);
                    phase = Phase::Gathering(Gathering::default());
                }
                Err(error) => {
                    // It is let in no more; the session goes on without it.
                    context.beginning = before;
                    context.refuse(because_of, error.to_string());
                    let have_it = waiting.session.with_keys().into_iter().collect();
                    context.shut_out(because_of, ShutOut::LosesItsKeys, Some(&have_it));
                    if let Some(peer) = context.peers.get_mut(because_of) {
                        peer.disconnect(Timestamp(0));
                    }
                }
            }
        }
        if let Phase::Gathering(_) = phase {
            context.event(Event::SessionFollows { hospitals });
        }
        phase
    }

    /// Why there is no evaluation of this model: a member of the first one is gone for longer than anybody is waited for, or too few could
    /// contribute to the first one, and others are let in only before an update. PROTOCOL.md 3.3: each evaluation is over the same U as the first, "or
    /// none: so the coordinator waits for those members as long as for a silent hospital".
    fn evaluation_is_out_of_reach<R>(
        &self,
        context: &Context<R>,
        now: Timestamp,
    ) -> Option<&'static str> {
        let is_gone = |id: &HospitalId| context.peers.is_given_up(*id);
        let behind = self.session.stay_behind(context);
        if let Some(members) = self.session.chain.first_evaluation() {
            let is_missing = |id: &HospitalId| is_gone(id) || behind.contains(id);
            return members.iter().any(is_missing).then_some(
                "hospitals of the first evaluation are missing, and another set would single them out",
            );
        }
        let lost = self.session.lost_for_good(context, now);
        let somebody_waits = !outsiders(context).is_empty();
        let may_contribute = |id: &HospitalId| {
            // One that has come back without its keys is no member, and may find them yet.
            let is_away = is_gone(id) && !self.session.lost.contains(id);
            !(lost.contains(id) || behind.contains(id) || is_away && somebody_waits)
        };
        let able = self.session.joined().into_iter().filter(may_contribute);
        (able.count() < context.needed())
            .then_some("too few hospitals are left that could contribute to it")
    }

    /// Why no further sum will have enough contributors.
    fn too_few_contribute<R>(&self, context: &Context<R>, now: Timestamp) -> Option<String> {
        context.plan.next()?;
        let needed = context.needed();
        // Later, another session lets them in.
        let lost = self.session.lost_for_good(context, now);
        let left = self.session.members() - lost.len();
        if !self.is_reached(context) && left < needed {
            let lost: Vec<_> = lost.iter().map(|id| id.get()).collect();
            return Some(format!(
                "the hospitals {lost:?} have come back without their keys before anything was settled, so that {left} are left where \
                 {needed} are needed: find out from their participants' logs what became of their state folders, and start a new run"
            ));
        }
        let behind = self.session.stay_behind(context);
        let left = context.roster.size() - behind.len();
        (left < needed).then(|| {
            let behind: Vec<_> = behind.iter().map(|id| id.get()).collect();
            format!(
                "the hospitals {behind:?} follow no further update that does not open (policy.max_null_steps), so that {left} are left \
                 where {needed} are needed: start a new run from the model (run.initial_model), and ask all hospitals to check their \
                 participants"
            )
        })
    }

    fn leave_out<R>(&self, context: &mut Context<R>, planned: PlannedSum, reason: &str) {
        context.leave_out(planned);
        context.event(Event::Abandoned {
            round: self.session.last_round,
            purpose: planned.purpose,
            reason: reason.to_owned(),
        });
    }

    /// For hospitals that are not here, or have not opened the last outcome; or for the time of the next try.
    pub(super) fn wait<R>(&self, context: &Context<R>, now: Timestamp) -> Wait {
        let closed = self.session.chain.len();
        let missing = context.peers.ids_where(|peer| {
            peer.is_in_session() && (!peer.is_present() || peer.position < closed)
        });
        Wait {
            ends: Some(self.retry.not_before).filter(|end| *end > now),
            parts: missing.into_iter().map(|id| (id, Part::CatchUp)).collect(),
            ..Wait::default()
        }
    }

    fn enough_are_present<R>(&mut self, context: &mut Context<R>) -> bool {
        let needed = context.needed();
        let present = match self.session.chain.len() {
            // For as many as newcomers do not help, others have to be here.
            0 if self.can_answer(context) < context.roster.threshold() => self.can_answer(context),
            _ => self.up_to_date(context),
        };
        if present < needed && present != self.present_told {
            self.present_told = present;
            context.event(Event::Waiting { present, needed });
        }
        present >= needed
    }

    /// Why no sum on the model that the session began with can ever be opened: too few hospitals have reached it by themselves.
    fn nobody_opens<R>(&self, context: &Context<R>) -> Option<String> {
        if self.session.chain.len() > 0 || context.plan.next().is_none() {
            return None;
        }
        let mut without = context.beginning.given_to.clone();
        without.extend(self.session.do_not_answer(context));
        if without.is_empty() {
            return None;
        }
        let needed = context.roster.threshold();
        let mut helping = context.beginning.reached_by.clone();
        helping.extend(self.session.joined());
        let left = helping.difference(&without).count();
        (left < needed).then(|| {
            let without: Vec<_> = without.iter().map(|id| id.get()).collect();
            format!(
                "the hospitals {without:?} were given the model and may have helped before to open a sum on it, so that {left} are left \
                 where {needed} are needed: start a new run from it (run.initial_model)"
            )
        })
    }

    /// So many hospitals that are here help to open a sum on the model that the session began with.
    fn can_answer<R>(&self, context: &Context<R>) -> usize {
        let (present, without) = (context.peers.present(), self.session.do_not_answer(context));
        let answering = present.iter().filter(|id| !without.contains(id));
        answering.count()
    }

    /// So many hospitals can take part in the next sum.
    fn up_to_date<R>(&self, context: &Context<R>) -> usize {
        context.peers.up_to_date(self.session.chain.len()).len()
    }

    /// PROTOCOL.md 3.3: "RoundOpen (coordinator -> all, signed)". The header is on disk before it leaves: one for each number.
    fn open<R: CryptoRng>(
        self,
        context: &mut Context<R>,
        planned: PlannedSum,
        now: Timestamp,
    ) -> Phase {
        let mut nonce = [0; 32];
        context.rng.fill_bytes(&mut nonce);
        let header = self.header(context, planned.purpose, nonce);
        let signed = context.sign(&header);
        context.persist(Fact::Header(signed.clone()));
        let round = header.round;
        context.event(Event::Opened {
            round,
            purpose: planned.purpose,
            learning_round: planned.learning_round,
        });
        context.peers.start_round(now);
        Phase::Collecting(self.opened(context, planned, signed, header, now))
    }

    fn header<R>(&self, context: &Context<R>, purpose: Purpose, nonce: [u8; 32]) -> RoundOpen {
        let session = &self.session;
        let state = RoundContext {
            roster: &context.roster,
            manifest: &context.run.manifest,
            run: context.run.manifest.run(),
            session: context.session,
            joined_set: session.joined_set,
            joined: session.members(),
            gid: session.gid,
            transcript: self.head.transcript,
            model_hash: self.head.model_hash,
        };
        state.open(purpose, session.last_round.next(), nonce)
    }

    /// The round of a header that is on disk.
    pub(in crate::machine) fn opened<R>(
        self,
        context: &Context<R>,
        planned: PlannedSum,
        signed: Signed<RoundOpen>,
        header: RoundOpen,
        now: Timestamp,
    ) -> Collecting {
        let mut session = self.session;
        session.last_round = header.round;
        let shape = context.run.shape(planned.purpose, session.members());
        let round = OpenRound::new(signed, header, shape.chunks());
        Collecting::new(session, round, planned, self.retry.failures, now)
    }

    /// What a session that follows this one goes on from.
    pub(in crate::machine) fn end<R>(&self, context: &Context<R>) -> Beginning {
        self.session.end(context, self.head)
    }

    /// Whether a header that was kept can be the next one.
    pub(in crate::machine) fn may_open(&self, header: &RoundOpen) -> bool {
        header.round > self.session.last_round
            && header.transcript == self.head.transcript
            && header.model_hash == self.head.model_hash
    }
}

/// Whether the session comes to its end so that others can be let in.
enum SessionEnds {
    NotYet,
    /// Once members that are on their way are here.
    Soon,
    Now,
}

/// Hospitals that are here, have been heard of, and take no part in the session but would in another.
fn outsiders<R>(context: &Context<R>) -> Vec<HospitalId> {
    context.peers.ids_where(Peer::waits_to_be_let_in)
}
