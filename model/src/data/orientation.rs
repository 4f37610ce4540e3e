//! From the axes of a NIfTI file to the patient's: right to left, front to back, feet to head.

use nifti::NiftiHeader;

use super::Placement;

/// For each axis of the patient (LPS+), the axis of the file that runs along it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Orientation {
    /// Axis of the file, 0 to 2; a permutation.
    pub axis: [usize; 3],
    /// Whether the file's axis runs the other way.
    pub reversed: [bool; 3],
    /// Voxel spacing along the patient's axes.
    pub spacing_mm: [f64; 3],
    /// False when the file does not say and its axes are taken as R, A, S.
    pub stated: bool,
    /// Largest angle between an axis of the file and the patient's nearest.
    pub tilt_degrees: f64,
}

impl Orientation {
    /// Reads the sform, else the qform, else only the voxel sizes (NIfTI-1 methods 3, 2 and 1).
    /// An oblique scan is assigned to the nearest axes, not resampled. `None` if the matrix is
    /// singular or not finite.
    pub(super) fn of(header: &NiftiHeader) -> Option<Self> {
        let (columns, stated) = if header.sform_code > 0 {
            (sform(header), true)
        } else if header.qform_code > 0 {
            (qform(header), true)
        } else {
            let [dx, dy, dz] = voxel_size(header);
            ([[dx, 0.0, 0.0], [0.0, dy, 0.0], [0.0, 0.0, dz]], false)
        };
        let millimetres = match header.xyzt_units & 0b111 {
            1 => 1000.0,
            3 => 0.001,
            _ => 1.0,
        };
        let lengths = columns.map(|[x, y, z]| (x * x + y * y + z * z).sqrt());
        if !lengths
            .iter()
            .all(|length| length.is_finite() && *length > 0.0)
        {
            return None;
        }
        let alignment = |axis: [usize; 3]| -> f64 {
            let along = |patient: usize| columns[axis[patient]][patient] / lengths[axis[patient]];
            (0..3).map(|patient| along(patient).abs()).sum()
        };
        let axis = PERMUTATIONS
            .into_iter()
            .max_by(|&a, &b| alignment(a).total_cmp(&alignment(b)))?;
        let towards = |patient: usize| columns[axis[patient]][patient];
        // NIfTI counts towards right, front and head; the volume towards left, back and head.
        let reversed = [towards(0) > 0.0, towards(1) > 0.0, towards(2) < 0.0];
        let angle = |patient: usize| {
            let along = towards(patient).abs() / lengths[axis[patient]];
            along.min(1.0).acos().to_degrees()
        };
        let singular = (0..3).any(|patient| towards(patient) == 0.0);
        (!singular).then_some(Self {
            axis,
            reversed,
            spacing_mm: axis.map(|source| lengths[source] * millimetres),
            stated,
            tilt_degrees: (0..3).map(angle).fold(0.0, f64::max),
        })
    }

    /// What of it is worth telling people.
    pub(super) fn placement(&self) -> Placement {
        Placement {
            stated: self.stated,
            permuted: self.axis != [0, 1, 2],
            tilt_degrees: self.tilt_degrees,
        }
    }

    /// Reorders voxels (first axis of the file fastest) to LPS+; gives the new dimensions, too.
    pub(super) fn apply(&self, dims: [usize; 3], voxels: &[f32]) -> ([usize; 3], Vec<f32>) {
        let strides = [1, dims[0], dims[0] * dims[1]];
        let [nx, ny, nz] = self.axis.map(|source| dims[source]);
        let offset = |patient: usize, index: usize, count: usize| {
            let index = if self.reversed[patient] {
                count - 1 - index
            } else {
                index
            };
            index * strides[self.axis[patient]]
        };
        let columns: Vec<usize> = (0..nx).map(|x| offset(0, x, nx)).collect();
        let mut ordered = Vec::with_capacity(voxels.len());
        for z in 0..nz {
            for y in 0..ny {
                let row = offset(2, z, nz) + offset(1, y, ny);
                ordered.extend(columns.iter().map(|column| voxels[row + column]));
            }
        }
        ([nx, ny, nz], ordered)
    }
}

const PERMUTATIONS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// What one step along each axis of the file means in the patient's R, A, S.
fn sform(header: &NiftiHeader) -> [[f64; 3]; 3] {
    let rows = [header.srow_x, header.srow_y, header.srow_z];
    std::array::from_fn(|source| rows.map(|row| f64::from(row[source])))
}

/// As [`sform`], from the quaternion (nifti1.h, "METHOD 2").
fn qform(header: &NiftiHeader) -> [[f64; 3]; 3] {
    let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from);
    let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
    let rotation = [
        [
            a * a + b * b - c * c - d * d,
            2.0 * (b * c + a * d),
            2.0 * (b * d - a * c),
        ],
        [
            2.0 * (b * c - a * d),
            a * a + c * c - b * b - d * d,
            2.0 * (c * d + a * b),
        ],
        [
            2.0 * (b * d + a * c),
            2.0 * (c * d - a * b),
            a * a + d * d - b * b - c * c,
        ],
    ];
    let [dx, dy, dz] = voxel_size(header);
    let handedness = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let steps = [dx, dy, handedness * dz];
    std::array::from_fn(|source| rotation[source].map(|share| share * steps[source]))
}

