//! `notes.jsonl` of an unfinished simulation: what it alone knows, a line each, on disk before anything that depends on it goes on. What a
//! crash or a full disk has left of a line is cut off.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use host::private_folder::open_private_file;
use participant::shell::RunCost;
use protocol::{
    digests::{LearningRound, ModelHash, RoundNumber},
    manifest::Purpose,
};
use serde::{Deserialize, Serialize};

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// The federation begins with these patients, or a process takes it up again.
    Began {
        /// [`crate::cohort_fingerprint`].
        patients: String,
    },
    /// A hospital has trained.
    Trained {
        /// Its number.
        hospital: u8,
        /// Mean loss of the last epoch's batches.
        loss: Exact,
        /// Batches done.
        batches: u32,
    },
    /// A hospital has evaluated.
    Evaluated {
        /// Its number.
        hospital: u8,
        /// Of the sum.
        round: RoundNumber,
        /// What it puts into the sum.
        counters: Vec<u64>,
    },
    /// A hospital has opened a sum, which was checked; it has not settled it yet.
    Opened(Box<CheckedSum>),
    /// The error of a product that is larger than all before.
    Product {
        /// Its largest error against the plaintext product.
        error: Exact,
    },
    /// What the process that wrote it has cost a hospital so far.
    Spent {
        /// Its number.
        hospital: u8,
        /// Seconds and bytes.
        cost: KeptCost,
    },
    /// What the process that wrote it has cost the coordinator so far.
    CoordinatorSpent {
        /// Seconds.
        adding: f64,
        /// Seconds.
        conditioning: f64,
    },
    /// The coordinator has ended the run well; what follows can be done again at any time.
    Ended {
        /// Of the common model, in the coordinator's word.
        model_hash: ModelHash,
    },
}

/// A sum as one hospital has opened it, and what the check says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckedSum {
    /// Who has opened it.
    pub hospital: u8,
    /// Its number.
    pub round: RoundNumber,
    /// What it was for.
    pub purpose: Purpose,
    /// 0 for statistics.
    pub learning_round: LearningRound,
    /// U, sorted.
    pub contributors: Vec<u8>,
    /// As opened.
    pub counters: Vec<u64>,
    /// Of the common model afterwards.
    pub model_hash: ModelHash,
    /// The round whose model is kept as the best.
    pub kept_round: Option<LearningRound>,
    /// The best evaluation so far: round and value.
    pub best: Option<(LearningRound, Exact)>,
    /// Of the mean of an update: over the clip, over the step, the same inside the clip.
    pub error: Option<[Exact; 3]>,
    /// Values of an update beyond their clip.
    pub saturated: Option<u64>,
    /// What is wrong.
    pub faults: Vec<String>,
    /// Since the start, over all processes.
    pub seconds: f64,
}

/// [`RunCost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptCost {
    training: f64,
    sealing: f64,
    opening: f64,
    conditioning: f64,
    transport: f64,
    sent: u64,
    received: u64,
}

impl From<RunCost> for KeptCost {
    fn from(cost: RunCost) -> Self {
        Self {
            training: cost.training_secs,
            sealing: cost.sealing_secs,
            opening: cost.opening_secs,
            conditioning: cost.conditioning_secs,
            transport: cost.transport_secs,
            sent: cost.sent_bytes,
            received: cost.received_bytes,
        }
    }
}

impl From<KeptCost> for RunCost {
    fn from(cost: KeptCost) -> Self {
        Self {
            training_secs: cost.training,
            sealing_secs: cost.sealing,
            opening_secs: cost.opening,
            conditioning_secs: cost.conditioning,
            transport_secs: cost.transport,
            sent_bytes: cost.sent,
            received_bytes: cost.received,
            ..Self::default()
        }
    }
}

/// A number that is read back to the last bit, infinite ones too: as text, which JSON's own numbers do not promise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Exact(pub f64);

impl From<Exact> for String {
    fn from(number: Exact) -> Self {
        number.0.to_string()
    }
}

impl TryFrom<String> for Exact {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// The file. Clones share it; one without a file keeps nothing.
#[derive(Clone, Default)]
pub struct Notes(Option<Arc<NotesFile>>);

struct NotesFile {
    path: PathBuf,
    open: Mutex<OpenFile>,
}

struct OpenFile {
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

impl Notes {
    /// Opens or makes the file; gives what is in it.
    ///
    /// # Errors
    /// What the system says; a line that is none of these.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Note>)> {
        let mut file = open_private_file(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let end = text.iter().rposition(|&byte| byte == b'\n');
        text.truncate(end.map_or(0, |end| end + 1));
        let lines = text.split(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let notes = lines.map(|line| serde_json::from_slice(line).map_err(io::Error::from));
        let notes = notes.collect::<io::Result<_>>()?;
        let length = text.len() as u64;
        let open = OpenFile { file, length };
        let file = NotesFile {
            path: path.to_owned(),
            open: Mutex::new(open),
        };
        Ok((Self(Some(Arc::new(file))), notes))
    }

    /// Writes a line; it is on disk when this returns.
    ///
    /// # Errors
    /// What the system says. Then the file is as it was.
    pub fn keep(&self, note: &Note) -> io::Result<()> {
        self.write(note, true)
    }

    /// Writes a line that may be lost with the power.
    ///
    /// # Errors
    /// What the system says. Then the file is as it was.
    pub fn mention(&self, note: &Note) -> io::Result<()> {
        self.write(note, false)
    }

    /// Its name, for people.
    pub fn place(&self) -> String {
        let path = self.0.as_ref().map(|file| file.path.display().to_string());
        path.unwrap_or_default()
    }

    fn write(&self, note: &Note, sync: bool) -> io::Result<()> {
        let Some(file) = &self.0 else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        let mut open = file.open.lock().unwrap_or_else(PoisonError::into_inner);
        let OpenFile { file, length } = &mut *open;
        // Behind the last whole line, whatever an attempt before has left there.
        file.set_len(*length)?;
        file.seek(SeekFrom::Start(*length))?;
        file.write_all(&line)?;
        if sync {
            file.sync_data()?;
        }
        *length += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(error: f64) -> Note {
        Note::Product {
            error: Exact(error),
        }
    }

    #[test]
    fn notes_are_read_back_to_the_last_bit_and_half_a_line_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.jsonl");
        let numbers = [0.1 + 0.2, f64::INFINITY, 5e-324, 0.502_837_465_910_283_7];
        let (notes, before) = Notes::open(&path).expect("made");
        assert_eq!(before, []);
        for number in numbers {
            notes.keep(&product(number)).expect("written");
        }
        drop(notes);
        let whole = std::fs::read(&path).expect("there");
        std::fs::write(&path, &whole[..whole.len() - 3]).expect("cut short");
        let (notes, before) = Notes::open(&path).expect("read");
        assert_eq!(
            before,
            numbers[..3]
                .iter()
                .map(|&number| product(number))
                .collect::<Vec<_>>()
        );
        notes.keep(&product(numbers[3])).expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), whole);
        std::fs::write(&path, "{\"other\":1}\n").expect("written");
        assert!(Notes::open(&path).is_err());
    }
}
