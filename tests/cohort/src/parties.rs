//! The two machines behind the calls that the cohort makes of them: the one file that follows when their interfaces change. What
//! comes in are bytes of the wire, what goes out are the machines' own outputs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use coordinator::machine::{self, Fact, MachineError, PhaseName, UploadedBytes};
use crypto::sealed_sum::{HospitalId, SumRing};
use participant::{
    journal::memory::MemoryJournal,
    vault::{Vault, VaultIdentity, VaultOutput, consent::Consent, policy::Policy, testing},
};
use protocol::{
    codec,
    digests::{HeaderHash, ModelHash, RoundNumber},
    identity::{Signed, SigningKey},
    manifest::{CheckedManifest, Manifest},
    message::{ToCoordinator, ToVault},
    roster::Roster,
    training_job::{EvaluatedCounts, TrainedUpdate},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{journal::CohortJournal, records::Records};

pub use machine::{Event, Output, Timestamp};

/// A hospital's vault as the tests drive it.
pub type CohortVault = Vault<CohortJournal>;

/// The coordinator's machine and what it wants done that has not been done yet.
pub struct CoordinatorParty {
    machine: machine::Coordinator<ChaCha20Rng>,
    undone: VecDeque<Output>,
    /// How many of them, the last ones, are new.
    fresh: usize,
    roster: Arc<Roster>,
    key: SigningKey,
    disk: Disk,
    /// Of the randomness of this process; the next one's is another.
    seed: [u8; 32],
}

/// What of a coordinator outlives its process: facts as bytes in their order, and sums by name.
#[derive(Default)]
struct Disk {
    facts: Vec<Vec<u8>>,
    sums: BTreeMap<HeaderHash, Arc<[u8]>>,
}

impl CoordinatorParty {
    /// A coordinator whose session and nonces follow from `seed`. The run may be of any network.
    pub(crate) fn new(
        roster: Arc<Roster>,
        key: SigningKey,
        manifest: Signed<Manifest>,
        seed: [u8; 32],
    ) -> Self {
        let rng = ChaCha20Rng::from_seed(seed);
        let check = CheckedManifest::check_all_but_layout;
        let own = copy_of(&key);
        let machine =
            machine::Coordinator::new_with_check(check, roster.clone(), own, manifest, rng)
                .expect("the manifest is sound and the operator's");
        Self {
            machine,
            undone: VecDeque::new(),
            fresh: 0,
            roster,
            key,
            disk: Disk::default(),
            seed,
        }
    }

    /// Writes a fact down.
    pub(crate) fn persist(&mut self, fact: &Fact) {
        self.disk.facts.push(fact.to_bytes());
    }

    /// Keeps a sum.
    pub(crate) fn keep(&mut self, name: HeaderHash, bytes: Arc<[u8]>) {
        self.disk.sums.insert(name, bytes);
    }

    /// A sum is not needed any more.
    pub(crate) fn discard(&mut self, name: &HeaderHash) {
        self.disk.sums.remove(name);
    }

    /// Its process has ended: what it wanted done is not done.
    pub(crate) fn forget(&mut self) {
        self.undone.clear();
        self.fresh = 0;
    }

    /// Another process goes on from what is on disk.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        self.forget();
        self.seed[31] = self.seed[31].wrapping_add(1);
        let facts = self.disk.facts.iter().map(|bytes| Fact::from_bytes(bytes));
        let facts: Vec<_> = facts.collect::<Result<_, _>>().expect("its own facts");
        let sums = &self.disk.sums;
        let resumed = machine::Coordinator::resume_with_check(
            CheckedManifest::check_all_but_layout,
            self.roster.clone(),
            copy_of(&self.key),
            facts,
            |name| sums.get(name).map(|bytes| bytes.to_vec()),
            ChaCha20Rng::from_seed(self.seed),
            now,
        );
        self.machine = resumed.expect("its own facts lead on");
        self.collect();
    }

    /// The hospitals of the session.
    pub(crate) fn members(&self) -> Option<Vec<HospitalId>> {
        self.machine.members()
    }

    /// Those that have reached what the next session goes on from, while it is set up.
    pub(crate) fn bring_the_state(&self) -> Option<Vec<HospitalId>> {
        self.machine.bring_the_state()
    }

    /// Those of them that help to open no sum on the present model.
    pub(crate) fn do_not_answer(&self) -> Vec<HospitalId> {
        self.machine.do_not_answer()
    }

    /// Whether hospitals join or exchange keys.
    pub(crate) fn is_before_first_sum(&self) -> bool {
        matches!(
            self.machine.phase(),
            PhaseName::Gathering | PhaseName::KeyExchange
        )
    }

    /// Whether the run has ended, well or not.
    pub fn is_over(&self) -> bool {
        self.machine.is_over()
    }

    /// When it wants to know the time.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.machine.poll_timeout()
    }

    pub(crate) fn connected(&mut self, hospital: HospitalId, now: Timestamp) {
        self.machine.handle_connected(hospital, now);
        self.collect();
    }

    pub(crate) fn disconnected(&mut self, hospital: HospitalId, now: Timestamp) {
        self.machine.handle_disconnected(hospital, now);
        self.collect();
    }

    /// A control frame.
    ///
    /// # Panics
    /// If the bytes are no message: the cohort sends none such.
    pub(crate) fn frame(&mut self, from: HospitalId, bytes: &[u8], now: Timestamp) {
        let message = codec::decode_frame(bytes).expect("a frame of a vault");
        self.machine.handle_message(from, message, now);
        self.collect();
    }

    pub(crate) fn check_upload(&self, from: HospitalId, bytes: u64) -> Result<(), MachineError> {
        self.machine.check_upload(from, bytes)
    }

    pub(crate) fn progress(&mut self, from: HospitalId, now: Timestamp) {
        self.machine.handle_progress(from, now);
        self.collect();
    }

    pub(crate) fn upload(
        &mut self,
        from: HospitalId,
        upload: impl UploadedBytes + 'static,
        now: Timestamp,
    ) -> Result<(), MachineError> {
        let verdict = self.machine.handle_upload(from, upload, now);
        self.collect();
        verdict
    }

    pub(crate) fn time(&mut self, now: Timestamp) {
        self.machine.handle_timeout(now);
        self.collect();
    }

    /// The next thing to do, in the machine's order.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.undone.pop_front()
    }

    /// What it has come to want since [`Self::have_been_seen`].
    pub(crate) fn fresh(&self) -> impl Iterator<Item = &Output> {
        self.undone.iter().skip(self.undone.len() - self.fresh)
    }

    pub(crate) fn have_been_seen(&mut self) {
        self.fresh = 0;
    }

    fn collect(&mut self) {
        let before = self.undone.len();
        self.undone
            .extend(std::iter::from_fn(|| self.machine.poll_output()));
        self.fresh += self.undone.len() - before;
    }
}

