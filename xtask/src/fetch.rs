//! Fetching libtorch into the user's cache folder, once for all clones.
//!
//! The finished folder appears by a rename, so it is whole or absent. Work in progress lies beside it, under a lock:
//! an interrupted fetch leaves wheels that are whole, which the next one takes over, and rests, which it removes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::prerequisites::python;
use crate::wheels::{Build, LIBTORCH_VERSION, Wheel};

/// The places of the cached libtorch; they need not exist.
#[derive(Debug, PartialEq, Eq)]
pub struct Cache {
    build: Build,
    /// What [`Cache::fill`] provides.
    folder: PathBuf,
    /// Work in progress, on the same file system for the sake of the rename.
    partial: PathBuf,
    lock: PathBuf,
}

impl Cache {
    /// The places within the project's cache folder.
    pub fn within(project: &Path, build: Build) -> Self {
        let name = format!("libtorch-{LIBTORCH_VERSION}-{}", build.name());
        Self {
            build,
            folder: project.join(&name),
            partial: project.join(format!("{name}.partial")),
            lock: project.join(format!("{name}.lock")),
        }
    }

    /// The folder that will hold `lib/` and `include/`. With CUDA it lies beside the libraries of NVIDIA, where those of
    /// libtorch look for them.
    pub fn libtorch(&self) -> PathBuf {
        match self.build {
            Build::Cpu => self.folder.clone(),
            Build::Cuda => self.folder.join("torch"),
        }
    }

    /// Whether libtorch is there; a folder from which someone removed a library is not.
    pub fn is_complete(&self) -> bool {
        let libtorch = self.libtorch();
        let is_file = |path: &&str| {
            libtorch
                .join(path)
                .metadata()
                .is_ok_and(|file| file.is_file() && file.len() > 0)
        };
        // torch-sys reads the version from the same file.
        let version = fs::read_to_string(libtorch.join("build-version"));
        let essential: &[&str] = match self.build {
            Build::Cpu => &CPU_LIBRARIES,
            Build::Cuda => &CUDA_LIBRARIES,
        };
        version.is_ok_and(|version| version.trim() == LIBTORCH_VERSION)
            && ESSENTIAL_FILES.iter().chain(essential).all(is_file)
    }

    /// Makes it complete, fetching what is missing; waits for another process that is doing so.
    ///
    /// # Errors
    ///
    /// A folder that cannot be written, a download that fails or is not the pinned file. It may be repeated.
    pub fn fill(&self) -> Result<()> {
        self.fill_with(&Fetch {
            python: Path::new(python()),
            wheels: self.build.wheels(),
        })
    }

    fn fill_with(&self, fetch: &Fetch) -> Result<()> {
        if self.is_complete() && !self.partial.exists() {
            return Ok(());
        }
        let project = self
            .lock
            .parent()
            .expect("the places lie within the project's cache folder");
        fs::create_dir_all(project)
            .with_context(|| format!("cannot create {}", project.display()))?;
        let lock = self.lock()?;
        if !self.is_complete() {
            self.replace(fetch, &lock).with_context(|| {
                format!(
                    "could not fetch libtorch {LIBTORCH_VERSION}. Repeat the command to try again (what is whole is \
                     kept), or set LIBTORCH to a folder that holds lib/ and include/ of that version"
                )
            })?;
        }
        remove_folder(&self.partial)
    }

