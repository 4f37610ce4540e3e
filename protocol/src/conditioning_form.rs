//! What clinical features do to the network, and what of it each side has (MODEL.md, "Forms of conditioning").
//!
//! | form | vault keeps | coordinator multiplies | a trainer gets of each patient |
//! |---|---|---|---|
//! | `study` | W | W * f | the filter clip(W * f), nine values |
//! | `additive` | W, A | A * z | the filter clip(W + A * z), nine values |
//! | `late` | u | u_c * z for each class c | the shifts u_c . z of the logits, a value a class |
//!
//! `study` and `additive` take nine features, one a value of the filter; `late` takes any number.
//!
//! f are the features scaled to [0, 1] by their public ranges; z the same features less the federation's mean, over its deviation.

use crypto::ckks::Profile;

use crate::{
    features::{FeatureSchema, MAX_FEATURES},
    network::{CONDITIONED_SLOPE, CONDITIONED_VALUES, CONDITIONED_WEIGHT, LATE_WEIGHT},
    vocabulary::{Conditioning, ConditioningForm},
};

impl ConditioningForm {
    /// The tensors that the vault keeps, by name, in the order of the layout: they meet the features and never reach a trainer.
    pub const fn tensors(self) -> &'static [&'static str] {
        match self {
            Self::Study => &[CONDITIONED_WEIGHT],
            Self::Additive => &[CONDITIONED_SLOPE, CONDITIONED_WEIGHT],
            Self::Late => &[LATE_WEIGHT],
        }
    }

    /// The tensor that is multiplied with the features.
    pub const fn factors(self) -> &'static str {
        match self {
            Self::Study => CONDITIONED_WEIGHT,
            Self::Additive => CONDITIONED_SLOPE,
            Self::Late => LATE_WEIGHT,
        }
    }

    /// Values that a trainer gets of each patient.
    pub const fn values_per_patient(self, classes: usize) -> usize {
        match self {
            Self::Study | Self::Additive => CONDITIONED_VALUES,
            Self::Late => classes,
        }
    }

    /// Their largest magnitude: what is beyond is clipped.
    pub const fn limit(self) -> f32 {
        match self {
            Self::Study | Self::Additive => 1.0,
            Self::Late => 8.0,
        }
    }

    /// Whether a run of this form can be of so many features.
    pub const fn takes(self, features: usize) -> bool {
        match self {
            Self::Study | Self::Additive => features == CONDITIONED_VALUES,
            Self::Late => features >= 1 && features <= MAX_FEATURES,
        }
    }

    /// Products of each patient.
    pub const fn products_per_patient(self, classes: usize, features: usize) -> usize {
        match self {
            Self::Study | Self::Additive => CONDITIONED_VALUES,
            Self::Late => features * classes,
        }
    }

    /// Patients whose products fit one ciphertext; the last slot stays zero.
    pub const fn patients_per_block(self, classes: usize, features: usize) -> usize {
        (Profile::SLOTS - 1) / self.products_per_patient(classes, features)
    }

    /// `eta_W` unless the settings name another: what was found to learn on the phantoms (REPRODUCTION.md).
    pub const fn usual_rate(self) -> f64 {
        match self {
            Self::Study | Self::Additive => 0.1,
            Self::Late => 2.0,
        }
    }
}

impl Conditioning {
    /// Of the features of a run those that it uses: all or none.
    pub fn used(self, features: &FeatureSchema) -> FeatureSchema {
        match self.uses_features() {
            true => features.clone(),
            false => FeatureSchema::none(),
        }
    }

    /// The tensors of the network that the vault keeps.
    pub const fn kept_by_vault(self, form: ConditioningForm) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::EncryptedHardened | Self::EncryptedStudy | Self::Plain => form.tensors(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ModelLayout;

    #[test]
    fn every_form_has_its_tensors_in_the_order_of_its_layout() {
        for &form in ConditioningForm::ALL {
            for classes in [2, 3] {
                let layout = ModelLayout::of(classes, form, 9);
                let starts: Vec<usize> = form
                    .tensors()
                    .iter()
                    .map(|name| layout.range(name).expect("in the layout").start)
                    .collect();
                assert!(starts.is_sorted(), "{form}");
                let factors = layout.range(form.factors()).expect("in the layout");
                assert_eq!(
                    factors.len(),
                    form.products_per_patient(classes as usize, 9),
                    "{form}"
                );
                assert!(form.tensors().contains(&form.factors()));
            }
        }
    }

    #[test]
    fn a_ciphertext_carries_fewer_patients_where_each_class_has_products_of_its_own() {
        let patients =
            |form: ConditioningForm| [2, 3].map(|classes| form.patients_per_block(classes, 9));
        assert_eq!(patients(ConditioningForm::Study), [455, 455]);
        assert_eq!(patients(ConditioningForm::Additive), [455, 455]);
        assert_eq!(patients(ConditioningForm::Late), [227, 151]);
        let late = ConditioningForm::Late;
        assert_eq!(
            [1, 30, 64].map(|features| late.patients_per_block(2, features)),
            [2047, 68, 31]
        );
    }

    #[test]
    fn without_conditioning_the_vault_keeps_nothing() {
        for &form in ConditioningForm::ALL {
            assert!(Conditioning::None.kept_by_vault(form).is_empty());
            assert_eq!(Conditioning::Plain.kept_by_vault(form), form.tensors());
        }
    }
}
