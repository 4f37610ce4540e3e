//! Learning curves: a value for every round or epoch, with the range of what it is the mean of.

use plotters::{
    backend::SVGBackend,
    chart::{ChartBuilder, ChartContext},
    coord::{cartesian::Cartesian2d, types::RangedCoordf64},
    element::Polygon,
    series::{DashedLineSeries, LineSeries},
    style::{
        Color,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    DrawingResult, Picture, PictureError,
    style::{AXIS, GRID, LABEL, LineStyle, TICK, TITLE, letters, line_style, write},
};

/// Curves over the same steps on one vertical axis.
#[derive(Clone, Debug)]
pub struct LearningChart<'a> {
    /// Of the file.
    pub name: &'a str,
    /// What is drawn, with its unit.
    pub title: &'a str,
    /// What a step is called: `round` or `epoch`.
    pub step: &'a str,
    /// What lines and bands are, in a sentence; empty where there is nothing to say.
    pub note: &'a str,
    /// Where the axis ends.
    pub scale: Scale,
    /// At most four are told apart.
    pub curves: Vec<Curve<'a>>,
}

/// Where the vertical axis, which begins at 0, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// At 1, for a share.
    Share,
    /// At a round number above all values.
    Data,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    /// Written at its end.
    pub name: &'a str,
    /// From step 1; none where there is no value.
    pub points: Vec<Option<Spread>>,
}

/// A value and the range that it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// On the line.
    pub mean: f64,
    /// Lower edge of the band.
    pub low: f64,
    /// Upper edge of the band.
    pub high: f64,
}

impl Spread {
    /// The mean of the values, from the smallest to the largest; none of nothing, or if one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Self::around(mean, values)
    }

    /// A value of its own, over the range of others: it may be a weighted mean. None if a number is not finite.
    pub fn around(mean: f64, values: &[f64]) -> Option<Self> {
        let low = values.iter().copied().fold(mean, f64::min);
        let high = values.iter().copied().fold(mean, f64::max);
        let all_finite = values.iter().all(|value| value.is_finite());
        (mean.is_finite() && all_finite).then_some(Self { mean, low, high })
    }
}

