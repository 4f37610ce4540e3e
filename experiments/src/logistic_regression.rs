//! Features alone: a multinomial logistic regression, the baseline that a network has to better.

/// Scaled features of one patient, its class, and how much it counts.
pub struct Example {
    /// About zero on the average, about one wide.
    pub features: Box<[f64]>,
    /// From 0.
    pub class: usize,
    /// 1 for a patient like any other; one of 2 is there twice.
    pub weight: f64,
}

/// A row a class: a weight a feature, then the intercept.
pub struct LogisticRegression(Vec<Vec<f64>>);

impl LogisticRegression {
    /// The weights of the lowest weighted sum of cross-entropies plus half the sum of squared weights, intercepts left out: scikit-learn's
    /// `LogisticRegression()` of more than two classes. Zero without examples.
    ///
    /// # Panics
    /// If a class is not one of `classes`.
    pub fn fit(examples: &[Example], classes: usize) -> Self {
        let row = examples.first().map_or(0, |one| one.features.len() + 1);
        let mut model = Self(vec![vec![0.0; row]; classes]);
        for _ in 0..NEWTON_STEPS {
            let (gradient, hessian) = model.derivatives(examples);
            let step = solved(hessian, &gradient);
            let largest = step
                .iter()
                .fold(0.0_f64, |most, value| most.max(value.abs()));
            // Far from the minimum a whole step can lead farther away.
            let scale = (2.0 / largest).min(1.0);
            for (weight, step) in model.0.iter_mut().flatten().zip(step) {
                *weight -= scale * step;
            }
            if largest < 1e-10 {
                break;
            }
        }
        model
    }

    /// Of each class.
    pub fn probabilities(&self, features: &[f64]) -> Vec<f64> {
        let input = with_intercept(features);
        let logits = self.0.iter().map(|row| {
            row.iter()
                .zip(&input)
                .map(|(weight, input)| weight * input)
                .sum()
        });
        let logits: Vec<f64> = logits.collect();
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponentials: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        exponentials.iter().map(|value| value / sum).collect()
    }

    /// Gradient and Hessian of what is minimised, class after class.
    fn derivatives(&self, examples: &[Example]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let width = self.0.first().map_or(0, Vec::len);
        let size = width * self.0.len();
        let mut gradient = vec![0.0; size];
        let mut hessian = vec![vec![0.0; size]; size];
        for (place, weight) in self.0.iter().flatten().enumerate() {
            let is_intercept = (place + 1) % width == 0;
            // Intercepts may all move by the same: a little keeps them where they are.
            let penalty = if is_intercept { 1e-9 } else { 1.0 };
            gradient[place] += penalty * weight;
            hessian[place][place] += penalty;
        }
        for example in examples {
            let input = with_intercept(&example.features);
            let shares = self.probabilities(&example.features);
            for (class, share) in shares.iter().enumerate() {
                let error = share - f64::from(u8::from(class == example.class));
                for (entry, value) in input.iter().enumerate() {
                    gradient[width * class + entry] += example.weight * error * value;
                }
                for (other, other_share) in shares.iter().enumerate() {
                    let same = f64::from(u8::from(class == other));
                    let curvature = example.weight * share * (same - other_share);
                    for (entry, value) in input.iter().enumerate() {
                        let row = &mut hessian[width * class + entry][width * other..][..width];
                        for (cell, other_value) in row.iter_mut().zip(&input) {
                            *cell += curvature * value * other_value;
                        }
                    }
                }
            }
        }
        (gradient, hessian)
    }
}

fn with_intercept(features: &[f64]) -> Vec<f64> {
    features.iter().copied().chain([1.0]).collect()
}

