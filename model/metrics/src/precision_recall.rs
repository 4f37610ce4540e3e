//! Precision against recall: what finding more of a class costs in false alarms.

/// What calling every sample positive that scores `threshold` or more gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecallPoint {
    /// Share of those called positive that are.
    pub precision: f64,
    /// Share of the positive ones that are called so.
    pub recall: f64,
    /// The threshold.
    pub threshold: f32,
}

/// The curve, and the area under its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// A point for each score that occurs, from the highest down.
    pub points: Vec<PrecisionRecallPoint>,
    /// Sum over the points of the gain in recall times the precision there (scikit-learn's `average_precision_score`).
    pub average_precision: f64,
    /// Share of positive samples: the precision of a guess.
    pub prevalence: f64,
}

/// `samples` are pairs of (score, is positive); scores must not be NaN. `None` without a positive sample.
pub fn precision_recall(samples: impl IntoIterator<Item = (f32, bool)>) -> Option<PrecisionRecall> {
    let mut samples: Vec<(f32, bool)> = samples.into_iter().collect();
    samples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = samples.iter().filter(|(_, positive)| *positive).count();
    if positives == 0 {
        return None;
    }
    let (mut found, mut seen, mut area, mut recall_before) = (0, 0, 0.0, 0.0);
    let steps = samples.chunk_by(|a, b| a.0 == b.0);
    let points = steps.map(|tied| {
        found += tied.iter().filter(|(_, positive)| *positive).count();
        seen += tied.len();
        let point = PrecisionRecallPoint {
            precision: found as f64 / seen as f64,
            recall: found as f64 / positives as f64,
            threshold: tied[0].0,
        };
        area += (point.recall - recall_before) * point.precision;
        recall_before = point.recall;
        point
    });
    Some(PrecisionRecall {
        points: points.collect(),
        average_precision: area,
        prevalence: positives as f64 / samples.len() as f64,
    })
}
