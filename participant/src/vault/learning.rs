//! The stage of a session in which the statistics are known: what the trainer needs, what it is at, and the rounds it works for.

use std::sync::Arc;

use crypto::{hash::derive_key, sealed_sum::HospitalId};
use protocol::{
    counters::UpdateCounters,
    digests::{HeaderHash, LearningRound, ModelHash, RoundNumber},
    identity::Signed,
    manifest::{Manifest, Purpose},
    message::{Products, ToCoordinator},
    round::{RoundError, outcome::RoundClosed},
    training_job::{
        EvaluateRequest, EvaluatedCounts, PatientInputs, PatientValues, TrainRequest,
        TrainedUpdate, TrainingPlan,
    },
};
use zeroize::Zeroizing;

use super::{
    change::Change,
    conditioning::{
        Conditioner, EncryptedProducts, Released,
        weights::{ConditioningWeights, weight_change},
    },
    hospital::Hospital,
    input::InputKind,
    kept::LearningRecord,
    output::{VaultEvent, VaultOutput},
    round::{OpenRound, Round, Work, contribute::Material, open::Contents},
    session_state::Session,
    statistics::Statistics,
    step::{Reaction, StepResult},
};
use crate::journal::Journal;

/// What the vault has besides the session once the statistics are known.
pub(super) struct Learning {
    pub(super) statistics: Statistics,
    pub(super) conditions: Conditions,
    training: Training,
    /// Loss and steps of the last training, for the next evaluation.
    last_training: (f64, u32),
    /// Our word on the last opened round of this session, which a coordinator that lost it must get again.
    closed: Option<Signed<RoundClosed>>,
    pub(super) round: Round<Work>,
}

/// What the trainer gets of each patient: filters of the conditioned convolution, or shifts of the logits.
pub(super) enum Conditions {
    /// The run trains without.
    NotUsed,
    /// No round has asked for them yet: features are not encrypted.
    NotPrepared,
    /// Not known for the present weights.
    Unknown(Box<Conditioner>),
    /// Known for these weights.
    Known(Box<Conditioner>, ConditioningWeights, Arc<PatientValues>),
}

/// What the trainer has made of the common model as it is now.
enum Training {
    /// It was not asked.
    NotStarted,
    /// It is at it, perhaps for a round that was replaced since.
    Running,
    /// The update: a replaced round is not trained again.
    Done(TrainedUpdate),
}

/// Whether a round's work can start.
enum Supply {
    /// What the trainer gets of each patient, if the run uses anything.
    Here(Option<Arc<PatientValues>>),
    /// Asked of the coordinator.
    Awaited,
}

impl Learning {
    pub(super) fn new(
        statistics: Statistics,
        closed: Option<Signed<RoundClosed>>,
        manifest: &Manifest,
    ) -> Self {
        Self {
            statistics,
            conditions: if manifest.conditioning.uses_features() {
                Conditions::NotPrepared
            } else {
                Conditions::NotUsed
            },
            training: Training::NotStarted,
            last_training: (0.0, 0),
            closed,
            round: Round::Idle,
        }
    }

    /// As it was kept: nothing of the present model is trained, and what the trainer gets of each patient is not known.
    pub(super) fn restored(record: LearningRecord, manifest: &Manifest) -> Self {
        let LearningRecord {
            statistics,
            last_training,
            closed,
        } = record;
        Self {
            last_training,
            ..Self::new(statistics, closed, manifest)
        }
    }

    /// In a session that follows another: nothing was asked of the trainer, and nothing opened.
    pub(super) fn following(
        statistics: Statistics,
        last_training: (f64, u32),
        manifest: &Manifest,
    ) -> Self {
        Self {
            last_training,
            ..Self::new(statistics, None, manifest)
        }
    }

    /// Statistics, loss and steps of the last training, for another session.
    pub(super) fn into_carried(self) -> (Statistics, (f64, u32)) {
        (self.statistics, self.last_training)
    }

    /// What of it is kept.
    pub(super) fn record(&self) -> LearningRecord {
        LearningRecord {
            statistics: self.statistics.clone(),
            last_training: self.last_training,
            closed: self.closed.clone(),
        }
    }

