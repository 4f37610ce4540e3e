//! What the C library does with memory that libtorch has freed.

/// Memory of tensors that were freed is kept for the next ones, up to a GiB. Until the C library is told so, it gives that of each large
/// tensor back to the system, which clears as many pages for the next one, and keeps a part of memory for each thread.
///
/// To be called before there are other threads. Elsewhere than under glibc it does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // The parameters of mallopt(3), by their numbers in malloc.h.
        const M_TRIM_THRESHOLD: c_int = -1;
        const M_MMAP_THRESHOLD: c_int = -3;
        const M_ARENA_MAX: c_int = -8;
        const MIB: c_int = 1 << 20;
        for (parameter, value) in [
            (M_TRIM_THRESHOLD, 1024 * MIB),
            // The largest that glibc takes.
            (M_MMAP_THRESHOLD, 32 * MIB),
            (M_ARENA_MAX, 1),
        ] {
            // SAFETY: `mallopt` of glibc takes any numbers, and refuses those that it does not know; it locks what it changes.
            let _is_taken = unsafe { mallopt(parameter, value) };
        }
    }
}
