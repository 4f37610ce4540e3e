//! Whether a run begins or goes on: decided from what the state folder keeps of the last one.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use crypto::hash::Digest;
use getrandom::{SysRng, rand_core::UnwrapErr};
use protocol::{
    digests::{HeaderHash, RoundNumber},
    identity::{Signed, SigningKey},
    manifest::{Manifest, ManifestError},
    roster::Roster,
    round::outcome::outcome_name,
};

use super::{Machine, ServiceError, records::Records};
use crate::{
    machine::{Coordinator, Fact, Output, ResumeError, Timestamp},
    store::{LastRun, RunResult},
};

/// What a run is begun or taken up with.
pub(super) struct Start {
    pub(super) roster: Arc<Roster>,
    pub(super) signing_key: SigningKey,
    /// Of the run to begin, if there is one and none is to be taken up.
    pub(super) manifest: Option<Signed<Manifest>>,
    /// Whether a run that could be taken up is abandoned.
    pub(super) new_run: bool,
}

/// A machine that is ready, and what it has to do first.
pub(super) struct Started {
    pub(super) machine: Machine,
    pub(super) outputs: Vec<Output>,
    /// Whether its run began in an earlier process.
    pub(super) taken_up: bool,
}

impl Start {
    /// The run of the records goes on, if there is one without a result; else one begins.
    pub(super) fn with(self, records: Option<&Records>) -> Result<Started, ServiceError> {
        let Some(records) = records else {
            return Ok(begun(self.new_machine()?));
        };
        let last = records.last_run()?;
        match &last {
            Some(last) if last.result.is_none() => {
                if !self.new_run {
                    let facts = records.facts()?;
                    if !facts.is_empty() {
                        return self.take_up(records, facts, last.roster.as_deref());
                    }
                }
                // Only when the new one is known to be sound.
                self.check_is_new(records)?;
                let machine = self.new_machine()?;
                let manifest = self.manifest.as_ref().map(Signed::digest);
                if !self.new_run && manifest == last.run {
                    // Stopped before any hospital had heard of it.
                    return Ok(begun(machine));
                }
                let reason = match &last.roster {
                    _ if self.new_run => "given up with --new-run",
                    Some(_) => "no hospital had heard of it",
                    None => "it was begun by a release that could not go on",
                };
                records.end_run(&RunResult::Abandoned { reason })?;
                if self.new_run {
                    tracing::warn!(run = last.name, "abandoned the unfinished run: --new-run");
                }
                self.begin(records, machine)
            }
            Some(last) => {
                self.check_is_new(records)?;
                let machine = self.new_machine()?;
                let result = last.result.as_deref().unwrap_or_default();
                tracing::info!(
                    run = last.name,
                    result,
                    "the last run of this state folder has ended; another one begins"
                );
                self.begin(records, machine)
            }
            None => {
                let machine = self.new_machine()?;
                self.begin(records, machine)
            }
        }
    }

    fn new_machine(&self) -> Result<Machine, ServiceError> {
        let manifest = self.manifest.clone().ok_or(ServiceError::NoRun)?;
        let machine = Coordinator::new(
            Arc::clone(&self.roster),
            self.copy_key(),
            manifest,
            UnwrapErr(SysRng),
        );
        machine.map_err(ServiceError::Manifest)
    }

    /// A manifest that was signed elsewhere is the same at every start, and its run begins once: the hospitals know it as one that has
    /// ended.
    fn check_is_new(&self, records: &Records) -> Result<(), ServiceError> {
        let manifest = self.manifest.as_ref();
        let known = manifest.map(|manifest| records.run(&manifest.digest()));
        let Some(LastRun { name, result, .. }) = known.transpose()?.flatten() else {
            return Ok(());
        };
        match result {
            Some(result) => Err(ServiceError::RunHasEnded { name, result }),
            None if self.new_run => {
                let result = "given up with --new-run".to_owned();
                Err(ServiceError::RunHasEnded { name, result })
            }
            // No hospital has heard of it.
            None => Ok(()),
        }
    }

    fn begin(&self, records: &Records, machine: Machine) -> Result<Started, ServiceError> {
        let manifest = self.manifest.as_ref().ok_or(ServiceError::NoRun)?;
        records.begin_run(manifest, &self.roster)?;
        if let Some(weights) = &machine.manifest().initial_model {
            let weights_hash = hex::encode(weights);
            tracing::info!(
                weights_hash,
                "the run starts from a kept model, which each hospital needs in its state folder"
            );
        }
        Ok(begun(machine))
    }

