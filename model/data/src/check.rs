//! What a data folder holds, in counts, before anything is trained on it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};

use super::{
    BadFile, Contrast, Cuts, DataError, Doubt, Entry, Inventory, Layout, LoadOptions, LoadProgress,
    LoadReport, Placement, ScanError, ScanFiles, ScanSource, ShownPatient, Slice, SliceChoice,
    SplitError, SplitKind, Task, Volume, VolumeError,
    cache::PIXEL_BYTES,
    load::{DISPUTED, read_all},
    scanner_of,
    shown_patients::Spread,
    slices::{chosen_planes, cut},
    split,
};

/// What was found in a data folder: counts, and the names of files and patients that are odd. No
/// clinical value of anyone.
#[derive(Clone, Debug)]
pub struct DataCheck {
    /// How the folder is laid out.
    pub layout: Layout,
    /// Patients with a usable row and at least one usable scan.
    pub patients: usize,
    /// For each contrast asked for.
    pub contrasts: Vec<ContrastCount>,
    /// For each task, under the cuts asked for.
    pub tasks: Vec<ClassCounts>,
    /// For each feature, in the order of a patient's vector; named by [`LoadReport::feature_name`].
    pub features: Vec<FeatureCount>,
    /// How scans lie in the patients.
    pub orientations: OrientationCounts,
    /// Sizes and spacings of scans in the patient's frame, the most frequent first.
    pub grids: Vec<GridCount>,
    /// Usable scans by scanner, as [`scanner_of`] names it, the most frequent first; those whose files do not tell come last.
    pub scanners: Vec<ScannerCount>,
    /// Why a run would refuse to split these patients; only of those that [`DataCheck::split_as`] was asked about.
    pub unsplit: Option<SplitError>,
    /// Scans that hold infinities or not-a-number, which leaves them out.
    pub non_finite: Vec<NonFinite>,
    /// Groups of scans, each with the same voxels: the same scan under several names.
    pub duplicates: Vec<Vec<ScanName>>,
    /// What was left out, and oddities.
    pub report: LoadReport,
    /// Of each usable patient.
    slices_of_patients: Vec<usize>,
}

/// Usable scans of one contrast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContrastCount {
    /// Which.
    pub contrast: Contrast,
    /// Scans.
    pub scans: usize,
    /// Slices that training would take.
    pub slices: usize,
}

/// Patients and slices by class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCounts {
    /// Which task.
    pub task: Task,
    /// Patients of each class.
    pub patients: Vec<usize>,
    /// Slices of each class, over all contrasts.
    pub slices: Vec<usize>,
}

/// How complete a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureCount {
    /// Patients who do not have it.
    pub missing: usize,
    /// Whether all who have it have the same, so that it tells nothing.
    pub constant: bool,
}

/// How scans lie in the patients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OrientationCounts {
    /// Scans that do not say.
    pub not_stated: usize,
    /// Scans whose axes come in another order, such as sagittal ones.
    pub permuted: usize,
    /// Scans tilted by more than [`OBLIQUE_DEGREES`].
    pub oblique: usize,
    /// The largest tilt.
    pub largest_tilt_degrees: f64,
}

/// From here on a scan counts as oblique: less is rounding in headers.
pub const OBLIQUE_DEGREES: f64 = 1.0;

/// Scans of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridCount {
    /// Voxels from right to left, front to back, feet to head.
    pub dims: [usize; 3],
    /// Their distances, to a hundredth of a millimetre.
    pub spacing_mm: [f64; 3],
    /// Scans.
    pub scans: usize,
}

/// Scans of one scanner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannerCount {
    /// Such as `SIEMENS PRISMA, 3.0 T`; none where the files do not tell.
    pub name: Option<String>,
    /// Scans.
    pub scans: usize,
}

/// A scan with voxels that are no numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The scan.
    pub path: PathBuf,
    /// How many.
    pub voxels: usize,
}

/// Names a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanName {
    /// The patient's.
    pub id: String,
    /// Which scan of the patient's.
    pub contrast: Contrast,
    /// Its file or folder.
    pub path: PathBuf,
}