/// Of a symmetric, positive definite system: Gaussian elimination, without a need to exchange rows.
pub fn solved(mut matrix: Vec<Vec<f64>>, right: &[f64]) -> Vec<f64> {
    let mut right = right.to_vec();
    for pivot in 0..right.len() {
        let (above, below) = matrix.split_at_mut(pivot + 1);
        let own = &above[pivot];
        let of_pivot = right[pivot];
        for (row, value) in below.iter_mut().zip(&mut right[pivot + 1..]) {
            let factor = row[pivot] / own[pivot];
            for (cell, own) in row[pivot..].iter_mut().zip(&own[pivot..]) {
                *cell -= factor * own;
            }
            *value -= factor * of_pivot;
        }
    }
    for pivot in (0..right.len()).rev() {
        let known: f64 = (pivot + 1..right.len())
            .map(|place| matrix[pivot][place] * right[place])
            .sum();
        right[pivot] = (right[pivot] - known) / matrix[pivot][pivot];
    }
    right
}

const NEWTON_STEPS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: usize = 9;

    fn examples(classes: usize) -> Vec<Example> {
        let value = |place: usize| ((place * 7919 + 13) % 1009) as f64 / 504.5 - 1.0;
        (0..60)
            .map(|number| {
                let features: Box<[f64]> = (0..FEATURES)
                    .map(|entry| value(number * FEATURES + entry))
                    .collect();
                let tendency = features[0] - 0.7 * features[3] + 0.8 * value(number * 31 + 7);
                let class = match classes {
                    2 => usize::from(tendency > 0.1),
                    _ => usize::from(tendency > -0.3) + usize::from(tendency > 0.5),
                };
                Example {
                    features,
                    class,
                    weight: 1.0,
                }
            })
            .collect()
    }

    /// scikit-learn 1.7.2 on the same examples: `LogisticRegression(C=2.0, tol=1e-12, max_iter=10000)` with two classes, where a
    /// multinomial regression has its penalty twice, and `C=1.0` with three.
    #[test]
    fn probabilities_are_those_of_scikit_learn() {
        for (classes, expected) in [(2, &BINARY[..]), (3, &MULTICLASS[..])] {
            let examples = examples(classes);
            let model = LogisticRegression::fit(&examples, classes);
            let found: Vec<f64> = examples[..4]
                .iter()
                .flat_map(|example| model.probabilities(&example.features))
                .collect();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found:?}, not {expected}");
            }
        }
    }

    const BINARY: [f64; 8] = [
        0.915_847_382,
        0.084_152_618,
        0.054_453_150,
        0.945_546_850,
        0.981_812_816,
        0.018_187_184,
        0.140_261_157,
        0.859_738_843,
    ];
    const MULTICLASS: [f64; 12] = [
        0.885_370_540,
        0.045_482_803,
        0.069_146_656,
        0.023_218_972,
        0.343_339_342,
        0.633_441_686,
        0.956_025_125,
        0.029_414_470,
        0.014_560_405,
        0.098_407_819,
        0.204_462_094,
        0.697_130_087,
    ];

    #[test]
    fn a_weight_of_two_is_as_good_as_being_there_twice_and_one_of_zero_as_not_being_there() {
        let weight = |number: usize| [0.0, 1.0, 2.0][number % 3];
        let weighted = examples(3).into_iter().enumerate();
        let weighted: Vec<Example> = weighted
            .map(|(number, example)| Example {
                weight: weight(number),
                ..example
            })
            .collect();
        let [once, again] = [(); 2].map(|()| examples(3).into_iter().enumerate());
        let once = once.filter(|(number, _)| weight(*number) > 0.0);
        let twice = once.chain(again.filter(|(number, _)| weight(*number) > 1.0));
        let repeated: Vec<Example> = twice.map(|(_, example)| example).collect();
        assert_eq!(repeated.len(), 60);
        let [weighted, repeated] =
            [weighted, repeated].map(|examples| LogisticRegression::fit(&examples, 3));
        // Not the weights: all intercepts may move by the same.
        for example in examples(3) {
            let [one, other] =
                [&weighted, &repeated].map(|model| model.probabilities(&example.features));
            for (one, other) in one.iter().zip(&other) {
                assert!((one - other).abs() < 1e-9, "{one}, {other}");
            }
        }
    }

    #[test]
    fn without_examples_all_classes_are_alike() {
        let model = LogisticRegression::fit(&[], 3);
        assert_eq!(model.probabilities(&[1.0; FEATURES]), [1.0 / 3.0; 3]);
    }
}
