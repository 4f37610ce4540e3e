//! What a phantom's images and features tell of the disability.

use std::fmt;

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// Where the answer is: how closely EDSS follows the lesion volume, as a rank correlation
/// (Spearman), and what the clinical features go with.
///
/// Ranks, because they do not care whether the volume or its logarithm is meant: with scores skewed
/// low and logarithms of volumes skewed high, even a perfect order has a Pearson correlation of
/// no more than 0.93.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PhantomKind {
    /// 0.95: far more than nature grants, so that learning is visible in minutes. Features go with
    /// the disability, which the images show nearly by themselves.
    #[default]
    Teaching,
    /// 0.37: what 30 patients with consensus masks show (Lesjak et al. 2017).
    Realistic,
    /// Lesion volume and features each carry half: the features tell of a part of the disability of
    /// which no image shows anything.
    Informative,
}

impl PhantomKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Teaching, Self::Realistic, Self::Informative];

    /// `teaching`, `realistic` or `informative`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Teaching => "teaching",
            Self::Realistic => "realistic",
            Self::Informative => "informative",
        }
    }

    /// Spearman's coefficient between EDSS and lesion volume.
    pub fn of_ranks(self) -> f64 {
        match self {
            Self::Teaching => 0.95,
            Self::Realistic => 0.37,
            Self::Informative => 0.65,
        }
    }

    /// Pearson's coefficient of the two normal variables behind them, which is a little larger
    /// because whole half points tie patients (found by simulating 400,000 of them).
    pub(crate) fn of_normals(self) -> f64 {
        match self {
            Self::Teaching => 0.9625,
            Self::Realistic => 0.390,
            Self::Informative => HALF.sqrt(),
        }
    }

    /// The normal variables behind a patient's disability and behind what its features tell of.
    pub(crate) fn disability(self, rng: &mut impl Rng, load: f64) -> (f64, f64) {
        match self {
            Self::Teaching | Self::Realistic => {
                let disability = correlated(rng, load, self.of_normals());
                (disability, disability)
            }
            Self::Informative => {
                let burden: f64 = rng.sample(StandardNormal);
                let own: f64 = rng.sample(StandardNormal);
                let disability = HALF.sqrt() * (load + burden) + (1.0 - 2.0 * HALF).sqrt() * own;
                (disability, burden)
            }
        }
    }

    /// The realistic ones have the signs and about the size seen in MS60; for teaching they
    /// are larger, as that of the lesion load is. The informative ones are so large that together they tell nearly as much of the burden
    /// as the volume does of the load; age, which images show by atrophy, tells nothing of it.
    pub(crate) fn loadings(self) -> Loadings {
        match self {
            Self::Teaching => Loadings {
                age: 0.45,
                duration: 0.1,
                comorbidity: 0.25,
                symptoms: [0.65, -0.4, 0.0, -0.35],
            },
            Self::Realistic => Loadings {
                age: 0.3,
                duration: 0.1,
                comorbidity: 0.1,
                symptoms: [0.5, -0.2, 0.0, -0.25],
            },
            Self::Informative => Loadings {
                age: 0.0,
                duration: 0.95,
                comorbidity: 0.9,
                symptoms: [0.95, -0.95, 0.9, 0.9],
            },
        }
    }
}

impl fmt::Display for PhantomKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How features go with what they tell of: correlations of the normal variables behind them.
pub(crate) struct Loadings {
    pub(crate) age: f64,
    pub(crate) duration: f64,
    pub(crate) comorbidity: f64,
    /// Motor, sensory, visual, balance.
    pub(crate) symptoms: [f64; 4],
}

/// Share of the variance of an informative phantom's disability that the load has, and that the burden has.
pub(crate) const HALF: f64 = 0.475;

/// A standard normal variable whose correlation with `with` is `correlation`.
pub(crate) fn correlated(rng: &mut impl Rng, with: f64, correlation: f64) -> f64 {
    let own: f64 = rng.sample(StandardNormal);
    correlation * with + (1.0 - correlation * correlation).sqrt() * own
}
