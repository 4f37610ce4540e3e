//! The receiver operating characteristic with its interval.

use plotters::{
    chart::ChartBuilder,
    element::Polygon,
    series::{DashedLineSeries, LineSeries},
    style::{
        Color,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    Picture, PictureError,
    style::{AXIS, GRID, LABEL, TICK, TITLE, letters, line_style, write},
    with_interval,
};

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

/// Draws a curve over its band and the diagonal, which is what guessing reaches.
///
/// # Errors
/// What the plotting library says.
pub fn roc(name: &str, title: &str, roc: &RocCurve) -> Result<Picture, PictureError> {
    let area_below = format!("AUROC {}", with_interval(roc.area, roc.area_interval));
    let alt = format!("ROC curve, {title}. {area_below}; 0.5 is guessing.");
    Picture::draw(name, alt, (680, 740), |area| {
        write(area, title, (24, 22), letters(TITLE, HPos::Left, VPos::Top))?;
        write(
            area,
            &area_below,
            (24, 64),
            letters(TICK, HPos::Left, VPos::Top),
        )?;
        let plot = area.margin(104, 10, 0, 24);
        let mut chart = ChartBuilder::on(&plot)
            .y_label_area_size(110)
            .x_label_area_size(84)
            .margin_top(10)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(2))
            .light_line_style(plotters::style::TRANSPARENT)
            .axis_style(AXIS.stroke_width(2))
            .x_labels(6)
            .y_labels(6)
            .x_label_style(letters(TICK, HPos::Center, VPos::Top))
            .y_label_style(letters(TICK, HPos::Right, VPos::Center))
            .x_label_formatter(&|value| format!("{value:.1}"))
            .y_label_formatter(&|value| format!("{value:.1}"))
            .x_desc("false positive rate")
            .y_desc("true positive rate")
            .axis_desc_style(letters(TICK, HPos::Center, VPos::Bottom))
            .draw()?;
        let style = line_style(0);
        let low = roc.band.iter().map(|&(rate, [low, _])| (rate, low));
        let high = roc.band.iter().map(|&(rate, [_, high])| (rate, high));
        let outline: Vec<(f64, f64)> = low.clone().chain(high.clone().rev()).collect();
        if !outline.is_empty() {
            chart.draw_series([Polygon::new(outline, style.colour.mix(0.16).filled())])?;
        }
        for edge in [low.collect::<Vec<_>>(), high.collect()] {
            chart.draw_series(LineSeries::new(edge, style.colour.mix(0.6).stroke_width(1)))?;
        }
        let diagonal = [(0.0, 0.0), (1.0, 1.0)];
        chart.draw_series(DashedLineSeries::new(diagonal, 8, 10, AXIS.stroke_width(3)))?;
        let points = roc.points.iter().copied();
        chart.draw_series(LineSeries::new(points, style.stroke(5)))?;
        let (right, top) = chart.backend_coord(&(0.36, 0.30));
        let beside = letters(LABEL, HPos::Left, VPos::Top);
        write(area, "guessing", (right, top), beside)
    })
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
