//! Files that are there by name and not by content.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

/// Why a file that is named has no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Absent {
    /// A link to a file that is not there.
    #[error(
        "a link that leads nowhere: fetch the file ('datalad get', 'git annex get'), or copy it here"
    )]
    DanglingLink,
    /// A text of git-annex or Git LFS in the place of the file.
    #[error(
        "not the file, but a pointer to it, as the file was not fetched: 'datalad get', 'git annex get' or 'git lfs pull'"
    )]
    Pointer,
    /// No bytes.
    #[error("empty (0 bytes): copy it again")]
    Empty,
}

impl Absent {
    /// What is wrong with a file, if it has no content. Nothing is said of one that cannot be read.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let Ok(metadata) = fs::metadata(path) else {
            let is_link = fs::symlink_metadata(path).is_ok_and(|entry| entry.is_symlink());
            return is_link.then_some(Self::DanglingLink);
        };
        match metadata.len() {
            _ if !metadata.is_file() => None,
            0 => Some(Self::Empty),
            1..MAX_POINTER_BYTES => {
                let mut text = vec![];
                let file = File::open(path).ok()?;
                file.take(MAX_POINTER_BYTES).read_to_end(&mut text).ok()?;
                let annex = b"/annex/objects/";
                let is_pointer = text.starts_with(b"version https://git-lfs")
                    || text.windows(annex.len()).any(|window| window == annex);
                is_pointer.then_some(Self::Pointer)
            }
            _ => None,
        }
    }
}

const MAX_POINTER_BYTES: u64 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_empty_files_are_told_from_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("scan.nii.gz");
        for (content, wanted) in [
            (&b""[..], Some(Absent::Empty)),
            (
                b"/annex/objects/MD5E-s42--77.nii.gz\n",
                Some(Absent::Pointer),
            ),
            (
                b"version https://git-lfs.github.com/spec/v1\noid ..",
                Some(Absent::Pointer),
            ),
            (b"\x1f\x8b and so on", None),
        ] {
            fs::write(&path, content).expect("writes");
            assert_eq!(Absent::of(&path), wanted, "{content:?}");
        }
        assert_eq!(Absent::of(folder.path()), None);
        assert_eq!(Absent::of(&folder.path().join("nowhere")), None);
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink("nowhere", &link).expect("links");
            assert_eq!(Absent::of(&link), Some(Absent::DanglingLink));
        }
    }
}
