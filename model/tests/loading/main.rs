//! Reading scans and cohorts from generated files, good and bad.

mod caching;
mod checking;
mod cohorts;
mod files;
mod folders;
mod limits;
mod scans;
