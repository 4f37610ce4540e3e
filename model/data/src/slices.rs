//! Axial slices as the network takes them: 128 x 128, zero mean, unit variance.

use super::{SliceChoice, Volume};

/// Pixels along each edge of a slice.
pub const IMAGE_SIDE: usize = 128;

/// Foreground is brighter than this share of the volume's 99th percentile.
const FOREGROUND_LEVEL: f32 = 0.1;
/// A plane with a smaller share of foreground counts as empty.
const FOREGROUND_SHARE: f64 = 0.01;

/// One axial slice, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Height in the volume it was cut from, counted from the feet.
    pub axial_index: u32,
    /// [128 * 128], row by row. Row 0 is the front of the head, column 0 the patient's right
    /// (radiological convention). Zero mean and unit variance over the slice.
    pub pixels: Box<[f32]>,
}

/// Cuts a volume into axial slices.
///
/// A plane is fitted into a square of its own longer physical side, centred, without distortion
/// (the study says "resized to 128 x 128"; its images are square, so both readings agree there),
/// and resampled with a triangle filter that widens when the image shrinks: bilinear enlarging,
/// area-like reduction. Around the plane lies background: 0, or the volume's minimum where that
/// is above 0. Then mean 0, variance 1.
///
/// # Errors
/// No plane shows tissue, or the choice asks for none.
pub fn axial_slices(volume: &Volume, choice: SliceChoice) -> Result<Vec<Slice>, SliceError> {
    Ok(cut(volume, &chosen_planes(volume, choice)?))
}

/// The slices at these heights, as [`axial_slices`] prepares them.
pub(super) fn cut(volume: &Volume, planes: &[usize]) -> Vec<Slice> {
    let background = volume
        .voxels()
        .iter()
        .copied()
        .fold(f32::INFINITY, f32::min)
        .max(0.0);
    let [nx, ny, _] = volume.dims();
    let [column_places, row_places] = PixelPlaces::of(volume.dims(), volume.spacing_mm());
    let columns = Resampler::new(nx, column_places);
    let rows = Resampler::new(ny, row_places);
    planes
        .iter()
        .map(|&z| {
            let mut pixels = resize(volume.axial_plane(z), background, &columns, &rows);
            standardise(&mut pixels);
            Slice {
                axial_index: u32::try_from(z).expect("a volume has fewer than 2^32 planes"),
                pixels: pixels.into_boxed_slice(),
            }
        })
        .collect()
}

/// Heights of the planes that [`axial_slices`] would cut; at least one.
pub(super) fn chosen_planes(
    volume: &Volume,
    choice: SliceChoice,
) -> Result<Vec<usize>, SliceError> {
    let tissue = planes_with_tissue(volume);
    let planes: Vec<usize> = match choice {
        SliceChoice::All { drop_empty: true } => tissue,
        SliceChoice::All { drop_empty: false } if tissue.is_empty() => vec![],
        SliceChoice::All { drop_empty: false } => (0..volume.dims()[2]).collect(),
        SliceChoice::Evenly { count, from, to } => {
            if count == 0 || !(0.0 <= from && from <= to && to <= 1.0) {
                return Err(SliceError::Choice { count, from, to });
            }
            match (tissue.first(), tissue.last()) {
                (Some(&low), Some(&high)) => spread(low, high, count, from, to),
                _ => vec![],
            }
        }
    };
    if planes.is_empty() {
        return Err(SliceError::NoTissue);
    }
    Ok(planes)
}

/// Why a volume gives no slices.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SliceError {
    /// Nothing in the volume stands out from its background.
    #[error("no axial plane shows any tissue")]
    NoTissue,
    /// No slices asked for, or a part outside of 0..=1.
    #[error("cannot choose {count} slices from {from} to {to} of the range")]
    Choice {
        /// Planes wanted.
        count: usize,
        /// Start of the part.
        from: f64,
        /// End of the part.
        to: f64,
    },
}

/// Heights of the planes in which at least 1% of the pixels are foreground.
fn planes_with_tissue(volume: &Volume) -> Vec<usize> {
    let mut sorted = volume.voxels().to_vec();
    let rank = (sorted.len() - 1) * 99 / 100;
    let (_, bright, _) = sorted.select_nth_unstable_by(rank, f32::total_cmp);
    let level = *bright * FOREGROUND_LEVEL;
    if level <= 0.0 {
        return vec![];
    }
    let [nx, ny, nz] = volume.dims();
    let needed = (nx * ny) as f64 * FOREGROUND_SHARE;
    (0..nz)
        .filter(|&z| {
            let plane = volume.axial_plane(z);
            let foreground = plane.iter().filter(|&&voxel| voxel > level).count();
            foreground as f64 >= needed.max(1.0) && plane.iter().any(|voxel| *voxel != plane[0])
        })
        .collect()
}

