//! Reading scans and cohorts from generated files, good and bad.

mod bids;
mod caching;
mod cases;
mod checking;
mod cohorts;
mod dicom;
mod dicom_files;
mod files;
mod folders;
mod limits;
mod manifests;
mod oddities;
mod scans;
