//! The hospital's side of a run as a state machine without I/O: every key, the clinical features, and the checks of PROTOCOL.md 3.
//!
//! Events come in through `handle_*`, what is to be done leaves through [`Vault::poll_output`]. The vault reads no clock and opens
//! nothing but its [`Journal`], to which it writes before anything that depends on the entry leaves.
//!
//! ```text
//! Welcome -> Join -> Joins -> (keys) -> Ready of all -> +-> RoundOpen -> [filters] -> [training] -> contribution
//!                                                       |      BoxForward -> BoxAck,  UnlockRequest -> UnlockShare
//!                                                       +-- RoundClosed <- opened <- Outcome
//! ```

pub mod aead;
pub mod conditioning;
mod keys;
mod outcome;
mod output;
pub mod policy;
pub mod ratchet;
mod round;
pub mod statistics;
#[cfg(feature = "testing")]
pub mod testing;
mod work;

use std::{collections::VecDeque, sync::Arc};

use crypto::{
    hash::Digest,
    sealed_sum::{HospitalId, SumRing},
};
use getrandom::SysRng;
use protocol::{
    common_model::CommonModel,
    identity::{Signed, SigningKey},
    manifest::{Manifest, Purpose},
    message::{Hello, Resume, ToCoordinator, ToVault, Welcome},
    network::CONDITIONED_WEIGHT,
    roster::Roster,
    round::{RoundError, header::RoundContext, outcome::RoundClosed},
    session::{SessionError, first_transcript},
};
use rand_core::UnwrapErr;

use self::{
    conditioning::{Conditioner, Filter, Released},
    keys::{OwnKeys, SessionKeys},
    policy::Policy,
    round::VaultRound,
    statistics::{ClinicalRecords, Statistics},
};
pub use self::{
    output::{OpenedRound, VaultEvent, VaultOutput},
    round::training_seed,
    work::{EvaluateRequest, EvaluatedCounts, TrainRequest, TrainedUpdate, TrainingPlan},
};
use crate::{
    hospital_data::Labels,
    journal::{Journal, JournalError},
};

/// Who this vault is, and whom it trusts.
pub struct VaultIdentity {
    /// Its number.
    pub id: HospitalId,
    /// Its signing key.
    pub key: SigningKey,
    /// The federation.
    pub roster: Arc<Roster>,
}

/// Gives the vault its clinical records once the labels of the run are known.
pub trait RecordSource: Send {
    /// The records for these labels.
    ///
    /// # Errors
    /// Why this hospital's data cannot be used for the run, for people.
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, String>;
}

impl RecordSource for crate::hospital_data::ClinicalTable {
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, String> {
        Self::records(self, labels).map_err(|error| error.to_string())
    }
}

/// Why a vault cannot go on at all.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The coordinator will not have it.
    #[error("the coordinator refuses this hospital: {0}")]
    RefusedByCoordinator(String),
    /// The two sides go by different rosters.
    #[error(
        "the coordinator has another roster than this hospital: compare the roster files of all parties"
    )]
    OtherRoster,
    /// The manifest is not the operator's, or not sound.
    #[error("the run manifest does not stand: {0}")]
    Manifest(String),
    /// The hospital's policy refuses the run.
    #[error(
        "this hospital's policy refuses the run: {0}; change [policy] in the settings if it should take part"
    )]
    Policy(String),
    /// The hospital's data does not do for this run.
    #[error("this hospital's data cannot be used: {0}")]
    Data(String),
    /// The set-up failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Local training failed.
    #[error("local training failed: {0}")]
    Trainer(String),
}

/// The vault of one hospital.
pub struct Vault<J> {
    identity: VaultIdentity,
    policy: Policy,
    source: Box<dyn RecordSource>,
    journal: J,
    ring: Arc<SumRing>,
    rng: UnwrapErr<SysRng>,
    stage: Stage,
    outputs: VecDeque<VaultOutput>,
}

/// How far the session is.
enum Stage {
    /// Nothing is known of the run.
    Strange,
    /// Our Join is out.
    Joining { run: Run, own: OwnKeys },
    /// All Joins are known; keys are exchanged, then rounds run.
    Keyed {
        run: Run,
        keys: Box<SessionKeys>,
        member: Box<Membership>,
    },
}

/// The run as its manifest says.
#[derive(Clone)]
struct Run {
    manifest: Arc<Manifest>,
    records: Arc<ClinicalRecords>,
    hash: Digest,
    welcome: Welcome,
}