impl LearningChart<'_> {
    /// Draws the picture.
    ///
    /// # Errors
    /// What the plotting library says.
    pub fn picture(&self) -> Result<Picture, PictureError> {
        let steps = self.steps();
        let top = match self.scale {
            Scale::Share => 1.0,
            Scale::Data => ceiling(self.spreads().map(|spread| spread.high).fold(0.0, f64::max)),
        };
        let size = (1240, if self.note.is_empty() { 660 } else { 710 });
        Picture::draw(self.name, self.in_words(), size, |area| {
            write(
                area,
                self.title,
                (MARGIN, 22),
                letters(TITLE, HPos::Left, VPos::Top),
            )?;
            if !self.note.is_empty() {
                let foot = letters(TICK, HPos::Left, VPos::Bottom);
                write(area, self.note, (MARGIN, 690), foot)?;
            }
            let (plot, _) = area
                .margin(74, size.1 - 640, 0, 0)
                .split_horizontally(NAMES_BEGIN);
            let mut chart = ChartBuilder::on(&plot)
                .margin_right(20)
                .margin_top(10)
                .y_label_area_size(96)
                .x_label_area_size(76)
                .build_cartesian_2d(0.5..steps as f64 + 0.5, 0.0..top)?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .bold_line_style(GRID.stroke_width(2))
                .light_line_style(plotters::style::TRANSPARENT)
                .axis_style(AXIS.stroke_width(2))
                .y_labels(6)
                .x_labels(steps.min(12))
                .x_label_style(letters(TICK, HPos::Center, VPos::Top))
                .y_label_style(letters(TICK, HPos::Right, VPos::Center))
                .x_label_formatter(&whole_steps)
                .y_label_formatter(&|&value| on_axis(value))
                .x_desc(self.step)
                .axis_desc_style(letters(TICK, HPos::Center, VPos::Bottom))
                .draw()?;
            for (place, curve) in self.curves.iter().enumerate() {
                draw_band(&mut chart, line_style(place), &curve.points)?;
            }
            for (place, curve) in self.curves.iter().enumerate() {
                draw_line(&mut chart, line_style(place), &curve.points)?;
            }
            let every = steps.div_ceil(MAX_MARKS).max(1);
            let mut ends = Vec::new();
            for (place, curve) in self.curves.iter().enumerate() {
                for (step, spread) in known(&curve.points).filter(|(step, _)| step % every == 0) {
                    let mark = chart.backend_coord(&(step as f64, spread.mean));
                    line_style(place).draw_mark(area, mark)?;
                }
                if let Some((step, last)) = known(&curve.points).last() {
                    let end = chart.backend_coord(&(step as f64, last.mean));
                    ends.push((end.1, place));
                }
            }
            let bottom = chart.backend_coord(&(1.0, 0.0)).1;
            for (height, place) in apart(ends, bottom) {
                let x = NAMES_BEGIN + 20;
                let style = line_style(place);
                style.draw_mark(area, (x, height))?;
                let text = letters(LABEL, HPos::Left, VPos::Center);
                write(area, self.curves[place].name, (x + 20, height), text)?;
            }
            Ok(())
        })
    }

    fn steps(&self) -> usize {
        let lengths = self.curves.iter().map(|curve| curve.points.len());
        lengths.max().unwrap_or(0).max(1)
    }

    fn spreads(&self) -> impl Iterator<Item = Spread> {
        self.curves
            .iter()
            .flat_map(|curve| &curve.points)
            .flatten()
            .copied()
    }

    /// First and last values of every curve.
    fn in_words(&self) -> String {
        let mut words = format!("{}, by {}.", self.title, self.step);
        for curve in &self.curves {
            let ends = known(&curve.points).next().zip(known(&curve.points).last());
            words += &match ends {
                None => format!(" {}: no values.", curve.name),
                Some(((first, from), (last, to))) => format!(
                    " {}: {:.3} in {step} {first}, {:.3} (range {:.3} to {:.3}) in {step} {last}.",
                    curve.name,
                    from.mean,
                    to.mean,
                    to.low,
                    to.high,
                    step = self.step,
                ),
            };
        }
        words
    }
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A band from the lowest to the highest, with thin edges that grey print keeps.
fn draw_band(
    chart: &mut Chart<'_, '_>,
    style: LineStyle,
    points: &[Option<Spread>],
) -> DrawingResult {
    for stretch in stretches(points) {
        if stretch.iter().all(|(_, spread)| spread.low == spread.high) {
            continue;
        }
        if let [(step, alone)] = stretch.as_slice() {
            let bar = [alone.low, alone.high].map(|value| (*step as f64, value));
            chart.draw_series(LineSeries::new(bar, style.stroke(2)))?;
            continue;
        }
        let low = stretch
            .iter()
            .map(|(step, spread)| (*step as f64, spread.low));
        let high = stretch
            .iter()
            .map(|(step, spread)| (*step as f64, spread.high));
        let outline: Vec<(f64, f64)> = low.clone().chain(high.clone().rev()).collect();
        chart.draw_series([Polygon::new(outline, style.colour.mix(0.16).filled())])?;
        for edge in [low.collect::<Vec<_>>(), high.collect()] {
            chart.draw_series(LineSeries::new(edge, style.colour.mix(0.6).stroke_width(1)))?;
        }
    }
    Ok(())
}

fn draw_line(
    chart: &mut Chart<'_, '_>,
    style: LineStyle,
    points: &[Option<Spread>],
) -> DrawingResult {
    for stretch in stretches(points) {
        let line: Vec<(f64, f64)> = stretch
            .iter()
            .map(|(step, spread)| (*step as f64, spread.mean))
            .collect();
        match style.dash {
            None => chart.draw_series(LineSeries::new(line, style.stroke(5)))?,
            Some((on, off)) => {
                chart.draw_series(DashedLineSeries::new(line, on, off, style.stroke(5)))?
            }
        };
    }
    Ok(())
}

/// Steps, from 1, that have a value.
fn known(points: &[Option<Spread>]) -> impl Iterator<Item = (usize, Spread)> {
    (1..)
        .zip(points)
        .filter_map(|(step, point)| Some((step, (*point)?)))
}

/// Runs of steps without a gap.
fn stretches(points: &[Option<Spread>]) -> Vec<Vec<(usize, Spread)>> {
    let known: Vec<(usize, Spread)> = known(points).collect();
    known
        .chunk_by(|(before, _), (after, _)| before + 1 == *after)
        .map(<[_]>::to_vec)
        .collect()
}

