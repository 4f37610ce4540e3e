//! The moments of the server's optimiser outlive the process, or the vault says that they are lost; it never goes on with others.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crypto::hash::SecretKey32;
use protocol::{
    common_model::CommonModel,
    digests::{LearningRound, RoundNumber},
    identity::{Signed, SigningKey},
    keeping::Standing,
    manifest::{CheckedManifest, Manifest, Purpose, testing::manifest},
    network::testing::miniature,
    round::{header::SumKey, unlock::WeightedMembers},
    strategy::{Strategy, testing::EACH},
};
use zeroize::Zeroizing;

use super::id;
use crate::{
    journal::{
        Journal, KeptSession, SumOver, memory::MemoryJournal, run_folder, sqlite::SqliteJournal,
    },
    vault::{error::VaultError, session_state::Chain},
};

fn checked(strategy: Strategy) -> CheckedManifest {
    let manifest = Manifest {
        strategy,
        layout: miniature(2, 16),
        ..manifest()
    };
    let key = SigningKey::from_secret_bytes(&[3; 32]);
    CheckedManifest::of_any_layout(Signed::sign(&manifest, &key))
}

fn beginning(manifest: &CheckedManifest) -> Chain {
    let model = CommonModel::initial(manifest);
    Chain {
        model_hash: model.hash(),
        model,
        transcript: [0; 32].into(),
        last_round: RoundNumber::default(),
        updates: LearningRound::default(),
        contributors: Vec::new(),
        validation: None,
        standing: Standing::default(),
        evaluated: Vec::new(),
        given: None,
    }
}

fn members() -> BTreeSet<crypto::sealed_sum::HospitalId> {
    [id(1), id(2)].into()
}

/// The next update: means of every size, other ones in every round.
fn update(chain: &mut Chain) {
    let round = f64::from(chain.updates.next().get());
    let values = chain.model.values().len();
    let mean: Vec<f64> = (0..values)
        .map(|index| (index as f64 + round).sin() * 10_f64.powi(-(index as i32 % 6)))
        .collect();
    chain.apply_update(&mean, &members());
}

/// What a vault writes when it has opened an update.
fn keep(chain: &Chain, manifest: &CheckedManifest, journal: &mut impl Journal) {
    let run = manifest.run();
    journal
        .stage_model(&run, &chain.model, &chain.model_hash)
        .expect("kept");
    let key = SumKey {
        run,
        purpose: Purpose::Update,
        model_hash: chain.model_hash,
    };
    let sum = SumOver {
        key,
        subjects: Vec::new(),
        members: members(),
        weighted: WeightedMembers::new(),
    };
    journal.settle(&sum, b"after").expect("settled");
}

fn session() -> KeptSession {
    KeptSession {
        set_up: Vec::new(),
        position: Zeroizing::new(Vec::new()),
    }
}

/// A vault that is restarted after every round, by what `reopen` gives of its journal, and one that is not.
fn end_alike<J: Journal>(strategy: Strategy, reopen: impl Fn() -> J) {
    let manifest = checked(strategy);
    reopen().begin_session(&session()).expect("kept");
    let mut undisturbed = beginning(&manifest);
    let mut restarted = beginning(&manifest);
    for _ in 0..5 {
        update(&mut undisturbed);
        update(&mut restarted);
        keep(&restarted, &manifest, &mut reopen());
        let record = restarted.record();
        restarted = Chain::restored(record, &manifest, &reopen()).expect("all is there");
        assert_eq!(restarted.model_hash, undisturbed.model_hash, "{strategy}");
        assert_eq!(restarted.model.hash(), undisturbed.model.hash());
    }
}

#[test]
fn a_vault_that_is_restarted_between_rounds_ends_with_the_same_model() {
    for strategy in EACH {
        let memory = MemoryJournal::default();
        end_alike(strategy, || memory.clone());
        let folder = tempfile::tempdir().expect("a folder");
        end_alike(strategy, || open(folder.path()));
    }
}

