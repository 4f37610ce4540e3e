//! DICOM objects, as dciodvfy, DCMTK, pydicom and highdicom see them.

use std::path::{Path, PathBuf};

use results::{NOTICE, Outputs, ResultsError, Written, write_results};

use crate::{
    made::{MadeScan, predictions, scans},
    python,
    tools::{told, tool},
};

const DICOM: Outputs = Outputs {
    heat: false,
    dicom: true,
    bids: false,
};

fn dicom_scans() -> Option<(tempfile::TempDir, Vec<MadeScan>)> {
    let (folder, mut scans) = scans()?;
    scans.retain(|scan| scan.dicom);
    assert_eq!(scans.len(), 5);
    Some((folder, scans))
}

fn written(folder: &Path, scans: &[MadeScan]) -> Written {
    let patients = scans.iter().map(|scan| scan.patient(&scan.name)).collect();
    write_results(folder, &predictions(patients), DICOM).expect("written")
}

#[test]
fn every_object_is_as_the_standard_has_it() {
    let Some((folder, scans)) = dicom_scans() else {
        return;
    };
    let written = written(&folder.path().join("out"), &scans);
    assert!(written.dicom.len() > 4 * 10, "{}", written.dicom.len());
    assert_eq!(written.without_dicom, Vec::<String>::new());
    if let Some(dciodvfy) = tool("dciodvfy", "dicom3tools") {
        for path in &written.dicom {
            let (text, _) = told(&dciodvfy, &[], path);
            let errors: Vec<&str> = text
                .lines()
                .filter(|line| line.starts_with("Error"))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
            let kind = if path.ends_with("report.dcm") {
                "ComprehensiveSR"
            } else {
                "SCImage"
            };
            assert!(
                text.lines().any(|line| line == kind),
                "{}: {text}",
                path.display()
            );
        }
    }
    if let Some(dsrdump) = tool("dsrdump", "dcmtk") {
        for path in written
            .dicom
            .iter()
            .filter(|path| path.ends_with("report.dcm"))
        {
            let (text, well) = told(&dsrdump, &["+Pl"], path);
            assert!(well, "{text}");
            for expected in [
                "\"Probability of class higher\")=\"0.875000\"",
                "\"Predicted class of disability (EDSS)\")=(CLASS1,99MYELIN,\"higher\")",
                "97.5% percentile of its probability over slices\")=\"0.937500\"",
                "\"Algorithm Name\")=\"myelin\"",
                &"5a".repeat(32),
                NOTICE,
                "Fewer slices than in training.",
                "\"Source of Measurement\")=(",
            ] {
                assert!(text.contains(expected), "no {expected} in {text}");
            }
        }
    }
}

#[test]
fn the_report_is_as_its_templates_have_it() {
    let Some((folder, scans)) = dicom_scans() else {
        return;
    };
    let Some(validator) = tool("DicomSRValidator", "pixelmed-apps") else {
        return;
    };
    // One is enough: it takes long, and the structure is the same in all.
    let written = written(&folder.path().join("out"), &scans[..1]);
    let (text, _) = told(&validator, &[], &written.dicom[0]);
    for expected in [
        "Found ComprehensiveSR IOD",
        "Found Root Template TID_1500",
        "Root Template Validation Complete",
    ] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
    assert!(!text.contains("Error"), "{text}");
    // What the templates leave open: the class, and the comments, which they let one add.
    let ours = |line: &&str| line.contains("99MYELIN") || line.contains("\"Comment\"");
    let mut warnings = text.lines().filter(|line| line.starts_with("Warning"));
    assert_eq!(warnings.find(|line| !ours(line)), None, "{text}");
}

#[test]
fn patient_and_study_are_those_of_the_source() {
    let Some((folder, scans)) = dicom_scans() else {
        return;
    };
    let target = folder.path().join("out");
    written(&target, &scans);
    for scan in &scans {
        let objects = target.join("dicom").join(&scan.name);
        let arguments: Vec<&Path> = [objects.as_path()]
            .into_iter()
            .chain(scan.files.iter().map(PathBuf::as_path))
            .collect();
        python::ask("check_dicom.py", &arguments);
    }
}

#[test]
fn scans_of_two_patients_are_not_put_into_one_report() {
    let Some((folder, scans)) = dicom_scans() else {
        return;
    };
    python::ask(
        "other_patient.py",
        &scans[1]
            .files
            .iter()
            .map(PathBuf::as_path)
            .collect::<Vec<_>>(),
    );
    let mut patient = scans[0].patient("p");
    patient.scans.push(scans[1].origin());
    let target = folder.path().join("out");
    let error = write_results(&target, &predictions(vec![patient]), DICOM).expect_err("refused");
    assert!(matches!(error, ResultsError::Source { .. }), "{error}");
    assert!(error.to_string().contains("PatientID"), "{error}");
    assert!(!target.exists());
}

#[test]
fn a_patient_without_dicom_is_named_and_has_no_objects() {
    let Some((folder, mut scans)) = scans() else {
        return;
    };
    scans.truncate(1);
    let written = written(&folder.path().join("out"), &scans);
    assert_eq!(written.without_dicom, [scans[0].name.clone()]);
    assert_eq!((written.dicom.len(), written.files), (0, 3));
}
