//! Planes in the patient, and whether they make a stack.

use std::path::{Path, PathBuf};

use super::SeriesError;
use crate::orientation::cross;

/// A smaller distance is none.
const SAME_PLACE_MM: f64 = 1e-3;
/// How far a distance may lie from the usual one, as a share of it: scanners round positions.
const SPACING_TOLERANCE: f64 = 0.05;
/// How far cosines and pixel sizes of one stack may differ.
const DIRECTION_TOLERANCE: f64 = 1e-3;

/// Where an image lies in the patient (PS3.3, C.7.6.2), in the frame of DICOM: left, back, head.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    /// Centre of the first pixel.
    pub position_mm: [f64; 3],
    /// Unit vector from column to column: along a row.
    pub along_row: [f64; 3],
    /// Unit vector from row to row: down a column.
    pub down_column: [f64; 3],
    /// Distance between columns, and between rows.
    pub pixel_mm: [f64; 2],
    /// SpacingBetweenSlices, else SliceThickness; only a single image needs it.
    pub thickness_mm: Option<f64>,
}

impl Plane {
    fn normal(&self) -> [f64; 3] {
        cross(self.along_row, self.down_column)
    }
}

/// Images in the order of their places, and the steps from voxel to voxel.
pub(super) struct Stack {
    /// Indices of the planes, in the direction of the third step.
    pub order: Vec<usize>,
    /// Steps along a row, down a column and from image to image: millimetres towards left, back, head.
    pub steps_mm: [[f64; 3]; 3],
    /// The first pixel of the first image: left, back, head.
    pub origin_mm: [f64; 3],
}

impl Stack {
    /// Orders planes; `paths` name them. At least one.
    pub(super) fn of(planes: &[Plane], paths: &[&Path]) -> Result<Self, SeriesError> {
        let (first, normal) = (&planes[0], planes[0].normal());
        for (plane, path) in planes.iter().zip(paths) {
            let differs = |what| SeriesError::Differs {
                path: path.to_path_buf(),
                first: paths[0].to_path_buf(),
                what,
            };
            let far = |a: &[f64], b: &[f64]| {
                let mut pairs = a.iter().zip(b);
                pairs.any(|(a, b)| (a - b).abs() > DIRECTION_TOLERANCE)
            };
            if far(&plane.along_row, &first.along_row)
                || far(&plane.down_column, &first.down_column)
            {
                return Err(differs("orientation"));
            }
            if far(&plane.pixel_mm, &first.pixel_mm) {
                return Err(differs("pixel size"));
            }
        }
        let depth = |plane: usize| dot(planes[plane].position_mm, normal);
        let mut order: Vec<usize> = (0..planes.len()).collect();
        order.sort_by(|&a, &b| depth(a).total_cmp(&depth(b)));
        let gaps: Vec<f64> = order
            .windows(2)
            .map(|pair| depth(pair[1]) - depth(pair[0]))
            .collect();
        if let Some(pair) = (order.windows(2).zip(&gaps)).find(|(_, gap)| **gap < SAME_PLACE_MM) {
            let [path, other] = [pair.0[0], pair.0[1]].map(|plane| PathBuf::from(paths[plane]));
            return Err(SeriesError::SamePlace { path, other });
        }
        let usual_mm = median(&gaps).or(first.thickness_mm).unwrap_or(1.0);
        for (pair, &gap) in order.windows(2).zip(&gaps) {
            let [below, above] = [pair[0], pair[1]].map(|plane| PathBuf::from(paths[plane]));
            let times = (gap / usual_mm).round();
            if (gap - times.max(1.0) * usual_mm).abs() > SPACING_TOLERANCE * usual_mm {
                return Err(SeriesError::Spacing {
                    below,
                    above,
                    found_mm: gap,
                    usual_mm,
                });
            }
            if times > 1.0 {
                return Err(SeriesError::MissingSlices {
                    count: times as usize - 1,
                    below,
                    above,
                });
            }
            let step = minus(planes[pair[1]].position_mm, planes[pair[0]].position_mm);
            let sideways = minus(step, normal.map(|share| share * gap));
            if dot(sideways, sideways).sqrt() > SPACING_TOLERANCE * gap.max(first.pixel_mm[0]) {
                return Err(SeriesError::Sheared { below, above });
            }
        }
        // The mean distance: rounded positions even out over the stack.
        let mean_mm = match gaps.len() {
            0 => usual_mm,
            count => gaps.iter().sum::<f64>() / count as f64,
        };
        Ok(Self {
            origin_mm: planes[order[0]].position_mm,
            order,
            steps_mm: [
                first.along_row.map(|share| share * first.pixel_mm[0]),
                first.down_column.map(|share| share * first.pixel_mm[1]),
                normal.map(|share| share * mean_mm),
            ],
        })
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] - b[axis])
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn axial(height_mm: f64) -> Plane {
        Plane {
            position_mm: [-100.0, -120.0, height_mm],
            along_row: [1.0, 0.0, 0.0],
            down_column: [0.0, 1.0, 0.0],
            pixel_mm: [0.5, 0.7],
            thickness_mm: Some(4.0),
        }
    }

    fn stack(planes: &[Plane]) -> Result<Stack, String> {
        let paths: Vec<&Path> = NAMES.iter().map(Path::new).collect();
        Stack::of(planes, &paths[..planes.len()]).map_err(|error| error.to_string())
    }

    fn at(heights: &[f64]) -> Result<Stack, String> {
        stack(&heights.iter().copied().map(axial).collect::<Vec<_>>())
    }

    #[test]
    fn images_are_ordered_by_their_place() {
        let found = at(&[3.0, 0.0, 6.01, -3.0]).expect("a stack");
        assert_eq!(found.order, [3, 1, 0, 2]);
        assert_eq!(found.steps_mm[0], [0.5, 0.0, 0.0]);
        assert_eq!(found.steps_mm[1], [0.0, 0.7, 0.0]);
        assert!((found.steps_mm[2][2] - 9.01 / 3.0).abs() < 1e-12);
        let single = at(&[7.0]).expect("a stack");
        assert_eq!(single.steps_mm[2], [0.0, 0.0, 4.0]);
    }

    #[test]
    fn copies_gaps_and_shifts_are_named() {
        let refusal = |heights: &[f64]| at(heights).err().expect("no stack");
        assert!(refusal(&[0.0, 3.0, 3.0]).starts_with("b and c lie at the same place"));
        assert_eq!(
            refusal(&[0.0, 3.0, 12.0, 6.0]),
            "1 slice is missing between d and c"
        );
        let uneven = refusal(&[0.0, 3.0, 6.0, 10.0]);
        assert!(
            uneven.contains("c and d are 4.000 mm apart, most 3.000 mm"),
            "{uneven}"
        );

        let mut planes = [0.0, 3.0, 6.0].map(axial).to_vec();
        planes[2].position_mm[1] += 1.0;
        let shifted = stack(&planes).err().expect("no stack");
        assert!(
            shifted.contains("shifted sideways between b and c"),
            "{shifted}"
        );
        planes[2] = axial(6.0);
        planes[1].down_column = [0.0, 0.0, -1.0];
        let turned = stack(&planes).err().expect("no stack");
        assert_eq!(turned, "b has another orientation than a");
        planes[1] = axial(3.0);
        planes[2].pixel_mm[0] = 0.6;
        let wider = stack(&planes).err().expect("no stack");
        assert_eq!(wider, "c has another pixel size than a");
    }
}
