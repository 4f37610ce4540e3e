//! The best that any classifier could reach on a phantom: the probability of each class given the lesion volume and the features,
//! computed from the very distributions that the patients are drawn from.
//!
//! The volume is taken as known exactly, and so is age, of which atrophy tells: what a network sees of them is less. With `x` the
//! normal variable that the features tell of (the disability itself, or the burden of an informative phantom):
//!
//! ```text
//!  P(class | volume, features) = sum over x of P(class | volume, x) p(x | volume) prod over features of p(feature | x)  /  the same without P(class | ..)
//! ```

use model_data::{FEATURES, Feature};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{
    clinical::{
        AGE_IN_COMORBIDITY, AGE_IN_DURATION, AGE_YEARS, ClinicalDraw, DURATION_YEARS, EDSS_PERCENT,
        SHARE_WITH_COMORBIDITY, SYMPTOMS, YOUNGEST_ONSET_YEARS, normal_cdf, quantile,
    },
    kind::{HALF, PhantomKind},
};

/// What a classifier may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The lesion volume, and age, of which atrophy tells.
    pub images: bool,
    /// The clinical features.
    pub features: bool,
}

/// A patient of the population, whom no phantom shows.
pub struct Judged {
    /// The class it has.
    pub class: usize,
    /// Of each class.
    pub probabilities: Vec<f64>,
}

/// So many patients of the population, with the probability of each class; `cuts` are the scores from which on, exclusively, the
/// next class begins.
pub fn judged(
    kind: PhantomKind,
    evidence: Evidence,
    cuts: &[f64],
    patients: usize,
    seed: u64,
) -> Vec<Judged> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(super::Purpose::Population as u64);
    let thresholds: Vec<f64> = cuts.iter().map(|&cut| disability_at(cut)).collect();
    let one = |_| {
        let draw = ClinicalDraw::new(&mut rng, kind);
        let class = cuts.iter().filter(|&&cut| draw.edss.value() > cut).count();
        Judged {
            class,
            probabilities: probabilities(kind, evidence, &thresholds, &draw),
        }
    };
    (0..patients).map(one).collect()
}

/// The normal variable of disability above which a score lies above `cut`.
fn disability_at(cut: f64) -> f64 {
    let below: u32 = EDSS_PERCENT
        .iter()
        .enumerate()
        .filter(|(half_points, _)| *half_points as f64 / 2.0 <= cut)
        .map(|(_, &percent)| u32::from(percent))
        .sum();
    normal_quantile(f64::from(below) / 100.0)
}

fn probabilities(
    kind: PhantomKind,
    evidence: Evidence,
    thresholds: &[f64],
    draw: &ClinicalDraw,
) -> Vec<f64> {
    let row = match (evidence.features, evidence.images) {
        (true, _) => Some(Row::of(kind, draw)),
        // Atrophy tells of age.
        (false, true) => Some(Row::of_age(kind, draw)),
        (false, false) => None,
    };
    let mut sums = vec![0.0; thresholds.len() + 1];
    for step in 0..STEPS {
        let x = RANGE * (2.0 * (step as f64 + 0.5) / STEPS as f64 - 1.0);
        let (mean, deviation) = match kind {
            PhantomKind::Teaching | PhantomKind::Realistic if evidence.images => {
                let rho = kind.of_normals();
                (rho * draw.load, (1.0 - rho * rho).sqrt())
            }
            _ => (0.0, 1.0),
        };
        let mut weight = (-0.5 * ((x - mean) / deviation).powi(2)).exp();
        if let Some(row) = &row {
            weight *= row.likelihood(x);
        }
        let above = |threshold: f64| match kind {
            PhantomKind::Teaching | PhantomKind::Realistic => f64::from(x > threshold),
            PhantomKind::Informative => {
                let (known, rest) = match evidence.images {
                    true => (HALF.sqrt() * (draw.load + x), 1.0 - 2.0 * HALF),
                    false => (HALF.sqrt() * x, 1.0 - HALF),
                };
                normal_cdf((known - threshold) / rest.sqrt())
            }
        };
        let mut before = 1.0;
        for (class, sum) in sums.iter_mut().enumerate() {
            let after = thresholds
                .get(class)
                .map_or(0.0, |&threshold| above(threshold));
            *sum += weight * (before - after);
            before = after;
        }
    }
    let total: f64 = sums.iter().sum();
    sums.into_iter().map(|sum| sum / total).collect()
}

/// What a row says: conditions on normal variables that go with `x`. What is missing says nothing, nor does sex.
struct Row(Vec<Condition>);

/// A normal variable lies between two values; given `x` its mean is `offset + slope x`.
struct Condition {
    between: [f64; 2],
    offset: f64,
    slope: f64,
    deviation: f64,
}

impl Row {
    /// Age alone.
    fn of_age(kind: PhantomKind, draw: &ClinicalDraw) -> Self {
        let mut row = Self::of(kind, draw);
        row.0.truncate(1);
        row
    }

