//! The phantom as MS60 trees on disk, for programs that read files: the loader of real data reads it back.
//!
//! ```text
//! DIR/hospital-K/data/Supplementary Table 1 for patient info .xlsx
//! DIR/hospital-K/data/Patient-J/J-Flair.nii, J-T1.nii, J-T2.nii
//! DIR/hospital-K/data/Patient-J/J-LesionSeg-Flair.nii, ..: 1 in lesions, else 0
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use model_data::{Contrast, Feature, Volume};
use ndarray::ArrayView3;
use ndarray::ShapeBuilder;
use nifti::{NiftiError, NiftiHeader, writer::WriterOptions};
use rayon::prelude::*;
use rust_xlsxwriter::{Workbook, XlsxError};
use tempfile::TempDir;

use crate::{ClinicalDraw, PhantomSettings, draw_clinical, generate_patient};

/// Where a phantom can be written: every hospital's folder is free of data, and the folder above them takes files.
///
/// Everything is written beside its place first: what is there already is never mixed with what is new.
pub struct FreePlace {
    folders: Vec<PathBuf>,
    workshop: TempDir,
}

impl FreePlace {
    /// Looks whether `root` is one for so many hospitals.
    ///
    /// # Errors
    /// Data that is there already, or a folder that cannot be written.
    pub fn find(root: &Path, hospitals: usize) -> anyhow::Result<Self> {
        let folders: Vec<PathBuf> = (1..=hospitals)
            .map(|number| root.join(format!("hospital-{number}")).join("data"))
            .collect();
        for folder in &folders {
            check_free(folder)?;
        }
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let workshop = tempfile::Builder::new()
            .prefix(".phantom-")
            .tempdir_in(root)
            .with_context(|| format!("cannot write to {}", root.display()))?;
        Ok(Self { folders, workshop })
    }

    /// Where everything is written first; it is gone when the place is.
    pub fn workshop(&self) -> &Path {
        self.workshop.path()
    }

    /// Writes each hospital's part, given as the patients' indices; `step` is called after every patient. Gives the folders.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(
        self,
        settings: &PhantomSettings,
        parts: &[Vec<usize>],
        step: impl Fn() + Sync,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let Self { folders, workshop } = self;
        let beside = |number: usize| workshop.path().join(number.to_string());
        for (number, part) in parts.iter().enumerate() {
            write_part(&beside(number), settings, part, &step)?;
        }
        for (number, folder) in folders.iter().enumerate() {
            move_into(&beside(number), folder)
                .with_context(|| format!("cannot write to {}", folder.display()))?;
        }
        Ok(folders)
    }
}

/// A demo's folder may hold a note for people; a table or patients must not be there.
fn check_free(folder: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .file_name();
        let name = name.to_string_lossy().to_lowercase();
        if name.starts_with("patient-") || name.ends_with(".xlsx") {
            bail!(
                "{} already has data in it; choose another folder, or empty it",
                folder.display()
            );
        }
    }
    Ok(())
}

fn move_into(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn write_part(
    folder: &Path,
    settings: &PhantomSettings,
    part: &[usize],
    step: &(impl Fn() + Sync),
) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to {}", folder.display());
    // Not what is around it: where that is gone, somebody has stopped this.
    fs::create_dir(folder).with_context(cannot)?;
    let rows: Vec<(usize, ClinicalDraw)> = part
        .iter()
        .map(|&index| (index + 1, draw_clinical(settings, index)))
        .collect();
    write_table(&folder.join(TABLE), &rows).with_context(cannot)?;
    part.par_iter().try_for_each(|&index| {
        let number = index + 1;
        let patient = folder.join(format!("Patient-{number}"));
        fs::create_dir(&patient).with_context(cannot)?;
        write_scans(&patient, number, settings, index).with_context(cannot)?;
        step();
        Ok(())
    })
}

fn write_scans(
    folder: &Path,
    number: usize,
    settings: &PhantomSettings,
    index: usize,
) -> anyhow::Result<()> {
    let phantom = generate_patient(settings, index);
    let planes = settings.slices_per_patient;
    let shares = phantom.slab_lesion_shares(planes);
    for (contrast, name) in [
        (Contrast::Flair, "Flair"),
        (Contrast::T1, "T1"),
        (Contrast::T2, "T2"),
    ] {
        let volume = phantom.slab(contrast, planes);
        let path = folder.join(format!("{number}-{name}.nii"));
        write_volume(&path, &volume)?;
        // All contrasts are taken on one grid, so that they share a mask.
        let path = folder.join(format!("{number}-LesionSeg-{name}.nii"));
        write_mask(&path, &shares)?;
    }
    Ok(())
}

