//! What the shards of a run keep from each other: its beginning, and each training while it is done.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use host::private_folder::make_private_folder;

use super::{cell::CellKey, locks::Lock};

/// The folder of the locks, in that of the run.
pub struct Claims(PathBuf);

/// While it lives, no other shard is at the same.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "it is held, not used")] Option<Lock>);

impl Claim {
    /// Of a run that has its folder for itself.
    pub fn of_a_run_alone() -> Self {
        Self(None)
    }
}

impl Claims {
    /// In the folder of a run.
    pub fn within(root: &Path) -> Self {
        Self(root.join(LOCKS))
    }

    /// The beginning of the run: of shards that come at the same time one begins it, and the others find it.
    ///
    /// # Errors
    /// A lock that cannot be had.
    pub fn beginning(&self) -> anyhow::Result<Claim> {
        self.claim("beginning.lock", || ())
    }

    /// A training; `told` is called before it waits for another shard.
    ///
    /// # Errors
    /// A lock that cannot be had.
    pub fn training(&self, key: &CellKey, told: impl FnOnce()) -> anyhow::Result<Claim> {
        self.claim(&format!("{}.lock", key.stem()), told)
    }

    fn claim(&self, file: &str, told: impl FnOnce()) -> anyhow::Result<Claim> {
        let Self(folder) = self;
        make_private_folder(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Claim(Some(Lock::wait(&folder.join(file), told)?)))
    }

    /// Removes the locks, when no shard can be there.
    pub fn remove(&self) {
        // Empty files, if they stay.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Its name.
pub const LOCKS: &str = "locks";

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use protocol::{labels::Task, training_job::SplitKind};

    use super::*;
    use crate::reproduce::options::{BalanceName, ModelName};

    #[test]
    fn a_training_is_claimed_by_one_shard_at_a_time() {
        let root = tempfile::tempdir().expect("a folder");
        let [one, two] = [(); 2].map(|()| Claims::within(root.path()));
        let key = |seed| CellKey {
            task: Task::Binary,
            balance: BalanceName::Original,
            model: ModelName::Plain,
            form: Default::default(),
            split: SplitKind::Patient,
            seed,
        };
        let first = one.training(&key(1), || panic!("free")).expect("claimed");
        drop(two.training(&key(2), || panic!("free")).expect("claimed"));
        let first = RefCell::new(Some(first));
        let gives_way = || drop(first.take());
        drop(two.training(&key(1), gives_way).expect("claimed"));
        assert!(first.take().is_none(), "it waited for the first");
        one.remove();
        assert_eq!(fs::read_dir(root.path()).expect("there").count(), 0);
    }
}
