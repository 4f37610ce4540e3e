//! Patients who are left out of all later runs, though they may still be in the data folder.
//!
//! Of a patient a salted hash of the ID is kept, and no more: enough to know the patient again, for as long as others might add the row
//! again. Whoever has the file and knows an ID can see whether it is in it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use crypto::hash::{Digest, labelled_hash};
use host::replaced_file::replace_private;
use serde::{Deserialize, Serialize};

/// The erased patients of one hospital.
#[derive(Default)]
pub struct Erased {
    salt: Digest,
    patients: BTreeSet<Digest>,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    schema: u32,
    #[serde(with = "hex")]
    salt: Digest,
    patients: Vec<String>,
}

impl Erased {
    /// The file's name in the state folder.
    pub const FILE: &'static str = "erased.json";

    /// Of the hospital with this state folder.
    ///
    /// # Errors
    /// [`ErasureError`]: a file that cannot be read is no empty one.
    pub fn read(state: &Path) -> Result<Self, ErasureError> {
        let path = state.join(Self::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ErasureError { path, source }),
        };
        parse(&text).map_err(|source| ErasureError { path, source })
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.patients.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.patients.is_empty()
    }

    /// Whether the patient with this ID is one of them.
    pub fn has(&self, id: &str) -> bool {
        !self.is_empty() && self.patients.contains(&self.hash(id))
    }

    /// Adds a patient and writes the file, synced. To be called by whoever holds the lock of the folder.
    ///
    /// # Errors
    /// [`ErasureError`]; then the file is as it was.
    pub fn add(&mut self, state: &Path, id: &str) -> Result<(), ErasureError> {
        let path = state.join(Self::FILE);
        let failed = |source| ErasureError {
            path: path.clone(),
            source,
        };
        if self.is_empty() {
            getrandom::fill(&mut self.salt).map_err(|error| failed(io::Error::other(error)))?;
        }
        self.patients.insert(self.hash(id));
        let kept = Kept {
            schema: SCHEMA,
            salt: self.salt,
            patients: self.patients.iter().map(hex::encode).collect(),
        };
        let text = serde_json::to_vec_pretty(&kept).map_err(|error| failed(error.into()))?;
        replace_private(&path, &text).map_err(failed)
    }

    fn hash(&self, id: &str) -> Digest {
        labelled_hash("erased-patient", &[&self.salt, canonical(id).as_bytes()])
    }
}

/// Whether two IDs are of one patient, as tables and folders write them: `sub-7`, `Patient-7`, `7`; in any case.
pub fn is_same_patient(one: &str, other: &str) -> bool {
    canonical(one) == canonical(other)
}

fn canonical(id: &str) -> String {
    let id = id.trim().to_lowercase();
    let bare = ["sub-", "patient-"]
        .iter()
        .find_map(|prefix| id.strip_prefix(prefix));
    bare.unwrap_or(&id).to_owned()
}

fn parse(text: &str) -> io::Result<Erased> {
    let kept: Kept = serde_json::from_str(text)?;
    if kept.schema != SCHEMA {
        return Err(io::Error::other(format!(
            "it has the form {}, and this release knows {SCHEMA}",
            kept.schema
        )));
    }
    let patients = kept.patients.iter().map(|text| {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(io::Error::other)?;
        Ok(hash)
    });
    Ok(Erased {
        salt: kept.salt,
        patients: patients.collect::<io::Result<_>>()?,
    })
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the list of erased patients, {}, cannot be used ({source}); put it back from a backup, or erase the patients again after moving it away",
    path.display()
)]
pub struct ErasureError {
    /// The file.
    path: PathBuf,
    /// What the operating system or the parser says.
    source: io::Error,
}

const SCHEMA: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_patient_is_known_again_and_not_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path();
        let mut erased = Erased::read(state).expect("nobody yet");
        assert!(erased.is_empty() && !erased.has("patient-7"));
        erased.add(state, "patient-7").expect("written");
        erased.add(state, " Patient-7 ").expect("written");
        erased.add(state, "Müller").expect("written");
        let text = fs::read_to_string(state.join(Erased::FILE)).expect("a file");
        assert!(!text.contains("patient-7") && !text.contains("Müller"));
        let again = Erased::read(state).expect("the same");
        assert_eq!(again.len(), 2);
        assert!(again.has("sub-7") && again.has("müller ") && !again.has("patient-8"));
    }

    #[test]
    fn a_damaged_file_is_no_empty_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path();
        for damaged in [
            "",
            "{}",
            "{\"schema\":2,\"salt\":\"\",\"patients\":[]}",
            "[1",
        ] {
            fs::write(state.join(Erased::FILE), damaged).expect("written");
            assert!(Erased::read(state).is_err(), "{damaged}");
        }
    }
}
