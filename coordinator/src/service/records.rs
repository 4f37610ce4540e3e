//! What a run leaves behind: `transcript.jsonl`, for anybody with the roster, and the store, for the operator.
//!
//! The transcript is the signed hash chain, one line a settled round, on disk before the run goes on. The store also has the facts
//! from which a run goes on after a crash; what they refer to, sums and outcomes, are files in the folder `blobs`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::machine::{Event, Fact, TranscriptEntry};
use crypto::{hash::Digest, sealed_sum::HospitalId};
use protocol::{identity::Signed, manifest::Manifest};
use transport::{Disconnect, TrafficCounts};

use crate::store::{Blobs, RunResult, Store, StoreError};

pub(super) struct Records {
    transcript: File,
    transcript_path: PathBuf,
    store: Store,
    blobs: Blobs,
    /// Refusals left to record: a peer that is turned away again and again must not fill the disk.
    refusals_left: u32,
}

impl Records {
    /// Opens or makes the records in `folder`, and begins a run.
    pub(super) fn open(folder: &Path, manifest: &Signed<Manifest>) -> Result<Self, RecordsError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let transcript_path = folder.join("transcript.jsonl");
        let transcript = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&transcript_path)
            .map_err(at(&transcript_path))?;
        let store = Store::open(&folder.join("coordinator.sqlite"))?;
        store.begin_run(manifest)?;
        let blobs = Blobs::open(&folder.join("blobs"))?;
        Ok(Self {
            transcript,
            transcript_path,
            store,
            blobs,
            refusals_left: MAX_REFUSALS,
        })
    }

    /// Writes a fact down, synced.
    pub(super) fn fact(&mut self, fact: &Fact) -> Result<(), RecordsError> {
        Ok(self.store.add_fact(fact)?)
    }

    /// Keeps bytes under a name, synced, until they are discarded.
    pub(super) fn keep(&mut self, name: &Digest, bytes: &[u8]) -> Result<(), RecordsError> {
        Ok(self.blobs.keep(name, bytes)?)
    }

    /// The bytes kept under a name.
    pub(super) fn load(&mut self, name: &Digest) -> Result<Vec<u8>, RecordsError> {
        Ok(self.blobs.load(name)?)
    }

    /// Lets go of bytes, if there are any under this name.
    pub(super) fn discard(&mut self, name: &Digest) -> Result<(), RecordsError> {
        Ok(self.blobs.discard(name)?)
    }

    pub(super) fn connected(
        &mut self,
        hospital: HospitalId,
        address: SocketAddr,
    ) -> Result<(), RecordsError> {
        Ok(self.store.connected(hospital, address)?)
    }

    pub(super) fn disconnected(
        &mut self,
        hospital: HospitalId,
        disconnect: &Disconnect,
        traffic: TrafficCounts,
    ) -> Result<(), RecordsError> {
        Ok(self
            .store
            .disconnected(hospital, &disconnect.to_string(), traffic)?)
    }

    /// Somebody was turned away, or something was not accepted.
    pub(super) fn refused(
        &mut self,
        hospital: Option<HospitalId>,
        reason: &str,
    ) -> Result<(), RecordsError> {
        if self.refusals_left == 0 {
            return Ok(());
        }
        self.refusals_left -= 1;
        Ok(self.store.refused(hospital, reason)?)
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<(), RecordsError> {
        match event {
            Event::Opened {
                round,
                purpose,
                learning_round,
            } => {
                self.store.opened(*round, *purpose, *learning_round)?;
            }
            Event::OutcomeOut {
                round,
                contributors,
                ..
            } => self.store.outcome_out(*round, contributors)?,
            Event::Settled(entry) => {
                self.append(entry)?;
                self.store.settled(entry)?;
            }
            Event::Abandoned { round, reason, .. } => self.store.abandoned(*round, reason)?,
            Event::Suspected { round, finding } => {
                let reason = format!("sum {round}: {finding}");
                self.refused(Some(finding.hospital()), &reason)?;
            }
            Event::Declined {
                hospital,
                round,
                reason,
            } => {
                let reason = format!("does not contribute to round {round}: {reason}");
                self.refused(Some(*hospital), &reason)?;
            }
            Event::Rejected { hospital, reason } => self.refused(Some(*hospital), reason)?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn close(self, result: &RunResult<'_>) -> Result<(), RecordsError> {
        Ok(self.store.end_run(result)?)
    }

    fn append(&mut self, entry: &TranscriptEntry) -> Result<(), RecordsError> {
        let mut line =
            serde_json::to_vec(entry).expect("an entry has no map with keys that are not text");
        line.push(b'\n');
        let written = self
            .transcript
            .write_all(&line)
            .and_then(|()| self.transcript.sync_data());
        written.map_err(at(&self.transcript_path))
    }
}

/// Why the records of a run cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A file or folder.
    #[error("cannot write {}; check that the state folder (setting `state`) is writable and its disk is not full", path.display())]
    File {
        /// The file or folder that cannot be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RecordsError {
    let path = path.to_owned();
    move |source| RecordsError::File { path, source }
}

const MAX_REFUSALS: u32 = 10_000;
