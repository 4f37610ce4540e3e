//! The commit that is built, as somebody gives it or as git has it. Also compiled into the build script.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the sources come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its first digits, and what was done to it.
    pub hash: String,
    date: Option<String>,
}

impl Commit {
    /// As the environment has it; an empty text is none.
    pub fn given(hash: Option<String>, date: Option<String>) -> Result<Option<Self>, String> {
        let Some(hash) = hash.filter(|hash| !hash.is_empty()) else {
            return Ok(None);
        };
        if hash.len() < 7 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!(
                "MYELIN_COMMIT is {hash}: no commit; it must have at least 7 hexadecimal digits and nothing else"
            ));
        }
        let date = date.filter(|date| !date.is_empty());
        if let Some(date) = date.as_ref().filter(|date| !is_date(date)) {
            return Err(format!(
                "MYELIN_COMMIT_DATE is {date}: no date; write it as 2026-12-01"
            ));
        }
        let hash = hash.chars().take(DIGITS).collect();
        Ok(Some(Self { hash, date }))
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.hash)?;
        match &self.date {
            Some(date) => write!(formatter, ", {date}"),
            None => Ok(()),
        }
    }
}

fn is_date(text: &str) -> bool {
    let is_right = |(place, byte): (usize, u8)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(is_right)
}

/// A clone of the repository, or a work tree of one.
pub struct WorkTree(PathBuf);

impl WorkTree {
    /// None where there is no git, or where the sources lie in a clone of something else.
    pub fn at(root: &Path) -> Option<Self> {
        let clone = Self(root.to_owned());
        let below_the_top = clone.git(&["rev-parse", "--show-prefix"])?;
        below_the_top.is_empty().then_some(clone)
    }

    /// None before the first commit.
    pub fn commit(&self) -> Option<Commit> {
        let abbreviation = format!("--abbrev={DIGITS}");
        let told = self.git(&["log", "-1", "--format=%h %cs", &abbreviation])?;
        let (hash, date) = told.split_once(' ')?;
        let status = ["status", "--porcelain", "--untracked-files=no", "--"];
        let changes = self.git(&[&status[..], &SOURCES].concat())?;
        let mark = if changes.is_empty() { "" } else { "-modified" };
        Some(Commit {
            hash: format!("{hash}{mark}"),
            date: Some(date.to_owned()),
        })
    }

    /// The files and folders that are there and of which a change makes it another commit, or modifies it.
    pub fn what_it_depends_on(&self) -> Vec<PathBuf> {
        let branch = self.git(&["symbolic-ref", "--quiet", "HEAD"]);
        let of_git = ["HEAD", "logs/HEAD", "packed-refs"]
            .into_iter()
            .chain(branch.as_deref());
        let of_git = of_git.filter_map(|name| self.git(&["rev-parse", "--git-path", name]));
        let sources = SOURCES.into_iter().map(str::to_owned);
        let paths = of_git.chain(sources).map(|path| self.0.join(path));
        // Cargo takes a path that is missing for one that changes all the time.
        paths.filter(|path| path.exists()).collect()
    }

    /// What git prints; none if it fails.
    fn git(&self, arguments: &[&str]) -> Option<String> {
        let mut git = Command::new("git");
        git.arg("--no-optional-locks").arg("-C").arg(&self.0);
        for (name, _) in env::vars_os() {
            // A hook that builds has those of its own repository.
            if name.to_string_lossy().starts_with("GIT_") {
                git.env_remove(name);
            }
        }
        let output = git.args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    }
}

