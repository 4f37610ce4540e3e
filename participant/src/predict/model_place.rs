//! Where the model lies that is applied.

use std::{
    fs,
    path::{Path, PathBuf},
};

use model_data::card::{BEST_CARD_FILE, BEST_MODEL_FILE, MODEL_FILE};

use super::KeptModelError;

/// Where a model lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPlace {
    /// The weights.
    pub weights: PathBuf,
    /// The card.
    pub card: PathBuf,
    /// Whether this is the folder of a run in this hospital's own state folder.
    pub own: bool,
    /// The card of the best model, where that is gone from the folder and this is the one of the last round.
    pub in_place_of: Option<PathBuf>,
}

impl ModelPlace {
    /// What `asked` names: a file of weights; a folder with one, such as that of a simulation; or the first digits of a run of this
    /// hospital, looked for in `state`. In a folder the model of the best round is meant, unless `last`.
    ///
    /// # Errors
    /// Nothing there, or several runs that begin so.
    pub fn find(asked: &Path, state: Option<&Path>, last: bool) -> Result<Self, KeptModelError> {
        let own = |path: &Path| state.is_some_and(|state| lies_in(path, state));
        if asked.is_file() {
            return Ok(Self::of_file(asked.to_owned(), own(asked)));
        }
        if asked.is_dir() {
            return Self::in_folder(asked, last, own(asked)).ok_or_else(|| {
                KeptModelError::NoModel {
                    folder: asked.to_owned(),
                }
            });
        }
        let digits = asked.to_str().unwrap_or_default();
        match state {
            Some(state) if is_run(digits) => Self::of_run(digits, state, last),
            _ => Err(KeptModelError::Nothing {
                asked: asked.to_owned(),
            }),
        }
    }

    /// The model of the run of this hospital whose first digits these are, in either case.
    ///
    /// # Errors
    /// No digits of a run, no such run, or several that begin so.
    pub fn of_run(digits: &str, state: &Path, last: bool) -> Result<Self, KeptModelError> {
        if !is_run(digits) {
            return Err(KeptModelError::NotDigits {
                asked: digits.to_owned(),
            });
        }
        let digits = digits.to_ascii_lowercase();
        let runs = state.join("runs");
        let mut fitting = vec![];
        let names = fs::read_dir(&runs).into_iter().flatten().flatten();
        for name in names.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            // A folder has the first 16 digits of its run.
            let is_run = name.len() == RUN_DIGITS;
            if is_run && (name.starts_with(&digits) || digits.starts_with(&name)) {
                fitting.push(name);
            }
        }
        fitting.sort_unstable();
        match fitting.as_slice() {
            [run] => Self::in_folder(&runs.join(run), last, true).ok_or_else(|| {
                KeptModelError::NoModel {
                    folder: runs.join(run),
                }
            }),
            [] => Err(KeptModelError::NoRun { digits, runs }),
            several => Err(KeptModelError::SeveralRuns {
                digits,
                found: several.join(", "),
            }),
        }
    }

    fn in_folder(folder: &Path, last: bool, own: bool) -> Option<Self> {
        let named = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        let best = named(BEST_MODEL_FILE).filter(|_| !last);
        let lost = named(BEST_CARD_FILE).filter(|_| !last && best.is_none());
        let weights = best.or_else(|| named(MODEL_FILE))?;
        Some(Self {
            in_place_of: lost,
            ..Self::of_file(weights, own)
        })
    }

    /// The card of `NAME.safetensors` is `NAME.json`.
    fn of_file(weights: PathBuf, own: bool) -> Self {
        Self {
            card: weights.with_extension("json"),
            weights,
            own,
            in_place_of: None,
        }
    }
}

fn is_run(digits: &str) -> bool {
    !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_hexdigit())
}

/// Whether a path leads into the folder, links followed.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).ok();
    let pair = whole(path).zip(whole(folder));
    pair.is_some_and(|(path, folder)| path.starts_with(folder))
}

/// Of a run's hash in the name of its folder.
pub(super) const RUN_DIGITS: usize = 16;
