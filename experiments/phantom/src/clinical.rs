//! What a patient's row of the table would say, and how much lesion goes with it.

use model_data::{Edss, FEATURES, Feature};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::kind::{PhantomKind, correlated};

/// A drawn patient, before there is any anatomy.
#[derive(Clone, PartialEq)]
pub struct ClinicalDraw {
    /// Disability score, 0 to 6.
    pub edss: Edss,
    /// Raw values in the order of [`Feature::ALL`]; a few are missing.
    pub features: [Option<f64>; FEATURES],
    /// Age in years; drives atrophy even where the row leaves it out.
    pub age_years: f64,
    /// Volume of all lesions together, in millilitres.
    pub lesion_volume_ml: f64,
    /// The normal variable behind it.
    pub(crate) load: f64,
}

impl ClinicalDraw {
    /// Draws a patient through a Gaussian copula: one normal variable for the lesion load, one
    /// for disability that correlates with it, and one for each feature that correlates with
    /// what the kind has features tell of. Each is then mapped to its own distribution.
    pub fn new(rng: &mut impl Rng, kind: PhantomKind) -> Self {
        let load: f64 = rng.sample(StandardNormal);
        let (disability, told) = kind.disability(rng, load);
        let loadings = kind.loadings();
        let age = correlated(rng, told, loadings.age);
        let age_years = quantile(&AGE_YEARS, normal_cdf(age)).floor();
        let duration = AGE_IN_DURATION * age
            + correlated(rng, told, loadings.duration) * (1.0 - AGE_IN_DURATION.powi(2)).sqrt();
        let duration_years = quantile(&DURATION_YEARS, normal_cdf(duration))
            .floor()
            .min(age_years - YOUNGEST_ONSET_YEARS);
        let mut features = [None; FEATURES];
        let mut set = |feature: Feature, value: f64| features[feature.index()] = Some(value);
        set(Feature::Sex, f64::from(rng.random_bool(SHARE_OF_MEN)));
        set(Feature::Age, age_years);
        set(Feature::AgeAtOnset, age_years - duration_years);
        set(Feature::Duration, duration_years);
        let with_age =
            (1.0 - loadings.comorbidity.powi(2)).sqrt() * correlated(rng, age, AGE_IN_COMORBIDITY);
        let illness = loadings.comorbidity * told + with_age;
        set(
            Feature::Comorbidity,
            f64::from(normal_cdf(illness) > 1.0 - SHARE_WITH_COMORBIDITY),
        );
        for ((feature, share), loading) in SYMPTOMS.into_iter().zip(loadings.symptoms) {
            let tendency = normal_cdf(correlated(rng, told, loading));
            set(feature, f64::from(tendency > 1.0 - share));
        }
        for (group, share) in MISSING {
            if rng.random_bool(share) {
                group.iter().for_each(|gone| features[gone.index()] = None);
            }
        }
        Self {
            edss: edss_at(normal_cdf(disability)),
            features,
            age_years,
            lesion_volume_ml: quantile(&LOG_VOLUME_ML, normal_cdf(load)).exp(),
            load,
        }
    }
}

/// Share of patients by half point from 0 to 6, in percent: the 60 rows of MS60 (Muslim et al.
/// 2022, Data in Brief 42:108139), smoothed.
/// 55% are at 2.0 or below.
pub(crate) const EDSS_PERCENT: [u8; 13] = [8, 8, 18, 13, 8, 6, 11, 8, 9, 3, 4, 2, 2];

/// Natural logarithm of the lesion volume in ml by probability. The inner five points are
/// quantiles over the consensus masks of 30 patients (Lesjak et al. 2017, Neuroinformatics 16:51);
/// the outer two end the range.
const LOG_VOLUME_ML: [(f64, f64); 7] = [
    (0.0, -1.108_662_6),  // 0.33 ml
    (0.05, -0.356_674_9), // 0.7 ml
    (0.25, 0.587_786_7),  // 1.8 ml
    (0.5, 2.631_888_8),   // 13.9 ml
    (0.75, 3.339_322_0),  // 28.2 ml
    (0.95, 3.899_950_4),  // 49.4 ml
    (1.0, 4.094_344_6),   // 60 ml
];

