//! A session whose keys are complete: one sealed sum after another, first that of the statistics, then updates and evaluations.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{
    counters::EvaluationCounters,
    digests::{ChunksRoot, HeaderHash, LearningRound, RunId, SessionId, Transcript},
    identity::{Signed, SignedError},
    labels::Labels,
    manifest::Purpose,
    message::{RefusedPart, Resume, ToCoordinator},
    roster::Roster,
    round::{
        RoundError,
        header::RoundOpen,
        next_transcript,
        null_step::{NullStep, check_failed},
        outcome::{ReceivedOutcome, RoundClosed},
        unlock::UnlockRequest,
    },
    session::{SessionError, state_name},
};
use tracing::debug_span;
use zeroize::Zeroizing;

use super::{
    common_state::{self, Carried},
    error::{StepError, VaultError},
    hospital::Hospital,
    input::{InputKind, PhaseInput, RunEnd},
    kept::{ProgressRecord, SessionRecord, position},
    keys::SessionKeys,
    learning::Learning,
    output::{ResumedRun, VaultEvent, VaultOutput},
    phase_name::PhaseName,
    round::{
        NoWork, OpenRound, Round, WhyNot,
        contribute::Material,
        open::{CheckedOutcome, Contents},
    },
    session_state::{Chain, Run, Session},
    statistics::own_counters,
    step::{REPEATED, Reaction, StepResult},
};
use crate::journal::{EndedRun, Journal, KeptSession};

/// The phase in which sums are made: the session, and what its rounds are for.
pub(super) struct InSession {
    pub(super) session: Session,
    pub(super) stage: Stage,
}

/// What the session's rounds are for.
pub(super) enum Stage {
    /// The statistics of the federation are not known: the only sum is that of the statistics.
    BeforeStatistics(Box<BeforeStatistics>),
    /// They are known: updates and evaluations.
    Learning(Box<Learning>),
}

/// The only work of this stage is to count, which is done at once.
#[derive(Default)]
pub(super) struct BeforeStatistics {
    pub(super) round: Round<NoWork>,
}

/// Runs an expression on the round at hand, whatever the stage.
macro_rules! with_round {
    ($stage:expr, $round:ident => $body:expr) => {
        match $stage {
            Stage::BeforeStatistics(stage) => {
                let $round = &mut stage.round;
                $body
            }
            Stage::Learning(stage) => {
                let $round = &mut stage.round;
                $body
            }
        }
    };
}

impl InSession {
    /// The run's first session, whose keys have just been completed.
    pub(super) fn begin<J: Journal>(
        run: Run,
        keys: SessionKeys,
        hospital: &Hospital<J>,
    ) -> Result<Self, VaultError> {
        Ok(Self {
            session: Session::begin(run, keys, hospital)?,
            stage: Stage::BeforeStatistics(Box::default()),
        })
    }

    /// A session that goes on from what was reached in another.
    pub(super) fn following(
        run: Run,
        keys: SessionKeys,
        after: Transcript,
        carried: Carried,
        roster: &Roster,
    ) -> Self {
        let Carried {
            chain,
            statistics,
            last_training,
        } = carried;
        let learning = Learning::following(statistics, last_training, &run.manifest);
        Self {
            session: Session::following(run, keys, after, chain, roster),
            stage: Stage::Learning(Box::new(learning)),
        }
    }

    /// What this vault brings of its run into another session; nothing before the statistics are known.
    pub(super) fn into_carried(self, roster: &Roster) -> (RunId, Option<Box<Carried>>) {
        let opened_nothing = self.session.has_opened_nothing(roster);
        let Session {
            run,
            mut chain,
            after,
            ..
        } = self.session;
        if let (true, Some(after)) = (opened_nothing, after) {
            // `T_0` is of this session alone.
            chain.transcript = after;
        }
        let carried = match self.stage {
            Stage::BeforeStatistics(_) => None,
            Stage::Learning(learning) => {
                let (statistics, last_training) = learning.into_carried();
                Some(Box::new(Carried {
                    chain,
                    statistics,
                    last_training,
                }))
            }
        };
        (run.manifest.run(), carried)
    }

