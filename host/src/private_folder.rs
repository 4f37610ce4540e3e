//! Folders that their owner alone can look into.

use std::{fs, io, path::Path};

/// Makes a folder, and those above it, unless they are there; what is made, only its owner can read.
///
/// # Errors
/// What the system says.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
