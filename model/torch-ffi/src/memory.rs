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
        // Numbers and limits of mallopt(3).
        const M_TRIM_THRESHOLD: c_int = -1;
        const M_MMAP_THRESHOLD: c_int = -3;
        const M_ARENA_MAX: c_int = -8;
        /// The most that is taken.
        const LARGEST_KEPT: c_int = 32 << 20;
        const MOST_KEPT: c_int = 1 << 30;
        for (parameter, value) in [
            (M_TRIM_THRESHOLD, MOST_KEPT),
            (M_MMAP_THRESHOLD, LARGEST_KEPT),
            (M_ARENA_MAX, 1),
        ] {
            // SAFETY: `mallopt` of glibc takes any numbers, and refuses those that it does not know; it locks what it changes.
            let _is_taken = unsafe { mallopt(parameter, value) };
        }
    }
}
