//! How this process takes its memory from the system: large buffers come and go all the time.

/// Keeps the system from clearing pages that are not needed: to be called first.
///
/// mimalloc, which has all but libtorch's tensors, asks for huge pages. It gives back what is free of them and then touches it again, for
/// which the system clears 2 MiB each time: a fifth of a simulation's time with little training. So this process has none; where the
/// system does not grant that, it is slower.
pub fn prepare() {
    model::keep_freed_memory();
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
