//! Lesions: how many, how large, where, and what share of a voxel they fill.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::anatomy::{Anatomy, Site};
use super::random_field::RandomField;
use super::shapes::length;
use super::tissue::Tissue;

/// All lesions of a patient, in the millimetres of [`Anatomy`].
pub struct Lesions {
    lesions: Vec<Lesion>,
    /// Makes outlines irregular.
    outline: RandomField,
}

/// One lesion: an ellipsoid with an irregular outline.
struct Lesion {
    centre: [f32; 3],
    /// Unit vectors of the half axes, divided by each half axis's length relative to `radius_mm`.
    axes: [[f32; 3]; 3],
    /// Of the sphere of the same volume.
    radius_mm: f32,
    /// How far the tissue has changed, 0 to 1.
    severity: f32,
}

/// What lesions do to one voxel.
#[derive(Clone, Copy, Default)]
pub struct LesionShare {
    /// Share of the voxel filled.
    pub filled: f32,
    /// The same, weighted with severity: what the signal sees.
    pub changed: f32,
}

impl Lesions {
    /// Places lesions of `volumes_mm3` in the white matter, then swells or shrinks all of them
    /// until what they fill outside of fluid is their sum within 1%.
    ///
    /// Most lie at the ventricles' wall and reach away from it, as Dawson's fingers do, a
    /// fifth at the cortex, and the rest anywhere in between; the largest are periventricular.
    pub fn place(rng: &mut impl Rng, anatomy: &Anatomy, volumes_mm3: &[f64]) -> Self {
        let lattice = Lattice::new(anatomy);
        let outline = RandomField::new(rng, 12, [7.0, 18.0], 0.17);
        let mut placed = Self {
            lesions: Vec::with_capacity(volumes_mm3.len()),
            outline,
        };
        let mut largest_first = volumes_mm3.to_vec();
        largest_first.sort_by(|a, b| b.total_cmp(a));
        for volume in largest_first {
            let radius_mm = radius_of(volume as f32);
            let (centre, region) = placed.find_place(rng, &lattice, radius_mm);
            placed.lesions.push(Lesion {
                centre,
                axes: axes(rng, centre, region),
                radius_mm,
                severity: 0.8 + 0.2 * rng.random::<f32>(),
            });
        }
        placed.grow_to(volumes_mm3.iter().sum::<f64>() as f32, &lattice);
        placed
    }

    /// Adds every lesion to one axial plane: `size` = [columns, rows], `first` the centre of its
    /// first voxel, `step_mm` between voxels in the plane.
    pub fn paint_plane(
        &self,
        first: [f32; 3],
        step_mm: f32,
        size: [usize; 2],
        plane: &mut [LesionShare],
    ) {
        plane.fill(LesionShare::default());
        for lesion in &self.lesions {
            let (radius, fill) = lesion.rendered();
            let reach = lesion.reach_mm(radius);
            if (lesion.centre[2] - first[2]).abs() > reach {
                continue;
            }
            let span = |axis: usize| {
                let from = (lesion.centre[axis] - reach - first[axis]) / step_mm;
                let to = (lesion.centre[axis] + reach - first[axis]) / step_mm;
                from.ceil().max(0.0) as usize
                    ..(to.floor() + 1.0).clamp(0.0, size[axis] as f32) as usize
            };
            for row in span(1) {
                for column in span(0) {
                    let point = [
                        first[0] + step_mm * column as f32,
                        first[1] + step_mm * row as f32,
                        first[2],
                    ];
                    let share = fill * self.share_at(lesion, radius, point);
                    let voxel = &mut plane[row * size[0] + column];
                    voxel.changed = voxel.changed.max(share * lesion.severity);
                    voxel.filled = voxel.filled.max(share);
                }
            }
        }
    }

    fn share_at(&self, lesion: &Lesion, radius: f32, point: [f32; 3]) -> f32 {
        let distance = lesion.stretched(point) - radius;
        if distance > 0.6 * radius + EDGE_MM {
            return 0.0;
        }
        let rough = if radius > SMOOTH_RADIUS_MM {
            self.outline.at(point)
        } else {
            0.0
        };
        (0.5 - (distance + rough.clamp(-0.5, 0.5) * radius) / EDGE_MM).clamp(0.0, 1.0)
    }

