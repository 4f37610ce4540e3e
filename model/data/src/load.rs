//! From a data folder to a cohort: the layout is recognised, its scans are read and cut into slices.
//!
//! ```text
//! Layout ──> Inventory ──> every scan, on all threads: hash ──> cache ──────────────┬──> Cohort
//!                                                        └─> read, cut, into cache ─┘
//! ```
//!
//! A participant lists and its trainer reads: [`Inventory`](super::Inventory) and [`read_scans`] are the two halves.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use protocol::{
    codec::Text,
    training_job::{FilePath, ReadingAccount, UnreadableScan},
};
use rayon::prelude::*;

use super::{
    CacheChoice, Cohort, DataError, Entry, Layout, LoadOptions, Patient, ReadEntry, ScanError,
    ScanFiles, Slice, SliceChoice, axial_slices,
    cache::{Key, Lookup, PIXEL_BYTES, Prepared, SliceCache},
    memory::{Exceeded, MemoryBudget},
};

/// How far the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// Scans read, or found to be unusable.
    pub done: usize,
    /// Scans in all.
    pub scans: usize,
}

/// Reads the cohort in a folder of any [`Layout`].
///
/// Scans are read on all threads of the current rayon pool; the cohort is the same at any number
/// of them. Bad files, bad rows, rows without images and images without a row are left out and
/// counted in the report, unless `options.strict`. `progress` is called before the first scan and
/// after each, from whichever thread read it.
///
/// # Errors
/// No folder, no layout known here, no table, a table that cannot be read or has no ID or EDSS
/// column, more memory than `options` allow, nobody left; in strict mode, whatever is left out
/// first.
pub fn load_cohort(
    root: &Path,
    options: &LoadOptions,
    progress: impl Fn(LoadProgress) + Sync,
) -> Result<Cohort, DataError> {
    let inventory = Layout::recognise(root)?.inventory(root, options)?;
    let files = |entry: &Entry| entry.scans.iter().map(|scan| scan.files.clone()).collect();
    let listed: Vec<Vec<ScanFiles>> = inventory.entries.iter().map(files).collect();
    let Reading { slices, account } = read_scans(&listed, &options.reading(), progress)?;
    let (read, report) = inventory.complete(account, root, options.strict)?;
    let slices = slices.into_iter().filter(|slices| !slices.is_empty());
    let mut patients = Vec::with_capacity(read.len());
    let mut scans = Vec::with_capacity(read.len());
    for (ReadEntry { entry, .. }, slices) in read.into_iter().zip(slices) {
        patients.push(Patient {
            edss: entry.score()?,
            id: entry.id,
            features: entry.features,
            slices,
        });
        scans.push(entry.scans);
    }
    Ok(Cohort {
        patients,
        scans,
        report,
    })
}

/// How scans are read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadOptions {
    /// Which slices of a scan.
    pub slices: SliceChoice,
    /// Most memory for scans on their way and for the slices that stay.
    pub memory_limit_mib: u64,
    /// Where prepared slices are kept for the next time, if anywhere.
    pub cache: Option<CacheChoice>,
}

/// What reading has given.
#[derive(Debug)]
pub struct Reading {
    /// The slices of each patient, in the order of the list, those of its scans one after another; none where no scan could be
    /// used.
    pub slices: Vec<Vec<Slice>>,
    /// Counts and names.
    pub account: ReadingAccount,
}

/// Reads and cuts the scans of every patient in a list, on all threads of the current rayon pool; the result is the same at any
/// number of them. A scan that cannot be used is named in the account. `progress` is as in [`load_cohort`].
///
/// # Errors
/// More memory than `options` allow.
pub fn read_scans(
    patients: &[Vec<ScanFiles>],
    options: &ReadOptions,
    progress: impl Fn(LoadProgress) + Sync,
) -> Result<Reading, DataError> {
    let mut account = ReadingAccount::default();
    let mut warnings = vec![];
    let cache = options.cache.as_ref().and_then(|choice| {
        let opened = SliceCache::open(&choice.folder);
        let warning = |error| warnings.push(unusable_cache(&choice.folder, error));
        opened.map_err(warning).ok()
    });
    let sources: Vec<&ScanFiles> = patients.iter().flatten().collect();
    let read = |_, files: &ScanFiles| prepare(files, options.slices, cache.as_ref());
    let kept = |reading: &ScanReading| match &reading.prepared {
        Ok(prepared) => prepared.slices.len() as u64 * PIXEL_BYTES,
        Err(_) => 0,
    };
    let readings = read_all(&sources, options, progress, read, kept)?;
    if let (Some(cache), Some(choice)) = (&cache, &options.cache) {
        settle(&readings, cache, choice, &mut account, &mut warnings);
    }
    let mut readings = readings.into_iter();
    let mut slices = Vec::with_capacity(patients.len());
    for scans in patients {
        let mut of_patient = vec![];
        for (files, reading) in scans.iter().zip(readings.by_ref()) {
            match reading.prepared {
                Ok(prepared) => {
                    if !prepared.placement.stated {
                        warnings.push(format!(
                            "{}: does not state its orientation, taken as right, front, head",
                            files.path().display()
                        ));
                    }
                    if prepared.placement.disputed {
                        let path = files.path();
                        warnings.push(format!("{}: {DISPUTED}", path.display()));
                    }
                    of_patient.extend(prepared.slices);
                }
                Err(error) => account.unreadable.0.push(UnreadableScan {
                    path: FilePath(files.path()),
                    reason: Text(error.to_string()),
                }),
            }
        }
        slices.push(of_patient);
    }
    let counts = slices.iter().map(|slices| count(slices.len()));
    account.slices = counts.collect();
    account.warnings = warnings.into_iter().map(Text).collect();
    Ok(Reading { slices, account })
}

