//! Scanning: from anatomy and lesions to a volume in the scanner's units.

use model_data::{Contrast, IMAGE_SIDE, Volume};

use super::PhantomPatient;
use super::anatomy::Site;
use super::lesions::LesionShare;
use super::random_field::RandomField;
use super::tissue::{Mixture, Tissue};

impl PhantomPatient {
    /// The whole head: 128 x 128 x 48 voxels of 1.8 x 1.8 x 3 mm, the usual clinical grid at
    /// twice the distance in the plane, which is what the network sees anyway.
    pub fn volume(&self, contrast: Contrast) -> Volume {
        self.scan(contrast, &Grid::HEAD)
    }

    /// `planes` planes at equal distances through the 48 mm where most lesions lie, from the
    /// third ventricle to the centrum semiovale. Sixteen planes are 3 mm apart.
    ///
    /// # Panics
    /// If `planes` is 0.
    pub fn slab(&self, contrast: Contrast, planes: usize) -> Volume {
        self.scan(contrast, &Grid::slab(planes))
    }

    /// Share of each voxel of [`Self::volume`] that lesions fill. Above 0.5 is the usual mask.
    pub fn lesion_shares(&self) -> Volume {
        self.shares(&Grid::HEAD)
    }

    /// The same for [`Self::slab`].
    ///
    /// # Panics
    /// If `planes` is 0.
    pub fn slab_lesion_shares(&self, planes: usize) -> Volume {
        self.shares(&Grid::slab(planes))
    }

    fn shares(&self, grid: &Grid) -> Volume {
        let mut shares = Vec::with_capacity(grid.voxels());
        self.visit(grid, |_, row| {
            shares.extend(row.iter().map(|(_, lesion)| lesion.filled));
        });
        grid.volume(shares)
    }

    fn scan(&self, contrast: Contrast, grid: &Grid) -> Volume {
        let table = self.scanner.signals(contrast);
        let receiver = self.scanner.receiver(&table);
        // One stream for the bias field and one for each contrast's noise.
        let mut rng = self.noise.clone();
        let bias = RandomField::new(&mut rng, 5, [160.0, 320.0], self.scanner.bias);
        let texture = RandomField::new(&mut rng, 10, [5.0, 20.0], TEXTURE);
        rng.set_stream(rng.get_stream() + 1 + contrast as u64);
        let (mut sensitivity, mut grain) = ([0.0; IMAGE_SIDE], [0.0; IMAGE_SIDE]);
        let mut voxels = Vec::with_capacity(grid.voxels());
        self.visit(grid, |start, row| {
            bias.row(start, IN_PLANE_MM, &mut sensitivity);
            texture.row(start, IN_PLANE_MM, &mut grain);
            let fields = sensitivity.iter().zip(&grain);
            voxels.extend(
                row.iter()
                    .zip(fields)
                    .map(|((tissue, lesion), (bias, grain))| {
                        let mut tissue = *tissue;
                        tissue.paint(Tissue::Lesion, lesion.changed);
                        let signal = tissue.signal(&table) * (1.0 + bias + grain);
                        receiver.receive(signal, &mut rng)
                    }),
            );
        });
        grid.volume(voxels)
    }

    /// Calls `row` with the place of the first voxel and the contents of each row of the grid.
    fn visit(&self, grid: &Grid, mut row: impl FnMut([f32; 3], &[(Mixture, LesionShare)])) {
        let mut lesions = vec![LesionShare::default(); IMAGE_SIDE * IMAGE_SIDE];
        let mut sites: Vec<Site> = Vec::with_capacity(IMAGE_SIDE);
        let mut contents = Vec::with_capacity(IMAGE_SIDE);
        for plane in 0..grid.planes {
            let first = grid.first_voxel(plane);
            let size = [IMAGE_SIDE, IMAGE_SIDE];
            self.lesions
                .paint_plane(first, IN_PLANE_MM, size, &mut lesions);
            for (line, lesions) in lesions.chunks_exact(IMAGE_SIDE).enumerate() {
                let start = [first[0], first[1] + IN_PLANE_MM * line as f32, first[2]];
                self.anatomy
                    .row(start, IN_PLANE_MM, IN_PLANE_MM, &mut sites, IMAGE_SIDE);
                contents.clear();
                contents.extend(sites.iter().zip(lesions).map(|(site, lesion)| {
                    let solid = 1.0 - site.tissue.share(Tissue::Csf);
                    let lesion = LesionShare {
                        filled: lesion.filled * solid,
                        changed: lesion.changed * solid,
                    };
                    (site.tissue, lesion)
                }));
                row(start, &contents);
            }
        }
    }
}

/// Axial planes of 128 x 128 voxels.
struct Grid {
    planes: usize,
    lowest_mm: f32,
    between_mm: f32,
}

impl Grid {
    const HEAD: Self = Self {
        planes: 48,
        lowest_mm: -60.0,
        between_mm: 3.0,
    };

    fn slab(planes: usize) -> Self {
        let [low, high] = SLAB_MM;
        let between_mm = (high - low) / planes as f32;
        Self {
            planes,
            lowest_mm: low + 0.5 * between_mm,
            between_mm,
        }
    }

    fn voxels(&self) -> usize {
        self.planes * IMAGE_SIDE * IMAGE_SIDE
    }

    fn first_voxel(&self, plane: usize) -> [f32; 3] {
        let corner = -0.5 * (IMAGE_SIDE - 1) as f32 * IN_PLANE_MM;
        [
            corner,
            corner,
            self.lowest_mm + self.between_mm * plane as f32,
        ]
    }

    fn volume(&self, voxels: Vec<f32>) -> Volume {
        let in_plane = f64::from(IN_PLANE_MM);
        let spacing = [in_plane, in_plane, f64::from(self.between_mm)];
        Volume::new([IMAGE_SIDE, IMAGE_SIDE, self.planes], spacing, voxels)
            .expect("a grid with planes of finite voxels")
    }
}

/// Distance between voxels in a plane: a field of view of 230 mm.
const IN_PLANE_MM: f32 = 1.8;
/// Lower and upper end of the slab.
const SLAB_MM: [f32; 2] = [-4.0, 44.0];
/// Root mean square of the fine texture of tissue, as a share of its signal.
const TEXTURE: f32 = 0.02;