impl DataCheck {
    /// Reads every scan in a folder of any [`Layout`] and counts. Nothing is cached.
    ///
    /// # Errors
    /// As [`super::load_cohort`], but for an empty cohort and for strictness: here, these are
    /// findings.
    pub fn of(
        root: &Path,
        options: &LoadOptions,
        cuts: Cuts,
        progress: impl Fn(LoadProgress) + Sync,
    ) -> Result<Self, DataError> {
        let (check, _) = Self::with_patients(root, options, cuts, 0, progress)?;
        Ok(check)
    }

    /// The same, and at most `most` patients, spread over all of the table, with a prepared slice of each scan: each is 64 KiB, and
    /// read on the way.
    ///
    /// # Errors
    /// As [`DataCheck::of`].
    pub fn with_patients(
        root: &Path,
        options: &LoadOptions,
        cuts: Cuts,
        most: usize,
        progress: impl Fn(LoadProgress) + Sync,
    ) -> Result<(Self, Vec<ShownPatient>), DataError> {
        let layout = Layout::recognise(root)?;
        let Inventory { entries, report } = layout.inventory(root, options)?;
        let scans = entries.iter().flat_map(|entry| &entry.scans);
        let sources: Vec<&ScanFiles> = scans.map(|scan| &scan.files).collect();
        let spread = Spread::over(entries.len(), most);
        let is_shown = spread.scans(&entries);
        let read =
            |place: usize, files: &ScanFiles| Finding::of(files, options.slices, is_shown[place]);
        let kept = |finding: &Result<Finding, ScanError>| match finding {
            Ok(Finding {
                middle: Some(_), ..
            }) => PIXEL_BYTES,
            _ => 0,
        };
        let mut findings = read_all(&sources, &options.reading(), progress, read, kept)?;
        let middles = { findings.iter_mut() }.map(|finding| finding.as_mut().ok()?.middle.take());
        let shown = spread.patients(&entries, &options.contrasts, middles);
        let mut check = Self::empty(layout, options, report);
        let mut tally = Tally::default();
        let mut findings = findings.into_iter();
        for entry in &entries {
            check.add(entry, findings.by_ref(), cuts, &mut tally);
        }
        check.grids = tally.grids();
        check.scanners = tally.scanners();
        check.features = tally.features(options.features.count());
        check.report.doubts.extend(tally.localizers());
        check.duplicates = tally.duplicates();
        let missing = check.features.iter().map(|feature| feature.missing);
        check.report.missing_features = missing.collect();
        Ok((check, shown))
    }

    /// Splits the patients as a run would. Whether that can be done depends on their number alone, not on scores, labels or the seed.
    #[must_use]
    pub fn split_as(self, kind: SplitKind) -> Self {
        let units: Vec<_> = { self.slices_of_patients.iter() }
            .map(|&slices| (0, slices))
            .collect();
        Self {
            unsplit: split(&units, kind, 0).err(),
            ..self
        }
    }

    /// Whether nothing is left out, guessed or not understood, no scan has two names, and the patients can be split.
    pub fn is_clean(&self) -> bool {
        self.report.is_clean()
            && self.report.doubts.is_empty()
            && self.duplicates.is_empty()
            && self.unsplit.is_none()
    }

    /// Slices of all contrasts.
    pub fn slices(&self) -> usize {
        self.contrasts.iter().map(|count| count.slices).sum()
    }

    fn empty(layout: Layout, options: &LoadOptions, report: LoadReport) -> Self {
        let contrast = |&contrast| ContrastCount {
            contrast,
            scans: 0,
            slices: 0,
        };
        let task = |task: Task| ClassCounts {
            task,
            patients: vec![0; task.classes()],
            slices: vec![0; task.classes()],
        };
        Self {
            layout,
            patients: 0,
            contrasts: options.contrasts.iter().map(contrast).collect(),
            tasks: Task::ALL.iter().copied().map(task).collect(),
            features: Tally::default().features(options.features.count()),
            orientations: OrientationCounts::default(),
            grids: vec![],
            scanners: vec![],
            unsplit: None,
            non_finite: vec![],
            duplicates: vec![],
            report,
            slices_of_patients: vec![],
        }
    }

