//! Made-up patients as a vault has them: raw, and scaled as the forms of conditioning take them.

use model_data::{FEATURES, Feature};
use participant::vault::{
    conditioning::weights::ScaledFeatures,
    statistics::{ClinicalRecords, Statistics, own_counters},
};
use phantom::{PhantomKind, PhantomSettings, draw_clinical};
use protocol::vocabulary::ConditioningForm;

/// Sex, age, age at onset, duration, co-morbidity, four symptoms.
pub type RawFeatures = [f64; FEATURES];

/// The features that are 0 or 1.
pub const FLAGS: [usize; 6] = [
    Feature::Sex as usize,
    Feature::Comorbidity as usize,
    Feature::Motor as usize,
    Feature::Sensory as usize,
    Feature::Visual as usize,
    Feature::Balance as usize,
];

/// The whole years: age, age at onset, duration. The first is the sum of the others.
pub const AGES: [usize; 3] = [
    Feature::Age as usize,
    Feature::AgeAtOnset as usize,
    Feature::Duration as usize,
];

/// So many patients of whom nothing is missing: what a vault puts in the place of a missing value is no whole year, and would only be
/// in the attacker's way.
pub fn complete_patients(count: usize, seed: u64) -> Vec<RawFeatures> {
    let settings = PhantomSettings {
        kind: PhantomKind::Teaching,
        seed,
        ..PhantomSettings::default()
    };
    let drawn = (0..).map(|index| draw_clinical(&settings, index).features);
    let complete = drawn.filter_map(|features| {
        let known: Vec<f64> = features.into_iter().flatten().collect();
        RawFeatures::try_from(known).ok()
    });
    complete.take(count).collect()
}

/// The vault's records of them.
pub fn records(patients: &[RawFeatures]) -> ClinicalRecords {
    ClinicalRecords {
        features: patients.iter().map(|raw| raw.map(Some).to_vec()).collect(),
        schema: model_data::FeatureSchema::study(),
        in_training: vec![true; patients.len()],
        class_counts: vec![patients.len() as u64, 0],
        validation_patients: 0,
    }
}

/// What a federation of these patients knows of all of them together.
pub fn statistics(patients: &[RawFeatures]) -> Statistics {
    Statistics::from(&own_counters(&records(patients)))
}

/// What meets the weights.
pub fn scaled(
    patients: &[RawFeatures],
    statistics: &Statistics,
    form: ConditioningForm,
) -> Vec<ScaledFeatures> {
    records(patients).scaled(statistics, form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_and_years_add_up() {
        let patients = complete_patients(500, 3);
        assert_eq!(patients.len(), 500);
        for raw in &patients {
            assert!(FLAGS.iter().all(|&place| [0.0, 1.0].contains(&raw[place])));
            let [age, onset, duration] = AGES.map(|place| raw[place]);
            assert_eq!(age, onset + duration);
            assert!(
                [age, onset, duration]
                    .iter()
                    .all(|years| years.fract() == 0.0)
            );
        }
        assert_ne!(patients, complete_patients(500, 4));
    }
}
