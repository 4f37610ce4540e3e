//! Area under the receiver operating characteristic.

/// The probability that a positive sample scores higher than a negative one, ties counting half
/// (Mann and Whitney). `None` without a positive or without a negative sample.
///
/// `samples` are pairs of (score, is positive); scores must not be NaN.
pub fn auroc(samples: impl IntoIterator<Item = (f32, bool)>) -> Option<f64> {
    let mut samples: Vec<(f32, bool)> = samples.into_iter().collect();
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = samples.iter().filter(|(_, positive)| *positive).count();
    let negatives = samples.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut below = 0.0;
    let mut wins = 0.0;
    for tied in samples.chunk_by(|a, b| a.0 == b.0) {
        let positive = tied.iter().filter(|(_, positive)| *positive).count() as f64;
        let negative = tied.len() as f64 - positive;
        wins += positive * (below + negative / 2.0);
        below += negative;
    }
    Some(wins / (positives as f64 * negatives as f64))
}