    /// A place for the next lesion that suits its size and lies apart from the others.
    fn find_place(&self, rng: &mut impl Rng, lattice: &Lattice, radius: f32) -> ([f32; 3], Region) {
        let region = match rng.random::<f32>() {
            draw if radius > 5.0 || draw < 0.6 => Region::Periventricular,
            draw if draw < 0.8 => Region::Juxtacortical,
            _ => Region::Deep,
        };
        let mut place = [0.0; 3];
        for tries in 0..400 {
            let white = &lattice.white[rng.random_range(0..lattice.white.len())];
            let suits = match region {
                Region::Periventricular => {
                    (0.5 * radius..1.5 * radius + 3.0).contains(&white.ventricle_mm)
                }
                Region::Juxtacortical => white.below_cortex_mm < 2.5,
                Region::Deep => white.below_cortex_mm > radius && white.ventricle_mm > radius + 4.0,
            };
            place = std::array::from_fn(|axis| {
                white.place[axis] + LATTICE_MM * (rng.random::<f32>() - 0.5)
            });
            let apart = |other: &Lesion| {
                let between: [f32; 3] =
                    std::array::from_fn(|axis| other.centre[axis] - place[axis]);
                length(between) > 0.8 * (radius + other.radius_mm)
            };
            // A crowded brain has confluent lesions: room is asked for only at first.
            if suits && (tries > 200 || self.lesions.iter().all(apart)) {
                break;
            }
        }
        (place, region)
    }

    fn grow_to(&mut self, volume_mm3: f32, lattice: &Lattice) {
        for _ in 0..6 {
            let factor = (volume_mm3 / lattice.volume_mm3(self).max(1.0)).cbrt();
            for lesion in &mut self.lesions {
                lesion.radius_mm *= factor.clamp(0.7, 1.4);
            }
            if (factor - 1.0).abs() < 0.003 {
                break;
            }
        }
    }
}

impl Lesion {
    /// Radius to draw, and the share it fills at most. A soft edge of width w around radius r
    /// holds 4/3 pi (r^3 + r w^2 / 4), a little more than the sphere: r is chosen so that the
    /// volume comes out right, and below the width of the edge the lesion is drawn fainter instead.
    fn rendered(&self) -> (f32, f32) {
        let held = |radius: f32| radius.powi(3) + radius * EDGE_MM * EDGE_MM / 4.0;
        let (wanted, smallest) = (self.radius_mm.powi(3), 0.55 * EDGE_MM);
        if wanted < held(smallest) {
            return (smallest, wanted / held(smallest));
        }
        let mut radius = self.radius_mm;
        for _ in 0..4 {
            let slope = 3.0 * radius * radius + EDGE_MM * EDGE_MM / 4.0;
            radius -= (held(radius) - wanted) / slope;
        }
        (radius, 1.0)
    }

    /// No voxel farther from the centre is touched.
    fn reach_mm(&self, radius: f32) -> f32 {
        (1.5 * radius + EDGE_MM) * LONGEST_AXIS
    }

    /// Distance from the centre with the ellipsoid pressed into a sphere.
    fn stretched(&self, point: [f32; 3]) -> f32 {
        let from_centre: [f32; 3] = std::array::from_fn(|axis| point[axis] - self.centre[axis]);
        length(
            self.axes
                .map(|axis| axis.iter().zip(from_centre).map(|(a, b)| a * b).sum()),
        )
    }
}

