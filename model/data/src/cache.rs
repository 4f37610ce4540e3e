//! Prepared slices on disk, so that unchanged scans are not unpacked and resampled again.
//!
//! An entry is named by a SHA-256 of everything its slices follow from: the bytes of the scan's
//! files, which slices were asked for, and the version of the preparation. There is no short cut
//! by time or size: a file is hashed each time, which takes a small part of what preparing it
//! takes, and one that has changed has another name. So nothing is ever out of date.
//!
//! | bytes | of an entry, little-endian |
//! |---|---|
//! | 8 | `MYSLICES` |
//! | 32 | its own key |
//! | 1, 1, 1, 8 | placement: stated, permuted, disputed (0 or 1), tilt in degrees (f64) |
//! | 4 | number of slices, n |
//! | n x 65,540 | axial index (u32), 128 x 128 pixels (f32) |
//! | 32 | SHA-256 of all that comes before |
//!
//! # Security
//! Entries are images of patients. They are for their owner alone (mode 0600, the folder 0700 if
//! it is made here), and the checksum finds damage, not forgery: whoever can write to the folder
//! can put other images there.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{Context, SHA256};

use super::{IMAGE_SIDE, Placement, ScanFiles, Slice, SliceChoice};

/// To be raised whenever the same file gives other pixels than before. The test
/// `the_preparation_is_the_one_of_its_version` says when that is.
const PREPARATION: u32 = 2;

/// Bytes of the pixels of a slice.
pub(super) const PIXEL_BYTES: u64 = (IMAGE_SIDE * IMAGE_SIDE * size_of::<f32>()) as u64;

/// What a scan gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prepared {
    pub slices: Vec<Slice>,
    pub placement: Placement,
}

/// A folder of prepared slices.
pub(super) struct SliceCache {
    folder: PathBuf,
}

/// Makes the folder unless it is there, for its owner alone.
///
/// # Errors
/// What the operating system says.
pub fn make_cache_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Names what the slices of a scan follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key([u8; 32]);

/// What the cache has under a key.
#[derive(Debug, PartialEq)]
pub(super) enum Lookup {
    Whole(Prepared),
    Absent,
    /// Something else than what was written.
    Damaged,
}

impl SliceCache {
    /// The folder is made unless it is there.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        make_cache_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    pub(super) fn find(&self, key: Key) -> Lookup {
        let file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Lookup::Absent,
            Err(_) => return Lookup::Damaged,
        };
        match read_entry(file, key) {
            Ok(Some(prepared)) => Lookup::Whole(prepared),
            Ok(None) | Err(_) => Lookup::Damaged,
        }
    }

    /// Whole or not at all: written under another name, then renamed.
    pub(super) fn store(&self, key: Key, prepared: &Prepared) -> io::Result<()> {
        // Readable by the owner alone, on Unix.
        let file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.folder)?;
        let mut writer = BufWriter::new(file);
        write_entry(&mut writer, key, prepared)?;
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.persist(self.path(key))?;
        Ok(())
    }

    /// Removes every entry but these, and what a process left that died while it wrote.
    pub(super) fn keep_only(&self, keys: &BTreeSet<Key>) -> io::Result<()> {
        let keep: BTreeSet<PathBuf> = keys.iter().map(|&key| self.path(key)).collect();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_entry = name.strip_suffix(SUFFIX).is_some_and(is_key);
            let old = || -> io::Result<bool> {
                let age = SystemTime::now().duration_since(entry.metadata()?.modified()?);
                Ok(age.is_ok_and(|age| age > WRITING_AT_MOST))
            };
            let abandoned = name.starts_with(UNFINISHED) && old().unwrap_or(false);
            if abandoned || is_entry && !keep.contains(&path) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => (),
                }
            }
        }
        Ok(())
    }

    fn path(&self, Key(key): Key) -> PathBuf {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name + SUFFIX)
    }
}

impl Key {
    /// Reads every byte of the files.
    pub(super) fn of(files: &ScanFiles, choice: SliceChoice) -> io::Result<Self> {
        let mut contents = files
            .paths()
            .iter()
            .map(|path| hash_of_file(path))
            .collect::<io::Result<Vec<_>>>()?;
        contents.sort_unstable();
        let mut key = Context::new(&SHA256);
        key.update(b"myelin prepared slices");
        key.update(&PREPARATION.to_le_bytes());
        key.update(match files {
            ScanFiles::Nifti(_) => &[0],
            ScanFiles::Dicom(_) => &[1],
        });
        match choice {
            SliceChoice::All { drop_empty } => key.update(&[0, drop_empty.into()]),
            SliceChoice::Evenly { count, from, to } => {
                key.update(&[1]);
                key.update(&(count as u64).to_le_bytes());
                key.update(&from.to_le_bytes());
                key.update(&to.to_le_bytes());
            }
        }
        for content in &contents {
            key.update(content);
        }
        Ok(Self(finish(key)))
    }
}

