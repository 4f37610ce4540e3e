//! TenSEAL's files: protocol buffers around SEAL's objects.

mod context;
mod tensor;
mod vector;

pub use context::TensealContext;
pub use tensor::CkksTensor;
pub use vector::CkksVector;
