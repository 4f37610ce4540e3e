//! Where the slices of a scan lie in the world, so that what is found in a slice can be shown on the scan.

use std::path::Path;

use super::{
    ScanError, ScanFiles,
    dicom::{SeriesFrame, series_frame},
    orientation::Orientation,
    scan::nifti_frame,
    slices::PixelPlaces,
};

/// The grid of 128 x 128 pixels a slice and one slice an axial plane, from the feet up, which [`axial_slices`](super::axial_slices)
/// cuts a scan into.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceGrid {
    /// From (column, row, plane, 1) to millimetres towards right, front and head of the scan's own origin: the frame of NIfTI. Of an
    /// oblique scan it is oblique.
    pub to_world: [[f64; 4]; 4],
    /// Axial planes of the scan, with those that no slice was taken of.
    pub planes: usize,
    /// False when the file does not say how it lies; right, front, head is then assumed, and the first voxel for the origin.
    pub stated: bool,
    /// Of a DICOM series whose images are the planes: for each plane the file, as an index, and the frame in it.
    pub images: Option<Vec<(usize, usize)>>,
}

impl SliceGrid {
    /// Reads headers alone.
    ///
    /// # Errors
    /// Whatever keeps the files from being a volume, as far as headers say.
    pub fn read(files: &ScanFiles) -> Result<Self, ScanError> {
        match files {
            ScanFiles::Nifti(path) => Self::of_nifti(path),
            ScanFiles::Dicom(paths) => {
                let SeriesFrame {
                    orientation,
                    dims,
                    origin_mm,
                    mut images,
                } = series_frame(paths)?;
                let mut grid = Self::new(&orientation, dims, origin_mm);
                let axial = orientation.axis[2] == 2;
                if orientation.reversed[2] {
                    images.reverse();
                }
                grid.images = axial.then_some(images);
                Ok(grid)
            }
        }
    }

    fn of_nifti(path: &Path) -> Result<Self, ScanError> {
        let (orientation, dims, origin_mm) = nifti_frame(path)?;
        Ok(Self::new(&orientation, dims, origin_mm))
    }

    /// `dims` are those of the file, `origin_mm` is its first voxel.
    fn new(orientation: &Orientation, dims: [usize; 3], origin_mm: [f64; 3]) -> Self {
        let ordered = orientation.axis.map(|source| dims[source]);
        let [columns, rows] = PixelPlaces::of(ordered, orientation.spacing_mm);
        let world = |column: usize, row: usize, plane: usize| {
            let place = [columns.centre(column), rows.centre(row), plane as f64];
            let index = orientation.in_file(dims, place);
            std::array::from_fn(|axis| {
                let along = (0..3).map(|source| orientation.steps_mm[source][axis] * index[source]);
                origin_mm[axis] + along.sum::<f64>()
            })
        };
        let first: [f64; 3] = world(0, 0, 0);
        let steps: [[f64; 3]; 3] = [world(1, 0, 0), world(0, 1, 0), world(0, 0, 1)];
        let mut to_world = [[0.0, 0.0, 0.0, 1.0]; 4];
        for axis in 0..3 {
            to_world[axis] = [
                steps[0][axis] - first[axis],
                steps[1][axis] - first[axis],
                steps[2][axis] - first[axis],
                first[axis],
            ];
        }
        Self {
            to_world,
            planes: ordered[2],
            stated: orientation.stated,
            images: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_slice_is_the_middle_of_its_plane() {
        // A head of 40 x 60 x 5 voxels, to the right, to the front and to the head, 1 x 2 x 3 mm.
        let steps = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]];
        let orientation = Orientation::from_steps(steps, true).expect("regular");
        let grid = SliceGrid::new(&orientation, [40, 60, 5], [-10.0, 20.0, 30.0]);
        assert_eq!((grid.planes, grid.images), (5, None));
        let [x, y, z, _] = grid.to_world;
        let at = |row: [f64; 4], column: f64, line: f64, plane: f64| {
            row[0] * column + row[1] * line + row[2] * plane + row[3]
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} where {b} is expected");
        near(at(x, 63.5, 63.5, 0.0), -10.0 + 19.5);
        near(at(y, 63.5, 63.5, 0.0), 20.0 + 59.0);
        near(at(z, 63.5, 63.5, 4.0), 30.0 + 12.0);
        // The field is 120 mm wide. Column 0 is the patient's right, row 0 the front.
        near(x[0], -120.0 / 128.0);
        near(y[1], -120.0 / 128.0);
    }
}
