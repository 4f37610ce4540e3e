//! QUIC between the coordinator and the hospitals: the only crate with a QUIC socket.
//!
//! ```text
//! hospital 7                                                coordinator
//! Dialer::connect ── TLS 1.3, both certificates pinned ──>  Listener::accept
//! CoordinatorLink                                           HospitalLink
//!   sender().send, receive   <── control: frames ──>          sender().send, next -> Incoming::Frame
//!   blobs().upload           ──  one stream each  ──>         next -> Incoming::Upload -> accept, next_leaf, accept
//!   blobs().download         <── one stream each  ──          next -> Incoming::Download -> serve
//! ```
//!
//! A link says who is at the other end, moves bytes, and says how it ended. It does not know what the bytes mean: frames and
//! blobs are opaque, nothing in them is checked but their length, and no round, key or journal is to be found here. Bytes
//! from a peer are bounded before they are kept, and a peer that breaks the rules loses its connection.
//!
//! The identity of a peer is the fingerprint of its TLS key, looked up in the roster, and nothing else.

pub mod certificate_requests;
pub mod certificates;
mod coordinator_side;
mod datagrams;
mod disconnect;
mod downloads;
mod enrolment;
mod errors;
pub mod faults;
mod frames;
mod handshakes;
mod limits;
mod pace;
mod participant_side;
mod printable;
mod reachability;
mod refusal;
pub mod repeats;
mod strangers;
mod streams;
pub mod tls;
mod traffic;
mod uploads;
mod wire;

#[cfg(test)]
mod tests;

pub use coordinator_side::{HospitalLink, Incoming, Listener};
pub use disconnect::{CloseCode, Disconnect};
pub use downloads::{BlobPart, DownloadRequest};
pub use enrolment::{Answered, EnrolmentClient, EnrolmentDesk};
pub use errors::TransportError;
pub use frames::FrameSender;
pub use handshakes::CertificateProblem;
pub use limits::Limits;
pub use pace::RateCap;
pub use participant_side::{Blobs, CoordinatorLink, Dialer, Waiting};
pub use reachability::{Knock, PathSeen, Sight, knock};
pub use refusal::{Refusal, RefusalCode};
pub use traffic::{Traffic, TrafficCounts, WireCounts};
pub use uploads::{Offer, Upload, UploadRequest};
pub use wire::{BlobName, LEAF_BYTES};