    /// Counts a patient and takes a finding for each of its scans.
    fn add(
        &mut self,
        entry: &Entry,
        findings: impl Iterator<Item = Result<Finding, ScanError>>,
        cuts: Cuts,
        tally: &mut Tally,
    ) {
        let mut slices = 0;
        for (source, finding) in entry.scans.iter().zip(findings) {
            match finding {
                Ok(finding) => {
                    slices += finding.slices;
                    self.add_scan(entry, source, &finding, tally);
                }
                Err(error) => self.add_bad_file(source.files.path(), &error),
            }
        }
        if slices == 0 {
            return;
        }
        self.patients += 1;
        self.slices_of_patients.push(slices);
        if let Some(score) = entry.edss {
            for counts in &mut self.tasks {
                let class = counts.task.class_of(score, cuts);
                counts.patients[class] += 1;
                counts.slices[class] += slices;
            }
        }
        tally.patients.push(entry.features.clone());
    }

    fn add_scan(
        &mut self,
        entry: &Entry,
        source: &ScanSource,
        finding: &Finding,
        tally: &mut Tally,
    ) {
        let mut contrasts = self.contrasts.iter_mut();
        if let Some(count) = contrasts.find(|count| count.contrast == source.contrast) {
            count.scans += 1;
            count.slices += finding.slices;
        }
        let Placement {
            stated,
            permuted,
            disputed,
            tilt_degrees,
        } = finding.placement;
        let grid = finding.grid;
        let mut doubt = |kind: &str| {
            let path = source.files.path();
            self.report.doubts.push(Doubt::new(path.display(), kind));
        };
        if !stated {
            doubt(NOT_STATED);
        }
        if disputed {
            doubt(DISPUTED);
        }
        let [x, y, _] = grid.1;
        if x.max(y) > COARSE_HUNDREDTHS_MM && x.max(y) > 2 * x.min(y) {
            doubt(COARSE);
        }
        let counts = &mut self.orientations;
        counts.not_stated += usize::from(!stated);
        counts.permuted += usize::from(permuted);
        counts.oblique += usize::from(tilt_degrees > OBLIQUE_DEGREES);
        counts.largest_tilt_degrees = counts.largest_tilt_degrees.max(tilt_degrees);
        tally.planes.push((source.files.path(), finding.grid.0[2]));
        *tally.grids.entry(finding.grid).or_default() += 1;
        let scanner = tally.scanners.entry(finding.scanner.clone()).or_default();
        *scanner += 1;
        tally
            .images
            .entry(finding.image)
            .or_default()
            .push(ScanName {
                id: entry.id.clone(),
                contrast: source.contrast,
                path: source.files.path(),
            });
    }

    fn add_bad_file(&mut self, path: PathBuf, error: &ScanError) {
        if let ScanError::Volume(VolumeError::NonFinite { voxels }) = *error {
            self.non_finite.push(NonFinite {
                path: path.clone(),
                voxels,
            });
        }
        self.report.bad_files.push(BadFile {
            path,
            reason: error.to_string(),
        });
    }
}

/// What is kept of a scan once its voxels are gone.
struct Finding {
    slices: usize,
    /// Of a scan that is to be shown.
    middle: Option<Slice>,
    placement: Placement,
    grid: Grid,
    scanner: Option<String>,
    image: [u8; 32],
}

/// Dimensions, and hundredths of a millimetre.
type Grid = ([usize; 3], [u64; 3]);

impl Finding {
    fn of(files: &ScanFiles, choice: SliceChoice, is_shown: bool) -> Result<Self, ScanError> {
        let scan = files.read()?;
        let volume = &scan.volume;
        let planes = chosen_planes(volume, choice)?;
        let middle = planes.get(planes.len() / 2).filter(|_| is_shown);
        Ok(Self {
            slices: planes.len(),
            middle: middle.and_then(|&plane| cut(volume, &[plane]).pop()),
            placement: scan.placement,
            grid: (
                volume.dims(),
                volume.spacing_mm().map(|mm| (mm * 100.0).round() as u64),
            ),
            scanner: scanner_of(files),
            image: image_hash(volume),
        })
    }
}