fn open(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(&folder.join("journal"), &SecretKey32::from_bytes([7; 32])).expect("opens")
}

/// A state folder after two rounds with FedAdam, the moments' file after the first, and where it is.
struct TwoRounds {
    state: tempfile::TempDir,
    manifest: CheckedManifest,
    chain: Chain,
    older: Vec<u8>,
    moments: PathBuf,
}

impl TwoRounds {
    fn new() -> Self {
        let manifest = checked(Strategy::FEDADAM);
        let state = tempfile::tempdir().expect("a folder");
        let moments = run_folder(state.path(), &manifest.run()).join("optimiser.safetensors");
        let mut chain = beginning(&manifest);
        let mut journal = open(state.path());
        journal.begin_session(&session()).expect("kept");
        update(&mut chain);
        keep(&chain, &manifest, &mut journal);
        let older = fs::read(&moments).expect("there");
        update(&mut chain);
        keep(&chain, &manifest, &mut journal);
        Self {
            state,
            manifest,
            chain,
            older,
            moments,
        }
    }

    fn restored(&self) -> Result<Chain, VaultError> {
        Chain::restored(
            self.chain.record(),
            &self.manifest,
            &open(self.state.path()),
        )
    }

    fn is_refused(&self) {
        let error = self.restored().err().expect("refused");
        assert!(
            error.to_string().contains("optimiser.safetensors"),
            "{error}"
        );
    }
}

#[test]
fn moments_that_are_lost_older_or_altered_are_refused_with_what_to_do() {
    let rounds = TwoRounds::new();
    let newest = fs::read(&rounds.moments).expect("there");
    fs::write(&rounds.moments, &rounds.older).expect("put back");
    rounds.is_refused();
    let mut altered = newest.clone();
    *altered.last_mut().expect("values") ^= 1;
    fs::write(&rounds.moments, altered).expect("written");
    rounds.is_refused();
    fs::remove_file(&rounds.moments).expect("there");
    rounds.is_refused();
    fs::write(&rounds.moments, newest).expect("put back");
    let restored = rounds.restored().expect("the newest is taken");
    assert_eq!(restored.model.hash(), rounds.chain.model_hash);
}

#[test]
fn a_process_that_ends_around_the_writing_of_a_round_finds_the_moments_that_its_journal_speaks_of()
{
    let rounds = TwoRounds::new();
    let mut next = rounds.restored().expect("all is there");
    update(&mut next);
    let run = rounds.manifest.run();
    open(rounds.state.path())
        .stage_model(&run, &next.model, &next.model_hash)
        .expect("kept");
    let restored = rounds.restored().expect("not settled: the round before");
    assert_eq!(restored.model.hash(), rounds.chain.model_hash);
    // Settled, and one of the two files is in its place.
    let folder = run_folder(rounds.state.path(), &run);
    let model = folder.join("model.safetensors");
    fs::rename(folder.join("model.staged.safetensors"), model).expect("staged");
    let journal = open(rounds.state.path());
    let restored = Chain::restored(next.record(), &rounds.manifest, &journal).expect("found");
    assert_eq!(restored.model.hash(), next.model_hash);
}

#[test]
fn the_end_of_a_run_removes_its_moments_and_leaves_its_model() {
    let rounds = TwoRounds::new();
    let run = rounds.manifest.run();
    let ended = crate::journal::EndedRun {
        run,
        session: [2; 16].into(),
        transcript: rounds.chain.transcript,
        model_hash: rounds.chain.model_hash,
        learning_round: rounds.chain.updates,
    };
    open(rounds.state.path())
        .end_session(Some(&ended))
        .expect("ended");
    assert!(!rounds.moments.exists());
    let folder = run_folder(rounds.state.path(), &run);
    assert!(folder.join("model.safetensors").exists());
}
