//! How alike two pictures, or two vectors, are.

use model_data::{IMAGE_SIDE, standardise};

/// Cosine of two vectors less a third; 0 where one of the two is that.
pub fn cosine_around(middle: &[f32], one: &[f32], other: &[f32]) -> f64 {
    let triples = middle.iter().zip(one).zip(other);
    cosine_of(triples.map(|((&middle, &one), &other)| {
        let middle = f64::from(middle);
        (f64::from(one) - middle, f64::from(other) - middle)
    }))
}

/// Cosine of the two vectors whose entries these are; 0 where one of them is zero.
pub fn cosine_of(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut along, mut one, mut other) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        along += x * y;
        one += x * x;
        other += y * y;
    }
    let length = (one * other).sqrt();
    if length > 0.0 { along / length } else { 0.0 }
}

/// The direction of a vector from a middle, of length 1; zeros where it is that middle.
pub fn direction(middle: &[f32], vector: &[f32]) -> Vec<f32> {
    let from_middle: Vec<f32> = vector.iter().zip(middle).map(|(a, b)| a - b).collect();
    let length = dot(&from_middle, &from_middle).sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return vec![0.0; vector.len()];
    }
    let scaled = from_middle.iter().map(|&value| f64::from(value) / length);
    scaled.map(|value| value as f32).collect()
}

/// The inner product: of two directions, their cosine. In an order of additions that a processor does several of at once.
pub fn dot(one: &[f32], other: &[f32]) -> f64 {
    const LANES: usize = 16;
    let ((one, rest), (other, other_rest)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (one, other) in one.iter().zip(other) {
        for (sum, (a, b)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += a * b;
        }
    }
    let rest = rest.iter().zip(other_rest).map(|(a, b)| a * b);
    sums.into_iter().chain(rest).map(f64::from).sum()
}

/// The mean of vectors of one length; empty of none.
pub fn mean_of<'a>(vectors: impl IntoIterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut sum: Vec<f64> = Vec::new();
    let mut count = 0.0;
    for vector in vectors {
        sum.resize(vector.len(), 0.0);
        count += 1.0;
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += f64::from(*value);
        }
    }
    sum.iter().map(|sum| (sum / count) as f32).collect()
}

/// A picture with mean 0 and variance 1, as slices are.
pub fn standardised(picture: &[f32]) -> Vec<f32> {
    let mut own = picture.to_vec();
    standardise(&mut own);
    own
}

/// Structural similarity of a picture with the true one (Wang et al. 2004), 1 for equal ones: the mean over windows of 7 x 7 pixels,
/// the range of brightness being that of the true one.
pub fn structural_similarity(picture: &[f32], truth: &[f32]) -> f64 {
    let lowest = truth.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = truth.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = f64::from(highest - lowest);
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let places = IMAGE_SIDE - WINDOW + 1;
    let mut sum = 0.0;
    for top in 0..places {
        for left in 0..places {
            let Moments {
                means: [x, y],
                variances: [xx, yy],
                covariance: xy,
            } = Moments::of(picture, truth, top, left);
            sum += (2.0 * x * y + c1) * (2.0 * xy + c2) / ((x * x + y * y + c1) * (xx + yy + c2));
        }
    }
    sum / (places * places) as f64
}

/// Of both pictures in one window.
struct Moments {
    means: [f64; 2],
    variances: [f64; 2],
    covariance: f64,
}