/// Of a commit, as many digits are told.
const DIGITS: usize = 12;
/// What the programs are made of.
const SOURCES: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "coordinator",
    "crypto",
    "experiments",
    "host",
    "model",
    "participant",
    "protocol",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let author = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let clone = WorkTree(folder.to_owned());
        let done = clone.git(&[&author[..], arguments].concat());
        done.unwrap_or_else(|| panic!("git {arguments:?} has failed"));
    }

    fn commit_all(folder: &Path) {
        git(folder, &["add", "."]);
        git(folder, &["commit", "--quiet", "--message", "a"]);
    }

    /// A clone of one commit.
    fn clone(folder: &Path) -> WorkTree {
        fs::create_dir_all(folder.join("crypto")).expect("made");
        fs::write(folder.join("crypto").join("a.rs"), "a").expect("written");
        git(folder, &["init", "--quiet"]);
        commit_all(folder);
        WorkTree::at(folder).expect("a clone")
    }

    #[test]
    fn a_clone_tells_its_commit_and_whether_the_sources_are_as_committed() {
        let folder = tempfile::tempdir().expect("a folder");
        let clone = clone(folder.path());
        let commit = clone.commit().expect("a commit");
        let whole = clone.git(&["rev-parse", "HEAD"]).expect("a commit");
        assert_eq!(commit.hash, whole[..12]);
        let told = commit.to_string();
        let date = told.strip_prefix(&format!("{}, ", commit.hash));
        assert!(date.is_some_and(is_date), "{told}");

        fs::write(folder.path().join("notes"), "of mine").expect("written");
        assert_eq!(clone.commit(), Some(commit));
        fs::write(folder.path().join("crypto").join("a.rs"), "b").expect("written");
        let changed = clone.commit().expect("a commit");
        assert_eq!(changed.hash, format!("{}-modified", &whole[..12]));
    }

    #[test]
    fn what_it_depends_on_is_there_and_changes_with_a_commit_also_in_a_work_tree() {
        let folder = tempfile::tempdir().expect("a folder");
        let main = folder.path().join("main");
        let tree = folder.path().join("tree");
        let main = clone(&main);
        let path = tree.to_str().expect("text");
        git(&main.0, &["worktree", "add", "--quiet", "-b", "b", path]);
        for clone in [main, WorkTree::at(&tree).expect("a work tree")] {
            let paths = clone.what_it_depends_on();
            assert!(paths.contains(&clone.0.join("crypto")), "{paths:?}");
            let contents = || -> Vec<_> {
                let files = paths
                    .iter()
                    .filter(|path| !path.starts_with(clone.0.join("crypto")));
                files.map(|path| fs::read(path).expect("a file")).collect()
            };
            let before = contents();
            fs::write(clone.0.join("notes"), "of mine").expect("written");
            commit_all(&clone.0);
            assert_ne!(contents(), before);
        }
    }

    #[test]
    fn sources_outside_of_a_clone_of_theirs_tell_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(WorkTree::at(folder.path()).is_none());
        let other = clone(folder.path());
        assert!(WorkTree::at(&other.0.join("crypto")).is_none());
    }

    #[test]
    fn a_commit_that_is_given_is_told_and_another_text_refused() {
        let given = |hash: &str, date: &str| {
            let commit = Commit::given(Some(hash.to_owned()), Some(date.to_owned()));
            commit.map(|commit| commit.map(|commit| commit.to_string()))
        };
        let whole = "40ea5ad1234567890abcdef1234567890abcdef0";
        let told = "40ea5ad12345, 2026-12-01".to_owned();
        assert_eq!(given(whole, "2026-12-01"), Ok(Some(told)));
        assert_eq!(given("40ea5ad", ""), Ok(Some("40ea5ad".to_owned())));
        assert_eq!(given("", "2026-12-01"), Ok(None));
        for (hash, date) in [("main", ""), ("40ea5a", ""), (whole, "yesterday")] {
            assert!(given(hash, date).is_err(), "{hash} {date}");
        }
    }

    #[test]
    fn the_version_begins_with_its_number() {
        let number = env!("CARGO_PKG_VERSION");
        let rest = crate::VERSION.strip_prefix(number);
        let rest = rest.expect("the number comes first");
        assert!(rest.is_empty() || rest.starts_with(" (") && rest.ends_with(')'));
    }
}