/// The same for the same voxels in the patient's frame, whatever file they came from.
fn image_hash(volume: &Volume) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    for dim in volume.dims() {
        hash.update(&(dim as u64).to_le_bytes());
    }
    let mut bytes = vec![];
    for plane in 0..volume.dims()[2] {
        bytes.clear();
        let voxels = volume.axial_plane(plane).iter();
        bytes.extend(voxels.flat_map(|voxel| voxel.to_le_bytes()));
        hash.update(&bytes);
    }
    let digest = hash.finish();
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A scan of a head has more, even a thick one; a teaching set may have fewer in all of its scans.
const FEWEST_PLANES: usize = 5;
const LOCALIZER: &str = "has fewer than 5 axial slices, and other scans have many more: is it a localizer, or a part of a scan?";
/// Hundredths of a millimetre between voxels of an axial slice.
const COARSE_HUNDREDTHS_MM: u64 = 250;
const COARSE: &str = "was taken in another plane than the axial, and its axial slices are coarse (more than 2.5 mm from voxel to voxel): is there an \
                      axial scan, or a 3D one?";

const NOT_STATED: &str = "does not state how it lies in the patient, and is taken as right, front, head: if that is not right, convert it again from \
                          what the scanner gave";

/// What can only be told of all scans together.
#[derive(Default)]
struct Tally {
    patients: Vec<Vec<Option<f64>>>,
    grids: BTreeMap<Grid, usize>,
    scanners: BTreeMap<Option<String>, usize>,
    images: BTreeMap<[u8; 32], Vec<ScanName>>,
    /// Axial planes of each scan.
    planes: Vec<(PathBuf, usize)>,
}

impl Tally {
    fn features(&self, count: usize) -> Vec<FeatureCount> {
        let counts = (0..count).map(|place| {
            let values = self.patients.iter().map(|features| features[place]);
            let present: Vec<f64> = values.flatten().collect();
            FeatureCount {
                missing: self.patients.len() - present.len(),
                constant: present.len() > 1 && present.iter().all(|value| *value == present[0]),
            }
        });
        counts.collect()
    }

    fn grids(&self) -> Vec<GridCount> {
        let mut grids: Vec<GridCount> = self
            .grids
            .iter()
            .map(|(&(dims, spacing), &scans)| GridCount {
                dims,
                spacing_mm: spacing.map(|hundredths| hundredths as f64 / 100.0),
                scans,
            })
            .collect();
        grids.sort_by_key(|grid| std::cmp::Reverse(grid.scans));
        grids
    }

    fn scanners(&self) -> Vec<ScannerCount> {
        let counts = self.scanners.iter();
        let mut scanners: Vec<_> = counts
            .map(|(name, &scans)| ScannerCount {
                name: name.clone(),
                scans,
            })
            .collect();
        scanners.sort_by_key(|scanner| (scanner.name.is_none(), std::cmp::Reverse(scanner.scans)));
        scanners
    }

    /// Scans of a few planes among others that have many more.
    fn localizers(&self) -> impl Iterator<Item = Doubt> {
        let most = self.planes.iter().map(|(_, planes)| *planes).max();
        let most = most.unwrap_or(0);
        let scans = self.planes.iter();
        let few = scans.filter(move |(_, planes)| *planes < FEWEST_PLANES && 3 * planes < most);
        few.map(|(path, _)| Doubt::new(path.display(), LOCALIZER))
    }

    fn duplicates(self) -> Vec<Vec<ScanName>> {
        let groups = self.images.into_values();
        let mut groups: Vec<_> = groups.filter(|names| names.len() > 1).collect();
        groups.sort_by(|one, other| one[0].path.cmp(&other[0].path));
        groups
    }
}
