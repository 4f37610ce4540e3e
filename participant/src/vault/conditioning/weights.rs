//! The weights that meet clinical features, and what a form of conditioning makes of both (MODEL.md, "Forms of conditioning"): the
//! products, what is released of each patient, and the gradient.

use protocol::{
    network::{CONDITIONED_VALUES, ModelLayout},
    training_job::PatientValues,
    vocabulary::ConditioningForm,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::release::{ReleaseLevels, release_shift, release_tap};

/// The scaled features of one patient, in the order of the run's schema.
pub type ScaledFeatures = Box<[f64]>;

/// What the vault keeps of the common model.
#[derive(Clone, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct ConditioningWeights {
    #[zeroize(skip)]
    form: ConditioningForm,
    /// Features of a patient.
    #[zeroize(skip)]
    features: usize,
    /// One a feature, in the form `late` one a feature and class: what the coordinator multiplies with the features.
    factors: Vec<f64>,
    /// W, where products are added to it; else 0.
    base: [f64; CONDITIONED_VALUES],
}

impl ConditioningWeights {
    /// Of a model in the order of `layout`.
    ///
    /// # Panics
    /// If the layout is not that of the form.
    pub fn of(form: ConditioningForm, layout: &ModelLayout, values: &[f32]) -> Self {
        let ranges = form.tensors().iter().map(|name| {
            let range = layout.range(name);
            range.expect("a checked manifest has the layout of its form")
        });
        let ranges: Vec<_> = ranges.collect();
        let length = ranges.iter().map(ExactSizeIterator::len).sum();
        let mut kept = Zeroizing::new(Vec::with_capacity(length));
        for range in ranges {
            kept.extend_from_slice(&values[range]);
        }
        let features = match form {
            ConditioningForm::Study | ConditioningForm::Additive => CONDITIONED_VALUES,
            ConditioningForm::Late => {
                let mut tensors = layout.tensors.iter();
                let own = tensors.find(|tensor| tensor.name.0 == form.factors());
                own.and_then(|tensor| tensor.shape.last())
                    .map_or(0, |&side| side as usize)
            }
        };
        Self::from_kept(form, features, &kept)
    }

    /// Of the tensors of the form ([`ConditioningForm::tensors`]), one after another.
    pub fn from_kept(form: ConditioningForm, features: usize, kept: &[f32]) -> Self {
        let mut kept: Vec<f64> = kept.iter().map(|&value| value.into()).collect();
        let mut base = [0.0; CONDITIONED_VALUES];
        if form == ConditioningForm::Additive {
            // By name, the slopes come before W.
            let start = kept.len().saturating_sub(CONDITIONED_VALUES);
            for (base, weight) in base.iter_mut().zip(&kept[start..]) {
                *base = *weight;
            }
            kept.truncate(start);
        }
        Self {
            form,
            features,
            factors: kept,
            base,
        }
    }

    /// What is multiplied with the features: one value each, in the form `late` one each for every class.
    pub fn factors(&self) -> &[f64] {
        &self.factors
    }

    /// The products in plaintext: what a decrypted one is checked against, and the plaintext reference.
    pub fn products(&self, features: &[f64]) -> Zeroizing<Vec<f64>> {
        let pairs = self.factors.iter().zip(features.iter().cycle());
        Zeroizing::new(pairs.map(|(factor, feature)| factor * feature).collect())
    }

    /// What a trainer gets of one patient, from its products: a filter, or shifts of the logits.
    pub fn release(&self, products: &[f64], levels: ReleaseLevels, released: &mut Vec<f32>) {
        match self.form {
            ConditioningForm::Study | ConditioningForm::Additive => {
                let taps = products.iter().zip(&self.base);
                released.extend(taps.map(|(product, base)| release_tap(base + product)));
            }
            ConditioningForm::Late => {
                let classes = products.chunks_exact(self.features.max(1));
                released
                    .extend(classes.map(|class| release_shift(class.iter().sum::<f64>(), levels)));
            }
        }
    }

    /// Values that a trainer gets of each patient.
    pub fn values_per_patient(&self) -> usize {
        self.form
            .values_per_patient(self.factors.len() / self.features.max(1))
    }