/// Volumes in mm3 of the lesions that make up `total_mm3`, each at least 3 mm3.
///
/// Their number (16 to 351) grows with the total; sizes are log-normal, as spread out as it takes
/// for the median to be the one drawn, 7 to 118 mm3.
pub fn draw_volumes(rng: &mut impl Rng, total_mm3: f64) -> Vec<f64> {
    let scatter: f64 = rng.sample(StandardNormal);
    let usual = 24.0 * (total_mm3 / 700.0).sqrt() * (0.4 * scatter).exp();
    let most = (total_mm3 / 12.0).min(351.0);
    let count = usual.min(most).max(16.0) as usize;
    let mut sizes: Vec<f64> = (0..count).map(|_| rng.sample(StandardNormal)).collect();
    sizes.sort_by(f64::total_cmp);
    let middle = sizes[count / 2];
    let mean = total_mm3 / count as f64;
    let highest = (0.8 * mean).min(90.0);
    let median = 8.0 + (highest - 8.0).max(0.0) * rng.random::<f64>().powi(2);
    // The wider the spread, the larger the sum for the same median: bisect.
    let sum_at = |spread: f64| -> f64 {
        let size = |normal: &f64| (median * (spread * (normal - middle)).exp()).max(SMALLEST_MM3);
        sizes.iter().map(size).sum()
    };
    let (mut low, mut high) = (0.0, 4.0);
    for _ in 0..40 {
        let spread = 0.5 * (low + high);
        if sum_at(spread) < total_mm3 {
            low = spread
        } else {
            high = spread
        }
    }
    let scale = total_mm3 / sum_at(low);
    let size = |normal: &f64| scale * (median * (low * (normal - middle)).exp()).max(SMALLEST_MM3);
    sizes.iter().map(size).collect()
}

/// Where lesions form.
#[derive(Clone, Copy, PartialEq)]
enum Region {
    Periventricular,
    Juxtacortical,
    Deep,
}

/// A coarse grid over the part of the head where lesions form.
struct Lattice {
    /// Share of each point that is not fluid, in which a lesion can be.
    solid: Vec<f32>,
    white: Vec<WhiteMatterPoint>,
}

struct WhiteMatterPoint {
    place: [f32; 3],
    ventricle_mm: f32,
    below_cortex_mm: f32,
}

impl Lattice {
    fn new(anatomy: &Anatomy) -> Self {
        let [columns, rows, planes] = LATTICE_SIZE;
        let mut lattice = Self {
            solid: Vec::with_capacity(columns * rows * planes),
            white: Vec::new(),
        };
        let mut sites: Vec<Site> = Vec::with_capacity(columns);
        for plane in 0..planes {
            for row in 0..rows {
                let start = Self::point(0, row, plane);
                anatomy.row(start, LATTICE_MM, LATTICE_MM, &mut sites, columns);
                for (column, site) in sites.iter().enumerate() {
                    lattice.solid.push(1.0 - site.tissue.share(Tissue::Csf));
                    if site.tissue.share(Tissue::WhiteMatter) > 0.7
                        && LESION_HEIGHTS_MM.contains(&start[2])
                        && site.ventricle_mm.is_finite()
                    {
                        lattice.white.push(WhiteMatterPoint {
                            place: Self::point(column, row, plane),
                            ventricle_mm: site.ventricle_mm,
                            below_cortex_mm: site.below_cortex_mm,
                        });
                    }
                }
            }
        }
        lattice
    }

    fn point(column: usize, row: usize, plane: usize) -> [f32; 3] {
        std::array::from_fn(|axis| {
            LATTICE_START[axis] + LATTICE_MM * [column, row, plane][axis] as f32
        })
    }

    /// What the lesions fill, fluid left out.
    fn volume_mm3(&self, lesions: &Lesions) -> f32 {
        let [columns, rows, _] = LATTICE_SIZE;
        let mut shares = vec![LesionShare::default(); columns * rows];
        let planes = self.solid.chunks_exact(columns * rows).enumerate();
        let filled = planes.map(|(plane, solid)| {
            lesions.paint_plane(
                Self::point(0, 0, plane),
                LATTICE_MM,
                [columns, rows],
                &mut shares,
            );
            let voxels = shares.iter().zip(solid);
            voxels
                .map(|(share, solid)| share.filled * solid)
                .sum::<f32>()
        });
        filled.sum::<f32>() * LATTICE_MM.powi(3)
    }
}