/// NIfTI-1, float32, uncompressed.
fn write_volume(path: &Path, volume: &Volume) -> anyhow::Result<()> {
    let [nx, ny, nz] = volume.dims();
    let voxels = ArrayView3::from_shape((nx, ny, nz).f(), volume.voxels())?;
    WriterOptions::new(path)
        .reference_header(&header(volume))
        .write_nifti(&voxels)
        .map_err(at(path))
}

/// The same in uint8: 1 where more than half of a voxel is filled, else 0.
fn write_mask(path: &Path, shares: &Volume) -> anyhow::Result<()> {
    let filled = |&share: &f32| u8::from(share > 0.5);
    let mask: Vec<u8> = shares.voxels().iter().map(filled).collect();
    let [nx, ny, nz] = shares.dims();
    let voxels = ArrayView3::from_shape((nx, ny, nz).f(), &mask)?;
    WriterOptions::new(path)
        .reference_header(&header(shares))
        .write_nifti(&voxels)
        .map_err(at(path))
}

/// A volume's axes run to the patient's left, back and head; NIfTI's to the right, front and head.
fn header(volume: &Volume) -> NiftiHeader {
    let [nx, ny, nz] = volume.dims();
    let [dx, dy, dz] = volume.spacing_mm().map(|mm| mm as f32);
    let centre = |count: usize, mm: f32| 0.5 * (count as f32 - 1.0) * mm;
    NiftiHeader {
        pixdim: [1.0, dx, dy, dz, 0.0, 0.0, 0.0, 0.0],
        xyzt_units: MILLIMETRES,
        sform_code: SCANNER_FRAME,
        // The default header claims a second frame, which would be another.
        qform_code: 0,
        srow_x: [-dx, 0.0, 0.0, centre(nx, dx)],
        srow_y: [0.0, -dy, 0.0, centre(ny, dy)],
        srow_z: [0.0, 0.0, dz, -centre(nz, dz)],
        ..NiftiHeader::default()
    }
}

fn at(path: &Path) -> impl FnOnce(NiftiError) -> anyhow::Error {
    move |error| anyhow!("{}: {error}", path.display())
}

/// The table as the data set has it: a title, the header, a row a patient. The signs that EDSS is computed from stay empty.
fn write_table(path: &Path, rows: &[(usize, ClinicalDraw)]) -> Result<(), XlsxError> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.write(0, 0, TITLE)?;
    for (column, name) in (0..).zip(COLUMNS) {
        sheet.write(1, column, name)?;
    }
    for (row, (number, clinical)) in (2..).zip(rows) {
        let of = |feature: Feature| clinical.features[feature.index()];
        sheet.write(row, 0, *number as u32)?;
        sheet.write(
            row,
            1,
            of(Feature::Sex).map_or("N", |sex| if sex > 0.5 { "M" } else { "F" }),
        )?;
        for (column, years) in [
            (2, of(Feature::Age)),
            (3, of(Feature::AgeAtOnset)),
            (4, Some(clinical.edss.value())),
        ] {
            if let Some(years) = years {
                sheet.write(row, column, years)?;
            }
        }
        sheet.write(row, 7, symptoms(clinical))?;
        if let Some(comorbidity) = of(Feature::Comorbidity) {
            sheet.write(row, 8, if comorbidity > 0.5 { "Yes" } else { "No" })?;
        }
    }
    workbook.save(path)
}

/// "Motor & Visual"; a patient with none of the four has another one.
fn symptoms(clinical: &ClinicalDraw) -> String {
    let flags = [
        (Feature::Motor, "Motor"),
        (Feature::Sensory, "Sensory"),
        (Feature::Visual, "Visual"),
        (Feature::Balance, "Balance"),
    ];
    let present: Vec<&str> = flags
        .into_iter()
        .filter(|(flag, _)| clinical.features[flag.index()].is_some_and(|flag| flag > 0.5))
        .map(|(_, name)| name)
        .collect();
    if present.is_empty() {
        "Pain".to_owned()
    } else {
        present.join(" & ")
    }
}

const TABLE: &str = "Supplementary Table 1 for patient info .xlsx";
const TITLE: &str = "Phantom cohort in the layout of the MS60 data set: made up, of no patient";
/// `xyzt_units` of nifti1.h.
const MILLIMETRES: u8 = 2;
/// `NIFTI_XFORM_SCANNER_ANAT`.
const SCANNER_FRAME: i16 = 1;