/// Where the vault stands in the session's chain of rounds.
struct Membership {
    model: CommonModel,
    model_hash: Digest,
    transcript: Digest,
    last_round: u32,
    /// Updates opened so far.
    updates: u32,
    statistics: Option<Statistics>,
    conditioner: Option<Conditioner>,
    /// The filters of the present W.
    filters: Option<Arc<Vec<Filter>>>,
    round: Option<VaultRound>,
    /// The last trained update with the hash of the model it was trained from: a replaced round is not trained again.
    trained: Option<(Digest, TrainedUpdate)>,
    /// The model that the trainer is at.
    training: Option<Digest>,
    /// Loss and steps of the last training, for the next evaluation.
    training_record: (f64, u32),
    /// Our word on the last round, which a coordinator that lost it must get again.
    closed: Option<Signed<RoundClosed>>,
}

impl<J: Journal> Vault<J> {
    /// A vault that knows nothing yet of a run.
    pub fn new(
        identity: VaultIdentity,
        policy: Policy,
        source: Box<dyn RecordSource>,
        journal: J,
        ring: Arc<SumRing>,
    ) -> Self {
        Self {
            identity,
            policy,
            source,
            journal,
            ring,
            rng: UnwrapErr(SysRng),
            stage: Stage::Strange,
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<VaultOutput> {
        self.outputs.pop_front()
    }

    /// A connection stands: introduces itself. What was unanswered is sent again once the coordinator has welcomed it.
    pub fn handle_connected(&mut self) {
        let resume = match &self.stage {
            Stage::Strange => None,
            Stage::Joining { run, .. } => Some(Resume {
                session: run.welcome.session,
                transcript: [0; 32],
            }),
            Stage::Keyed { run, member, .. } => Some(Resume {
                session: run.welcome.session,
                transcript: member.transcript,
            }),
        };
        self.send(ToCoordinator::Hello(Hello { resume }));
    }

    /// A message of the coordinator. One that does not stand is refused with an event; the run goes on.
    ///
    /// # Errors
    /// [`VaultError`] when the vault cannot go on at all.
    pub fn handle_message(&mut self, message: ToVault) -> Result<(), VaultError> {
        match message {
            ToVault::Welcome(welcome) => self.take_welcome(welcome),
            ToVault::Refused { reason } => Err(VaultError::RefusedByCoordinator(reason.0)),
            ToVault::Joins(joins) => self.take_joins(&joins),
            ToVault::Encapsulation(message) => {
                self.with_keys(|keys, roster| keys.take_encapsulation(&message, roster))
            }
            ToVault::GroupKey(message) => {
                self.with_keys(|keys, roster| keys.take_group_key(&message, roster))
            }
            ToVault::Ready(message) => {
                self.with_keys(|keys, roster| keys.take_ready(&message, roster))
            }
            ToVault::Products(products) => self.take_products(&products),
            ToVault::RoundOpen(header) => self.take_header(header),
            ToVault::BoxForward(forward) => self.in_round(|vault| vault.take_box(&forward)),
            ToVault::UnlockRequest(request) => {
                self.in_round(|vault| vault.take_unlock_request(&request))
            }
            ToVault::OutcomeReady { name } => {
                self.outputs.push_back(VaultOutput::FetchOutcome { name });
                Ok(())
            }
            ToVault::Finished => {
                self.outputs.push_back(VaultOutput::Finished);
                Ok(())
            }
        }
    }

    /// The trainer has trained from this model. The update is used for the round at hand if that is on the same model, whatever round
    /// it was asked for.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn handle_trained(
        &mut self,
        model_hash: Digest,
        update: TrainedUpdate,
    ) -> Result<(), VaultError> {
        let Stage::Keyed { member, .. } = &mut self.stage else {
            return Ok(());
        };
        member.training.take_if(|training| *training == model_hash);
        if member.model_hash != model_hash {
            return Ok(());
        }
        member.training_record = (update.loss, update.batches);
        member.trained = Some((member.model_hash, update));
        if member
            .round
            .as_ref()
            .is_some_and(|round| round.awaits_training())
        {
            self.in_round(Self::contribute_update)?;
        }
        Ok(())
    }

    /// The trainer has evaluated for `round`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn handle_evaluated(
        &mut self,
        round: u32,
        counts: &EvaluatedCounts,
    ) -> Result<(), VaultError> {
        let Stage::Keyed { member, .. } = &self.stage else {
            return Ok(());
        };
        if member
            .round
            .as_ref()
            .is_none_or(|current| current.number() != round)
        {
            return Ok(());
        }
        self.in_round(|vault| vault.contribute_evaluation(counts))
    }

