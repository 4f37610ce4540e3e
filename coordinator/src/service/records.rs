//! What a run leaves behind, in one folder: `transcript.jsonl`, for anybody with the roster, and the store, for the operator and for
//! the next start.
//!
//! The store has the facts from which a run goes on after a crash; what they refer to, sums and outcomes, are files in the folder
//! `blobs`. One coordinator at a time uses the folder: it holds the lock on the file `lock`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, TryLockError},
    io,
    net::SocketAddr,
    path::{self, Path, PathBuf},
};

use crate::machine::{Event, Fact};
use crypto::{hash::Digest, sealed_sum::HospitalId};
use host::private_folder::{make_private_folder, open_private_file};
use protocol::{digests::RunId, identity::Signed, manifest::Manifest, roster::Roster};
use transport::{Disconnect, TrafficCounts};

use super::{
    event_log::declined, lost::Lost, records_error::RecordsError, transcript_file::TranscriptFile,
};
use crate::store::{Blobs, LastRun, RunResult, Store, StoreError};

pub(super) struct Records {
    folder: PathBuf,
    transcript: TranscriptFile,
    store: Store,
    blobs: Blobs,
    refusals: RefusalBudget,
    lost: Lost,
    /// Last, so that the folder is free once everything else is closed.
    _lock: Lock,
}

impl Records {
    /// Opens or makes the records in `folder`, and makes sure that they can be written.
    pub(super) fn open(folder: &Path) -> Result<Self, RecordsError> {
        make_folder(folder).map_err(RecordsError::at(folder))?;
        let lock = Lock::of(folder)?;
        let transcript = TranscriptFile::open(&folder.join("transcript.jsonl"))?;
        let store = Store::open(&folder.join("coordinator.sqlite"))?;
        let blobs = Blobs::open(&folder.join("blobs"))?;
        blobs.probe()?;
        // Names of new files are on disk only with their folder.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(RecordsError::at(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            transcript,
            store,
            blobs,
            refusals: RefusalBudget::default(),
            lost: Lost::new("records of connections and refusals"),
            _lock: lock,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder for uploads under way, whose files have no names.
    pub(super) fn folder_for_uploads(&self) -> Result<PathBuf, RecordsError> {
        let folder = self.folder.join("uploads");
        make_folder(&folder).map_err(RecordsError::at(&folder))?;
        Ok(folder)
    }

    /// The run that was recorded last.
    pub(super) fn last_run(&self) -> Result<Option<LastRun>, RecordsError> {
        Ok(self.store.last_run()?)
    }

    /// A run by H of its manifest.
    pub(super) fn run(&self, run: &RunId) -> Result<Option<LastRun>, RecordsError> {
        Ok(self.store.run(run)?)
    }

    /// The facts of the last run, in their order.
    pub(super) fn facts(&self) -> Result<Vec<Fact>, RecordsError> {
        Ok(self.store.facts()?)
    }

    /// A new run begins: nothing that is kept of others is needed.
    pub(super) fn begin_run(
        &self,
        manifest: &Signed<Manifest>,
        roster: &Roster,
    ) -> Result<(), RecordsError> {
        self.store.begin_run(manifest, &roster.hash())?;
        Ok(self.blobs.retain(&BTreeSet::new())?)
    }

    /// The last run goes on; files that its facts do not name are left from what had not happened yet.
    pub(super) fn take_up_run(&self, needed: &BTreeSet<Digest>) -> Result<(), RecordsError> {
        self.store.take_up_run()?;
        Ok(self.blobs.retain(needed)?)
    }

    /// Writes a fact down, synced.
    pub(super) fn fact(&self, fact: &Fact) -> Result<(), RecordsError> {
        Ok(self.store.add_fact(fact)?)
    }

    /// Keeps bytes under a name, synced, until they are discarded.
    pub(super) fn keep(&self, name: &Digest, bytes: &[u8]) -> Result<(), RecordsError> {
        Ok(self.blobs.keep(name, bytes)?)
    }

    /// The same for an outcome, which ends with a sum that is kept.
    pub(super) fn keep_outcome(
        &self,
        name: &Digest,
        bytes: &[u8],
        sum: &Digest,
    ) -> Result<(), RecordsError> {
        Ok(self.blobs.keep_with_tail(name, bytes, sum)?)
    }

    /// The files of what is kept under a name; none if they are not there.
    pub(super) fn files_of(&self, name: &Digest) -> Option<Vec<PathBuf>> {
        self.blobs.files(name)
    }

    /// The bytes kept under a name.
    pub(super) fn load(&self, name: &Digest) -> Result<Vec<u8>, RecordsError> {
        Ok(self.blobs.load(name)?)
    }

    /// The file of the bytes under a name.
    pub(super) fn path_of(&self, name: &Digest) -> PathBuf {
        self.blobs.path(name)
    }

    /// Lets go of bytes, if there are any under this name. What cannot be removed now is removed at the next start.
    pub(super) fn discard(&self, name: &Digest) {
        if let Err(error) = self.blobs.discard(name) {
            let error = anyhow::Error::from(error);
            tracing::warn!("a file that is not needed any more stays for now: {error:#}");
        }
    }

    pub(super) fn connected(&mut self, hospital: HospitalId, address: SocketAddr) {
        let written = self.store.connected(hospital, address);
        self.count_loss(written);
    }

    pub(super) fn disconnected(
        &mut self,
        hospital: HospitalId,
        disconnect: &Disconnect,
        traffic: TrafficCounts,
    ) {
        let reason = disconnect.to_string();
        let written = self.store.disconnected(hospital, &reason, traffic);
        self.count_loss(written);
    }

    /// Somebody was turned away, or something was not accepted.
    pub(super) fn refused(&mut self, hospital: Option<HospitalId>, reason: &str) {
        if self.refusals.allows(hospital) {
            let written = self.store.refused(hospital, reason);
            self.count_loss(written);
        }
    }

    /// Records an event. Doing so again after an error, or after a restart, changes nothing.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), RecordsError> {
        match event {
            Event::Opened {
                round,
                purpose,
                learning_round,
            } => self.store.opened(*round, *purpose, *learning_round)?,
            Event::OutcomeOut {
                round,
                contributors,
                ..
            } => self.store.outcome_out(*round, contributors)?,
            Event::Settled(entry) => {
                self.transcript.append(entry)?;
                self.store.settled(entry)?;
            }
            Event::Abandoned { round, reason, .. } => self.store.abandoned(*round, reason)?,
            Event::Suspected { round, finding } => {
                let reason = format!("sum {round}: {finding}");
                if self.refusals.allows_finding() {
                    let written = self.store.refused(Some(finding.hospital()), &reason);
                    self.count_loss(written);
                }
            }
            Event::Declined {
                hospital,
                round,
                part,
                reason,
            } => {
                let reason = format!("{} round {round}: {reason}", declined(*part));
                self.refused(Some(*hospital), &reason);
            }
            Event::DidNotOpen { round, .. } => {
                let written = self.store.abandoned(*round, "its sum did not open");
                self.count_loss(written);
            }
            Event::TooSlow {
                hospital,
                round,
                waited_secs,
            } => {
                let reason = format!("too slow for round {round}: given {waited_secs} s");
                self.refused(Some(*hospital), &reason);
            }
            Event::Rejected { hospital, reason } => self.refused(Some(*hospital), reason),
            _ => {}
        }
        Ok(())
    }

