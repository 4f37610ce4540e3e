//! One patient: an EDSS score, nine clinical features, and slices.

use std::fmt;

use super::{FEATURES, Slice};

/// Expanded Disability Status Scale: 0 (no signs) to 10, in half points.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edss {
    half_points: u8,
}

impl Edss {
    /// `None` unless `score` is one of 0, 0.5, .. 10.
    pub fn new(score: f64) -> Option<Self> {
        let half_points = score * 2.0;
        let on_scale = (0.0..=20.0).contains(&half_points) && half_points.fract() == 0.0;
        on_scale.then_some(Self {
            half_points: half_points as u8,
        })
    }

    /// The score, 0.0 to 10.0.
    pub fn value(self) -> f64 {
        f64::from(self.half_points) / 2.0
    }
}

/// Everything training needs to know of one patient.
#[derive(Clone, PartialEq)]
pub struct Patient {
    /// Name within the cohort (the row's ID in a table).
    pub id: String,
    /// Disability score, from which the label is cut.
    pub edss: Edss,
    /// Raw values in the order of [`super::Feature::ALL`]; `None` where the row has none.
    pub features: [Option<f64>; FEATURES],
    /// Slices of the scan, from the feet up.
    pub slices: Vec<Slice>,
}

/// Name and number of slices only: the rest is clinical.
impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient")
            .field("id", &self.id)
            .field("slices", &self.slices.len())
            .finish_non_exhaustive()
    }
}

/// Says that there is a score, not which.
impl fmt::Debug for Edss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edss(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_half_points_from_0_to_10_are_scores() {
        for half in 0..=20 {
            let score = f64::from(half) / 2.0;
            assert_eq!(Edss::new(score).map(Edss::value), Some(score));
        }
        for score in [-0.5, 10.5, 1.2, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Edss::new(score), None);
        }
    }
}