    /// The whole session, before its first round.
    pub(super) fn to_kept(&self) -> KeptSession {
        let record = SessionRecord {
            after: self.session.after,
            has_begun: true,
            manifest: self.session.run.manifest.signed().clone(),
            set_up: self.session.keys.set_up_record(),
            keys: self.session.keys.key_record(),
            progress: Some(self.progress(None)),
        };
        record.into_kept()
    }

    /// What changes from round to round; `open` is a header that was just accepted.
    fn position(&self, open: Option<&OpenRound>) -> Zeroizing<Vec<u8>> {
        let progress = self.progress(open);
        position(self.session.keys.key_record(), true, Some(progress))
    }

    fn progress(&self, open: Option<&OpenRound>) -> ProgressRecord {
        let learning = match &self.stage {
            Stage::BeforeStatistics(_) => None,
            Stage::Learning(learning) => Some(learning.record()),
        };
        ProgressRecord {
            chain: self.session.chain.record(),
            learning,
            open: open.map(|open| (open.header.clone(), open.hash)),
        }
    }

    /// The session as it was kept.
    pub(super) fn restored<J: Journal>(
        run: Run,
        keys: SessionKeys,
        after: Option<Transcript>,
        progress: ProgressRecord,
        hospital: &Hospital<J>,
    ) -> Result<Self, VaultError> {
        let chain = Chain::restored(progress.chain, &run.manifest, &hospital.journal)?;
        let open = match progress.open {
            Some((header, hash)) => {
                let learning_round = chain.learning_round(header.purpose);
                Some(OpenRound::restored(header, hash, learning_round, hospital)?)
            }
            None => None,
        };
        let contribution = match &open {
            Some(open) => hospital.journal.contribution(&open.hash)?,
            None => None,
        };
        let stage = match progress.learning {
            None => Stage::BeforeStatistics(Box::new(BeforeStatistics {
                round: Round::restored(open, contribution, hospital)?,
            })),
            Some(record) if !record.statistics.are_of(&run.manifest) => {
                return Err(VaultError::damaged(
                    "the kept statistics are not those of this run",
                ));
            }
            Some(mut record) => {
                if let (Some(open), Some(contribution)) = (&open, &contribution)
                    && open.header.purpose == Purpose::Update
                {
                    record.last_training = contribution.training;
                }
                let mut learning = Learning::restored(record, &run.manifest);
                learning.round = Round::restored(open, contribution, hospital)?;
                Stage::Learning(Box::new(learning))
            }
        };
        let session = Session {
            run,
            keys,
            after,
            chain,
        };
        Ok(Self { session, stage })
    }

    /// Where it was taken up again, for logs and records.
    pub(super) fn resumed_run(&self) -> ResumedRun {
        let (chain, manifest) = (&self.session.chain, &self.session.run.manifest);
        ResumedRun {
            run: manifest.run(),
            labels: Labels::of(manifest),
            conditioning: manifest.conditioning,
            form: manifest.conditioning_form,
            features: manifest.used_features(),
            statistics: match &self.stage {
                Stage::BeforeStatistics(_) => None,
                Stage::Learning(learning) => Some(learning.statistics.clone()),
            },
            session: self.session.keys.session(),
            phase: self.name(),
            learning_round: chain.updates,
            contributors: chain.contributors.clone(),
            validation: chain
                .validation
                .as_ref()
                .and_then(|counters| EvaluationCounters::read(counters).ok()),
            kept_round: self.session.kept_round(),
            model: chain.model.clone(),
            model_hash: chain.model_hash,
            transcript: chain.transcript,
        }
    }