/// Age by probability, from MS60; the last bin is open above 56.
pub(crate) const AGE_YEARS: [(f64, f64); 7] = [
    (0.0, 15.0),
    (0.1, 17.0),
    (0.25, 20.0),
    (0.5, 33.0),
    (0.75, 42.0),
    (0.9, 47.0),
    (1.0, 56.999),
];

/// Years from onset to the scan by probability, from MS60.
pub(crate) const DURATION_YEARS: [(f64, f64); 6] = [
    (0.0, 0.0),
    (0.4, 0.5),
    (0.5, 2.0),
    (0.75, 4.5),
    (0.9, 10.0),
    (1.0, 21.999),
];

pub(crate) const YOUNGEST_ONSET_YEARS: f64 = 8.0;
const SHARE_OF_MEN: f64 = 0.23;
pub(crate) const SHARE_WITH_COMORBIDITY: f64 = 0.22;
/// Correlation of the normal variables behind duration and age, where nothing else is told.
pub(crate) const AGE_IN_DURATION: f64 = 0.4;
/// The same of co-morbidity.
pub(crate) const AGE_IN_COMORBIDITY: f64 = 0.4;

/// Presenting symptom and its share.
pub(crate) const SYMPTOMS: [(Feature, f64); 4] = [
    (Feature::Motor, 0.32),
    (Feature::Sensory, 0.42),
    (Feature::Visual, 0.33),
    (Feature::Balance, 0.12),
];

/// What goes missing together, and how often: an illegible sex, an onset after the age.
const MISSING: [(&[Feature], f64); 3] = [
    (&[Feature::Sex], 0.02),
    (&[Feature::AgeAtOnset, Feature::Duration], 0.02),
    (&[Feature::Comorbidity], 0.02),
];

fn edss_at(probability: f64) -> Edss {
    let mut below = 0;
    let half_points = EDSS_PERCENT.iter().position(|&percent| {
        below += percent;
        probability * 100.0 < f64::from(below)
    });
    let score = half_points.unwrap_or(EDSS_PERCENT.len() - 1) as f64 / 2.0;
    Edss::new(score).expect("half points up to 6 are on the scale")
}

/// Linear between the points of a table that starts at probability 0 and ends at 1.
pub(crate) fn quantile(table: &[(f64, f64)], probability: f64) -> f64 {
    let after = table.partition_point(|&(at, _)| at <= probability);
    let right = table[after.clamp(1, table.len() - 1)];
    let left = table[after.clamp(1, table.len() - 1) - 1];
    left.1 + (right.1 - left.1) * (probability - left.0) / (right.0 - left.0)
}

