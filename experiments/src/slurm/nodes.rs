//! What every node of a cluster must see at the path at which this machine sees it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Besides the data and the results, which the options name.
pub struct SeenByNodes {
    /// This program.
    pub program: PathBuf,
    /// The folder from which it has libtorch; none where the system does not tell.
    pub libtorch: Option<PathBuf>,
    /// Where relative paths start.
    pub working_folder: PathBuf,
}

impl SeenByNodes {
    /// As this process sees it.
    ///
    /// # Errors
    /// What the system says.
    pub fn by_this_process() -> anyhow::Result<Self> {
        // The file of a program that was built anew meanwhile has another name to Linux.
        let program = env::current_exe().context("cannot find the file of this program")?;
        let program = fs::canonicalize(&program).with_context(|| {
            format!(
                "the file of this program, {}, is gone; start it again",
                program.display()
            )
        })?;
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Ok(Self {
            program,
            libtorch: folder_of(&maps, LIBTORCH),
            working_folder: env::current_dir().context("cannot find the working folder")?,
        })
    }

    /// The files that a task looks for before it begins.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let libtorch = self.libtorch.as_ref().map(|folder| folder.join(LIBTORCH));
        std::iter::once(self.program.clone()).chain(libtorch)
    }
}

/// The folder of a library that a process has loaded, by its `/proc/PID/maps`.
fn folder_of(maps: &str, library: &str) -> Option<PathBuf> {
    let paths = maps.lines().filter_map(|line| {
        let start = line.find('/')?;
        Some(Path::new(&line[start..]))
    });
    let mut found = paths.filter(|path| path.file_name().is_some_and(|name| name == library));
    found.next()?.parent().map(Path::to_owned)
}

const LIBTORCH: &str = "libtorch_cpu.so";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_among_what_a_process_has_loaded() {
        let maps = "7f00-7f01 r--p 00000000 08:01 1    /usr/lib/libc.so.6\n7f02-7f03 rw-p 0 00:00 0 [heap]\n\
                    7f04-7f05 r-xp 00000000 08:01 2    /srv/two words/libtorch_cpu.so\n";
        let found = folder_of(maps, LIBTORCH).expect("it is there");
        assert_eq!(found, Path::new("/srv/two words"));
        assert_eq!(folder_of("", LIBTORCH), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_a_libtorch() {
        let seen = SeenByNodes::by_this_process().expect("seen");
        assert_eq!(seen.files().filter(|file| file.is_file()).count(), 2);
    }
}
