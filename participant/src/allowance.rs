//! What a run may take of this hospital's machine and network. No run asks for it, and none is refused for it.

use transport::RateCap;

use crate::{hours::Hours, trainer_program::GpuMemoryShare};

/// The bounds that this hospital keeps by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// When it takes part.
    pub hours: Hours,
    /// How fast it sends to the coordinator, and receives; none: as fast as the line allows.
    pub rate: Option<RateCap>,
    /// How much of a GPU's memory the trainer may take.
    pub gpu_memory: GpuMemoryShare,
}
