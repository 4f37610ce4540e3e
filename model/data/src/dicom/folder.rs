//! The series in a patient's folder, told apart by what their files say.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{FileError, Identity};
use crate::{BadFile, Contrast, folder::entries};

/// Folders within folders; deeper ones are not a patient's.
const DEEPEST: usize = 8;
/// Files of one patient.
const MAX_FILES: usize = 1 << 17;

/// What a folder of DICOM files holds.
#[derive(Default)]
pub(crate) struct Series {
    /// By SeriesInstanceUID.
    series: BTreeMap<String, OneSeries>,
    /// Files that are DICOM and cannot be used.
    pub bad_files: Vec<BadFile>,
    pub warnings: Vec<String>,
    /// Whether the files say whose they are: all the same patient's.
    pub names_its_patient: bool,
}

struct OneSeries {
    identity: Identity,
    files: Vec<PathBuf>,
    images: usize,
}

impl Series {
    /// Reads the header of every file in a folder and below.
    ///
    /// # Errors
    /// A folder that cannot be read, and files of more than one patient.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, BadFile> {
        let bad = |path: &Path, reason: String| BadFile {
            path: path.to_owned(),
            reason,
        };
        let mut files = vec![];
        collect_files(folder, DEEPEST, &mut files)
            .map_err(|error| bad(folder, error.to_string()))?;
        let mut found = Self::default();
        let (mut foreign, mut without_image) = (Skipped::default(), Skipped::default());
        let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut owner: Option<(String, PathBuf)> = None;
        for path in files {
            let identity = match Identity::read(&path) {
                Ok(identity) => identity,
                Err(FileError::NotDicom) => {
                    foreign.add(path);
                    continue;
                }
                Err(FileError::NoImage) => {
                    without_image.add(path);
                    continue;
                }
                Err(error) => {
                    found.bad_files.push(bad(&path, error.to_string()));
                    continue;
                }
            };
            if let Some(patient) = &identity.patient_id {
                let (first, of) = owner.get_or_insert_with(|| (patient.clone(), path.clone()));
                if first != patient {
                    let reason = format!(
                        "holds files of two patients (PatientID differs between {} and {})",
                        of.display(),
                        path.display()
                    );
                    return Err(bad(folder, reason));
                }
            }
            if let Some(uid) = &identity.instance_uid {
                if let Some(first) = seen.get(uid) {
                    let (copy, first) = (path.display(), first.display());
                    found
                        .warnings
                        .push(format!("{copy}: a copy of {first}, skipped"));
                    continue;
                }
                seen.insert(uid.clone(), path.clone());
            }
            let images = identity.images;
            let series = found.series.entry(identity.series_uid.clone());
            let series = series.or_insert_with(|| OneSeries {
                identity,
                files: vec![],
                images: 0,
            });
            series.images += images;
            series.files.push(path);
        }
        found.names_its_patient = owner.is_some();
        found
            .warnings
            .extend(foreign.warning(folder, "are not DICOM"));
        found
            .warnings
            .extend(without_image.warning(folder, "hold no image"));
        Ok(found)
    }

    /// The files of the series of a contrast, or of the one that is `named` by its UID, SeriesDescription,
    /// ProtocolName or SequenceName.
    ///
    /// # Errors
    /// No such series, in words.
    pub(crate) fn of_contrast(
        &self,
        contrast: Contrast,
        named: &str,
        folder: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<PathBuf>, String> {
        let mut candidates: Vec<&OneSeries> = self.series.values().collect();
        if named.is_empty() {
            let anonymous = candidates.len() == 1 && candidates[0].identity.names.is_empty();
            if !anonymous {
                candidates.retain(|series| series.contrast() == Some(contrast));
            } else if contrast == Contrast::Flair {
                warnings.push(format!(
                    "{}: its only series has no name and is taken as FLAIR",
                    folder.display()
                ));
            } else {
                candidates.clear();
            }
        } else {
            candidates.retain(|series| series.is_named(named));
        }
        // Images as the scanner gave them before computed ones, then the larger series.
        candidates.sort_by_key(|series| (series.identity.derived, usize::MAX - series.images));
        match candidates.as_slice() {
            [] => Err(self.none_of(contrast, named)),
            [only] => Ok(only.files.clone()),
            [first, others @ ..] => {
                let others: Vec<String> = others.iter().map(|other| other.title()).collect();
                let (folder, contrast) = (folder.display(), contrast.name().to_uppercase());
                warnings.push(format!(
                    "{folder}: {} is used as {contrast}, not {}; a column '{contrast} series' of the table can name another",
                    first.title(),
                    others.join(", "),
                ));
                Ok(first.files.clone())
            }
        }
    }

    /// The files of the series, if there is but one.
    pub(crate) fn only(&self) -> Option<&[PathBuf]> {
        let mut series = self.series.values();
        let first = series.next()?;
        series.next().is_none().then_some(first.files.as_slice())
    }

    /// Whether there is no series.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn none_of(&self, contrast: Contrast, named: &str) -> String {
        let titles: Vec<String> = self.series.values().map(OneSeries::title).collect();
        let titles = if titles.is_empty() {
            "none".to_owned()
        } else {
            titles.join(", ")
        };
        let contrast = contrast.name().to_uppercase();
        if named.is_empty() {
            format!(
                "no series is called {contrast}; there are: {titles}. A column '{contrast} series' of the table can name one"
            )
        } else {
            format!("no series is called '{named}'; there are: {titles}")
        }
    }
}

