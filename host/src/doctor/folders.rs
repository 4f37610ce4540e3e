//! The state folder: writable, private, on a disk of this machine, with room.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Check;

/// The state folder can be used. One that is missing is made at a start, and not by looking.
pub fn state_folder(path: &Path) -> Check {
    let shown = path.display();
    let Ok(about) = fs::metadata(path) else {
        let above = existing(path);
        return match is_writable(&above) {
            Ok(()) => Check::good(NAME, format!("{shown} will be made at the first start")),
            Err(error) => Check::failed(
                NAME,
                format!(
                    "{shown} is missing and cannot be made in {}: {error}",
                    above.display()
                ),
                "make it for the user of this program: install -d -m 0700 -o USER, or set `state` to another folder",
            ),
        };
    };
    if !about.is_dir() {
        return Check::failed(
            NAME,
            format!("{shown} is not a folder"),
            "set `state` to a folder, or to one that is to be made",
        );
    }
    if let Err(error) = is_writable(path) {
        return Check::failed(
            NAME,
            format!("{shown} cannot be written: {error}"),
            format!("give it to the user of this program: chown USER {shown}; chmod 700 {shown}"),
        );
    }
    if let Some(kind) = shared_by_network(path) {
        return Check::warning(
            NAME,
            format!(
                "{shown} is on a network share ({kind}), where a lock may not hold and a write may not be on disk"
            ),
            "set `state` to a folder on a disk of this machine",
        );
    }
    match mode_of(&about) & 0o777 {
        mode if mode & 0o077 != 0 => Check::weakened(
            NAME,
            format!("{shown} has mode {mode:04o}: other users can look into it"),
            format!("chmod 700 {shown}"),
        ),
        _ => Check::good(NAME, format!("{shown}, writable, for its owner alone")),
    }
}

/// How much room is needed, and for what.
#[derive(Clone, Debug)]
pub struct Room {
    /// With less the program cannot do its work, in bytes.
    pub least: u64,
    /// With less it may come to an end of it, in bytes.
    pub wanted: u64,
    /// What it is for.
    pub what: String,
}

impl Room {
    /// Compares with what is free on the file system of `folder`, which need not be there yet.
    pub fn check(&self, folder: &Path) -> Check {
        match free_bytes(&existing(folder)) {
            Ok(free) => self.against(free, folder),
            Err(error) => Check::warning(
                DISK,
                format!("the room of {} is not known: {error}", folder.display()),
                format!("see that {} are free: {}", mb(self.wanted), self.what),
            ),
        }
    }

    fn against(&self, free: u64, folder: &Path) -> Check {
        let found = format!(
            "{} free for {}; needs {}: {}",
            mb(free),
            folder.display(),
            mb(self.wanted),
            self.what
        );
        let remedy = "make room, or set `state` to a folder on a larger disk";
        match free {
            free if free < self.least => Check::failed(DISK, found, remedy),
            free if free < self.wanted => Check::warning(DISK, found, remedy),
            _ => Check::good(DISK, found),
        }
    }
}

/// The folder itself, or the one above in which it will be made.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|above| above.exists());
    found.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn mb(bytes: u64) -> String {
    match bytes / 1_000_000 {
        mb @ 0..10_000 => format!("{mb} MB"),
        mb => format!("{} GB", mb / 1000),
    }
}

#[cfg(unix)]
fn mode_of(about: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&about.permissions())
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u32 {
    0
}

#[cfg(unix)]
fn is_writable(folder: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, access};
    let rights = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    Ok(access(folder, rights)?)
}

#[cfg(not(unix))]
fn is_writable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// For whoever is not root.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let about = rustix::fs::statvfs(folder)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> std::io::Result<u64> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The kind of a file system that lies on another machine.
#[cfg(target_os = "linux")]
fn shared_by_network(folder: &Path) -> Option<&'static str> {
    let about = rustix::fs::statfs(folder).ok()?;
    // Numbers of 32 bits, whatever the type is.
    let magic = about.f_type as u64 & 0xffff_ffff;
    SHARED
        .iter()
        .find(|(number, _)| *number == magic)
        .map(|(_, kind)| *kind)
}

#[cfg(not(target_os = "linux"))]
fn shared_by_network(_: &Path) -> Option<&'static str> {
    None
}

/// statfs(2), and `linux/magic.h`.
#[cfg(target_os = "linux")]
const SHARED: [(u64, &str); 7] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x5346_414f, "AFS"),
];
const NAME: &str = "state";
const DISK: &str = "disk";

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::Finding;

    #[test]
    fn a_folder_is_not_made_by_looking_and_an_open_one_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("hospital/state");
        let check = state_folder(&state);
        assert_eq!(check.finding, Finding::Good, "{check:?}");
        assert!(check.found.contains("will be made"), "{check:?}");
        assert!(!folder.path().join("hospital").exists());
        fs::create_dir_all(&state).expect("made");
        for (mode, finding) in [(0o700, Finding::Good), (0o755, Finding::Weakened)] {
            fs::set_permissions(&state, fs::Permissions::from_mode(mode)).expect("set");
            let check = state_folder(&state);
            assert_eq!(check.finding, finding, "{check:?}");
        }
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        assert_eq!(state_folder(&file).finding, Finding::Failed);
    }

    #[test]
    fn room_is_compared_with_what_is_needed() {
        let room = Room {
            least: 100_000_000,
            wanted: 300_000_000,
            what: "for two models".to_owned(),
        };
        let found = |free| room.against(free, Path::new("state")).finding;
        assert_eq!(found(99_999_999), Finding::Failed);
        assert_eq!(found(100_000_000), Finding::Warning);
        assert_eq!(found(300_000_000), Finding::Good);
        let folder = tempfile::tempdir().expect("a folder");
        let none = Room {
            least: 0,
            wanted: 0,
            what: "for nothing".to_owned(),
        };
        let check = none.check(&folder.path().join("missing/state"));
        assert_eq!(check.finding, Finding::Good, "{check:?}");
    }
}
