//! Coordinator and vaults without sockets, clocks or libtorch's training, and a network between them that can be made to misbehave.

mod decisions;
mod liars;
mod runs;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use coordinator::machine::{Coordinator, Event, Output, Timestamp};
use crypto::sealed_sum::{HospitalId, SumRing};
use protocol::{
    codec::{self, Bytes},
    digests::{LearningRound, ModelHash, OutcomeName},
    identity::{Signed, SigningKey},
    manifest::{Conditioning, Manifest, Purpose},
    message::{ToCoordinator, ToVault},
    roster::testing::{TestFederation, federation},
    round::{dealer_check::Finding, header::RoundOpen, outcome::Outcome, unlock::UnlockRequest},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    EvaluatedCounts, OpenedRound, RecordSource, TrainedUpdate, UnusableRecords, Vault, VaultEvent,
    VaultIdentity, VaultOutput, policy::Policy, statistics::ClinicalRecords,
};
use protocol::{labels::Labels, training_job::TrainRequest};

use crate::journal::memory::MemoryJournal;

/// What the network between the parties does with a message to a vault: pass it on, change it, or lose it.
type Interference<'a> = Box<dyn FnMut(HospitalId, ToVault) -> Option<ToVault> + 'a>;

/// What a hospital makes of what its vault has to say.
type Lie<'a> = Box<dyn FnMut(&mut Vault<MemoryJournal>, VaultOutput) -> VaultOutput + 'a>;

struct Run<'a> {
    coordinator: Coordinator<ChaCha20Rng>,
    vaults: BTreeMap<HospitalId, Vault<MemoryJournal>>,
    connected: BTreeMap<HospitalId, bool>,
    inboxes: VecDeque<(HospitalId, ToVault)>,
    published: BTreeMap<OutcomeName, Arc<[u8]>>,
    interference: Interference<'a>,
    lie: Lie<'a>,
    spoil_outcome: Box<dyn Fn(&mut Outcome) + 'a>,
    /// Training goes wrong here: the update is not a number.
    diverges: Option<HospitalId>,
    /// The connection loses this hospital's next `RoundClosed`.
    lose_next_close_of: Option<HospitalId>,
    /// Vanish when asked to upload to this learning round.
    drop_before_upload: Vec<(HospitalId, LearningRound)>,
    now: Timestamp,
    events: Vec<Event>,
    opened: BTreeMap<HospitalId, Vec<OpenedRound>>,
    refusals: Vec<(HospitalId, String)>,
    /// Who was found to have answered wrongly, by whom.
    wrong_answers: BTreeMap<HospitalId, Vec<HospitalId>>,
    finished: Vec<HospitalId>,
    trained: usize,
}

struct Records(HospitalId);

impl RecordSource for Records {
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, UnusableRecords> {
        let base = f64::from(self.0.get());
        Ok(ClinicalRecords {
            ranges: model_data::Feature::RANGES,
            features: (0..3)
                .map(|patient| {
                    [
                        Some(1.0),
                        Some(20.0 + base + f64::from(patient)),
                        None,
                        Some(3.0),
                        None,
                        Some(1.0),
                        None,
                        Some(0.0),
                        None,
                    ]
                })
                .collect(),
            in_training: vec![true, true, false],
            class_counts: (0..labels.task.classes() as u64)
                .map(|class| 10 + class)
                .collect(),
        })
    }
}

fn id(number: u8) -> HospitalId {
    HospitalId::new(number).expect("in range")
}

fn manifest(rounds: u32, conditioning: Conditioning) -> Manifest {
    Manifest {
        rounds,
        conditioning,
        ..protocol::manifest::testing::manifest()
    }
}

/// A change that every hospital makes differently, small enough for the first clip.
fn change(hospital: HospitalId, index: usize) -> f32 {
    ((index * usize::from(hospital.get())) % 101) as f32 * 1e-4 - 5e-3
}

fn train(hospital: HospitalId, request: &TrainRequest) -> TrainedUpdate {
    let model = request
        .model
        .iter()
        .enumerate()
        .map(|(index, value)| value + change(hospital, index))
        .collect();
    let filter_gradients = request
        .filters
        .iter()
        .flatten()
        .map(|filter| filter.map(|value| value * 0.5))
        .collect();
    TrainedUpdate {
        model,
        filter_gradients,
        batches: 2,
        loss: 0.5,
    }
}