    fn take_up(
        &self,
        records: &Records,
        facts: Vec<Fact>,
        roster: Option<&str>,
    ) -> Result<Started, ServiceError> {
        let folder = records.folder();
        if roster.is_some_and(|roster| roster != hex::encode(self.roster.hash())) {
            return Err(TakeUpError::OtherRoster.at(folder));
        }
        let needed = named_blobs(&facts);
        let mut unreadable = None;
        let load_sum = |name: &HeaderHash| match records.load(name.as_bytes()) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                unreadable = Some(error);
                None
            }
        };
        let machine = Coordinator::resume(
            Arc::clone(&self.roster),
            self.copy_key(),
            facts,
            load_sum,
            UnwrapErr(SysRng),
            Timestamp(0),
        );
        let mut machine = machine.map_err(|error| {
            let error = match error {
                ResumeError::SumLost { round, name } => TakeUpError::SumLost {
                    round,
                    path: records.path_of(name.as_bytes()),
                    unreadable: unreadable.is_some(),
                },
                // The manifest was sound when the run began: who signs manifests must have changed.
                ResumeError::Start(error) => TakeUpError::Manifest(error),
                error => TakeUpError::Facts(error),
            };
            error.at(folder)
        })?;
        let outputs: Vec<_> = std::iter::from_fn(|| machine.poll_output()).collect();
        for output in &outputs {
            if let Output::Republish { name } = output
                && records.files_of(name.as_bytes()).is_none()
            {
                let path = records.path_of(name.as_bytes());
                return Err(TakeUpError::OutcomeLost { path }.at(folder));
            }
        }
        records.take_up_run(&needed)?;
        self.tell(&machine);
        Ok(Started {
            machine,
            outputs,
            taken_up: true,
        })
    }

    /// What goes on, and that it is not what the settings ask for if it is not.
    fn tell(&self, machine: &Machine) {
        let kept = machine.manifest();
        tracing::info!(
            run = kept.name.0,
            session = hex::encode(machine.session()),
            round = machine.last_round().map_or(0, RoundNumber::get),
            phase = %machine.phase(),
            "taking the unfinished run of this state folder up again"
        );
        let manifest = self.manifest.as_ref();
        if let Some(Ok(settings)) = manifest.map(Signed::read_unverified) {
            let differing = differing_keys(kept, &settings);
            if !differing.is_empty() {
                tracing::warn!(
                    differing = differing.join(", "),
                    "the settings ask for another run; the one that was begun goes on as it was signed. To give it up and begin the \
                     one of the settings: --new-run"
                );
            }
        }
    }

    fn copy_key(&self) -> SigningKey {
        SigningKey::from_secret_bytes(&self.signing_key.to_secret_bytes())
    }
}

fn begun(machine: Machine) -> Started {
    Started {
        machine,
        outputs: Vec::new(),
        taken_up: false,
    }
}

/// The names of all outcomes that facts tell of, and of the sums whose outcomes are not among them.
fn named_blobs(facts: &[Fact]) -> BTreeSet<Digest> {
    let outcomes: BTreeSet<_> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Outcome { name } => Some(*name),
            _ => None,
        })
        .collect();
    let name = |fact: &Fact| match fact {
        Fact::Fixed(record) => {
            let request = record.request.read_unverified().ok()?;
            let outcome = outcome_name(&request.header, &request.hash());
            (!outcomes.contains(&outcome)).then(|| request.header.into())
        }
        Fact::Outcome { name } | Fact::StateKept { name } => Some((*name).into()),
        Fact::Begun { .. }
        | Fact::Ready(_)
        | Fact::Header(_)
        | Fact::Closed(_)
        | Fact::NullStep { .. }
        | Fact::EndsAfter { .. }
        | Fact::LeftOut { .. } => None,
    };
    facts.iter().filter_map(name).collect()
}

/// The keys of `[run]` in which two manifests differ; the nonce is no setting.
fn differing_keys(kept: &Manifest, settings: &Manifest) -> Vec<&'static str> {
    let pairs = [
        ("name", kept.name == settings.name),
        ("task", kept.task == settings.task),
        ("labels", kept.label_scheme == settings.label_scheme),
        (
            "conditioning or profile",
            kept.conditioning == settings.conditioning,
        ),
        ("seed", kept.init_seed == settings.init_seed),
        ("rounds", kept.rounds == settings.rounds),
        ("local_epochs", kept.local_epochs == settings.local_epochs),
        ("batch_size", kept.batch_size == settings.batch_size),
        (
            "learning_rate",
            kept.learning_rate == settings.learning_rate,
        ),
        ("weight_decay", kept.weight_decay == settings.weight_decay),
        (
            "conditioning_form",
            kept.conditioning_form == settings.conditioning_form,
        ),
        (
            "conditioning_every",
            kept.conditioning_every == settings.conditioning_every,
        ),
        ("features", kept.features == settings.features),
        (
            "conditioning_rate",
            kept.conditioning_rate == settings.conditioning_rate,
        ),
        ("strategy", kept.strategy == settings.strategy),
        ("local_steps", kept.local_steps == settings.local_steps),
        (
            "round_timeout_secs",
            kept.silence_secs == settings.silence_secs,
        ),
        (
            "straggler_floor_secs",
            kept.straggler_floor_secs == settings.straggler_floor_secs,
        ),
        (
            "straggler_factor",
            kept.straggler_factor == settings.straggler_factor,
        ),
        ("keep", kept.keep == settings.keep),
        ("early_stop", kept.early_stop == settings.early_stop),
        ("start_with", kept.start_with == settings.start_with),
        (
            "initial_model",
            kept.initial_model == settings.initial_model,
        ),
    ];
    let differing = pairs.into_iter().filter(|(_, alike)| !alike);
    differing.map(|(key, _)| key).collect()
}

/// Why an unfinished run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TakeUpError {
    /// Hospitals or keys have changed.
    #[error("it was begun with another roster or another key")]
    OtherRoster,
    /// The manifest is not valid with this roster.
    #[error("it was begun with another roster or another key: {0}")]
    Manifest(ManifestError),
    /// A sum that hospitals may have begun to open.
    #[error("{}, the sum of round {round}, {}", path.display(), if *unreadable { "cannot be read" } else { "was altered" })]
    SumLost {
        /// Its round.
        round: RoundNumber,
        /// Its file.
        path: PathBuf,
        /// Whether there is nothing to read.
        unreadable: bool,
    },
    /// An outcome that some hospital has not opened.
    #[error("{}, an outcome that a hospital has yet to fetch, is missing", path.display())]
    OutcomeLost {
        /// Its file.
        path: PathBuf,
    },
    /// What the database holds is not the course of a run.
    #[error(transparent)]
    Facts(ResumeError),
}

impl TakeUpError {
    fn at(self, folder: &Path) -> ServiceError {
        ServiceError::TakeUp {
            folder: folder.to_owned(),
            source: self,
        }
    }
}