fn hash_of_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(finish(hash)),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

fn finish(hash: Context) -> [u8; 32] {
    let digest = hash.finish();
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn write_entry(target: &mut impl Write, Key(key): Key, prepared: &Prepared) -> io::Result<()> {
    let mut hash = Context::new(&SHA256);
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        target.write_all(bytes)
    };
    let Placement {
        stated,
        permuted,
        disputed,
        tilt_degrees,
    } = prepared.placement;
    put(MAGIC)?;
    put(&key)?;
    put(&[stated.into(), permuted.into(), disputed.into()])?;
    put(&tilt_degrees.to_le_bytes())?;
    let count = u32::try_from(prepared.slices.len()).map_err(io::Error::other)?;
    put(&count.to_le_bytes())?;
    let mut pixels = Vec::with_capacity(PIXEL_BYTES as usize);
    for slice in &prepared.slices {
        put(&slice.axial_index.to_le_bytes())?;
        pixels.clear();
        pixels.extend(slice.pixels.iter().flat_map(|pixel| pixel.to_le_bytes()));
        put(&pixels)?;
    }
    target.write_all(&finish(hash))
}

/// `None` if it is not what was written. No more is allocated than the file is long.
fn read_entry(file: File, key: Key) -> io::Result<Option<Prepared>> {
    let length = file.metadata()?.len();
    let mut source = BufReader::new(file);
    let mut hash = Context::new(&SHA256);
    let mut head = [0; HEAD_BYTES];
    source.read_exact(&mut head)?;
    hash.update(&head);
    let (magic, rest) = head.split_at(MAGIC.len());
    let (own_key, rest) = rest.split_at(key.0.len());
    let [stated, permuted, disputed, numbers @ ..] = rest else {
        return Ok(None);
    };
    let Some((tilt, count)) = numbers.split_first_chunk() else {
        return Ok(None);
    };
    let Ok(count) = count.try_into().map(u32::from_le_bytes) else {
        return Ok(None);
    };
    let slice_bytes = size_of::<u32>() as u64 + PIXEL_BYTES;
    let expected = HEAD_BYTES as u64 + u64::from(count) * slice_bytes + size_of::<Key>() as u64;
    if magic != MAGIC || own_key != key.0 || length != expected {
        return Ok(None);
    }
    let mut slices = vec![];
    let mut bytes = vec![0; slice_bytes as usize];
    for _ in 0..count {
        source.read_exact(&mut bytes)?;
        hash.update(&bytes);
        let (words, _) = bytes.as_chunks();
        let Some((&index, pixels)) = words.split_first() else {
            return Ok(None);
        };
        slices.push(Slice {
            axial_index: u32::from_le_bytes(index),
            pixels: pixels
                .iter()
                .map(|&pixel| f32::from_le_bytes(pixel))
                .collect(),
        });
    }
    let mut checksum = [0; 32];
    source.read_exact(&mut checksum)?;
    let prepared = Prepared {
        slices,
        placement: Placement {
            stated: *stated != 0,
            permuted: *permuted != 0,
            disputed: *disputed != 0,
            tilt_degrees: f64::from_le_bytes(*tilt),
        },
    };
    Ok((finish(hash) == checksum).then_some(prepared))
}