    /// A sum was opened. An update has moved the model: the training of the old one is of no use, nor is a request with weights that
    /// have moved.
    pub(super) fn after_opening(&mut self, opened: &Contents, closed: Signed<RoundClosed>) {
        if let Contents::Update(_) = opened {
            self.training = Training::NotStarted;
            if let Conditions::Unknown(conditioner) = &mut self.conditions {
                conditioner.forget_request();
            }
        }
        self.closed = Some(closed);
        self.round = Round::Idle;
    }

    /// Whether the last word of this session on a round was about this one.
    pub(super) fn has_closed(&self, header: &HeaderHash) -> bool {
        let closed = self.closed.as_ref().map(Signed::read_unverified);
        closed.is_some_and(|closed| closed.is_ok_and(|closed| closed.header == *header))
    }

    /// An update did not open. The model is the same, and so is what the trainer gets of each patient; what is trained next is another
    /// training.
    pub(super) fn after_null_step(&mut self, closed: Signed<RoundClosed>) {
        self.training = Training::NotStarted;
        self.closed = Some(closed);
        self.round = Round::Idle;
    }

    /// The trainer drops what it was at: a training of the present model, if any, has to be asked for again.
    pub(super) fn training_was_left(&mut self) {
        if let Training::Running = self.training {
            self.training = Training::NotStarted;
        }
    }

    /// On a new connection, after the set-up.
    pub(super) fn repeat_unanswered<J>(&mut self, hospital: &mut Hospital<J>) {
        if let Some(closed) = &self.closed {
            hospital.send(ToCoordinator::RoundClosed(closed.clone()));
        }
        if let Conditions::Unknown(conditioner) | Conditions::Known(conditioner, ..) =
            &mut self.conditions
        {
            hospital.send_all(conditioner.repeat_request());
        }
        self.round.repeat(hospital);
    }

    /// Starts what the round asks for: first what the trainer gets of each patient, then training or evaluation.
    pub(super) fn begin_round<J: Journal>(
        &mut self,
        open: OpenRound,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let inputs = match self.supply_inputs(session, hospital) {
            Supply::Here(inputs) => inputs,
            Supply::Awaited => {
                self.round = Round::Working(open, Work::AwaitingFilters);
                return Ok(Reaction::Handled);
            }
        };
        let inputs = inputs.map(|inputs| inputs.as_ref().clone().into());
        match open.header.purpose {
            Purpose::Update => self.begin_training(open, inputs, session, hospital),
            Purpose::Evaluation => {
                let manifest = &session.run.manifest;
                let request = EvaluateRequest {
                    round: open.number(),
                    model: session.chain.model.for_trainer(),
                    inputs,
                    plan: TrainingPlan::of(manifest),
                };
                hospital.outputs.push_back(VaultOutput::Evaluate {
                    learning_round: open.learning_round,
                    patients: session.run.records.validation_patients,
                    request,
                });
                self.round = Round::Working(open, Work::Evaluating);
                Ok(Reaction::Handled)
            }
            // Not accepted once the statistics are known.
            Purpose::Stats => Err(RoundError::HeaderMismatch { field: "purpose" }.into()),
        }
    }

    fn begin_training<J: Journal>(
        &mut self,
        open: OpenRound,
        inputs: Option<PatientInputs>,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        match &self.training {
            Training::Done(_) => return self.contribute_update(open, session, hospital),
            Training::Running => {}
            Training::NotStarted => {
                let manifest = &session.run.manifest;
                let request = TrainRequest {
                    round: open.number(),
                    model: session.chain.model.for_trainer(),
                    inputs,
                    class_weights: self.statistics.class_weights(),
                    seed: stream_after(
                        training_seed(manifest, hospital.id(), open.learning_round),
                        session.chain.model.null_steps(),
                    ),
                    plan: TrainingPlan::of(manifest),
                };
                // Only an evaluation that was left out can be under way: it must not keep this one waiting.
                hospital.leave_jobs();
                hospital.outputs.push_back(VaultOutput::Train {
                    model_hash: session.chain.model_hash,
                    learning_round: open.learning_round,
                    request,
                });
                self.training = Training::Running;
            }
        }
        self.round = Round::Working(open, Work::Training);
        Ok(Reaction::Handled)
    }

