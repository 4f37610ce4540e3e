use crate::bridge::{TorchError, called, torch_ffi_load_cuda};

/// Loads the CUDA part of the libtorch this program runs with, and says whether there is one.
///
/// A linker leaves out a library from which no symbol is used, so a program does not have it by itself. It must be loaded before
/// libtorch is first asked for a CUDA device: libtorch remembers the answer. To call it again costs nothing.
///
/// # Errors
/// It is there but cannot be loaded, as when a library that it needs is missing; libtorch then computes on the CPU.
pub fn load_cuda() -> Result<bool, TorchError> {
    let mut loaded = 0;
    // SAFETY: both places outlive the call. Loading runs the library's initialisers, which are libtorch's own.
    called(|error| unsafe { torch_ffi_load_cuda(&raw mut loaded, error) })?;
    Ok(loaded != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same answer each time, and the one that libtorch itself then gives.
    #[test]
    fn it_may_be_asked_for_more_than_once() {
        let first = load_cuda();
        assert_eq!(load_cuda(), first);
        if first != Ok(true) {
            assert_eq!(tch::Cuda::device_count(), 0);
        }
    }
}
