//! The head of one patient: which tissue is where.
//!
//! Positions are millimetres in the frame of [`model_data::Volume`] (x to the patient's left, y
//! to the back, z to the crown), from a point on the mid-line at the height of the anterior
//! commissure, half-way between front and back of the brain. Sizes and places follow the MNI
//! atlas to a few millimetres.
//!
//! The cortex is the part that makes a slice look like a brain. A smooth random field with one
//! wavelength has zero surfaces that wind at equal distances, as sulci do: each such sheet, down
//! to a depth that itself varies, is lined by grey matter on both sides, and opened by a little
//! fluid that grows with atrophy. Most of the field is common to all patients, as the large sulci
//! are; the rest is a patient's own.
//!
//! Heads differ by a few percent in size and shape, about as much as real ones after affine
//! registration to an atlas. With the variety of unregistered heads, a network that sees a
//! hundred of them learns them by heart and never comes to look at the lesions.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::random_field::RandomField;
use super::shapes::{ellipsoid, inside, length, outside, tube};
use super::tissue::{Mixture, Tissue};

/// A patient's head, built from random draws; the same draws give the same head.
pub struct Anatomy {
    /// Displacement of a point before it is looked up, along x, y, z.
    deformation: [RandomField; 3],
    folds: RandomField,
    sulcus_depth: RandomField,
    patches: RandomField,
    /// Scale of the whole head along x, y, z.
    size: [f32; 3],
    /// Scale of the ventricles' radii.
    ventricles: f32,
    /// Half the width of an open sulcus.
    sulcus_mm: f32,
    fat_mm: f32,
}

/// What is found at one point.
#[derive(Clone, Copy)]
pub struct Site {
    /// Shares of each tissue.
    pub tissue: Mixture,
    /// Distance to the wall of the lateral ventricles, negative inside.
    pub ventricle_mm: f32,
    /// Depth below the inner surface of the cortex, negative in grey matter and fluid.
    pub below_cortex_mm: f32,
}

impl Anatomy {
    /// `atrophy` from 0 (none) to 1 (much) widens ventricles and sulci.
    pub fn new(rng: &mut impl Rng, atrophy: f32) -> Self {
        let mut around =
            |middle: f32, spread: f32| middle + spread * (2.0 * rng.random::<f32>() - 1.0);
        let size = [around(1.0, 0.02), around(1.0, 0.02), around(1.0, 0.02)];
        let ventricles = around(0.85, 0.1) + 0.5 * atrophy;
        let sulcus_mm = around(0.45, 0.1) + 0.4 * atrophy;
        let fat_mm = around(5.0, 0.7);
        let mut atlas = ChaCha8Rng::seed_from_u64(ATLAS_SEED);
        Self {
            deformation: std::array::from_fn(|_| RandomField::new(rng, 6, [90.0, 200.0], 1.1)),
            folds: RandomField::new(&mut atlas, 16, FOLD_MM, 0.9)
                .and(RandomField::new(rng, 10, FOLD_MM, 0.44)),
            sulcus_depth: RandomField::new(&mut atlas, 6, [25.0, 60.0], 4.5).and(RandomField::new(
                rng,
                4,
                [25.0, 60.0],
                2.2,
            )),
            patches: RandomField::new(rng, 12, [12.0, 40.0], 1.0),
            size,
            ventricles,
            sulcus_mm,
            fat_mm,
        }
    }

    /// The sites at `start`, `start + step_mm` along x, and so on. `voxel_mm` is the width over
    /// which edges blur.
    pub fn row(
        &self,
        start: [f32; 3],
        step_mm: f32,
        voxel_mm: f32,
        sites: &mut Vec<Site>,
        count: usize,
    ) {
        let mut fields = vec![0.0; 7 * count];
        let mut parts = fields.chunks_exact_mut(count);
        let [x, y, z, fold, slope, depth, patch] =
            std::array::from_fn(|_| parts.next().expect("seven parts"));
        for (waves, values) in self.deformation.iter().zip([&mut *x, &mut *y, &mut *z]) {
            waves.row(start, step_mm, values);
        }
        self.folds.row_with_slope(start, step_mm, fold, slope);
        self.sulcus_depth.row(start, step_mm, depth);
        self.patches.row(start, step_mm, patch);
        sites.clear();
        sites.extend((0..count).map(|index| {
            let point = [
                (start[0] + step_mm * index as f32 + x[index]) / self.size[0],
                (start[1] + y[index]) / self.size[1],
                (start[2] + z[index]) / self.size[2],
            ];
            let cortex = Cortex {
                sheet_mm: fold[index].abs() / slope[index].max(0.5 * FOLD_SLOPE),
                sulcus_depth_mm: SULCUS_DEPTH_MM + depth[index],
                patch: patch[index],
            };
            self.site(point, cortex, voxel_mm)
        }));
    }

