/// Clip rule 1 (PROTOCOL 3.4): the clip of a tensor for the next sum, from its previous clip and the opened mean.
///
/// `max(previous / 4, 8 sqrt(contributors) RMS(mean), 2^-20)`: 8 standard deviations when the updates of
/// hospitals are uncorrelated. Every vault computes it alone and all must get the same bits, so the squares are
/// added one after another in the order of the values, and only correctly rounded operations are used.
///
/// ```
/// use crypto::sealed_sum::next_clip;
///
/// // Four contributors, and a mean of root mean square 0.25: 8 * 2 * 0.25.
/// assert_eq!(next_clip(1.0, 4, &[0.25, -0.25]), 4.0);
/// ```
pub fn next_clip(previous: f64, contributors: usize, mean_of_tensor: &[f64]) -> f64 {
    let mut squares = MeanSquares::default();
    squares.add(mean_of_tensor);
    squares.next_clip(previous, contributors)
}

/// What [`next_clip`] needs of a tensor's mean, when that comes in pieces.
///
/// ```
/// use crypto::sealed_sum::{MeanSquares, next_clip};
///
/// let mut squares = MeanSquares::default();
/// squares.add(&[0.1]);
/// squares.add(&[-0.7, 0.3]);
/// assert_eq!(squares.next_clip(1.0, 4), next_clip(1.0, 4, &[0.1, -0.7, 0.3]));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanSquares {
    sum: f64,
    count: usize,
}

impl MeanSquares {
    /// The next of the tensor's values, in their order.
    pub fn add(&mut self, means: &[f64]) {
        for value in means {
            self.sum += value * value;
        }
        self.count += means.len();
    }

    /// As [`next_clip`] of all that were added.
    pub fn next_clip(&self, previous: f64, contributors: usize) -> f64 {
        let root_mean_square = if self.count == 0 {
            0.0
        } else {
            (self.sum / self.count as f64).sqrt()
        };
        let spread = 8.0 * (contributors as f64).sqrt() * root_mean_square;
        (previous / 4.0).max(spread).max(LEAST_CLIP)
    }
}

/// 2^-20.
const LEAST_CLIP: f64 = 1.0 / 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::SecretKey32;
    use crate::ring::Prg;
    use crate::sealed_sum::{ClippedTensor, FieldFormat, SumShape, Weight, pack};

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

    /// Property 11: 100 hospitals with normal updates of standard deviation 1, 50 rounds of the sum as it is: the clip
    /// stays at 6 to 10 standard deviations, and hardly a value is cut off.
    #[test]
    fn clip_of_fifty_rounds_stays_at_eight_deviations_and_cuts_nothing_off() {
        const HOSPITALS: usize = 100;
        const VALUES: usize = 1000;
        let shape = SumShape::new(VALUES, &[1], FieldFormat::TwoBy24, HOSPITALS).expect("valid");
        let equal = Weight { own: 1, largest: 1 };
        let (mut clip, mut saturated) = (20.0, 0);
        for round in 0..50 {
            let mut mean = vec![0.0; VALUES];
            for hospital in 0..HOSPITALS as u64 {
                let update = normal_values(round * HOSPITALS as u64 + hospital, VALUES);
                let clips = [ClippedTensor {
                    values: VALUES,
                    clip,
                }];
                let (_, saturation) = pack(&shape, &update, &clips, equal, &[1]).expect("packs");
                saturated += saturation.values;
                for (mean, value) in mean.iter_mut().zip(update) {
                    *mean += value / HOSPITALS as f64;
                }
            }
            clip = next_clip(clip, HOSPITALS, &mean);
            assert!(
                (6.0..10.0).contains(&clip) || round == 0,
                "round {round}: {clip}"
            );
        }
        assert!(saturated < 5, "{saturated} of 5 million");
    }

    /// Normal numbers by Box and Muller.
    fn normal_values(stream: u64, count: usize) -> Vec<f64> {
        let mut bytes = vec![0; 8 * count];
        Prg::new(&SecretKey32::from_bytes([1; 32]), stream).fill(&mut bytes);
        let uniform =
            |bytes: &[u8; 4]| (f64::from(u32::from_le_bytes(*bytes)) + 0.5) / 2_f64.powi(32);
        let pairs = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| bytes.as_chunks::<4>().0);
        pairs
            .map(|pair| {
                let (radius, angle) = (uniform(&pair[0]), uniform(&pair[1]));
                (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
            })
            .collect()
    }
}