    pub(super) fn name(&self) -> PhaseName {
        match &self.stage {
            Stage::BeforeStatistics(stage) => stage.round.name(),
            Stage::Learning(stage) => stage.round.name(),
        }
    }

    pub(super) fn on_input<J: Journal>(
        &mut self,
        input: PhaseInput<'_>,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        match input {
            PhaseInput::Joins(_) => Ok(Reaction::Ignored(REPEATED)),
            PhaseInput::Encapsulation(message) => {
                let keys = &self.session.keys;
                repeated(keys.check_repeated_encapsulation(&message, hospital.roster()))
            }
            PhaseInput::GroupKey(message) => {
                let keys = &self.session.keys;
                repeated(keys.check_repeated_group_key(&message, hospital.roster()))
            }
            PhaseInput::Ready(message) => {
                let keys = &self.session.keys;
                repeated(keys.check_repeated_ready(&message, hospital.roster()))
            }
            PhaseInput::RoundOpen(header) => self.on_round_open(&header, hospital),
            PhaseInput::BoxForward(forward) => with_round!(&mut self.stage, round => {
                round.on_box_forward(&forward, &self.session, hospital)
            }),
            PhaseInput::UnlockRequest(request) => with_round!(&mut self.stage, round => {
                round.on_unlock_request(&request, &self.session, hospital)
            }),
            PhaseInput::OutcomeReady(name) => {
                hospital
                    .outputs
                    .push_back(VaultOutput::FetchOutcome { name });
                Ok(Reaction::Handled)
            }
            PhaseInput::NullStep(step) => self.on_null_step(&step, hospital),
            PhaseInput::Outcome(bytes) => self.on_outcome(bytes, hospital),
            PhaseInput::StateWanted(session) => self.on_state_wanted(session, hospital),
            PhaseInput::StateReady(_) => Ok(Reaction::Ignored(STATE_IS_KNOWN)),
            PhaseInput::Products(products) => match &mut self.stage {
                Stage::BeforeStatistics(stage) => stage.round.wrong_phase(InputKind::Products),
                Stage::Learning(stage) => stage.on_products(&products, &self.session, hospital),
            },
            PhaseInput::Trained(model_hash, update) => match &mut self.stage {
                Stage::BeforeStatistics(stage) => stage.round.wrong_phase(InputKind::Trained),
                Stage::Learning(stage) => {
                    stage.on_trained(&model_hash, update, &self.session, hospital)
                }
            },
            PhaseInput::Evaluated(round, counts) => match &mut self.stage {
                Stage::BeforeStatistics(stage) => stage.round.wrong_phase(InputKind::Evaluated),
                Stage::Learning(stage) => {
                    stage.on_evaluated(round, counts, &self.session, hospital)
                }
            },
        }
    }

    pub(super) fn place(&self) -> Resume {
        Resume {
            session: self.session.keys.session(),
            transcript: self.session.chain.transcript,
        }
    }

    /// On a new connection: everything that the coordinator may not have got, as the identical bytes.
    pub(super) fn repeat_unanswered<J>(&mut self, hospital: &mut Hospital<J>) {
        hospital.send_all(self.session.keys.sent().iter().cloned());
        if self.session.after.is_some() && self.session.has_opened_nothing(hospital.roster()) {
            self.say_state_taken(hospital);
        }
        match &mut self.stage {
            Stage::BeforeStatistics(stage) => stage.round.repeat(hospital),
            Stage::Learning(stage) => stage.repeat_unanswered(hospital),
        }
    }

    /// The coordinator may open rounds with this vault: it has the state that the session goes on from.
    pub(super) fn say_state_taken<J>(&self, hospital: &mut Hospital<J>) {
        let session = self.session.keys.session();
        hospital.send(ToCoordinator::StateTaken { session });
    }

    /// Another vault of the session does not have the state that it goes on from.
    fn on_state_wanted<J: Journal>(
        &self,
        wanted: SessionId,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let session = &self.session;
        let keys = &session.keys;
        match &self.stage {
            Stage::Learning(learning)
                if keys.session() == wanted
                    && session.after.is_some()
                    && session.is_at_its_beginning() =>
            {
                let sealed = common_state::seal(keys, &session.chain, &learning.statistics);
                hospital.outputs.push_back(VaultOutput::UploadState {
                    name: state_name(&wanted, keys.own_id()),
                    bytes: sealed.into(),
                });
                Ok(Reaction::Handled)
            }
            Stage::BeforeStatistics(_) | Stage::Learning(_) => Ok(Reaction::Ignored(
                "the session has gone on from its beginning",
            )),
        }
    }

    /// A header, of a new round or again on a new connection.
    fn on_round_open<J: Journal>(
        &mut self,
        signed: &Signed<RoundOpen>,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let hash = signed.digest();
        if self.is_in_round(&hash) {
            return self.on_repeated_header(hospital);
        }
        let open = match self.accept_header(signed, hospital) {
            Err(StepError::Refused(refusal)) => {
                hospital.refuse_part(hash, RefusedPart::Header, refusal.to_string());
                return Err(refusal.into());
            }
            accepted => accepted?,
        };
        self.begin_round(open, hospital)
    }

    /// The same header on a new connection; a vault whose process was ended in the midst of its work takes it up again.
    fn on_repeated_header<J: Journal>(&mut self, hospital: &mut Hospital<J>) -> StepResult {
        let interrupted = with_round!(&mut self.stage, round => round.restart_interrupted());
        match interrupted {
            Some(open) => {
                open.acknowledge(hospital);
                self.begin_round(open, hospital)
            }
            None => with_round!(&mut self.stage, round => round.on_repeated_header(hospital)),
        }
    }

    fn begin_round<J: Journal>(
        &mut self,
        open: OpenRound,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        match &mut self.stage {
            Stage::BeforeStatistics(stage) => stage.begin_round(open, &self.session, hospital),
            Stage::Learning(stage) => stage.begin_round(open, &self.session, hospital),
        }
    }

    /// Every check of a header; then where it leads is on disk, before anything for it leaves.
    fn accept_header<J: Journal>(
        &mut self,
        signed: &Signed<RoundOpen>,
        hospital: &mut Hospital<J>,
    ) -> Result<OpenRound, StepError> {
        let known = self.stage.statistics_are_known();
        let open = self.session.accept_header(signed, known, hospital)?;
        let (header, position) = (open.hash, self.position(Some(&open)));
        hospital.journal.keep_position(&header, &position)?;
        Ok(open)
    }

    /// An outcome has been downloaded: opens the sum, moves the common state and says so.
    fn on_outcome<J: Journal>(&mut self, bytes: &[u8], hospital: &mut Hospital<J>) -> StepResult {
        let outcome = self.check_outcome(bytes, hospital)?;
        let (key, members) = outcome.key_and_members();
        let sum = self.session.sum_over(key, members, hospital.roster());
        let settled = outcome.open(&sum, &mut self.session, hospital)?;
        let before = std::mem::replace(&mut self.stage, Stage::BeforeStatistics(Box::default()));
        let closed = settled.closed.clone();
        self.stage = before.after_opening(settled.contents, closed, &self.session.run);
        if let Some(witness) = &mut hospital.witness {
            debug_span!("checking").in_scope(|| witness.opened(&settled.opened))?;
        }

        // "and erases seed, shares, blob and the round's keys."
        let step = debug_span!("keeping").entered();
        if settled.opened.purpose == Purpose::Update {
            let (run, chain) = (self.session.run.manifest.run(), &self.session.chain);
            let journal = &mut hospital.journal;
            journal.stage_model(&run, &chain.model, &chain.model_hash)?;
        }
        hospital.journal.settle(&sum, &self.position(None))?;
        drop(step);
        hospital.send(ToCoordinator::RoundClosed(settled.closed));
        // All that a trainer is asked is for the sum that comes next.
        if hospital.leave_jobs() {
            if let Stage::Learning(learning) = &mut self.stage {
                learning.training_was_left();
            }
            hospital.event(VaultEvent::Overtaken {
                round: settled.opened.round,
                purpose: settled.opened.purpose,
            });
        }
        hospital.event(VaultEvent::Opened(Box::new(settled.opened)));
        Ok(Reaction::Handled)
    }

    /// t vaults could not open an update: the model stays, and the update can be tried again under another key (PROTOCOL.md 3.6). Whether
    /// it opens here does not matter: one that has opened it has gone on, and does not know this round any more.
    fn on_null_step<J: Journal>(
        &mut self,
        step: &NullStep,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        if let Stage::Learning(learning) = &self.stage
            && learning.has_closed(&step.header.digest())
        {
            // Told again on a new connection, before our word on it had arrived.
            return Ok(Reaction::Ignored(REPEATED));
        }
        let result = self.take_null_step(step, hospital);
        if let Err(StepError::Refused(refusal)) = &result {
            let header = step.header.digest();
            hospital.refuse_part(header, RefusedPart::NullStep, refusal.to_string());
        }
        result
    }

    fn take_null_step<J: Journal>(
        &mut self,
        step: &NullStep,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let (roster, joined) = (hospital.roster(), self.session.keys.joined());
        let header = step
            .header
            .verify(roster.coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        if header.purpose != Purpose::Update {
            return Err(RoundError::HeaderMismatch { field: "purpose" }.into());
        }
        let request = step.request.read_unverified().map_err(SignedError::from);
        let contributors = request.map_err(RoundError::from)?.hash();
        let hash = step.header.digest();
        check_failed(&step.failed, &hash, &contributors, &joined, roster)?;
        let most = hospital.consent.policy.max_null_steps;
        if self.session.chain.model.null_steps() >= most {
            return Err(RoundError::TooManyNullSteps { most }.into());
        }
        let answer = hospital.journal.answer(&header.key())?;
        if answer.is_some_and(|answer| (answer.header, answer.contributors) != (hash, contributors))
        {
            return Err(RoundError::SecondSet.into());
        }
        // Only now is what we work at for this round of no use.
        let request = self.check_settled(&step.header, &step.request, hospital)?;
        let sum = self
            .session
            .sum_over(header.key(), &request.members(), hospital.roster());
        let session = &mut self.session;
        session.chain.take_null_step();
        session.chain.transcript = next_transcript(
            &header.transcript,
            &hash,
            &contributors,
            &ChunksRoot::NONE,
            &session.chain.model_hash,
        );
        let closed = session.closed(hash, contributors, &[], hospital);
        session.keys.advance_to(header.round.next());
        if let Stage::Learning(learning) = &mut self.stage {
            learning.after_null_step(closed.clone());
        }
        let (run, chain) = (self.session.run.manifest.run(), &self.session.chain);
        if chain.updates > LearningRound::default() {
            let journal = &mut hospital.journal;
            journal.stage_model(&run, &chain.model, &chain.model_hash)?;
        }
        hospital.journal.settle(&sum, &self.position(None))?;
        hospital.send(ToCoordinator::RoundClosed(closed));
        hospital.leave_jobs();
        hospital.event(VaultEvent::NullStep {
            round: header.round,
            run: Box::new(self.resumed_run()),
        });
        Ok(Reaction::Handled)
    }

    /// "`Outcome`: RoundOpen, signed UnlockRequest ... A vault that had not seen the round checks the header by 3.3 and the request
    /// by 3.6, point 2, before it opens."
    fn check_outcome<'a, J: Journal>(
        &mut self,
        bytes: &'a [u8],
        hospital: &mut Hospital<J>,
    ) -> Result<CheckedOutcome<'a>, StepError> {
        let outcome = ReceivedOutcome::read(bytes);
        let outcome = outcome.map_err(|error| RoundError::from(SignedError::from(error)))?;
        let request = self.check_settled(&outcome.header, &outcome.request, hospital)?;
        Ok(CheckedOutcome::new(outcome, &request)?)
    }

    /// Header and request of a round that has its outcome. One that this vault had not seen is accepted here.
    fn check_settled<J: Journal>(
        &mut self,
        header: &Signed<RoundOpen>,
        request: &Signed<UnlockRequest>,
        hospital: &mut Hospital<J>,
    ) -> Result<UnlockRequest, StepError> {
        let header_hash = header.digest();
        let request: UnlockRequest = request
            .verify(hospital.roster().coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        let joined = self.session.keys.joined();
        request.check(&header_hash, &joined, hospital.roster())?;
        if self.is_in_round(&header_hash) {
            with_round!(&mut self.stage, round => *round = std::mem::take(round).stop_working());
        } else {
            let open = self.accept_header(header, hospital)?;
            with_round!(&mut self.stage, round => {
                *round = Round::NotContributing(open, WhyNot::TooLate)
            });
        }
        Ok(request)
    }

    /// How many updates of the run, if it ends there, were not opened; none when it has all it needs.
    pub(super) fn missing_updates(&self, end: RunEnd) -> Option<u32> {
        self.session
            .chain
            .missing_updates(&self.session.run.manifest, end)
    }

    /// The run, once it has ended here.
    pub(super) fn ended_run(&self) -> EndedRun {
        let session = &self.session;
        let (run, number) = (session.run.manifest.run(), session.keys.session());
        session.chain.ended_run(run, number)
    }

    /// Whether this is the header of the round at hand.
    pub(super) fn is_in_round(&self, header: &HeaderHash) -> bool {
        self.open_round().is_some_and(|open| open.hash == *header)
    }

    /// The round at hand.
    pub(super) fn open_round(&self) -> Option<&OpenRound> {
        match &self.stage {
            Stage::BeforeStatistics(stage) => stage.round.open_round(),
            Stage::Learning(stage) => stage.round.open_round(),
        }
    }
}

