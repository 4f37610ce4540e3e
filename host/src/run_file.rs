//! A run as its operator has signed it, in a file: made where the operator's key is, begun by a coordinator that has no such key, and
//! looked at by a hospital before it takes part.

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
        .map_err(|error| fault(RunFault::File(error)))?
        .len();
    if length > MAX_BYTES {
        return Err(fault(RunFault::Form(format!("it has {length} bytes"))));
    }
    let text = fs::read_to_string(path).map_err(|error| fault(RunFault::File(error)))?;
    from_text(&text, roster).map_err(fault)
}

/// The same of a file's text.
///
/// # Errors
/// [`RunFault`].
pub fn from_text(text: &str, roster: &Roster) -> Result<Signed<Manifest>, RunFault> {
    let signed = signed_of(text, roster)?;
    CheckedManifest::check(signed.clone(), roster).map_err(RunFault::Manifest)?;
    Ok(signed)
}

fn signed_of(text: &str, roster: &Roster) -> Result<Signed<Manifest>, RunFault> {
    let form = |error: &dyn fmt::Display| RunFault::Form(error.to_string());
    let file: RunFile = serde_json::from_str(text).map_err(|error| form(&error))?;
    if file.schema != SCHEMA {
        return Err(RunFault::Schema { found: file.schema });
    }
    if file.roster != hex::encode(roster.hash()) {
        return Err(RunFault::OtherRoster);
    }
    let bytes = hex::decode(&file.signed).map_err(|error| form(&error))?;
    let signed: Signed<Manifest> = codec::decode(&bytes).map_err(|error| form(&error))?;
    let manifest = signed.read_unverified().map_err(|error| form(&error))?;
    let is_what_it_says = manifest.name.0 == file.name && hex::encode(signed.digest()) == file.run;
    if !is_what_it_says {
        return Err(RunFault::Form(
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
    fault: RunFault,
}

/// What is wrong with a text that is no run that can be begun.
#[derive(Debug, thiserror::Error)]
pub enum RunFault {
    /// The operating system refuses it.
    #[error("cannot be read: {0}")]
    File(io::Error),
    /// It is something else, or damaged.
    #[error("is not a signed run: {0}. `coordinator run sign` makes one")]
    Form(String),
    /// Another release has written it.
    #[error("has schema {found}, where {SCHEMA} is known: sign the run again with this release")]
    Schema {
        /// The schema in it.
        found: u32,
    },
    /// Of another federation, or another epoch.
    #[error(
        "was signed for another roster: sign the run again, with the roster that the coordinator has"
    )]
    OtherRoster,
    /// Not signed by the operator, or its settings do not go together.
    #[error("cannot be run: {0}")]
    Manifest(ManifestError),
}

const SCHEMA: u32 = 1;
/// A manifest has a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;