impl<'a> Run<'a> {
    fn new(size: u8, manifest: &Manifest) -> Self {
        let TestFederation {
            roster,
            hospital_keys,
            coordinator_key,
            operator_key,
        } = federation(size);
        let roster = Arc::new(roster);
        let ring = Arc::new(SumRing::new());
        let signed = Signed::sign(manifest, &operator_key);
        let coordinator = Coordinator::new(
            roster.clone(),
            coordinator_key,
            signed,
            ChaCha20Rng::from_seed([3; 32]),
        )
        .expect("a sound manifest");
        let vaults: BTreeMap<_, _> = (1..=size)
            .map(id)
            .zip(hospital_keys)
            .map(|(id, key)| {
                let identity = VaultIdentity {
                    id,
                    key,
                    roster: roster.clone(),
                };
                (
                    id,
                    Vault::new(
                        identity,
                        Policy::default(),
                        Box::new(Records(id)),
                        MemoryJournal::default(),
                        ring.clone(),
                    ),
                )
            })
            .collect();
        let connected = vaults.keys().map(|&id| (id, false)).collect();
        Self {
            coordinator,
            vaults,
            connected,
            inboxes: VecDeque::new(),
            published: BTreeMap::new(),
            interference: Box::new(|_, message| Some(message)),
            lie: Box::new(|_, output| output),
            spoil_outcome: Box::new(|_| {}),
            diverges: None,
            lose_next_close_of: None,
            drop_before_upload: Vec::new(),
            now: Timestamp(1_000),
            events: Vec::new(),
            opened: BTreeMap::new(),
            refusals: Vec::new(),
            wrong_answers: BTreeMap::new(),
            finished: Vec::new(),
            trained: 0,
        }
    }

    fn connect_all(&mut self) {
        let ids: Vec<_> = self.vaults.keys().copied().collect();
        for id in ids {
            self.connect(id);
        }
    }

    fn connect(&mut self, id: HospitalId) {
        self.connected.insert(id, true);
        self.coordinator.handle_connected(id, self.now);
        self.vault(id).handle_connected();
        self.pump();
    }

    fn disconnect(&mut self, id: HospitalId) {
        self.connected.insert(id, false);
        self.inboxes.retain(|(to, _)| *to != id);
        self.coordinator.handle_disconnected(id, self.now);
    }

    fn vault(&mut self, id: HospitalId) -> &mut Vault<MemoryJournal> {
        self.vaults.get_mut(&id).expect("a member")
    }

