//! From the axes of a file to the patient's: right to left, front to back, feet to head.

use super::Placement;

/// For each axis of the patient (LPS+), the axis of the file that runs along it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Orientation {
    /// One step along each axis of the file: millimetres towards right, front and head.
    pub steps_mm: [[f64; 3]; 3],
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
    /// From what one step along each axis of the file means in the patient: millimetres towards
    /// right, front and head (the frame of NIfTI). `None` if the steps are not finite or do not span the room.
    ///
    /// An oblique scan is assigned to the nearest axes, not resampled. Which those are is decided
    /// as nibabel does (`io_orientation`): on the rotation nearest to the steps, the axis that runs
    /// straightest first.
    pub(super) fn from_steps(steps: [[f64; 3]; 3], stated: bool) -> Option<Self> {
        let lengths = steps.map(|[x, y, z]| (x * x + y * y + z * z).sqrt());
        let usable = |length: &f64| length.is_finite() && *length > 0.0;
        if !lengths.iter().all(usable) {
            return None;
        }
        let cosines = std::array::from_fn(|source| steps[source].map(|mm| mm / lengths[source]));
        let rotation = nearest_rotation(cosines)?;
        let straightness = |source: usize| {
            rotation[source]
                .iter()
                .fold(0.0, |most: f64, share| most.max(share.abs()))
        };
        let mut sources = [0, 1, 2];
        sources.sort_by(|&a, &b| straightness(b).total_cmp(&straightness(a)));
        let mut assigned = [None; 3];
        for source in sources {
            let mut best: Option<usize> = None;
            for patient in (0..3).filter(|&patient| assigned[patient].is_none()) {
                let share = |patient: usize| rotation[source][patient].abs();
                if best.is_none_or(|best| share(patient) > share(best)) {
                    best = Some(patient);
                }
            }
            assigned[best?] = Some(source);
        }
        let [Some(x), Some(y), Some(z)] = assigned else {
            return None;
        };
        let axis = [x, y, z];
        let towards = |patient: usize| rotation[axis[patient]][patient];
        let angle = |patient: usize| {
            let along = cosines[axis[patient]][patient].abs();
            along.min(1.0).acos().to_degrees()
        };
        Some(Self {
            steps_mm: steps,
            axis,
            // Steps count towards right, front and head; the volume towards left, back and head.
            reversed: [towards(0) > 0.0, towards(1) > 0.0, towards(2) < 0.0],
            spacing_mm: axis.map(|source| lengths[source]),
            stated,
            tilt_degrees: (0..3).map(angle).fold(0.0, f64::max),
        })
    }

    /// Where a place among the reordered voxels lies among those of the file. All indices count from the first voxel's centre;
    /// `dims` are the file's.
    pub(super) fn in_file(&self, dims: [usize; 3], place: [f64; 3]) -> [f64; 3] {
        let mut index = [0.0; 3];
        for (patient, place) in place.into_iter().enumerate() {
            let source = self.axis[patient];
            index[source] = if self.reversed[patient] {
                (dims[source] - 1) as f64 - place
            } else {
                place
            };
        }
        index
    }

    /// What of it is worth telling people.
    pub(super) fn placement(&self) -> Placement {
        Placement {
            stated: self.stated,
            permuted: self.axis != [0, 1, 2],
            disputed: false,
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

/// The orthogonal matrix nearest to `columns`, by Newton's iteration for the polar decomposition
/// (Higham, SIAM J. Sci. Stat. Comput. 7, 1986, section 3): the mean of a matrix and the transpose of its
/// inverse, again and again. `None` if they (nearly) lie in a plane.
fn nearest_rotation(columns: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    const FLATTEST: f64 = 1e-6;
    const MAX_STEPS: usize = 60;
    let mut matrix = columns;
    for _ in 0..MAX_STEPS {
        let [a, b, c] = matrix;
        let cofactors = [cross(b, c), cross(c, a), cross(a, b)];
        let volume: f64 = a.iter().zip(cofactors[0]).map(|(a, b)| a * b).sum();
        if !volume.is_finite() || volume.abs() < FLATTEST {
            return None;
        }
        let next: [[f64; 3]; 3] = std::array::from_fn(|column| {
            std::array::from_fn(|row| (matrix[column][row] + cofactors[column][row] / volume) / 2.0)
        });
        let moved = (matrix.as_flattened().iter())
            .zip(next.as_flattened())
            .any(|(before, after)| (before - after).abs() > 1e-14);
        matrix = next;
        if !moved {
            break;
        }
    }
    Some(matrix)
}

/// The vector product.
pub(super) fn cross([a, b, c]: [f64; 3], [d, e, f]: [f64; 3]) -> [f64; 3] {
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lps_stays_and_las_and_ras_are_turned() {
        let turned = |x, y, z| {
            let steps = [[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]];
            Orientation::from_steps(steps, true).expect("regular")
        };
        let lps = turned(-0.8, -0.9, 3.0);
        assert_eq!((lps.axis, lps.reversed), ([0, 1, 2], [false; 3]));
        assert_eq!(lps.spacing_mm, [0.8, 0.9, 3.0]);
        assert!(lps.tilt_degrees < 1e-6);
        assert_eq!(turned(-1.0, 1.0, 1.0).reversed, [false, true, false]);
        assert_eq!(turned(1.0, 1.0, -1.0).reversed, [true, true, true]);
    }

    #[test]
    fn a_sagittal_scan_with_a_tilt_finds_its_nearest_axes() {
        // File axes: front to back, feet to head, left to right; tilted a little.
        let steps = [[0.05, -0.9, 0.1], [0.0, 0.1, 0.9], [2.0, 0.0, 0.1]];
        let found = Orientation::from_steps(steps, true).expect("regular");
        assert_eq!(found.axis, [2, 0, 1]);
        assert_eq!(found.reversed, [true, false, false]);
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
    fn the_nearest_rotation_is_one_and_a_rotation_is_its_own() {
        let (sine, cosine) = 0.4_f64.sin_cos();
        let turn = [[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, -1.0]];
        let close = |a: [[f64; 3]; 3], b: [[f64; 3]; 3]| {
            let mut pairs = a.as_flattened().iter().zip(b.as_flattened());
            pairs.all(|(a, b)| (a - b).abs() < 1e-12)
        };
        assert!(close(nearest_rotation(turn).expect("regular"), turn));
        // For A = R H, R is orthogonal and H = R^T A symmetric.
        let sheared = [[1.0, 0.1, 0.0], [0.6, 0.8, 0.3], [0.0, -0.2, 1.0]];
        let rotation = nearest_rotation(sheared).expect("regular");
        let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for one in 0..3 {
            for other in 0..3 {
                let expected = f64::from(u8::from(one == other));
                assert!((dot(rotation[one], rotation[other]) - expected).abs() < 1e-12);
                let stretch =
                    dot(rotation[one], sheared[other]) - dot(rotation[other], sheared[one]);
                assert!(stretch.abs() < 1e-12);
            }
        }
    }

    #[test]
    fn steps_that_do_not_span_the_room_are_refused() {
        let steps = |last: [f64; 3]| [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], last];
        assert!(Orientation::from_steps(steps([0.0, 0.0, 1.0]), true).is_some());
        for last in [
            [0.0; 3],
            [1.0, 1.0, 0.0],
            [f64::NAN, 0.0, 1.0],
            [0.0, f64::INFINITY, 1.0],
        ] {
            assert_eq!(Orientation::from_steps(steps(last), true), None, "{last:?}");
        }
    }
}
