//! Which files the kernel is asked to leave readable: the scans, and the libraries that this program may still load.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use protocol::training_job::{DataSet, FilePath, ScanPaths};

/// The listed scans. A folder stands for its DICOM files where it holds nothing else; beside anything else, each file stands for itself.
pub(super) fn scans(data_set: &DataSet) -> BTreeSet<PathBuf> {
    let scans = data_set
        .patients
        .iter()
        .flat_map(|patient| patient.scans.iter());
    let mut readable = BTreeSet::new();
    let mut dicom: BTreeSet<&Path> = BTreeSet::new();
    for scan in scans {
        match scan {
            ScanPaths::Nifti(FilePath(path)) => {
                readable.insert(path.clone());
            }
            ScanPaths::Dicom(paths) => dicom.extend(paths.iter().map(|path| path.0.as_path())),
        }
    }
    let folders: BTreeSet<&Path> = dicom.iter().filter_map(|path| path.parent()).collect();
    let folders: BTreeSet<&Path> = folders
        .into_iter()
        .filter(|folder| holds_only(folder, &dicom))
        .collect();
    for path in dicom {
        match path.parent().filter(|folder| folders.contains(folder)) {
            Some(folder) => readable.insert(folder.to_owned()),
            None => readable.insert(path.to_owned()),
        };
    }
    readable
}

/// Whether everything in a folder is a listed file. A link is not: what it leads to lies elsewhere, and needs a rule of its own.
fn holds_only(folder: &Path, listed: &BTreeSet<&Path>) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.into_iter().all(|entry| {
        entry.is_ok_and(|entry| {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            is_file && listed.contains(entry.path().as_path())
        })
    })
}

/// The system's libraries, and those beside a library that is loaded: libtorch's CUDA part loads others by name when it first needs them.
/// Of folders that are not the system's only what is called a library; of these no folder below.
pub(super) fn libraries(kept_out: &[FilePath]) -> BTreeSet<PathBuf> {
    let mut readable: BTreeSet<PathBuf> = SYSTEM
        .iter()
        .map(PathBuf::from)
        .filter(|folder| is_free_of(folder, kept_out))
        .collect();
    readable.extend(env::current_exe());
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let named = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    for folder in folders_of_libraries(&maps, &named) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let libraries = entries.map(|entry| entry.path());
        readable.extend(libraries.filter(|path| is_library(path)));
    }
    readable
}

/// Where the libraries lie that are mapped, and what `LD_LIBRARY_PATH` names, but for paths that begin at whatever folder is the current
/// one.
fn folders_of_libraries(maps: &str, named: &OsStr) -> BTreeSet<PathBuf> {
    let mapped = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let mut folders: BTreeSet<PathBuf> = mapped
        .filter(|path| is_library(path))
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect();
    let wheels: BTreeSet<PathBuf> = folders.iter().filter_map(|folder| family(folder)).collect();
    for family in wheels {
        let members = fs::read_dir(family).into_iter().flatten().flatten();
        folders.extend(members.map(|member| member.path().join("lib")));
    }
    folders.extend(env::split_paths(named).filter(|path| path.is_absolute()));
    folders
}

/// `nvidia` for `nvidia/cudnn/lib`: the libraries of a GPU come in such folders beside each other, and the first that is loaded finds the
/// others there.
fn family(folder: &Path) -> Option<PathBuf> {
    let family = folder.parent()?.parent()?;
    let is_one = folder.ends_with("lib") && family.ends_with("nvidia");
    is_one.then(|| family.to_owned())
}

fn is_library(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::to_string_lossy);
    name.is_some_and(|name| name.ends_with(".so") || name.contains(".so."))
}

/// Whether a folder of the system holds none of what is to be kept out; if it does, it is left out, and the log says so.
fn is_free_of(folder: &Path, kept_out: &[FilePath]) -> bool {
    let Ok(real) = fs::canonicalize(folder) else {
        // It is not there.
        return true;
    };
    let within = |path: &Path| path.starts_with(&real) || path.starts_with(folder);
    let held = kept_out.iter().find(|FilePath(path)| {
        within(path) || fs::canonicalize(path).is_ok_and(|real| within(&real))
    });
    if let Some(FilePath(held)) = held {
        tracing::warn!(
            "{} is not readable to the trainer, as {} lies in it: if a library is missing, move that to another folder",
            folder.display(),
            held.display()
        );
    }
    held.is_none()
}

