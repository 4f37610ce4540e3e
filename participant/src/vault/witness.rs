//! Who is told of an opened sum before the vault says so: a simulation, which checks each against what it saw the hospitals put in. A
//! production vault has none.

use super::output::OpenedRound;
use crate::journal::JournalError;

/// Is told of each opened sum.
pub trait Witness: Send {
    /// A sum was opened, and is settled in the journal when this returns: what is kept of it here outlives the process if the vault's
    /// own memory of it does. A vault that is stopped in between opens the same sum again.
    ///
    /// # Errors
    /// It cannot be kept. Then the vault stops, and has not settled the sum.
    fn opened(&mut self, opened: &OpenedRound) -> Result<(), JournalError>;
}
