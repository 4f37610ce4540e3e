//! From a patient's clinical features to what the model takes of them, and what to know about the patient before the model is believed.

use std::collections::BTreeSet;

use model_data::{
    Contrast, FeatureScaling, FeatureSchema,
    card::{CardFeature, ModelCard},
    impute_and_scale,
};

use super::KeptModel;
use protocol::training_job::PatientValues;
use protocol::vocabulary::ConditioningForm;

use crate::vault::{
    conditioning::{
        release::ReleaseLevels,
        weights::{ConditioningWeights, ScaledFeatures},
    },
    statistics::counted_ranges,
};

/// How a model meets the features of patients that it has not seen.
pub struct Conditions {
    /// None where clinical features do not condition the model.
    used: Option<Used>,
    contrasts: Option<Vec<Contrast>>,
    /// None where they are not known.
    scanners: Option<Vec<String>>,
}

struct Used {
    weights: ConditioningWeights,
    levels: ReleaseLevels,
    features: Vec<CardFeature>,
    schema: FeatureSchema,
    /// Of the training, counted.
    means: Vec<f64>,
    scaling: FeatureScaling,
}

impl Conditions {
    /// Of a model; `levels` is how finely this hospital's policy has shifts of logits released.
    ///
    /// # Errors
    /// A card that does not tell the means and ranges that its model needs, in words.
    pub fn of(model: &KeptModel, levels: ReleaseLevels) -> Result<Self, String> {
        let contrasts = model.card.input.contrasts.clone();
        let Some(weights) = model.conditioning_weights() else {
            return Ok(Self {
                used: None,
                contrasts,
                scanners: None,
            });
        };
        let features = features_of(&model.card, model.form)?;
        Ok(Self {
            used: Some(Used::new(model.form, weights, levels, features)?),
            contrasts,
            scanners: None,
        })
    }

    /// What is read of the clinical table.
    pub fn schema(&self) -> FeatureSchema {
        let used = self.used.as_ref();
        used.map_or_else(FeatureSchema::none, |used| used.schema.clone())
    }

    /// How finely shifts of logits are released.
    pub fn levels(&self) -> ReleaseLevels {
        let used = self.used.as_ref();
        used.map_or_else(ReleaseLevels::default, |used| used.levels)
    }

    /// What the model takes of a patient, with missing features filled as in training; none where it takes nothing.
    pub fn inputs(&self, features: &[Option<f64>]) -> Option<PatientValues> {
        let used = self.used.as_ref()?;
        let scaled = used.scaled(features);
        Some(used.weights.local_inputs(&[scaled], used.levels))
    }

    /// What is unusual about a patient's features and scans, as sentences without a value.
    pub fn flags(
        &self,
        features: &[Option<f64>],
        scans: &[Contrast],
        scanners: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut flags = match &self.used {
            Some(used) => used.flags(features),
            None => vec![],
        };
        if let Some(trained) = &self.contrasts {
            let unseen = scans.iter().filter(|contrast| !trained.contains(contrast));
            flags.extend(unseen.map(|contrast| {
                format!(
                    "contrast {}: the hospital that wrote the model's card has trained on {} alone",
                    contrast.name(),
                    names(trained)
                )
            }));
        }
        if let Some(trained) = &self.scanners {
            let unseen = scanners
                .iter()
                .filter(|scanner| !trained.contains(*scanner));
            flags.extend(unseen.map(|scanner| {
                format!(
                    "scanner {scanner}: this hospital had no scan from it in the run; whether another hospital had one is not known here"
                )
            }));
        }
        flags
    }

    /// Whether a scanner that is none of the training's can be told.
    pub fn knows_scanners(&self) -> bool {
        self.scanners.is_some()
    }

    /// The scanners of this hospital's own scans in the run that the model is of.
    #[must_use]
    pub fn trained_on(self, scanners: Vec<String>) -> Self {
        // Where no file has told of one, none is strange.
        let scanners = Some(scanners).filter(|scanners| !scanners.is_empty());
        Self { scanners, ..self }
    }
}

fn names(contrasts: &[Contrast]) -> String {
    let names: Vec<_> = contrasts.iter().map(|contrast| contrast.name()).collect();
    names.join(", ")
}

impl Used {
    fn new(
        form: ConditioningForm,
        weights: ConditioningWeights,
        levels: ReleaseLevels,
        features: Vec<CardFeature>,
    ) -> Result<Self, String> {
        let schema = schema_of(&features)?;
        let pairs = || schema.iter().zip(&features);
        let deviations: Vec<f64> = pairs()
            .map(|(spec, told)| told.deviation / spec.difference_of(1.0))
            .collect();
        Ok(Self {
            weights,
            levels,
            means: pairs()
                .map(|(spec, told)| spec.counted(told.mean))
                .collect(),
            scaling: FeatureScaling::of(form, &counted_ranges(&schema), &deviations),
            schema,
            features,
        })
    }

