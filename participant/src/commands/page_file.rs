//! Where a page is written: a file for its owner alone, which replaces an earlier page of its kind and nothing else.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use host::{failure::Failure, replaced_file::replace_private, signals::BetweenWrites};

/// The pages that the program writes.
#[derive(Clone, Copy)]
pub enum PageKind {
    /// Of `data check --html`.
    DataCheck,
    /// Of a run.
    Report,
}

impl PageKind {
    /// Tells a page of this kind from other files.
    pub fn title(self) -> &'static str {
        match self {
            Self::DataCheck => "Data check of a hospital (myelin)",
            Self::Report => "Report of a run for one hospital (myelin)",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Self::DataCheck => "--html",
            Self::Report => "--out",
        }
    }
}

/// A place for the page.
#[derive(Debug)]
pub struct PageFile(PathBuf);

impl PageFile {
    /// Looks at the place before the scans are read, which takes long.
    ///
    /// # Errors
    /// No folder to write into, or something there that is no page of this kind.
    pub fn at(path: &Path, kind: PageKind) -> Result<Self, Failure> {
        let (flag, shown) = (kind.flag(), path.display());
        let above = path.parent().filter(|above| *above != Path::new(""));
        if above.is_some_and(|above| !above.is_dir()) {
            return Err(Failure::settings(anyhow!(
                "{flag} {shown}: the folder above it does not exist; make it, or name another file"
            )));
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let error = anyhow!(error).context(format!("{flag} {shown}: cannot look at it"));
                return Err(Failure::Settings(error));
            }
            Ok(about) if about.is_file() && is_page(path, kind) => {}
            Ok(_) => {
                return Err(Failure::settings(anyhow!(
                    "{flag} {shown}: something else is there than an earlier page of this command, and it is not overwritten; name another file"
                )));
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// The path, as it was given.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What a signal leaves before the page is written.
    pub fn unwritten(path: &Path) -> String {
        let kept = if path.is_file() {
            "; the earlier one is kept"
        } else {
            ""
        };
        format!("no page is written{kept}")
    }

    /// Puts the page there with mode 0600; a first signal waits until it is whole.
    ///
    /// # Errors
    /// What the system says; an earlier page is there still.
    pub fn write(&self, page: &str, signals: &BetweenWrites) -> Result<(), Failure> {
        let leaves = format!("the page is written, {}", self.0.display());
        let written = signals.write(leaves, || replace_private(&self.0, page.as_bytes()));
        written
            .with_context(|| format!("cannot write the page {}", self.0.display()))
            .map_err(Failure::Settings)
    }
}

/// Whether a file begins like a page of this kind.
fn is_page(path: &Path, kind: PageKind) -> bool {
    let mut start = vec![];
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut start));
    let title = format!("<title>{}</title>", kind.title());
    read.is_ok() && String::from_utf8_lossy(&start).contains(&title)
}

const HEAD_BYTES: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_page_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("check.html");
        let signals = BetweenWrites::default();
        let page = |words: &str| ::report::page::page(PageKind::DataCheck.title(), words);
        let first = PageFile::at(&path, PageKind::DataCheck).expect("nothing is there");
        first.write(&page("one"), &signals).expect("written");
        let second = PageFile::at(&path, PageKind::DataCheck).expect("a page");
        second.write(&page("two"), &signals).expect("replaced");
        assert!(fs::read_to_string(&path).expect("there").contains("two"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        let refused = |path: &Path| match PageFile::at(path, PageKind::DataCheck) {
            Err(Failure::Settings(error)) => error.to_string(),
            _ => panic!("{} is taken", path.display()),
        };
        assert!(
            PageFile::at(&path, PageKind::Report).is_err(),
            "of another kind"
        );
        fs::write(&path, "<title>My thesis</title>").expect("written");
        assert!(refused(&path).contains("name another file"));
        assert!(refused(folder.path()).contains("something else"));
        let nowhere = folder.path().join("nowhere/check.html");
        assert!(refused(&nowhere).contains("does not exist"));
        assert!(!nowhere.exists());
    }
}