/// `count` heights in the middles of equal parts of `[low, high]`, each at most once.
fn spread(low: usize, high: usize, count: usize, from: f64, to: f64) -> Vec<usize> {
    let planes = (high - low + 1) as f64;
    let (start, length) = (planes * from, planes * (to - from));
    let mut heights: Vec<usize> = (0..count)
        .map(|part| start + length * (part as f64 + 0.5) / count as f64)
        .map(|height| low + (height as usize).min(high - low))
        .collect();
    heights.dedup();
    heights
}

/// Where the pixels of a slice lie along one axis of the volume, counted in its voxels from the first one's centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelPlaces {
    /// Voxels from pixel to pixel.
    step: f64,
    /// Voxels of background before the first one.
    margin: f64,
}

impl PixelPlaces {
    /// Of the columns and of the rows of a slice: a square of the plane's longer side, about its centre.
    pub(super) fn of(dims: [usize; 3], spacing_mm: [f64; 3]) -> [Self; 2] {
        let side_mm = |axis: usize| dims[axis] as f64 * spacing_mm[axis];
        let field_mm = side_mm(0).max(side_mm(1));
        [0, 1].map(|axis| Self {
            step: field_mm / IMAGE_SIDE as f64 / spacing_mm[axis],
            margin: (field_mm / spacing_mm[axis] - dims[axis] as f64) / 2.0,
        })
    }

    /// The centre of a pixel.
    pub(super) fn centre(self, pixel: usize) -> f64 {
        (pixel as f64 + 0.5) * self.step - self.margin - 0.5
    }
}

/// One axis of the resize: for each output pixel, the first tap and the weights of the source
/// pixels. Weights that fall outside the plane are left out, so a row may sum to less than 1.
struct Resampler {
    source_pixels: usize,
    taps: Vec<(usize, Vec<f32>)>,
}

impl Resampler {
    /// From `count` source pixels to those at `places`.
    fn new(count: usize, places: PixelPlaces) -> Self {
        let reach = places.step.max(1.0);
        let taps = (0..IMAGE_SIDE)
            .map(|output| {
                let centre = places.centre(output);
                let first = (centre - reach).ceil() as i64;
                let last = (centre + reach).floor() as i64;
                let weight = |tap: i64| (1.0 - (tap as f64 - centre).abs() / reach).max(0.0);
                let total: f64 = (first..=last).map(weight).sum();
                let inside = first.max(0)..=last.min(count as i64 - 1);
                let start = usize::try_from(*inside.start()).expect("clamped at zero");
                let weights = inside.map(|tap| (weight(tap) / total) as f32).collect();
                (start, weights)
            })
            .collect();
        Self {
            source_pixels: count,
            taps,
        }
    }
}

/// Rows first, then columns; `background` fills whatever lies outside of the plane.
fn resize(plane: &[f32], background: f32, columns: &Resampler, rows: &Resampler) -> Vec<f32> {
    let mut narrow = Vec::with_capacity(rows.source_pixels * IMAGE_SIDE);
    for row in plane.chunks_exact(columns.source_pixels) {
        narrow.extend(columns.taps.iter().map(|(start, weights)| {
            let taps = row.iter().skip(*start).zip(weights);
            taps.map(|(pixel, weight)| (pixel - background) * weight)
                .sum::<f32>()
        }));
    }
    let mut image = vec![background; IMAGE_SIDE * IMAGE_SIDE];
    for (output, (start, weights)) in image.chunks_exact_mut(IMAGE_SIDE).zip(&rows.taps) {
        let taps = narrow.chunks_exact(IMAGE_SIDE).skip(*start).zip(weights);
        for (row, weight) in taps {
            for (pixel, source) in output.iter_mut().zip(row) {
                *pixel += source * weight;
            }
        }
    }
    image
}

