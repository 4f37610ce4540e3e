//! The receiver operating characteristic with its interval.

use model_metrics::RocBand;

use super::{Picture, PictureError, UnitSquare, with_interval};

/// A curve of one class against the rest. Rates are between 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct RocCurve {
    /// (False positive rate, true positive rate), from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
    /// The area under it.
    pub area: f64,
    /// 95% interval of the area.
    pub area_interval: Option<[f64; 2]>,
    /// (False positive rate, 95% interval of the true positive rate); empty where there is no interval.
    pub band: Vec<(f64, [f64; 2])>,
}

impl From<&RocBand> for RocCurve {
    fn from(band: &RocBand) -> Self {
        let points = band.curve.iter();
        Self {
            points: points
                .map(|point| (point.false_positive_rate, point.true_positive_rate))
                .collect(),
            area: band.auroc,
            area_interval: band.auroc_interval,
            band: band.band.clone(),
        }
    }
}

/// Draws a curve over its band and the diagonal, which is what guessing reaches.
///
/// # Errors
/// What the plotting library says.
pub fn roc(name: &str, title: &str, roc: &RocCurve) -> Result<Picture, PictureError> {
    let note = format!("AUROC {}", with_interval(roc.area, roc.area_interval));
    let alt = format!("ROC curve, {title}. {note}; 0.5 is guessing.");
    let square = UnitSquare {
        title,
        note: &note,
        axes: ["false positive rate", "true positive rate"],
        points: &roc.points,
        marked: false,
        band: &roc.band,
        reference: ([(0.0, 0.0), (1.0, 1.0)], "guessing"),
    };
    square.picture(name, alt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_stands_in_its_band_and_says_its_area() {
        let rates = || (0..=20).map(|step| f64::from(step) / 20.0);
        let curve = RocCurve {
            points: rates().map(|rate| (rate, rate.sqrt())).collect(),
            area: 2.0 / 3.0,
            area_interval: Some([0.5, 0.8]),
            band: rates()
                .map(|rate| (rate, [rate, rate.powf(0.25)]))
                .collect(),
        };
        let picture = roc("roc", "By patient", &curve).expect("drawn");
        let svg = picture.inline().expect("no image in it");
        assert_eq!(svg.matches("<polygon").count(), 1);
        let area = format!("AUROC {:.2} (95% ", curve.area);
        assert!(
            svg.contains(&area) && picture.alt.contains(&area),
            "{}",
            picture.alt
        );
        assert!(svg.contains("guessing"));
        let without_band = RocCurve {
            band: vec![],
            area_interval: None,
            ..curve
        };
        let picture = roc("roc", "By patient", &without_band).expect("drawn");
        assert!(!picture.alt.contains("95%"));
        assert!(
            !picture
                .inline()
                .expect("no image in it")
                .contains("<polygon")
        );
    }
}
