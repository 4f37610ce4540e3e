//! Signed distances in millimetres: negative inside.

use std::array::from_fn;

/// Distance to an ellipsoid around `centre`; first-order exact at the surface.
pub fn ellipsoid(point: [f32; 3], centre: [f32; 3], half_axes: [f32; 3]) -> f32 {
    let unit: [f32; 3] = from_fn(|axis| (point[axis] - centre[axis]) / half_axes[axis]);
    let gradient: [f32; 3] = from_fn(|axis| unit[axis] / half_axes[axis]);
    let scaled = length(unit);
    scaled * (scaled - 1.0) / length(gradient).max(1e-6)
}

/// Distance to a round tube from `from` to `to` whose radius changes linearly along it.
pub fn tube(point: [f32; 3], from: ([f32; 3], f32), to: ([f32; 3], f32)) -> f32 {
    let side: [f32; 3] = from_fn(|axis| to.0[axis] - from.0[axis]);
    let reach: [f32; 3] = from_fn(|axis| point[axis] - from.0[axis]);
    let along: f32 = side.iter().zip(reach).map(|(a, b)| a * b).sum();
    let square: f32 = side.iter().map(|part| part * part).sum();
    let share = (along / square).clamp(0.0, 1.0);
    let across: [f32; 3] = from_fn(|axis| reach[axis] - share * side[axis]);
    length(across) - (from.1 + share * (to.1 - from.1))
}

/// How far `value` lies outside of `[low, high]`; 0 inside.
pub fn outside(value: f32, low: f32, high: f32) -> f32 {
    (low - value).max(value - high).max(0.0)
}

/// Length of a vector.
pub fn length(vector: [f32; 3]) -> f32 {
    vector.iter().map(|part| part * part).sum::<f32>().sqrt()
}

/// Share of a voxel that lies inside a surface at signed distance `distance_mm`: 1 well inside,
/// 0 well outside, linear across `width_mm`. This is the partial volume of a straight edge.
pub fn inside(distance_mm: f32, width_mm: f32) -> f32 {
    (0.5 - distance_mm / width_mm).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sphere_and_a_tube_have_exact_distances() {
        for point in [[13.0, 4.0, 0.0], [3.0, 5.0, 0.0], [3.0, 4.0, -3.5]] {
            let exact = length([point[0] - 3.0, point[1] - 4.0, point[2]]) - 3.0;
            let sphere = ellipsoid(point, [3.0, 4.0, 0.0], [3.0; 3]);
            let short_tube = tube(point, ([3.0, 4.0, 0.0], 3.0), ([3.0, 4.0, 1e-3], 3.0));
            assert!((sphere - exact).abs() < 1e-4);
            assert!((short_tube - exact).abs() < 2e-3);
        }
        let cone = tube([5.0, 6.0, 0.0], ([0.0; 3], 1.0), ([10.0, 0.0, 0.0], 3.0));
        assert!((cone - 4.0).abs() < 1e-5);
    }

    #[test]
    fn partial_volume_is_half_at_the_surface() {
        assert_eq!(inside(0.0, 2.0), 0.5);
        assert_eq!((inside(-1.0, 2.0), inside(1.0, 2.0)), (1.0, 0.0));
        assert_eq!(
            (
                outside(1.0, 2.0, 3.0),
                outside(2.5, 2.0, 3.0),
                outside(4.0, 2.0, 3.0)
            ),
            (1.0, 0.0, 1.0)
        );
    }
}
