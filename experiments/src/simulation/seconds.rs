//! What took how long in a run, over all hospitals.

use serde::Serialize;

/// Wall seconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seconds {
    /// From the start of the program's work to the writing of this.
    pub total: f64,
    /// Training and evaluation at hospitals.
    pub training: f64,
    /// Quantising, masking, sharing.
    pub sealing: f64,
    /// At the coordinator.
    pub adding: f64,
    /// Opening and moving the model.
    pub opening: f64,
    /// At hospitals and the coordinator.
    pub conditioning: f64,
    /// Transfers, as hospitals wait for them.
    pub transport: f64,
}
