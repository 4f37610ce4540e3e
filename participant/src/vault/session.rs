//! A session whose keys are complete: one sealed sum after another, first that of the statistics, then updates and evaluations.
#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use protocol::{
    common_model::CommonModel,
    digests::{HeaderHash, LearningRound, ModelHash, RoundNumber, Transcript},
    identity::Signed,
    manifest::Purpose,
    message::Resume,
    roster::Roster,
    round::{
        header::{RoundContext, RoundOpen},
        outcome::RoundClosed,
    },
    session::first_transcript,
};

use super::{
    VaultOutput,
    error::{StepError, VaultError},
    hospital::Hospital,
    input::{Input, InputKind},
    joining::{Run, check_same_session},
    key_exchange::REPEATED,
    keys::SessionKeys,
    learning::Learning,
    phase::{Phase, PhaseName, Reaction, Step, StepResult},
    round::{NoWork, OpenRound, Round},
    statistics::{Statistics, own_counters},
};
use crate::journal::Journal;

/// See the module.
pub(super) struct InSession {
    pub(super) session: Session,
    pub(super) stage: Stage,
}

/// What a session is, whatever round it is in.
pub(super) struct Session {
    pub(super) run: Run,
    pub(super) keys: SessionKeys,
    pub(super) chain: Chain,
}

/// Where the vault is in the session's chain of opened rounds.
pub(super) struct Chain {
    pub(super) model: CommonModel,
    pub(super) model_hash: ModelHash,
    /// T of the last round that was opened; `T_0` before.
    pub(super) transcript: Transcript,
    /// The largest number of a header that was accepted.
    pub(super) last_round: RoundNumber,
    /// That of the last update that was opened.
    pub(super) updates: LearningRound,
}

/// What the session's rounds are for.
pub(super) enum Stage {
    /// The statistics of the federation are not known: the only sum is that of the statistics.
    BeforeStatistics(Box<BeforeStatistics>),
    /// They are known: updates and evaluations.
    Learning(Box<Learning>),
}

/// What an opened sum says, by its purpose.
pub(super) enum Contents {
    Statistics(Statistics),
    /// The mean of the contributors' changes of the model.
    Update(Arc<Vec<f64>>),
    Evaluation,
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
pub(super) use with_round;

impl InSession {
    /// A session whose keys have just been completed.
    pub(super) fn begin(run: Run, keys: SessionKeys, roster: &Roster) -> Self {
        let model = CommonModel::initial(&run.manifest);
        let chain = Chain {
            model_hash: model.hash(),
            model,
            transcript: first_transcript(roster, &keys.session(), &keys.joined_set()),
            last_round: RoundNumber::default(),
            updates: LearningRound::default(),
        };
        Self {
            session: Session { run, keys, chain },
            stage: Stage::BeforeStatistics(Box::default()),
        }
    }

    pub(super) fn name(&self) -> PhaseName {
        match &self.stage {
            Stage::BeforeStatistics(stage) => stage.round.name(),
            Stage::Learning(stage) => stage.round.name(),
        }
    }

