//! What is written, asked of programs that we did not write: nibabel, pydicom, highdicom, dciodvfy, DCMTK, Orthanc, the validator of BIDS.

mod archive;
mod bids;
mod dicom;
mod heat;
mod made;
#[path = "../../../../model/tests/oracle/python.rs"]
mod python;
mod tools;
mod tree;