/// A vault and what it wants done that has not been done yet.
pub struct VaultParty {
    /// The machine, for a test that knows what it does.
    pub vault: CohortVault,
    id: HospitalId,
    undone: VecDeque<VaultOutput>,
    /// What outlives its process.
    journal: CohortJournal,
    policy: Policy,
    roster: Arc<Roster>,
    key: SigningKey,
    ring: Arc<SumRing>,
    /// Processes that have ended.
    ended: u8,
}

/// What a hospital makes of what its vault has to say, before it is said.
pub type Lie<'a> = dyn FnMut(HospitalId, &mut CohortVault, VaultOutput) -> VaultOutput + 'a;

/// Why a vault has stopped.
pub(crate) type Stopped = String;

impl VaultParty {
    pub(crate) fn new(
        id: HospitalId,
        key: SigningKey,
        roster: Arc<Roster>,
        ring: Arc<SumRing>,
    ) -> Self {
        Self::with_journal(id, key, roster, ring, CohortJournal::default())
    }

    pub(crate) fn with_journal(
        id: HospitalId,
        key: SigningKey,
        roster: Arc<Roster>,
        ring: Arc<SumRing>,
        journal: CohortJournal,
    ) -> Self {
        let policy = Policy::of_own_federation();
        let vault = new_vault(id, &key, &roster, &ring, &journal, &policy, 0);
        Self {
            vault,
            policy,
            id,
            undone: VecDeque::new(),
            journal,
            roster,
            key,
            ring,
            ended: 0,
        }
    }

    /// Begins on the journal of another, with this policy.
    pub(crate) fn begin_on(&mut self, earlier: &Self, policy: &Policy) {
        self.journal = earlier.journal.clone();
        self.policy = policy.clone();
        let (key, roster, ring) = (&self.key, &self.roster, &self.ring);
        self.vault = new_vault(self.id, key, roster, ring, &self.journal, policy, 0);
    }

    /// Its process has ended: what it wanted done is not done.
    pub(crate) fn forget(&mut self) {
        self.undone.clear();
    }