    fn of(kind: PhantomKind, draw: &ClinicalDraw) -> Self {
        let loadings = kind.loadings();
        let known = |feature: Feature| {
            let features: &[Option<f64>; FEATURES] = &draw.features;
            features[feature.index()]
        };
        let spread = |loading: f64| (1.0 - loading * loading).sqrt();
        // A whole year, of which the middle is taken below.
        let year = normals_of_year(&AGE_YEARS, draw.age_years);
        let [before, after] = year.map(normal_cdf);
        let age = normal_quantile((before + after) / 2.0);
        let mut conditions = vec![Condition {
            between: year,
            offset: 0.0,
            slope: loadings.age,
            deviation: spread(loadings.age),
        }];
        if let Some(years) = known(Feature::Duration) {
            let rest = spread(AGE_IN_DURATION);
            let mut between = normals_of_year(&DURATION_YEARS, years);
            if draw.age_years - years <= YOUNGEST_ONSET_YEARS {
                // Cut off: nobody's onset is earlier.
                between[1] = f64::INFINITY;
            }
            conditions.push(Condition {
                between,
                offset: AGE_IN_DURATION * age,
                slope: rest * loadings.duration,
                deviation: rest * spread(loadings.duration),
            });
        }
        let flag = |share: f64, value: f64| {
            let threshold = normal_quantile(1.0 - share);
            match value > 0.5 {
                true => [threshold, f64::INFINITY],
                false => [f64::NEG_INFINITY, threshold],
            }
        };
        if let Some(value) = known(Feature::Comorbidity) {
            let rest = spread(loadings.comorbidity);
            conditions.push(Condition {
                between: flag(SHARE_WITH_COMORBIDITY, value),
                offset: rest * AGE_IN_COMORBIDITY * age,
                slope: loadings.comorbidity,
                deviation: rest * spread(AGE_IN_COMORBIDITY),
            });
        }
        for ((feature, share), loading) in SYMPTOMS.into_iter().zip(loadings.symptoms) {
            if let Some(value) = known(feature) {
                conditions.push(Condition {
                    between: flag(share, value),
                    offset: 0.0,
                    slope: loading,
                    deviation: spread(loading),
                });
            }
        }
        Self(conditions)
    }

    fn likelihood(&self, x: f64) -> f64 {
        let of_each = self.0.iter().map(|condition| {
            let mean = condition.offset + condition.slope * x;
            let [below, above] = condition
                .between
                .map(|value| normal_cdf((value - mean) / condition.deviation));
            above - below
        });
        of_each.product()
    }
}

/// Between which values a normal variable lies that a table maps into this whole year.
fn normals_of_year(table: &[(f64, f64)], year: f64) -> [f64; 2] {
    [year, year + 1.0].map(|years| {
        let probability = inverse(table, years);
        match probability {
            p if p <= 0.0 => f64::NEG_INFINITY,
            p if p >= 1.0 => f64::INFINITY,
            p => normal_quantile(p),
        }
        .clamp(-RANGE, RANGE)
    })
}

/// The probability at which a table reaches a value.
fn inverse(table: &[(f64, f64)], value: f64) -> f64 {
    bisected(0.0, 1.0, |probability| quantile(table, probability) < value)
}

/// The value below which a standard normal variable lies with this probability.
fn normal_quantile(probability: f64) -> f64 {
    bisected(-RANGE, RANGE, |z| normal_cdf(z) < probability)
}

/// Where `is_below` ends, which it does once between `low` and `high`.
fn bisected(mut low: f64, mut high: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if is_below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// A normal variable is hardly ever beyond.
const RANGE: f64 = 5.0;
/// Of the sum over x.
const STEPS: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Evidence = Evidence {
        images: true,
        features: true,
    };

    /// Share of the pairs of different classes that are in the right order.
    fn auroc(judged: &[Judged]) -> f64 {
        let (mut right, mut pairs) = (0.0, 0.0);
        for higher in judged.iter().filter(|one| one.class == 1) {
            for lower in judged.iter().filter(|one| one.class == 0) {
                pairs += 1.0;
                let difference = higher.probabilities[1] - lower.probabilities[1];
                right += if difference > 0.0 {
                    1.0
                } else if difference == 0.0 {
                    0.5
                } else {
                    0.0
                };
            }
        }
        right / pairs
    }

    /// A probability is right if so many of those that have it are of the class.
    #[test]
    fn probabilities_are_calibrated() {
        for kind in PhantomKind::ALL {
            for (images, features) in [(true, true), (true, false), (false, true)] {
                let evidence = Evidence { images, features };
                let judged = judged(kind, evidence, &[2.0], 4000, 5);
                for tenth in 0..10 {
                    let low = f64::from(tenth) / 10.0;
                    let inside: Vec<&Judged> = judged
                        .iter()
                        .filter(|one| (low..low + 0.1).contains(&one.probabilities[1]))
                        .collect();
                    if inside.len() < 60 {
                        continue;
                    }
                    let count = inside.len() as f64;
                    let said = inside.iter().map(|one| one.probabilities[1]).sum::<f64>() / count;
                    let found = inside.iter().filter(|one| one.class == 1).count() as f64 / count;
                    let tolerance = 4.0 * (said * (1.0 - said) / count).sqrt() + 0.01;
                    assert!(
                        (said - found).abs() < tolerance,
                        "{kind}, {evidence:?}: said {said}, found {found} of {count}"
                    );
                }
            }
        }
    }

    #[test]
    fn more_evidence_reaches_more_and_the_halves_of_an_informative_phantom_are_alike() {
        for kind in PhantomKind::ALL {
            let of = |images, features| {
                let evidence = Evidence { images, features };
                auroc(&judged(kind, evidence, &[2.0], 1500, 9))
            };
            let (both, images, features) = (of(true, true), of(true, false), of(false, true));
            assert!(both > images.max(features) - 0.005, "{kind}");
            if kind == PhantomKind::Informative {
                assert!((images - features).abs() < 0.05, "{images}, {features}");
                assert!(both > images + 0.08, "{both}, {images}");
            }
        }
    }

    #[test]
    fn probabilities_of_three_classes_add_up() {
        for one in judged(PhantomKind::Realistic, BOTH, &[2.0, 4.0], 50, 3) {
            assert_eq!(one.probabilities.len(), 3);
            assert!((one.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(one.class < 3);
        }
    }
}
