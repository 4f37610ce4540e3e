//! What the kernel still lets this process do once it knows its scans: Landlock, on Linux.
//!
//! | allowed | to |
//! |---|---|
//! | the listed scans (a folder, where it holds nothing but files of DICOM series that are listed) | read |
//! | the system's folders of libraries, `/proc`, `/sys` | read |
//! | libraries beside those that are loaded, and in the absolute folders of `LD_LIBRARY_PATH` | read |
//! | the cache of prepared slices | read and write |
//! | `/dev/null` and its like, `/dev/shm`, `/dev/nvidia*` | read and write |
//!
//! Nothing else can be opened: neither the clinical table beside the scans nor the participant's settings, keys and state; a folder of
//! the system in which one of these lies is left out. No program can be started. TCP can neither be bound nor connected. Landlock does
//! not know UDP.
//!
//! A thread that exists before is not confined, so this comes before the first.

#[cfg(target_os = "linux")]
mod readable;

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
    use std::{fs, path::PathBuf};

    use landlock::{
        ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError, RulesetStatus, Scope, path_beneath_rules,
    };
    use protocol::training_job::DataSet;

    use super::{Confinement, readable};

    /// The rights that are handled; a kernel that knows fewer enforces those.
    const WANTED: ABI = ABI::V6;

    pub(super) fn confine(data_set: &DataSet) -> Result<Confinement, RulesetError> {
        let every = AccessFs::from_all(WANTED);
        // Handled, and given to nothing: no program is started.
        let read = AccessFs::from_read(WANTED) & !AccessFs::Execute;
        let change = every & !AccessFs::Execute;
        let cache = data_set.cache.iter().map(|cache| cache.folder.0.clone());
        let libraries = readable::libraries(&data_set.kept_out);
        let status = Ruleset::default()
            .handle_access(every)?
            .handle_access(AccessNet::from_all(WANTED))?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .add_rules(path_beneath_rules(readable::scans(data_set), read))?
            .add_rules(path_beneath_rules(libraries, read))?
            .add_rules(path_beneath_rules(cache, change))?
            .add_rules(path_beneath_rules(devices(), change))?
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

    fn devices() -> Vec<PathBuf> {
        let of_nvidia = fs::read_dir("/dev").into_iter().flatten().flatten();
        let of_nvidia = of_nvidia
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("nvidia"))
            .map(|entry| entry.path());
        DEVICES.iter().map(PathBuf::from).chain(of_nvidia).collect()
    }

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
