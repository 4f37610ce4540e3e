//! The functions of `bridge.cpp`, and their errors.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use torch_sys::C_tensor;

/// An exception of libtorch, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct TorchError(pub String);

unsafe extern "C" {
    pub(crate) fn torch_ffi_fused_adamw(
        count: usize,
        values: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        first_moments: *const *mut C_tensor,
        second_moments: *const *mut C_tensor,
        steps: *const *mut C_tensor,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        epsilon: f64,
        error: *mut *mut c_char,
    ) -> c_int;

    pub(crate) fn torch_ffi_load_cuda(loaded: *mut c_int, error: *mut *mut c_char) -> c_int;

    fn torch_ffi_release(error: *mut c_char);
}

/// Calls one of them, which is handed the place for its message.
pub(crate) fn called(function: impl FnOnce(*mut *mut c_char) -> c_int) -> Result<(), TorchError> {
    let mut message = ptr::null_mut();
    if function(&raw mut message) == 0 {
        return Ok(());
    }
    if message.is_null() {
        return Err(TorchError("no memory is left to say why".to_owned()));
    }
    // SAFETY: the bridge has set it to a string of its own, which ends in a zero.
    let text = unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned();
    // SAFETY: the string is the bridge's, and nothing points into it any more.
    unsafe { torch_ffi_release(message) };
    Err(TorchError(text))
}
