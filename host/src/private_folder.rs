//! Folders and files that their owner alone can look into, whatever the umask is.

use std::{fs, io, path::Path};

/// Makes a folder, and those above it, unless they are there; what is made, only its owner can read. The mode of a folder that is
/// there is left as it is.
///
/// # Errors
/// What the system says.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // A umask that takes rights from the owner would else leave a folder that this process cannot use.
    set_mode(path, 0o700)
}

/// Opens a file for reading and writing, or makes one that only its owner can read. The mode of a file that is there is left as it
/// is.
///
/// # Errors
/// What the system says.
pub fn open_private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    options.create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    set_mode(path, 0o600)?;
    Ok(file)
}

/// Makes an empty file that only its owner can read, in the place of one that may be there.
///
/// # Errors
/// What the system says.
pub fn create_private_file(path: &Path) -> io::Result<fs::File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => open_private_file(path),
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn mode(path: &Path) -> u32 {
        let about = fs::metadata(path).expect("it is there");
        about.permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_private_and_what_is_there_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("state/blobs");
        make_private_folder(&inner).expect("made");
        assert_eq!(mode(&inner), 0o700);
        let path = inner.join("file");
        let mut file = open_private_file(&path).expect("made");
        file.write_all(b"kept").expect("written");
        assert_eq!(mode(&path), 0o600);

        let shared = fs::Permissions::from_mode(0o750);
        fs::set_permissions(&inner, shared).expect("set");
        make_private_folder(&inner).expect("it is there");
        assert_eq!(mode(&inner), 0o750);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        open_private_file(&path).expect("it is there");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(fs::read(&path).expect("read"), b"kept");
        create_private_file(&path).expect("another");
        assert_eq!(
            (mode(&path), fs::read(&path).expect("read").len()),
            (0o600, 0)
        );
    }
}
