//! How this hospital becomes a member of a federation, and follows its rosters: all of it at the coordinator's desk.
//!
//! ```text
//! join     keys are made here; the token's one-time code and the public keys go to the coordinator; a certificate comes back
//! roster   the draft comes from the coordinator, is compared over the phone, and signed here
//! ```

mod at_start;
mod certificate;
mod desk;
mod join;
mod rosters;
mod upkeep;

pub use self::{
    certificate::RenewError,
    desk::{DeskError, MemberDesk},
    join::{JoinError, Joining, Progress},
    rosters::{Offered, RosterFiles, RosterRefused},
    upkeep::Upkeep,
};
