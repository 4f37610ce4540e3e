//! A slice flipped, rotated and shifted.

use rand::{Rng, RngExt};

use model_data::{IMAGE_SIDE, standardise};

/// Largest rotation, either way, in degrees.
pub const MAX_DEGREES: f64 = 20.0;
/// Largest shift along each axis, either way, as a share of the image's side.
pub const MAX_SHIFT: f64 = 0.1;

/// A flip, then a rotation about the image's centre, then a shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// Clockwise as one looks at the image.
    pub degrees: f64,
    /// To the right and downwards, in pixels.
    pub shift_pixels: [f64; 2],
}

impl Transform {
    /// One of those the study uses: flipped or not, with up to [`MAX_DEGREES`] and
    /// [`MAX_SHIFT`], all equally likely.
    pub fn random(rng: &mut impl Rng) -> Self {
        let most = MAX_SHIFT * IMAGE_SIDE as f64;
        Self {
            flip: rng.random(),
            degrees: rng.random_range(-MAX_DEGREES..=MAX_DEGREES),
            shift_pixels: [(); 2].map(|()| rng.random_range(-most..=most)),
        }
    }

    /// The transformed image, with mean 0 and variance 1 again: both move a little, since some of
    /// the image leaves the frame and the rest is interpolated, and the network is promised them.
    ///
    /// `pixels` are 128 x 128.
    pub(super) fn of(&self, pixels: &[f32]) -> Vec<f32> {
        let mut image = self.resampled(pixels, background(pixels));
        standardise(&mut image);
        image
    }

    /// Bilinear between pixels; everything outside of the image is `background`.
    pub(super) fn resampled(&self, pixels: &[f32], background: f32) -> Vec<f32> {
        let centre = (IMAGE_SIDE - 1) as f64 / 2.0;
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let [right, down] = self.shift_pixels;
        let pixel = |row: i64, column: i64| {
            let inside = |place: i64| usize::try_from(place).ok().filter(|&at| at < IMAGE_SIDE);
            match (inside(row), inside(column)) {
                (Some(row), Some(column)) => pixels[row * IMAGE_SIDE + column],
                _ => background,
            }
        };
        // From the place of a new pixel back to where it was.
        let value = |place: usize| {
            let x = (place % IMAGE_SIDE) as f64 - centre - right;
            let y = (place / IMAGE_SIDE) as f64 - centre - down;
            let turned = cosine * x + sine * y;
            let column = centre + if self.flip { -turned } else { turned };
            let row = centre + cosine * y - sine * x;
            let (left, top) = (column.floor(), row.floor());
            let (across, below) = ((column - left) as f32, (row - top) as f32);
            let (left, top) = (left as i64, top as i64);
            let between =
                |row: i64| pixel(row, left) * (1.0 - across) + pixel(row, left + 1) * across;
            between(top) * (1.0 - below) + between(top + 1) * below
        };
        (0..pixels.len()).map(value).collect()
    }
}

/// What lies around the head: the median of the image's outermost pixels.
///
/// Air is dark but not 0 once a slice has zero mean, nor is it the minimum where there is noise.
fn background(pixels: &[f32]) -> f32 {
    let last = IMAGE_SIDE - 1;
    let on_edge = |place: usize| {
        [place / IMAGE_SIDE, place % IMAGE_SIDE]
            .iter()
            .any(|&at| at == 0 || at == last)
    };
    let edge = pixels
        .iter()
        .enumerate()
        .filter(|(place, _)| on_edge(*place));
    let mut edge: Vec<f32> = edge.map(|(_, &pixel)| pixel).collect();
    let middle = edge.len() / 2;
    let (_, median, _) = edge.select_nth_unstable_by(middle, f32::total_cmp);
    *median
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    /// A disc of tissue, brighter to one side, in air of -0.5.
    fn head() -> Vec<f32> {
        let pixel = |place: usize| {
            let (x, y) = (place % IMAGE_SIDE, place / IMAGE_SIDE);
            let distance = (x as f32 - 63.5).hypot(y as f32 - 63.5);
            if distance < 45.0 {
                x as f32 / 64.0
            } else {
                -0.5
            }
        };
        (0..IMAGE_SIDE * IMAGE_SIDE).map(pixel).collect()
    }

    fn transform(flip: bool, degrees: f64, shift_pixels: [f64; 2]) -> Transform {
        Transform {
            flip,
            degrees,
            shift_pixels,
        }
    }

    #[test]
    fn whole_steps_move_pixels_and_nothing_is_the_image_itself() {
        let head = head();
        assert_eq!(transform(false, 0.0, [0.0; 2]).resampled(&head, 9.0), head);
        let shifted = transform(false, 0.0, [3.0, -2.0]).resampled(&head, 9.0);
        assert_eq!(shifted[40 * IMAGE_SIDE + 50], head[42 * IMAGE_SIDE + 47]);
        assert_eq!(shifted[40 * IMAGE_SIDE + 2], 9.0, "from outside");
        let flipped = transform(true, 0.0, [0.0; 2]).resampled(&head, 9.0);
        for (row, mirrored) in head.chunks(IMAGE_SIDE).zip(flipped.chunks(IMAGE_SIDE)) {
            assert!(row.iter().eq(mirrored.iter().rev()));
        }
    }

    #[test]
    fn what_comes_in_from_outside_is_air_also_where_a_head_touches_the_edge() {
        let mut head = head();
        head[60 * IMAGE_SIDE..70 * IMAGE_SIDE].fill(2.0);
        assert_eq!(background(&head), -0.5);
        let far = transform(false, 20.0, [12.8, 12.8]).resampled(&head, background(&head));
        assert_eq!(far[0], -0.5);
    }

    #[test]
    fn transformed_slices_have_zero_mean_and_unit_variance() {
        let image = transform(true, 11.0, [7.5, -4.25]).of(&head());
        let mean = image.iter().sum::<f32>() / image.len() as f32;
        let variance = image.iter().map(|pixel| pixel * pixel).sum::<f32>() / image.len() as f32;
        assert!(
            mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3,
            "{mean} {variance}"
        );
        let nothing = vec![0.0; IMAGE_SIDE * IMAGE_SIDE];
        assert_eq!(transform(false, 3.0, [1.0; 2]).of(&nothing), nothing);
    }

    #[test]
    fn random_transforms_fill_their_ranges_and_stay_in_them() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let drawn: Vec<Transform> = (0..2000).map(|_| Transform::random(&mut rng)).collect();
        let flips = drawn.iter().filter(|one| one.flip).count();
        assert!((900..1100).contains(&flips));
        let spans = |of: fn(&Transform) -> f64, most: f64| {
            let (low, high) = drawn
                .iter()
                .map(of)
                .fold((0.0_f64, 0.0_f64), |(low, high), value| {
                    (low.min(value), high.max(value))
                });
            assert!(-most <= low && low < -0.98 * most, "{low}");
            assert!(0.98 * most < high && high <= most, "{high}");
        };
        spans(|one| one.degrees, 20.0);
        spans(|one| one.shift_pixels[0], 12.8);
        spans(|one| one.shift_pixels[1], 12.8);
    }
}
