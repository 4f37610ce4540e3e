//! What the dense layer was given, from how far its values were moved.
//!
//! Of a unit that one sample has turned on, the gradient of the weights is that of the bias times what the layer was given: the quotient
//! of the two is that input. A unit that was on in one step of one hospital alone keeps the quotient through the other steps and the
//! sum. Which units those are, and which step it was, an attacker does not know: all are tried.

use model::train::TrainingSettings;
use rayon::prelude::*;

use super::super::super::adamw::{ActiveStep, kept};

/// What the attacker has of the dense layer: the weights of each unit, one unit after another, and then the biases.
pub struct SeenDense<'a> {
    /// Before the training, the same at every hospital.
    pub before: &'a [f32],
    /// By how much hospitals have changed it, added up.
    pub change: &'a [f64],
    /// Biases.
    pub units: usize,
    /// Hospitals in the sum.
    pub hospitals: usize,
    /// Steps of each.
    pub steps: u32,
    /// How finely the sum is told; 0 where nothing but an f32 rounds it.
    pub resolution: f64,
    /// Of the training.
    pub settings: &'a TrainingSettings,
}

impl SeenDense<'_> {
    /// For each unit that has moved, and for each step: the quotient, if the unit was on in this step of one hospital alone and that
    /// was for one sample.
    pub fn quotients(&self) -> impl ParallelIterator<Item = Vec<f32>> {
        let steps: Vec<ActiveStep> = (1..=self.steps)
            .map(|active| ActiveStep::new(active, self.steps, self.settings))
            .collect();
        let weights = self.before.len() - self.units;
        let width = weights / self.units;
        (0..steps.len() * self.units)
            .into_par_iter()
            .filter_map(move |candidate| {
                let (step, unit) = (steps[candidate / self.units], candidate % self.units);
                let bias = self.moved(weights + unit);
                let possible = MIN_SHARE_MOVED * step.limit..=step.limit + MAX_OFF * bias.told;
                if !possible.contains(&bias.by.abs()) {
                    return None;
                }
                let of_bias = step.gradient(bias.by, bias.told);
                let row = (unit * width..(unit + 1) * width).map(|place| self.moved(place));
                let inputs = row.map(|weight| step.gradient(weight.by, weight.told) / of_bias);
                Some(inputs.map(|value| value as f32).collect())
            })
    }

    fn moved(&self, place: usize) -> Moved {
        let rate = self.settings.learning_rate;
        let (before, change) = (f64::from(self.before[place]), self.change[place]);
        let decayed = before * (1.0 - kept(self.settings, self.steps)) * self.hospitals as f64;
        let rounded = before.abs().max(change.abs()) * f64::from(f32::EPSILON);
        Moved {
            by: -(change + decayed) / rate,
            told: self
                .resolution
                .max(rounded)
                .max(f64::from(f32::MIN_POSITIVE))
                / rate,
        }
    }
}

/// In learning rates.
struct Moved {
    /// Against the gradient, the weight decay left out.
    by: f64,
    /// How finely that is told.
    told: f64,
}

/// A bias that has moved by less than this share of the most that one step can do has a gradient near rounding: the unit was off.
const MIN_SHARE_MOVED: f64 = 0.05;
/// By how many times what is told a bias may have moved farther than one step can do: each hospital's change is rounded.
const MAX_OFF: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::{super::super::super::adamw::tests::stepped, *};

    const INPUTS: [[f64; 4]; 2] = [[0.5, 0.125, 2.0, 0.0], [1.5, 0.75, 0.25, 1.0]];

    /// Two hospitals that do three steps. The first unit is on for the first input in one step of one of them alone; the second also
    /// for the second input, in another step of the other.
    fn change(before: &[f32], settings: &TrainingSettings) -> Vec<f64> {
        let of_bias = |unit: usize, hospital: usize, step: usize| match (unit, hospital, step) {
            (_, 0, 1) => 3e-7,
            (1, 1, 2) => -2e-7,
            _ => 0.0,
        };
        let mut change = vec![0.0; before.len()];
        for (hospital, inputs) in INPUTS.iter().enumerate() {
            for (place, change) in change.iter_mut().enumerate() {
                let gradients: Vec<f64> = (0..3)
                    .map(|step| match place {
                        0..8 => of_bias(place / 4, hospital, step) * inputs[place % 4],
                        _ => of_bias(place - 8, hospital, step),
                    })
                    .collect();
                let start = f64::from(before[place]);
                *change += stepped(start, &gradients, settings) - start;
            }
        }
        change
    }

    #[test]
    fn a_unit_that_was_on_in_one_step_of_one_hospital_gives_its_input_away() {
        let settings = TrainingSettings::new(vec![1.0, 1.0], [0; 32]);
        let before: Vec<f32> = (1..=10).map(|place| place as f32 / 100.0).collect();
        let change = change(&before, &settings);
        let seen = |hospitals| SeenDense {
            before: &before,
            change: &change,
            units: 2,
            hospitals,
            steps: 3,
            resolution: 0.0,
            settings: &settings,
        };
        let quotients: Vec<Vec<f32>> = seen(2).quotients().collect();
        let truth = INPUTS[0].map(|value| value as f32);
        let off = |quotient: &[f32]| {
            let differences = quotient.iter().zip(truth).map(|(a, b)| (a - b).abs());
            differences.fold(0.0, f32::max)
        };
        // Each unit as if in the first step, then each as if in the second, which it was; the third cannot move a bias so far.
        let offs: Vec<f32> = quotients.iter().map(|quotient| off(quotient)).collect();
        assert_eq!(offs.len(), 4, "{quotients:?}");
        assert!(offs[2] < 0.02, "{offs:?}");
        assert!([0, 1, 3].iter().all(|&wrong| offs[wrong] > 0.1), "{offs:?}");
        // Who takes the sum for one hospital's update leaves the other's weight decay in.
        let of_one: Vec<Vec<f32>> = seen(1).quotients().collect();
        assert!(of_one.iter().all(|quotient| off(quotient) > 0.02));
    }

    #[test]
    fn a_unit_that_has_not_moved_gives_nothing() {
        let settings = TrainingSettings::new(vec![1.0, 1.0], [0; 32]);
        let before = [0.25, -0.5, 0.0];
        let left = kept(&settings, 2) - 1.0;
        let change = before.map(|value| f64::from(value) * left);
        let seen = SeenDense {
            before: &before,
            change: &change,
            units: 1,
            hospitals: 1,
            steps: 2,
            resolution: 1e-9,
            settings: &settings,
        };
        assert_eq!(seen.quotients().count(), 0);
    }
}
