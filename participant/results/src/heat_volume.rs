//! What a model looked at in a scan, as a volume in the scan's own world: NIfTI-1, gzipped, numbers of 32 bits.
//!
//! Its grid is that of the slices: 128 x 128 pixels a plane, one plane for each axial plane of the scan. A plane of which there is no
//! picture is 0; `slices.csv` says which slices the model was shown.

use std::{io, path::Path};

use model_data::{IMAGE_SIDE, SliceGrid};
use ndarray::{ArrayView3, ShapeBuilder as _};
use nifti::{NiftiHeader, writer::WriterOptions};

use crate::{
    NOTICE,
    predictions::{PatientPrediction, SLICE_PIXELS},
};

/// Millimetres, in the header's list of units.
const MILLIMETRES: u8 = 2;
/// "Scanner-based": the world is that of the scan.
const SCANNER: i16 = 1;

/// Whether there is anything to write: pictures of a scan of which it is known where it lies.
pub(crate) fn grid_of(patient: &PatientPrediction, scan: usize) -> Option<&SliceGrid> {
    let grid = patient.scans[scan].grid.as_ref()?;
    patient.pictures(scan).next().and(Some(grid))
}

/// Writes the heat of a scan, `grid` being the scan's; the path ends in `.nii.gz`.
pub(crate) fn write(
    path: &Path,
    patient: &PatientPrediction,
    scan: usize,
    grid: &SliceGrid,
) -> io::Result<()> {
    let mut voxels = vec![0.0; SLICE_PIXELS * grid.planes];
    for (index, picture) in patient.pictures(scan) {
        voxels[index as usize * SLICE_PIXELS..][..SLICE_PIXELS].copy_from_slice(&picture.heat);
    }
    let shape = (IMAGE_SIDE, IMAGE_SIDE, grid.planes).f();
    let voxels = ArrayView3::from_shape(shape, &voxels).map_err(io::Error::other)?;
    WriterOptions::new(path)
        .reference_header(&header(grid))
        .write_nifti(&voxels)
        .map_err(io::Error::other)
}

fn header(grid: &SliceGrid) -> NiftiHeader {
    let [x, y, z, _] = grid.to_world;
    let length = |axis: usize| (x[axis].powi(2) + y[axis].powi(2) + z[axis].powi(2)).sqrt() as f32;
    let mut description = format!("myelin Grad-CAM. {NOTICE}.").into_bytes();
    description.resize(80, 0);
    NiftiHeader {
        pixdim: [1.0, length(0), length(1), length(2), 0.0, 0.0, 0.0, 0.0],
        xyzt_units: MILLIMETRES,
        sform_code: SCANNER,
        srow_x: x.map(|share| share as f32),
        srow_y: y.map(|share| share as f32),
        srow_z: z.map(|share| share as f32),
        descrip: description,
        cal_min: 0.0,
        cal_max: 1.0,
        ..NiftiHeader::default()
    }
}
