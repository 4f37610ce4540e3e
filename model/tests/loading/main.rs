//! Reading scans and cohorts from generated files, good and bad.

mod cohorts;
mod files;
mod scans;
