//! What all phases share.

use std::{collections::VecDeque, sync::Arc};

use crypto::sealed_sum::{HospitalId, SumShape};
use protocol::{
    codec::Text,
    common_model::CommonModel,
    digests::{ModelHash, SessionId},
    identity::{Message, Signed, SigningKey},
    manifest::{CheckedManifest, Purpose},
    message::{Hello, ToVault, Welcome},
    roster::{Member, Roster},
};

use super::{
    Event, Fact, MachineError, Output, Timestamp, input::ConditioningMessage, peer::Peers,
    plan::Plan, products::ProductServer, reaction::Reaction,
};

/// The parties, the run, and what is to be done.
pub(super) struct Context<R> {
    pub(super) roster: Arc<Roster>,
    key: SigningKey,
    pub(super) rng: R,
    pub(super) run: Run,
    pub(super) session: SessionId,
    pub(super) peers: Peers,
    products: ProductServer,
    pub(super) plan: Plan,
    /// The latest time that has had its effect.
    pub(super) advanced_at: Timestamp,
    /// How long hospitals that have not fetched the last outcome are waited for when all rounds are done.
    pub(super) serve_outcomes_secs: u32,
    pub(super) outputs: VecDeque<Output>,
}

/// A run as its manifest says.
pub(super) struct Run {
    pub(super) manifest: CheckedManifest,
    pub(super) initial_model: ModelHash,
}

/// Where a hospital stands that says Hello.
pub(super) struct Seat {
    /// Whether it has joined the session.
    pub(super) joined: bool,
    /// Published rounds that it says it has closed.
    pub(super) closed: usize,
}

impl Run {
    pub(super) fn of(manifest: CheckedManifest) -> Self {
        Self {
            initial_model: CommonModel::initial(&manifest).hash(),
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
            serve_outcomes_secs: run.manifest.silence_secs,
            roster,
            key,
            rng,
            run,
            session,
            advanced_at: Timestamp(0),
            outputs: VecDeque::new(),
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

    /// Answers a Hello: the same session goes on, a new participant joins, and one without the keys of its hospital is sent away.
    pub(super) fn on_hello(
        &mut self,
        from: HospitalId,
        hello: &Hello,
        seat: &Seat,
    ) -> Result<Reaction, MachineError> {
        let returns = hello
            .resume
            .as_ref()
            .is_some_and(|resume| resume.session == self.session);
        if !returns && seat.joined {
            let error = MachineError::OtherParticipant { from };
            self.refuse(from, error.to_string());
            return Err(error);
        }
        let welcome = Welcome {
            session: self.session,
            roster_hash: self.roster.hash(),
            manifest: self.run.manifest.signed().clone(),
        };
        let peer = self.peers.get_mut(from);
        let peer = peer.ok_or(MachineError::NotOnRoster { from })?;
        peer.greet(if returns {
            seat.closed.max(peer.position)
        } else {
            0
        });
        self.send(from, ToVault::Welcome(welcome));
        Ok(Reaction::Handled)
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
                self.products.on_key(from, &key).map_err(rejected)?;
            }
            ConditioningMessage::EncryptedFeatures(features) => {
                self.products
                    .on_features(from, features)
                    .map_err(rejected)?;
            }
            ConditioningMessage::FilterRequest(request) => {
                let products = self.products.multiply(from, &request).map_err(rejected)?;
                self.send(from, ToVault::Products(products));
            }
        }
        Ok(Reaction::Handled)
    }
}