/// Zero mean, unit variance; a constant image becomes zeros.
pub fn standardise(pixels: &mut [f32]) {
    let count = pixels.len() as f64;
    let mean = pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / count;
    let square = |pixel: &f32| (f64::from(*pixel) - mean).powi(2);
    let deviation = (pixels.iter().map(square).sum::<f64>() / count).sqrt();
    let scale = if deviation > 0.0 {
        1.0 / deviation
    } else {
        0.0
    };
    for pixel in pixels {
        *pixel = ((f64::from(*pixel) - mean) * scale) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box of a head: everything but a margin is tissue; `mark` is added on top.
    fn head(dims: [usize; 3], spacing: [f64; 3], mark: impl Fn(usize, usize) -> f32) -> Volume {
        let [nx, ny, nz] = dims;
        let mut voxels = vec![0.0; nx * ny * nz];
        for z in 1..nz - 1 {
            for y in 1..ny - 1 {
                for x in 1..nx - 1 {
                    voxels[x + nx * (y + ny * z)] = 100.0 + mark(x, y);
                }
            }
        }
        Volume::new(dims, spacing, voxels).expect("consistent")
    }

    fn pixel(slice: &Slice, row: usize, column: usize) -> f32 {
        slice.pixels[row * IMAGE_SIDE + column]
    }

    #[test]
    fn slices_have_zero_mean_and_unit_variance() {
        let volume = head([40, 50, 9], [1.0; 3], |x, y| (x * y % 7) as f32);
        let slices =
            axial_slices(&volume, SliceChoice::All { drop_empty: true }).expect("has tissue");
        assert_eq!(slices.len(), 7);
        for slice in slices {
            let mean = slice.pixels.iter().sum::<f32>() / 16_384.0;
            let variance = slice.pixels.iter().map(|p| p * p).sum::<f32>() / 16_384.0;
            assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn row_zero_is_the_front_and_column_zero_the_right() {
        let right_front = |x, y| if x < 20 && y < 20 { 100.0 } else { 0.0 };
        let volume = head([64, 64, 3], [1.0; 3], right_front);
        let slice = &axial_slices(&volume, SliceChoice::evenly(1)).expect("has tissue")[0];
        assert!(pixel(slice, 20, 20) > pixel(slice, 20, 100));
        assert!(pixel(slice, 20, 20) > pixel(slice, 100, 20));
        assert_eq!(slice.axial_index, 1);
    }

    #[test]
    fn the_same_head_on_another_grid_gives_the_same_image() {
        let disc = |nx: usize, ny: usize, dx: f64, dy: f64| {
            let brightness = |x: usize, y: usize| {
                let along = (x as f64 + 0.5) * dx - 100.0;
                let across = (y as f64 + 0.5) * dy - 100.0;
                match along.hypot(across) {
                    radius if radius < 40.0 => 180.0,
                    radius if radius < 90.0 => 100.0,
                    _ => 0.0,
                }
            };
            let plane = (0..nx * ny).map(|index| brightness(index % nx, index / nx));
            let volume = Volume::new([nx, ny, 1], [dx, dy, 5.0], plane.collect());
            let slices = axial_slices(&volume.expect("consistent"), SliceChoice::evenly(1));
            slices.expect("has tissue").remove(0)
        };
        let (fine, coarse) = (disc(400, 400, 0.5, 0.5), disc(400, 100, 0.5, 2.0));
        let differences = fine.pixels.iter().zip(&coarse.pixels);
        let total: f32 = differences.map(|(a, b)| (a - b).abs()).sum();
        assert!(total / 16_384.0 < 0.02, "only edges may differ");
    }

    #[test]
    fn a_plane_that_is_not_square_is_padded_not_stretched() {
        let volume = head([64, 128, 3], [1.0; 3], |_, _| 0.0);
        let slice = &axial_slices(&volume, SliceChoice::evenly(1)).expect("has tissue")[0];
        assert_eq!(
            pixel(slice, 64, 10),
            pixel(slice, 0, 0),
            "background beside"
        );
        assert!(pixel(slice, 64, 64) > pixel(slice, 64, 10));
        let bright = (0..128).filter(|&column| pixel(slice, 64, column) > 0.0);
        assert_eq!(bright.count(), 62);
    }

    #[test]
    fn an_image_of_the_right_size_is_not_blurred() {
        let volume = head([128, 128, 3], [0.9; 3], |x, y| {
            ((x * 31 + y * 17) % 50) as f32
        });
        let slice = &axial_slices(&volume, SliceChoice::evenly(1)).expect("has tissue")[0];
        let plane = volume.axial_plane(1);
        let scale = (pixel(slice, 60, 60) - pixel(slice, 0, 0)) / plane[60 * 128 + 60];
        for (pixel_out, pixel_in) in slice.pixels.iter().zip(plane) {
            assert!((pixel_out - slice.pixels[0] - pixel_in * scale).abs() < 1e-4);
        }
    }

    #[test]
    fn evenly_spaced_planes_stay_in_the_range_and_are_not_repeated() {
        assert_eq!(spread(10, 19, 5, 0.0, 1.0), [11, 13, 15, 17, 19]);
        assert_eq!(spread(10, 19, 2, 0.4, 0.6), [14, 15]);
        assert_eq!(spread(3, 5, 16, 0.0, 1.0), [3, 4, 5]);
    }

    #[test]
    fn an_empty_volume_and_an_empty_choice_are_errors() {
        let dark = Volume::new([4, 4, 4], [1.0; 3], vec![0.0; 64]).expect("consistent");
        for choice in [
            SliceChoice::evenly(3),
            SliceChoice::All { drop_empty: false },
            SliceChoice::All { drop_empty: true },
        ] {
            assert_eq!(axial_slices(&dark, choice), Err(SliceError::NoTissue));
        }
        let volume = head([8, 8, 4], [1.0; 3], |_, _| 0.0);
        assert!(matches!(
            axial_slices(&volume, SliceChoice::evenly(0)),
            Err(SliceError::Choice { .. })
        ));
    }
}
