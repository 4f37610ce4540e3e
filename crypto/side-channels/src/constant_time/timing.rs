use std::time::Instant;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{LEAKS, Operation, Secret, measured};

/// The times that operations take on the processor at hand, compared between two kinds of secrets, as in Reparaz,
/// Balasch and Verbauwhede, "Dude, is my code constant time?", DATE 2017.
///
/// |t| above 4.5 would be evidence of a leak on a quiet machine. On a shared one twice as much happens by itself, so
/// the limit is above that; the operations that leak on purpose are far beyond. The table goes to stderr.
///
/// # Panics
/// If an operation is beyond the limit, or a leak on purpose is not.
pub fn assert_times_agree(operations: &[&[Operation]]) {
    let mut too_large = vec![];
    for (operation, leaks) in (operations.iter().copied().flatten())
        .map(|operation| (operation, false))
        .chain(LEAKS.iter().map(|leak| (leak, true)))
    {
        let t = [Secret::Zeros, Secret::Large].map(|fixed| t_value(operation, fixed));
        let largest = t.into_iter().map(f64::abs).fold(0.0, f64::max);
        eprintln!(
            "{:60} t = {:7.2} (zeros), {:7.2} (large)",
            operation.name, t[0], t[1]
        );
        if leaks != (largest > LARGEST_T) {
            too_large.push(operation.name);
        }
    }
    assert!(too_large.is_empty(), "not as expected: {too_large:?}");
}

/// Welch's t of the times with a fixed secret against those with one without a pattern.
fn t_value(operation: &Operation, fixed: Secret) -> f64 {
    let mut coins = StdRng::seed_from_u64(0);
    let mut times: [Vec<f64>; 2] = [vec![], vec![]];
    // In random order, so that whatever else the machine does falls on both alike.
    for _ in 0..WARM_UP + MEASUREMENTS {
        let is_fixed = coins.random::<bool>();
        let secret = if is_fixed { fixed } else { Secret::Mixed };
        // Prepared anew, the one gets the memory that the other has just given back.
        let mut work = (operation.prepare)(secret);
        let start = Instant::now();
        measured(&mut *work);
        times[usize::from(is_fixed)].push(start.elapsed().as_nanos() as f64);
    }
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    // The slowest tell of interruptions, not of the operation.
    let limit = all[all.len() * 9 / 10];
    let [mixed, fixed] = times.map(|times| {
        let kept: Vec<f64> = (times.into_iter().skip(WARM_UP / 4))
            .filter(|time| *time <= limit)
            .collect();
        Moments::of(&kept)
    });
    (fixed.mean - mixed.mean) / (fixed.variance_of_mean + mixed.variance_of_mean).sqrt()
}

struct Moments {
    mean: f64,
    variance_of_mean: f64,
}

impl Moments {
    fn of(sample: &[f64]) -> Self {
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let squares: f64 = sample.iter().map(|x| (x - mean).powi(2)).sum();
        Self {
            mean,
            variance_of_mean: squares / (count - 1.0) / count,
        }
    }
}

const WARM_UP: usize = 400;
const MEASUREMENTS: usize = 20_000;
const LARGEST_T: f64 = 10.0;