/// Distance between points of the lattice.
const LATTICE_MM: f32 = 3.0;
const LATTICE_SIZE: [usize; 3] = [48, 61, 32];
const LATTICE_START: [f32; 3] = [-70.5, -90.0, -28.0];
/// Heights at which lesions have their centres: from the midbrain to above the ventricles.
const LESION_HEIGHTS_MM: std::ops::Range<f32> = -8.0..48.0;
/// Width of a lesion's soft edge.
const EDGE_MM: f32 = 2.4;
/// Longest half axis over the radius of the sphere of the same volume.
const LONGEST_AXIS: f32 = 1.5;
/// Smaller lesions keep a smooth outline, which a voxel could not show anyway.
const SMOOTH_RADIUS_MM: f32 = 2.0;
const SMALLEST_MM3: f64 = 3.0;

fn radius_of(volume_mm3: f32) -> f32 {
    (volume_mm3 * 0.75 / std::f32::consts::PI).cbrt()
}

/// Three directions at right angles; the first is the long one. At the ventricles it points
/// away from the mid-line and a little back, along the medullary veins; elsewhere anywhere.
fn axes(rng: &mut impl Rng, centre: [f32; 3], region: Region) -> [[f32; 3]; 3] {
    let mut any = || -> [f32; 3] { std::array::from_fn(|_| rng.sample(StandardNormal)) };
    let (mut first, helper) = (any(), any());
    if region == Region::Periventricular {
        let outwards = [centre[0].signum(), 0.3 * (centre[1] / 40.0), 0.5];
        first = std::array::from_fn(|axis| outwards[axis] + 0.35 * first[axis]);
    }
    let unit = |vector: [f32; 3]| {
        let size = length(vector).max(1e-6);
        vector.map(|part| part / size)
    };
    let cross = |a: [f32; 3], b: [f32; 3]| {
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    };
    let first = unit(first);
    let second = unit(cross(first, helper));
    let third = cross(first, second);
    let long = 1.1 + (LONGEST_AXIS - 1.1) * rng.random::<f32>();
    let short = long.sqrt().recip();
    [
        first.map(|part| part / long),
        second.map(|part| part / short),
        third.map(|part| part / short),
    ]
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn lesion_volumes_add_up_and_keep_to_the_ranges() {
        for (seed, total) in (0..300).zip(
            [330.0, 700.0, 1800.0, 13_900.0, 28_200.0, 60_000.0]
                .into_iter()
                .cycle(),
        ) {
            let mut volumes = draw_volumes(&mut ChaCha8Rng::seed_from_u64(seed), total);
            volumes.sort_by(f64::total_cmp);
            let sum: f64 = volumes.iter().sum();
            assert!((sum / total - 1.0).abs() < 1e-9, "{sum} of {total}");
            assert!((16..=351).contains(&volumes.len()));
            assert!(volumes[0] >= 0.99 * SMALLEST_MM3);
            let median = volumes[volumes.len() / 2];
            assert!(
                (6.9..=118.0).contains(&median),
                "{median} at {total}, seed {seed}"
            );
        }
    }

    #[test]
    fn a_soft_edge_holds_the_volume_of_the_sphere() {
        for radius_mm in [0.9_f32, 1.3, 2.0, 5.0] {
            let lesion = Lesion {
                centre: [0.2, -0.3, 0.4],
                axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
                radius_mm,
                severity: 0.5,
            };
            let lesions = Lesions {
                lesions: vec![lesion],
                outline: RandomField::new(&mut ChaCha8Rng::seed_from_u64(1), 1, [5.0, 9.0], 0.0),
            };
            let mut plane = vec![LesionShare::default(); 64 * 64];
            let mut filled = 0.0;
            for z in 0..64 {
                let first = [-8.0, -8.0, -8.0 + 0.25 * z as f32];
                lesions.paint_plane(first, 0.25, [64, 64], &mut plane);
                filled += plane.iter().map(|share| share.filled).sum::<f32>() / 64.0;
                let half = |share: &LesionShare| (share.changed - 0.5 * share.filled).abs() < 1e-6;
                assert!(plane.iter().all(half));
            }
            let sphere = 4.0 / 3.0 * std::f32::consts::PI * radius_mm.powi(3);
            assert!(
                (filled / sphere - 1.0).abs() < 0.04,
                "{filled} for {sphere}"
            );
        }
    }
}
