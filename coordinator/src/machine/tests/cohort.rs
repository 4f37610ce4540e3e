//! A coordinator and fake hospitals in one thread: a network that delivers in order, a disk that keeps what it is told to, and a
//! clock that moves when nobody has anything to say.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::{self, List},
    digests::{HeaderHash, ModelHash, OutcomeName},
    identity::{Signed, SigningKey},
    manifest::{CheckedManifest, Conditioning, Manifest},
    message::{ToCoordinator, ToVault},
    network::{ModelLayout, TensorKind, TensorSpec},
    roster::{
        Roster,
        testing::{TestFederation, federation},
    },
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::hospital::{Act, FakeHospital};
use crate::machine::{
    Coordinator, Event, Fact, Output, PhaseName, ResumeError, Timestamp, context::Run,
};

pub(super) type Machine = Coordinator<ChaCha20Rng>;

/// What a federation needs to start, or start again.
pub(super) struct Federation {
    pub(super) roster: Arc<Roster>,
    coordinator_key: SigningKey,
    pub(super) manifest: Signed<Manifest>,
}

/// What survives a crash: facts as bytes in their order, and bytes by name.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) facts: Vec<Vec<u8>>,
    pub(super) blobs: BTreeMap<[u8; 32], Vec<u8>>,
}

pub(super) struct Cohort {
    pub(super) federation: Federation,
    pub(super) machine: Machine,
    pub(super) hospitals: BTreeMap<HospitalId, FakeHospital>,
    connected: BTreeSet<HospitalId>,
    to_vaults: VecDeque<(HospitalId, ToVault)>,
    acts: VecDeque<(HospitalId, Act)>,
    pub(super) disk: Disk,
    uploads: BTreeMap<[u8; 32], Arc<[u8]>>,
    /// Outcomes that can be fetched.
    served: BTreeSet<OutcomeName>,
    /// Those that were, and did not open.
    retracted: BTreeSet<OutcomeName>,
    /// The fact before says so of one.
    has_not_opened: bool,
    pub(super) events: Vec<Event>,
    /// So many outputs were carried out.
    pub(super) effects: usize,
    /// The coordinator is stopped when it has carried out so many.
    pub(super) crash_after: Vec<usize>,
    pub(super) now: Timestamp,
}

pub(super) fn id(number: u8) -> HospitalId {
    HospitalId::new(number).expect("in range")
}

/// A run of so many rounds on a model of six values.
pub(super) fn manifest(rounds: u32) -> Manifest {
    let tensor = TensorSpec {
        name: "dense.weight".into(),
        shape: List(vec![2, 3]),
        kind: TensorKind::Weight,
    };
    Manifest {
        rounds,
        conditioning: Conditioning::None,
        layout: ModelLayout {
            tensors: List(vec![tensor]),
        },
        ..protocol::manifest::testing::manifest()
    }
}

/// So many hospitals that have just connected, in a run of so many rounds on a model of six values.
pub(super) fn connected(size: u8, rounds: u32) -> Cohort {
    let mut cohort = Cohort::new(size, &manifest(rounds));
    cohort.connect_all();
    cohort
}

impl Federation {
    fn begin(&self) -> Machine {
        let run = Run::of(CheckedManifest::of_any_layout(self.manifest.clone()));
        Coordinator::begin(self.roster.clone(), self.copy_key(), run, rng(3))
    }

    /// A coordinator that goes on from a disk.
    pub(super) fn resume(
        &self,
        disk: &Disk,
        now: Timestamp,
        seed: u8,
    ) -> Result<Machine, ResumeError> {
        let facts = disk.facts.iter().map(|bytes| Fact::from_bytes(bytes));
        let facts: Vec<_> = facts.collect::<Result<_, _>>().expect("our own bytes");
        let run = Run::of(CheckedManifest::of_any_layout(self.manifest.clone()));
        let load_sum = |name: &HeaderHash| disk.blobs.get(name.as_bytes()).cloned();
        Coordinator::resume_run(
            self.roster.clone(),
            self.copy_key(),
            run,
            &facts,
            load_sum,
            rng(seed),
            now,
        )
    }

    fn copy_key(&self) -> SigningKey {
        SigningKey::from_secret_bytes(&self.coordinator_key.to_secret_bytes())
    }
}

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