    /// As [`ClinicalRecords::scaled`](crate::vault::statistics::ClinicalRecords::scaled) does in training.
    fn scaled(&self, features: &[Option<f64>]) -> ScaledFeatures {
        impute_and_scale(&self.schema.counted(features), &self.means, &self.scaling)
    }

    fn flags(&self, features: &[Option<f64>]) -> Vec<String> {
        let pairs = || self.features.iter().zip(features);
        let missing: Vec<&str> = pairs()
            .filter(|(_, value)| value.is_none())
            .map(|(feature, _)| feature.name.as_str())
            .collect();
        let mut flags = vec![];
        if missing.len() == self.features.len() {
            flags.push(
                "no clinical feature is known: all are those of an average patient of the training"
                    .to_owned(),
            );
        } else if !missing.is_empty() {
            flags.push(format!(
                "not known, and taken as the average of the training: {}",
                missing.join(", ")
            ));
        }
        let unusual = pairs().filter(|(feature, value)| {
            let distance = value.map_or(0.0, |value| (value - feature.mean).abs());
            // Of yes and no the rarer is far from the mean and nothing unusual; a constant feature has no scale.
            let is_flag = feature.from == 0.0 && feature.to == 1.0;
            !is_flag && feature.deviation > 0.0 && distance > UNUSUAL_DEVIATIONS * feature.deviation
        });
        flags.extend(unusual.map(|(feature, _)| {
            format!(
                "{} is more than {UNUSUAL_DEVIATIONS} standard deviations from the average of the training ({:.1}): few or no patients \
                 like this one were trained on",
                feature.name, feature.mean
            )
        }));
        flags
    }
}

/// The features of a card.
fn features_of(card: &ModelCard, form: ConditioningForm) -> Result<Vec<CardFeature>, String> {
    let missing = || {
        "the model's card does not tell the means and ranges of the clinical features, by which missing values are filled: take the card \
         of a release that tells them"
            .to_owned()
    };
    let features = card.input.feature_statistics.clone().ok_or_else(missing)?;
    let count = features.len();
    if !form.takes(count) {
        return Err(format!(
            "the model's card tells of {count} features, which no model of the form {form} has"
        ));
    }
    for feature in &features {
        let numbers = [feature.from, feature.to, feature.mean, feature.deviation];
        let finite = numbers.into_iter().all(f64::is_finite);
        if !finite || feature.from >= feature.to || feature.deviation < 0.0 {
            return Err(format!(
                "the model's card tells no usable range or mean of the feature {:?}",
                feature.name
            ));
        }
    }
    Ok(features)
}

/// The schema of the run that the features are of.
fn schema_of(features: &[CardFeature]) -> Result<FeatureSchema, String> {
    let schema = FeatureSchema {
        features: features.iter().map(CardFeature::spec).collect(),
    };
    let checked = schema.check();
    checked.map_err(|error| format!("the model's card has features of no run: {error}"))?;
    Ok(schema)
}

/// Of 1,000 patients like those of the training, some 3 are farther from the mean.
const UNUSUAL_DEVIATIONS: f64 = 3.0;

#[cfg(test)]
mod tests {
    use model_data::{FEATURES, Feature};
    use protocol::network::ModelLayout;

    use super::*;
    use crate::{
        hospital_data::ClinicalTable,
        vault::statistics::{Statistics, own_counters},
    };
    use protocol::{
        labels::{Edss, LabelScheme, Labels, Task},
        training_job::{SplitKind, SplitPlan},
    };

    /// Weights of a network with two classes.
    fn weights(form: ConditioningForm) -> ConditioningWeights {
        let layout = ModelLayout::of(2, form, FEATURES);
        let kept = form.tensors().iter();
        let kept: usize = kept
            .map(|name| layout.range(name).expect("its own").len())
            .sum();
        let values = [0.7, -1.3, 0.2, 2.0, -0.4, 0.1, 0.9, -0.6, 0.35];
        let kept: Vec<f32> = values.into_iter().cycle().take(kept).collect();
        ConditioningWeights::from_kept(form, FEATURES, &kept)
    }

    fn patients() -> Vec<Vec<Option<f64>>> {
        (0..20)
            .map(|number| {
                (0..FEATURES)
                    .map(|place| {
                        let value = f64::from(number * 7 + place as u32 * 3) % 11.0;
                        (!(number as usize + place).is_multiple_of(5)).then_some(value)
                    })
                    .collect()
            })
            .collect()
    }

