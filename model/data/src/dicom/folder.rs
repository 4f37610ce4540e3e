//! The series in a patient's folder, told apart by what their files say.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Identity,
    file_tree::Tree,
    passed_over::{Copies, Skipped, Unread, Unusable, identity},
};
use crate::{BadFile, Contrast, Doubt, LoadReport};

/// Between inversion and excitation, where fluid is dark; that of STIR, of MPRAGE and of T1 FLAIR is shorter.
const FLAIR_INVERSION_MS: std::ops::RangeInclusive<f64> = 1500.0..=3500.0;

/// What a folder of DICOM files holds.
#[derive(Default)]
pub(crate) struct Series {
    series: BTreeMap<SeriesKey, OneSeries>,
    /// PatientID, if a file has one.
    pub patient_id: Option<String>,
    /// Folders that were reached by a link.
    pub linked: Vec<PathBuf>,
    /// Files that are DICOM, or should be, and cannot be used.
    pub bad_files: Vec<BadFile>,
    pub doubts: Vec<Doubt>,
    pub warnings: Vec<String>,
}

/// SeriesInstanceUID, and what else must be the same in a series.
type SeriesKey = (String, [Option<String>; 3]);

struct OneSeries {
    identity: Identity,
    files: Vec<PathBuf>,
    images: usize,
    /// Why some of its images are not there, in words.
    incomplete: Option<String>,
}

