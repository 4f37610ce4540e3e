//! Where the page is written: a file for its owner alone, which replaces an earlier page and nothing else.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use host::{failure::Failure, replaced_file::replace_private, signals::BetweenWrites};

/// Tells a page of this kind from other files.
pub const TITLE: &str = "Data check of a hospital (myelin)";

/// A place for the page.
pub struct PageFile(PathBuf);

impl PageFile {
    /// Looks at the place before the scans are read, which takes long.
    ///
    /// # Errors
    /// No folder to write into, or something there that is no page of this kind.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let above = path.parent().filter(|above| *above != Path::new(""));
        if above.is_some_and(|above| !above.is_dir()) {
            return Err(Failure::settings(anyhow!(
                "--html {shown}: the folder above it does not exist; make it, or name another file"
            )));
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let error = anyhow!(error).context(format!("--html {shown}: cannot look at it"));
                return Err(Failure::Settings(error));
            }
            Ok(about) if about.is_file() && is_page(path) => {}
            Ok(_) => {
                return Err(Failure::settings(anyhow!(
                    "--html {shown}: something else is there than a page of an earlier check; name another file, or take that one away"
                )));
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// The path, as it was given.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts the page there with mode 0600; a first signal waits until it is whole.
    ///
    /// # Errors
    /// What the system says; an earlier page is there still.
    pub fn write(&self, page: &str, signals: &BetweenWrites) -> Result<(), Failure> {
        let written = signals.write(|| replace_private(&self.0, page.as_bytes()));
        written
            .with_context(|| format!("cannot write the page {}", self.0.display()))
            .map_err(Failure::Settings)
    }
}

/// Whether a file begins like a page of this kind.
fn is_page(path: &Path) -> bool {
    let mut start = vec![];
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut start));
    let title = format!("<title>{TITLE}</title>");
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
        let page = |words: &str| ::report::page::page(TITLE, words);
        let first = PageFile::at(&path).expect("nothing is there");
        first.write(&page("one"), &signals).expect("written");
        let second = PageFile::at(&path).expect("a page");
        second.write(&page("two"), &signals).expect("replaced");
        assert!(fs::read_to_string(&path).expect("there").contains("two"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        let refused = |path: &Path| match PageFile::at(path) {
            Err(Failure::Settings(error)) => error.to_string(),
            _ => panic!("{} is taken", path.display()),
        };
        fs::write(&path, "<title>My thesis</title>").expect("written");
        assert!(refused(&path).contains("name another file"));
        assert!(refused(folder.path()).contains("something else"));
        let nowhere = folder.path().join("nowhere/check.html");
        assert!(refused(&nowhere).contains("does not exist"));
        assert!(!nowhere.exists());
    }
}
