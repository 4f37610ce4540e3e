//! From what AdamW has made of a gradient back to the gradient.
//!
//! With fresh moments the first step is g / (|g| + epsilon) for each value, which is nearly its sign: but "nearly" tells |g|, as
//! far as an f32 holds it. Of later steps only a mean is seen.

use model::train::TrainingSettings;

/// Of AdamW, as the trainer has it: PyTorch's.
const EPSILON: f64 = 1e-8;

/// The gradient of a step that has led from `before` to `after`; where there were more, what one step would need to lead a share of
/// the way.
///
/// What is too large for an f32 to tell is given as the largest that it tells, about 0.01 for a weight of 0.01.
pub fn gradient_behind(
    before: &[f32],
    after: &[f32],
    steps: u32,
    settings: &TrainingSettings,
) -> Vec<f32> {
    let rate = settings.learning_rate;
    let steps = steps.max(1);
    let left_by_decay =
        (1.0 - rate * settings.weight_decay).powi(i32::try_from(steps).unwrap_or(i32::MAX));
    let scale = 1.0 / (rate * f64::from(steps));
    let values = before.iter().zip(after);
    let gradient = values.map(|(&before, &after)| {
        let moved = (f64::from(before) * left_by_decay - f64::from(after)) * scale;
        let told = f64::from(after.abs().max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON) * scale;
        (EPSILON * moved / (1.0 - moved.abs()).max(told)) as f32
    });
    gradient.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_gradients_come_back_from_a_step() {
        let settings = TrainingSettings::new(vec![1.0, 1.0], [0; 32]);
        for gradient in [3e-7, -2e-5, 1e-4, -1e-3] {
            let before = 0.008_f32;
            let moved = gradient / (f64::abs(gradient) + EPSILON);
            let after = f64::from(before) * (1.0 - 1e-5) - settings.learning_rate * moved;
            let back = gradient_behind(&[before], &[after as f32], 1, &settings)[0];
            let off = (f64::from(back) / gradient - 1.0).abs();
            assert!(off < 0.1, "{gradient}: {back}");
        }
    }

    #[test]
    fn what_has_not_moved_has_no_gradient_and_nothing_becomes_infinite() {
        let settings = TrainingSettings::new(vec![1.0, 1.0], [0; 32]);
        let before = [0.25_f32, 0.0, 1.0];
        let after = [(0.25 * (1.0 - 1e-5)) as f32, 0.0, 0.5];
        let back = gradient_behind(&before, &after, 1, &settings);
        assert!(back[0].abs() < 1e-12 && back[1] == 0.0);
        assert!(back[2].is_finite() && back[2] > 0.0);
    }
}