impl OneSeries {
    /// By the first of its names that says anything.
    fn contrast(&self) -> Option<Contrast> {
        self.identity
            .names
            .iter()
            .find_map(|name| Contrast::of_description(name))
    }

    fn is_named(&self, named: &str) -> bool {
        let names = self.identity.names.iter();
        self.identity.series_uid == named || { names }.any(|name| name.eq_ignore_ascii_case(named))
    }

    /// For people: its name and size.
    fn title(&self) -> String {
        let name = self.identity.names.first();
        let name = name.map_or(self.identity.series_uid.as_str(), String::as_str);
        format!("'{name}' ({} images)", self.images)
    }
}

/// Files passed over, counted.
#[derive(Default)]
struct Skipped {
    count: usize,
    first: Option<PathBuf>,
}

impl Skipped {
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        self.first.get_or_insert(path);
    }

    fn warning(self, folder: &Path, what: &str) -> Option<String> {
        let first = self.first?;
        let (folder, count) = (folder.display(), self.count);
        Some(format!(
            "{folder}: {count} files {what}, skipped (the first is {})",
            first.display()
        ))
    }
}

/// Every file, in the order of names. Links to folders are not followed: they may lead in a circle.
fn collect_files(folder: &Path, levels: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for path in entries(folder)?.into_values() {
        let kind = fs::symlink_metadata(&path)?;
        if kind.is_dir() {
            if levels > 0 {
                collect_files(&path, levels - 1, files)?;
            }
        } else if path.is_file() {
            if files.len() == MAX_FILES {
                return Err(io::Error::other("holds more files than a patient has"));
            }
            files.push(path);
        }
    }
    Ok(())
}

/// Whether a file begins as DICOM files do.
pub(crate) fn is_dicom(path: &Path) -> bool {
    use io::Read;
    let mut start = [0; 132];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start.ends_with(b"DICM")
}

/// Whether a folder, or one below it, has a DICOM file among its first few.
pub(crate) fn holds_dicom(folder: &Path) -> bool {
    const PROBED: usize = 16;
    fn probe(folder: &Path, levels: usize, left: &mut usize) -> bool {
        let Ok(found) = entries(folder) else {
            return false;
        };
        found.into_values().any(|path| {
            if *left == 0 {
                return false;
            }
            match fs::symlink_metadata(&path) {
                Ok(kind) if kind.is_dir() => levels > 0 && probe(&path, levels - 1, left),
                Ok(_) => {
                    *left -= 1;
                    is_dicom(&path)
                }
                Err(_) => false,
            }
        })
    }
    let mut left = PROBED;
    probe(folder, DEEPEST, &mut left)
}
