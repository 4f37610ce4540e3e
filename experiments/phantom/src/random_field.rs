//! Smooth random fields: deformation, folding, bias and texture all come from these.

use std::f32::consts::TAU;

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// A stationary random field over space: a sum of plane waves of random direction and phase.
///
/// With a dozen waves the field is close to Gaussian; its mean is 0 and its root mean square is
/// the one asked for. Positions and wavelengths are in millimetres.
#[derive(Clone)]
pub struct RandomField {
    waves: Vec<Wave>,
}

#[derive(Clone)]
struct Wave {
    /// Radians per millimetre along x, y, z.
    frequency: [f32; 3],
    phase: f32,
    amplitude: f32,
}

/// Points evaluated side by side along a row: independent, so that the compiler vectorises.
const LANES: usize = 8;

impl RandomField {
    /// `count` waves with wavelengths uniform in `[shortest_mm, longest_mm]`.
    pub fn new(
        rng: &mut impl Rng,
        count: usize,
        [shortest_mm, longest_mm]: [f32; 2],
        root_mean_square: f32,
    ) -> Self {
        let amplitude = root_mean_square * (2.0 / count as f32).sqrt();
        let waves = (0..count).map(|_| {
            let direction: [f32; 3] = std::array::from_fn(|_| rng.sample(StandardNormal));
            let length = direction.iter().map(|part| part * part).sum::<f32>().sqrt();
            let wavelength = shortest_mm + (longest_mm - shortest_mm) * rng.random::<f32>();
            let radians_per_mm = TAU / wavelength / length.max(1e-6);
            Wave {
                frequency: direction.map(|part| part * radians_per_mm),
                phase: TAU * rng.random::<f32>(),
                amplitude,
            }
        });
        Self {
            waves: waves.collect(),
        }
    }

    /// Both fields added.
    pub fn and(mut self, other: Self) -> Self {
        self.waves.extend(other.waves);
        self
    }

    /// Value at a point.
    pub fn at(&self, point: [f32; 3]) -> f32 {
        let value = |wave: &Wave| wave.amplitude * wave.angle(point).cos();
        self.waves.iter().map(value).sum()
    }

    /// Values at `start`, `start + step_mm` along x, and so on.
    pub fn row(&self, start: [f32; 3], step_mm: f32, values: &mut [f32]) {
        values.fill(0.0);
        for wave in &self.waves {
            let mut turning = Turning::new(wave, start, step_mm);
            for block in values.chunks_mut(LANES) {
                for (value, cosine) in block.iter_mut().zip(&turning.cosine) {
                    *value += wave.amplitude * cosine;
                }
                turning.advance();
            }
        }
    }

    /// As [`Self::row`], with the length of the gradient (per millimetre) beside each value.
    pub fn row_with_slope(
        &self,
        start: [f32; 3],
        step_mm: f32,
        values: &mut [f32],
        slopes: &mut [f32],
    ) {
        values.fill(0.0);
        let mut gradients = vec![[0.0_f32; LANES]; 3 * values.len().div_ceil(LANES)];
        for wave in &self.waves {
            let mut turning = Turning::new(wave, start, step_mm);
            let blocks = values.chunks_mut(LANES).zip(gradients.chunks_exact_mut(3));
            for (block, gradient) in blocks {
                for (value, cosine) in block.iter_mut().zip(&turning.cosine) {
                    *value += wave.amplitude * cosine;
                }
                for (axis, part) in gradient.iter_mut().enumerate() {
                    let slope = wave.amplitude * wave.frequency[axis];
                    for (part, sine) in part.iter_mut().zip(&turning.sine) {
                        *part -= slope * sine;
                    }
                }
                turning.advance();
            }
        }
        for (block, gradient) in slopes.chunks_mut(LANES).zip(gradients.chunks_exact(3)) {
            for (lane, slope) in block.iter_mut().enumerate() {
                let [x, y, z] = [gradient[0][lane], gradient[1][lane], gradient[2][lane]];
                *slope = (x * x + y * y + z * z).sqrt();
            }
        }
    }
}

impl Wave {
    fn angle(&self, point: [f32; 3]) -> f32 {
        let along = self.frequency.iter().zip(point).map(|(k, mm)| k * mm);
        along.sum::<f32>() + self.phase
    }
}

/// Cosine and sine at [`LANES`] neighbouring points, moved on by the addition theorem: two
/// multiplications a point instead of a call of `cos`.
struct Turning {
    cosine: [f32; LANES],
    sine: [f32; LANES],
    step_cosine: f32,
    step_sine: f32,
}

impl Turning {
    fn new(wave: &Wave, start: [f32; 3], step_mm: f32) -> Self {
        let (first, step) = (wave.angle(start), wave.frequency[0] * step_mm);
        let angle = |lane: usize| first + step * lane as f32;
        let (step_sine, step_cosine) = (step * LANES as f32).sin_cos();
        Self {
            cosine: std::array::from_fn(|lane| angle(lane).cos()),
            sine: std::array::from_fn(|lane| angle(lane).sin()),
            step_cosine,
            step_sine,
        }
    }

    fn advance(&mut self) {
        for (cosine, sine) in self.cosine.iter_mut().zip(&mut self.sine) {
            let turned = *cosine * self.step_cosine - *sine * self.step_sine;
            *sine = *sine * self.step_cosine + *cosine * self.step_sine;
            *cosine = turned;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn field() -> RandomField {
        RandomField::new(&mut ChaCha8Rng::seed_from_u64(5), 16, [20.0, 30.0], 2.0)
    }

    #[test]
    fn a_row_agrees_with_its_points_and_their_finite_differences() {
        let (field, start, step) = (field(), [-80.0, 12.0, 33.0], 1.8);
        let (mut row, mut values, mut slopes) = ([0.0; 101], [0.0; 101], [0.0; 101]);
        field.row(start, step, &mut row);
        field.row_with_slope(start, step, &mut values, &mut slopes);
        assert_eq!(row, values);
        for (index, (value, slope)) in values.iter().zip(slopes).enumerate() {
            let point = [start[0] + step * index as f32, start[1], start[2]];
            assert!((value - field.at(point)).abs() < 1e-3);
            let difference = |axis: usize| {
                let (mut above, mut below) = (point, point);
                above[axis] += 0.1;
                below[axis] -= 0.1;
                (field.at(above) - field.at(below)) / 0.2
            };
            let gradient = (0..3).map(|axis| difference(axis).powi(2)).sum::<f32>();
            assert!((slope - gradient.sqrt()).abs() < 5e-3);
        }
    }

    #[test]
    fn the_root_mean_square_is_the_one_asked_for() {
        let field = field();
        let mut row = vec![0.0; 100_000];
        field.row([0.0; 3], 0.7, &mut row);
        let mean_square = row.iter().map(|value| value * value).sum::<f32>() / row.len() as f32;
        assert!((mean_square.sqrt() - 2.0).abs() < 0.1, "{mean_square}");
    }
}
