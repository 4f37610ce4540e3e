//! A run as its operator has signed it, in a file: made where the operator's key is, and begun by a coordinator that has no such key.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use protocol::{
    codec,
    identity::{Signed, SignedError},
    manifest::{CheckedManifest, Manifest, ManifestError},
    roster::Roster,
};
use serde::{Deserialize, Serialize};

/// What the file holds. Only `signed` counts; the rest is for whoever looks into it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunFile {
    /// Of this form.
    schema: u32,
    /// The name of the run.
    name: String,
    /// H of its manifest, in hexadecimal like what follows.
    run: String,
    /// H of the roster that it was signed for.
    roster: String,
    /// The signed manifest, in canonical bytes.
    signed: String,
}

/// The text of the file.
///
/// # Errors
/// [`SignedError`] when the manifest cannot be read.
pub fn to_text(manifest: &Signed<Manifest>, roster: &Roster) -> Result<String, SignedError> {
    let file = RunFile {
        schema: SCHEMA,
        name: manifest.read_unverified()?.name.0,
        run: hex::encode(manifest.digest()),
        roster: hex::encode(roster.hash()),
        signed: hex::encode(codec::encode(manifest)),
    };
    let text = serde_json::to_string_pretty(&file).expect("text and numbers");
    Ok(text + "\n")
}

/// Reads the file and checks that it is a sound run of this federation, signed by its operator.
///
/// # Errors
/// [`RunFileError`] says what is wrong and what to do.
pub fn read(path: &Path, roster: &Roster) -> Result<Signed<Manifest>, RunFileError> {
    let fault = |fault| RunFileError {
        path: path.to_owned(),
        fault,
    };
    let length = fs::metadata(path)
        .map_err(|error| fault(Fault::File(error)))?
        .len();
    if length > MAX_BYTES {
        return Err(fault(Fault::Form(format!("it has {length} bytes"))));
    }
    let text = fs::read_to_string(path).map_err(|error| fault(Fault::File(error)))?;
    let signed = signed_of(&text, roster).map_err(fault)?;
    CheckedManifest::check(signed.clone(), roster)
        .map_err(|error| fault(Fault::Manifest(error)))?;
    Ok(signed)
}

fn signed_of(text: &str, roster: &Roster) -> Result<Signed<Manifest>, Fault> {
    let form = |error: &dyn fmt::Display| Fault::Form(error.to_string());
    let file: RunFile = serde_json::from_str(text).map_err(|error| form(&error))?;
    if file.schema != SCHEMA {
        return Err(Fault::Schema { found: file.schema });
    }
    if file.roster != hex::encode(roster.hash()) {
        return Err(Fault::OtherRoster);
    }
    let bytes = hex::decode(&file.signed).map_err(|error| form(&error))?;
    let signed: Signed<Manifest> = codec::decode(&bytes).map_err(|error| form(&error))?;
    let manifest = signed.read_unverified().map_err(|error| form(&error))?;
    let is_what_it_says = manifest.name.0 == file.name && hex::encode(signed.digest()) == file.run;
    if !is_what_it_says {
        return Err(Fault::Form(
            "it says another run than was signed".to_owned(),
        ));
    }
    Ok(signed)
}

/// A file that is no run that can be begun.
#[derive(Debug, thiserror::Error)]
#[error("{} {fault}", path.display())]
pub struct RunFileError {
    /// The file.
    path: PathBuf,
    /// What is wrong with it.
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot be read: {0}")]
    File(io::Error),
    #[error("is not a signed run: {0}. `coordinator run sign` makes one")]
    Form(String),
    #[error("has schema {found}, where {SCHEMA} is known: sign the run again with this release")]
    Schema { found: u32 },
    #[error(
        "was signed for another roster: sign the run again, with the roster that the coordinator has"
    )]
    OtherRoster,
    #[error("cannot be run: {0}")]
    Manifest(ManifestError),
}

const SCHEMA: u32 = 1;
/// A manifest has a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demo::{Demo, Place},
        settings::RunSettings,
    };

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.json");
        fs::write(&path, text).expect("written");
        (folder, path)
    }

    #[test]
    fn a_signed_run_is_read_back_and_nothing_else_is() {
        let demo = Demo::generate(3, Place::default()).expect("three hospitals");
        let other = Demo::generate(3, Place::default()).expect("three hospitals");
        let signed = RunSettings::default().signed_manifest(&demo.operator_key);
        let text = to_text(&signed, &demo.roster).expect("sound");
        let (_folder, path) = written(&text);
        assert!(read(&path, &demo.roster).expect("sound") == signed);

        let refusal = |text: &str| {
            let (_folder, path) = written(text);
            read(&path, &demo.roster).expect_err("refused").to_string()
        };
        let (_folder, path) = written(&text);
        let error = read(&path, &other.roster).expect_err("another federation");
        assert!(error.to_string().contains("another roster"), "{error}");
        let by_another = RunSettings::default().signed_manifest(&other.operator_key);
        let text_of_another = to_text(&by_another, &demo.roster).expect("sound");
        assert!(refusal(&text_of_another).contains("cannot be run"));
        assert!(refusal("{}").contains("is not a signed run"));
        assert!(refusal(&text.replace("\"schema\": 1", "\"schema\": 2")).contains("schema 2"));
        let renamed = text.replace("\"name\": \"demo\"", "\"name\": \"harmless\"");
        assert!(refusal(&renamed).contains("another run than was signed"));
        let cut = text.replace(&hex::encode(codec::encode(&signed)), "00");
        assert!(refusal(&cut).contains("is not a signed run"));
    }
}