/// Distribution function of the standard normal: Abramowitz and Stegun 26.2.17, within 7.5e-8.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [
        0.319_381_530,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let polynomial = series.iter().rev().fold(0.0, |sum, c| (sum + c) * t);
    let tail = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * polynomial;
    if z > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn draws(count: usize, kind: PhantomKind) -> Vec<ClinicalDraw> {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        (0..count)
            .map(|_| ClinicalDraw::new(&mut rng, kind))
            .collect()
    }

    /// Ranks from 0, equal values sharing the middle of theirs.
    fn ranks(values: &[f64]) -> Vec<f64> {
        let below = |value: f64| values.iter().filter(|other| **other < value).count();
        let equal = |value: f64| values.iter().filter(|other| **other == value).count();
        let rank = |&value: &f64| below(value) as f64 + equal(value) as f64 / 2.0;
        values.iter().map(rank).collect()
    }

    fn pearson(a: &[f64], b: &[f64]) -> f64 {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (mean_a, mean_b) = (mean(a), mean(b));
        let product = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - mean_a) * (b - mean_b))
                .sum()
        };
        let spread = product(a, mean_a, a, mean_a) * product(b, mean_b, b, mean_b);
        product(a, mean_a, b, mean_b) / spread.sqrt()
    }

    fn scores(draws: &[ClinicalDraw]) -> Vec<f64> {
        draws.iter().map(|draw| draw.edss.value()).collect()
    }

    #[test]
    fn the_lesion_load_has_the_quantiles_of_real_masks() {
        let drawn = draws(4000, PhantomKind::Teaching);
        let mut volumes: Vec<f64> = drawn.iter().map(|draw| draw.lesion_volume_ml).collect();
        volumes.sort_by(f64::total_cmp);
        for (share, expected) in [
            (0.05, 0.7),
            (0.25, 1.8),
            (0.5, 13.9),
            (0.75, 28.2),
            (0.95, 49.4),
        ] {
            let found = volumes[(share * 4000.0) as usize];
            assert!(
                (found / expected).ln().abs() < 0.2,
                "{share}: {found} ml for {expected}"
            );
        }
    }

    #[test]
    fn edss_follows_the_load_as_closely_as_asked() {
        for kind in PhantomKind::ALL {
            let drawn = draws(3000, kind);
            let volumes: Vec<f64> = drawn.iter().map(|draw| draw.lesion_volume_ml).collect();
            let found = pearson(&ranks(&scores(&drawn)), &ranks(&volumes));
            let tolerance = 3.0 * (1.0 - kind.of_ranks().powi(2)) / 3000_f64.sqrt();
            assert!(
                (found - kind.of_ranks()).abs() < tolerance,
                "{kind}: {found}"
            );
        }
    }

    #[test]
    fn features_carry_some_of_the_signal() {
        for kind in [PhantomKind::Teaching, PhantomKind::Realistic] {
            let drawn = draws(3000, kind);
            let of = |feature: Feature| -> f64 {
                let known = drawn
                    .iter()
                    .filter_map(|draw| Some((draw.edss.value(), draw.features[feature.index()]?)));
                let (scores, values): (Vec<f64>, Vec<f64>) = known.unzip();
                pearson(&scores, &values)
            };
            assert!(of(Feature::Motor) > 0.25);
            assert!(of(Feature::Age) > 0.2);
            assert!(of(Feature::Sensory) < -0.05);
            assert!(of(Feature::Sex).abs() < 0.06);
        }
    }

    #[test]
    fn rows_look_like_those_of_the_table() {
        let drawn = draws(4000, PhantomKind::Teaching);
        let share = |condition: &dyn Fn(&ClinicalDraw) -> bool| {
            drawn.iter().filter(|draw| condition(draw)).count() as f64 / 4000.0
        };
        let low = share(&|draw| draw.edss.value() <= 2.0);
        assert!((low - 0.55).abs() < 0.03, "{low}");
        let men = share(&|draw| draw.features[0] == Some(1.0));
        assert!((men - 0.23).abs() < 0.03, "{men}");
        for (feature, expected) in [(4, 0.22), (5, 0.32), (6, 0.42), (7, 0.33), (8, 0.12)] {
            let found = share(&|draw| draw.features[feature] == Some(1.0));
            assert!(
                (found - expected).abs() < 0.04,
                "feature {feature}: {found}"
            );
        }
        for draw in &drawn {
            assert!(draw.edss.value() <= 6.0);
            assert!((15.0..=56.0).contains(&draw.age_years));
            assert!((0.33..=60.0).contains(&draw.lesion_volume_ml));
            let [_, age, onset, duration, ..] = draw.features;
            assert_eq!(age, Some(draw.age_years));
            assert_eq!(onset.is_some(), duration.is_some());
            if let (Some(onset), Some(duration)) = (onset, duration) {
                assert!(onset >= 8.0 && duration >= 0.0 && onset + duration == draw.age_years);
            }
        }
        let missing = drawn
            .iter()
            .flat_map(|draw| draw.features)
            .filter(Option::is_none)
            .count();
        assert!((200..500).contains(&missing), "{missing}");
    }

    #[test]
    fn the_normal_distribution_has_its_tabulated_values() {
        for (z, probability) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746),
            (-1.96, 0.024_997_895),
            (3.0, 0.998_650_102),
        ] {
            assert!((normal_cdf(z) - probability).abs() < 1e-7);
        }
    }
}