    /// Lets everything happen that can happen without time passing.
    fn pump(&mut self) {
        loop {
            let mut moved = false;
            while let Some(output) = self.coordinator.poll_output() {
                moved = true;
                match output {
                    Output::Send { to, message } if self.connected[&to] => {
                        // Through the codec, as on the wire.
                        let message = codec::decode_frame(&codec::encode_frame(message.as_ref()))
                            .expect("our own frame");
                        self.inboxes.push_back((to, message));
                    }
                    Output::Send { .. } => {}
                    Output::Publish { name, bytes } => {
                        let mut outcome = codec::decode(&bytes).expect("our own outcome");
                        (self.spoil_outcome)(&mut outcome);
                        self.published.insert(name, codec::encode(&outcome).into());
                    }
                    Output::Retract { name } => {
                        self.published.remove(&name);
                    }
                    // Nothing here is started again.
                    Output::Persist(_)
                    | Output::Keep { .. }
                    | Output::Discard { .. }
                    | Output::Republish { .. } => {}
                    Output::Event(event) => self.events.push(event),
                }
            }
            if let Some((to, message)) = self.inboxes.pop_front() {
                moved = true;
                if let Some(message) = (self.interference)(to, message) {
                    self.vault(to)
                        .handle_message(message)
                        .expect("nothing fatal");
                }
            }
            let ids: Vec<_> = self.vaults.keys().copied().collect();
            for id in ids {
                while let Some(output) = self.vault(id).poll_output() {
                    moved = true;
                    let vault = self.vaults.get_mut(&id).expect("a member");
                    let output = (self.lie)(vault, output);
                    self.act(id, output);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn act(&mut self, id: HospitalId, output: VaultOutput) {
        match output {
            VaultOutput::Send(message)
                if self.lose_next_close_of == Some(id)
                    && matches!(*message, ToCoordinator::RoundClosed(_)) =>
            {
                self.lose_next_close_of = None;
            }
            VaultOutput::Send(message) if self.connected[&id] => {
                let message: ToCoordinator =
                    codec::decode_frame(&codec::encode_frame(message.as_ref()))
                        .expect("our own frame");
                self.coordinator.handle_message(id, message, self.now);
            }
            VaultOutput::Upload {
                purpose,
                learning_round,
                ..
            } if purpose == Purpose::Update
                && self.drop_before_upload.contains(&(id, learning_round)) =>
            {
                self.drop_before_upload
                    .retain(|drop| *drop != (id, learning_round));
                self.disconnect(id);
            }
            VaultOutput::Upload { bytes, .. } if self.connected[&id] => {
                if self
                    .coordinator
                    .check_upload(id, bytes.len() as u64)
                    .is_ok()
                {
                    let _ = self.coordinator.handle_upload(id, &bytes, self.now);
                }
            }
            VaultOutput::Send(_) | VaultOutput::Upload { .. } => {}
            VaultOutput::FetchOutcome { name } => {
                let bytes = self.published[&name].clone();
                self.vault(id)
                    .handle_outcome(&bytes)
                    .expect("nothing fatal");
            }
            VaultOutput::Train(request) => {
                self.trained += 1;
                let mut update = train(id, &request);
                if self.diverges == Some(id) {
                    update.model[7] = f32::NAN;
                }
                self.vault(id)
                    .handle_trained(request.model_hash, update)
                    .expect("nothing fatal");
            }
            VaultOutput::Evaluate(request) => {
                let counts = EvaluatedCounts {
                    confusion: vec![vec![4, 1], vec![2, u64::from(id.get())]],
                    loss_sum: 1.5,
                };
                self.vault(id)
                    .handle_evaluated(request.round, &counts)
                    .expect("nothing fatal");
            }
            VaultOutput::Event(VaultEvent::Opened(opened)) => {
                self.opened.entry(id).or_default().push(*opened)
            }
            VaultOutput::Event(
                VaultEvent::Refused { reason } | VaultEvent::ProductsRefused { reason },
            ) => self.refusals.push((id, reason)),
            VaultOutput::Event(VaultEvent::WrongAnswers { hospitals, .. }) => {
                for (hospital, name) in hospitals {
                    assert_eq!(name, format!("hospital {hospital}"));
                    self.wrong_answers.entry(hospital).or_default().push(id);
                }
            }
            VaultOutput::Event(_) => {}
            VaultOutput::Finished => self.finished.push(id),
        }
    }

    /// Time passes until the coordinator's next deadline.
    fn wait(&mut self) {
        if let Some(next) = self.coordinator.poll_timeout() {
            self.now = self.now.max(next);
        }
        self.coordinator.handle_timeout(self.now);
        self.pump();
    }

    fn contributors(&self, purpose: Purpose) -> Vec<Vec<u8>> {
        let outcomes = self.events.iter().filter_map(|event| match event {
            Event::OutcomeOut {
                purpose: found,
                contributors,
                ..
            } if *found == purpose => Some(contributors),
            _ => None,
        });
        outcomes
            .map(|contributors| contributors.iter().map(|id| id.get()).collect())
            .collect()
    }

    fn completed(&self) -> Option<ModelHash> {
        self.events.iter().find_map(|event| match event {
            Event::Complete {
                model_hash,
                missing,
            } if missing.is_empty() => Some(*model_hash),
            _ => None,
        })
    }

    /// What the dealer check has found.
    fn findings(&self) -> Vec<Finding> {
        let findings = self.events.iter().filter_map(|event| match event {
            Event::Suspected { finding, .. } => Some(finding.clone()),
            _ => None,
        });
        findings.collect()
    }

    fn failed_with(&self, words: &str) -> bool {
        let reasons = self.events.iter().filter_map(|event| match event {
            Event::Failed { reason } => Some(reason),
            _ => None,
        });
        reasons.into_iter().any(|reason| reason.contains(words))
    }

    fn refused_with(&self, words: &str) -> bool {
        self.refusals
            .iter()
            .any(|(_, reason)| reason.contains(words))
    }
}
