//! All files of some predictions, into one folder that appears whole.

use std::path::{Path, PathBuf};

use crate::{
    Predictions, ResultsError, bids, dicom, heat_volume, json, picture::Overlay,
    private_tree::PrivateTree, safe_name, tables,
};

/// What is written beside the tables and `predictions.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Pictures and heat maps under `heat/`, of the slices that have a picture.
    pub heat: bool,
    /// DICOM objects under `dicom/`, of patients with a scan that came in as DICOM.
    pub dicom: bool,
    /// A derived data set of BIDS under `bids/`.
    pub bids: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The folder.
    pub folder: PathBuf,
    /// Files in it.
    pub files: usize,
    /// Those of DICOM, which [`store`](crate::store()) sends.
    pub dicom: Vec<PathBuf>,
    /// Patients of whom there are no DICOM objects although they were asked for: none of their scans is DICOM.
    pub without_dicom: Vec<String>,
}

/// Writes predictions into `folder`, which must be absent or empty; the folder above it must exist.
///
/// ```text
/// predictions.csv, slices.csv, predictions.json
/// heat/PATIENT/CONTRAST-slice-N.png       N counts from the feet, from 0
/// heat/PATIENT/CONTRAST-heat.nii.gz
/// dicom/PATIENT/report.dcm                a structured report (TID 1500)
/// dicom/PATIENT/CONTRAST-slice-N.dcm      secondary captures
/// bids/                                   see there
/// ```
///
/// PATIENT is the patient's name where that can be a folder's; otherwise it is cleaned, and ends in digits that tell it from
/// others. Files are readable for their owner alone. There are all of them or, after an error, none.
///
/// # Errors
/// Predictions that do not fit together, a folder that is not empty or cannot be written, DICOM files that do not say whose they are.
pub fn write_results(
    folder: &Path,
    predictions: &Predictions,
    outputs: Outputs,
) -> Result<Written, ResultsError> {
    predictions.check()?;
    let mut tree = PrivateTree::begin(folder)?;
    tree.write(
        Path::new("predictions.csv"),
        &tables::predictions(predictions)?,
    )?;
    tree.write(Path::new("slices.csv"), &tables::slices(predictions)?)?;
    tree.write(Path::new("predictions.json"), &json::document(predictions)?)?;
    let ids: Vec<&str> = predictions
        .patients
        .iter()
        .map(|p| p.patient.as_str())
        .collect();
    let names = safe_name::folders(&ids);
    if outputs.heat {
        write_heat(&mut tree, predictions, &names)?;
    }
    let (mut dicom, mut without_dicom) = (vec![], vec![]);
    if outputs.dicom {
        for (patient, name) in predictions.patients.iter().zip(&names) {
            let below = Path::new("dicom").join(name);
            let paths = dicom::write(&mut tree, &below, predictions, patient)?;
            if paths.is_empty() {
                without_dicom.push(patient.patient.clone());
            }
            dicom.extend(paths.into_iter().map(|path| folder.join(path)));
        }
    }
    if outputs.bids {
        bids::write(&mut tree, predictions)?;
    }
    Ok(Written {
        folder: folder.to_owned(),
        files: tree.finish()?,
        dicom,
        without_dicom,
    })
}

fn write_heat(
    tree: &mut PrivateTree,
    predictions: &Predictions,
    names: &[String],
) -> Result<(), ResultsError> {
    for (patient, name) in predictions.patients.iter().zip(names) {
        let below = Path::new("heat").join(name);
        for (scan, scan_name) in patient.scan_names().into_iter().enumerate() {
            for (index, picture) in patient.pictures(scan) {
                let path = below.join(format!("{scan_name}-slice-{index}.png"));
                tree.write(&path, &Overlay::of(picture).png()?)?;
            }
            if let Some(grid) = heat_volume::grid_of(patient, scan) {
                let path = below.join(format!("{scan_name}-heat.nii.gz"));
                tree.write_with(&path, |path| heat_volume::write(path, patient, scan, grid))?;
            }
        }
    }
    Ok(())
}