impl Cohort {
    pub(super) fn new(size: u8, manifest: &Manifest) -> Self {
        let TestFederation {
            roster,
            hospital_keys,
            coordinator_key,
            operator_key,
        } = federation(size);
        let federation = Federation {
            roster: Arc::new(roster),
            coordinator_key,
            manifest: Signed::sign(manifest, &operator_key),
        };
        let hospital = |(id, key)| (id, FakeHospital::new(id, key, federation.roster.clone()));
        Self {
            machine: federation.begin(),
            hospitals: (1..=size)
                .map(id)
                .zip(hospital_keys)
                .map(hospital)
                .collect(),
            federation,
            connected: BTreeSet::new(),
            to_vaults: VecDeque::new(),
            acts: VecDeque::new(),
            disk: Disk::default(),
            uploads: BTreeMap::new(),
            served: BTreeSet::new(),
            retracted: BTreeSet::new(),
            has_not_opened: false,
            events: Vec::new(),
            effects: 0,
            crash_after: Vec::new(),
            now: Timestamp(1_000),
        }
    }

    pub(super) fn connect_all(&mut self) {
        let ids: Vec<_> = self.hospitals.keys().copied().collect();
        ids.into_iter().for_each(|id| self.connect(id));
    }

    pub(super) fn connect(&mut self, id: HospitalId) {
        self.connected.insert(id);
        self.machine.handle_connected(id, self.now);
        let hello = self.hospitals[&id].hello();
        self.acts.push_back((id, Act::Say(hello)));
    }

    pub(super) fn disconnect(&mut self, id: HospitalId) {
        self.lose_connection(id);
        self.machine.handle_disconnected(id, self.now);
    }

    fn lose_connection(&mut self, id: HospitalId) {
        self.connected.remove(&id);
        self.to_vaults.retain(|(to, _)| *to != id);
        self.acts.retain(|(from, _)| *from != id);
    }

    /// A participant is killed and started again. What the coordinator wanted to send is sent: a shell carries out all outputs before
    /// the next input.
    pub(super) fn restart_hospital(&mut self, id: HospitalId) {
        self.pump_outputs();
        self.disconnect(id);
        self.hospital(id).restart();
        self.connect(id);
    }

