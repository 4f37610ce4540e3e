//! How the axes of a NIfTI file lie in the patient.

use nifti::NiftiHeader;

use super::orientation::Orientation;

/// Where a file lies, and whether it says so twice and differently.
pub(super) struct Frame {
    pub orientation: Orientation,
    /// Where the first voxel lies, in millimetres towards right, front and head of the world's origin. Without a form it is the origin.
    pub origin_mm: [f64; 3],
    /// The sform and the qform put its axes along other axes of the patient, or the other way round.
    pub disputed: bool,
}

impl Frame {
    /// Reads the sform, else the qform, else only the voxel sizes (nifti1.h, methods 3, 2 and 1: the last takes
    /// the axes as right, front, head). A form that is singular or not finite counts as one that is not there; `None` if no other is.
    pub(super) fn of(header: &NiftiHeader) -> Option<Self> {
        let millimetres = match header.xyzt_units & 0b111 {
            1 => 1000.0,
            3 => 0.001,
            _ => 1.0,
        };
        let from_steps = |steps: [[f64; 3]; 3], stated| {
            let steps = steps.map(|step| step.map(|share| share * millimetres));
            Orientation::from_steps(steps, stated)
        };
        let stated = |code: i16, form: fn(&NiftiHeader) -> [[f64; 3]; 3]| {
            (code > 0).then(|| from_steps(form(header), true)).flatten()
        };
        let (sform, qform) = (
            stated(header.sform_code, sform),
            stated(header.qform_code, qform),
        );
        let differ = |(sform, qform): (Orientation, Orientation)| {
            (sform.axis, sform.reversed) != (qform.axis, qform.reversed)
        };
        let disputed = sform.zip(qform).is_some_and(differ);
        let unstated = || {
            let [dx, dy, dz] = voxel_size(header);
            from_steps([[dx, 0.0, 0.0], [0.0, dy, 0.0], [0.0, 0.0, dz]], false)
        };
        let origin = match (&sform, &qform) {
            (Some(_), _) => [header.srow_x, header.srow_y, header.srow_z].map(|row| row[3]),
            (None, Some(_)) => [header.quatern_x, header.quatern_y, header.quatern_z],
            (None, None) => [0.0; 3],
        };
        let claimed = header.sform_code > 0 || header.qform_code > 0;
        let orientation = match sform.or(qform) {
            None if claimed => None,
            None => unstated(),
            stated => stated,
        };
        Some(Self {
            orientation: orientation?,
            origin_mm: origin.map(|share| f64::from(share) * millimetres),
            disputed,
        })
    }
}

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

    fn orientation(header: &NiftiHeader) -> Option<Orientation> {
        Frame::of(header).map(|frame| frame.orientation)
    }

    fn with_sform(rows: [[f32; 4]; 3]) -> NiftiHeader {
        NiftiHeader {
            sform_code: 1,
            qform_code: 0,
            srow_x: rows[0],
            srow_y: rows[1],
            srow_z: rows[2],
            ..NiftiHeader::default()
        }
    }

    #[test]
    fn the_matrix_is_read_by_columns() {
        let rows = [
            [0.0, 0.5, 0.0, 9.0],
            [-0.5, 0.0, 0.0, 9.0],
            [0.0, 0.0, 4.0, 9.0],
        ];
        let found = orientation(&with_sform(rows)).expect("regular");
        assert_eq!(
            (found.axis, found.reversed),
            ([1, 0, 2], [true, false, false])
        );
        assert_eq!(found.spacing_mm, [0.5, 0.5, 4.0]);
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
        let found = orientation(&header).expect("regular");
        assert_eq!((found.axis, found.reversed), ([0, 1, 2], [false; 3]));
        assert_eq!(found.spacing_mm, [0.5, 0.5, 4.0]);
        let left_handed = NiftiHeader {
            pixdim: [-1.0, 0.5, 0.5, 4.0, 0.0, 0.0, 0.0, 0.0],
            ..header
        };
        let found = orientation(&left_handed).expect("regular");
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
        let found = orientation(&header).expect("regular");
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
        let found = orientation(&silent).expect("regular");
        assert_eq!((found.stated, found.reversed), (false, [true, true, false]));
        assert_eq!(found.spacing_mm, [1000.0; 3], "metres");
    }

    #[test]
    fn a_singular_or_infinite_matrix_is_no_orientation() {
        let mut rows = [[0.0; 4]; 3];
        assert_eq!(orientation(&with_sform(rows)), None);
        rows[0] = [f32::NAN; 4];
        assert_eq!(orientation(&with_sform(rows)), None);
        let two_alike = [[1.0, 1.0, 0.0, 0.0], [0.0; 4], [0.0, 0.0, 1.0, 0.0]];
        assert_eq!(orientation(&with_sform(two_alike)), None);
    }

    #[test]
    fn a_form_that_says_nothing_leaves_it_to_the_other_and_two_that_differ_are_disputed() {
        let qform = NiftiHeader {
            qform_code: 1,
            quatern_d: 1.0,
            pixdim: [1.0, 0.5, 0.5, 4.0, 0.0, 0.0, 0.0, 0.0],
            ..with_sform([[0.0; 4]; 3])
        };
        let found = Frame::of(&qform).expect("the qform");
        assert_eq!(found.orientation.reversed, [false; 3]);
        assert!(!found.disputed);
        let rows = |x: f32| {
            [
                [x, 0.0, 0.0, 0.0],
                [0.0, -0.5, 0.0, 0.0],
                [0.0, 0.0, 4.0, 0.0],
            ]
        };
        for (x, disputed) in [(-0.5, false), (0.5, true)] {
            let both = NiftiHeader {
                srow_x: rows(x)[0],
                srow_y: rows(x)[1],
                srow_z: rows(x)[2],
                ..qform.clone()
            };
            let found = Frame::of(&both).expect("both");
            assert_eq!(found.disputed, disputed);
            assert_eq!(found.orientation.reversed, [x > 0.0, false, false]);
        }
    }
}
