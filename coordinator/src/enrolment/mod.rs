//! How hospitals become members: invitations, requests, approvals, and the rosters that they sign.
//!
//! ```text
//! coordinator invite     invitation: name, hash of the one-time code
//! participant join       request: public keys           Desk ──> Members (STATE/members.sqlite)
//! coordinator approve    number, certificate                        ^
//! coordinator roster     draft, signatures, published  ─────────────'
//! ```
//!
//! Nothing that is kept here is secret: of a code its hash, of keys the public halves. The authority's private key is a file of its own.

mod certificate_watch;
mod desk;
mod folder;
mod members;
mod rosters;
#[cfg(test)]
mod tests;

pub use self::{
    certificate_watch::{
        EndsSoon, RENEWAL_OF_AUTHORITY, RENEWAL_OF_MEMBER, ending_certificates, renewal_of_own,
        watch_certificates,
    },
    desk::{CERTIFICATE_LIFETIME, Desk, DeskError},
    folder::{NewCoordinator, NewFolderError, own_certificate},
    members::{Applicant, Member, Members, MembersError},
    rosters::{OtherKeys, RosterDraftError, Unsigned, names},
};

/// The database, in the state folder.
pub const MEMBERS: &str = "members.sqlite";
