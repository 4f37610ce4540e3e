//! A three-dimensional scan in the patient's own frame.

use std::{fmt, ops::RangeInclusive};

use protocol::counted::counted;

/// Distances of neighbouring voxels that a scanner of people can have. A damaged header that says
/// otherwise would have the resampling run for ages.
pub const SPACINGS_MM: RangeInclusive<f64> = 0.01..=100.0;

/// A scan whose axes follow the patient, whatever the axes of the file were.
///
/// Axes are LPS+, the frame of DICOM: x grows from the patient's right to the left, y from
/// anterior to posterior, z from the feet to the head. `voxels[x + nx * (y + ny * z)]`, so one
/// axial plane is contiguous and, read row by row, already lies as a radiologist looks at it:
/// front up, the patient's right on the left.
///
/// Every voxel is finite and every length agrees, by construction.
#[derive(Clone, PartialEq)]
pub struct Volume {
    dims: [usize; 3],
    spacing_mm: [f64; 3],
    voxels: Vec<f32>,
}

impl Volume {
    /// A volume of `dims = [nx, ny, nz]` voxels at `spacing_mm` from centre to centre.
    ///
    /// # Errors
    /// A dimension of zero, a product that does not fit or is not the number of voxels, a spacing
    /// outside of [`SPACINGS_MM`], a voxel that is not finite.
    pub fn new(
        dims: [usize; 3],
        spacing_mm: [f64; 3],
        voxels: Vec<f32>,
    ) -> Result<Self, VolumeError> {
        let expected = dims
            .iter()
            .try_fold(1_usize, |product, &dim| product.checked_mul(dim))
            .filter(|&product| product > 0)
            .ok_or(VolumeError::Dimensions { dims })?;
        if expected != voxels.len() {
            return Err(VolumeError::Length {
                dims,
                expected,
                found: voxels.len(),
            });
        }
        if !spacing_mm.iter().all(|mm| SPACINGS_MM.contains(mm)) {
            return Err(VolumeError::Spacing { spacing_mm });
        }
        let non_finite = voxels.iter().filter(|voxel| !voxel.is_finite()).count();
        if non_finite > 0 {
            return Err(VolumeError::NonFinite { voxels: non_finite });
        }
        Ok(Self {
            dims,
            spacing_mm,
            voxels,
        })
    }

    /// Voxels along x (right to left), y (front to back) and z (feet to head).
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// Millimetres between voxel centres along x, y and z.
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.spacing_mm
    }

    /// All voxels, x fastest.
    pub fn voxels(&self) -> &[f32] {
        &self.voxels
    }

    /// The axial plane at height `z`: `ny` rows of `nx` voxels, front row first.
    ///
    /// # Panics
    /// If `z` is not below `dims()[2]`.
    pub fn axial_plane(&self, z: usize) -> &[f32] {
        let plane = self.dims[0] * self.dims[1];
        &self.voxels[z * plane..(z + 1) * plane]
    }
}

/// Shape only: voxels are a patient's.
impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("dims", &self.dims)
            .field("spacing_mm", &self.spacing_mm)
            .finish_non_exhaustive()
    }
}

/// Why numbers do not make a volume.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VolumeError {
    /// A dimension is zero, or their product does not fit in memory's address range.
    #[error("no volume has the dimensions {dims:?}")]
    Dimensions {
        /// nx, ny, nz.
        dims: [usize; 3],
    },
    /// The number of voxels is not the product of the dimensions.
    #[error("dimensions {dims:?} call for {expected} voxels, {found} given")]
    Length {
        /// nx, ny, nz.
        dims: [usize; 3],
        /// Their product.
        expected: usize,
        /// Voxels given.
        found: usize,
    },
    /// A spacing outside of [`SPACINGS_MM`].
    #[error("voxel spacing {spacing_mm:?} mm is not within {SPACINGS_MM:?} mm")]
    Spacing {
        /// Spacing along x, y, z.
        spacing_mm: [f64; 3],
    },
    /// Infinities or not-a-number among the voxels.
    #[error("{}", counted(*voxels, ["voxel is not a finite number", "voxels are not finite numbers"]))]
    NonFinite {
        /// How many.
        voxels: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_contiguous_with_x_fastest() {
        let voxels = (0..24).map(|voxel| voxel as f32).collect();
        let volume = Volume::new([2, 3, 4], [1.0; 3], voxels).expect("lengths agree");
        assert_eq!(volume.axial_plane(1), [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    }

    #[test]
    fn inconsistent_volumes_are_refused() {
        let spacing = [1.0; 3];
        assert!(matches!(
            Volume::new([0, 1, 1], spacing, vec![]),
            Err(VolumeError::Dimensions { .. })
        ));
        assert!(matches!(
            Volume::new([usize::MAX, 2, 1], spacing, vec![]),
            Err(VolumeError::Dimensions { .. })
        ));
        assert!(matches!(
            Volume::new([2, 1, 1], spacing, vec![0.0]),
            Err(VolumeError::Length { .. })
        ));
        for wrong in [0.0, -1.0, 1e-30, 1e30, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                Volume::new([1, 1, 1], [1.0, wrong, 1.0], vec![0.0]),
                Err(VolumeError::Spacing { .. })
            ));
        }
        assert_eq!(
            Volume::new([2, 1, 1], spacing, vec![f32::NAN, 1.0]),
            Err(VolumeError::NonFinite { voxels: 1 })
        );
    }
}