/// Of `/etc` single files alone, and of `/usr` no more than libraries need: a federation's settings and keys may lie there too.
const SYSTEM: [&str; 23] = [
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/share",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/cuda",
    "/usr/local/nvidia",
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

#[cfg(test)]
mod tests {
    use protocol::{
        codec::List,
        labels::Edss,
        training_job::{DeviceChoice, PatientScans, SliceChoice, SplitKind, SplitPlan},
    };

    use super::*;

    fn data_set(scans: Vec<ScanPaths>) -> DataSet {
        DataSet {
            patients: List(vec![PatientScans {
                edss: Edss::new(1.0),
                scans: List(scans),
            }]),
            slices: SliceChoice::evenly(1),
            memory_limit_mib: 1,
            cache: None,
            split: SplitPlan {
                kind: SplitKind::Patient,
                seed: 1,
            },
            device: DeviceChoice::Cpu,
            confine: true,
            kept_out: List::default(),
        }
    }

    fn dicom(paths: &[PathBuf]) -> ScanPaths {
        ScanPaths::Dicom(paths.iter().cloned().map(FilePath).collect())
    }

    #[test]
    fn a_folder_stands_for_its_series_only_where_it_holds_nothing_else() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let series = root.join("1");
        fs::create_dir(&series).expect("made");
        let inner = [series.join("a.dcm"), series.join("b.dcm")];
        let beside_the_table = [root.join("loose.dcm")];
        for path in inner.iter().chain(&beside_the_table) {
            fs::write(path, "x").expect("written");
        }
        fs::write(root.join("clinical.csv"), "ID,EDSS\n").expect("written");
        let listed = data_set(vec![dicom(&inner), dicom(&beside_the_table)]);
        let both: BTreeSet<PathBuf> = [series.clone(), beside_the_table[0].clone()].into();
        assert_eq!(scans(&listed), both);
        for other in [series.join("report.pdf"), series.join("private")] {
            if other.extension().is_some() {
                fs::write(&other, "x").expect("written");
            } else {
                fs::create_dir(&other).expect("made");
            }
            let each: BTreeSet<PathBuf> = inner.iter().chain(&beside_the_table).cloned().collect();
            assert_eq!(scans(&listed), each, "beside {}", other.display());
            let _ = fs::remove_file(&other);
            let _ = fs::remove_dir(&other);
        }
        assert_eq!(scans(&listed), both);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_a_link_stands_for_itself() {
        let root = tempfile::tempdir().expect("a folder");
        let (store, series) = (root.path().join("store"), root.path().join("1"));
        fs::create_dir(&series).expect("made");
        fs::write(&store, "x").expect("written");
        let link = series.join("a.dcm");
        std::os::unix::fs::symlink(&store, &link).expect("made");
        let readable = scans(&data_set(vec![dicom(std::slice::from_ref(&link))]));
        assert_eq!(readable, [link].into());
    }

    #[test]
    fn libraries_are_looked_for_beside_mapped_ones_and_in_absolute_folders_alone() {
        let maps = "7f0 r-xp 0 fe:00 1  /opt/torch/lib/libtorch.so\n\
                    7f1 r--p 0 fe:00 2  /srv/clinic.so.d/table.csv\n\
                    7f2 r--p 0 fe:00 3  /opt/other/libc10.so.2\n\
                    7f3 rw-p 0 00:00 0  [heap]\n";
        let found = folders_of_libraries(maps, OsStr::new(":.:lib:../x:/opt/cuda/lib64"));
        let expected = ["/opt/torch/lib", "/opt/other", "/opt/cuda/lib64"];
        assert_eq!(found, expected.iter().map(PathBuf::from).collect());
        assert!(is_library(Path::new("/a/libfoo.so.12")) && is_library(Path::new("/a/b.so")));
        for other in ["/a/key.pem", "/a/notes.sort", "/a.so/key", "/"] {
            assert!(!is_library(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn the_libraries_of_a_gpu_are_found_in_the_folders_beside_each_other() {
        let root = tempfile::tempdir().expect("a folder");
        let nvidia = root.path().join("nvidia");
        for member in ["cudnn", "cuda_nvrtc"] {
            fs::create_dir_all(nvidia.join(member).join("lib")).expect("made");
        }
        let maps = format!(
            "7f0 r-xp 0 fe:00 1  {}/cudnn/lib/libcudnn.so.9\n",
            nvidia.display()
        );
        let found = folders_of_libraries(&maps, OsStr::new(""));
        let expected = ["cudnn/lib", "cuda_nvrtc/lib"].map(|member| nvidia.join(member));
        assert_eq!(found, expected.into());
    }

    #[test]
    fn a_folder_of_the_system_that_holds_a_key_is_left_out() {
        let root = tempfile::tempdir().expect("a folder");
        let key = root.path().join("keys/signing.key");
        fs::create_dir(root.path().join("keys")).expect("made");
        let kept_out = [FilePath(key)];
        assert!(!is_free_of(root.path(), &kept_out));
        assert!(!is_free_of(&root.path().join("keys"), &kept_out));
        fs::create_dir(root.path().join("other")).expect("made");
        assert!(is_free_of(&root.path().join("other"), &kept_out));
        let libraries = libraries(&[FilePath("/usr/share/myelin/participant.toml".into())]);
        assert!(!libraries.contains(Path::new("/usr/share")));
        assert!(libraries.contains(Path::new("/usr/lib")));
    }
}