    /// What the machine wants to be done is done.
    pub(super) fn pump_outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(output);
            self.effects += 1;
        }
    }

    pub(super) fn hospital(&mut self, id: HospitalId) -> &mut FakeHospital {
        self.hospitals.get_mut(&id).expect("a member")
    }

    /// The next thing that happens without time passing: an output, a delivery, or what a hospital does; false if there is none.
    pub(super) fn step(&mut self) -> bool {
        if let Some(output) = self.machine.poll_output() {
            self.carry_out(output);
            self.effects += 1;
            if self.crash_after.first() == Some(&self.effects) {
                self.crash_after.remove(0);
                self.restart();
            }
        } else if let Some((to, message)) = self.to_vaults.pop_front() {
            let acts = self.hospital(to).hear(message);
            self.acts.extend(acts.into_iter().map(|act| (to, act)));
        } else if let Some((from, act)) = self.acts.pop_front() {
            self.act(from, act);
        } else {
            return false;
        }
        true
    }

    /// Lets happen what can, until something holds; false if it never does.
    pub(super) fn until(&mut self, holds: impl Fn(&Self) -> bool) -> bool {
        while !holds(self) {
            if !self.step() {
                return false;
            }
        }
        true
    }

    /// Lets everything happen that can without time passing.
    pub(super) fn pump(&mut self) {
        while self.step() {}
    }

    /// Time passes until the machine's next deadline.
    pub(super) fn wait(&mut self) {
        if let Some(next) = self.machine.poll_timeout() {
            self.now = self.now.max(next);
        }
        self.machine.handle_timeout(self.now);
        self.pump();
    }

    /// To the end of the run, or as far as it gets.
    pub(super) fn run(&mut self) {
        self.pump();
        for _ in 0..100 {
            if self.machine.is_over() {
                return;
            }
            self.wait();
        }
    }

    /// Only what this hospital does, until it has nothing to do.
    pub(super) fn act_for(&mut self, id: HospitalId) {
        while let Some(index) = self.acts.iter().position(|(from, _)| *from == id) {
            let (from, act) = self.acts.remove(index).expect("just found");
            self.act(from, act);
        }
    }

    /// A hospital does this too, later.
    pub(super) fn push_act(&mut self, id: HospitalId, act: Act) {
        self.acts.push_back((id, act));
    }

    /// What a hospital would do next does not happen.
    pub(super) fn forget_act(&mut self, id: HospitalId) {
        if let Some(index) = self.acts.iter().position(|(from, _)| *from == id) {
            self.acts.remove(index);
        }
    }

    pub(super) fn phase(&self) -> PhaseName {
        self.machine.phase()
    }

    /// What a hospital would do next.
    pub(super) fn next_act(&self, id: HospitalId) -> Option<&Act> {
        let mut acts = self.acts.iter();
        acts.find(|(from, _)| *from == id).map(|(_, act)| act)
    }

    fn act(&mut self, from: HospitalId, act: Act) {
        match act {
            Act::Say(message) => {
                // Through the codec, as on the wire.
                let frame = codec::encode_frame(&message);
                let message: ToCoordinator = codec::decode_frame(&frame).expect("our own frame");
                self.machine.handle_message(from, message, self.now);
            }
            Act::Upload { name, bytes } => {
                let first = self.uploads.entry(name).or_insert_with(|| bytes.clone());
                assert_eq!(*first, bytes, "an upload that goes on has the same bytes");
                let offered = self.machine.check_upload(from, bytes.len() as u64);
                if offered.is_ok() {
                    let _ = self.machine.handle_upload(from, bytes, self.now);
                }
            }
            Act::Fetch { name } if self.retracted.contains(&name) => {}
            Act::Fetch { name } => {
                assert!(
                    self.served.contains(&name),
                    "an outcome that is announced is served"
                );
                let bytes = self.disk.blobs[name.as_bytes()].clone();
                let acts = self.hospital(from).open(&bytes);
                self.acts.extend(acts.into_iter().map(|act| (from, act)));
            }
        }
    }

    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist(fact) => {
                self.has_not_opened = matches!(fact, Fact::NullStep { .. } | Fact::LeftOut { .. });
                self.disk.facts.push(fact.to_bytes());
            }
            Output::Keep { name, bytes } => {
                self.disk.blobs.insert(name.into(), bytes.to_vec());
            }
            Output::Discard { name } => {
                self.disk.blobs.remove(name.as_bytes());
            }
            Output::Publish { name, bytes, .. } => {
                self.disk.blobs.insert(name.into(), bytes.to_vec());
                self.served.insert(name);
            }
            Output::Republish { name } => {
                assert!(
                    self.disk.blobs.contains_key(name.as_bytes()),
                    "it was published"
                );
                self.served.insert(name);
            }
            Output::Retract { name } => {
                self.disk.blobs.remove(name.as_bytes());
                let was_served = self.served.remove(&name);
                if was_served && self.has_not_opened {
                    self.retracted.insert(name);
                }
                self.has_not_opened = false;
            }
            Output::Send { to, message } => {
                if self.connected.contains(&to) {
                    let frame = codec::encode_frame(message.as_ref());
                    let message = codec::decode_frame(&frame).expect("our own frame");
                    self.to_vaults.push_back((to, message));
                }
            }
            Output::Event(event) => self.events.push(event),
        }
    }

    /// The process is killed: only the disk is left. Another one goes on, and the hospitals come back in another order.
    pub(super) fn restart(&mut self) {
        let ids: Vec<_> = self.hospitals.keys().rev().copied().collect();
        for &id in &ids {
            self.lose_connection(id);
        }
        self.served.clear();
        let resumed = self.federation.resume(&self.disk, self.now, 9);
        self.machine = resumed.expect("its own facts");
        ids.into_iter().for_each(|id| self.connect(id));
    }

    /// The hash of the model and who misses it, once the run is complete.
    pub(super) fn completed(&self) -> Option<(ModelHash, &[HospitalId])> {
        self.events.iter().find_map(|event| match event {
            Event::Complete {
                model_hash,
                missing,
            } => Some((*model_hash, missing.as_slice())),
            _ => None,
        })
    }

    pub(super) fn failed_with(&self, words: &str) -> bool {
        let mut events = self.events.iter();
        events.any(|event| matches!(event, Event::Failed { reason } if reason.contains(words)))
    }

    pub(super) fn rejected_with(&self, from: HospitalId, words: &str) -> bool {
        let mut events = self.events.iter();
        events.any(|event| {
            matches!(event, Event::Rejected { hospital, reason } if *hospital == from && reason.contains(words))
        })
    }
}