    /// The run has ended.
    pub(super) fn end_run(&self, result: &RunResult<'_>) -> Result<(), RecordsError> {
        Ok(self.store.end_run(result)?)
    }

    /// Records that are only for people are not worth a pause of the run.
    fn count_loss(&mut self, written: Result<(), StoreError>) {
        if let Err(error) = written {
            self.lost.one_more(&error);
        }
    }
}

/// Of refusals, so many are recorded for strangers together, for each hospital, and for findings: a peer that is turned away again and
/// again must neither fill the disk nor keep others from being recorded.
#[derive(Default)]
struct RefusalBudget {
    by_hospital: BTreeMap<Option<HospitalId>, u32>,
    findings: u32,
}

impl RefusalBudget {
    /// Whether one more refusal of a hospital may be recorded, and counts it; none stands for all strangers.
    fn allows(&mut self, hospital: Option<HospitalId>) -> bool {
        count_one(self.by_hospital.entry(hospital).or_default())
    }

    fn allows_finding(&mut self) -> bool {
        count_one(&mut self.findings)
    }
}

fn count_one(taken: &mut u32) -> bool {
    let is_left = *taken < MAX_REFUSALS;
    *taken += u32::from(is_left);
    is_left
}

/// Makes a folder and those above it, unless they are there. A name is on disk only with the folder that it is in.
fn make_folder(folder: &Path) -> io::Result<()> {
    let folder = path::absolute(folder)?;
    let missing = folder.ancestors().take_while(|folder| !folder.is_dir());
    let missing: Vec<_> = missing.collect();
    make_private_folder(&folder)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// The lock of the folder, for as long as the file is open.
/// A state folder that no other coordinator uses meanwhile.
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    fn of(folder: &Path) -> Result<Self, RecordsError> {
        let path = folder.join("lock");
        let file = open_private_file(&path).map_err(RecordsError::at(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(RecordsError::InUse {
                folder: folder.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(RecordsError::Lock { path, source }),
        }
    }

    /// Of a folder that is made if it is not there.
    pub(super) fn of_new_folder(folder: &Path) -> Result<Self, RecordsError> {
        make_folder(folder).map_err(RecordsError::at(folder))?;
        Self::of(folder)
    }
}

/// Of one kind, in one process.
const MAX_REFUSALS: u32 = 1000;