    /// What it has come to want beyond so many outputs is not done: its process ended before.
    pub(crate) fn forget_beyond(&mut self, outputs: usize) {
        self.undone.truncate(outputs);
    }

    /// Another process goes on from what is on disk.
    pub(crate) fn restart(&mut self, lie: &mut Lie<'_>) {
        self.forget();
        self.ended = self.ended.wrapping_add(1);
        self.journal.disk().go_on();
        let (key, roster, ring) = (&self.key, &self.roster, &self.ring);
        let (journal, policy) = (&self.journal, &self.policy);
        self.vault = new_vault(self.id, key, roster, ring, journal, policy, self.ended);
        self.vault.resume().expect("its own words lead on");
        self.collect(lie);
    }

    /// Its process has ended, and nothing is on its disk any more.
    pub(crate) fn lose_disk(&mut self) {
        self.journal = CohortJournal::default();
    }

    /// The journal's disk.
    pub(crate) fn disk(&self) -> &MemoryJournal {
        self.journal.disk()
    }

    pub(crate) fn connected(&mut self, lie: &mut Lie<'_>) {
        self.vault.handle_connected();
        self.collect(lie);
    }

    pub(crate) fn message(&mut self, message: ToVault, lie: &mut Lie<'_>) -> Result<(), Stopped> {
        let result = self.vault.handle_message(message);
        self.collect(lie);
        result.map_err(|error| error.to_string())
    }

    pub(crate) fn outcome(&mut self, bytes: &[u8], lie: &mut Lie<'_>) -> Result<(), Stopped> {
        let result = self.vault.handle_outcome(bytes);
        self.collect(lie);
        result.map_err(|error| error.to_string())
    }

    pub(crate) fn trained(
        &mut self,
        model: ModelHash,
        update: TrainedUpdate,
        lie: &mut Lie<'_>,
    ) -> Result<(), Stopped> {
        let result = self.vault.handle_trained(model, update);
        self.collect(lie);
        result.map_err(|error| error.to_string())
    }

    pub(crate) fn evaluated(
        &mut self,
        round: RoundNumber,
        counts: &EvaluatedCounts,
        lie: &mut Lie<'_>,
    ) -> Result<(), Stopped> {
        let result = self.vault.handle_evaluated(round, counts);
        self.collect(lie);
        result.map_err(|error| error.to_string())
    }

    /// The next thing to do, in the machine's order.
    pub(crate) fn next_output(&mut self) -> Option<VaultOutput> {
        self.undone.pop_front()
    }

    /// What is to be done, in order.
    pub(crate) fn undone(&self) -> impl Iterator<Item = &VaultOutput> {
        self.undone.iter()
    }

    /// Takes what a test made the vault say outside of any event.
    pub fn collect(&mut self, lie: &mut Lie<'_>) {
        while let Some(output) = self.vault.poll_output() {
            let output = lie(self.id, &mut self.vault, output);
            self.undone.push_back(output);
        }
    }
}

fn new_vault(
    id: HospitalId,
    key: &SigningKey,
    roster: &Arc<Roster>,
    ring: &Arc<SumRing>,
    journal: &CohortJournal,
    policy: &Policy,
    process: u8,
) -> CohortVault {
    let identity = VaultIdentity {
        id,
        key: copy_of(key),
        roster: roster.clone(),
    };
    let source = Box::new(Records(id));
    // Key pairs apart, everything that a vault draws is the same in every run of a test, and another in each of its processes.
    let mut seed = [id.get(); 32];
    seed[31] = seed[31].wrapping_add(process);
    let rng = Box::new(ChaCha20Rng::from_seed(seed));
    let consent = Consent::by_policy_alone(policy.clone());
    let (journal, ring) = (journal.clone(), ring.clone());
    let mut vault = Vault::with_randomness(identity, consent, source, journal, ring, rng);
    testing::check_manifest_with(&mut vault, CheckedManifest::check_all_but_layout);
    vault
}

fn copy_of(key: &SigningKey) -> SigningKey {
    SigningKey::from_secret_bytes(&key.to_secret_bytes())
}

/// The bytes of a frame to the coordinator.
pub(crate) fn frame_to_coordinator(message: &ToCoordinator) -> Vec<u8> {
    codec::encode_frame(message)
}

/// The bytes of a frame to a vault.
pub(crate) fn frame_to_vault(message: &ToVault) -> Vec<u8> {
    codec::encode_frame(message)
}