    /// What the trainer gets of each patient by the present weights, or a request to the coordinator for the products.
    fn supply_inputs<J>(&mut self, session: &Session, hospital: &mut Hospital<J>) -> Supply {
        let manifest = &session.run.manifest;
        let conditions = std::mem::replace(&mut self.conditions, Conditions::NotUsed);
        let present = || conditioning_weights(session);
        let mut conditioner = match conditions {
            Conditions::NotUsed => return Supply::Here(None),
            Conditions::Known(conditioner, weights, inputs) if weights == present() => {
                self.conditions = Conditions::Known(conditioner, weights, inputs.clone());
                return Supply::Here(Some(inputs));
            }
            Conditions::NotPrepared => Box::new(Conditioner::new(
                hospital.id(),
                session.keys.session(),
                session
                    .run
                    .records
                    .scaled(&self.statistics, manifest.conditioning_form),
                EncryptedProducts::of(manifest),
                hospital.consent.policy.release_levels,
                &mut hospital.rng,
            )),
            Conditions::Known(conditioner, ..) | Conditions::Unknown(conditioner) => conditioner,
        };
        match conditioner.request(present(), &mut hospital.rng) {
            Ok(released) => {
                let inputs = self.keep_inputs(conditioner, present(), released, hospital);
                Supply::Here(Some(inputs))
            }
            Err(messages) => {
                self.conditions = Conditions::Unknown(conditioner);
                hospital.send_all(messages);
                Supply::Awaited
            }
        }
    }

    fn keep_inputs<J>(
        &mut self,
        conditioner: Box<Conditioner>,
        weights: ConditioningWeights,
        released: Released,
        hospital: &mut Hospital<J>,
    ) -> Arc<PatientValues> {
        let inputs = Arc::new(released.inputs);
        self.conditions = Conditions::Known(conditioner, weights, inputs.clone());
        hospital.event(match released.products {
            Ok(largest_error) => VaultEvent::Conditioned { largest_error },
            Err(error) => VaultEvent::ProductsRefused {
                reason: error.to_string(),
            },
        });
        inputs
    }

    /// The coordinator's products (PROTOCOL.md 5.4, step 5). Whether they are right, nothing shows that leaves the hospital.
    pub(super) fn on_products<J: Journal>(
        &mut self,
        products: &Products,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let conditions = std::mem::replace(&mut self.conditions, Conditions::NotUsed);
        let mut conditioner = match conditions {
            Conditions::Unknown(conditioner) => conditioner,
            known @ Conditions::Known(..) => {
                self.conditions = known;
                return Ok(Reaction::Ignored(NOT_AWAITED));
            }
            without @ (Conditions::NotUsed | Conditions::NotPrepared) => {
                self.conditions = without;
                return self.round.wrong_phase(InputKind::Products);
            }
        };
        let Some(released) = conditioner.accept(products, &mut hospital.rng) else {
            self.conditions = Conditions::Unknown(conditioner);
            return Ok(Reaction::Ignored(NOT_AWAITED));
        };
        self.keep_inputs(
            conditioner,
            conditioning_weights(session),
            released,
            hospital,
        );
        match std::mem::take(&mut self.round) {
            Round::Working(open, Work::AwaitingFilters) => {
                self.begin_round(open, session, hospital)
            }
            other => {
                self.round = other;
                Ok(Reaction::Handled)
            }
        }
    }

    /// The trainer has trained. The update is used for the round at hand if that is on the same model, whatever round it was asked
    /// for.
    pub(super) fn on_trained<J: Journal>(
        &mut self,
        model_hash: &ModelHash,
        update: TrainedUpdate,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        if session.chain.model_hash != *model_hash {
            return Ok(Reaction::Ignored(
                "trained from a model that is no longer the common one",
            ));
        }
        self.last_training = (update.loss, update.batches);
        self.training = Training::Done(update);
        match std::mem::take(&mut self.round) {
            Round::Working(open, Work::Training) => self.contribute_update(open, session, hospital),
            // Kept: the next round on this model needs no other.
            other => {
                self.round = other;
                Ok(Reaction::Handled)
            }
        }
    }

