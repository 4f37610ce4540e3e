//! Whether the work on secrets depends on them (PROTOCOL 7): what is looked at, module by module. How is
//! [`side_channels::constant_time`]'s part.

use crate::{ckks, ring, sealed_sum};

side_channels::constant_time_tests!(&[
    ring::constant_time::OPERATIONS,
    sealed_sum::constant_time::OPERATIONS,
    ckks::constant_time::OPERATIONS,
]);