    fn site(&self, point: [f32; 3], cortex: Cortex, voxel_mm: f32) -> Site {
        let mut site = Site {
            tissue: Mixture::of(Tissue::Air),
            ventricle_mm: f32::INFINITY,
            below_cortex_mm: f32::NEG_INFINITY,
        };
        let depth = depth_below_skull(point);
        let scalp_mm = self.fat_mm + 2.0;
        if depth < -(SKULL_MM + scalp_mm + voxel_mm) {
            return site;
        }
        let at_least = |mm: f32| inside(mm - depth, voxel_mm);
        let mixture = &mut site.tissue;
        mixture.paint(Tissue::Muscle, at_least(-(SKULL_MM + scalp_mm)));
        mixture.paint(Tissue::Fat, at_least(-(SKULL_MM + scalp_mm - 1.5)));
        mixture.paint(Tissue::Bone, at_least(-SKULL_MM));
        mixture.paint(Tissue::Fat, 0.5 * at_least(-0.65 * SKULL_MM));
        mixture.paint(Tissue::Bone, at_least(-0.35 * SKULL_MM));
        mixture.paint(Tissue::Csf, at_least(0.0));
        if depth < -voxel_mm {
            return site;
        }
        let above_base = point[2] - base_height(point);
        if above_base < voxel_mm {
            paint_below_the_brain(
                mixture,
                point,
                cortex.patch,
                inside(above_base, voxel_mm),
                voxel_mm,
            );
        }
        let surface = (depth - 1.0 - self.sulcus_mm).min(above_base);
        if surface > -voxel_mm {
            self.paint_cerebrum(&mut site, point, cortex, depth, surface, voxel_mm);
        }
        site
    }

    fn paint_cerebrum(
        &self,
        site: &mut Site,
        point: [f32; 3],
        cortex: Cortex,
        depth: f32,
        surface: f32,
        voxel_mm: f32,
    ) {
        let [x, y, z] = point;
        let half = [x.abs(), y, z];
        let sulcus = cortex
            .sheet_mm
            .hypot((depth - cortex.sulcus_depth_mm).max(0.0))
            - self.sulcus_mm;
        let fissure_depth = 42.0 + 10.0 * (y / 86.0).clamp(0.0, 1.0);
        let fissure = (x + cortex.patch)
            .abs()
            .hypot((depth - fissure_depth).max(0.0))
            - self.sulcus_mm;
        let opening = sulcus.min(fissure).min(insula(half) - 1.2 * self.sulcus_mm);
        let pial = surface.min(opening);
        site.below_cortex_mm = pial - CORTEX_MM;
        let mixture = &mut site.tissue;
        mixture.paint(Tissue::GreyMatter, inside(-pial, voxel_mm));
        mixture.paint(Tissue::WhiteMatter, inside(-site.below_cortex_mm, voxel_mm));
        for (centre, half_axes) in DEEP_GREY {
            mixture.paint(
                Tissue::DeepGrey,
                inside(ellipsoid(half, centre, half_axes), voxel_mm),
            );
        }
        site.ventricle_mm = self.lateral_ventricle(half);
        let third = outside(half[0], 0.0, 1.7 * self.ventricles)
            .hypot(outside(y, -15.0, 12.0))
            .hypot(outside(z, -9.0, 7.0));
        let mut fluid = site.ventricle_mm.min(third - 0.3);
        for (centre, half_axes) in CISTERNS {
            fluid = fluid.min(ellipsoid(half, centre, half_axes));
        }
        mixture.paint(Tissue::Csf, inside(fluid, voxel_mm));
    }

    fn lateral_ventricle(&self, half: [f32; 3]) -> f32 {
        let part = |pair: &[([f32; 3], f32)]| {
            let scaled = |(at, radius): ([f32; 3], f32)| (at, radius * self.ventricles);
            tube(half, scaled(pair[0]), scaled(pair[1]))
        };
        let body = VENTRICLE.windows(2).map(part).fold(f32::INFINITY, f32::min);
        body.min(part(&TEMPORAL_HORN))
    }
}

/// The random fields at one point.
#[derive(Clone, Copy)]
struct Cortex {
    sheet_mm: f32,
    sulcus_depth_mm: f32,
    patch: f32,
}

/// Draws what all patients have in common.
const ATLAS_SEED: u64 = 0;
/// Wavelengths of the folds: sulci lie half of that apart.
const FOLD_MM: [f32; 2] = [19.0, 26.0];
/// Thickness of the cortex.
const CORTEX_MM: f32 = 2.8;
/// Depth of a sulcus, on average.
const SULCUS_DEPTH_MM: f32 = 19.0;
/// Root mean square slope of a field of unit variance whose wavelength is 22 mm.
const FOLD_SLOPE: f32 = std::f32::consts::TAU / 22.0;
/// Thickness of the skull.
const SKULL_MM: f32 = 6.0;

/// One lateral ventricle from its frontal to its occipital horn: place (x counts from the
/// mid-line) and radius.
const VENTRICLE: [([f32; 3], f32); 6] = [
    ([8.0, -46.0, 2.0], 2.5),
    ([10.0, -33.0, 11.0], 5.0),
    ([11.0, -14.0, 23.0], 4.8),
    ([15.0, 8.0, 22.0], 5.0),
    ([24.0, 24.0, 12.0], 6.5),
    ([24.0, 50.0, 6.0], 2.5),
];
const TEMPORAL_HORN: [([f32; 3], f32); 2] = [([26.0, 22.0, 8.0], 4.0), ([35.0, -6.0, -16.0], 2.0)];