fn voxel_size(header: &NiftiHeader) -> [f64; 3] {
    [1, 2, 3].map(|axis| f64::from(header.pixdim[axis]).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_sform(rows: [[f32; 4]; 3]) -> NiftiHeader {
        NiftiHeader {
            sform_code: 1,
            srow_x: rows[0],
            srow_y: rows[1],
            srow_z: rows[2],
            ..NiftiHeader::default()
        }
    }

    #[test]
    fn lps_stays_and_las_and_ras_are_turned() {
        let diagonal =
            |x, y, z| with_sform([[x, 0.0, 0.0, 9.0], [0.0, y, 0.0, 9.0], [0.0, 0.0, z, 9.0]]);
        let turned = |header| Orientation::of(&header).expect("regular");
        let lps = turned(diagonal(-0.8, -0.9, 3.0));
        assert_eq!((lps.axis, lps.reversed), ([0, 1, 2], [false; 3]));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(close(lps.spacing_mm[0], 0.8) && close(lps.spacing_mm[2], 3.0));
        assert_eq!(
            turned(diagonal(-1.0, 1.0, 1.0)).reversed,
            [false, true, false]
        );
        assert_eq!(
            turned(diagonal(1.0, 1.0, -1.0)).reversed,
            [true, true, true]
        );
    }

    #[test]
    fn a_sagittal_scan_with_a_tilt_finds_its_nearest_axes() {
        // File axes: front to back, feet to head, left to right; tilted a little.
        let header = with_sform([
            [0.05, 0.0, 2.0, 0.0],
            [-0.9, 0.1, 0.0, 0.0],
            [0.1, 0.9, 0.1, 0.0],
        ]);
        let found = Orientation::of(&header).expect("regular");
        assert_eq!(found.axis, [2, 0, 1]);
        assert_eq!(found.reversed, [true, false, false]);
        let placement = found.placement();
        assert!(placement.stated && placement.permuted);
        // Of the file's first axis: acos(0.9 / |(0.05, -0.9, 0.1)|).
        assert!(
            (placement.tilt_degrees - 7.08).abs() < 0.01,
            "{placement:?}"
        );
        // dims (2 front-back, 3 feet-head, 2 left-right); value = y + 10 z + 100 (left first).
        let voxels: Vec<f32> = (0..12)
            .map(|index| (index % 2 + 10 * (index / 2 % 3) + 100 * (index / 6)) as f32)
            .collect();
        let (dims, ordered) = found.apply([2, 3, 2], &voxels);
        assert_eq!(dims, [2, 2, 3]);
        assert_eq!(
            ordered[..4],
            [100.0, 0.0, 101.0, 1.0],
            "right first, front row first"
        );
        assert_eq!(ordered[8..], [120.0, 20.0, 121.0, 21.0]);
    }

    #[test]
    fn the_quaternion_says_the_same_as_the_matrix() {
        // Half a turn about z: x to -x, y to -y, which is LPS.
        let header = NiftiHeader {
            sform_code: 0,
            qform_code: 1,
            quatern_d: 1.0,
            pixdim: [1.0, 0.5, 0.5, 4.0, 0.0, 0.0, 0.0, 0.0],
            ..NiftiHeader::default()
        };
        let found = Orientation::of(&header).expect("regular");
        assert_eq!((found.axis, found.reversed), ([0, 1, 2], [false; 3]));
        assert_eq!(found.spacing_mm, [0.5, 0.5, 4.0]);
        let left_handed = NiftiHeader {
            pixdim: [-1.0, 0.5, 0.5, 4.0, 0.0, 0.0, 0.0, 0.0],
            ..header
        };
        let found = Orientation::of(&left_handed).expect("regular");
        assert_eq!(found.reversed, [false, false, true]);
    }

    #[test]
    fn a_quarter_turn_about_x_swaps_the_other_axes() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        let header = NiftiHeader {
            sform_code: 0,
            qform_code: 1,
            quatern_b: half,
            pixdim: [1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0],
            ..NiftiHeader::default()
        };
        // x stays right; the file's y runs to the head, its z to the back.
        let found = Orientation::of(&header).expect("regular");
        assert_eq!(found.axis, [0, 2, 1]);
        assert_eq!(found.reversed, [true, false, false]);
    }

    #[test]
    fn without_a_statement_axes_are_taken_as_right_front_head() {
        let silent = NiftiHeader {
            sform_code: 0,
            qform_code: 0,
            xyzt_units: 1,
            ..NiftiHeader::default()
        };
        let found = Orientation::of(&silent).expect("regular");
        assert_eq!((found.stated, found.reversed), (false, [true, true, false]));
        assert_eq!(found.spacing_mm, [1000.0; 3], "metres");
    }

    #[test]
    fn a_singular_or_infinite_matrix_is_no_orientation() {
        let mut rows = [[0.0; 4]; 3];
        assert_eq!(Orientation::of(&with_sform(rows)), None);
        rows[0] = [f32::NAN; 4];
        assert_eq!(Orientation::of(&with_sform(rows)), None);
        let two_alike = [[1.0, 1.0, 0.0, 0.0], [0.0; 4], [0.0, 0.0, 1.0, 0.0]];
        assert_eq!(Orientation::of(&with_sform(two_alike)), None);
    }
}
