//! From a patient's clinical features to what the model takes of them, and what to know about the patient before the model is believed.

use std::collections::BTreeSet;

use model_data::{
    Contrast, FEATURES, FeatureColumn, FeatureColumns, FeatureScaling,
    card::{CardFeature, ModelCard},
    impute_and_scale,
};

use super::KeptModel;
use protocol::training_job::PatientValues;
use protocol::vocabulary::ConditioningForm;

use crate::vault::conditioning::{release::ReleaseLevels, weights::ConditioningWeights};

/// How a model meets the features of patients that it has not seen.
pub struct Conditions {
    columns: FeatureColumns,
    /// None where clinical features do not condition the model.
    used: Option<Used>,
    contrasts: Option<Vec<Contrast>>,
    /// None where they are not known.
    scanners: Option<Vec<String>>,
}

struct Used {
    form: ConditioningForm,
    weights: ConditioningWeights,
    levels: ReleaseLevels,
    features: [CardFeature; FEATURES],
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
                columns: FeatureColumns::Standard,
                used: None,
                contrasts,
                scanners: None,
            });
        };
        let features = features_of(&model.card)?;
        Ok(Self {
            columns: columns_of(&features)?,
            used: Some(Used {
                form: model.form,
                weights,
                levels,
                features,
            }),
            contrasts,
            scanners: None,
        })
    }

    /// The columns of the clinical table that are read.
    pub fn columns(&self) -> &FeatureColumns {
        &self.columns
    }

    /// How finely shifts of logits are released.
    pub fn levels(&self) -> ReleaseLevels {
        let used = self.used.as_ref();
        used.map_or_else(ReleaseLevels::default, |used| used.levels)
    }

    /// What the model takes of a patient, with missing features filled as in training; none where it takes nothing.
    pub fn inputs(&self, features: &[Option<f64>; FEATURES]) -> Option<PatientValues> {
        let used = self.used.as_ref()?;
        let scaled = used.scaled(features, &self.columns);
        Some(used.weights.local_inputs(&[scaled], used.levels))
    }

    /// What is unusual about a patient's features and scans, as sentences without a value.
    pub fn flags(
        &self,
        features: &[Option<f64>; FEATURES],
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
    /// As [`ClinicalRecords::scaled`](crate::vault::statistics::ClinicalRecords::scaled) does in training.
    fn scaled(
        &self,
        features: &[Option<f64>; FEATURES],
        columns: &FeatureColumns,
    ) -> [f64; FEATURES] {
        let means = self.features.each_ref().map(|feature| feature.mean);
        let ranges = self
            .features
            .each_ref()
            .map(|feature| [feature.from, feature.to]);
        let deviations = self.features.each_ref().map(|feature| feature.deviation);
        match columns {
            FeatureColumns::Standard => {
                let scaling = FeatureScaling::of(self.form, ranges, deviations);
                impute_and_scale(features, &means, scaling)
            }
            // These reach the vault as percents.
            FeatureColumns::Named(_) => {
                let percent = |place: usize, value: f64| {
                    let [from, to] = ranges[place];
                    (value - from) / (to - from) * 100.0
                };
                let features =
                    std::array::from_fn(|place| features[place].map(|value| percent(place, value)));
                let means = std::array::from_fn(|place| percent(place, means[place]));
                let deviations = std::array::from_fn(|place| {
                    let [from, to] = ranges[place];
                    deviations[place] / (to - from) * 100.0
                });
                let scaling = FeatureScaling::of(self.form, [[0.0, 100.0]; FEATURES], deviations);
                impute_and_scale(&features, &means, scaling)
            }
        }
    }

    fn flags(&self, features: &[Option<f64>; FEATURES]) -> Vec<String> {
        let pairs = || self.features.iter().zip(features);
        let missing: Vec<&str> = pairs()
            .filter(|(_, value)| value.is_none())
            .map(|(feature, _)| feature.name.as_str())
            .collect();
        let mut flags = vec![];
        if missing.len() == FEATURES {
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

/// The nine features of a card.
fn features_of(card: &ModelCard) -> Result<[CardFeature; FEATURES], String> {
    let missing = || {
        "the model's card does not tell the means and ranges of the clinical features, by which missing values are filled: take the card \
         of a release that tells them"
            .to_owned()
    };
    let features = card.input.feature_statistics.clone().ok_or_else(missing)?;
    let count = features.len();
    let features: [CardFeature; FEATURES] = features.try_into().map_err(|_| {
        format!("the model's card tells of {count} features, where the network takes {FEATURES}")
    })?;
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

/// The standard features, or columns of the hospitals' choice.
fn columns_of(features: &[CardFeature; FEATURES]) -> Result<FeatureColumns, String> {
    let standard = FeatureColumns::Standard;
    let known = standard.names().into_iter().zip(standard.ranges());
    let is_standard = features.iter().zip(known).all(|(feature, (name, range))| {
        feature.name == name && [feature.from, feature.to] == range
    });
    if is_standard {
        return Ok(standard);
    }
    let columns: Vec<FeatureColumn> = features
        .iter()
        .map(|feature| FeatureColumn {
            name: feature.name.clone(),
            from: feature.from,
            to: feature.to,
        })
        .collect();
    let columns = <Box<[FeatureColumn; FEATURES]>>::try_from(columns);
    columns.map(FeatureColumns::Named).map_err(|columns| {
        format!(
            "{} features, where the network takes {FEATURES}",
            columns.len()
        )
    })
}

/// Of 1,000 patients like those of the training, some 3 are farther from the mean.
const UNUSUAL_DEVIATIONS: f64 = 3.0;

#[cfg(test)]
mod tests {
    use model_data::{Feature, FeatureRanges};
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
        let layout = ModelLayout::of(2, form);
        let kept = form.tensors().iter();
        let kept: usize = kept
            .map(|name| layout.range(name).expect("its own").len())
            .sum();
        let values = [0.7, -1.3, 0.2, 2.0, -0.4, 0.1, 0.9, -0.6, 0.35];
        let kept: Vec<f32> = values.into_iter().cycle().take(kept).collect();
        ConditioningWeights::from_kept(form, &kept)
    }

    fn patients() -> Vec<[Option<f64>; FEATURES]> {
        (0..20)
            .map(|number| {
                std::array::from_fn(|place| {
                    let value = f64::from(number * 7 + place as u32 * 3) % 11.0;
                    (!(number as usize + place).is_multiple_of(5)).then_some(value)
                })
            })
            .collect()
    }

    /// What a vault makes of the same patients in training.
    fn in_training(
        columns: &FeatureColumns,
        form: ConditioningForm,
    ) -> (Vec<[f64; FEATURES]>, Vec<CardFeature>) {
        let rows = patients().into_iter().zip(0..).map(|(features, number)| {
            let score = Edss::new(if number % 2 == 0 { 1.0 } else { 6.0 });
            (score.expect("on the scale"), features, 2)
        });
        let plan = SplitPlan {
            kind: SplitKind::Patient,
            seed: 3,
        };
        let mut table = ClinicalTable::new(rows, plan);
        if let FeatureColumns::Named(_) = columns {
            table = table.in_percent_of(&columns.ranges());
        }
        let labels = Labels {
            task: Task::Binary,
            scheme: LabelScheme::AsWritten,
        };
        let records = table.records(labels).expect("splits");
        let statistics = Statistics::from(&own_counters(&records));
        (
            records.scaled(&statistics, form),
            statistics.for_card(columns),
        )
    }

    fn conditions(features: Vec<CardFeature>) -> Conditions {
        conditions_of(features, ConditioningForm::Study)
    }

    fn conditions_of(features: Vec<CardFeature>, form: ConditioningForm) -> Conditions {
        let features = <[CardFeature; FEATURES]>::try_from(features).expect("nine");
        Conditions {
            columns: columns_of(&features).expect("columns"),
            used: Some(Used {
                form,
                weights: weights(form),
                levels: ReleaseLevels::FINEST,
                features,
            }),
            contrasts: Some(vec![Contrast::Flair, Contrast::T2]),
            scanners: None,
        }
    }

    #[test]
    fn what_the_model_takes_is_that_of_the_training_with_missing_features_filled_alike() {
        let ranges: FeatureRanges = std::array::from_fn(|place| [-2.0, 12.0 + place as f64]);
        let named: [FeatureColumn; FEATURES] = std::array::from_fn(|place| FeatureColumn {
            name: format!("column {place}"),
            from: ranges[place][0],
            to: ranges[place][1],
        });
        let columns = [
            FeatureColumns::Standard,
            FeatureColumns::Named(Box::new(named)),
        ];
        for (columns, &form) in columns.iter().flat_map(|columns| {
            ConditioningForm::ALL
                .iter()
                .map(move |form| (columns, form))
        }) {
            let (scaled, card) = in_training(columns, form);
            let expected = weights(form).local_inputs(&scaled, ReleaseLevels::FINEST);
            let conditions = conditions_of(card, form);
            assert_eq!(conditions.columns(), columns);
            for (features, expected) in patients().iter().zip(expected.rows()) {
                let found = conditions.inputs(features).expect("conditioned");
                assert_eq!(found.row(0), Some(expected), "{form}");
            }
        }
    }

    #[test]
    fn what_is_missing_or_far_from_the_training_is_told_without_its_value() {
        let (_, card) = in_training(&FeatureColumns::Standard, ConditioningForm::Study);
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
        let (_, card) = in_training(&FeatureColumns::Standard, ConditioningForm::Study);
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
