//! participant
fn main() {}
