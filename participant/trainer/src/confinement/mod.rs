//! What the kernel still lets this process do once it knows its scans: Landlock, on Linux.
//!
//! | allowed | to |
//! |---|---|
//! | the listed scans (the folder of a DICOM series) | read |
//! | system libraries, libtorch's folder, `/proc`, `/sys` | read |
//! | the cache of prepared slices | read and write |
//! | `/dev/null` and its like, `/dev/shm`, `/dev/nvidia*` | read and write |
//!
//! Nothing else can be opened: neither the clinical table beside the scans nor the participant's keys. TCP can neither be bound nor
//! connected. Landlock does not know UDP.
//!
//! A thread that exists before is not confined, so this comes before the first.

use std::fmt;

use protocol::training_job::DataSet;

/// What is enforced from now on, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// Landlock holds.
    Enforced {
        /// Of the kernel, as far as it is used here: decides what it can.
        abi: i32,
    },
    /// Nothing is, and why.
    None(String),
}

impl Confinement {
    /// Whether files beyond those allowed cannot be opened.
    pub fn covers_files(&self) -> bool {
        matches!(self, Self::Enforced { .. })
    }

    /// Whether TCP is refused.
    pub fn covers_tcp(&self) -> bool {
        matches!(self, Self::Enforced { abi } if *abi >= FIRST_WITH_TCP)
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(reason) => write!(f, "not confined: {reason}"),
            Self::Enforced { abi } => {
                let tcp = if self.covers_tcp() { " and TCP" } else { "" };
                write!(f, "confined: files{tcp}")?;
                if *abi >= FIRST_WITH_SCOPES {
                    f.write_str(", signals and abstract sockets")?;
                }
                f.write_str("; not confined: UDP")?;
                if !self.covers_tcp() {
                    f.write_str(", TCP")?;
                }
                if *abi < FIRST_WITH_SCOPES {
                    f.write_str(", signals")?;
                }
                write!(f, " (Landlock {abi})")
            }
        }
    }
}

const FIRST_WITH_TCP: i32 = 4;
const FIRST_WITH_SCOPES: i32 = 6;

/// Confines the calling thread and those that it starts, as far as the kernel can.
#[cfg(target_os = "linux")]
pub fn confine(data_set: &DataSet) -> Confinement {
    if !data_set.confine {
        return Confinement::None("switched off in the settings (trainer.confine)".to_owned());
    }
    linux::confine(data_set).unwrap_or_else(|error| Confinement::None(error.to_string()))
}

/// There is no such thing here.
#[cfg(not(target_os = "linux"))]
pub fn confine(_: &DataSet) -> Confinement {
    Confinement::None("only Linux has Landlock".to_owned())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeSet,
        env, fs,
        path::{Path, PathBuf},
    };

    use landlock::{
        ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError, RulesetStatus, Scope, path_beneath_rules,
    };
    use protocol::training_job::{DataSet, FilePath, ScanPaths};

    use super::Confinement;

    /// The rights that are handled; a kernel that knows fewer enforces those.
    const WANTED: ABI = ABI::V6;

    pub(super) fn confine(data_set: &DataSet) -> Result<Confinement, RulesetError> {
        let (read, all) = (AccessFs::from_read(WANTED), AccessFs::from_all(WANTED));
        let cache = data_set.cache.iter().map(|cache| cache.folder.0.clone());
        let status = Ruleset::default()
            .handle_access(all)?
            .handle_access(AccessNet::from_all(WANTED))?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .add_rules(path_beneath_rules(scans(data_set), read))?
            .add_rules(path_beneath_rules(libraries(), read))?
            .add_rules(path_beneath_rules(cache, all))?
            .add_rules(path_beneath_rules(devices(), all))?
            .restrict_self()?;
        Ok(match (status.ruleset, status.landlock) {
            (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
                Confinement::None("Landlock is not enabled in this kernel".to_owned())
            }
            (RulesetStatus::NotEnforced, _) => {
                Confinement::None("kernel without Landlock".to_owned())
            }
            (_, LandlockStatus::Available { effective_abi, .. }) => Confinement::Enforced {
                abi: effective_abi as i32,
            },
            (_, _) => Confinement::Enforced { abi: 1 },
        })
    }

    /// A NIfTI file by itself; of a DICOM series, which may have a thousand files, its folders.
    fn scans(data_set: &DataSet) -> BTreeSet<PathBuf> {
        let scans = data_set
            .patients
            .iter()
            .flat_map(|patient| patient.scans.iter());
        scans
            .flat_map(|scan| match scan {
                ScanPaths::Nifti(FilePath(path)) => vec![path.clone()],
                ScanPaths::Dicom(paths) => {
                    let folders = paths.iter().filter_map(|path| path.0.parent());
                    folders.map(Path::to_owned).collect()
                }
            })
            .collect()
    }

    /// Where libraries are that are loaded already, or may be later: libtorch loads its CUDA part by name.
    fn libraries() -> BTreeSet<PathBuf> {
        let mut paths: BTreeSet<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        paths.extend(env::current_exe());
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mapped = maps
            .lines()
            .filter_map(|line| line.find('/').map(|at| &line[at..]));
        let folders = mapped.filter(|path| path.contains(".so")).map(Path::new);
        paths.extend(folders.filter_map(Path::parent).map(Path::to_owned));
        let named = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let is_named =
            |path: &PathBuf| !path.as_os_str().is_empty() && path.as_path() != Path::new("/");
        paths.extend(env::split_paths(&named).filter(is_named));
        paths
    }

    fn devices() -> Vec<PathBuf> {
        let of_nvidia = fs::read_dir("/dev").into_iter().flatten().flatten();
        let of_nvidia = of_nvidia
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("nvidia"))
            .map(|entry| entry.path());
        DEVICES.iter().map(PathBuf::from).chain(of_nvidia).collect()
    }

    /// Of `/etc` single files alone: a federation's settings and keys may lie there too.
    const SYSTEM: [&str; 15] = [
        "/usr",
        "/lib",
        "/lib64",
        "/nix/store",
        "/run/opengl-driver",
        "/proc",
        "/sys",
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d",
        "/etc/ld.so.preload",
        "/etc/localtime",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/nvidia",
    ];
    const DEVICES: [&str; 6] = [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/shm",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_what_is_enforced_and_what_is_not() {
        let said = |abi| Confinement::Enforced { abi }.to_string();
        assert_eq!(
            said(1),
            "confined: files; not confined: UDP, TCP, signals (Landlock 1)"
        );
        assert_eq!(
            said(4),
            "confined: files and TCP; not confined: UDP, signals (Landlock 4)"
        );
        assert_eq!(
            said(6),
            "confined: files and TCP, signals and abstract sockets; not confined: UDP (Landlock 6)"
        );
        let none = Confinement::None("kernel without Landlock".to_owned());
        assert_eq!(none.to_string(), "not confined: kernel without Landlock");
        assert!(!none.covers_files() && !none.covers_tcp());
    }
}
