//! Whether all is there that a program needs: what was found, and what to do about what is not well.
//!
//! Nothing is changed by looking. What only one of the programs needs, it looks at itself; here is what both do.

mod files;
mod folders;
mod machine;
mod names;
mod report;

pub use self::{
    files::{certificate, key_file, told},
    folders::{Room, state_folder},
    machine::{clock, memory, utc},
    names::{Unresolved, resolve},
    report::{Check, Finding, Report},
};