/// The header row of the original, its spelling included.
const COLUMNS: [&str; 29] = [
    "ID",
    "Gender",
    "Age",
    "Age of onset",
    "EDSS",
    "Does the time difference between MRI acquisition and EDSS < two months",
    "Types of Medicines",
    "Presenting Symptom",
    " Dose the patient has Co-moroidity",
    "Pyramidal",
    "Cerebella",
    "Brain stem",
    "Sensory",
    "Sphincters",
    "Visual",
    "Mental",
    "Speech",
    "Motor System",
    "Sensory System",
    "Coordination",
    "Gait",
    "Bowel and bladder function",
    "Mobility",
    "Mental State",
    "Optic discs",
    "Fields",
    "Nystagmus",
    "Ocular Movement",
    "Swallowing",
];

#[cfg(test)]
mod tests {
    use model_data::{LoadOptions, load_cohort, read_nifti};

    use super::*;
    use crate::cohort_in;

    const SETTINGS: PhantomSettings = PhantomSettings {
        patients: 5,
        slices_per_patient: 3,
        kind: crate::PhantomKind::Teaching,
        seed: 3,
    };

    #[test]
    fn the_loader_reads_back_the_patients_that_a_simulation_makes() {
        let root = tempfile::tempdir().expect("a folder");
        let steps = std::sync::atomic::AtomicUsize::new(0);
        let count = || {
            steps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        let place = FreePlace::find(root.path(), 2).expect("free");
        let folders = place.write(&SETTINGS, &[vec![0, 3], vec![1, 2, 4]], count);
        let folders = folders.expect("written");
        assert_eq!(steps.into_inner(), 5);
        assert_eq!(folders[1], root.path().join("hospital-2").join("data"));
        let contrasts = Contrast::ALL.to_vec();
        let made = cohort_in(&contrasts, &SETTINGS, || ());
        for (folder, part) in folders.iter().zip([vec![0, 3], vec![1, 2, 4]]) {
            let read = load_cohort(
                folder,
                &LoadOptions {
                    contrasts: contrasts.clone(),
                    strict: true,
                    ..LoadOptions::default()
                },
                |_| (),
            )
            .expect("read back");
            assert!(
                read.report.warnings.is_empty(),
                "{:?}",
                read.report.warnings
            );
            assert_eq!(read.patients.len(), part.len());
            for (read, index) in read.patients.iter().zip(part) {
                let made = &made[index];
                assert_eq!(read.id, (index + 1).to_string());
                assert!(read.edss == made.edss && read.features == made.features);
                assert_eq!(read.slices.len(), made.slices.len());
                for (read, made) in read.slices.iter().zip(&made.slices) {
                    let furthest = read
                        .pixels
                        .iter()
                        .zip(&made.pixels)
                        .map(|(read, made)| (read - made).abs())
                        .fold(0.0, f32::max);
                    assert!(furthest < 1e-4, "{furthest}");
                }
            }
        }
    }

    #[test]
    fn a_mask_lies_on_the_lesions_of_its_scan() {
        let root = tempfile::tempdir().expect("a folder");
        let place = FreePlace::find(root.path(), 1).expect("free");
        let folders = place.write(&SETTINGS, &[vec![2]], || ()).expect("written");
        let read = |name: &str| {
            let path = folders[0].join("Patient-3").join(name);
            read_nifti(&path).expect("read").volume
        };
        let (scan, mask) = (read("3-Flair.nii"), read("3-LesionSeg-Flair.nii"));
        assert_eq!(
            (mask.dims(), mask.spacing_mm()),
            (scan.dims(), scan.spacing_mm())
        );
        let mean = |inside: f32| {
            let voxels = scan.voxels().iter().zip(mask.voxels());
            let chosen = voxels.filter(|(_, mask)| **mask == inside);
            let (sum, count) = chosen.fold((0.0, 0.0), |(sum, count), (voxel, _)| {
                (sum + f64::from(*voxel), count + 1.0)
            });
            sum / count
        };
        assert!(mean(1.0) > 1.5 * mean(0.0), "lesions are bright on FLAIR");
        assert_eq!(read("3-LesionSeg-T1.nii"), mask);
    }

    #[test]
    fn data_that_is_there_already_is_left_alone() {
        let root = tempfile::tempdir().expect("a folder");
        let data = root.path().join("hospital-1").join("data");
        fs::create_dir_all(&data).expect("made");
        fs::write(data.join("README"), "put data here").expect("written");
        let place = FreePlace::find(root.path(), 1).expect("free");
        place.write(&SETTINGS, &[vec![0]], || ()).expect("written");
        let error = FreePlace::find(root.path(), 1).err().expect("refused");
        assert!(error.to_string().contains("hospital-1") && error.to_string().contains("already"));
        // The hospital's folder alone: nothing is left of the place.
        assert_eq!(fs::read_dir(root.path()).expect("there").count(), 1);
    }
}