    /// What a vault makes of the same patients in training.
    fn in_training(
        schema: &FeatureSchema,
        form: ConditioningForm,
    ) -> (Vec<ScaledFeatures>, Vec<CardFeature>) {
        let rows = patients().into_iter().zip(0..).map(|(features, number)| {
            let score = Edss::new(if number % 2 == 0 { 1.0 } else { 6.0 });
            (score.expect("on the scale"), features, 2)
        });
        let plan = SplitPlan {
            kind: SplitKind::Patient,
            seed: 3,
        };
        let table = ClinicalTable::new(schema.clone(), rows, plan);
        let labels = Labels {
            task: Task::Binary,
            scheme: LabelScheme::AsWritten,
        };
        let records = table.records(labels).expect("splits");
        let statistics = Statistics::from(&own_counters(&records));
        (
            records.scaled(&statistics, form),
            statistics.for_card(schema),
        )
    }

    fn conditions(features: Vec<CardFeature>) -> Conditions {
        conditions_of(features, ConditioningForm::Study)
    }

    fn conditions_of(features: Vec<CardFeature>, form: ConditioningForm) -> Conditions {
        Conditions {
            used: Some(
                Used::new(form, weights(form), ReleaseLevels::FINEST, features).expect("a schema"),
            ),
            contrasts: Some(vec![Contrast::Flair, Contrast::T2]),
            scanners: None,
        }
    }

    #[test]
    fn what_the_model_takes_is_that_of_the_training_with_missing_features_filled_alike() {
        let named = |place: usize| match place {
            3 => "disease duration".to_owned(),
            5 => "column 5: flag".to_owned(),
            6 => "column 6: years".to_owned(),
            _ => format!("column {place}: -2..{}", 12 + place),
        };
        let named: Vec<String> = (0..FEATURES).map(named).collect();
        let named = FeatureSchema::parse(&named).expect("nine");
        for (schema, &form) in [FeatureSchema::study(), named]
            .iter()
            .flat_map(|schema| ConditioningForm::ALL.iter().map(move |form| (schema, form)))
        {
            let (scaled, card) = in_training(schema, form);
            let expected = weights(form).local_inputs(&scaled, ReleaseLevels::FINEST);
            let conditions = conditions_of(card, form);
            assert_eq!(conditions.schema(), *schema);
            for (features, expected) in patients().iter().zip(expected.rows()) {
                let found = conditions.inputs(features).expect("conditioned");
                assert_eq!(found.row(0), Some(expected), "{form}");
            }
        }
    }

    #[test]
    fn what_is_missing_or_far_from_the_training_is_told_without_its_value() {
        let (_, card) = in_training(&FeatureSchema::study(), ConditioningForm::Study);
        let conditions = conditions(card);
        let none = BTreeSet::new();
        let mut features = [Some(5.0); FEATURES];
        assert!(
            conditions
                .flags(&features, &[Contrast::Flair], &none)
                .is_empty()
        );
        features[Feature::Age.index()] = Some(97.0);
        features[Feature::Motor.index()] = None;
        let flags = conditions.flags(&features, &[Contrast::T1], &none);
        assert_eq!(flags.len(), 3, "{flags:?}");
        assert!(flags[0].ends_with("motor symptoms"), "{flags:?}");
        assert!(flags[1].starts_with("age is more than 3"), "{flags:?}");
        assert!(!flags[1].contains("97"), "{flags:?}");
        assert!(flags[2].contains("flair, t2"), "{flags:?}");
        let flags = conditions.flags(&[None; FEATURES], &[], &none);
        assert_eq!(flags.len(), 1, "{flags:?}");
    }

    #[test]
    fn a_scanner_is_strange_where_it_is_known_which_ones_are_not() {
        let (_, card) = in_training(&FeatureSchema::study(), ConditioningForm::Study);
        let features = [Some(5.0); FEATURES];
        let seen = BTreeSet::from(["GE".to_owned(), "SIEMENS PRISMA, 3.0 T".to_owned()]);
        let flags =
            |conditions: &Conditions| conditions.flags(&features, &[Contrast::Flair], &seen);
        let conditions = conditions(card);
        assert!(flags(&conditions).is_empty());
        let conditions = conditions.trained_on(vec![]);
        assert!(flags(&conditions).is_empty() && !conditions.knows_scanners());
        let conditions = conditions.trained_on(vec!["GE".to_owned()]);
        assert!(conditions.knows_scanners());
        let told = flags(&conditions);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("scanner SIEMENS PRISMA, 3.0 T: "),
            "{told:?}"
        );
    }
}
