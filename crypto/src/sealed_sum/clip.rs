/// Clip rule 1 (PROTOCOL 3.4): the clip of a tensor for the next sum, from its previous clip and the opened mean.
///
/// `max(previous / 4, 8 sqrt(contributors) RMS(mean), 2^-20)`: 8 standard deviations when the updates of
/// hospitals are uncorrelated. Every vault computes it alone and all must get the same bits, so the squares are
/// added one after another in the order of the values, and only correctly rounded operations are used.
pub fn next_clip(previous: f64, contributors: usize, mean_of_tensor: &[f64]) -> f64 {
    let mut sum_of_squares = 0.0;
    for value in mean_of_tensor {
        sum_of_squares += value * value;
    }
    let root_mean_square = if mean_of_tensor.is_empty() {
        0.0
    } else {
        (sum_of_squares / mean_of_tensor.len() as f64).sqrt()
    };
    let spread = 8.0 * (contributors as f64).sqrt() * root_mean_square;
    (previous / 4.0).max(spread).max(LEAST_CLIP)
}

/// 2^-20.
const LEAST_CLIP: f64 = 1.0 / 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_three_bounds_can_decide() {
        let mean = [3.0, -4.0, 0.0, 0.0];
        assert_eq!(next_clip(1.0, 4, &mean), 8.0 * 2.0 * 2.5);
        assert_eq!(next_clip(1000.0, 4, &mean), 250.0);
        assert_eq!(next_clip(0.0, 4, &[0.0; 3]), LEAST_CLIP);
        assert_eq!(next_clip(8.0, 4, &[]), 2.0);
    }

    #[test]
    fn zero_updates_stop_at_the_least_clip() {
        let last = (0..50).fold(1.0, |clip, _| next_clip(clip, 100, &[0.0; 4]));
        assert_eq!(last, LEAST_CLIP);
    }

    /// 100 hospitals with uncorrelated updates of standard deviation 1: the mean has 1/10 of it, and the clip
    /// stays at 8 (without the square root it would shrink tenfold a round).
    #[test]
    fn clip_does_not_collapse_with_many_uncorrelated_hospitals() {
        let mean: Vec<f64> = (0..1000)
            .map(|i| if i % 2 == 0 { 0.1 } else { -0.1 })
            .collect();
        let last = (0..50).fold(100.0, |clip, _| next_clip(clip, 100, &mean));
        assert!((last - 8.0).abs() < 1e-9, "{last}");
    }
}