/// Heights of names, moved up where they would stand on one another.
fn apart(mut ends: Vec<(i32, usize)>, bottom: i32) -> Vec<(i32, usize)> {
    ends.sort_unstable_by(|left, right| right.cmp(left));
    let mut lowest = bottom;
    for (height, _) in &mut ends {
        *height = (*height).min(lowest);
        lowest = *height - LABEL as i32 - 8;
    }
    ends
}

fn whole_steps(step: &f64) -> String {
    if step.fract() == 0.0 {
        format!("{step:.0}")
    } else {
        String::new()
    }
}

/// 1, 2 or 5 times a power of ten, not below the largest value.
fn ceiling(largest: f64) -> f64 {
    if largest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(largest.log10().floor());
    let step = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .find(|step| step * power >= largest * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

const MARGIN: i32 = 24;
/// The plot ends here; the names of the curves stand to its right.
const NAMES_BEGIN: i32 = 940;
/// On a curve.
const MAX_MARKS: usize = 16;

/// Short enough for the margin, also of a loss that has run away.
fn on_axis(value: f64) -> String {
    if value.abs() < 1000.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(mean: f64) -> Option<Spread> {
        Spread::of(&[mean - 0.1, mean + 0.1])
    }

    fn chart(curves: Vec<Curve<'_>>) -> LearningChart<'_> {
        LearningChart {
            name: "loss",
            title: "Loss",
            step: "round",
            note: "Band: from the lowest to the highest.",
            scale: Scale::Data,
            curves,
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            [0.0, 0.07, 0.62, 1.0, 1.1, 3.0, 12.0].map(ceiling),
            [1.0, 0.08, 0.8, 1.0, 1.5, 3.0, 15.0]
        );
    }

    #[test]
    fn every_value_has_a_mark_and_gaps_part_line_and_band() {
        let picture = chart(vec![
            Curve {
                name: "training loss",
                points: vec![spread(0.5), spread(0.4), None, spread(0.3), spread(0.25)],
            },
            Curve {
                name: "validation loss",
                points: vec![None, Spread::of(&[0.7])],
            },
        ])
        .picture()
        .expect("drawn");
        let svg = picture.inline().expect("no image in it");
        // One mark a value, one beside the name; no other picture has circles.
        assert_eq!(svg.matches("<circle").count(), 4 + 1);
        // Two stretches of band; the mark of the second curve is a square.
        assert_eq!(svg.matches("<polygon").count(), 2);
        for part in ["training loss", "validation loss", "Band: from", "round"] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains("NaN"));
        assert!(
            picture.alt.contains(
                "training loss: 0.500 in round 1, 0.250 (range 0.150 to 0.350) in round 5"
            )
        );
    }

    #[test]
    fn a_chart_of_nothing_is_empty_and_sound() {
        let nothing = Curve {
            name: "a",
            points: vec![None],
        };
        for curves in [vec![], vec![nothing]] {
            let svg = chart(curves)
                .picture()
                .expect("drawn")
                .inline()
                .expect("no image in it");
            assert!(!svg.contains("NaN") && !svg.contains("<circle"));
        }
    }

    #[test]
    fn what_is_no_number_has_no_place() {
        for values in [&[][..], &[f64::NAN], &[1.0, f64::INFINITY]] {
            assert_eq!(Spread::of(values), None);
        }
        let around = Spread::around(0.4, &[0.5, 0.3]).expect("numbers");
        assert_eq!((around.mean, around.low, around.high), (0.4, 0.3, 0.5));
    }

    #[test]
    fn names_do_not_stand_on_one_another() {
        let placed = apart(vec![(100, 0), (104, 1), (300, 2), (102, 3)], 290);
        let mut heights: Vec<i32> = placed.iter().map(|(height, _)| *height).collect();
        heights.sort_unstable();
        assert!(
            heights
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= LABEL as i32)
        );
        assert!(heights.iter().all(|height| *height <= 290));
        let lowest = placed.iter().max().map(|(_, curve)| *curve);
        assert_eq!(
            lowest,
            Some(2),
            "the order of the names is that of the curves"
        );
    }
}
