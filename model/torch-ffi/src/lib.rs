//! What [`tch`] lacks of libtorch, behind safe functions: the only code of the workspace that calls C++.
//!
//! - [`FusedAdamW`]: AdamW in one pass over each parameter, where tch's makes a dozen.
//! - [`load_cuda`]: the CUDA part of libtorch, loaded when a program starts rather than linked.
//! - [`keep_freed_memory`]: memory of tensors is used again, rather than given back and cleared anew.
//! - [`end_process`]: the way out of a process in which it may still compute.
//!
//! The C++ is `bridge.cpp`. It catches every exception; here they are errors.
#![warn(clippy::undocumented_unsafe_blocks)]

mod adamw;
mod bridge;
mod cuda;
mod memory;
mod process;

pub use adamw::{AdamWError, AdamWSettings, FusedAdamW};
pub use bridge::TorchError;
pub use cuda::load_cuda;
pub use memory::keep_freed_memory;
pub use process::end_process;
