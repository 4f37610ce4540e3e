//! What an operator asks of a coordinator that runs: over a socket in its state folder, which only the owner of the folder can reach.
//!
//! ```text
//! coordinator status, coordinator run without   -- one line of JSON -->   STATE/control.sock   --> the owner of the machine
//!                                               <-- one line of JSON --
//! ```

mod client;
mod messages;
mod server;

pub(crate) use self::server::{Asked, Control};
pub use self::{
    client::{ControlError, ask},
    messages::{Answer, HospitalStatus, Request, Status},
};

/// The socket, in the state folder.
pub const SOCKET: &str = "control.sock";

/// Neither side reads a longer line: the status of 127 hospitals has 30 KB.
const MAX_LINE_BYTES: u64 = 256 << 10;