    /// What a trainer gets of patients whose products are computed in plaintext. From an encrypted product the same is released.
    pub fn local_inputs(
        &self,
        patients: &[ScaledFeatures],
        levels: ReleaseLevels,
    ) -> PatientValues {
        let mut released = Vec::with_capacity(patients.len() * self.values_per_patient());
        for features in patients {
            self.release(&self.products(&bounded(features)), levels, &mut released);
        }
        PatientValues::new(self.values_per_patient(), released)
    }
}

/// Clips to ±8 (PROTOCOL.md 5.3).
pub fn bound(features: &mut [f64]) {
    for value in features {
        *value = value.clamp(-MAX_SCALED_FEATURE, MAX_SCALED_FEATURE);
    }
}

fn bounded(features: &[f64]) -> Zeroizing<Vec<f64>> {
    let mut bounded = Zeroizing::new(features.to_vec());
    bound(&mut bounded);
    bounded
}

/// What a round moves the weights by: `-eta_W` times the mean over its batches of their gradient (MODEL.md, "Gradient of W"), in the
/// order of [`ConditioningForm::tensors`], one tensor after another.
pub fn weight_change(
    form: ConditioningForm,
    patients: &[ScaledFeatures],
    input_gradients: &PatientValues,
    batches: u32,
    rate: f64,
) -> Zeroizing<Vec<f64>> {
    let rows = patients.iter().zip(input_gradients.rows());
    let gradient = weight_gradient(form, input_gradients.per_patient(), rows);
    let mut change = Zeroizing::new(gradient);
    for value in change.iter_mut() {
        *value = -rate * *value / f64::from(batches.max(1));
    }
    change
}

/// The gradient of the weights: the sum over patients of their features times the gradient of what was released of them, where the
/// trainer has already put zero for clipped values. Empty without patients.
///
/// # Panics
/// If a row has fewer values than the form has.
pub fn weight_gradient<'a>(
    form: ConditioningForm,
    per_patient: usize,
    patients: impl Iterator<Item = (&'a ScaledFeatures, &'a [f32])>,
) -> Vec<f64> {
    let mut patients = patients.peekable();
    let features_of_each = patients.peek().map_or(0, |(features, _)| features.len());
    let factors = match form {
        ConditioningForm::Study | ConditioningForm::Additive => features_of_each,
        ConditioningForm::Late => features_of_each * per_patient,
    };
    let mut of_factors = vec![0.0; factors];
    let mut of_base = [0.0; CONDITIONED_VALUES];
    for (features, gradients) in patients {
        for (place, sum) in of_factors.iter_mut().enumerate() {
            let input = match form {
                ConditioningForm::Study | ConditioningForm::Additive => place,
                ConditioningForm::Late => place / features_of_each,
            };
            *sum += features[place % features_of_each] * f64::from(gradients[input]);
        }
        for (sum, gradient) in of_base.iter_mut().zip(gradients) {
            *sum += f64::from(*gradient);
        }
    }
    if form == ConditioningForm::Additive {
        of_factors.extend(of_base);
    }
    of_factors
}