fn is_key(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const MAGIC: &[u8] = b"MYSLICES";
/// Magic, key, placement, number of slices.
const HEAD_BYTES: usize = 8 + 32 + 11 + 4;
const SUFFIX: &str = ".slices";
const UNFINISHED: &str = ".unfinished-";
/// What is older has been abandoned.
const WRITING_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);

    fn prepared() -> Prepared {
        let slice = |axial_index: u32| Slice {
            axial_index,
            pixels: (0..IMAGE_SIDE * IMAGE_SIDE)
                .map(|pixel| (pixel as f32).sin() * axial_index as f32)
                .collect(),
        };
        Prepared {
            slices: vec![slice(3), slice(5)],
            placement: Placement {
                stated: true,
                permuted: false,
                disputed: true,
                tilt_degrees: 12.5,
            },
        }
    }

    fn cache() -> (tempfile::TempDir, SliceCache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = SliceCache::open(&folder.path().join("a/b")).expect("made");
        (folder, cache)
    }

    #[test]
    fn what_was_stored_is_found_and_nothing_else() {
        let (_folder, cache) = cache();
        assert_eq!(cache.find(KEY), Lookup::Absent);
        cache.store(KEY, &prepared()).expect("stored");
        assert_eq!(cache.find(KEY), Lookup::Whole(prepared()));
        assert_eq!(cache.find(Key([8; 32])), Lookup::Absent);
        let other = Prepared {
            slices: vec![],
            ..prepared()
        };
        cache.store(KEY, &other).expect("stored");
        assert_eq!(cache.find(KEY), Lookup::Whole(other), "replaced");
    }

    #[test]
    fn every_kind_of_damage_is_noticed() {
        let (_folder, cache) = cache();
        cache.store(KEY, &prepared()).expect("stored");
        let whole = fs::read(cache.path(KEY)).expect("there");
        let is_damaged = |bytes: &[u8]| {
            fs::write(cache.path(KEY), bytes).expect("written");
            assert_eq!(cache.find(KEY), Lookup::Damaged);
        };
        for length in [0, 7, HEAD_BYTES, whole.len() / 2, whole.len() - 1] {
            is_damaged(&whole[..length]);
        }
        is_damaged(&[whole.as_slice(), b"more"].concat());
        for place in [0, 8, 40, 45, 50, 53, 54, 70_000, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            is_damaged(&flipped);
        }
        fs::write(cache.path(Key([9; 32])), &whole).expect("written");
        assert_eq!(cache.find(Key([9; 32])), Lookup::Damaged, "of another key");
    }

    #[cfg(unix)]
    #[test]
    fn entries_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, cache) = cache();
        cache.store(KEY, &prepared()).expect("stored");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&cache.path(KEY)), 0o600);
        assert_eq!(mode(&cache.folder), 0o700);
    }

    #[test]
    fn only_entries_of_ours_are_removed() {
        let (_folder, cache) = cache();
        for key in [1, 2, 3] {
            cache.store(Key([key; 32]), &prepared()).expect("stored");
        }
        let unfinished = cache.folder.join(".unfinished-now");
        for name in ["notes.txt", "short.slices", ".unfinished-now"] {
            fs::write(cache.folder.join(name), "").expect("written");
        }
        let abandoned = cache.folder.join(".unfinished-old");
        let file = File::create(&abandoned).expect("made");
        file.set_modified(SystemTime::now() - 2 * WRITING_AT_MOST)
            .expect("set");
        cache
            .keep_only(&BTreeSet::from([Key([2; 32])]))
            .expect("removed");
        let found = |key| cache.find(Key([key; 32]));
        assert_eq!((found(1), found(3)), (Lookup::Absent, Lookup::Absent));
        assert_eq!(found(2), Lookup::Whole(prepared()));
        assert!(cache.folder.join("notes.txt").exists());
        assert!(cache.folder.join("short.slices").exists());
        assert!(unfinished.exists() && !abandoned.exists());
    }

    #[test]
    fn the_key_follows_the_bytes_and_the_choice_and_not_the_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            path
        };
        let all = SliceChoice::All { drop_empty: true };
        let key = |files: &ScanFiles, choice| Key::of(files, choice).expect("readable");
        let (one, two) = (file("one", b"bytes"), file("two", b"Bytes"));
        let scan = ScanFiles::Nifti(one.clone());
        let first = key(&scan, all);
        assert_eq!(first, key(&ScanFiles::Nifti(file("copy", b"bytes")), all));
        assert_ne!(first, key(&ScanFiles::Nifti(two.clone()), all));
        assert_ne!(first, key(&scan, SliceChoice::All { drop_empty: false }));
        assert_ne!(first, key(&scan, SliceChoice::evenly(2)));
        assert_ne!(
            key(&scan, SliceChoice::evenly(2)),
            key(&scan, SliceChoice::evenly(3))
        );
        let series = |files| key(&ScanFiles::Dicom(files), all);
        assert_eq!(
            series(vec![one.clone(), two.clone()]),
            series(vec![two, one.clone()])
        );
        assert_ne!(series(vec![one.clone()]), first);
        assert!(Key::of(&ScanFiles::Nifti(folder.path().join("none")), all).is_err());
    }
}