/// Why a folder gives no series of a contrast, in words.
pub(crate) enum NoSeries {
    /// There is none.
    Absent(String),
    /// There is one, and it cannot be used.
    Refused(String),
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
        let tree = Tree::of(folder).map_err(|error| bad(folder, error.to_string()))?;
        let mut found = Self {
            linked: tree.linked,
            ..Self::default()
        };
        let (mut foreign, mut without_image) = (Skipped::default(), Skipped::default());
        let mut copies = Copies::default();
        let mut unusable = Unusable::default();
        let mut owner: Option<(String, PathBuf)> = None;
        for path in tree.files {
            let identity = match identity(&path) {
                Ok(identity) => identity,
                Err(Unread::Foreign) => {
                    foreign.add(path);
                    continue;
                }
                Err(Unread::NoImage) => {
                    without_image.add(path);
                    continue;
                }
                Err(Unread::Bad(reason)) => {
                    unusable.add(path, reason);
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
            if let Some(uid) = &identity.instance_uid
                && copies.has(uid, &path)
            {
                continue;
            }
            let images = identity.images;
            let key = (identity.series_uid.clone(), identity.marks.clone());
            let series = found.series.entry(key).or_insert_with(|| OneSeries {
                identity,
                files: vec![],
                images: 0,
                incomplete: None,
            });
            series.images += images;
            series.files.push(path);
        }
        found.patient_id = owner.map(|(id, _)| id);
        for group in unusable.groups() {
            found.add_unusable(group);
        }
        found.warnings.extend(copies.warnings(folder));
        found
            .warnings
            .extend(foreign.warning(folder, ["is not DICOM", "are not DICOM"]));
        found
            .warnings
            .extend(without_image.warning(folder, ["holds no image", "hold no image"]));
        Ok(found)
    }

    /// What lies among the images of a single series is of that series, which is then incomplete.
    fn add_unusable(&mut self, bad: BadFile) {
        let folder = bad.path.parent();
        let beside = |series: &&mut OneSeries| {
            let mut files = series.files.iter();
            files.any(|file| file.parent() == folder)
        };
        let mut series: Vec<_> = self.series.values_mut().filter(beside).collect();
        match series.as_mut_slice() {
            [only] => only.incomplete = Some(bad.to_string()),
            _ => self.bad_files.push(bad),
        }
    }

    /// The files of the series of a contrast, or of the one that is `named` by its UID, SeriesDescription,
    /// ProtocolName or SequenceName.
    ///
    /// # Errors
    /// No such series, one that is incomplete, or several of which none is more right than the others; in words.
    pub(crate) fn of_contrast(
        &self,
        contrast: Contrast,
        named: &str,
        folder: &Path,
        report: &mut LoadReport,
    ) -> Result<Vec<PathBuf>, NoSeries> {
        let mut candidates: Vec<&OneSeries> = self.series.values().collect();
        if named.is_empty() {
            self.keep_contrast(&mut candidates, contrast, folder, report);
        } else {
            candidates.retain(|series| series.is_named(named));
        }
        candidates.sort_by_key(|series| (series.rank(), usize::MAX - series.images));
        let Some((first, others)) = candidates.split_first() else {
            return Err(NoSeries::Absent(self.none_of(contrast, named)));
        };
        let name = contrast.name().to_uppercase();
        if let Some(reason) = &first.incomplete {
            return Err(NoSeries::Refused(first.incompletely(reason)));
        }
        let dates = candidates
            .iter()
            .filter_map(|series| series.identity.date.as_ref());
        let mut dates: Vec<&String> = dates.collect();
        dates.sort();
        dates.dedup();
        if dates.len() > 1 {
            let titles: Vec<String> = candidates
                .iter()
                .map(|series| series.identified())
                .collect();
            let dated: Vec<String> = candidates.iter().map(|series| series.dated()).collect();
            report
                .dates
                .push(format!("{}: {}", folder.display(), dated.join("; ")));
            return Err(NoSeries::Refused(format!(
                "holds examinations of several dates, and which belongs to the EDSS is not known: {}. Leave one, or name one by its \
                 SeriesInstanceUID in a column '{name} series' of the table",
                titles.join("; ")
            )));
        }
        if !others.is_empty() {
            let others: Vec<String> = others.iter().map(|other| other.title()).collect();
            let choice = format!(
                "{} is used as {name}, not {}",
                first.title(),
                others.join(", ")
            );
            let remedy = format!("a column '{name} series' of the table can name another");
            if candidates[1].rank() == first.rank() {
                let about = format_args!("{} ({choice})", folder.display());
                let kind = format!(
                    "several series could be {name}; the one with the most images is used: {remedy}"
                );
                report.doubts.push(Doubt::new(about, kind));
            } else {
                let folder = folder.display();
                report
                    .warnings
                    .push(format!("{folder}: {choice}; {remedy}"));
            }
        }
        let names = report.series.entry(contrast).or_default();
        *names.entry(first.name().to_owned()).or_default() += 1;
        Ok(first.files.clone())
    }

    /// Leaves the series of a contrast: by what they are called, else, for FLAIR, by their inversion time.
    fn keep_contrast(
        &self,
        candidates: &mut Vec<&OneSeries>,
        contrast: Contrast,
        folder: &Path,
        report: &mut LoadReport,
    ) {
        let mut doubt = |kind: &str| report.doubts.push(Doubt::new(folder.display(), kind));
        let anonymous = candidates.len() == 1 && candidates[0].identity.names.is_empty();
        if anonymous {
            if contrast == Contrast::Flair {
                doubt("its only series has no name and is taken as FLAIR");
            } else {
                candidates.clear();
            }
            return;
        }
        let is_flair = |series: &&OneSeries| series.contrast() == Some(Contrast::Flair);
        // "t2_tse" with the inversion time of FLAIR is FLAIR, unless another is called so.
        let nulled = |series: &&OneSeries| {
            series.contrast() == Some(Contrast::T2) && { series.identity.inversion_ms }
                .is_some_and(|ms| FLAIR_INVERSION_MS.contains(&ms))
        };
        let any_flair = candidates.iter().any(is_flair);
        let any_nulled = candidates.iter().any(nulled);
        match contrast {
            Contrast::Flair if !any_flair && any_nulled => {
                candidates.retain(nulled);
                doubt(
                    "no series is called FLAIR; one that is called T2 and has the inversion time of FLAIR is taken",
                );
            }
            Contrast::T2 if !any_flair => {
                candidates
                    .retain(|series| series.contrast() == Some(Contrast::T2) && !nulled(series));
            }
            _ => candidates.retain(|series| series.contrast() == Some(contrast)),
        }
    }

    /// The files of the series, if there is but one.
    ///
    /// # Errors
    /// It is incomplete, in words.
    pub(crate) fn only(&self) -> Option<Result<Vec<PathBuf>, String>> {
        let mut series = self.series.values();
        let first = series.next()?;
        if series.next().is_some() {
            return None;
        }
        Some(match &first.incomplete {
            Some(reason) => Err(first.incompletely(reason)),
            None => Ok(first.files.clone()),
        })
    }

    /// StudyDate of the series with these files.
    pub(crate) fn date_of(&self, files: &[PathBuf]) -> Option<&str> {
        let mut series = self.series.values();
        let series = series.find(|series| series.files == files)?;
        series.identity.date.as_deref()
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
    /// By the first of its names that says anything; `None` for what is not of the head, and for T2*.
    fn contrast(&self) -> Option<Contrast> {
        let identity = &self.identity;
        let mut names = identity.names.iter();
        let called = names.find_map(|name| Contrast::of_description(name))?;
        let is_star = called == Contrast::T2 && identity.gradient_echo;
        (!identity.elsewhere && !is_star).then_some(called)
    }

    /// What is read before what is not, images as the scanner gave them before computed ones, fine before coarse ones.
    fn rank(&self) -> [bool; 3] {
        [
            self.identity.mosaic,
            self.identity.derived,
            self.identity.coarse,
        ]
    }

    fn incompletely(&self, reason: &str) -> String {
        format!("{} is incomplete: {reason}", self.title())
    }

    /// For people who ask: its date and UID.
    fn dated(&self) -> String {
        let date = self.identity.date.as_deref().unwrap_or("no date");
        let date = match (date.get(..4), date.get(4..6), date.get(6..8)) {
            (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
            _ => date.to_owned(),
        };
        format!("{date} {}", self.identity.series_uid)
    }

    /// For people: its name and UID. Not its date, which is the patient's: this goes into logs.
    fn identified(&self) -> String {
        format!("{} {}", self.title(), self.identity.series_uid)
    }

    fn is_named(&self, named: &str) -> bool {
        let names = self.identity.names.iter();
        self.identity.series_uid == named || { names }.any(|name| name.eq_ignore_ascii_case(named))
    }

    /// For people: its name and size.
    fn title(&self) -> String {
        match self.images {
            1 => format!("'{}' (1 image)", self.name()),
            images => format!("'{}' ({images} images)", self.name()),
        }
    }

    fn name(&self) -> &str {
        let name = self.identity.names.first();
        name.map_or(self.identity.series_uid.as_str(), String::as_str)
    }
}
