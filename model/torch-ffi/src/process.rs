//! The way out of a process in which libtorch may still compute.

use std::ffi::c_int;

/// Ends the process with this exit code at once: no destructor runs, neither of ours nor of libtorch's static objects, which crash
/// when a thread of libtorch still computes.
#[cfg(unix)]
pub fn end_process(code: u8) -> ! {
    unsafe extern "C" {
        fn _exit(status: c_int) -> !;
    }
    // SAFETY: `_exit` of POSIX takes any number, reads no memory of this program and does not return.
    unsafe { _exit(c_int::from(code)) }
}

/// Ends the process with this exit code at once.
#[cfg(not(unix))]
#[expect(
    clippy::disallowed_methods,
    reason = "whoever calls it wants the process to end whatever it does; its memory ends with it"
)]
pub fn end_process(code: u8) -> ! {
    std::process::exit(c_int::from(code))
}
