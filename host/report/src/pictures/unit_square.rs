//! Curves whose two axes run from 0 to 1.

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
};

/// One curve, and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitSquare<'a> {
    /// Over the curve.
    pub title: &'a str,
    /// Below the title.
    pub note: &'a str,
    /// Of the two axes.
    pub axes: [&'a str; 2],
    /// From left to right.
    pub points: &'a [(f64, f64)],
    /// Whether each point has a mark.
    pub marked: bool,
    /// (Left to right, lower and upper end of the band there); may be empty.
    pub band: &'a [(f64, [f64; 2])],
    /// A dashed line from one point to another, and what it means.
    pub reference: ([(f64, f64); 2], &'a str),
}

impl UnitSquare<'_> {
    /// Draws it. `alt` says in words what is to be seen.
    ///
    /// # Errors
    /// What the plotting library says.
    pub fn picture(&self, name: &str, alt: String) -> Result<Picture, PictureError> {
        Picture::draw(name, alt, (680, 740), |area| {
            let left = |height| letters(height, HPos::Left, VPos::Top);
            write(area, self.title, (24, 22), left(TITLE))?;
            write(area, self.note, (24, 64), left(TICK))?;
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
                .x_desc(self.axes[0])
                .y_desc(self.axes[1])
                .axis_desc_style(letters(TICK, HPos::Center, VPos::Bottom))
                .draw()?;
            let style = line_style(0);
            let low = self.band.iter().map(|&(rate, [low, _])| (rate, low));
            let high = self.band.iter().map(|&(rate, [_, high])| (rate, high));
            let outline: Vec<(f64, f64)> = low.clone().chain(high.clone().rev()).collect();
            if !outline.is_empty() {
                chart.draw_series([Polygon::new(outline, style.colour.mix(0.16).filled())])?;
            }
            for edge in [low.collect::<Vec<_>>(), high.collect()] {
                chart.draw_series(LineSeries::new(edge, style.colour.mix(0.6).stroke_width(1)))?;
            }
            let (ends, meaning) = self.reference;
            chart.draw_series(DashedLineSeries::new(ends, 8, 10, AXIS.stroke_width(3)))?;
            let points = self.points.iter().copied();
            chart.draw_series(LineSeries::new(points, style.stroke(5)))?;
            if self.marked {
                for point in self.points {
                    style.draw_mark(area, chart.backend_coord(point))?;
                }
            }
            let at = |share: f64| {
                let [(from_x, from_y), (to_x, to_y)] = ends;
                let along = |from: f64, to: f64| from + share * (to - from);
                (along(from_x, to_x), along(from_y, to_y))
            };
            let (x, y) = at(0.33);
            // Beside the line, and never below the axis.
            let (right, top) = chart.backend_coord(&(x + 0.03, (y - 0.03).max(0.08)));
            write(
                area,
                meaning,
                (right, top),
                letters(LABEL, HPos::Left, VPos::Top),
            )
        })
    }
}
