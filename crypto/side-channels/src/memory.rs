//! That erased secrets are erased: this process searches its own memory for them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use zeroize::Zeroizing;

/// Bytes to search for, kept in a form in which the search does not find them.
pub struct Needle {
    masked: Zeroizing<Vec<u8>>,
}

impl Needle {
    /// From words as they lie in memory. Made of too few or of regular ones, it would be found by chance.
    ///
    /// # Panics
    /// Unless they are 16 to 4096 bytes; so do the others.
    pub fn from_words(words: impl Iterator<Item = u64>) -> Self {
        Self::from_masked(words.flat_map(|word| (word ^ WORD_MASK).to_le_bytes()))
    }

    /// From 64-bit floating-point numbers.
    pub fn from_reals(reals: impl Iterator<Item = f64>) -> Self {
        Self::from_words(reals.map(f64::to_bits))
    }

    /// From bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_masked(bytes.iter().map(|byte| byte ^ BYTE_MASK))
    }

    fn from_masked(masked: impl Iterator<Item = u8>) -> Self {
        let mut needle = Zeroizing::new(Vec::with_capacity(4096));
        needle.extend(masked);
        assert!((16..=4096).contains(&needle.len()));
        Self { masked: needle }
    }

    /// How often the bytes lie in the memory of this process.
    pub fn occurrences(&self) -> usize {
        let memory = File::open("/proc/self/mem").expect("a process may read its own memory");
        let mut window = vec![0; WINDOW + self.masked.len()];
        let own = window.as_ptr() as u64..window.as_ptr() as u64 + window.len() as u64;
        let mut found = 0;
        for region in writable_regions() {
            // What is read would lie in the window once more.
            let before = region.start..region.end.min(own.start);
            let behind = region.start.max(own.end)..region.end;
            let parts = if own.start < region.end && region.start < own.end {
                vec![before, behind]
            } else {
                vec![region]
            };
            for part in parts {
                found += self.occurrences_within(part, &memory, &mut window);
            }
        }
        window.fill(0);
        std::hint::black_box(&window);
        found
    }

    fn occurrences_within(
        &self,
        part: std::ops::Range<u64>,
        memory: &File,
        window: &mut [u8],
    ) -> usize {
        let overlap = self.masked.len() as u64 - 1;
        let mut found = 0;
        let mut start = part.start;
        while start < part.end {
            let length = (part.end - start).min(WINDOW as u64 + overlap) as usize;
            // Another thread may have given the region back since.
            let Ok(()) = memory.read_exact_at(&mut window[..length], start) else {
                break;
            };
            found += self.occurrences_in(&window[..length]);
            start += WINDOW as u64;
        }
        found
    }

    fn occurrences_in(&self, haystack: &[u8]) -> usize {
        let unmasked = |byte: u8| byte ^ BYTE_MASK;
        let first = unmasked(self.masked[0]);
        let places = haystack.windows(self.masked.len());
        places
            .filter(|place| {
                place[0] == first
                    && place
                        .iter()
                        .zip(&*self.masked)
                        .all(|(a, b)| *a == unmasked(*b))
            })
            .count()
    }
}

/// Heap, stacks and statics.
fn writable_regions() -> Vec<std::ops::Range<u64>> {
    let maps = fs::read_to_string("/proc/self/maps").expect("a process may see its own memory");
    let regions = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        rest.starts_with("rw")
            .then_some(address(start)?..address(end)?)
    });
    regions.collect()
}

const WINDOW: usize = 1 << 20;
const BYTE_MASK: u8 = 0xa5;
const WORD_MASK: u64 = u64::from_le_bytes([BYTE_MASK; 8]);

#[test]
fn what_lies_in_memory_is_found_until_it_is_overwritten() {
    let words = || (1..=16_u64).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let needle = Needle::from_words(words());
    assert_eq!(needle.occurrences(), 0);
    let mut secret = words().collect::<Vec<_>>();
    assert_eq!(needle.occurrences(), 1);
    secret.fill(0);
    std::hint::black_box(&secret);
    assert_eq!(needle.occurrences(), 0);
}
