//! What every phase of the vault works with: who it is, what it may do, its records, disk and randomness, and where its outputs go.

use std::{collections::VecDeque, sync::Arc};

use crypto::sealed_sum::{HospitalId, SumRing};
use protocol::{
    codec::Text,
    digests::HeaderHash,
    identity::{Message, Signed, SigningKey},
    manifest::ManifestCheck,
    message::{Hello, Resume, ToCoordinator},
    roster::Roster,
};
use rand_core::CryptoRng;

use super::{
    RecordSource, VaultEvent, VaultOutput,
    finished::Finished,
    input::InputKind,
    phase::{Phase, Step},
    policy::Policy,
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

/// See the module.
pub(super) struct Hospital<J> {
    pub(super) identity: VaultIdentity,
    pub(super) policy: Policy,
    pub(super) source: Box<dyn RecordSource>,
    pub(super) journal: J,
    pub(super) ring: Arc<SumRing>,
    pub(super) rng: Box<dyn CryptoRng + Send>,
    pub(super) outputs: VecDeque<VaultOutput>,
    pub(super) check_manifest: ManifestCheck,
}

impl<J> Hospital<J> {
    pub(super) fn id(&self) -> HospitalId {
        self.identity.id
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.identity.roster
    }

    pub(super) fn sign<T: Message>(&self, body: &T) -> Signed<T> {
        Signed::sign(body, &self.identity.key)
    }

    pub(super) fn send(&mut self, message: ToCoordinator) {
        self.outputs.push_back(VaultOutput::Send(Box::new(message)));
    }

    pub(super) fn send_all(&mut self, messages: impl IntoIterator<Item = ToCoordinator>) {
        for message in messages {
            self.send(message);
        }
    }

    pub(super) fn event(&mut self, event: VaultEvent) {
        self.outputs.push_back(VaultOutput::Event(event));
    }

    /// Introduces the vault on a new connection. What was unanswered is sent again once the coordinator has welcomed it.
    pub(super) fn introduce(&mut self, resume: Option<Resume>) {
        self.send(ToCoordinator::Hello(Hello { resume }));
    }

    /// The run has ended well, at this place in a session.
    pub(super) fn finish(&mut self, place: Option<Resume>) -> Step {
        self.outputs.push_back(VaultOutput::Finished);
        Step::handled(Phase::Finished(Finished::new(place)))
    }

    /// Refuses a header that came before the session's keys were complete. The coordinator would wait for us: it is told too.
    pub(super) fn refuse_header_early(&mut self, phase: Phase, header: HeaderHash) -> Step {
        let step = Step::wrong_phase(phase, InputKind::RoundOpen);
        if let Err(refusal) = &step.reaction {
            self.refuse_header(header, refusal.to_string());
        }
        step
    }

    /// Tells the coordinator, and not the other hospitals, that this round goes on without us.
    pub(super) fn refuse_header(&mut self, header: HeaderHash, reason: String) {
        self.send(ToCoordinator::HeaderRefused {
            header,
            reason: Text(reason),
        });
    }
}
