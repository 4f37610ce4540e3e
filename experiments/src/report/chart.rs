//! Curves over rounds as inline SVG. Lines differ by dash and mark, not by colour alone: they are told apart in grey print.

use std::fmt::Write as _;

/// One curve: a value a round, none where there is none.
pub struct Curve<'a> {
    /// In the legend.
    pub name: &'a str,
    /// From round 1.
    pub values: Vec<Option<f64>>,
}

/// A chart of curves with a common vertical axis from 0. Its text says in words what it shows.
pub fn chart(title: &str, curves: &[Curve<'_>]) -> String {
    let rounds = curves
        .iter()
        .map(|curve| curve.values.len())
        .max()
        .unwrap_or(0);
    let all = || {
        curves
            .iter()
            .flat_map(|curve| &curve.values)
            .flatten()
            .copied()
            .filter(|value| value.is_finite())
    };
    let top = ceiling(all().fold(0.0, f64::max));
    let x = |round: usize| {
        LEFT + if rounds > 1 {
            PLOT_WIDTH * (round as f64 - 1.0) / (rounds as f64 - 1.0)
        } else {
            PLOT_WIDTH / 2.0
        }
    };
    let y = |value: f64| TOP + PLOT_HEIGHT * (1.0 - value / top);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>\
         <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>"
    );
    for tick in 0..=TICKS {
        let value = top * f64::from(tick) / f64::from(TICKS);
        let height = y(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{height:.1}\" x2=\"{:.1}\" y2=\"{height:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.2}</text>",
            LEFT + PLOT_WIDTH,
            LEFT - 6.0,
            height + 4.0
        );
    }
    let every = rounds.div_ceil(12).max(1);
    for round in (1..=rounds).step_by(every) {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{round}</text>",
            x(round),
            TOP + PLOT_HEIGHT + 18.0
        );
    }
    for (place, curve) in curves.iter().enumerate() {
        let style = STYLES[place % STYLES.len()];
        let points: Vec<(f64, f64)> = (1..)
            .zip(&curve.values)
            .filter_map(|(round, value)| Some((x(round), y((*value)?))))
            .collect();
        let line: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\" points=\"{}\"/>",
            style.colour,
            style.dash,
            line.join(" ")
        );
        for (x, y) in points {
            svg += &mark(style, x, y);
        }
        let legend = TOP + PLOT_HEIGHT + 40.0 + 18.0 * place as f64;
        let _ = write!(
            svg,
            "<line stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\" x1=\"{LEFT}\" y1=\"{legend}\" x2=\"{}\" y2=\"{legend}\"/>{}\
             <text class=\"legend\" x=\"{}\" y=\"{}\">{}</text>",
            style.colour,
            style.dash,
            LEFT + 40.0,
            mark(style, LEFT + 20.0, legend),
            LEFT + 50.0,
            legend + 4.0,
            curve.name
        );
    }
    svg + "</svg>"
}

/// Okabe and Ito's colours, which those who see fewer colours tell apart.
#[derive(Clone, Copy)]
struct Style {
    colour: &'static str,
    dash: &'static str,
    square: bool,
}

fn mark(style: Style, x: f64, y: f64) -> String {
    if style.square {
        format!(
            "<rect fill=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\"/>",
            style.colour,
            x - 3.5,
            y - 3.5
        )
    } else {
        format!(
            "<circle fill=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>",
            style.colour
        )
    }
}

/// 1, 2 or 5 times a power of ten, not below the largest value.
fn ceiling(largest: f64) -> f64 {
    if largest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(largest.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|step| step * power >= largest * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

const STYLES: [Style; 2] = [
    Style {
        colour: "#0072b2",
        dash: "none",
        square: false,
    },
    Style {
        colour: "#a34700",
        dash: "7 4",
        square: true,
    },
];
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 48.0;
const TOP: f64 = 28.0;
const PLOT_WIDTH: f64 = 396.0;
const PLOT_HEIGHT: f64 = 190.0;
const TICKS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            [0.0, 0.07, 0.62, 1.0, 3.0, 12.0].map(ceiling),
            [1.0, 0.1, 1.0, 1.0, 5.0, 20.0]
        );
    }

    #[test]
    fn every_value_has_a_mark_and_gaps_have_none() {
        let curves = [
            Curve {
                name: "a",
                values: vec![Some(0.5), None, Some(0.25)],
            },
            Curve {
                name: "b",
                values: vec![Some(1.0)],
            },
        ];
        let svg = chart("loss", &curves);
        // One mark a value, one in the legend.
        assert_eq!(svg.matches("<circle").count(), 2 + 1);
        assert_eq!(svg.matches("<rect").count(), 1 + 1);
        assert!(svg.contains(">loss<") && !svg.contains("NaN"));
    }

    #[test]
    fn a_chart_of_nothing_is_empty_and_sound() {
        assert!(
            !chart(
                "loss",
                &[Curve {
                    name: "a",
                    values: vec![None]
                }]
            )
            .contains("NaN")
        );
    }
}