    fn lock(&self) -> Result<File> {
        let context = || format!("cannot lock {}", self.lock.display());
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.lock);
        let lock = lock.with_context(context)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("another process is fetching libtorch: waiting for it");
                lock.lock().with_context(context)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
        Ok(lock)
    }

    fn replace(&self, fetch: &Fetch, lock: &File) -> Result<()> {
        let megabytes: u32 = fetch.wheels.iter().map(|wheel| wheel.megabytes).sum();
        eprintln!(
            "fetching libtorch {LIBTORCH_VERSION} into {} (about {megabytes} MB, once)",
            self.folder.display()
        );
        let wheels = self.partial.join("wheels");
        let temporary = self.partial.join("temporary");
        let tree = self.partial.join("tree");
        remove_folder(&temporary)?;
        remove_folder(&tree)?;
        for folder in [&wheels, &temporary] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        for wheel in fetch.wheels {
            fetch.download(wheel, &wheels, &temporary, lock)?;
        }
        fetch.unpack(self.build, &wheels, &tree, lock)?;
        // Someone may have removed a part of it; what is left of it would stop the rename.
        remove_folder(&self.folder)?;
        fs::rename(&tree, &self.folder).with_context(|| {
            format!(
                "cannot move {} to {}",
                tree.display(),
                self.folder.display()
            )
        })?;
        ensure!(
            self.is_complete(),
            "{} lacks a library after unpacking",
            self.folder.display()
        );
        eprintln!(
            "libtorch {LIBTORCH_VERSION} is in {}",
            self.folder.display()
        );
        Ok(())
    }
}

/// What fetches, and what is fetched.
struct Fetch<'a> {
    python: &'a Path,
    wheels: &'a [Wheel],
}

impl Fetch<'_> {
    fn download(&self, wheel: &Wheel, wheels: &Path, temporary: &Path, lock: &File) -> Result<()> {
        eprintln!(
            "{} {} ({} MB)",
            wheel.package, wheel.version, wheel.megabytes
        );
        let requirements = wheels.join(format!("{}.txt", wheel.package));
        fs::write(&requirements, wheel.requirement())
            .with_context(|| format!("cannot write {}", requirements.display()))?;
        let mut pip = Command::new(self.python);
        pip.args([
            "-m",
            "pip",
            "download",
            "--no-input",
            "--disable-pip-version-check",
            "--no-cache-dir",
            "--no-deps",
        ])
        // The file for Python 3.11, whichever Python is here, and no other than the pinned one.
        .args([
            "--require-hashes",
            "--only-binary=:all:",
            "--implementation",
            "cp",
            "--python-version",
            "3.11",
        ])
        .args(["--abi", "cp311", "--platform", wheel.platform])
        .args([
            "--requirement".as_ref(),
            requirements.as_os_str(),
            "--dest".as_ref(),
            wheels.as_os_str(),
        ])
        // pip's own rests then go with the rest, and a small /tmp does not matter.
        .env("TMPDIR", temporary);
        run(pip, wheels, lock)
            .with_context(|| format!("pip could not download {} {}", wheel.package, wheel.version))
    }

    fn unpack(&self, build: Build, wheels: &Path, tree: &Path, lock: &File) -> Result<()> {
        let mut python = Command::new(self.python);
        python
            .args(["-I", "-c", UNPACK, build.name(), LIBTORCH_VERSION])
            .arg(tree);
        for wheel in self.wheels {
            python.arg(find(wheel, wheels)?).arg(wheel.sha256);
        }
        run(python, wheels, lock).context("could not unpack the wheels")
    }
}

/// Without one of these nothing links or runs.
const ESSENTIAL_FILES: [&str; 5] = [
    "include/torch/csrc/api/include/torch/torch.h",
    "lib/libc10.so",
    "lib/libgomp.so.1",
    "lib/libtorch.so",
    "lib/libtorch_cpu.so",
];

/// What even the CPU part needs of CUDA.
const CPU_LIBRARIES: [&str; 2] = ["lib/libcudart.so.13", "lib/libcupti.so.13"];

/// The CUDA part, and some of what it needs.
const CUDA_LIBRARIES: [&str; 6] = [
    "lib/libc10_cuda.so",
    "lib/libtorch_cuda.so",
    "../nvidia/cu13/lib/libcudart.so.13",
    "../nvidia/cu13/lib/libcupti.so.13",
    "../nvidia/cu13/lib/libcublas.so.13",
    "../nvidia/cudnn/lib/libcudnn.so.9",
];

