//! NIfTI files and DICOM series written by nibabel and pydicom, read here, and compared voxel by voxel with what
//! these libraries read.

#[path = "../../tests/oracle/python.rs"]
mod python;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use model_data::{Scan, ScanError, read_dicom, read_nifti};
use serde::Deserialize;

/// A file or series, and what it holds (make_scans.py).
#[derive(Deserialize)]
struct Case {
    name: String,
    kind: String,
    files: Vec<PathBuf>,
    dims: [usize; 3],
    spacing_mm: [f64; 3],
    /// File of the expected voxels.
    expected: PathBuf,
    /// Of each expected voxel: 4 or 8.
    bytes: usize,
    /// How far a voxel may be off, relative to its size where that is above 1.
    tolerance: f64,
}

impl Case {
    fn read(&self) -> Result<Scan, ScanError> {
        match self.kind.as_str() {
            "dicom" => read_dicom(&self.files),
            _ => read_nifti(&self.files[0]),
        }
    }

    fn difference(&self, folder: &Path) -> Option<String> {
        let scan = match self.read() {
            Ok(scan) => scan,
            Err(error) => return Some(error.to_string()),
        };
        let (dims, spacing) = (scan.volume.dims(), scan.volume.spacing_mm());
        if dims != self.dims {
            return Some(format!("{dims:?} where {:?} are expected", self.dims));
        }
        let near = |a: f64, b: f64, tolerance: f64| (a - b).abs() <= tolerance * b.abs().max(1.0);
        if !(spacing.iter().zip(self.spacing_mm))
            .all(|(&found, expected)| near(found, expected, 1e-6))
        {
            return Some(format!(
                "{spacing:?} mm where {:?} are expected",
                self.spacing_mm
            ));
        }
        let bytes = fs::read(folder.join(&self.expected)).expect("the script wrote it");
        let expected = bytes.chunks_exact(self.bytes).map(|number| match *number {
            [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
            _ => f64::from_le_bytes(number.try_into().expect("8 bytes")),
        });
        assert_eq!(expected.len(), scan.volume.voxels().len());
        let differing = scan
            .volume
            .voxels()
            .iter()
            .zip(expected)
            .filter(|&(&found, expected)| !near(f64::from(found), expected, self.tolerance));
        let (count, first) = (differing.clone().count(), differing.take(1).next());
        first.map(|first| format!("{count} voxels differ, the first {first:?}"))
    }
}

#[test]
fn every_file_is_read_as_nibabel_and_pydicom_read_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Real volumes lie beside the repository where there are some.
    let data = env::var_os("MYELIN_ORACLE_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let mut arguments = vec![folder.path()];
    if data.is_dir() {
        arguments.push(&data);
    } else {
        eprintln!("no real volumes in {}: generated ones only", data.display());
    }
    python::ask("make_scans.py", &arguments);
    let Ok(cases) = fs::read(folder.path().join("cases.json")) else {
        return;
    };
    let cases: Vec<Case> = serde_json::from_slice(&cases).expect("the script wrote it");
    assert!(cases.len() > 400, "{} cases", cases.len());
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            Some(format!(
                "{}: {}",
                case.name,
                case.difference(folder.path())?
            ))
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}
