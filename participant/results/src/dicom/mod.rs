//! Predictions as DICOM objects, for patients whose scans came in as DICOM: one structured report a patient, and one secondary capture
//! a picture.
//!
//! Whose they are, and the study, is taken over from the source as it stands there, byte by byte, with its character set. Series and
//! objects have UIDs of their own; see [`uid`].

mod capture;
mod content;
mod object;
mod report;
pub(crate) mod source;
mod uid;

use std::path::{Path, PathBuf};

use object::Stamp;
use source::{Scan, Source};

use crate::{PatientPrediction, Predictions, ResultsError, private_tree::PrivateTree};

/// Writes the objects of a patient below a folder; their paths in the tree. None where no scan came in as DICOM.
pub(crate) fn write(
    tree: &mut PrivateTree,
    below: &Path,
    predictions: &Predictions,
    patient: &PatientPrediction,
) -> Result<Vec<PathBuf>, ResultsError> {
    let refused = |source| ResultsError::Source {
        patient: patient.patient.clone(),
        source,
    };
    let mut scans: Vec<Scan> = vec![];
    for (place, origin) in patient.scans.iter().enumerate() {
        let Some(files) = origin.dicom() else {
            continue;
        };
        let source = Source::read(files).map_err(refused)?;
        if let Some(first) = scans.first() {
            first.source.same_patient(&source).map_err(refused)?;
        }
        scans.push(Scan { place, source });
    }
    let Some(first) = scans.first() else {
        return Ok(vec![]);
    };
    let stamp = Stamp::of(predictions);
    let report = report::object(predictions, patient, &scans, first, &stamp);
    let mut paths = vec![below.join("report.dcm")];
    tree.write(&paths[0], &object::file(report)?)?;
    let names = patient.scan_names();
    for scan in &scans {
        for (index, picture) in patient.pictures(scan.place) {
            let origin = &patient.scans[scan.place];
            let slice = capture::Slice {
                index,
                picture,
                grid: origin.grid.as_ref(),
            };
            let capture = capture::object(predictions, scan, &slice, &stamp);
            let path = below.join(format!("{}-slice-{index}.dcm", names[scan.place]));
            tree.write(&path, &object::file(capture)?)?;
            paths.push(path);
        }
    }
    Ok(paths)
}