/// Checks each wheel's hash, then takes one build of libtorch out of them; Python reads zip archives by itself.
const UNPACK: &str = include_str!("unpack.py");

fn find(wheel: &Wheel, wheels: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(wheels).with_context(|| format!("cannot read {}", wheels.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", wheels.display()))?;
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| wheel.is_named(name))
        {
            return Ok(entry.path());
        }
    }
    bail!(
        "pip ended well but left no file of {} {}",
        wheel.package,
        wheel.version
    )
}

/// Runs a child that shows its progress on our stderr and shares the lock.
///
/// The lock is held as long as any process has the file open: were we killed, a child that lives on keeps the next
/// fetch from working in the same folder.
fn run(mut command: Command, folder: &Path, lock: &File) -> Result<()> {
    let status = command
        .current_dir(folder)
        .stdin(lock.try_clone().context("cannot share the lock")?)
        .stdout(Stdio::from(io::stderr()))
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        command.get_program().display()
    );
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::TempDir;

    use super::*;

    /// A cache beside an index of small wheels, from which the offline Python takes them.
    struct Scene {
        folder: TempDir,
        cache: Cache,
        wheels: Vec<Wheel>,
    }

    impl Scene {
        fn new() -> Result<Self> {
            Self::of(Build::Cpu)
        }

        fn of(build: Build) -> Result<Self> {
            let folder = TempDir::new()?;
            let cache = Cache::within(folder.path(), build);
            let script =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-ins/make_wheels.py");
            let index = folder.path().join("index");
            fs::create_dir(&index)?;
            let output = Command::new(python()).arg(script).arg(&index).output()?;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let hashes = String::from_utf8(output.stdout)?;
            let with_its_hash = |wheel: &Wheel| {
                let mut made = hashes.lines().filter_map(|line| line.split_once(' '));
                let (_, hash) = made.find(|(name, _)| wheel.is_named(name))?;
                Some(Wheel {
                    sha256: String::from(hash).leak(),
                    ..*wheel
                })
            };
            let wheels: Option<_> = build.wheels().iter().map(with_its_hash).collect();
            let wheels = wheels.context("the script makes every wheel")?;
            Ok(Self {
                folder,
                cache,
                wheels,
            })
        }

        fn fill(&self) -> Result<()> {
            let python =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-ins/python-offline");
            self.cache.fill_with(&Fetch {
                python: &python,
                wheels: &self.wheels,
            })
        }

        fn index(&self) -> PathBuf {
            self.folder.path().join("index")
        }

        fn downloads(&self) -> usize {
            fs::read_to_string(self.index().join("log")).map_or(0, |log| log.lines().count())
        }

        fn torch_in(&self, folder: &Path) -> Result<PathBuf> {
            find(self.wheels.last().context("torch is the last")?, folder)
        }
    }

    #[test]
    fn libtorch_is_taken_out_of_the_wheels_once() -> Result<()> {
        let scene = Scene::new()?;
        scene.fill()?;
        assert!(scene.cache.is_complete());
        let mut libraries: Vec<_> = fs::read_dir(scene.cache.folder.join("lib"))?
            .map(|entry| {
                entry.map(|entry| {
                    entry
                        .file_name()
                        .into_string()
                        .expect("the wheels have plain names")
                })
            })
            .collect::<io::Result<_>>()?;
        libraries.sort();
        assert_eq!(
            libraries,
            [
                "libc10.so",
                "libcudart.so.13",
                "libcupti.so.13",
                "libgomp.so.1",
                "libtorch.so",
                "libtorch_cpu.so"
            ]
        );
        assert_eq!(
            fs::read_to_string(scene.cache.folder.join("lib/libtorch_cpu.so"))?,
            "torch/lib/libtorch_cpu.so"
        );
        assert!(!scene.cache.partial.exists());
        scene.fill()?;
        assert_eq!(scene.downloads(), 3);
        Ok(())
    }

    #[test]
    fn with_cuda_the_libraries_lie_where_those_of_libtorch_look_for_them() -> Result<()> {
        let scene = Scene::of(Build::Cuda)?;
        scene.fill()?;
        assert!(scene.cache.is_complete());
        assert_eq!(scene.downloads(), Build::Cuda.wheels().len());
        let folder = scene.folder.path().join("libtorch-2.11.0-cuda");
        assert_eq!(scene.cache.libtorch(), folder.join("torch"));
        for present in [
            "torch/build-version",
            "torch/include/torch/csrc/api/include/torch/torch.h",
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libtorch_nvshmem.so",
            "nvidia/cudnn/lib/libcudnn.so.9",
            "nvidia/cu13/lib/libnvperf_host.so",
        ] {
            assert!(folder.join(present).is_file(), "{present}");
        }
        for absent in [
            "torch/lib/libtorch_python.so",
            "torch/bin",
            "torch/__init__.py",
            "nvidia/cu13/include",
            "escape.so",
        ] {
            assert!(!folder.join(absent).exists(), "{absent}");
        }
        fs::remove_file(folder.join("nvidia/cudnn/lib/libcudnn.so.9"))?;
        assert!(!scene.cache.is_complete());
        Ok(())
    }

    #[test]
    fn the_rests_of_an_interruption_do_not_reach_the_result() -> Result<()> {
        let scene = Scene::new()?;
        for folder in ["tree/lib", "temporary"] {
            fs::create_dir_all(scene.cache.partial.join(folder))?;
            fs::write(scene.cache.partial.join(folder).join("half.so"), "half")?;
        }
        scene.fill()?;
        assert!(scene.cache.is_complete());
        assert!(!scene.cache.folder.join("lib/half.so").exists() && !scene.cache.partial.exists());
        // Killed between the rename and the last removal.
        fs::create_dir_all(scene.cache.partial.join("wheels"))?;
        scene.fill()?;
        assert!(!scene.cache.partial.exists());
        assert_eq!(scene.downloads(), 3);
        Ok(())
    }

    #[test]
    fn a_wheel_that_is_not_the_pinned_file_is_refused_and_removed() -> Result<()> {
        let scene = Scene::new()?;
        let published = scene.torch_in(&scene.index())?;
        let whole = fs::read(&published)?;
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&published, damaged)?;
        assert!(scene.fill().is_err());
        assert!(!scene.cache.folder.exists());
        assert!(
            scene.torch_in(&scene.cache.partial.join("wheels")).is_err(),
            "the damaged wheel would be used again"
        );
        fs::write(&published, whole)?;
        scene.fill()?;
        assert!(scene.cache.is_complete());
        Ok(())
    }

    #[test]
    fn a_folder_that_lost_a_library_is_filled_again() -> Result<()> {
        let scene = Scene::new()?;
        scene.fill()?;
        let library = scene.cache.folder.join("lib/libtorch_cpu.so");
        fs::write(&library, "")?;
        scene.fill()?;
        assert_eq!(fs::read_to_string(library)?, "torch/lib/libtorch_cpu.so");
        Ok(())
    }

    #[test]
    fn a_download_that_fails_names_the_package_and_the_ways_out() -> Result<()> {
        let scene = Scene::new()?;
        fs::remove_file(scene.torch_in(&scene.index())?)?;
        let message = format!("{:#}", scene.fill().expect_err("the index has no torch"));
        assert!(
            message.contains("pip could not download torch 2.11.0") && message.contains("LIBTORCH"),
            "{message}"
        );
        assert!(!scene.cache.folder.exists());
        Ok(())
    }

    #[test]
    fn two_at_once_fetch_once() -> Result<()> {
        let scene = Scene::new()?;
        thread::scope(|scope| {
            let other = scope.spawn(|| scene.fill());
            scene.fill()?;
            other.join().expect("filling does not panic")
        })?;
        assert!(scene.cache.is_complete());
        assert_eq!(scene.downloads(), 3);
        Ok(())
    }
}
