//! A sealed run, from where its folder has it to its result.

use std::{collections::BTreeMap, fs, sync::Arc};

use anyhow::{Context, anyhow};
use coordinator::machine::TranscriptEntry;
use crypto::sealed_sum::HospitalId;
use host::{failure::Failure, private_folder::make_private_folder};
use participant::vault::statistics::ClinicalRecords;
use protocol::manifest::Manifest;

use super::{
    federation::{Failed, Federation, HospitalParts},
    notes::{Note, Notes},
    observer::{Observer, SharedObserver},
    plan::Plan,
    progress::Progress,
    recorder::Recordings,
    run::RunResult,
    run_folder::{RunFolder, sync_folder},
    sum_check::SumCheck,
    unfinished::Unfinished,
};
use crate::stopping::Stopping;

/// What it begins with, and goes on with.
pub struct SealedRun<'a> {
    /// What is simulated.
    pub plan: &'a Plan,
    /// What the coordinator lets the hospitals do.
    pub manifest: &'a Arc<Manifest>,
    /// Of all patients.
    pub fingerprint: &'a str,
    /// What Ctrl-C does.
    pub stopping: &'a Stopping,
    /// What a person sees.
    pub progress: &'a Arc<Progress>,
}

impl SealedRun<'_> {
    /// Runs to the end from where the folder has the run; from the beginning on it stays there.
    ///
    /// # Errors
    /// Whatever ends the run early.
    pub fn run(
        &self,
        parts: Vec<HospitalParts>,
        records: Records,
        unfinished: &mut Unfinished,
    ) -> Result<RunResult, Failed> {
        let folder = RunFolder::of(unfinished);
        let (notes, before) = self.notes(&folder).map_err(Failed::CanGoOn)?;
        let (observer, recordings) = self
            .observer(&folder, records, &notes, &before)
            .map_err(Failed::can_go_on)?;
        unfinished.stay();
        let observer = SharedObserver::new(observer);
        let ended = observer.lock().ended;
        let named = match ended {
            Some(model_hash) => Some(model_hash),
            None => {
                let federation = Federation {
                    plan: self.plan,
                    recordings,
                    observer: observer.clone(),
                    folder: folder.clone(),
                    stopping: self.stopping,
                };
                let done = observer.lock().history.last().unwrap_or_default();
                let (hospitals, rounds) = (self.plan.hospital_ids(), self.manifest.rounds);
                self.progress.begin_run(hospitals, rounds, done);
                let named = federation.run(parts);
                self.progress.clear();
                named?
            }
        };
        if let (None, Some(model_hash)) = (ended, named) {
            let noted = notes.keep(&Note::Ended { model_hash });
            noted.map_err(Failed::can_go_on)?;
        }
        let hospitals = usize::from(self.plan.hospitals);
        let mut observer = observer.lock();
        read_transcript(&folder)
            .and_then(|transcript| {
                let run = RunResult::of_sealed(&mut observer, hospitals, transcript, named)?;
                let path = folder.roster();
                let roster = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Ok(RunResult {
                    roster: Some(roster),
                    ..run
                })
            })
            .map_err(Failed::can_go_on)
    }

    /// With what earlier processes have noted: of the same patients.
    fn notes(&self, folder: &RunFolder) -> Result<(Notes, Vec<Note>), Failure> {
        let place = folder.notes();
        let (notes, before) = Notes::open(&place)
            .with_context(|| format!("cannot use {}", place.display()))
            .map_err(Failure::run)?;
        let other =
            |note: &Note| matches!(note, Note::Began { patients } if patients != self.fingerprint);
        if before.iter().any(other) {
            return Err(Failure::Settings(anyhow!(
                "the patients differ from those with which the simulation began; put the data back as they were, or begin another \
                 simulation with another --out"
            )));
        }
        Ok((notes, before))
    }

    fn observer(
        &self,
        folder: &RunFolder,
        records: Records,
        notes: &Notes,
        before: &[Note],
    ) -> anyhow::Result<(Observer, Recordings)> {
        make_private_folder(&folder.models())?;
        let recordings = Recordings::in_folder(&folder.updates(), notes.clone(), before)?;
        sync_folder(folder.path())?;
        let sums = SumCheck::new(Arc::clone(self.manifest), recordings.clone(), records);
        let mut observer = Observer::new(
            Arc::clone(self.manifest),
            Arc::clone(self.progress),
            sums,
            folder.clone(),
            notes.clone(),
            before,
        );
        if !before.is_empty() {
            self.progress.line(observer.goes_on());
        }
        notes.keep(&Note::Began {
            patients: self.fingerprint.to_owned(),
        })?;
        observer.costs.another_process();
        Ok((observer, recordings))
    }
}

/// What the vaults will read, for the check of the sums.
pub type Records = BTreeMap<HospitalId, ClinicalRecords>;

/// The signed hash chain, as the coordinator has written it.
fn read_transcript(folder: &RunFolder) -> anyhow::Result<Vec<TranscriptEntry>> {
    let path = folder.transcript();
    let cannot = || format!("cannot read {}", path.display());
    let text = fs::read_to_string(&path).with_context(cannot)?;
    let entries = text.lines().map(serde_json::from_str);
    entries.collect::<Result<_, _>>().with_context(cannot)
}