/// Why a state that is announced is not fetched.
const STATE_IS_KNOWN: &str = "this vault has the common state";

/// A message of the set-up after the set-up.
pub(super) fn repeated(checked: Result<(), SessionError>) -> StepResult {
    checked?;
    Ok(Reaction::Ignored(REPEATED))
}

impl BeforeStatistics {
    /// Counts at once what this hospital gives to the statistics.
    fn begin_round<J: Journal>(
        &mut self,
        open: OpenRound,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let counters = own_counters(&session.run.records).write();
        let material = Material {
            values: &[0.0; 0],
            counters: &counters,
            training: (0.0, 0),
        };
        let (round, result) = open.contribute(&material, session, hospital);
        self.round = round;
        result
    }
}

impl Stage {
    pub(super) fn statistics_are_known(&self) -> bool {
        match self {
            Self::BeforeStatistics(_) => false,
            Self::Learning(_) => true,
        }
    }

    /// A sum was opened: its round is over, and `closed` is our word on it.
    pub(super) fn after_opening(
        self,
        opened: Contents,
        closed: Signed<RoundClosed>,
        run: &Run,
    ) -> Self {
        match (self, opened) {
            (Self::BeforeStatistics(_), Contents::Statistics(statistics)) => Self::Learning(
                Box::new(Learning::new(statistics, Some(closed), &run.manifest)),
            ),
            (Self::Learning(mut learning), opened) => {
                learning.after_opening(&opened, closed);
                Self::Learning(learning)
            }
            // Their headers are accepted only once the statistics are known.
            (before @ Self::BeforeStatistics(_), Contents::Update(_) | Contents::Evaluation(_)) => {
                before
            }
        }
    }
}