    /// The common model, once the session stands.
    pub fn model(&self) -> Option<&CommonModel> {
        match &self.stage {
            Stage::Keyed { member, .. } => Some(&member.model),
            _ => None,
        }
    }

    fn take_welcome(&mut self, welcome: Welcome) -> Result<(), VaultError> {
        if welcome.roster_hash != self.identity.roster.hash() {
            return Err(VaultError::OtherRoster);
        }
        match &self.stage {
            Stage::Strange => {}
            Stage::Joining { run, .. } | Stage::Keyed { run, .. }
                if run.welcome.session == welcome.session =>
            {
                self.repeat_unanswered();
                return Ok(());
            }
            _ => {
                return Err(VaultError::RefusedByCoordinator(
                    "it has begun another session; start this participant again".into(),
                ));
            }
        }
        let manifest = welcome
            .manifest
            .verify(self.identity.roster.operator_key(), "the operator")
            .map_err(|error| VaultError::Manifest(error.to_string()))?;
        manifest
            .check()
            .map_err(|error| VaultError::Manifest(error.to_string()))?;
        if !manifest.weights_are_members(&self.identity.roster) {
            return Err(VaultError::Manifest(
                "it gives a weight to a hospital that is not on the roster".into(),
            ));
        }
        self.policy.check(&manifest).map_err(VaultError::Policy)?;
        if !crate::trainer::layout_matches(&manifest) {
            return Err(VaultError::Manifest(
                "its tensors are not those of this release's network".into(),
            ));
        }
        let records = self
            .source
            .records(Labels::of(&manifest))
            .map_err(VaultError::Data)?;
        let own = OwnKeys::generate(
            self.identity.id,
            welcome.session,
            &self.identity.roster,
            &self.identity.key,
            &mut self.rng,
        );
        self.send(ToCoordinator::Join(own.join.clone()));
        let run = Run {
            manifest: Arc::new(manifest),
            records: Arc::new(records),
            hash: welcome.manifest.digest(),
            welcome,
        };
        self.stage = Stage::Joining { run, own };
        Ok(())
    }

    fn take_joins(&mut self, joins: &[Signed<protocol::session::Join>]) -> Result<(), VaultError> {
        let (run, own) = match std::mem::replace(&mut self.stage, Stage::Strange) {
            Stage::Joining { run, own } => (run, own),
            other => {
                // Repeated on a new connection: the keys are made already.
                self.stage = other;
                return Ok(());
            }
        };
        let (roster, key) = (&self.identity.roster, &self.identity.key);
        let (keys, opening) = SessionKeys::establish(own, joins, roster, key, &mut self.rng)?;
        let model = CommonModel::initial(&run.manifest);
        let member = Box::new(Membership {
            model_hash: model.hash(),
            model,
            transcript: first_transcript(roster, &keys.session(), &keys.joined_set()),
            last_round: 0,
            updates: 0,
            statistics: None,
            conditioner: None,
            filters: None,
            round: None,
            trained: None,
            training: None,
            training_record: (0.0, 0),
            closed: None,
        });
        for message in opening.encapsulations {
            self.send(ToCoordinator::Encapsulation(message));
        }
        if let Some(message) = opening.group_key {
            self.send(ToCoordinator::GroupKey(message));
        }
        self.stage = Stage::Keyed {
            run,
            keys: Box::new(keys),
            member,
        };
        self.send_ready();
        Ok(())
    }

    /// Lets the keys take a message of the set-up and, when that completes them, says so. A fault here ends the session for this
    /// vault: it means that somebody between the hospitals alters messages.
    fn with_keys(
        &mut self,
        take: impl FnOnce(&mut SessionKeys, &Roster) -> Result<(), SessionError>,
    ) -> Result<(), VaultError> {
        let Stage::Keyed { keys, .. } = &mut self.stage else {
            return Ok(());
        };
        let (was_exchanged, was_complete) =
            (keys.ready(&self.identity.key).is_some(), keys.is_complete());
        take(keys, &self.identity.roster)?;
        let (is_complete, exchanged) =
            (keys.is_complete(), keys.ready(&self.identity.key).is_some());
        if exchanged && !was_exchanged {
            self.send_ready();
        }
        if is_complete && !was_complete {
            self.event(VaultEvent::SessionReady);
        }
        Ok(())
    }

    fn send_ready(&mut self) {
        let Stage::Keyed { keys, .. } = &self.stage else {
            return;
        };
        if let Some(ready) = keys.ready(&self.identity.key) {
            self.send(ToCoordinator::Ready(ready));
        }
    }