    pub(super) fn on_input<J: Journal>(
        mut self: Box<Self>,
        input: Input<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step, VaultError> {
        let result = match input {
            Input::Connected => {
                hospital.introduce(Some(self.place()));
                Ok(Reaction::Handled)
            }
            Input::Welcome(welcome) => {
                check_same_session(&welcome, self.session.keys.session(), hospital)?;
                self.repeat_unanswered(hospital);
                Ok(Reaction::Handled)
            }
            Input::Refused(reason) => return Err(VaultError::RefusedByCoordinator(reason.0)),
            Input::Finished => return Ok(hospital.finish(Some(self.place()))),
            Input::Joins(_) => Ok(Reaction::Ignored(REPEATED)),
            Input::Encapsulation(message) => {
                let keys = &self.session.keys;
                repeated(keys.check_repeated_encapsulation(&message, hospital.roster()))
            }
            Input::GroupKey(message) => {
                let keys = &self.session.keys;
                repeated(keys.check_repeated_group_key(&message, hospital.roster()))
            }
            Input::Ready(message) => {
                let keys = &self.session.keys;
                repeated(keys.check_repeated_ready(&message, hospital.roster()))
            }
            Input::RoundOpen(header) => self.on_round_open(&header, hospital),
            Input::BoxForward(forward) => with_round!(&mut self.stage, round => {
                round.on_box_forward(&forward, &self.session, hospital)
            }),
            Input::UnlockRequest(request) => with_round!(&mut self.stage, round => {
                round.on_unlock_request(&request, &self.session, hospital)
            }),
            Input::OutcomeReady(name) => {
                hospital
                    .outputs
                    .push_back(VaultOutput::FetchOutcome { name });
                Ok(Reaction::Handled)
            }
            Input::Outcome(bytes) => self.on_outcome(bytes, hospital),
            Input::Products(products) => match &mut self.stage {
                Stage::BeforeStatistics(stage) => stage.round.wrong_phase(InputKind::Products),
                Stage::Learning(stage) => stage.on_products(&products, &self.session, hospital),
            },
            Input::Trained(model_hash, update) => match &mut self.stage {
                Stage::BeforeStatistics(stage) => stage.round.wrong_phase(InputKind::Trained),
                Stage::Learning(stage) => {
                    stage.on_trained(&model_hash, update, &self.session, hospital)
                }
            },
            Input::Evaluated(round, counts) => match &mut self.stage {
                Stage::BeforeStatistics(stage) => stage.round.wrong_phase(InputKind::Evaluated),
                Stage::Learning(stage) => {
                    stage.on_evaluated(round, counts, &self.session, hospital)
                }
            },
        };
        let reaction = match result {
            Ok(reaction) => Ok(reaction),
            Err(StepError::Refused(refusal)) => Err(refusal),
            Err(StepError::Journal(error)) => return Err(error.into()),
        };
        Ok(Step {
            phase: Phase::InSession(self),
            reaction,
        })
    }

    fn place(&self) -> Resume {
        Resume {
            session: self.session.keys.session(),
            transcript: self.session.chain.transcript,
        }
    }

    /// On a new connection: everything that the coordinator may not have got, as the identical bytes.
    fn repeat_unanswered<J>(&self, hospital: &mut Hospital<J>) {
        hospital.send_all(self.session.keys.sent().iter().cloned());
        match &self.stage {
            Stage::BeforeStatistics(stage) => stage.round.repeat(hospital),
            Stage::Learning(stage) => stage.repeat_unanswered(hospital),
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
            return with_round!(&mut self.stage, round => round.on_repeated_header(hospital));
        }
        let known = self.stage.statistics_are_known();
        let open = match self.session.accept_header(signed, known, hospital) {
            Err(StepError::Refused(refusal)) => {
                // The coordinator would wait for us.
                hospital.refuse_header(hash, refusal.to_string());
                return Err(refusal.into());
            }
            accepted => accepted?,
        };
        match &mut self.stage {
            Stage::BeforeStatistics(stage) => stage.begin_round(open, &self.session, hospital),
            Stage::Learning(stage) => stage.begin_round(open, &self.session, hospital),
        }
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

/// A message of the set-up after the set-up.
fn repeated(checked: Result<(), protocol::session::SessionError>) -> StepResult {
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
        let (round, result) = open.contribute(&[], &counters, session, hospital);
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
            (Self::BeforeStatistics(_), Contents::Statistics(statistics)) => {
                Self::Learning(Box::new(Learning::new(statistics, closed, &run.manifest)))
            }
            (Self::Learning(mut learning), opened) => {
                learning.after_opening(&opened, closed);
                Self::Learning(learning)
            }
            // Their headers are accepted only once the statistics are known.
            (before @ Self::BeforeStatistics(_), Contents::Update(_) | Contents::Evaluation) => {
                before
            }
        }
    }
}

impl Session {
    /// What a header must agree with.
    pub(super) fn context<'a>(&'a self, roster: &'a Roster) -> RoundContext<'a> {
        RoundContext {
            roster,
            manifest: &self.run.manifest,
            run: self.run.manifest.run(),
            session: self.keys.session(),
            joined_set: self.keys.joined_set(),
            joined: self.keys.joined().len(),
            gid: self.keys.gid(),
            transcript: self.chain.transcript,
            model_hash: self.chain.model_hash,
        }
    }
}

impl Chain {
    /// The learning round that a sum of this purpose belongs to.
    pub(super) fn learning_round(&self, purpose: Purpose) -> LearningRound {
        match purpose {
            Purpose::Stats => LearningRound::default(),
            Purpose::Update => self.updates.next(),
            Purpose::Evaluation => self.updates,
        }
    }

    /// The common model moves by the mean of an update.
    pub(super) fn apply_update(&mut self, mean: &[f64], contributors: usize) {
        self.model.apply_mean(mean, contributors);
        self.updates = self.updates.next();
        self.model_hash = self.model.hash();
    }
}