/// Slices and scans are held in memory, so there are fewer than 2^32 of them.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Applies `read` to every scan and its place on all threads, within the memory that `options` allow; results in
/// the order of `sources`. `kept` is how many bytes of a result stay until the end.
pub(super) fn read_all<T: Send>(
    sources: &[&ScanFiles],
    options: &ReadOptions,
    progress: impl Fn(LoadProgress) + Sync,
    read: impl Fn(usize, &ScanFiles) -> T + Sync,
    kept: impl Fn(&T) -> u64 + Sync,
) -> Result<Vec<T>, DataError> {
    let limit = options.memory_limit_mib.saturating_mul(MIB);
    let needs: Vec<u64> = sources
        .par_iter()
        .map(|files| bytes_to_read(files, options.slices))
        .collect();
    let largest = needs.iter().copied().max().unwrap_or(0);
    if largest > limit
        && let Some((files, _)) = sources
            .iter()
            .zip(&needs)
            .find(|(_, need)| **need == largest)
    {
        return Err(DataError::LargeScan {
            path: files.path(),
            needed_mib: largest.div_ceil(MIB),
            limit_mib: options.memory_limit_mib,
        });
    }
    let budget = MemoryBudget::new(limit, largest);
    let done = AtomicUsize::new(0);
    let scans = sources.len();
    progress(LoadProgress { done: 0, scans });
    let numbered = sources.par_iter().zip(&needs).enumerate();
    let results = numbered.map(|(place, (files, &need))| {
        let room = budget.reserve(need)?;
        let result = read(place, files);
        room.keep(kept(&result))?;
        let done = 1 + done.fetch_add(1, Ordering::Relaxed);
        progress(LoadProgress { done, scans });
        Ok(result)
    });
    results
        .collect::<Result<_, Exceeded>>()
        .map_err(|Exceeded| DataError::Memory {
            scans,
            limit_mib: options.memory_limit_mib,
        })
}

/// What reading a scan takes at most, its slices included. Nothing if its header cannot be read,
/// as then nothing else will be.
fn bytes_to_read(files: &ScanFiles, choice: SliceChoice) -> u64 {
    let Ok(extent) = files.extent() else { return 0 };
    let slices = match choice {
        SliceChoice::All { .. } => extent.planes,
        SliceChoice::Evenly { count, .. } => extent.planes.min(count as u64),
    };
    // A growing buffer of the file's numbers (up to twice their size), the same typed, and f32.
    // Later there are three copies as f32 at most, which is less.
    let volume = extent.voxels * (3 * extent.bytes_per_voxel + size_of::<f32>() as u64);
    volume + slices * PIXEL_BYTES
}

/// A scan's slices, and how they were come by.
struct ScanReading {
    prepared: Result<Prepared, ScanError>,
    key: Option<Key>,
    origin: Origin,
}

enum Origin {
    /// Not looked for in a cache, or not there.
    Files,
    Cache,
    /// From the files, as the cache's entry was damaged.
    Damaged,
    /// From the files, and the cache cannot keep it.
    NotKept(std::io::Error),
}

fn prepare(files: &ScanFiles, choice: SliceChoice, cache: Option<&SliceCache>) -> ScanReading {
    let key = cache.and_then(|_| Key::of(files, choice).ok());
    let mut origin = Origin::Files;
    if let (Some(cache), Some(key)) = (cache, key) {
        match cache.find(key) {
            Lookup::Whole(prepared) => {
                return ScanReading {
                    prepared: Ok(prepared),
                    key: Some(key),
                    origin: Origin::Cache,
                };
            }
            Lookup::Damaged => origin = Origin::Damaged,
            Lookup::Absent => (),
        }
    }
    let prepared = files.read().and_then(|scan| {
        Ok(Prepared {
            slices: axial_slices(&scan.volume, choice)?,
            placement: scan.placement,
        })
    });
    if let (Some(cache), Some(key), Ok(prepared)) = (cache, key, &prepared)
        // A file that was changed between hashing and reading must not go by its former name.
        && Key::of(files, choice).is_ok_and(|again| again == key)
        && let Err(error) = cache.store(key, prepared)
    {
        origin = Origin::NotKept(error);
    }
    ScanReading {
        prepared,
        key,
        origin,
    }
}

/// Counts what came from the cache, warns once of what it would not take, and lets go of the rest.
fn settle(
    readings: &[ScanReading],
    cache: &SliceCache,
    choice: &CacheChoice,
    account: &mut ReadingAccount,
    warnings: &mut Vec<String>,
) {
    let mut failure = None;
    for reading in readings {
        match &reading.origin {
            Origin::Files => (),
            Origin::Cache => account.cached += 1,
            Origin::Damaged => account.damaged_cache_entries += 1,
            Origin::NotKept(error) => failure = failure.or(Some(error.to_string())),
        }
    }
    if choice.forget_others {
        let keys: BTreeSet<Key> = readings.iter().filter_map(|reading| reading.key).collect();
        if let Err(error) = cache.keep_only(&keys) {
            failure = failure.or(Some(error.to_string()));
        }
    }
    if let Some(reason) = failure {
        warnings.push(unusable_cache(&choice.folder, reason));
    }
}

fn unusable_cache(folder: &Path, reason: impl std::fmt::Display) -> String {
    format!(
        "the cache of prepared slices {} cannot be written, so scans are prepared again each time: {reason}",
        folder.display()
    )
}

/// What is said of a scan whose sides are not known.
pub(super) const DISPUTED: &str = "its sform and its qform disagree on how it lies in the patient, so which side is left is not known; the sform is \
                                   taken: find out which is right, and make the other equal";
const MIB: u64 = 1 << 20;