    /// On a new connection: everything that the coordinator may not have got, as the identical bytes.
    fn repeat_unanswered(&mut self) {
        let mut messages = Vec::new();
        let mut upload = None;
        match &self.stage {
            Stage::Strange => {}
            Stage::Joining { own, .. } => messages.push(ToCoordinator::Join(own.join.clone())),
            Stage::Keyed { keys, member, .. } => {
                messages.push(ToCoordinator::Join(keys.own_join().clone()));
                messages.extend(keys.sent(&self.identity.key));
                messages.extend(
                    member
                        .closed
                        .iter()
                        .cloned()
                        .map(ToCoordinator::RoundClosed),
                );
                messages.extend(
                    member
                        .conditioner
                        .iter()
                        .flat_map(Conditioner::repeat_request),
                );
                if let Some(round) = &member.round {
                    messages.extend(round.repeat());
                    upload = round.upload();
                }
            }
        }
        for message in messages {
            self.send(message);
        }
        self.outputs.extend(upload);
    }

    /// Runs a step of the round at hand: a refusal becomes an event, a failing journal is fatal.
    fn in_round(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), StepError>,
    ) -> Result<(), VaultError> {
        match step(self) {
            Ok(()) => Ok(()),
            Err(StepError::Round(error)) => {
                if matches!(error, RoundError::NotSummable(_)) {
                    self.give_up_round();
                }
                self.event(VaultEvent::Refused {
                    reason: error.to_string(),
                });
                Ok(())
            }
            Err(StepError::Journal(error)) => Err(error.into()),
        }
    }

    fn take_products(&mut self, products: &protocol::message::Products) -> Result<(), VaultError> {
        let Stage::Keyed { member, .. } = &mut self.stage else {
            return Ok(());
        };
        let Some(conditioner) = &mut member.conditioner else {
            return Ok(());
        };
        match conditioner.accept(products, &mut self.rng) {
            Ok(released) => {
                self.keep_filters(released);
                self.in_round(Self::start_work)
            }
            Err(conditioning::ProductError::OtherRequest) => Ok(()),
            Err(error) => {
                self.event(VaultEvent::ProductsRefused {
                    reason: error.to_string(),
                });
                // Asked again with a fresh encryption; after three failures under a new key.
                self.in_round(Self::start_work)
            }
        }
    }

    fn keep_filters(&mut self, released: Released) {
        if let Stage::Keyed { member, .. } = &mut self.stage {
            member.filters = Some(Arc::new(released.filters));
        }
        self.event(VaultEvent::Conditioned {
            largest_error: released.largest_error,
        });
    }

    /// The conditioned weights of the common model.
    fn conditioned_weights(member: &Membership) -> conditioning::ConditionedWeights {
        let range = member
            .model
            .layout()
            .range(CONDITIONED_WEIGHT)
            .expect("the layout was checked against the hybrid network");
        std::array::from_fn(|entry| f64::from(member.model.values()[range.start + entry]))
    }

    /// What the trainer gets of the common model: all of it, or all but W.
    fn model_for_trainer(manifest: &Manifest, member: &Membership) -> Vec<f32> {
        let mut values = member.model.values().to_vec();
        if manifest.conditioning.uses_filters() {
            let range = member
                .model
                .layout()
                .range(CONDITIONED_WEIGHT)
                .expect("the layout was checked against the hybrid network");
            values.drain(range);
        }
        values
    }

    fn context(&self) -> Option<RoundContext<'_>> {
        let Stage::Keyed { run, keys, member } = &self.stage else {
            return None;
        };
        Some(RoundContext {
            roster: &self.identity.roster,
            manifest: &run.manifest,
            run: run.hash,
            session: keys.session(),
            joined_set: keys.joined_set(),
            joined: keys.joined().len(),
            gid: keys.gid(),
            transcript: member.transcript,
            model_hash: member.model_hash,
        })
    }

    fn send(&mut self, message: ToCoordinator) {
        self.outputs.push_back(VaultOutput::Send(Box::new(message)));
    }

    fn event(&mut self, event: VaultEvent) {
        self.outputs.push_back(VaultOutput::Event(event));
    }
}

impl Membership {
    /// The learning round that a sum of this purpose belongs to.
    fn learning_round(&self, purpose: Purpose) -> u32 {
        match purpose {
            Purpose::Stats => 0,
            Purpose::Update => self.updates + 1,
            Purpose::Evaluation => self.updates,
        }
    }
}

/// Why a step of a round did not happen.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Round(#[from] RoundError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}