/// Features are clipped to this on both sides (PROTOCOL.md 5.3).
pub const MAX_SCALED_FEATURE: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two patients; any number of features repeat nine values.
    fn features_of_two(count: usize) -> [ScaledFeatures; 2] {
        let values = [
            [0.5, -1.0, 2.0, 0.0, 1.0, -0.25, 9.0, 3.0, -2.0],
            [-0.5, 0.25, 1.0, 1.0, -1.0, 0.75, -9.0, 0.0, 0.5],
        ];
        values.map(|values| values.into_iter().cycle().take(count).collect())
    }

    /// Forms with their classes and numbers of features.
    const CASES: [(ConditioningForm, u32, usize); 6] = [
        (ConditioningForm::Study, 2, 9),
        (ConditioningForm::Additive, 3, 9),
        (ConditioningForm::Late, 2, 9),
        (ConditioningForm::Late, 3, 9),
        (ConditioningForm::Late, 2, 1),
        (ConditioningForm::Late, 3, 30),
    ];

    fn weights(form: ConditioningForm, classes: u32, features: usize) -> (ModelLayout, Vec<f32>) {
        let layout = ModelLayout::of(classes, form, features);
        let mut values = layout.initial_values(&[3; 32]);
        for (number, name) in form.tensors().iter().enumerate() {
            for (place, value) in values[layout.range(name).expect("its own")]
                .iter_mut()
                .enumerate()
            {
                *value = ((place * 7 + number * 3) % 11) as f32 / 8.0 - 0.6;
            }
        }
        (layout, values)
    }

    /// By the definition of each form, from the tensors themselves.
    #[test]
    fn what_is_released_is_what_the_form_says() {
        for (form, classes, features) in CASES {
            let (layout, values) = weights(form, classes, features);
            let patients = features_of_two(features);
            let read = ConditioningWeights::of(form, &layout, &values);
            let tensor = |name: &str| &values[layout.range(name).expect("its own")];
            let inputs = read.local_inputs(&patients, ReleaseLevels::FINEST);
            assert_eq!(
                inputs.per_patient(),
                form.values_per_patient(classes as usize)
            );
            for (features, row) in patients.iter().zip(inputs.rows()) {
                let z = bounded(features);
                for (place, &found) in row.iter().enumerate() {
                    let expected = match form {
                        ConditioningForm::Study => {
                            f64::from(tensor("conditioned.weight")[place]) * z[place]
                        }
                        ConditioningForm::Additive => {
                            f64::from(tensor("conditioned.weight")[place])
                                + f64::from(tensor("conditioned.slope")[place]) * z[place]
                        }
                        ConditioningForm::Late => {
                            let u =
                                &tensor("late.weight")[place * features.len()..][..features.len()];
                            u.iter().zip(z.iter()).map(|(u, z)| f64::from(*u) * z).sum()
                        }
                    };
                    let limit = f64::from(form.limit());
                    let expected = expected.clamp(-limit, limit);
                    assert!(
                        (f64::from(found) - expected).abs() <= 0.6 / 4096.0,
                        "{form}, {place}: {found}, not {expected}"
                    );
                }
            }
        }
    }

    /// The gradient is the derivative of what the gradients of the inputs are multiplied with.
    #[test]
    fn the_gradient_is_that_of_the_inputs_by_the_weights() {
        for (form, classes, features) in CASES {
            let (layout, values) = weights(form, classes, features);
            let kept: Vec<f32> = form
                .tensors()
                .iter()
                .flat_map(|name| values[layout.range(name).expect("its own")].to_vec())
                .collect();
            let width = form.values_per_patient(classes as usize);
            let given: Vec<f32> = (0..2 * width)
                .map(|place| (place % 5) as f32 / 4.0 - 0.5)
                .collect();
            let gradients = PatientValues::new(width, given.clone());
            let mut patients = features_of_two(features);
            patients.iter_mut().for_each(|one| bound(one));
            // Neither rounded nor clipped: sum over patients of the gradients times the inputs.
            let sum = |kept: &[f32]| -> f64 {
                let weights = ConditioningWeights::from_kept(form, features, kept);
                let rows = patients.iter().zip(given.chunks(width));
                rows.map(|(patient, gradients)| {
                    let products = weights.products(patient);
                    let input = |place: usize| match form {
                        ConditioningForm::Late => {
                            products[place * features..][..features].iter().sum::<f64>()
                        }
                        _ => weights.base[place] + products[place],
                    };
                    let inputs = gradients.iter().enumerate();
                    inputs
                        .map(|(place, gradient)| f64::from(*gradient) * input(place))
                        .sum::<f64>()
                })
                .sum()
            };
            let change = weight_change(form, &patients, &gradients, 4, 2.0);
            assert_eq!(change.len(), kept.len(), "{form}");
            for (place, change) in change.iter().enumerate() {
                let mut moved = kept.clone();
                moved[place] += 1.0;
                let derivative = sum(&moved) - sum(&kept);
                assert!(
                    (change + 0.5 * derivative).abs() < 1e-5,
                    "{form}, {place}: {change}, {derivative}"
                );
            }
        }
    }
}
