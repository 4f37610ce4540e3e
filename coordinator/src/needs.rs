//! What programs need of their machines, as it was measured (docs/BENCHMARKS.md, docs/OPERATIONS.md), rounded up.

/// Prepared, in memory and in the cache of slices: 128 x 128 values of 4 bytes.
pub const SLICE_BYTES: u64 = 64 << 10;

/// Network, optimiser and libtorch of a trainer that computes on the CPU, and its participant.
pub const TRAINING_MEMORY: u64 = 2 << 30;

/// Sealing, adding and opening the sums of a learning round, and its encrypted products, on an ordinary processor.
pub const CRYPTOGRAPHY_SECS_A_ROUND: f64 = 2.0;

/// Bytes of a hospital's state folder without its prepared slices, where a model has so many bytes: the last and the best model, a copy of
/// both in the folder of their run, and the same again for the journal.
pub fn hospital_disk(update_bytes: u64) -> u64 {
    8 * update_bytes
}

/// Bytes of a coordinator's state folder: the uploads of one round, its outcome, and that of the round before.
pub fn coordinator_disk(hospitals: usize, update_bytes: u64) -> u64 {
    (hospitals as u64 + 2) * update_bytes
}

/// Bytes of memory of a coordinator in a round. Measured, without conditioning: 133 MiB with 10 hospitals, 156 with 30, 312 with 100; keys
/// and encrypted features are beside that, and what a hospital that is away leaves.
pub fn coordinator_memory(hospitals: usize) -> u64 {
    (200 << 20) + hospitals as u64 * (4 << 20)
}