    /// The trainer has evaluated: confusion matrix, losses, training steps.
    pub(super) fn on_evaluated<J: Journal>(
        &mut self,
        number: RoundNumber,
        counts: &EvaluatedCounts,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        match std::mem::take(&mut self.round) {
            Round::Working(open, Work::Evaluating) if open.number() == number => {
                let counters = counts.counters(self.last_training).write();
                let material = Material {
                    values: &[0.0; 0],
                    counters: &counters,
                    training: self.last_training,
                };
                let (round, result) = open.contribute(&material, session, hospital);
                self.contributed(round, result)
            }
            other => {
                self.round = other;
                Ok(Reaction::Ignored(
                    "evaluated for a round that is over, replaced, or fixed without it",
                ))
            }
        }
    }

    /// Gives the update that the trainer has made of the present model to the round.
    fn contribute_update<J: Journal>(
        &mut self,
        open: OpenRound,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        let Training::Done(update) = &self.training else {
            self.round = Round::Working(open, Work::Training);
            return Ok(Reaction::Handled);
        };
        match self.conditions.change(update, session) {
            Ok(change) => {
                let counters = UpdateCounters {
                    contributions: 1,
                    saturated: 0,
                };
                let material = Material {
                    values: &change,
                    counters: &counters.write(),
                    training: self.last_training,
                };
                let (round, result) = open.contribute(&material, session, hospital);
                self.contributed(round, result)
            }
            Err(error) => {
                self.training = Training::NotStarted;
                let (round, result) = open.give_up(error.into(), hospital);
                self.round = round;
                result
            }
        }
    }

    fn contributed(&mut self, round: Round<Work>, result: StepResult) -> StepResult {
        if result.is_err() {
            // What cannot be summed now could not be later.
            self.training = Training::NotStarted;
        }
        self.round = round;
        result
    }
}

/// What the vault keeps of the common model as it is now.
fn conditioning_weights(session: &Session) -> ConditioningWeights {
    let model = &session.chain.model;
    let form = session.run.manifest.conditioning_form;
    ConditioningWeights::of(form, model.layout(), model.values())
}

impl Conditions {
    /// The update: what training moved, and `-eta_W` times the gradient of what the vault keeps in its place.
    fn change<'a>(
        &self,
        update: &'a TrainedUpdate,
        session: &'a Session,
    ) -> Result<Change<'a>, RoundError> {
        let (manifest, model) = (&session.run.manifest, &session.chain.model);
        let form = manifest.conditioning_form;
        let of_another_size =
            || RoundError::NotSummable("the trainer returned a model of another size".into());
        if let Self::Unknown(conditioner) | Self::Known(conditioner, ..) = self {
            let gradients = &update.input_gradients;
            let width = form.values_per_patient(manifest.task.classes());
            if (gradients.per_patient(), gradients.len()) != (width, conditioner.features().len()) {
                return Err(of_another_size());
            }
        }
        let mut of_kept = match self {
            Self::Unknown(conditioner) | Self::Known(conditioner, ..) => weight_change(
                form,
                conditioner.features(),
                &update.input_gradients,
                update.batches,
                manifest.conditioning_rate,
            ),
            Self::NotUsed | Self::NotPrepared => Zeroizing::default(),
        };
        // In a round in which it does not move, nothing is told of its gradient.
        if !manifest.conditioning_moves_in(session.chain.learning_round(Purpose::Update)) {
            of_kept.fill(0.0);
        }
        let (layout, kept) = (model.layout(), manifest.kept_by_vault());
        let change = Change::new(layout, model.values(), &update.model, kept, of_kept);
        change.ok_or_else(of_another_size)
    }
}

/// Of a hospital's shuffles and dropout in a learning round: a stream of its own for each, the same whatever else happens. It does not
/// depend on the model, so that runs that differ in the last bit of it can be compared.
pub fn training_seed(
    manifest: &Manifest,
    hospital: HospitalId,
    learning_round: LearningRound,
) -> [u8; 32] {
    let parts: [&[u8]; 2] = [&learning_round.get().to_le_bytes(), &[hospital.get()]];
    *derive_key(&manifest.init_seed, "training", &parts).as_bytes()
}

/// A round that is tried again after null steps is trained in another stream: two sums on the same weights then have no update in common.
pub(super) fn stream_after(stream: [u8; 32], null_steps: u32) -> [u8; 32] {
    match null_steps {
        0 => stream,
        steps => *derive_key(&stream, "null-steps", &[&steps.to_le_bytes()]).as_bytes(),
    }
}

const NOT_AWAITED: &str = "these products answer no request that is still open";