impl Moments {
    fn of(one: &[f32], other: &[f32], top: usize, left: usize) -> Self {
        let (mut x, mut y, mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for row in top..top + WINDOW {
            let begin = row * IMAGE_SIDE + left;
            let pixels = one[begin..begin + WINDOW]
                .iter()
                .zip(&other[begin..begin + WINDOW]);
            for (&a, &b) in pixels {
                let (a, b) = (f64::from(a), f64::from(b));
                x += a;
                y += b;
                xx += a * a;
                yy += b * b;
                xy += a * b;
            }
        }
        let count = (WINDOW * WINDOW) as f64;
        let (x, y) = (x / count, y / count);
        Self {
            means: [x, y],
            variances: [xx / count - x * x, yy / count - y * y],
            covariance: xy / count - x * y,
        }
    }
}

/// Side of a window.
const WINDOW: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let places = 0..IMAGE_SIDE * IMAGE_SIDE;
        places
            .map(|place| value(place / IMAGE_SIDE, place % IMAGE_SIDE))
            .collect()
    }

    fn waves() -> Vec<f32> {
        picture(|row, column| (row as f32 * 0.3).sin() + (column as f32 * 0.2).cos())
    }

    #[test]
    fn a_picture_is_like_itself_less_like_a_noisy_one_and_unlike_its_negative() {
        let truth = waves();
        assert!((structural_similarity(&truth, &truth) - 1.0).abs() < 1e-9);
        let grain =
            picture(|row, column| ((row * 7919 + column * 104_729) % 97) as f32 / 97.0 - 0.5);
        let noisy: Vec<f32> = truth.iter().zip(&grain).map(|(a, b)| a + b).collect();
        let like = structural_similarity(&noisy, &truth);
        assert!((0.1..0.9).contains(&like), "{like}");
        // As bright everywhere: what is bright beside its surroundings is dark.
        let bright: Vec<f32> = truth.iter().map(|value| value + 5.0).collect();
        let negative: Vec<f32> = truth.iter().map(|value| 5.0 - value).collect();
        assert!(structural_similarity(&negative, &bright) < 0.0);
    }

    #[test]
    fn of_flat_pictures_similarity_is_that_of_their_brightness() {
        let mut truth = vec![1.0_f32; IMAGE_SIDE * IMAGE_SIDE];
        // A range of 1, far from the first window of the flat rest.
        truth[IMAGE_SIDE * IMAGE_SIDE - 1] = 2.0;
        let twice = vec![2.0_f32; IMAGE_SIDE * IMAGE_SIDE];
        let moments = Moments::of(&twice, &truth, 0, 0);
        assert_eq!(
            (moments.means, moments.variances, moments.covariance),
            ([2.0, 1.0], [0.0, 0.0], 0.0)
        );
        // (2 x 2 x 1 + 0.0001) / (4 + 1 + 0.0001) in all windows but a few.
        let like = structural_similarity(&twice, &truth);
        assert!((like - 0.8).abs() < 0.001, "{like}");
    }

    #[test]
    fn a_cosine_around_a_middle_is_that_of_what_is_left_of_both() {
        assert!((cosine_around(&[1.0, 1.0], &[2.0, 1.0], &[1.0, 2.0])).abs() < 1e-12);
        assert!((cosine_around(&[1.0, 1.0], &[2.0, 1.0], &[3.0, 1.0]) - 1.0).abs() < 1e-12);
        assert_eq!(mean_of([&[1.0, 3.0][..], &[3.0, 5.0][..]]), [2.0, 4.0]);
    }

    #[test]
    fn the_inner_product_of_two_directions_is_the_cosine_around_their_middle() {
        let vector = |step: usize| -> Vec<f32> {
            (0..37).map(|place| ((place * step) % 11) as f32).collect()
        };
        let (middle, one, other) = (vector(2), vector(3), vector(7));
        let found = dot(&direction(&middle, &one), &direction(&middle, &other));
        let expected = cosine_around(&middle, &one, &other);
        assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        assert!(expected.abs() > 0.01);
        assert_eq!(direction(&middle, &middle), vec![0.0; 37]);
    }

    #[test]
    fn a_standardised_picture_has_mean_0_and_variance_1() {
        let plain = standardised(&waves());
        let count = plain.len() as f64;
        let mean: f64 = plain.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let square: f64 = plain
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
            / count;
        assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5);
    }
}
