//! From what AdamW has made of a gradient back to the gradient.
//!
//! With fresh moments the first step is g / (|g| + epsilon) for each value, which is nearly its sign: but "nearly" tells |g|, as
//! far as what is seen is told finely enough. A gradient that a value had in one step alone can be told at the end of a training as
//! well; of several only a mean is seen.

use model::train::TrainingSettings;

/// Of AdamW, as the trainer has it: PyTorch's.
const EPSILON: f64 = 1e-8;
/// Of the first and the second moment: PyTorch's.
const BETAS: [f64; 2] = [0.9, 0.999];

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
    let steps = steps.max(1);
    let kept = kept(settings, steps);
    let scale = 1.0 / (settings.learning_rate * f64::from(steps));
    let one_step = ActiveStep::new(1, 1, settings);
    let values = before.iter().zip(after);
    let gradient = values.map(|(&before, &after)| {
        let moved = (f64::from(before) * kept - f64::from(after)) * scale;
        let told = f64::from(after.abs().max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON) * scale;
        one_step.gradient(moved, told) as f32
    });
    gradient.collect()
}

/// What the weight decay of so many steps leaves of a value.
pub fn kept(settings: &TrainingSettings, steps: u32) -> f64 {
    (1.0 - settings.learning_rate * settings.weight_decay).powi(exponent(steps))
}

/// One step of a training, for values that have a gradient in no other.
///
/// From fresh moments a gradient g in this step alone moves a value by F |g| / (|g| + h) learning rates in all, as the moments go on to
/// move it in the steps after: exactly if it is the last step, and up to terms of epsilon / |g| squared elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActiveStep {
    /// F, in learning rates: a value never moves farther.
    pub limit: f64,
    /// h: the gradient that moves a value half as far.
    half: f64,
}

impl ActiveStep {
    /// Step `active` of so many, both from 1.
    pub fn new(active: u32, steps: u32, settings: &TrainingSettings) -> Self {
        let [mut limit, mut slope] = [0.0; 2];
        for step in active..=steps {
            let [first, second] = BETAS.map(|beta| {
                (1.0 - beta) * beta.powi(exponent(step - active))
                    / (1.0 - beta.powi(exponent(step)))
            });
            let kept = kept(settings, steps - step);
            limit += kept * first / second.sqrt();
            slope += kept * first / second;
        }
        let half = EPSILON * slope / limit;
        Self { limit, half }
    }

    /// The gradient that has moved a value so far, in learning rates, where that is told to within `told`. What is too large to be told
    /// is given as the largest that can be.
    pub fn gradient(self, moved: f64, told: f64) -> f64 {
        self.half * moved / (self.limit - moved.abs()).max(told)
    }
}

fn exponent(steps: u32) -> i32 {
    i32::try_from(steps).unwrap_or(i32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// AdamW by its definition (Loshchilov and Hutter 2019): the value that this one becomes with these gradients.
    pub fn stepped(mut value: f64, gradients: &[f64], settings: &TrainingSettings) -> f64 {
        let [mut first, mut second] = [0.0; 2];
        for (step, gradient) in (1..).zip(gradients) {
            first = 0.9 * first + 0.1 * gradient;
            second = 0.999 * second + 0.001 * gradient * gradient;
            let corrected = first / (1.0 - f64::powi(0.9, step));
            let root = (second / (1.0 - f64::powi(0.999, step))).sqrt();
            value -= settings.learning_rate
                * (settings.weight_decay * value + corrected / (root + EPSILON));
        }
        value
    }

    #[test]
    fn small_gradients_come_back_from_a_step() {
        let settings = TrainingSettings::new(vec![1.0, 1.0], [0; 32]);
        for gradient in [3e-7, -2e-5, 1e-4, -1e-3] {
            let before = 0.008_f32;
            let after = stepped(f64::from(before), &[gradient], &settings);
            let back = gradient_behind(&[before], &[after as f32], 1, &settings)[0];
            let off = (f64::from(back) / gradient - 1.0).abs();
            assert!(off < 0.1, "{gradient}: {back}");
        }
    }

    #[test]
    fn the_gradient_of_one_step_among_others_comes_back() {
        let settings = TrainingSettings::new(vec![1.0, 1.0], [0; 32]);
        for (active, steps) in [(1, 1), (1, 2), (2, 2), (3, 9)] {
            let step = ActiveStep::new(active, steps, &settings);
            for gradient in [1e-6, -3e-5] {
                let mut gradients = vec![0.0; steps as usize];
                gradients[active as usize - 1] = gradient;
                let (before, rate) = (0.25, settings.learning_rate);
                let after = stepped(before, &gradients, &settings);
                let moved = (before * kept(&settings, steps) - after) / rate;
                assert!(moved.abs() < step.limit, "{active} of {steps}");
                let off = (step.gradient(moved, 1e-9) / gradient - 1.0).abs();
                assert!(off < 0.02, "{active} of {steps}, {gradient}: {off}");
            }
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