/// Thalamus, head of the caudate nucleus, putamen: centre (x from the mid-line) and half axes.
const DEEP_GREY: [([f32; 3], [f32; 3]); 3] = [
    ([11.0, 2.0, 7.0], [8.5, 14.0, 8.5]),
    ([15.0, -30.0, 7.0], [5.0, 9.0, 10.0]),
    ([27.0, -19.0, 2.0], [5.5, 15.0, 9.0]),
];

/// Quadrigeminal and suprasellar cistern.
const CISTERNS: [([f32; 3], [f32; 3]); 2] = [
    ([0.0, 24.0, -3.0], [11.0, 4.5, 7.0]),
    ([0.0, -16.0, -18.0], [12.0, 8.0, 7.0]),
];

/// Depth below the inner surface of the skull; negative outside.
///
/// An egg, narrower in front. Seen from the front it is between an ellipse and a box.
fn depth_below_skull([x, y, z]: [f32; 3]) -> f32 {
    let half_width = 68.0 * (1.0 + 0.10 * (y / 87.0).clamp(-1.0, 1.0));
    let height = if z > 0.0 { 77.0 } else { 105.0 };
    let flat = (x / half_width).powi(2) + (y / 87.0).powi(2);
    let upright = (z / height).powi(2);
    let round = (flat + upright).sqrt();
    let boxed = (flat * flat + upright * upright).sqrt().sqrt();
    let radius = 0.5 * (round + boxed);
    (1.0 - radius) * length([x, y, z]) / radius.max(1e-3)
}

/// Height of the lower surface of the cerebrum: the temporal lobes hang lower.
fn base_height([x, y, _]: [f32; 3]) -> f32 {
    let lobe = 1.0 - ellipsoid([x.abs(), y, 0.0], [42.0, -16.0, 0.0], [27.0, 38.0, 1.0]) / 12.0;
    -20.0 - 24.0 * lobe.clamp(0.0, 1.0)
}

/// Distance to the insular sheet and the Sylvian fissure that opens it to the side.
fn insula([x, y, z]: [f32; 3]) -> f32 {
    let sheet = (x - 40.0 + 0.008 * (y + 16.0).powi(2))
        .abs()
        .hypot(outside(y, -36.0, 4.0))
        .hypot(outside(z, -8.0, 16.0));
    let bend = y + 16.0 - 0.5 * (x - 39.0);
    let opening = bend
        .abs()
        .hypot((39.0 - x).max(0.0))
        .hypot(outside(z, -12.0, 14.0));
    sheet.min(opening)
}

/// Skull base, face and the posterior fossa with cerebellum and brain stem.
fn paint_below_the_brain(
    mixture: &mut Mixture,
    point: [f32; 3],
    patch: f32,
    share: f32,
    voxel_mm: f32,
) {
    let [x, y, z] = point;
    mixture.paint(Tissue::Muscle, share);
    mixture.paint(Tissue::Bone, share * inside(0.4 - patch, 0.8));
    mixture.paint(Tissue::Fat, share * inside(1.2 + patch, 0.6));
    let eye = ellipsoid([x.abs(), y, z], [30.0, -64.0, -38.0], [12.0; 3]);
    mixture.paint(Tissue::Csf, share * inside(eye, voxel_mm));
    let fossa = ellipsoid(point, [0.0, 42.0, -42.0], [56.0, 40.0, 32.0]);
    mixture.paint(Tissue::Csf, share * inside(fossa, voxel_mm));
    let cerebellum = ellipsoid(point, [0.0, 46.0, -42.0], [52.0, 32.0, 27.0]);
    mixture.paint(Tissue::GreyMatter, share * inside(cerebellum, voxel_mm));
    // Folia: leaves of white matter every 6 mm, one behind the other.
    let leaf = 2.0 * ((length([0.0, y - 20.0, z + 42.0]) + 1.5 * patch) / 6.0).fract() - 1.0;
    let core = ellipsoid(point, [0.0, 40.0, -42.0], [42.0, 22.0, 19.0]);
    let white = inside(cerebellum + 3.0, voxel_mm) * inside(leaf.abs() - 0.45, 0.5);
    mixture.paint(
        Tissue::WhiteMatter,
        share * white.max(inside(core + 4.0, 8.0)),
    );
    let stem = tube(point, ([0.0, 6.0, -16.0], 15.0), ([0.0, 24.0, -80.0], 9.0));
    mixture.paint(Tissue::WhiteMatter, share * inside(stem, voxel_mm));
    let fourth = ellipsoid(point, [0.0, 27.0, -40.0], [7.0, 5.0, 10.0]);
    mixture.paint(Tissue::Csf, share * inside(fourth, voxel_mm));
}
